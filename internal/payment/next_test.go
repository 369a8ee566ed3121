package payment_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	. "github.com/meridian-ledger/meridian/internal/payment"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestRounding_IsTheOneThatItIsCalled(t *testing.T) {
	half := big.NewRat(1, 2)
	for _, row := range []struct {
		rule  Rounding
		whole int64
		rate  *big.Rat
		want  int64
	}{
		{HalfEven, 1, half, 0},
		{HalfEven, 3, half, 2},
		{HalfEven, 5, half, 2},
		{HalfUp, 1, half, 1},
		{HalfUp, 5, half, 3},
		{Down, 5, half, 2},
		{Up, 5, half, 3},
		{Up, 4, half, 2},
		{HalfEven, 100, big.NewRat(14, 1000), 1},
		{Up, 100, big.NewRat(14, 1000), 2},
		{HalfEven, 150, big.NewRat(1, 100), 2},
		{HalfEven, 250, big.NewRat(1, 100), 2},
		{HalfUp, 249, big.NewRat(1, 100), 2},
	} {
		if got, err := row.rule.Share(money.FromInt64(row.whole), row.rate); err != nil || got != money.FromInt64(row.want) {
			t.Errorf("%s: %s of %d is %s (%v), wanted %d", row.rule, row.rate, row.whole, got, err, row.want)
		}
	}
	most := money.MustParse(strings.Repeat("9", money.MaxDigits))
	if got, err := HalfEven.Share(most, big.NewRat(1, 1)); err != nil || got != most {
		t.Errorf("all of the most is %s: %v", got, err)
	}
}

// has holds what the player has on an account against an amount.
func (w *world) has(account id.Account, n int64) {
	w.t.Helper()
	if got := w.balances()[account]; got != money.FromInt64(n) {
		w.t.Errorf("%s has %s, wanted %d", account, got, n)
	}
}

const (
	cash    id.Account = "player:p:cash:EUR"
	pending id.Account = "player:p:pending:EUR"
	house   id.Account = "house:revenue:EUR"
)

func TestBet_IsSettledAgainUntilItIsClosed(t *testing.T) {
	w := newWorld(t)
	bet := w.begin(Bet, "accept", 1000, id.Transaction{})
	w.has(cash, 999_000)
	w.has(pending, 1000)
	for _, row := range []struct {
		on     Trigger
		amount *ledger.Money
		cash   int64
	}{
		{"win", minor(2500), 1_001_500},
		{"resettle_lose", nil, 999_000},
		{"resettle_win", minor(1200), 1_000_200},
		{"resettle_win", minor(1300), 1_000_300},
		{"resettle_push", nil, 1_000_000},
		{"resettle_lose", nil, 999_000},
	} {
		w.posted(step(bet, row.on, row.amount, "oddsmaker"))
		w.has(cash, row.cash)
		w.has(pending, 0)
		w.has(house, 1_000_000-row.cash)
		w.sound(w.payment(bet.ID))
	}
	w.posted(step(bet, "close", nil, "clock"))
	if o := w.try(step(bet, "resettle_win", minor(1), "oddsmaker")); o.Reason != errs.ReasonTransitionRefused || o.Detail["cause"] != Backward {
		t.Errorf("a closed bet: %s %v", o.Reason, o.Detail)
	}
	for _, u := range w.books.Players[ledger.PlayerRef(brand.ID, "p")].Usage {
		if u.Measure == ledger.MeasureStake && u.Amount != money.FromInt64(1000) || u.Measure == ledger.MeasureLoss && u.Amount != money.FromInt64(1000) {
			t.Errorf("used %+v", u)
		}
	}
}

