package search_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// fatal is what both kinds of tests have.
type fatal interface {
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
	Helper()
}

// server is a ledger with a search of its own. Each run of a property has one home and two ledgers for itself.
type server struct {
	*store.Store
	*commit.Committer
	*search.Service
	d                *db.DB
	stream, progress *relay.Tails
}

func newServer(t *testing.T, d *db.DB) *server {
	t.Helper()
	s := &server{Store: store.New(d), d: d}
	s.Committer = commit.New(s.Store, commit.Options{})
	t.Cleanup(func() { _ = s.Drain(context.WithoutCancel(t.Context())) })
	s.stream = relay.NewTails(s.Store, nil, 5*time.Millisecond, slog.New(slog.DiscardHandler))
	s.progress = relay.NewTails(search.Heads{Store: s.Store}, nil, 5*time.Millisecond, slog.New(slog.DiscardHandler))
	s.Service = search.NewService(s.Store, s.stream, s.progress)
	return s
}

func (s *server) projector() *search.Projector {
	p := search.NewProjector(s.Store, s.stream, s.progress, nil, nil)
	p.Look, p.Pace = 10*time.Millisecond, time.Millisecond
	return p
}

var accounts = []id.Account{"a", "b", "c"}

// open makes two ledgers in a home.
func (s *server) open(t fatal, home id.Home) [2]id.Ledger {
	t.Helper()
	names := [2]id.Ledger{id.Ledger(home) + "-x", id.Ledger(home) + "-y"}
	for _, name := range names {
		if _, err := s.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
		for _, a := range accounts {
			s.do(t, ledger.Command{
				Kind: ledger.KindOpen, Ledger: name, Key: "open/" + id.Key(a), Account: a,
				Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{})},
			})
		}
	}
	return names
}

func (s *server) do(t fatal, c ledger.Command) ledger.Outcome {
	t.Helper()
	o, err := ledger.Do(t.Context(), s, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	return o
}

var (
	references   = []string{"", "", "po_1", "po_2"}
	correlations = []string{"", "", "c_1", "c_2"}
	metadatas    = []ledger.Metadata{nil, nil, {"shop": "1"}, {"shop": "2"}, {"shop": "1", "till": "7"}}
)

// command draws one that posts or is declined. Both ledgers may be in it.
func command(t *rapid.T, names [2]id.Ledger, key id.Key) ledger.Command {
	c := ledger.Command{
		Ledger: rapid.SampledFrom(names[:]).Draw(t, "ledger"), Key: key, Account: rapid.SampledFrom(accounts).Draw(t, "account"),
		Amount:    &ledger.Money{Minor: money.FromInt64(rapid.Int64Range(1, 60).Draw(t, "amount")), Asset: "EUR"},
		Reference: rapid.SampledFrom(references).Draw(t, "reference"), Correlation: rapid.SampledFrom(correlations).Draw(t, "correlation"),
		Metadata: rapid.SampledFrom(metadatas).Draw(t, "metadata"),
	}
	switch c.Kind = rapid.SampledFrom([]ledger.Kind{ledger.KindCredit, ledger.KindDebit, ledger.KindTransfer, ledger.KindPost}).Draw(t, "kind"); c.Kind {
	case ledger.KindTransfer:
		c.Counter = "nobody" // declined
		if c.Account != "c" {
			c.Counter = "c"
		}
	case ledger.KindPost:
		amount := *c.Amount
		c.Account, c.Amount = "", nil
		for _, name := range names {
			c.Legs = append(c.Legs,
				ledger.Leg{Ledger: name, Account: "a", Side: ledger.Debit, Amount: amount}, ledger.Leg{Ledger: name, Account: "b", Side: ledger.Credit, Amount: amount})
		}
	default:
	}
	return c
}

// query draws a question.
func query(t *rapid.T, name id.Ledger, times []time.Time) search.Query {
	q := search.Query{Ledger: name, OldestFirst: rapid.Bool().Draw(t, "oldest first")}
	maybe := func(label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
	if maybe("from?") {
		q.From = rapid.SampledFrom(times).Draw(t, "from")
	}
	if maybe("to?") {
		q.To = rapid.SampledFrom(times).Draw(t, "to").Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "later")))
	}
	if maybe("kinds?") {
		q.Kinds = rapid.SliceOfN(rapid.SampledFrom([]ledger.Kind{ledger.KindCredit, ledger.KindDebit, ledger.KindTransfer, ledger.KindOpen}), 1, 2).Draw(t, "kinds")
	}
	if maybe("decided?") {
		q.Decided = rapid.SampledFrom([]ledger.Decided{ledger.Posted, ledger.Declined}).Draw(t, "decided")
	}
	if maybe("reasons?") {
		q.Reasons = []errs.Reason{errs.ReasonInsufficientFunds}
	}
	if maybe("reference?") {
		q.Reference = rapid.SampledFrom(references).Draw(t, "reference")
	}
	if maybe("correlation?") {
		q.Correlation = rapid.SampledFrom(correlations).Draw(t, "correlation")
	}
	if maybe("account?") {
		q.Account = rapid.SampledFrom([]id.Account{"a", "b", "c", "nobody", "counter:general:EUR"}).Draw(t, "account")
	}
	if maybe("metadata?") {
		q.Metadata = rapid.SampledFrom(metadatas).Draw(t, "metadata")
	}
	return q
}

const sqlUnappended = `
SELECT j.ledger_id, j.id FROM journal j WHERE j.home = $1 AND NOT EXISTS (
    SELECT 1 FROM stream s WHERE s.home = j.home AND s.ledger_id = j.ledger_id AND s.transaction_id = j.id) ORDER BY j.id`

// unappended are the journal rows that have not left, in an order that has nothing to do with time.
func (s *server) unappended(t fatal, home id.Home) []event.Change {
	t.Helper()
	rows, _ := s.d.Reader().Query(t.Context(), sqlUnappended, home)
	var found []event.Change
	c := event.Change{Home: home}
	if _, err := pgx.ForEachRow(rows, []any{&c.Ledger, (*[16]byte)(&c.Transaction)}, func() error {
		found = append(found, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// lease takes the home over from whoever has it.
func (s *server) lease(t fatal, home id.Home, before event.Lease) event.Lease {
	t.Helper()
	if err := s.Release(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	tenure, taken, err := s.Acquire(t.Context(), home, "test", time.Hour)
	if err != nil || !taken {
		t.Fatalf("take the lease of %s: %t %v", home, taken, err)
	}
	return tenure.Lease
}

// running is a projector at work.
type running struct {
	stop context.CancelFunc
	done chan error
}

func (s *server) start(ctx context.Context, lease event.Lease) *running {
	ctx, stop := context.WithCancel(ctx)
	r := &running{stop, make(chan error, 1)}
	go func() { r.done <- s.projector().Run(ctx, lease) }()
	return r
}

func (r *running) end() error {
	r.stop()
	return <-r.done
}

func names(records []ledger.Record) string {
	text := ""
	for _, r := range records {
		text += fmt.Sprintf("\n%s %s %s %s %s", r.Outcome.RecordedAt.Format(time.RFC3339Nano), r.Outcome.Transaction, r.Outcome.Kind, r.Outcome.Decided, r.Outcome.Key)
	}
	return text
}
