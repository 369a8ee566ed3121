package step_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/step"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// desk is a ledger with payments, and what applies callbacks to them.
type desk struct {
	t *testing.T
	*store.Store
	*commit.Committer
	steps step.Steps
}

func newDesk(t *testing.T, d dbtest.Database) *desk {
	t.Helper()
	k := &desk{t: t, Store: store.New(d.DB)}
	k.Committer = commit.New(k.Store, commit.Options{Lifecycle: payment.Default().Lifecycle()})
	t.Cleanup(func() {
		if err := k.Drain(context.Background()); err != nil {
			t.Error(err)
		}
	})
	k.steps = step.Steps{Books: k, Payments: k.Store}
	if _, err := k.CreateLedger(t.Context(), ledger.Ledger{ID: "brand-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	k.do(ledger.Command{Kind: ledger.KindPlayer, Key: "kyc", Player: &ledger.PlayerChange{Player: "p", KYC: ledger.KYCVerified}})
	return k
}

func (k *desk) do(c ledger.Command) ledger.Outcome {
	k.t.Helper()
	c.Ledger = "brand-eu"
	o, err := ledger.Do(k.t.Context(), k, c)
	if err != nil || o.Decided != ledger.Posted {
		k.t.Fatalf("%s: %s %v %v", c.Key, o.Reason, o.Detail, err)
	}
	return o
}

// deposit makes one of 10.00 EUR that acme knows as ref-name.
func (k *desk) deposit(name, at string) ledger.Payment {
	k.t.Helper()
	o := k.do(ledger.Command{Kind: ledger.KindStep, Key: id.Key("make-" + name), Amount: &ledger.Money{Minor: money.FromInt64(1000), Asset: "EUR"}, Step: &ledger.Step{
		Payment: payment.Deposit, Trigger: "authorize", Player: "p", Provider: at, ProviderReference: "ref-" + name,
	}})
	return k.payment(o.Transaction)
}

func (k *desk) payment(key id.Transaction) ledger.Payment {
	k.t.Helper()
	p, err := k.Payment(k.t.Context(), "brand-eu", key)
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// said is an event of acme about a payment, by our id or by its reference.
func said(event, trigger, payment, reference string, minor int64) provider.Envelope {
	e := provider.Envelope{
		Home: "eu", Ledger: "brand-eu", Provider: "acme", ID: event, Type: trigger, Trigger: trigger, Payment: payment, Reference: reference, OccurredAt: noon,
		ReceivedAt: noon.Add(time.Second), Raw: provider.Raw{Mode: provider.RawNone},
	}
	if minor > 0 {
		e.Amount, e.HasAmount, e.Currency = money.FromInt64(minor), true, "EUR"
	}
	return e
}

// apply wants a verdict, and a cause where it has a colon.
func (k *desk) apply(e provider.Envelope, want string) provider.Answer {
	k.t.Helper()
	a := k.steps.Apply(k.t.Context(), e)
	got := string(a.Verdict)
	if strings.Contains(want, ":") {
		got += ":" + a.Cause
	}
	if got != want {
		k.t.Errorf("%s %s: %s (%s), want %s", e.ID, e.Trigger, got, a.Detail, want)
	}
	return a
}

func (k *desk) state(p ledger.Payment, want string, steps, refused int) {
	k.t.Helper()
	is := k.payment(p.ID)
	history, err := k.PaymentSteps(k.t.Context(), "brand-eu", p.ID, 0, 100)
	if err != nil {
		k.t.Fatal(err)
	}
	n := 0
	for _, s := range history {
		if s.Decided == ledger.Declined {
			n++
		}
	}
	if string(is.State) != want || int(is.Version) != steps || n != refused {
		k.t.Errorf("the payment is %s after %d steps, %d refused; want %s, %d, %d", is.State, is.Version, n, want, steps, refused)
	}
}

func TestSteps_TellWhatIsEarlyFromWhatIsWrong(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		k := newDesk(t, d)
		k.apply(said("e0", "capture", "", "ref-a", 1000), "not_yet")
		p := k.deposit("a", "acme")
		ours := p.ID.String()
		k.apply(said("e1", "settle", ours, "ref-a", 1000), "not_yet")
		k.state(p, "authorized", 1, 0) // which left nothing
		k.apply(said("e2", "authorize", ours, "ref-a", 1000), "applied:duplicate")
		k.apply(said("e0", "capture", "", "ref-a", 1000), "applied")
		k.apply(said("e0", "capture", "", "ref-a", 1000), "applied") // again: it is the same command
		k.apply(said("e1", "settle", "not-an-id-of-ours", "ref-a", 1000), "applied")
		k.apply(said("e2b", "authorize", ours, "", 1000), "applied:backward")
		k.state(p, "settled", 3, 0)
		k.apply(said("e3", "void", ours, "ref-a", 1000), "refused:backward")
		k.apply(said("e3", "void", ours, "ref-a", 1000), "refused:backward")
		k.apply(said("e4", "capture", ours, "ref-a", 1000), "refused:backward") // a second event that says so
		k.apply(said("e5", "authorize", ours, "ref-a", 999), "refused:backward")
		k.state(p, "settled", 3, 3)

		q := k.deposit("b", "acme")
		k.apply(said("f1", "capture", q.ID.String(), "", 1001), "refused:amount_refused")
		k.apply(said("f2", "capture", q.ID.String(), "", 400), "applied")
		k.apply(said("f2", "capture", q.ID.String(), "", 401), "refused:idempotency_mismatch")
		k.do(ledger.Command{Kind: ledger.KindPlayer, Key: "flag", Player: &ledger.PlayerChange{Player: "p", AML: ledger.AMLFlagged}})
		k.apply(said("f3", "capture", q.ID.String(), "", 600), "retry:gate_closed")
		k.do(ledger.Command{Kind: ledger.KindPlayer, Key: "clear", Player: &ledger.PlayerChange{Player: "p", AML: ledger.AMLClear}})
		k.apply(said("f3", "capture", q.ID.String(), "", 600), "applied")
		k.state(q, "captured", 3, 1)

		other := k.deposit("c", "globex")
		k.apply(said("g1", "capture", other.ID.String(), "", 1000), "refused:"+step.CauseStranger)
		k.apply(said("g2", "capture", "", "ref-c", 1000), "not_yet") // its reference is globex's
		k.state(other, "authorized", 1, 0)

		k.do(ledger.Command{Kind: ledger.KindStep, Key: "twice", Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"}, Step: &ledger.Step{
			Payment: payment.Deposit, Trigger: "authorize", Player: "p", Provider: "acme", ProviderReference: "ref-b",
		}})
		k.apply(said("h1", "settle", "", "ref-b", 1000), "refused:"+step.CauseAmbiguous)
		k.apply(said("h2", "settle", q.ID.String(), "ref-b", 1000), "applied")
	})
}

