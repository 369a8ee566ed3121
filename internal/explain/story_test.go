package explain

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
)

func golden(t *testing.T, name string, a Answer) {
	t.Helper()
	var b strings.Builder
	if err := a.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run with -update", err)
	}
	if b.String() != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, b.String(), want)
	}
}

func TestTell_APlainTransfer(t *testing.T) {
	w := newWorld(t)
	o := w.do("pay-1", ledger.Command{
		Kind: ledger.KindTransfer, Account: "bank", Counter: "alice", Amount: eur(5000), Reason: "payin", Reference: "inv-1", Correlation: "order-7", TraceID: "tr_1",
		Metadata: ledger.Metadata{"note": "a private word"},
	})
	w.streams(o.Transaction)
	w.streamed.Subscriptions = []Subscribed{{Home: "eu", ID: "payouts", State: event.Active, Position: 9}, {Home: "eu", ID: "late", State: event.Active, Since: 8, Position: 9}}
	s := w.tells("transfer", "pay-1")
	if s.State != "posted" || !s.Terminal || len(s.Open) > 0 {
		t.Errorf("%+v", s)
	}
	for _, text := range []string{"inv-1", "tr_1", o.Transaction.String()} {
		a, err := NewService(w).Explain(t.Context(), Query{Text: text, Ledger: "brand"})
		if err != nil || a.Story == nil || a.Story.ID != s.ID {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
}

func TestTell_ADeclinedDebit(t *testing.T) {
	w := newWorld(t)
	w.do("bet-1", ledger.Command{Kind: ledger.KindDebit, Account: "alice", Counter: "bank", Amount: eur(700)})
	if s := w.tells("declined", "bet-1"); s.State != "declined" || s.Events[1].Outcome != Refused || s.Events[1].Reason != string(errs.ReasonInsufficientFunds) {
		t.Errorf("%+v", s)
	}
}

func TestTell_AHoldThatWasCommittedInPart(t *testing.T) {
	w := newWorld(t)
	w.do("pay", ledger.Command{Kind: ledger.KindTransfer, Account: "bank", Counter: "alice", Amount: eur(5000)})
	h := w.do("hold-1", ledger.Command{Kind: ledger.KindHold, Account: "alice", Counter: "bank", Amount: eur(800)}).Transaction
	w.do("commit-1", ledger.Command{Kind: ledger.KindCommit, Target: h, Amount: eur(300), KeepRest: true})
	w.do("commit-2", ledger.Command{Kind: ledger.KindCommit, Target: h, Amount: eur(900)})
	s := w.tells("hold", "commit-2") // the story of the hold is told from any of its ends
	if s.ID != h.String() || s.State != "held" || s.Next != nextClient || s.Events[len(s.Events)-1].Outcome != Refused {
		t.Errorf("%+v", s)
	}
}

func TestTell_AReversedTransaction(t *testing.T) {
	w := newWorld(t)
	o := w.do("pay-1", ledger.Command{Kind: ledger.KindTransfer, Account: "bank", Counter: "alice", Amount: eur(5000)})
	w.do("undo-1", ledger.Command{Kind: ledger.KindReverse, Target: o.Transaction})
	w.do("undo-2", ledger.Command{Kind: ledger.KindReverse, Target: o.Transaction})
	if s := w.tells("reversed", "undo-1"); s.State != "reversed" || len(s.Money) > 0 || s.Events[3].Outcome != Refused {
		t.Errorf("%+v", s)
	}
}

func TestTell_ADepositInTwoPartsThatIsSettled(t *testing.T) {
	w := newWorld(t)
	p := w.begin("dep-1", payment.Deposit, "authorize", 5000, "psp_77")
	w.sent("evt_1", "psp_77", provider.Applied, "", "")
	first := w.step("provider/acme/evt_1", p, "capture", eur(3000), ledger.Step{Evidence: "acme/evt_1", Actor: "acme"})
	w.step("cap-2", p, "capture", nil, ledger.Step{Actor: "acme"})
	w.step("set-1", p, "settle", nil, ledger.Step{Actor: "acme"})
	w.streams(p, first.Transaction)
	w.streamed.Subscriptions = []Subscribed{{Home: "eu", ID: "payouts", State: event.Failing, Position: 9}}
	w.streamed.Deliveries = []event.Delivery{{Home: "eu", Subscription: "payouts", Position: 8, State: event.Dead, Attempts: 12, Cause: "status", Detail: "the sink answered 500", ChangedAt: w.now}}
	s := w.tells("deposit", "psp_77")
	if s.State != "settled" || !s.Terminal || s.Next != payment.NextNobody || s.Found[0] != ByProviderReference {
		t.Errorf("%+v", s)
	}
	for _, text := range []string{"acme/evt_1", "acme/psp_77", "tr_dep-1", "set-1"} {
		if a, err := NewService(w).Explain(t.Context(), Query{Text: text}); err != nil || a.Story == nil || a.Story.ID != p.String() {
			t.Errorf("%s: %+v, %v", text, a, err)
		}
	}
}

// fund gives the player money to withdraw.
func (w *world) fund(n int64) id.Transaction {
	return w.begin("fund", payment.Deposit, "receive", n, "psp_0")
}

func TestTell_AWithdrawalThatFailedAndWasCompensated(t *testing.T) {
	w := newWorld(t)
	w.fund(9000)
	p := w.begin("wd-1", payment.Withdrawal, "request", 4000, "psp_90")
	for i, on := range []ledger.Trigger{"approve", "submit", "fail", "compensate"} {
		w.step("wd-1/"+string(on), p, on, nil, ledger.Step{Actor: []string{"carol", "worker", "acme", "worker"}[i]})
	}
	if s := w.tells("withdrawal", p.String()); s.State != "compensated" || !s.Terminal || len(s.Money) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestTell_APaymentUnderReview(t *testing.T) {
	w := newWorld(t)
	w.fund(9000)
	w.player(ledger.PlayerChange{AML: ledger.AMLFlagged})
	p := w.begin("wd-2", payment.Withdrawal, "request", 4000, "psp_91")
	if s := w.tells("review", p.String()); s.State != "under_review" || s.Next != payment.NextCompliance || s.Terminal || len(s.Open) == 0 {
		t.Errorf("%+v", s)
	}
}

func TestTell_ALateTriggerThatContradicts(t *testing.T) {
	w := newWorld(t)
	p := w.begin("dep-2", payment.Deposit, "authorize", 5000, "psp_78")
	w.step("void-1", p, "void", nil, ledger.Step{Actor: "acme"})
	w.step("late-1", p, "capture", nil, ledger.Step{Actor: "acme"})
	s := w.tells("late", "late-1")
	last := s.Events[len(s.Events)-1]
	if s.State != "voided" || last.Outcome != Refused || last.Reason != string(errs.ReasonTransitionRefused) || !strings.Contains(last.Meaning, "another way") {
		t.Errorf("%+v", s)
	}
}

func TestTell_CallbacksAndADifference(t *testing.T) {
	w := newWorld(t)
	p := w.begin("dep-3", payment.Deposit, "authorize", 3000, "psp_79")
	w.sent("evt_3", "psp_79", provider.Applied, "", "")
	o := w.step("provider/acme/evt_3", p, "capture", nil, ledger.Step{Evidence: "acme/evt_3", Actor: "acme"})
	w.sent("evt_4", "psp_79", provider.Dead, "transition", "the payment had been captured")
	w.step("provider/acme/evt_4", p, "capture", nil, ledger.Step{Evidence: "acme/evt_4", Actor: "acme"})
	w.sent("evt_3~0011223344556677", "psp_79", provider.Dead, provider.CauseContradicts, "the provider sent this under the id of an event that says something else")
	w.sent("evt_5", "psp_79", provider.Waiting, provider.CauseEarly, "nothing settles before it")
	w.results(recon.AmountDiffers, recon.ReasonAmount, o.Transaction, "psp_79", 2900, 3000)
	w.results(recon.MissingHere, recon.ReasonNotInBooks, id.Transaction{}, "psp_79", 50, 0)
	w.compared[0].Resolutions = []recon.Resolution{{
		ID: recon.ResolutionID{Transaction: id.Transaction{5}}, Proposer: "alice", Reason: "a fee", Asset: "EUR", Difference: w.compared[0].Result.Difference, ProposedAt: w.now,
		Decisions: []recon.Decision{
			{Actor: "alice", Decided: recon.Refused, Why: "whoever proposes does not decide", At: w.now.Add(1e9)},
			{Actor: "bob", Decided: recon.Approved, Transaction: id.Transaction{6}, At: w.now.Add(2e9)},
		},
	}}
	s := w.tells("callbacks", "psp_79")
	if s.Compared != "2 differences with the statement of acme, 1 closed" {
		t.Error(s.Compared)
	}
	b, err := json.Marshal(s)
	if err != nil || strings.Contains(string(b), "4111") {
		t.Errorf("a body is in the story: %s, %v", b, err)
	}
}

func TestTell_CallbacksOfNoPayment(t *testing.T) {
	w := newWorld(t)
	w.sent("evt_9", "psp_lost", provider.Dead, "no_payment", "no payment has this reference")
	if s := w.tells("lost", "acme/psp_lost"); s.Subject != "callbacks" || s.Next != payment.NextOperator || len(s.Open) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTell_APaymentThatWasNeverMade(t *testing.T) {
	w := newWorld(t)
	w.player(ledger.PlayerChange{Status: ledger.PlayerSuspended})
	w.begin("dep-9", payment.Deposit, "authorize", 5000, "psp_99")
	if s := w.tells("never", "dep-9"); s.Subject != "payment" || s.State != "declined" || s.Events[1].Reason != string(errs.ReasonGateClosed) {
		t.Errorf("%+v", s)
	}
}

func TestExplain_WhatLeadsToSeveralThingsIsListed(t *testing.T) {
	w := newWorld(t)
	for _, key := range []string{"a", "b"} {
		w.do(key, ledger.Command{Kind: ledger.KindTransfer, Account: "bank", Counter: "alice", Amount: eur(100), Reference: "twice"})
	}
	w.do("c", ledger.Command{Kind: ledger.KindDebit, Account: "alice", Amount: eur(900), Reference: "twice"})
	a, err := NewService(w).Explain(t.Context(), Query{Text: "twice"})
	if err != nil || a.Story != nil || len(a.Matches) != 3 {
		t.Fatalf("%+v, %v", a, err)
	}
	golden(t, "several.txt", a)
}

func TestExplain_WhatLeadsNowhereIsSaid(t *testing.T) {
	w := newWorld(t)
	_, err := NewService(w).Explain(t.Context(), Query{Text: "nobody-knows"})
	if !errors.Is(err, errs.ErrTransactionNotFound) || errs.Of(err).Code != errs.NotFound || errs.Of(err).Fields["text"] != "nobody-knows" ||
		!strings.Contains(errs.Of(err).Message, "in 1 ledger:") || !strings.Contains(errs.Of(err).Message, "idempotency key") {
		t.Error(err)
	}
	for _, text := range []string{"", strings.Repeat("x", 256), "a\x00b"} {
		if _, err := NewService(w).Explain(t.Context(), Query{Text: text}); errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewService(w).Explain(t.Context(), Query{Text: "a", Ledger: "other"}); !errors.Is(err, errs.ErrLedgerNotFound) {
		t.Error(err)
	}
}

// Every reason of a decline has a sentence, which is that of the documentation.
func TestMeanings_AreThoseOfTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(append([]errs.Reason(nil), errs.Declines...), errs.StepDeclines...) {
		row := ""
		for line := range strings.Lines(string(doc)) {
			if strings.HasPrefix(line, "| `"+string(r)+"`") {
				row = strings.ReplaceAll(line, "`", "")
			}
		}
		if meanings[r] == "" || row == "" {
			t.Errorf("%s: %q, and in the documentation %q", r, meanings[r], row)
		}
		if !strings.Contains(row, strings.TrimPrefix(meanings[r], "the time of ")) && !strings.Contains(row, strings.SplitN(meanings[r], ",", 2)[0]) && r != errs.ReasonHoldExpired {
			t.Errorf("%s: %q is not in %q", r, meanings[r], row)
		}
	}
}
