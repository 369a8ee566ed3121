package verify

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// service is the ledger as a server runs it.
type service struct {
	*store.Store
	*commit.Committer
}

var _ ledger.Service = service{}

func newService(d *db.DB) service {
	s := store.New(d)
	return service{Store: s, Committer: commit.New(s, commit.Options{})}
}

const (
	euBooks = id.Ledger("brand-eu")
	usBooks = id.Ledger("brand-us")
)

// writer plays commands and names them by their keys.
type writer struct {
	t testing.TB
	service
}

// tx is the transaction that the key of a story makes.
func tx(key id.Key) id.Transaction { return id.TransactionOf(euBooks, key) }

func eur(minor int64) *ledger.Money {
	return &ledger.Money{Minor: money.FromInt64(minor), Asset: "EUR"}
}

func (w writer) do(c ledger.Command, want errs.Reason) ledger.Outcome {
	w.t.Helper()
	if c.Ledger == "" {
		c.Ledger = euBooks
	}
	o, err := ledger.Do(w.t.Context(), w, c)
	if err != nil {
		w.t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	if o.Reason != want {
		w.t.Fatalf("%s %s was declined for %q, want %q", c.Kind, c.Key, o.Reason, want)
	}
	return o
}

func (w writer) posts(c ledger.Command)                      { w.t.Helper(); w.do(c, "") }
func (w writer) declines(c ledger.Command, want errs.Reason) { w.t.Helper(); w.do(c, want) }

func (w writer) opens(l id.Ledger, account id.Account, asset money.Code) {
	w.t.Helper()
	w.posts(ledger.Command{
		Kind: ledger.KindOpen, Ledger: l, Key: id.Key("open_" + account), Account: account,
		Terms: &ledger.Terms{Asset: asset, Normal: ledger.Credit, Metadata: ledger.Metadata{"name": "<" + string(account) + "> & Söhne"}},
	})
}

func (w writer) ledgers() {
	w.t.Helper()
	for _, l := range []ledger.Ledger{
		{ID: euBooks, Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "ETH", Scale: 18}}},
		{ID: usBooks, Home: "us", Assets: []money.Asset{{Code: "EUR", Scale: 2}, {Code: "USD", Scale: 2}}},
	} {
		if _, err := w.CreateLedger(w.t.Context(), l); err != nil {
			w.t.Fatalf("create ledger %s: %v", l.ID, err)
		}
	}
}

// story fills the books with every kind of command, and every kind of end that one can take.
//
//	acc_a   moves money in every way; some of it is held
//	acc_b   receives
//	acc_h   the holds that have ended
//	acc_x   was closed
//	acc_0   was opened, and never used
//	eth_1   has 38 digits
//	nostro  mirrors us/vostro in the other ledger
func story(t *testing.T, d *db.DB) writer {
	w := writer{t, newService(d)}
	w.ledgers()
	for _, a := range []id.Account{"acc_a", "acc_b", "acc_h", "acc_x", "acc_0", "nostro"} {
		w.opens(euBooks, a, "EUR")
	}
	w.opens(euBooks, "eth_1", "ETH")
	w.opens(usBooks, "vostro", "EUR")
	w.opens(usBooks, "us_1", "EUR")
	w.moves()
	w.holdsMoney()
	w.reverses()
	w.administers()
	w.isDeclined()
	return w
}

