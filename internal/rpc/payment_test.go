package rpc_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// counter is a server of payments, and its clients.
type counter struct {
	t    *testing.T
	base string
	http *http.Client
	*rpc.PaymentClient
	books *rpc.Client
}

func paymentServer(t *testing.T, d dbtest.Database) counter {
	t.Helper()
	books := store.New(d.DB)
	n := node{books, commit.New(books, commit.Options{Lifecycle: payment.Default().Lifecycle()})}
	t.Cleanup(func() {
		if err := n.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	if _, err := n.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := rpc.NewServer(rpc.NewHandler(n, rpc.Options{DefaultLedger: "brand", Payments: books}), nil)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	c := counter{t: t, base: "http://" + listener.Addr().String(), http: rpc.NewHTTPClient(nil, false)}
	t.Cleanup(c.http.CloseIdleConnections)
	c.PaymentClient, c.books = rpc.NewPaymentClient(c.http, c.base), rpc.NewClient(c.http, c.base)
	return c
}

func euros(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// create makes a payment of player p.
func (c counter) create(key id.Key, kind ledger.PaymentKind, on ledger.Trigger, n int64) ledger.Outcome {
	c.t.Helper()
	o, err := c.Do(c.t.Context(), ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: key, Amount: euros(n), Step: &ledger.Step{
		Payment: kind, Trigger: on, Player: "p", Provider: "acme", ProviderReference: "ref-" + string(key), Actor: "shop",
	}}, false)
	if err != nil {
		c.t.Fatalf("%s %s: %v", kind, on, err)
	}
	return o
}

// step takes a payment further, and wants it to end in a state; a refusal begins with an exclamation mark.
func (c counter) step(of ledger.Outcome, key id.Key, on ledger.Trigger, amount *ledger.Money, want string) ledger.Outcome {
	c.t.Helper()
	o, err := c.Do(c.t.Context(), ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: key, Target: of.Transaction, Amount: amount, Step: &ledger.Step{
		Payment: of.Step.Kind, Trigger: on, Actor: "desk",
	}}, false)
	if err != nil {
		c.t.Fatalf("%s: %v", on, err)
	}
	got := string(o.Step.To)
	if o.Decided == ledger.Declined {
		got = "!" + string(o.Reason)
	}
	if got != want {
		c.t.Errorf("%s of %s: %s, want %s (%v)", on, of.Step.Kind, got, want, o.Detail)
	}
	return o
}

func (c counter) player(key id.Key, change ledger.PlayerChange) ledger.Outcome {
	c.t.Helper()
	change.Player = "p"
	o, err := c.Do(c.t.Context(), ledger.Command{Kind: ledger.KindPlayer, Ledger: "brand", Key: key, Player: &change}, false)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func (c counter) cash(want string) {
	c.t.Helper()
	a, err := c.books.Account(c.t.Context(), ledger.Ref{Ledger: "brand", Account: "player:p:cash:EUR"}, time.Time{})
	if err != nil || a.Posted().String() != want {
		c.t.Errorf("the player has %s, want %s: %v", a.Posted(), want, err)
	}
}

// Money comes in, and goes out, over the wire: what is late is refused and stays visible, a gate that is closed lets a payment wait for who may open
// it, and a key has one answer.
func TestPaymentService_TellsTheWholeStory(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		c := paymentServer(t, d)
		if o := c.player("kyc", ledger.PlayerChange{KYC: ledger.KYCVerified, Limits: []ledger.PlayerLimit{
			{Measure: ledger.MeasureDeposit, Period: ledger.Day, Asset: "EUR", Amount: money.FromInt64(100_000)},
		}}); o.Player == nil || o.Player.KYC != ledger.KYCVerified || len(o.Player.Limits) != 1 || o.Player.Ledger != "brand" {
			t.Fatalf("%+v", o)
		}

		deposit := c.create("d", "deposit", "authorize", 10_000)
		if deposit.Step == nil || deposit.Step.To != "authorized" || deposit.Step.Payment != deposit.Transaction || deposit.Step.Totals["authorized"] != money.FromInt64(10_000) {
			t.Fatalf("%+v", deposit)
		}
		c.step(deposit, "d1", "capture", euros(4_000), "partially_captured")
		c.step(deposit, "d2", "capture", euros(7_000), "!AMOUNT_REFUSED")
		c.step(deposit, "d3", "capture", nil, "captured")
		settled := c.step(deposit, "d4", "settle", nil, "settled")
		late := c.step(deposit, "d5", "void", nil, "!TRANSITION_REFUSED")
		if late.Detail["state"] != "settled" || late.Step.Number != 6 || late.Step.Version != 4 {
			t.Errorf("what came late says %+v", late)
		}
		c.cash("10000")
		again := c.step(deposit, "d4", "settle", nil, "settled")
		if !again.Replayed || settled.Replayed || !again.RecordedAt.Equal(settled.RecordedAt) || len(again.Entries) != len(settled.Entries) || again.Step.Number != settled.Step.Number {
			t.Errorf("the repeat says %+v, the first said %+v", again, settled)
		}

		withdrawal := c.create("w", "withdrawal", "request", 3_000)
		c.cash("7000")
		c.step(withdrawal, "w1", "approve", nil, "approved")
		c.step(withdrawal, "w2", "submit", nil, "submitted")
		c.step(withdrawal, "w3", "settle", nil, "settled")

		c.player("flag", ledger.PlayerChange{AML: ledger.AMLFlagged, Cause: "case 7"})
		held := c.create("h", "withdrawal", "request", 2_000)
		if held.Step.To != ledger.UnderReview || held.Step.Review == nil || held.Step.Review.Gate != "aml" || held.Step.Review.Next == "" {
			t.Errorf("with the gate closed: %+v", held.Step)
		}
		c.step(held, "h1", "release", nil, "!GATE_CLOSED")
		c.player("clear", ledger.PlayerChange{AML: ledger.AMLClear})
		c.step(held, "h2", "release", nil, "requested")
		c.step(held, "h3", "cancel", nil, "cancelled")
		c.cash("7000")

		c.reads(deposit, held)
		c.refusals(deposit)
	})
}

