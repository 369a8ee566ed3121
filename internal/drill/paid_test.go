package drill

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// line adds a step to a payment and its history; one without a state to go to is refused.
func line(p *ledger.Payment, steps *[]ledger.PaymentStep, on payment.Trigger, to payment.State) {
	p.Attempts++
	s := ledger.PaymentStep{Number: p.Attempts, Trigger: on, From: p.State, To: to, Decided: ledger.Posted}
	if to == "" {
		s.To, s.Decided, s.Reason = p.State, ledger.Declined, errs.ReasonTransitionRefused
	} else {
		p.Version++
		p.State = to
	}
	*steps = append(*steps, s)
}

// whole is what is known of payments that went as they have to: in each of two homes a deposit of each plot, a withdrawal that was paid out and
// one that the provider declined.
func whole() paid {
	made := newPayments(Paying{Deposits: map[string]int{"an engine": len(plots)}, Conflicts: true, Withdrawals: map[string]int{"an engine": 2}}, "an engine", nil, nil, []id.Home{"eu", "us"}, []string{""})
	r := paid{
		told: true, posted: simulate.Report{Requests: 50, Taken: 50, Statuses: map[int]int{200: 50}}, rows: map[id.Home][]provider.Callback{},
		record: map[string]payout{}, accounts: map[ledger.Ref]ledger.Account{}, most: 50, took: 2 * time.Second, within: 3 * time.Second, early: 4, wasExpected: 4,
	}
	book := func(l id.Ledger, name string, normal ledger.Side, amount int64) {
		ref := ledger.Ref{Ledger: l, Account: id.Account(name)}
		a := r.accounts[ref]
		a.Ref, a.Normal = ref, normal
		of := &a.PostedCredits
		if normal == ledger.Debit {
			of = &a.PostedDebits
		}
		*of, _ = of.Add(money.FromInt64(amount))
		r.accounts[ref] = a
	}
	brought := func(l id.Ledger, player id.Player, amount int64) {
		book(l, fmt.Sprintf("player:%s:cash:EUR", player), ledger.Credit, amount)
		book(l, "house:bank:EUR", ledger.Debit, amount)
	}
	for _, d := range made.deposits {
		one := paidDeposit{deposit: d, Payment: ledger.Payment{Ledger: d.ledger(), ID: d.id(), Kind: payment.Deposit}}
		one.Totals = map[string]money.Amount{}
		line(&one.Payment, &one.steps, "authorize", "authorized")
		switch state, _, refused := d.ends(); {
		case state != "settled":
			line(&one.Payment, &one.steps, map[payment.State]payment.Trigger{"voided": "void", "expired": "expire"}[state], state)
			line(&one.Payment, &one.steps, "capture", "")
		default:
			line(&one.Payment, &one.steps, "capture", "captured")
			line(&one.Payment, &one.steps, "settle", "settled")
			one.Totals[payment.Captured], one.Totals[payment.Settled] = money.FromInt64(d.amount), money.FromInt64(d.amount)
			brought(d.ledger(), d.player, d.amount)
			if refused > 0 {
				line(&one.Payment, &one.steps, "capture", "")
			}
		}
		r.deposits = append(r.deposits, one)
		for event, w := range d.wants() {
			if strings.HasSuffix(event, restatement) {
				event += "0123456789abcdef"
			}
			r.rows[d.home] = append(r.rows[d.home], provider.Callback{Envelope: provider.Envelope{ID: event, Cause: w.cause}, State: w.state})
		}
	}
	for n, w := range made.withdrawals {
		one := paidOut{withdrawal: w, Payment: ledger.Payment{Ledger: w.ledger(), ID: id.TransactionOf(w.ledger(), w.key), Kind: payment.Withdrawal}}
		book(w.ledger(), fmt.Sprintf("player:%s:pending:EUR", w.player), ledger.Credit, 0)
		brought(w.ledger(), w.player, 2*w.amount)
		for _, s := range []struct {
			on payment.Trigger
			to payment.State
		}{{"request", "requested"}, {"approve", "approved"}, {"submit", "submitted"}} {
			line(&one.Payment, &one.steps, s.on, s.to)
		}
		if n < 2 {
			line(&one.Payment, &one.steps, "settle", "settled")
			one.saga.State = saga.Completed
			r.record[one.ID.String()] = payout{1, fmt.Sprint(w.amount)}
			brought(w.ledger(), w.player, -w.amount)
		} else {
			line(&one.Payment, &one.steps, "fail", "failed")
			line(&one.Payment, &one.steps, "compensate", "compensated")
			one.saga.State = saga.Compensated
			r.record[one.ID.String()] = payout{0, fmt.Sprint(w.amount)}
		}
		r.withdrawals = append(r.withdrawals, one)
	}
	return r
}