func (w writer) moves() {
	w.t.Helper()
	w.posts(ledger.Command{
		Kind: ledger.KindCredit, Key: "deposit", Account: "acc_a", Amount: eur(100_000), Reason: "deposit", Reference: "psp_1",
		Correlation: "c1", Metadata: ledger.Metadata{"channel": "card"}, TraceID: "tr_1",
	})
	w.posts(ledger.Command{
		Kind: ledger.KindDebit, Key: "payout", Account: "acc_a", Amount: eur(5_000), Reason: "payout",
		EffectiveAt: time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("", 7200)),
	})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "transfer", Account: "acc_a", Counter: "acc_b", Amount: eur(500), Reference: "po_1"})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "transfer_2", Account: "acc_a", Counter: "acc_b", Amount: eur(700)})
	w.posts(ledger.Command{
		Kind: ledger.KindCredit, Key: "mint", Account: "eth_1",
		Amount: &ledger.Money{Minor: money.MustParse("99999999999999999999999999999999999999"), Asset: "ETH"},
	})
	w.posts(ledger.Command{Kind: ledger.KindPost, Key: "across", Legs: []ledger.Leg{
		{Account: "acc_a", Side: ledger.Debit, Amount: *eur(300)},
		{Account: "nostro", Side: ledger.Credit, Amount: *eur(300)},
		{Ledger: usBooks, Account: "vostro", Side: ledger.Debit, Amount: *eur(300)},
		{Ledger: usBooks, Account: "us_1", Side: ledger.Credit, Amount: *eur(300)},
	}})
	w.posts(ledger.Command{Kind: ledger.KindPost, Key: "split", Legs: []ledger.Leg{ // one account twice
		{Account: "acc_a", Side: ledger.Debit, Amount: *eur(20)},
		{Account: "acc_a", Side: ledger.Debit, Amount: *eur(10)},
		{Account: "acc_b", Side: ledger.Credit, Amount: *eur(30)},
	}})
	w.posts(ledger.Command{Kind: ledger.KindCredit, Ledger: usBooks, Key: "deposit", Account: "us_1", Amount: eur(40)})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "fund_h", Account: "acc_a", Counter: "acc_h", Amount: eur(10_000)})
}

func (w writer) holdsMoney() {
	w.t.Helper()
	hold := func(key id.Key, from, to id.Account, amount int64) {
		w.t.Helper()
		w.posts(ledger.Command{Kind: ledger.KindHold, Key: key, Account: from, Counter: to, Amount: eur(amount), Reason: "bet", ExpiresIn: time.Hour})
	}
	hold("hold_open", "acc_a", "acc_b", 1_000)
	hold("hold_part", "acc_a", "", 800)
	w.posts(ledger.Command{Kind: ledger.KindCommit, Key: "commit_part", Target: tx("hold_part"), Amount: eur(300), KeepRest: true})
	hold("hold_whole", "acc_h", "acc_b", 100)
	w.posts(ledger.Command{Kind: ledger.KindCommit, Key: "commit_whole", Target: tx("hold_whole")})
	hold("hold_twice", "acc_h", "acc_b", 200)
	w.posts(ledger.Command{Kind: ledger.KindCommit, Key: "commit_first", Target: tx("hold_twice"), Amount: eur(50), KeepRest: true})
	w.posts(ledger.Command{Kind: ledger.KindCommit, Key: "commit_last", Target: tx("hold_twice"), Amount: eur(60)})
	hold("hold_back", "acc_h", "acc_b", 300)
	w.posts(ledger.Command{Kind: ledger.KindRollback, Key: "rollback", Target: tx("hold_back")})
	hold("hold_late", "acc_h", "acc_b", 400)
	w.posts(ledger.ExpireCommand(ledger.Hold{ID: tx("hold_late"), Ledger: euBooks}))
}

func (w writer) reverses() {
	w.t.Helper()
	for key, target := range map[id.Key]id.Key{"undo_transfer": "transfer", "undo_across": "across", "undo_commit": "commit_whole", "undo_split": "split"} {
		w.posts(ledger.Command{Kind: ledger.KindReverse, Key: key, Target: tx(target)})
	}
}

func (w writer) administers() {
	w.t.Helper()
	floor, ceiling := ledger.AtLimit(money.Amount{}), ledger.AtLimit(money.FromInt64(1_000_000))
	w.posts(ledger.Command{Kind: ledger.KindUpdate, Key: "limit", Account: "acc_a", Change: &ledger.Change{Floor: &floor, Ceiling: &ceiling}})
	w.posts(ledger.Command{Kind: ledger.KindFreeze, Key: "freeze", Account: "acc_b", Status: ledger.Frozen})
	w.posts(ledger.Command{Kind: ledger.KindFreeze, Key: "thaw", Account: "acc_b", Status: ledger.Open})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "after", Account: "acc_a", Counter: "acc_b", Amount: eur(1)})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "x_in", Account: "acc_a", Counter: "acc_x", Amount: eur(9)})
	w.posts(ledger.Command{Kind: ledger.KindTransfer, Key: "x_out", Account: "acc_x", Counter: "acc_a", Amount: eur(9)})
	w.posts(ledger.Command{Kind: ledger.KindClose, Key: "close", Account: "acc_x"})
}

