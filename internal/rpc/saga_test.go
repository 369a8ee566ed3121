package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/store"
	paymentsv1 "github.com/meridian-ledger/meridian/proto/meridian/payments/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/payments/v1/paymentsv1connect"
)

// helpdesk serves sagas of a player with 50.00 EUR, and works on them when told to.
type helpdesk struct {
	*rpc.SagaClient
	t     *testing.T
	books *store.Store
	node  node
	raw   paymentsv1connect.SagaServiceClient
	work  *saga.Workers
	woken int
}

func newHelpdesk(t *testing.T, d dbtest.Database, desks map[provider.Name]provider.Desk) *helpdesk {
	t.Helper()
	h := &helpdesk{t: t, books: store.New(d.DB)}
	h.node = node{h.books, commit.New(h.books, commit.Options{Lifecycle: payment.Default().Lifecycle()})}
	t.Cleanup(func() {
		if err := h.node.Drain(context.Background()); err != nil {
			t.Errorf("drain: %v", err)
		}
	})
	if _, err := h.node.CreateLedger(t.Context(), ledger.Ledger{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	h.do(ledger.Command{Kind: ledger.KindPlayer, Key: "known", Player: &ledger.PlayerChange{Player: "p7", KYC: ledger.KYCVerified}})
	h.do(ledger.Command{
		Kind: ledger.KindStep, Key: "paid", Amount: euros(5000), Step: &ledger.Step{Payment: "deposit", Trigger: "receive", Player: "p7", Provider: "acme"},
	})
	h.work = saga.NewWorkers(saga.WorkerOptions{Store: h.books, Books: h.node, Desks: desks, Limits: saga.Limits{Poll: 10 * time.Millisecond}})
	ops := &saga.Operators{Store: h.books, Ledger: h.node.Ledger, Wake: func(id.Home) { h.woken++ }}
	server := httptest.NewServer(rpc.NewHandler(h.node, rpc.Options{DefaultLedger: "brand", Sagas: ops}))
	t.Cleanup(server.Close)
	h.SagaClient, h.raw = rpc.NewSagaClient(server.Client(), server.URL), paymentsv1connect.NewSagaServiceClient(server.Client(), server.URL)
	return h
}

func (h *helpdesk) do(c ledger.Command) {
	h.t.Helper()
	c.Ledger = "brand"
	if o, err := ledger.Do(h.t.Context(), h.node, c); err != nil || o.Decided != ledger.Posted {
		h.t.Fatalf("%+v, %v", o, err)
	}
}

// until works until a saga is in a state.
func (h *helpdesk) until(key id.Transaction, state saga.State) {
	h.t.Helper()
	tenure, taken, err := h.books.Acquire(h.t.Context(), "eu", "worker", time.Minute)
	if err != nil || !taken {
		h.t.Fatalf("no lease: %v", err)
	}
	ctx, stop := context.WithTimeout(h.t.Context(), time.Minute)
	go func() {
		defer stop()
		for ctx.Err() == nil {
			if s, err := h.books.Saga(ctx, "eu", "brand", key); err == nil && s.State == state {
				return
			}
		}
	}()
	if err := h.work.Run(ctx, tenure.Lease); err != nil {
		h.t.Fatal(err)
	}
	if err := h.books.Release(h.t.Context(), tenure.Lease); err != nil {
		h.t.Fatal(err)
	}
	if s, err := h.books.Saga(h.t.Context(), "eu", "brand", key); err != nil || s.State != state {
		h.t.Fatalf("it is %s because of %s (%s), want %s, %v", s.State, s.Cause, s.Detail, state, err)
	}
}

func TestSagas_OverTheWireAsOnTheTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		h := newHelpdesk(t, d, map[provider.Name]provider.Desk{"acme": &simulate.Orders{}})
		ctx := t.Context()
		q := saga.Request{Player: "p7", Amount: *euros(1000), Provider: "acme", Actor: "alice", FourEyes: true}
		s, there, err := h.Start(ctx, "brand", saga.Withdrawal, "w1", q)
		if err != nil || there || s.State != saga.Running || s.Request != q || h.woken != 1 {
			t.Fatalf("%+v, %t, %v, woken %d times", s, there, err, h.woken)
		}
		if again, there, err := h.Start(ctx, "brand", saga.Withdrawal, "w1", q); err != nil || !there || again.ID != s.ID {
			t.Errorf("again: %+v, %t, %v", again, there, err)
		}
		q.Amount = *euros(2000)
		if _, _, err := h.Start(ctx, "brand", saga.Withdrawal, "w1", q); !errors.Is(err, errs.ErrIdempotencyMismatch) {
			t.Errorf("another request under the key: %v", err)
		}
		h.until(s.ID, saga.Review)
		standing, err := h.Standing(ctx, "brand", saga.Page{Limit: 10})
		stored, _ := h.books.Saga(ctx, "eu", "brand", s.ID)
		if err != nil || len(standing) != 1 || shown(standing[0]) != shown(stored) {
			t.Errorf("over the wire %+v\non the tables  %+v\n%v", standing, stored, err)
		}
		if _, err := h.Approve(ctx, "brand", s.ID, "alice"); !errors.Is(err, saga.ErrFourEyes) {
			t.Errorf("she approves herself: %v", err)
		}
		if _, err := h.Retry(ctx, "brand", s.ID, "bob", ""); !errors.Is(err, saga.ErrState) {
			t.Errorf("what is in review is tried again: %v", err)
		}
		if s, err = h.Approve(ctx, "brand", s.ID, "bob"); err != nil || s.State != saga.Running {
			t.Errorf("%+v, %v", s, err)
		}
		h.until(s.ID, saga.Completed)
		e, err := h.Explain(ctx, "brand", s.ID)
		if err != nil || e.Next != "nothing: it is completed" || len(e.Steps) != 5 || e.Steps[4].Standing != "done" || e.Progress.Payments[saga.Main].IsZero() {
			t.Errorf("%+v, %v", e, err)
		}
		if !slices.ContainsFunc(e.History, func(l saga.Line) bool {
			return l.Event == "approved" && l.Actor == "bob" && l.Proposer == "alice" && !l.At.IsZero()
		}) {
			t.Errorf("its history is %+v", e.History)
		}
		if _, err := h.Explain(ctx, "brand", id.Transaction{1}); !errors.Is(err, saga.ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
		if _, err := h.Compensate(ctx, "brand", s.ID, "bob", "late"); !errors.Is(err, saga.ErrState) {
			t.Errorf("what has ended is taken back: %v", err)
		}
		h.pages(2)
	})
}