// the returns the deposit of a plot in the first home.
func (r paid) the(p plot) *paidDeposit {
	return &r.deposits[slices.IndexFunc(r.deposits, func(d paidDeposit) bool { return d.plot == p })]
}

// row returns what is stored of an event of the first home.
func (r paid) row(event string) *provider.Callback {
	return &r.rows["eu"][slices.IndexFunc(r.rows["eu"], func(c provider.Callback) bool { return unmarked(c.ID) == event })]
}

func (r paid) account(t *testing.T, name string, change int64) {
	t.Helper()
	ref := ledger.Ref{Ledger: "drill-payments-eu", Account: id.Account(name)}
	a, there := r.accounts[ref]
	if !there {
		t.Fatalf("no account %s in %v", ref, slices.Collect(maps.Keys(r.accounts)))
	}
	a.PostedCredits, _ = a.PostedCredits.Add(money.FromInt64(change))
	r.accounts[ref] = a
}

// Each checker has to fail on what it is for, and on nothing else: whoever trusts a drill trusts this test.
func TestPaid_EveryCheckerCatchesWhatItIsFor(t *testing.T) {
	for _, c := range []struct {
		name   string
		breaks func(*testing.T, *paid)
		failed []string
		says   string
	}{
		{"nothing", func(*testing.T, *paid) {}, nil, ""},
		{"a callback was never taken", func(_ *testing.T, r *paid) { r.posted.GivenUp, r.broken = 1, true }, []string{"callbacks_answered"}, "never answered"},
		{"the provider was cut off", func(_ *testing.T, r *paid) { r.failed = "canceled" }, []string{"callbacks_answered"}, "could not tell everything: canceled"},
		{"a callback was refused", func(_ *testing.T, r *paid) { r.posted.Statuses[401], r.broken = 1, true }, []string{"callbacks_answered"}, "1 answers were 401"},
		{"a server that nobody broke was away", func(_ *testing.T, r *paid) { r.posted.Statuses[0] = 3 }, []string{"callbacks_answered"}, "3 answers were 0"},
		{"a server that somebody broke was away", func(_ *testing.T, r *paid) { r.posted.Statuses[0], r.broken = 3, true }, nil, ""},
		{"a server had too much to do", func(_ *testing.T, r *paid) { r.posted.Statuses[503] = 3 }, nil, ""},
		{"a callback is lost", func(_ *testing.T, r *paid) { r.rows["eu"] = r.rows["eu"][1:] }, []string{"callbacks_once"}, "is stored 0 times"},
		{"a callback is stored twice", func(_ *testing.T, r *paid) { r.rows["eu"] = append(r.rows["eu"], *r.row("d0-s")) }, []string{"callbacks_once"}, "d0-s of eu is stored 2 times"},
		{"a callback came from nowhere", func(_ *testing.T, r *paid) {
			r.rows["us"] = append(r.rows["us"], provider.Callback{Envelope: provider.Envelope{ID: "ghost"}, State: provider.Applied})
		}, []string{"callbacks_once", "callbacks_applied"}, "nobody posted it"},
		{"a good callback was refused", func(_ *testing.T, r *paid) { r.row("d0-s").State = provider.Dead }, []string{"callbacks_applied"}, "d0-s of eu is dead"},
		{"a callback still waits", func(_ *testing.T, r *paid) { r.row("d1-s").State = provider.Waiting }, []string{"callbacks_applied"}, "d1-s of eu is waiting"},
		{"a stale callback was applied", func(_ *testing.T, r *paid) { r.row("d2-c").State = provider.Applied }, []string{"callbacks_applied"}, "want dead elsewhere"},
		{"a contradiction has another cause", func(_ *testing.T, r *paid) { r.row("d5-c~").Cause = "unreadable" }, []string{"callbacks_applied"}, "want dead contradicts"},
		{"an early callback did not wait", func(_ *testing.T, r *paid) { r.early = 3 }, []string{"callbacks_applied"}, "4 came too early"},
		{"a step was taken twice", func(_ *testing.T, r *paid) {
			d := r.the(plain)
			line(&d.Payment, &d.steps, "settle", "settled")
		}, []string{"payments_once", "payments_forward"}, `from "settled" to "settled"`},
		{"an amount was captured twice", func(_ *testing.T, r *paid) {
			r.the(plain).Totals[payment.Captured] = money.FromInt64(200)
		}, []string{"payments_once"}, "captured 200, want 100"},
		{"a refusal is missing in the history", func(_ *testing.T, r *paid) {
			d := r.the(twice)
			d.Attempts, d.steps = 3, d.steps[:3]
		}, []string{"payments_once"}, "3 steps and 0 refusals"},
		{"a voided payment was captured", func(_ *testing.T, r *paid) {
			d := r.the(voided)
			line(&d.Payment, &d.steps, "capture", "captured")
		}, []string{"payments_once", "payments_forward"}, `from "voided" to "captured"`},
		{"a history leads elsewhere", func(_ *testing.T, r *paid) { r.withdrawals[0].steps = r.withdrawals[0].steps[:3] }, []string{"payments_forward"}, "its history leads to"},
		{"a payment was paid twice", func(_ *testing.T, r *paid) {
			which := r.withdrawals[0].ID.String()
			r.record[which] = payout{2, r.record[which].amount}
		}, []string{"provider_record"}, "the provider paid 2 times"},
		{"another amount was paid", func(_ *testing.T, r *paid) { r.record[r.withdrawals[0].ID.String()] = payout{1, "7"} }, []string{"provider_record"}, "1 times 7, want once 1000"},
		{"what was taken back was paid", func(_ *testing.T, r *paid) { r.record[r.withdrawals[2].ID.String()] = payout{1, "1001"} }, []string{"provider_record"}, "is compensated, and the provider paid 1"},
		{"somebody else was paid", func(_ *testing.T, r *paid) { r.record["stranger"] = payout{1, "1"} }, []string{"provider_record"}, "of which no saga knows"},
		{"a saga stands still", func(_ *testing.T, r *paid) { r.withdrawals[2].saga.State = saga.Stuck }, []string{"provider_record"}, "is still stuck"},
		{"a saga was never started", func(_ *testing.T, r *paid) {
			r.withdrawals[2].saga, r.withdrawals[2].Payment, r.withdrawals[2].steps = saga.Saga{}, ledger.Payment{}, nil
		}, []string{"provider_record"}, "never started"},
		{"completed and not settled", func(_ *testing.T, r *paid) {
			w := &r.withdrawals[0]
			w.steps[3].Trigger, w.steps[3].To, w.State = "fail", "failed", "failed"
		}, []string{"provider_record"}, `its payment is "failed"`},
		{"a player has too much", func(t *testing.T, r *paid) { r.account(t, "player:payer-0:cash:EUR", 1) }, []string{"payments_sums"}, "has 101, want 100"},
		{"money is pending", func(t *testing.T, r *paid) { r.account(t, "player:winner-0:pending:EUR", 5) }, []string{"payments_sums"}, "has 5 pending"},
		{"the bank has too little", func(t *testing.T, r *paid) { r.account(t, "house:bank:EUR", 3) }, []string{"payments_sums"}, "stands 3 less"},
		{"a player is missing", func(_ *testing.T, r *paid) {
			delete(r.accounts, ledger.Ref{Ledger: "drill-payments-eu", Account: "player:payer-0:cash:EUR"})
		}, []string{"payments_sums"}, "is not there, want 100"},
		{"something is open", func(_ *testing.T, r *paid) { r.open = 2 }, []string{"payments_ended"}, "2 callbacks and sagas"},
		{"it took too long", func(_ *testing.T, r *paid) { r.took = 4 * time.Second }, []string{"payments_ended"}, "it took 4.0 s, and may take 3s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := whole()
			c.breaks(t, &r)
			var failed, problems []string
			for _, v := range r.verdicts() {
				if v.Looked == 0 || v.Name == "" || (v.Status == sim.Failed) != (v.Found > 0) {
					t.Errorf("a verdict says %+v", v)
				}
				if v.Status == sim.Failed {
					failed, problems = append(failed, v.Checker), append(problems, v.Problems...)
				}
			}
			if !slices.Equal(failed, c.failed) || !strings.Contains(strings.Join(problems, "\n"), c.says) {
				t.Errorf("failed are %v, want %v with %q; the problems are %q", failed, c.failed, c.says, problems)
			}
		})
	}
}