// A withdrawal that fails names an amount, which the trigger does not take.
func TestSteps_LeaveOutAnAmountThatNothingMoves(t *testing.T) {
	d := dbtest.New(t, cluster.PostgreSQL)
	k := newDesk(t, d)
	p := k.deposit("a", "acme")
	k.apply(said("e1", "capture", p.ID.String(), "", 1000), "applied")
	o := k.do(ledger.Command{Kind: ledger.KindStep, Key: "w", Amount: &ledger.Money{Minor: money.FromInt64(500), Asset: "EUR"}, Step: &ledger.Step{
		Payment: payment.Withdrawal, Trigger: "request", Player: "p", Provider: "acme", ProviderReference: "ref-w",
	}})
	for _, on := range []ledger.Trigger{"approve", "submit"} {
		k.do(ledger.Command{Kind: ledger.KindStep, Key: id.Key(on), Target: o.Transaction, Step: &ledger.Step{Payment: payment.Withdrawal, Trigger: on}})
	}
	k.apply(said("w1", "fail", "", "ref-w", 500), "applied")
	k.state(k.payment(o.Transaction), "failed", 4, 0)
}

type failing struct {
	ledger.Service
	err error
}

func (f failing) Execute(context.Context, ledger.Batch) ([]ledger.Result, error) { return nil, f.err }

