package standing_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/payment/standing"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// node is a ledger on a database, with its metrics.
type node struct {
	*store.Store
	*commit.Committer
	t        *testing.T
	registry *prometheus.Registry
}

func newNode(t *testing.T, d dbtest.Database) node {
	t.Helper()
	n := node{Store: store.New(d.DB), t: t, registry: prometheus.NewRegistry()}
	n.Committer = commit.New(n.Store, commit.Options{Lifecycle: payment.Default().Lifecycle(), Metrics: commit.NewMetrics(n.registry)})
	t.Cleanup(func() { _ = n.Drain(context.WithoutCancel(t.Context())) })
	for name, home := range map[id.Ledger]id.Home{"brand": "eu", "other": "eu", "far": "us"} {
		if _, err := n.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// step takes the first step of a payment, or a later one of the payment that its first step made under the key.
func (n node) step(l id.Ledger, key string, kind ledger.PaymentKind, on ...ledger.Trigger) {
	n.t.Helper()
	made := id.TransactionOf(l, id.Key(key))
	for i, trigger := range on {
		c := ledger.Command{Kind: ledger.KindStep, Ledger: l, Key: id.Key(key), Step: &ledger.Step{Payment: kind, Trigger: trigger, Player: "p", Provider: "psp"}}
		if i > 0 {
			c.Key, c.Target = id.Key(key+"/"+string(trigger)), made
			c.Step.Player, c.Step.Provider = "", ""
		} else {
			c.Amount = &ledger.Money{Minor: money.FromInt64(1000), Asset: "EUR"}
		}
		o, err := ledger.Do(n.t.Context(), n, c)
		if err != nil || o.Decided != ledger.Posted {
			n.t.Fatalf("%s: %s %v %v", c.Key, o.Reason, o.Detail, err)
		}
	}
}

// backdate has payments of a database stand as if their rows had been written earlier.
func backdate(t *testing.T, d dbtest.Database, column, by string, made id.Transaction) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tag, err := conn.Exec(t.Context(), "UPDATE payment SET "+column+" = "+column+" - $2::interval WHERE id = $1", [16]byte(made), by)
	if err != nil || tag.RowsAffected() != 1 {
		t.Fatalf("%v %v", tag, err)
	}
}

// series are those of a metric, by the values of their labels.
func (n node) series(name string) map[string]*dto.Metric {
	n.t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.t.Fatal(err)
	}
	all := map[string]*dto.Metric{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var of []string
			for _, l := range m.GetLabel() {
				of = append(of, l.GetValue())
			}
			all[strings.Join(of, " ")] = m
		}
	}
	return all
}

// counted says when a count begins, and waits to be told to: what was counted before is shown by then, and stays.
type counted struct {
	*store.Store
	begins, may chan struct{}
}

func (c counted) TallyPayments(ctx context.Context, home id.Home, places []payment.Place) ([]payment.Tally, error) {
	c.begins <- struct{}{}
	select {
	case <-c.may:
	case <-ctx.Done():
	}
	return c.Store.TallyPayments(ctx, home, places)
}

func TestCounter_CountsWhatHasNotEnded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newNode(t, d)
		n.step("brand", "a", payment.Deposit, "authorize")
		n.step("brand", "b", payment.Deposit, "authorize")
		n.step("other", "c", payment.Deposit, "authorize")
		n.step("other", "d", payment.Deposit, "receive")
		n.step("brand", "e", payment.Deposit, "authorize", "void")              // has ended
		n.step("brand", "f", payment.Deposit, "receive", "settle")              // as well
		n.step("brand", "g", payment.Bonus, "grant")                            // of another kind
		n.step("far", "h", payment.Deposit, "authorize")                        // lives elsewhere
		backdate(t, d, "changed_at", "2 hours", id.TransactionOf("other", "c")) // stands still

		ctx, stop := context.WithCancel(t.Context())
		begins, may, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		counter := standing.Counter{Store: counted{n.Store, begins, may}, Metrics: standing.NewMetrics(n.registry), Every: time.Millisecond}
		go func() { ended <- counter.Run(ctx, event.Lease{Home: "eu"}) }()
		<-begins
		may <- struct{}{}
		<-begins
		open := map[string]float64{}
		for of, m := range n.series("meridian_payments_open") {
			open[of] = m.GetGauge().GetValue()
		}
		if want := map[string]float64{"eu deposit authorized": 3, "eu deposit captured": 1, "eu bonus granted": 1}; !maps.Equal(open, want) {
			t.Errorf("open are %v, want %v", open, want)
		}
		oldest := n.series("meridian_payments_oldest_seconds")
		if age := oldest["eu deposit authorized"].GetGauge().GetValue(); age < 7200 || age > 7500 || len(oldest) != len(open) {
			t.Errorf("the oldest of %d stands still for %v seconds, want 7200", len(oldest), age)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if left := n.series("meridian_payments_open"); len(left) > 0 {
			t.Errorf("who has the home no more still tells %v", left)
		}
	})
}

// broken is a database that does not answer.
type broken struct{ standing.Store }

var errBroken = errors.New("no answer")

func (broken) TallyPayments(context.Context, id.Home, []payment.Place) ([]payment.Tally, error) {
	return nil, errBroken
}

func TestCounter_SaysWhyItStops(t *testing.T) {
	counter := standing.Counter{Store: broken{}, Metrics: standing.NewMetrics(nil)}
	if err := counter.Run(t.Context(), event.Lease{Home: "eu"}); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "count the payments of eu") {
		t.Error(err)
	}
}

// How long payments took to end is measured where the step that ended them is written, and once.
func TestSettleSeconds_AreThoseOfPaymentsThatEnded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newNode(t, d)
		n.step("brand", "a", payment.Deposit, "receive")
		backdate(t, d, "opened_at", "1 hour", id.TransactionOf("brand", "a"))
		n.step("brand", "a", payment.Deposit, "receive", "settle") // the first one again, which is the same
		n.step("brand", "a", payment.Deposit, "receive", "settle")
		n.step("brand", "b", payment.Deposit, "authorize", "void")
		n.step("brand", "c", payment.Deposit, "authorize")
		got := n.series("meridian_payment_settle_seconds")
		settled, voided := got["deposit settled"].GetHistogram(), got["deposit voided"].GetHistogram()
		if len(got) != 2 || settled.GetSampleCount() != 1 || voided.GetSampleCount() != 1 {
			t.Fatalf("measured are %v", got)
		}
		if s := settled.GetSampleSum(); s < 3600 || s > 3900 {
			t.Errorf("the deposit took %v seconds, want an hour", s)
		}
		if s := voided.GetSampleSum(); s < 0 || s > 300 {
			t.Errorf("the deposit that was voided took %v seconds", s)
		}
	})
}
