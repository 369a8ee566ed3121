package explain_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// tables are a ledger on a database.
type tables struct {
	*store.Store
	*commit.Committer
	t *testing.T
}

func newTables(t *testing.T, d dbtest.Database) tables {
	t.Helper()
	s := tables{Store: store.New(d.DB), t: t}
	s.Committer = commit.New(s.Store, commit.Options{Lifecycle: payment.Default().Lifecycle()})
	t.Cleanup(func() { _ = s.Drain(context.WithoutCancel(t.Context())) })
	for _, name := range []id.Ledger{"brand", "other"} {
		if _, err := s.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
		for _, account := range []id.Account{"bank", "alice"} {
			s.do(name, "open-"+string(account), ledger.Command{Kind: ledger.KindOpen, Account: account, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Debit}})
		}
	}
	return s
}

func (s tables) do(l id.Ledger, key string, c ledger.Command) ledger.Outcome {
	s.t.Helper()
	c.Ledger, c.Key = l, id.Key(key)
	o, err := ledger.Do(s.t.Context(), s, c)
	if err != nil {
		s.t.Fatalf("%s: %v", key, err)
	}
	return o
}

func (s tables) story(text string) *explain.Story {
	s.t.Helper()
	a, err := explain.NewService(s.Store).Explain(s.t.Context(), explain.Query{Text: text})
	if err != nil || a.Story == nil {
		s.t.Fatalf("%s: %+v, %v", text, a, err)
	}
	return a.Story
}

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

// said are the sentences of a story, with their outcomes.
func said(s *explain.Story) (all []string) {
	for _, e := range s.Events {
		all = append(all, string(e.Source)+" "+string(e.Outcome)+" "+e.What)
	}
	return all
}