// pages starts more sagas, and reads all of them one by one.
func (h *helpdesk) pages(more int) {
	h.t.Helper()
	for n := range more {
		q := saga.Request{Player: "p7", Amount: *euros(1), Provider: "nobody", Actor: "alice"}
		if _, _, err := h.Start(h.t.Context(), "brand", saga.Withdrawal, id.Key(fmt.Sprint("more", n)), q); err != nil {
			h.t.Fatal(err)
		}
	}
	var seen []string
	for token, done := "", false; !done && len(seen) < 10; {
		m, err := h.raw.ListSagas(h.t.Context(), connect.NewRequest(&paymentsv1.ListSagasRequest{All: true, PageSize: 1, PageToken: token}))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range m.Msg.GetSagas() {
			seen = append(seen, s.GetSagaId())
		}
		token = m.Msg.GetNextPageToken()
		done = token == ""
	}
	if len(seen) != more+1 || !slices.IsSorted(seen) {
		h.t.Errorf("in pages of one: %v", seen)
	}
}

// shown is what the wire carries of a saga.
func shown(s saga.Saga) string {
	s.Progress = saga.Progress{Payments: s.Progress.Payments, Reference: s.Progress.Reference}
	return fmt.Sprintf("%+v", s)
}

// A gate that closes while the provider charges stops a saga; one person proposes how it goes on, and another one approves.
func TestSagas_AreHandedOverOverTheWire(t *testing.T) {
	desk := &simulate.Orders{}
	h := newHelpdesk(t, dbtest.New(t, "postgresql"), map[provider.Name]provider.Desk{"acme": desk})
	ctx := t.Context()
	desk.Manner = func(string, provider.Order) simulate.Manner {
		h.do(ledger.Command{Kind: ledger.KindPlayer, Key: "flag", Player: &ledger.PlayerChange{Player: "p7", AML: ledger.AMLFlagged}})
		return simulate.Manner{}
	}
	s, _, err := h.Start(ctx, "brand", saga.Deposit, "d1", saga.Request{Player: "p7", Amount: *euros(1000), Bonus: euros(100), Provider: "acme", Actor: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	h.until(s.ID, saga.Stuck)
	if e, err := h.Explain(ctx, "brand", s.ID); err != nil || e.Cause != "gate_closed" || e.Step != "capture" || !slices.Equal(e.Can, []saga.Choice{saga.Retry, saga.Compensate}) {
		t.Errorf("%+v, %v", e, err)
	}
	if s, err = h.Handover(ctx, "brand", s.ID, "alice", saga.Retry, "ticket 42"); err != nil || s.State != saga.Review {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := h.Approve(ctx, "brand", s.ID, "alice"); !errors.Is(err, saga.ErrFourEyes) {
		t.Errorf("she approves herself: %v", err)
	}
	if s, err = h.Reject(ctx, "brand", s.ID, "bob", "ask first"); err != nil || s.State != saga.Stuck {
		t.Fatalf("%+v, %v", s, err)
	}
	h.do(ledger.Command{Kind: ledger.KindPlayer, Key: "clear", Player: &ledger.PlayerChange{Player: "p7", AML: ledger.AMLClear}})
	if s, err = h.Retry(ctx, "brand", s.ID, "bob", "asked"); err != nil || s.State != saga.Running {
		t.Fatalf("%+v, %v", s, err)
	}
	h.until(s.ID, saga.Completed)
	if _, err := h.Handover(ctx, "brand", s.ID, "bob", saga.Retry, "again"); !errors.Is(err, saga.ErrState) {
		t.Errorf("what has ended is handed over: %v", err)
	}
	h.refuses(s.ID)
}

// refuses shows that what makes no sense is refused at the edge.
func (h *helpdesk) refuses(key id.Transaction) {
	h.t.Helper()
	for name, m := range map[string]*paymentsv1.HandOverSagaRequest{
		"choice":  {SagaId: key.String(), Actor: "a", Reason: "r"},
		"saga_id": {SagaId: "x", Actor: "a", Reason: "r", Choice: paymentsv1.SagaChoice_SAGA_CHOICE_RETRY},
		"reason":  {SagaId: key.String(), Actor: "a", Choice: paymentsv1.SagaChoice_SAGA_CHOICE_RETRY},
		"actor":   {SagaId: key.String(), Reason: "r", Choice: paymentsv1.SagaChoice_SAGA_CHOICE_RETRY},
	} {
		if _, err := h.raw.HandOverSaga(h.t.Context(), connect.NewRequest(m)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			h.t.Errorf("without %s: %v", name, err)
		}
	}
	for _, m := range []*paymentsv1.StartSagaRequest{
		{},
		{IdempotencyKey: "k", Flow: "withdrawal"},
		{IdempotencyKey: "k", Flow: "bet", Request: &paymentsv1.SagaRequest{Player: "p7", Provider: "acme", Actor: "a"}},
	} {
		if _, err := h.raw.StartSaga(h.t.Context(), connect.NewRequest(m)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			h.t.Errorf("%+v: %v", m, err)
		}
	}
}