func TestLimits_HoldWithinTheirPeriodAndBeginAgain(t *testing.T) {
	w := newWorld(t)
	limit := func(m ledger.Measure, p ledger.Period, n int64) ledger.PlayerLimit {
		return ledger.PlayerLimit{Measure: m, Period: p, Asset: "EUR", Amount: money.FromInt64(n)}
	}
	w.player(ledger.PlayerChange{Limits: []ledger.PlayerLimit{
		limit(ledger.MeasureStake, ledger.Day, 1000), limit(ledger.MeasureLoss, ledger.Week, 1500), limit(ledger.MeasureWithdrawal, ledger.Month, 50),
	}})
	closed := func(c ledger.Command, cause string) {
		t.Helper()
		o := w.try(c)
		if o.Reason != errs.ReasonGateClosed || o.Detail["gate"] != "limit" || o.Detail["next"] != NextPlayer || !strings.Contains(o.Detail["cause"], cause) {
			t.Fatalf("%s %v, wanted %s", o.Reason, o.Detail, cause)
		}
	}
	none := id.Transaction{}
	bet := w.begin(Bet, "accept", 600, none)
	closed(first(Bet, "accept", 401, none), "stake per day of 1000 would be 1001")
	w.posted(step(bet, "void", nil, "")) // gives the stake back
	lost := w.begin(Bet, "accept", 1000, none)
	w.posted(step(lost, "lose", nil, ""))
	closed(first(Bet, "accept", 1, none), "stake per day")
	w.books.Now = noon.AddDate(0, 0, 1) // Sunday: another day of the same week
	closed(first(Bet, "accept", 501, none), "loss per week of 1500 would be 1501")
	won := w.begin(Bet, "accept", 500, none)
	w.posted(step(won, "win", minor(5000), ""))
	w.begin(Bet, "accept", 500, none)
	w.books.Now = noon.AddDate(0, 0, 2) // Monday
	w.begin(Bet, "accept", 1000, none)
	closed(first(Withdrawal, "request", 51, none), "withdrawal per month of 50 would be 51")
	out := w.begin(Withdrawal, "request", 50, none)
	w.posted(step(out, "cancel", nil, ""))
	w.begin(Withdrawal, "request", 50, none)
}

func TestGates_PauseWithdrawalsUntilSomebodyDecides(t *testing.T) {
	w := newWorld(t)
	suspect(w)
	p := w.begin(Withdrawal, "request", 700, id.Transaction{})
	if p.State != ledger.UnderReview || *p.Review != (ledger.Review{Gate: "aml", Cause: "flagged", Paused: true, Next: NextCompliance}) {
		t.Fatalf("%s %+v", p.State, p.Review)
	}
	w.has(pending, 700)
	if o := w.try(step(p, "release", nil, "compliance")); o.Reason != errs.ReasonGateClosed || o.Detail["gate"] != "aml" {
		t.Fatalf("%s %v", o.Reason, o.Detail)
	}
	acquit(w)
	w.posted(step(p, "release", nil, "compliance"))
	w.player(ledger.PlayerChange{KYC: ledger.KYCPending})
	if o := w.posted(step(p, "approve", nil, "")); o.Step.To != ledger.UnderReview || o.Step.Review.Gate != "kyc" || !o.Step.Review.Paused {
		t.Fatalf("%+v", o.Step)
	}
	w.posted(step(p, "reject", nil, "compliance"))
	w.has(cash, 1_000_000)
	w.has(pending, 0)
}

func TestGates_SelfExclusionCanNotBeShortened(t *testing.T) {
	w := newWorld(t)
	until, sooner := noon.AddDate(0, 6, 0), noon.AddDate(0, 1, 0)
	w.player(ledger.PlayerChange{ExcludedUntil: &until})
	o := w.try(ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: "p", ExcludedUntil: &sooner}})
	if o.Reason != errs.ReasonGateClosed || o.Detail["gate"] != "self_exclusion" {
		t.Errorf("%s %v", o.Reason, o.Detail)
	}
	if o := w.try(first(Bet, "accept", 1, id.Transaction{})); o.Reason != errs.ReasonGateClosed || o.Detail["gate"] != "self_exclusion" || o.Detail["next"] != NextNobody {
		t.Errorf("%s %v", o.Reason, o.Detail)
	}
	w.begin(Withdrawal, "request", 1, id.Transaction{}) // their money stays theirs
	w.books.Now = until.Add(time.Second)
	w.begin(Bet, "accept", 1, id.Transaction{})
}

func TestRefundsAndChargebacks_TakeBackNoMoreThanWasPaid(t *testing.T) {
	w := newWorld(t)
	d := w.deposit(1000)
	a := w.begin(Refund, "request", 600, d.ID)
	if o := w.try(first(Chargeback, "open", 401, d.ID)); o.Reason != errs.ReasonAmountRefused || o.Detail["left"] != "400" {
		t.Fatalf("%s %v", o.Reason, o.Detail)
	}
	w.posted(step(a, "reject", nil, "")) // which leaves all of it again
	w.begin(Refund, "request", 300, d.ID)
	c := w.begin(Chargeback, "open", 700, d.ID)
	w.posted(step(c, "represent", nil, ""))
	w.posted(step(c, "win", nil, ""))
	w.begin(Refund, "request", 700, d.ID)
	if o := w.try(first(Refund, "request", 1, d.ID)); o.Reason != errs.ReasonAmountRefused || o.Detail["left"] != "0" {
		t.Fatalf("%s %v", o.Reason, o.Detail)
	}
	if o := w.try(first(Refund, "request", 1, a.ID)); o.Reason != errs.ReasonPaymentNotFound {
		t.Fatalf("a refund of a refund: %s %v", o.Reason, o.Detail)
	}
	w.sound(w.payment(d.ID))
}