func TestPaid_JudgesWhatTheStoryHasAlone(t *testing.T) {
	r := whole()
	r.told, r.deposits, r.rows = false, nil, nil
	for ref := range r.accounts {
		if strings.Contains(string(ref.Account), "payer") {
			delete(r.accounts, ref)
		}
	}
	var checkers []string
	for _, v := range r.verdicts() {
		checkers = append(checkers, v.Checker)
	}
	if want := []string{"provider_record", "payments_forward", "payments_sums", "payments_ended"}; !slices.Equal(checkers, want) {
		t.Errorf("got %v, want %v", checkers, want)
	}
}

// What the provider does while it fails it does in silence: half of what is ordered then.
func TestPSP_HasItsEffectAndTellsNobody(t *testing.T) {
	p, err := newPSP([]id.Home{"eu"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	config, err := provider.Load(p.config())
	if err != nil {
		t.Fatal(err)
	}
	desk := config.Desks()["drill-eu"]
	order := func(n int) (provider.OrderStatus, error) {
		return desk.Submit(t.Context(), fmt.Sprintf("key-%d", n), provider.Order{Operation: provider.OpPayout, Payment: fmt.Sprint(n), Amount: money.FromInt64(5), Currency: "EUR"})
	}
	p.fail(FaultProviderErrors)
	const many = 40
	for n := range many {
		if status, err := order(n); err == nil {
			t.Fatalf("it answered %+v", status)
		}
	}
	if asked := p.up(); asked != many {
		t.Errorf("it was asked %d times, and not %d", asked, many)
	}
	if before := len(p.paid()); before != many/2 {
		t.Errorf("%d orders were taken in silence, want %d", before, many/2)
	}
	for n := range many {
		if _, err := order(n); err != nil {
			t.Fatal(err)
		}
	}
	declined := 0
	for which, record := range p.paid() {
		if record.times > 1 || record.amount != "5" {
			t.Errorf("%s was paid %+v", which, record)
		}
		if record.times == 0 {
			declined++
		}
	}
	if len(p.paid()) != many || declined == 0 || declined > many/2 {
		t.Errorf("%d orders, %d of them declined", len(p.paid()), declined)
	}
	p.close()
	if _, err := os.Stat(p.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it leaves %s behind", p.dir)
	}
}

func TestTarget_HasNoProviderOfTheDrill(t *testing.T) {
	a, _, told := running(t, "exit 0")
	target, err := OpenTarget(t.Context(), a, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := target.Do(t.Context(), Step{Fault: FaultCallbacks}); err == nil {
		t.Error("callbacks were posted to servers that know no provider")
	} else if _, is := unsupportedReason(err); !is {
		t.Error(err)
	}
	if _, err := os.Stat(told); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the hook was asked for what it can not do")
	}
	if target.Payments() != nil {
		t.Error("it has payments")
	}
}
