package topology

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/id"
)

// ErrRefused says that Apply found a reason not to begin, and changed nothing.
var ErrRefused = errors.New("the overlay was not applied, nothing was changed")

// Execer is what Apply needs of a connection; *pgx.Conn has it. A pool will not do: some statements set the session for the next one. Give it a user with the admin role and no statement
// timeout: a change of locality rewrites the indexes of a table, and ending the statement does not end the job behind it.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Progress is called before each statement, counted from 1.
type Progress func(number, of int, s Statement)

// Apply lays the tables of a migrated database out over the regions of the topology: it compares both (ReadState, Plan), refuses what must
// not be, and runs the statements that are still to do, one after another. progress may be nil.
//
// An error that is ErrRefused came before the first statement. Any other error stopped in the middle; then the database works as before,
// some tables nearer than others, and Apply may be run again: the next plan begins where this one ended. Two of them at a time, or one
// beside a migration, make each other fail; the caller holds whatever lock it uses for migrations.
func (t Topology) Apply(ctx context.Context, conn Execer, database string, progress Progress) error {
	version, err := ServerVersion(ctx, conn)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	state, err := ReadState(ctx, conn, database, version)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return t.Plan(database, state).Run(ctx, conn, progress)
}

// Run runs the steps of a plan that refuses nothing, one at a time. What holds for the errors of Apply holds here; ErrUnlicensed says that
// the cluster does not have multi-region SQL.
func (p Plan) Run(ctx context.Context, conn Execer, progress Progress) error {
	if len(p.Refused) > 0 {
		return fmt.Errorf("%w: %s", ErrRefused, strings.Join(p.Refused, "\n"))
	}
	for i, s := range p.Steps {
		if progress != nil {
			progress(i+1, len(p.Steps), s)
		}
		if _, err := conn.Exec(ctx, s.SQL); err != nil {
			if refusal := (*pgconn.PgError)(nil); errors.As(err, &refusal) && refusal.Code == codeUnlicensed {
				err = ErrUnlicensed
			}
			return fmt.Errorf("apply topology %s to database %s, statement %d of %d (%s): %w", p.Topology, p.Database, i+1, len(p.Steps), s.Why, err)
		}
	}
	return nil
}

// ErrNotPlaceable says that the database keeps everything where its one server stands.
var ErrNotPlaceable = errors.New("this is PostgreSQL, which keeps every row where its server stands: regions are for CockroachDB; " +
	"for one home in one region, run PostgreSQL in that region")

// codeUnlicensed is the SQLSTATE of a feature that the licence of the cluster does not include.
const codeUnlicensed = "XXC02"

// ErrUnlicensed says that a statement needs a licence which the cluster does not have.
var ErrUnlicensed = errors.New("this cluster has no licence for multi-region SQL; set one, or plan with zone configurations, which promise less")

// whenThen finds the arms of the CASE as CockroachDB prints them: with or without an annotation of the type, as in 'eu':::STRING.
var (
	whenThen = regexp.MustCompile(`WHEN\s+'([^']*)'\S*\s+THEN\s+'([^']*)'`)
	elseArm  = regexp.MustCompile(`\bELSE\b`)
)

// mappingOf reads a mapping back. An expression of another shape gives another mapping, and so a refusal.
func mappingOf(expression string) map[id.Home]Region {
	if elseArm.MatchString(expression) {
		return nil
	}
	mapping := map[id.Home]Region{}
	for _, m := range whenThen.FindAllStringSubmatch(expression, -1) {
		mapping[id.Home(m[1])] = Region(m[2])
	}
	return mapping
}

func homesText(homes map[id.Home]Region) string {
	if len(homes) == 0 {
		return "none that can be read"
	}
	text := make([]string, 0, len(homes))
	for _, home := range slices.Sorted(maps.Keys(homes)) {
		text = append(text, string(home)+": "+string(homes[home]))
	}
	return strings.Join(text, ", ")
}
