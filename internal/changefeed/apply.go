package changefeed

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// Conn is what Apply needs of a connection; *pgx.Conn and *pgxpool.Pool have it.
type Conn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Done is what became of a step.
type Done struct {
	Home  id.Home `json:"home,omitempty"`
	Why   string  `json:"why"`
	Job   int64   `json:"job_id,omitempty"`
	There bool    `json:"was_there,omitempty"` // the job ran already
}

// Errors of Apply. What the server says is added where it has no secrets in it.
var (
	ErrNoLicence     = errors.New("this cluster refuses changefeeds with a sink because it has no licence")
	ErrRangefeedsOff = errors.New("kv.rangefeed.enabled is off; an administrator has to turn it on first")
	ErrThere         = errors.New("an external connection of this name is there already; with --reuse-connection it is used as it is, and --connection takes another name")
	ErrNotAllowed    = errors.New("the role may not do this; the preconditions of the plan say what it needs")
	ErrSyntax        = errors.New("the server does not understand the statement: is it of the version that the plan is for?")
)

// Apply runs the steps one after another, each by itself and outside a transaction, and reports each. A changefeed that runs already, to the
// same sink and for the same home, is left as it is, so that Apply may be run again after an error.
func (p Plan) Apply(ctx context.Context, conn Conn, report func(Done)) error {
	jobs, err := running(ctx, conn)
	if err != nil {
		return err
	}
	for _, s := range p.Steps {
		done := Done{Home: s.Home, Why: s.Why}
		switch job, there := p.find(jobs, s); {
		case s.what != feed:
			_, err = conn.Exec(ctx, s.plain, pgx.QueryExecModeSimpleProtocol)
		case there:
			done.Job, done.There = job, true
		default:
			done.Job, err = begin(ctx, conn, s.plain)
		}
		if err != nil {
			return explain(s, err)
		}
		report(done)
	}
	return nil
}

func begin(ctx context.Context, conn Conn, sql string) (int64, error) {
	rows, _ := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol) // the error comes back from the collection
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}

type job struct {
	ID          int64
	Status      string
	Description string
}

const sqlJobs = `SELECT job_id, status, description FROM [SHOW JOBS] WHERE job_type = 'CHANGEFEED' AND status IN ('pending', 'running', 'paused', 'pause-requested')`

func running(ctx context.Context, conn Conn) ([]job, error) {
	rows, _ := conn.Query(ctx, sqlJobs) // the error comes back from the collection
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[job])
	if err != nil {
		return nil, fmt.Errorf("list the changefeeds of the cluster: %w", said(err))
	}
	return jobs, nil
}

// find looks for a job that sends the rows of a step to the sink of the plan. With a URI in the statement the server shows it otherwise than it
// came, so that nothing is found.
func (p Plan) find(jobs []job, s Step) (int64, bool) {
	filter := "FOR TABLE "
	if s.Home != "" {
		filter = "home = " + topology.Literal(string(s.Home))
	}
	for _, j := range jobs {
		if strings.HasPrefix(p.via, "external://") && strings.Contains(j.Description, topology.Literal(p.via)) && strings.Contains(j.Description, filter) &&
			strings.Contains(j.Description, "journal") && (p.database == "" || strings.Contains(j.Description, p.database)) {
			return j.ID, true
		}
	}
	return 0, false
}

// explain says what to do about an error of the server.
func explain(s Step, err error) error {
	what := "make the external connection"
	if s.what == feed {
		what = "make the changefeed"
		if s.Home != "" {
			what += " of home " + string(s.Home)
		}
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch {
	case strings.Contains(server.Message, "enterprise license"):
		return fmt.Errorf("%s: %w (the server: %s); the server's own feed and its sinks work without one", what, ErrNoLicence, firstLine(server.Message))
	case strings.Contains(server.Message, "kv.rangefeed.enabled"):
		return fmt.Errorf("%s: %w", what, ErrRangefeedsOff)
	case s.what == connection && server.Code == "42710":
		return fmt.Errorf("%s: %w", what, ErrThere)
	case server.Code == "42501":
		return fmt.Errorf("%s: %w", what, ErrNotAllowed)
	case server.Code == "42601":
		return fmt.Errorf("%s: %w", what, ErrSyntax)
	}
	return fmt.Errorf("%s: %w", what, said(err))
}

// said keeps of an error of the server its code alone: a message may repeat the URI, and with it a password.
func said(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return fmt.Errorf("the server refused it with SQLSTATE %s; its log says why", server.Code)
	}
	return err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