// streamed puts transactions into the stream and the search model of eu, as a relay and a projector do.
func (s tables) streamed(l id.Ledger, ids ...id.Transaction) {
	s.t.Helper()
	ctx := s.t.Context()
	tenure, taken, err := s.Acquire(ctx, "eu", "test", time.Hour)
	if err != nil || !taken {
		s.t.Fatalf("no lease: %v", err)
	}
	if _, err := s.BeginGeneration(ctx, "eu"); err != nil {
		s.t.Fatal(err)
	}
	var changes []event.Change
	for _, t := range ids {
		changes = append(changes, event.Change{Home: "eu", Origin: "eu", Ledger: l, Transaction: t})
	}
	head, n, err := s.Append(ctx, tenure.Lease, changes, "")
	if err != nil || n != len(ids) {
		s.t.Fatalf("%d appended: %v", n, err)
	}
	events, err := s.Events(ctx, "eu", 0, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	var rows []search.Row
	for _, e := range events {
		row, err := search.RowOf(e)
		if err != nil {
			s.t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if err := s.Project(ctx, tenure.Lease, 1, 0, head, rows); err != nil {
		s.t.Fatal(err)
	}
}

func TestExplain_APaymentFromTheTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newTables(t, d)
		s.do("brand", "kyc", ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: "p", KYC: ledger.KYCVerified}})
		p := s.do("brand", "dep-1", ledger.Command{Kind: ledger.KindStep, Amount: eur(5000), TraceID: "tr_77", Step: &ledger.Step{
			Payment: payment.Deposit, Trigger: "authorize", Player: "p", Provider: "acme", ProviderReference: "psp_77",
		}}).Transaction
		capture := s.do("brand", "provider/acme/evt_1", ledger.Command{Kind: ledger.KindStep, Target: p, Amount: eur(2000), Step: &ledger.Step{Payment: payment.Deposit, Trigger: "capture"}})
		late := s.do("brand", "late", ledger.Command{Kind: ledger.KindStep, Target: p, Step: &ledger.Step{Payment: payment.Deposit, Trigger: "settle"}})
		if late.Decided != ledger.Declined {
			t.Fatalf("%+v", late)
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		envelope := provider.Envelope{
			Home: "eu", Ledger: "brand", Provider: "acme", ID: "evt_1", Type: "captured", Trigger: "capture", Reference: "psp_77", ReceivedAt: now,
			Raw: provider.Raw{Mode: provider.RawRedacted, Bytes: []byte(`{"card":"4111"}`)},
		}
		dead := envelope
		dead.ID, dead.Reference, dead.Payment, dead.Cause, dead.Detail = "evt_2", "", p.String(), provider.CauseUnknownType, "nobody has said what it means"
		lost := envelope
		lost.ID, lost.Reference = "evt_3", "psp_lost"
		if _, err := s.PutCallbacks(t.Context(), "eu", []provider.Callback{envelope.Opening(), dead.Opening(), lost.Opening()}); err != nil {
			t.Fatal(err)
		}
		brand, err := s.Ledger(t.Context(), "brand")
		if err != nil {
			t.Fatal(err)
		}
		rules, err := recon.ParseRules("rules", []byte("name: daily\nbooks: {accounts: [\"psp:\"]}\nmatch: [one_to_one]\nwindow: {earlier: 1d, later: 3d}\n"))
		if err != nil {
			t.Fatal(err)
		}
		run := recon.Run{ID: recon.RunID{Transaction: id.Transaction{7}}, Snapshot: recon.Snapshot{Ledger: "brand", Provider: "acme", From: now, To: now, Cut: now, Rules: rules}, StartedAt: now, EndedAt: now}
		if run.Attempt, err = s.BeginRun(t.Context(), brand, run); err != nil {
			t.Fatal(err)
		}
		line := &recon.LineSide{Statement: recon.StatementID{Transaction: id.Transaction{8}}, Number: 1, Amount: money.FromInt64(1900), Date: now}
		err = errors.Join(s.AddResults(t.Context(), brand, run, []recon.Result{
			{Number: 1, Verdict: recon.AmountDiffers, Reason: recon.ReasonAmount, Reference: "psp_77", Asset: "EUR", Line: line, Difference: money.FromInt64(-100), Book: &recon.BookSide{Transaction: capture.Transaction, Payment: p, Amount: money.FromInt64(2000), Date: now}},
			{Number: 2, Verdict: recon.MissingHere, Reason: recon.ReasonNotInBooks, Reference: "psp_77", Asset: "EUR", Line: line, Difference: money.FromInt64(1900)},
			{Number: 3, Verdict: recon.MissingHere, Reason: recon.ReasonNotInBooks, Reference: "psp_78", Asset: "EUR", Line: line, Difference: money.FromInt64(1900)},
		}), s.EndRun(t.Context(), brand, run))
		if err != nil {
			t.Fatal(err)
		}
		s.streamed("brand", p, capture.Transaction)

		story := s.story("psp_77")
		want := []string{
			"request noted asked for a deposit: authorize 50.00 EUR",
			"payment accepted authorize 50.00 EUR: (new) → authorized",
			"payment accepted capture 20.00 EUR: authorized → partially_captured",
			"payment refused settle: refused in partially_captured",
			"provider awaited acme sent evt_1: captured",
			"provider refused acme sent evt_2: captured",
			"reconciliation refused the statement of acme was compared: amount_differs",
			"reconciliation refused the statement of acme was compared: missing_here",
			"stream noted the stream of eu tells of it: 2 events",
		}
		got := said(story)
		slices.Sort(got) // clocks of the machine and of the engine differ
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if story.ID != p.String() || story.State != "partially_captured" || story.Next != "provider" || story.Compared != "2 differences with the statement of acme, 0 closed" || len(story.Money) != 2 {
			t.Errorf("%+v", story)
		}
		for _, text := range []string{p.String(), strings.ToUpper(p.String()), "dep-1", "late", "tr_77", "acme/evt_2", "acme/psp_77", capture.Transaction.String()} {
			if same := s.story(text); same.ID != story.ID || !slices.Equal(said(same), said(story)) {
				t.Errorf("by %s it is %+v", text, same)
			}
		}
		if alone := s.story("acme/psp_lost"); alone.Subject != "callbacks" || len(alone.Events) != 1 {
			t.Errorf("%+v", alone)
		}
		overTheWire(t, s, story)
	})
}