func (c counter) reads(deposit, held ledger.Outcome) {
	c.t.Helper()
	ctx := c.t.Context()
	p, err := c.Payment(ctx, "brand", deposit.Transaction)
	if err != nil || p.State != "settled" || p.Version != 4 || p.Attempts != 6 || p.Totals["settled"] != money.FromInt64(10_000) || p.Roles["player_cash"] != "player:p:cash:EUR" {
		c.t.Errorf("%+v, %v", p, err)
	}
	steps, err := c.PaymentSteps(ctx, "brand", deposit.Transaction, 2, 100)
	if err != nil || len(steps) != 4 || steps[0].Reason != errs.ReasonAmountRefused || steps[3].Reason != errs.ReasonTransitionRefused || steps[3].Decided != ledger.Declined {
		c.t.Errorf("%+v, %v", steps, err)
	}
	var seen []id.Transaction // in pages of one
	page := ledger.PaymentPage{Limit: 1}
	for {
		found, err := c.PaymentsOfPlayer(ctx, "brand", "p", page)
		if err != nil || len(seen) > 3 {
			c.t.Fatal(err)
		}
		if len(found) == 0 {
			break
		}
		seen = append(seen, found[0].ID)
		page.At, page.ID = found[0].OpenedAt, found[0].ID
	}
	if len(seen) != 3 || seen[0] != held.Transaction || seen[2] != deposit.Transaction {
		c.t.Errorf("the payments of the player are %v", seen)
	}
	for _, oldest := range []bool{false, true} {
		page := ledger.PaymentPage{Limit: 10, OldestFirst: oldest}
		found, err := c.PaymentsInState(ctx, "brand", "withdrawal", "cancelled", page)
		if err != nil || len(found) != 1 || found[0].ID != held.Transaction {
			c.t.Fatalf("%v, %v", found, err)
		}
		page.At, page.ID = found[0].ChangedAt, found[0].ID
		if found, err := c.PaymentsInState(ctx, "brand", "withdrawal", "cancelled", page); err != nil || len(found) != 0 {
			c.t.Errorf("behind the last one: %v, %v", found, err)
		}
	}
	if found, err := c.PaymentsByReference(ctx, "brand", "acme", "ref-d", 10); err != nil || len(found) != 1 || found[0].ID != deposit.Transaction {
		c.t.Errorf("%v, %v", found, err)
	}
	player, err := c.Player(ctx, "brand", "p")
	if err != nil || player.Version != 3 || player.AML != ledger.AMLClear || len(player.Limits) != 1 || len(player.Usage) == 0 {
		c.t.Errorf("%+v, %v", player, err)
	}
}