type one struct{ ledger.Payments }

func (one) Payment(_ context.Context, l id.Ledger, key id.Transaction) (ledger.Payment, error) {
	return ledger.Payment{Ledger: l, ID: key, Kind: payment.Deposit, Asset: money.Asset{Code: "EUR", Scale: 2}}, nil
}

func TestSteps_KeepWhatMayPassFromWhatWillNot(t *testing.T) {
	for err, want := range map[error]provider.Verdict{
		errs.ErrUnavailable: provider.Down, errs.ErrOverloaded: provider.Down, errs.ErrDeadlineExceeded: provider.Down, errs.ErrOutcomeUnknown: provider.Down,
		errs.ErrDraining: provider.Down, errs.ErrContended: provider.Retry, errs.ErrInternal: provider.Retry, errs.Invalid("amount", "no"): provider.Refused,
		errs.ErrLedgerNotFound: provider.Refused,
	} {
		s := step.Steps{Books: failing{err: err}, Payments: one{}}
		if a := s.Apply(t.Context(), said("e", "capture", id.TransactionOf("brand-eu", "x").String(), "", 1)); a.Verdict != want || a.Cause == "" {
			t.Errorf("%v: %+v, want %s", err, a, want)
		}
	}
}

// Callbacks in every order, on the tables and by the workers of a server: each payment ends settled, once.
func TestSteps_OfWorkersEndSettledInAnyOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		k := newDesk(t, d)
		orders := [][]string{{"authorize", "capture", "settle"}, {"settle", "capture", "authorize"}, {"capture", "settle", "authorize"}, {"settle", "authorize", "capture"}}
		var all []ledger.Payment
		for i := range orders {
			all = append(all, k.deposit(fmt.Sprint(i), "acme"))
		}
		tenure, taken, err := k.Acquire(t.Context(), "eu", "test", time.Hour)
		if err != nil || !taken {
			t.Fatalf("no lease: %v", err)
		}
		settled := make(chan struct{}, 1)
		w := provider.NewWorkers(provider.WorkerOptions{Store: told{k.Store, settled}, Apply: k.steps.Apply, Limits: provider.WorkerLimits{Poll: 10 * time.Millisecond}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx, tenure.Lease) }()
		for turn := range 3 {
			var callbacks []provider.Callback
			for i, order := range orders {
				e := said(fmt.Sprint("e", i, order[turn]), order[turn], "", fmt.Sprint("ref-", i), 1000)
				e.OccurredAt, e.ReceivedAt = time.Now().UTC().Truncate(time.Microsecond), time.Now().UTC().Truncate(time.Microsecond)
				callbacks = append(callbacks, e.Opening())
			}
			for range 2 { // each of them twice
				if _, err := k.PutCallbacks(t.Context(), "eu", callbacks); err != nil {
					t.Fatal(err)
				}
			}
			w.Wake("eu")
			select {
			case <-settled:
			case <-time.After(time.Minute):
				t.Fatal("nothing was looked at")
			}
		}
		for {
			found, err := k.Callbacks(t.Context(), "eu", provider.Page{Ledger: "brand-eu", Provider: "acme", State: provider.Applied, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 12 {
				break
			}
			select {
			case <-settled:
			case <-time.After(time.Minute):
				t.Fatalf("%d of 12 are applied", len(found))
			}
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for _, p := range all {
			k.state(p, "settled", 3, 0)
		}
	})
}

// told says when something was settled.
type told struct {
	*store.Store
	settled chan struct{}
}

func (s told) SettleCallbacks(ctx context.Context, lease event.Lease, all []provider.Callback) error {
	err := s.Store.SettleCallbacks(ctx, lease, all)
	select {
	case s.settled <- struct{}{}:
	default:
	}
	return err
}
