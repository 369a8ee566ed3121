package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// The books of the tests: brand at home in eu, other in us, each with EUR/2.
const brand, other = id.Ledger("brand"), id.Ledger("other")

var twoLedgers = []ledger.Ledger{
	{ID: brand, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}},
	{ID: other, Home: "us", Assets: []money.Asset{{Code: "EUR", Scale: 2}}},
}

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

func open(l id.Ledger, name id.Account) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindOpen, Ledger: l, Key: id.Key("open/" + name), Account: name,
		Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
	}
}

func move(kind ledger.Kind, key id.Key, account, counter id.Account, n int64) ledger.Command {
	return ledger.Command{Kind: kind, Ledger: brand, Key: key, Account: account, Counter: counter, Amount: eur(n)}
}

func transfer(key id.Key, from, to id.Account, n int64) ledger.Command {
	return move(ledger.KindTransfer, key, from, to, n)
}

func aim(kind ledger.Kind, key, target id.Key) ledger.Command {
	return ledger.Command{Kind: kind, Ledger: brand, Key: key, Target: id.TransactionOf(brand, target)}
}

// across moves money of both ledgers, so that its group is of both homes.
func across(key id.Key, account id.Account, n int64) ledger.Command {
	leg := func(l id.Ledger, side ledger.Side, name id.Account) ledger.Leg {
		return ledger.Leg{Ledger: l, Side: side, Account: name, Amount: *eur(n)}
	}
	return ledger.Command{Kind: ledger.KindPost, Ledger: brand, Key: key, Legs: []ledger.Leg{
		leg(brand, ledger.Debit, account), leg(brand, ledger.Credit, "clearing"),
		leg(other, ledger.Debit, "clearing"), leg(other, ledger.Credit, "x"),
	}}
}

// node is a committer on a store in memory, in a bubble where time stands still while anybody works.
type node struct {
	*commit.Committer
	t       testing.TB
	store   *memory
	metrics *prometheus.Registry
}

// bubble runs a test on one node with open accounts a to f and x.
func bubble(t *testing.T, o commit.Options, test func(t *testing.T, n *node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &node{t: t, store: newMemory(t), metrics: prometheus.NewRegistry()}
		o.Metrics = commit.NewMetrics(n.metrics)
		n.Committer = commit.New(n.store, o)
		for _, l := range twoLedgers {
			for _, name := range []id.Account{"a", "b", "c", "d", "e", "f", "x", "clearing"} {
				n.store.given(open(l.ID, name))
			}
		}
		test(t, n)
		if err := n.Drain(t.Context()); err != nil {
			t.Errorf("at the end: %v", err)
		}
		synctest.Wait()
	})
}

// answer is what came of a batch, once it is there.
type answer struct {
	done    chan struct{}
	results []ledger.Result
	err     error
}

func (a *answer) there() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

var errNoAnswer = errors.New("no answer yet")

// told is the error of the answer.
func (a *answer) told() error {
	if !a.there() {
		return errNoAnswer
	}
	return a.err
}

// outcome is that of the i-th command.
func (a *answer) outcome(i int) ledger.Outcome {
	if a.told() != nil {
		return ledger.Outcome{}
	}
	return a.results[i].Outcome
}

// send executes a batch in which each command is for itself, beside the test, and returns when everybody waits or is done.
func (n *node) send(ctx context.Context, commands ...ledger.Command) *answer {
	n.t.Helper()
	return n.sendBatch(ctx, ledger.Batch{Commands: commands})
}

func (n *node) sendBatch(ctx context.Context, batch ledger.Batch) *answer {
	n.t.Helper()
	a := &answer{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.results, a.err = n.Execute(ctx, batch)
	}()
	synctest.Wait()
	return a
}

// do executes one command and wants an outcome.
func (n *node) do(c ledger.Command) ledger.Outcome {
	n.t.Helper()
	results, err := n.Execute(n.t.Context(), ledger.Batch{Commands: []ledger.Command{c}})
	if err != nil || results[0].Err != nil {
		n.t.Fatalf("execute %s %s: %v %v", c.Kind, c.Key, err, results)
	}
	return results[0].Outcome
}

func (n *node) wantPosted(answers ...*answer) {
	n.t.Helper()
	synctest.Wait()
	for i, a := range answers {
		if a.told() != nil {
			n.t.Errorf("answer %d: %v", i, a.told())
			continue
		}
		for j, r := range a.results {
			if r.Err != nil || r.Outcome.Decided != ledger.Posted {
				n.t.Errorf("answer %d, command %d: %s %s %v", i, j, r.Outcome.Decided, r.Outcome.Reason, r.Err)
			}
		}
	}
}

// pass lets time pass, and everybody do what is due.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (n *node) wantMetric(name string, want float64) {
	n.t.Helper()
	if got := metric(n.t, n.metrics, name); got != want {
		n.t.Errorf("%s is %v, want %v", name, got, want)
	}
}

// metric adds up a counter over its labels; of a histogram it counts what was observed.
func metric(t testing.TB, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	return metricOf(t, registry, name, "")
}

// metricOf is metric where one of the labels has this value.
func metricOf(t testing.TB, registry *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label != "" && !slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == label }) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func keys(prefix string, n int) []id.Key {
	all := make([]id.Key, n)
	for i := range all {
		all[i] = id.Key(fmt.Sprintf("%s%d", prefix, i))
	}
	return all
}
