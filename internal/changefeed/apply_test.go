package changefeed

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/topology"
)

func TestColumns_AreThoseOfTheMigrations(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		rows, _ := d.DB.Reader().Query(t.Context(), `SELECT column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = 'journal' AND column_name <> 'written_in' ORDER BY ordinal_position`)
		there, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || !slices.Equal(there, columns) {
			t.Errorf("%v: the journal has %v, the query of a changefeed names %v", err, there, columns)
		}
	})
}

// The build of CockroachDB that is at hand here refuses sinks without a licence, and knows no external connections; a build that takes them runs
// the jobs, which this test then cancels.
func TestApply_SaysWhatTheServerRefuses(t *testing.T) {
	d := dbtest.New(t, "cockroachdb")
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	const secret = "hunter2"
	p := Plan{Steps: []Step{{plain: "CREATE CHANGEFEED FOR TABLE journal INTO 'webhook-https://localhost:1/?client_key=" + secret + "' WITH updated", what: feed}}}
	var jobs []int64
	err = p.Apply(t.Context(), conn, func(done Done) { jobs = append(jobs, done.Job) })
	for _, job := range jobs {
		if _, err := conn.Exec(t.Context(), "CANCEL JOB $1", job); err != nil {
			t.Error(err)
		}
	}
	if err == nil && len(jobs) == 1 || errors.Is(err, ErrNoLicence) && !strings.Contains(err.Error(), secret) {
		t.Logf("the server says: %v, jobs %v", err, jobs)
	} else {
		t.Errorf("%v, jobs %v", err, jobs)
	}
	p.Steps = []Step{{plain: "CREATE EXTERNAL CHICKEN", what: connection}}
	if err := p.Apply(t.Context(), conn, func(Done) { t.Error("done") }); !errors.Is(err, ErrSyntax) {
		t.Errorf("a statement of another version: %v", err)
	}
	p.Steps = []Step{{plain: "CREATE CHANGEFEED FOR TABLE " + secret + " INTO 'webhook-https://localhost:1/' WITH updated", what: feed, Home: "eu"}}
	if err := p.Apply(t.Context(), conn, func(Done) { t.Error("done") }); err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "home eu") {
		t.Errorf("%v", err)
	}
}

func TestExplain(t *testing.T) {
	for _, row := range []struct {
		step Step
		err  pgconn.PgError
		want error
	}{
		{Step{what: feed}, pgconn.PgError{Code: "XXC02", Message: "use of CHANGEFEED requires an enterprise license."}, ErrNoLicence},
		{Step{what: feed}, pgconn.PgError{Code: "XXUUU", Message: "rangefeeds require the kv.rangefeed.enabled setting"}, ErrRangefeedsOff},
		{Step{what: feed}, pgconn.PgError{Code: "42501"}, ErrNotAllowed},
		{Step{what: feed}, pgconn.PgError{Code: "42601"}, ErrSyntax},
		{Step{what: connection}, pgconn.PgError{Code: "42710"}, ErrThere},
	} {
		if err := explain(row.step, &row.err); !errors.Is(err, row.want) {
			t.Errorf("%s %s: %v", row.err.Code, row.err.Message, err)
		}
	}
	if err := explain(Step{what: feed}, &pgconn.PgError{Code: "22023", Message: "hunter2"}); strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}

func TestFind_KnowsAJobByHomeAndConnection(t *testing.T) {
	p, err := New(optionsOf(t, "laptop", kafkaURI, topology.Supported[1]))
	if err != nil {
		t.Fatal(err)
	}
	const description = `CREATE CHANGEFEED INTO 'external://meridian_journal' WITH OPTIONS (envelope = 'wrapped') AS SELECT home FROM ledger.public.journal WHERE home = 'eu'`
	for _, row := range []struct {
		text  string
		there bool
	}{
		{description, true},
		{strings.Replace(description, "'eu'", "'us'", 1), false},
		{strings.Replace(description, "meridian_journal", "other", 1), false},
		{strings.Replace(description, "ledger.", "sandbox.", 1), false},
	} {
		for _, s := range p.Steps {
			if s.Home != "eu" {
				continue
			}
			if id, there := p.find([]job{{7, "running", row.text}}, s); there != row.there || there && id != 7 {
				t.Errorf("%s: %d %t", row.text, id, there)
			}
		}
	}
}