func (c counter) refusals(deposit ledger.Outcome) {
	c.t.Helper()
	ctx, wire := c.t.Context(), paymentsv1connect.NewPaymentServiceClient(c.http, c.base)
	if _, err := c.Payment(ctx, "brand", id.TransactionOf("brand", "nobody")); !errors.Is(err, errs.ErrPaymentNotFound) {
		c.t.Error(err)
	}
	if _, err := c.Player(ctx, "brand", "nobody"); !errors.Is(err, errs.ErrPlayerNotFound) {
		c.t.Error(err)
	}
	if _, err := c.Do(ctx, ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: "d4", Target: deposit.Transaction, Step: &ledger.Step{
		Payment: "deposit", Trigger: "void",
	}}, false); !errors.Is(err, errs.ErrIdempotencyMismatch) {
		c.t.Error(err)
	}
	o, err := c.Do(ctx, ledger.Command{Kind: ledger.KindStep, Ledger: "brand", Key: "dry", Amount: euros(1), Step: &ledger.Step{
		Payment: "deposit", Trigger: "receive", Player: "p", Provider: "acme",
	}}, true)
	if err != nil || !o.DryRun || o.Step.To != "captured" {
		c.t.Errorf("%+v, %v", o, err)
	}
	if _, err := c.Payment(ctx, "brand", o.Transaction); !errors.Is(err, errs.ErrPaymentNotFound) {
		c.t.Errorf("a dry run left a payment: %v", err)
	}
	header := connect.NewRequest(&paymentsv1.StepRequest{PaymentId: deposit.Transaction.String(), Kind: "deposit", Trigger: "settle"})
	header.Header().Set("Idempotency-Key", "d6")
	if r, err := wire.Step(ctx, header); err != nil || r.Msg.GetTransaction().GetIdempotencyKey() != "d6" || r.Header().Get("Meridian-Transaction-Id") == "" {
		c.t.Errorf("%v, %v", r, err)
	}
	if r, err := wire.Step(ctx, header); err != nil || !r.Msg.GetTransaction().GetReplayed() || r.Header().Get("Idempotency-Replayed") != "true" {
		c.t.Errorf("%v, %v", r, err)
	}
	terms, amount := &ledgerv1.Terms{IdempotencyKey: "x"}, &ledgerv1.Amount{MinorUnits: "1", Currency: "EUR"}
	for field, m := range map[string]proto.Message{
		"terms.idempotency_key":        &paymentsv1.CreateRequest{Kind: "deposit", Trigger: "receive", Amount: amount, Player: "p"},
		"amount":                       &paymentsv1.CreateRequest{Terms: terms, Kind: "deposit", Trigger: "receive", Player: "p"},
		"player":                       &paymentsv1.CreateRequest{Terms: terms, Kind: "deposit", Trigger: "receive", Amount: amount},
		"payment":                      &paymentsv1.CreateRequest{Terms: terms, Kind: "gift", Trigger: "receive", Amount: amount, Player: "p"},
		"parent_payment_id":            &paymentsv1.CreateRequest{Terms: terms, Kind: "refund", Trigger: "request", Amount: amount, Player: "p", ParentPaymentId: "x"},
		"payment_id":                   &paymentsv1.StepRequest{Terms: terms, Kind: "deposit", Trigger: "settle"},
		"trigger":                      &paymentsv1.StepRequest{Terms: terms, PaymentId: deposit.Transaction.String(), Kind: "deposit"},
		"limits[0].amount.minor_units": &paymentsv1.UpdatePlayerRequest{Terms: terms, Player: "p", Limits: []*paymentsv1.PlayerLimit{{Measure: "stake", Period: "day"}}},
		"clear_limits":                 &paymentsv1.UpdatePlayerRequest{Terms: terms, Player: "p", ClearLimits: true, Limits: []*paymentsv1.PlayerLimit{{}}},
		"by":                           &paymentsv1.ListPaymentsRequest{},
		"page_token":                   &paymentsv1.ListPaymentsRequest{By: &paymentsv1.ListPaymentsRequest_Player{Player: "p"}, PageToken: "x"},
		"in_state.state":               &paymentsv1.ListPaymentsRequest{By: &paymentsv1.ListPaymentsRequest_InState{InState: &paymentsv1.PaymentsInState{Kind: "bet"}}},
		"reference.provider_reference": &paymentsv1.ListPaymentsRequest{By: &paymentsv1.ListPaymentsRequest_Reference{}},
		"after_step":                   &paymentsv1.GetPaymentRequest{PaymentId: deposit.Transaction.String(), AfterStep: -1},
	} {
		var err error
		switch m := m.(type) {
		case *paymentsv1.CreateRequest:
			_, err = wire.Create(ctx, connect.NewRequest(m))
		case *paymentsv1.StepRequest:
			_, err = wire.Step(ctx, connect.NewRequest(m))
		case *paymentsv1.UpdatePlayerRequest:
			_, err = wire.UpdatePlayer(ctx, connect.NewRequest(m))
		case *paymentsv1.ListPaymentsRequest:
			_, err = wire.ListPayments(ctx, connect.NewRequest(m))
		case *paymentsv1.GetPaymentRequest:
			_, err = wire.GetPayment(ctx, connect.NewRequest(m))
		}
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), field+": ") {
			c.t.Errorf("%T %v: %v, want a refusal of %s", m, m, err, field)
		}
	}
}