// overTheWire asks a server for the same.
func overTheWire(t *testing.T, s tables, story *explain.Story) {
	t.Helper()
	server := httptest.NewServer(rpc.NewHandler(s, rpc.Options{Explain: explain.NewService(s.Store)}))
	defer server.Close()
	client := rpc.NewExplainClient(server.Client(), server.URL)
	a, err := client.Explain(t.Context(), explain.Query{Text: "psp_77", Ledger: "brand"})
	if err != nil || !reflect.DeepEqual(a.Story, story) {
		t.Errorf("%+v, %v\nwant %+v", a.Story, err, story)
	}
	if a, err = client.Explain(t.Context(), explain.Query{Text: "open-bank"}); err != nil || a.Story != nil || len(a.Matches) != 2 || a.Matches[0].Ledger != "brand" || a.Matches[0].How != explain.ByKey {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := client.Explain(t.Context(), explain.Query{Text: "nothing"}); !errors.Is(err, errs.ErrTransactionNotFound) || !strings.Contains(errs.Of(err).Message, "in 2 ledgers") {
		t.Errorf("%v", err)
	}
	for field, q := range map[string]explain.Query{"ledger": {Text: "a", Ledger: "Not One"}, "text": {}} {
		if _, err := client.Explain(t.Context(), q); errs.Of(err).Code != errs.InvalidArgument || errs.Of(err).Fields["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	none := httptest.NewServer(rpc.NewHandler(s, rpc.Options{}))
	defer none.Close()
	if _, err := rpc.NewExplainClient(none.Client(), none.URL).Explain(t.Context(), explain.Query{Text: "a"}); err == nil {
		t.Error("a server without stories tells one")
	}
}

func TestExplain_AHoldFromTheTables(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newTables(t, d)
		s.do("brand", "pay", ledger.Command{Kind: ledger.KindTransfer, Account: "bank", Counter: "alice", Amount: eur(5000), Reference: "inv"})
		s.do("other", "pay", ledger.Command{Kind: ledger.KindCredit, Account: "alice", Amount: eur(5000), Reference: "inv"})
		h := s.do("brand", "hold", ledger.Command{Kind: ledger.KindHold, Account: "bank", Counter: "alice", Amount: eur(100)}).Transaction
		c := s.do("brand", "commit", ledger.Command{Kind: ledger.KindCommit, Target: h, Amount: eur(30), KeepRest: true}).Transaction
		s.do("brand", "more", ledger.Command{Kind: ledger.KindCommit, Target: h, Amount: eur(900)})
		undo := s.do("brand", "undo", ledger.Command{Kind: ledger.KindReverse, Target: c})
		if undo.Decided != ledger.Posted {
			t.Fatalf("%+v", undo)
		}
		s.do("brand", "rest", ledger.Command{Kind: ledger.KindRollback, Target: h})
		story := s.story("undo")
		want := []string{
			"request noted asked to hold 1.00 EUR of bank for alice", "ledger accepted hold 1.00 EUR of bank for alice",
			"ledger accepted commit 0.30 EUR of the hold and keep the rest", "ledger refused commit 9.00 EUR of the hold",
			"ledger accepted reverse transaction " + c.String(), "ledger accepted roll the hold back",
		}
		if got := said(story); !slices.Equal(got, want) || story.ID != h.String() || !story.Terminal || len(story.Money) > 0 {
			t.Errorf("got\n%s\n%+v", strings.Join(got, "\n"), story)
		}
		a, err := explain.NewService(s.Store).Explain(t.Context(), explain.Query{Text: "inv"})
		if err != nil || len(a.Matches) != 2 || a.Matches[0].How != explain.ByReference {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err = explain.NewService(s.Store).Explain(t.Context(), explain.Query{Text: "inv", Ledger: "other"}); err != nil || a.Story == nil || a.Story.Ledger != "other" {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