func TestDeposit_IsCapturedInPartsUpToWhatWasAuthorized(t *testing.T) {
	w := newWorld(t)
	d := w.begin(Deposit, "authorize", 1000, id.Transaction{})
	w.posted(step(d, "capture", minor(300), ""))
	if o := w.try(step(d, "capture", minor(701), "")); o.Reason != errs.ReasonAmountRefused || o.Detail["left"] != "700" {
		t.Fatalf("%s %v", o.Reason, o.Detail)
	}
	w.posted(step(d, "capture", minor(300), ""))
	if o := w.posted(step(d, "void", nil, "")); o.Step.To != "captured" {
		t.Fatalf("%+v", o.Step)
	}
	w.posted(step(d, "settle", nil, ""))
	w.has(cash, 1_000_600)
	w.has("psp:psp:clearing:EUR", 0)
	w.has("house:fees:EUR", -8) // 1.4 % of 600 is 8.4
	w.has("house:bank:EUR", -592)
}

func TestAdjustment_TakesTwoPairsOfEyes(t *testing.T) {
	w := newWorld(t)
	p := w.begin(Adjustment, "propose_debit", 5, id.Transaction{})
	for _, actor := range []string{"first", " First", ""} {
		if o := w.try(step(p, "approve", nil, actor)); o.Reason != errs.ReasonTransitionRefused || o.Detail["cause"] != SameActor {
			t.Fatalf("by %q: %s %v", actor, o.Reason, o.Detail)
		}
	}
	w.posted(step(p, "approve", nil, "second"))
	w.has(cash, 999_995)
}

// An atomic batch in which a step is refused leaves no trace but the refusals, numbered as they met the payment: the steps before them in the
// batch did not happen. A dry run leaves none at all.
func TestBatches_OfStepsAreWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	d := w.begin(Deposit, "authorize", 1000, id.Transaction{})
	batch := ledger.Batch{Atomic: true}
	for i, on := range []Trigger{"capture", "settle", "void"} {
		c := step(d, on, nil, "")
		c.Ledger, c.Key = brand.ID, id.Key("batch/"+string(rune('0'+i)))
		batch.Commands = append(batch.Commands, c)
	}
	before := w.balances()
	batch.DryRun = true
	if r := w.books.Execute(batch); r[1].Outcome.Decided != ledger.Declined || r[2].Outcome.Reason != errs.ReasonTransitionRefused {
		t.Fatalf("%+v", r[2].Outcome)
	}
	if is := w.payment(d.ID); is.Attempts != 1 || len(w.books.Changes().Steps) != 3 { // two of the player's money
		t.Fatalf("a dry run counted: %+v", is)
	}
	batch.DryRun = false
	results := w.books.Execute(batch)
	for i, want := range []errs.Reason{errs.ReasonBatchDeclined, errs.ReasonBatchDeclined, errs.ReasonTransitionRefused} {
		o := results[i].Outcome
		if o.Reason != want || o.Step == nil || o.Step.Number != int64(i)+2 || o.Step.From != "authorized" || o.Step.To != "authorized" {
			t.Errorf("%d: %s %+v", i, o.Reason, o.Step)
		}
	}
	is := w.payment(d.ID)
	if is.State != "authorized" || is.Version != 1 || is.Attempts != 4 {
		t.Errorf("%+v", is)
	}
	for account, was := range before {
		if w.balances()[account] != was {
			t.Errorf("%s moved", account)
		}
	}
	w.sound(is)
	again := w.books.Execute(batch)
	if !again[0].Outcome.Replayed || w.payment(d.ID).Attempts != 4 {
		t.Errorf("a repeat counted: %+v", again[0].Outcome)
	}
}

func TestSteps_AreTheSameRequestOnlyWhereEveryWordIs(t *testing.T) {
	w := newWorld(t)
	c := first(Bet, "accept", 10, id.Transaction{})
	c.Ledger, c.Key = brand.ID, "same"
	c, err := w.books.Lifecycle.Prepared(c)
	if err != nil {
		t.Fatal(err)
	}
	one := func(c ledger.Command) ledger.Result {
		return w.books.Execute(ledger.Batch{Commands: []ledger.Command{c}})[0]
	}
	one(c)
	if r := one(c); r.Err != nil || !r.Outcome.Replayed {
		t.Errorf("%+v", r)
	}
	other := *c.Step
	other.Evidence = "another"
	c.Step = &other
	if r := one(c); errs.Of(r.Err).Reason != errs.ReasonIdempotencyMismatch || errs.Of(r.Err).Fields["field"] != "step" {
		t.Errorf("%+v", r)
	}
}