func (w writer) isDeclined() {
	w.t.Helper()
	w.declines(ledger.Command{Kind: ledger.KindTransfer, Key: "too_much", Account: "acc_a", Counter: "acc_b", Amount: eur(1 << 40)}, errs.ReasonInsufficientFunds)
	w.declines(ledger.Command{Kind: ledger.KindTransfer, Key: "nobody", Account: "acc_?", Counter: "acc_b", Amount: eur(1)}, errs.ReasonAccountNotFound)
	w.declines(ledger.Command{Kind: ledger.KindCommit, Key: "again", Target: tx("hold_whole")}, errs.ReasonHoldExhausted)
	w.declines(ledger.Command{Kind: ledger.KindReverse, Key: "undo_again", Target: tx("transfer")}, errs.ReasonAlreadyReversed)
	results, err := w.Execute(w.t.Context(), ledger.Batch{Atomic: true, Commands: []ledger.Command{
		{Kind: ledger.KindTransfer, Ledger: euBooks, Key: "batch_1", Account: "acc_a", Counter: "acc_b", Amount: eur(1)},
		{Kind: ledger.KindTransfer, Ledger: euBooks, Key: "batch_2", Account: "acc_x", Counter: "acc_b", Amount: eur(1)},
	}})
	if err != nil || results[0].Outcome.Reason != errs.ReasonBatchDeclined || results[1].Outcome.Reason != errs.ReasonAccountClosed {
		w.t.Fatalf("the batch became %+v, %v", results, err)
	}
}

// verified runs and wants no error.
func verified(t *testing.T, d *db.DB, o Options) Report {
	t.Helper()
	r, err := Run(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantClean fails with everything that was found.
func wantClean(t *testing.T, r Report) {
	t.Helper()
	for _, c := range r.Checks {
		for _, f := range c.Findings {
			t.Errorf("%s: %s", c.Name, f)
		}
	}
	if !r.OK() {
		t.Fatal(r.Verdict())
	}
}

// transfers writes n transfers between accounts that it opens.
func (w writer) transfers(accounts, n int) {
	w.t.Helper()
	commands := make([]ledger.Command, accounts)
	for i := range commands {
		commands[i] = ledger.Command{
			Kind: ledger.KindOpen, Ledger: euBooks, Key: id.Key("open_" + loaded(i)), Account: loaded(i),
			Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
		}
	}
	w.batches(commands)
	w.transfersFrom(0, accounts, n)
}

// transfersFrom goes on with n more.
func (w writer) transfersFrom(first, accounts, n int) {
	w.t.Helper()
	commands := make([]ledger.Command, n)
	for i := range commands {
		k := first + i
		from, to := k*7%accounts, (k*7+1+k%(accounts-1))%accounts
		commands[i] = ledger.Command{
			Kind: ledger.KindTransfer, Ledger: euBooks, Key: id.Key(fmt.Sprintf("load_%d", k)), Account: loaded(from),
			Counter: loaded(to), Amount: eur(int64(1 + k%1000)), Reference: fmt.Sprintf("ref_%d", k),
		}
	}
	w.batches(commands)
}

func loaded(i int) id.Account { return id.Account(fmt.Sprintf("load:%05d", i)) }

func (w writer) batches(commands []ledger.Command) {
	w.t.Helper()
	for batch := range slices.Chunk(commands, 500) {
		results, err := w.Execute(w.t.Context(), ledger.Batch{Commands: batch})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil || r.Outcome.Decided != ledger.Posted {
				w.t.Fatalf("%+v", r)
			}
		}
	}
}
