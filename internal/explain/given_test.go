package explain

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
)

var update = flag.Bool("update", false, "write the golden stories again")

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is a ledger in memory, and the Store of its stories. A minute passes between two commands.
type world struct {
	t         *testing.T
	now       time.Time
	books     *ledger.Books
	ledgers   []ledger.Ledger
	records   []ledger.Record
	steps     []ledger.PaymentStep
	callbacks []provider.Callback
	compared  []Compared
	streamed  Streamed
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: noon, ledgers: []ledger.Ledger{{ID: "brand", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}}}
	w.books = ledger.NewBooks(noon)
	w.books.Ledgers["brand"], w.books.Lifecycle = w.ledgers[0], payment.Default().Lifecycle()
	w.books.Players[ledger.PlayerRef("brand", "p")] = ledger.Player{Home: "eu", Ledger: "brand", ID: "p"}
	w.open("bank", ledger.Debit)
	w.open("alice", ledger.Credit)
	w.player(ledger.PlayerChange{KYC: ledger.KYCVerified})
	return w
}

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

func (w *world) do(key string, c ledger.Command) ledger.Outcome {
	w.t.Helper()
	c.Ledger, c.Key = "brand", id.Key(key)
	if err := c.Validate(w.now); err != nil {
		w.t.Fatal(err)
	}
	c, err := w.books.Lifecycle.Prepared(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.books.Now = w.now
	w.now = w.now.Add(time.Minute)
	r := w.books.Execute(ledger.Batch{Commands: []ledger.Command{c}})[0]
	if r.Err != nil {
		w.t.Fatal(r.Err)
	}
	o := r.Outcome
	record := ledger.Record{Home: "eu", Request: c.Canonical(), Reference: c.Reference, Correlation: c.Correlation, TraceID: c.TraceID, Target: c.Target, Outcome: o}
	if c.Kind == ledger.KindReverse && o.Decided == ledger.Posted {
		record.Reverses = c.Target
	}
	w.records = append(w.records, record)
	if s := o.Step; s != nil && s.Number > 0 {
		w.steps = append(w.steps, ledger.PaymentStep{
			Home: "eu", Ledger: "brand", Payment: s.Payment, Number: s.Number, Transaction: o.Transaction, Trigger: s.Trigger, From: s.From, To: s.To,
			Decided: o.Decided, Reason: o.Reason, RecordedAt: o.RecordedAt,
		})
	}
	return o
}

func (w *world) open(account id.Account, side ledger.Side) {
	terms := &ledger.Terms{Asset: "EUR", Normal: side, Floor: ledger.AtLimit(money.Amount{})}
	if side == ledger.Debit {
		terms.Floor = ledger.Limit{}
	}
	w.do("open-"+string(account), ledger.Command{Kind: ledger.KindOpen, Account: account, Terms: terms})
}

func (w *world) player(c ledger.PlayerChange) {
	c.Player = "p"
	w.do(fmt.Sprint("player-", len(w.records)), ledger.Command{Kind: ledger.KindPlayer, Player: &c})
}

// begin makes a payment.
func (w *world) begin(key string, k ledger.PaymentKind, on ledger.Trigger, n int64, reference string) id.Transaction {
	return w.do(key, ledger.Command{Kind: ledger.KindStep, Amount: eur(n), TraceID: "tr_" + key, Step: &ledger.Step{
		Payment: k, Trigger: on, Player: "p", Provider: "acme", ProviderReference: reference, Actor: "checkout",
	}}).Transaction
}

func (w *world) step(key string, p id.Transaction, on ledger.Trigger, amount *ledger.Money, more ledger.Step) ledger.Outcome {
	more.Payment, more.Trigger = w.books.Payments[p].Kind, on
	return w.do(key, ledger.Command{Kind: ledger.KindStep, Target: p, Amount: amount, Step: &more})
}

func (w *world) sent(event, reference string, state provider.State, cause, detail string) {
	w.callbacks = append(w.callbacks, provider.Callback{
		Envelope: provider.Envelope{
			Home: "eu", Ledger: "brand", Provider: "acme", ID: event, Type: "payment.captured", Trigger: "capture", Reference: reference, Amount: money.FromInt64(3000), HasAmount: true,
			Currency: "EUR", ReceivedAt: w.now.Add(-time.Second), Raw: provider.Raw{Mode: provider.RawEncrypted, KeyID: "k1", Bytes: []byte("card 4111111111111111")},
			Cause: cause, Detail: detail,
		},
		State: state, DueAt: w.now, ChangedAt: w.now,
	})
}

// Ledger implements Store, as do the others.
func (w *world) Ledger(_ context.Context, key id.Ledger) (ledger.Ledger, error) {
	for _, l := range w.ledgers {
		if l.ID == key {
			return l, nil
		}
	}
	return ledger.Ledger{}, errs.ErrLedgerNotFound
}

func (w *world) Ledgers(_ context.Context, _ id.Ledger, limit int) ([]ledger.Ledger, error) {
	return w.ledgers[:min(limit, len(w.ledgers))], nil
}

func (w *world) Find(_ context.Context, ledgers []ledger.Ledger, text string, _ int) (found []Found, _ error) {
	for _, l := range ledgers {
		for _, r := range w.records {
			if r.Outcome.Ledger == l.ID && r.Reference == text {
				found = append(found, Found{l.ID, r.Outcome.Transaction, ByReference})
			}
			if r.Outcome.Ledger == l.ID && r.TraceID == text {
				found = append(found, Found{l.ID, r.Outcome.Transaction, ByTrace})
			}
		}
		for _, p := range w.books.Payments {
			if p.Ledger == l.ID && p.ProviderReference == text {
				found = append(found, Found{l.ID, p.ID, ByProviderReference})
			}
		}
	}
	return found, nil
}

func (w *world) Records(_ context.Context, keys []Key) (found []ledger.Record, _ error) {
	for _, k := range keys {
		for _, r := range w.records {
			if keyOf(r) == k {
				found = append(found, r)
			}
		}
	}
	return found, nil
}

func (w *world) Acted(_ context.Context, on []Key, _ int) (found []ledger.Record, _ error) {
	for _, r := range w.records {
		if r.Outcome.Kind != ledger.KindStep && slices.ContainsFunc(on, func(k Key) bool { return k.Transaction == r.Target }) {
			found = append(found, r)
		}
	}
	return found, nil
}

func (w *world) Hold(_ context.Context, key Key) (ledger.Hold, bool, error) {
	h, found := w.books.Holds[key.Transaction]
	return h, found, nil
}

func (w *world) Payment(_ context.Context, _ id.Ledger, p id.Transaction) (ledger.Payment, error) {
	if found, known := w.books.Payments[p]; known {
		return found, nil
	}
	return ledger.Payment{}, errs.ErrPaymentNotFound
}

func (w *world) PaymentSteps(_ context.Context, _ id.Ledger, p id.Transaction, _ int64, _ int) (found []ledger.PaymentStep, _ error) {
	for _, s := range w.steps {
		if s.Payment == p {
			found = append(found, s)
		}
	}
	return found, nil
}

func (w *world) Player(_ context.Context, l id.Ledger, p id.Player) (ledger.Player, error) {
	return w.books.Players[ledger.PlayerRef(l, p)], nil
}

func (w *world) Children(_ context.Context, p ledger.Payment, _ int) (found []ledger.Payment, _ error) {
	for _, c := range w.books.Payments {
		if c.Parent == p.ID {
			found = append(found, c)
		}
	}
	return found, nil
}

func (w *world) CallbacksOf(_ context.Context, ledgers []ledger.Ledger, orders []string, _ int) (found []provider.Callback, _ error) {
	for i, l := range ledgers {
		for _, c := range w.callbacks {
			if c.Ledger == l.ID && c.Order() == orders[i] {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

func (w *world) CallbacksAt(_ context.Context, ledgers []ledger.Ledger, names []provider.Name, events []string) (found []provider.Callback, _ error) {
	for i, l := range ledgers {
		for _, c := range w.callbacks {
			if c.Ledger == l.ID && c.Provider == names[i] && c.ID == events[i] {
				found = append(found, c)
			}
		}
	}
	return found, nil
}

func (w *world) Compared(_ context.Context, _ ledger.Ledger, ids []id.Transaction, references []string, _ int) (found []Compared, _ error) {
	for _, c := range w.compared {
		if b := c.Result.Book; b != nil && slices.Contains(ids, b.Transaction) || b == nil && slices.Contains(references, c.Result.Reference) {
			found = append(found, c)
		}
	}
	return found, nil
}

func (w *world) Streamed(context.Context, id.Ledger, []id.Transaction) (Streamed, error) {
	return w.streamed, nil
}

// streams puts rows into the stream of eu, at positions of their own.
func (w *world) streams(ids ...id.Transaction) {
	for _, t := range ids {
		w.streamed.Placed = append(w.streamed.Placed, Placed{"eu", event.Position(7 + len(w.streamed.Placed)), t, w.now})
	}
}

func (w *world) results(verdict recon.Verdict, reason recon.Reason, transaction id.Transaction, reference string, line, book int64) {
	c := Compared{Run: recon.Run{ID: recon.RunID{Transaction: id.Transaction{9}}, Snapshot: recon.Snapshot{Provider: "acme"}, Done: true}, At: w.now}
	c.Result = recon.Result{
		Number: int64(len(w.compared) + 1), Verdict: verdict, Reason: reason, Reference: reference, Asset: "EUR", Difference: money.FromInt64(line - book),
		Line: &recon.LineSide{Amount: money.FromInt64(line)},
	}
	if !transaction.IsZero() {
		c.Result.Book = &recon.BookSide{Transaction: transaction, Amount: money.FromInt64(book)}
	}
	w.compared = append(w.compared, c)
}

// tells asks, and holds the text to a golden file.
func (w *world) tells(name, text string) *Story {
	w.t.Helper()
	a, err := NewService(w).Explain(w.t.Context(), Query{Text: text})
	if err != nil {
		w.t.Fatal(err)
	}
	if a.Story == nil {
		w.t.Fatalf("%s leads to %+v", text, a.Matches)
	}
	golden(w.t, name+".txt", a)
	return a.Story
}
