package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// The books of the tests: brand at home in eu, other in us, each with EUR/2.
const (
	eu, us       = id.Home("eu"), id.Home("us")
	brand, other = id.Ledger("brand"), id.Ledger("other")
	accounts     = 8
)

// patience bounds whatever a test waits for; two cores are shared by many.
const patience = 30 * time.Second

// server is the ledger as a server has it.
type server struct {
	*store.Store
	*commit.Committer
}

func newServer(t testing.TB, d *db.DB) server {
	t.Helper()
	s := server{Store: store.New(d)}
	s.Committer = commit.New(s.Store, commit.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openBooks makes both ledgers with accounts a0, a1 … and one for clearing.
func openBooks(t testing.TB, s server) {
	t.Helper()
	for _, l := range []ledger.Ledger{{ID: brand, Home: eu}, {ID: other, Home: us}} {
		l.Assets = []money.Asset{{Code: "EUR", Scale: 2}}
		if _, err := s.CreateLedger(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		batch := ledger.Batch{Commands: []ledger.Command{open(l.ID, "clearing")}}
		for i := range accounts {
			c := open(l.ID, account(i))
			c.Terms.Floor = ledger.AtLimit(money.FromInt64(0)) // some commands are declined
			batch.Commands = append(batch.Commands, c)
		}
		if _, err := s.Execute(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
}

func homeOf(l id.Ledger) id.Home {
	if l == other {
		return us
	}
	return eu
}

func account(i int) id.Account { return id.Account(fmt.Sprint("a", i)) }

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

func open(l id.Ledger, name id.Account) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindOpen, Ledger: l, Key: id.Key("open/" + name), Account: name,
		Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
	}
}

func credit(l id.Ledger, key string, to id.Account) ledger.Command {
	return ledger.Command{Kind: ledger.KindCredit, Ledger: l, Key: id.Key(key), Account: to, Counter: "clearing", Amount: eur(1)}
}

// anyCommand returns a random command: mostly on one account of few and the clearing account of all, some declined, some across both homes.
func anyCommand(r *rand.Rand, key string) ledger.Command {
	l := brand
	if r.IntN(3) == 0 {
		l = other
	}
	i := r.IntN(accounts)
	a, b := account(i), account((i+1+r.IntN(accounts-1))%accounts)
	switch r.IntN(5) {
	case 0:
		return credit(l, key, a)
	case 1, 2:
		return ledger.Command{Kind: ledger.KindTransfer, Ledger: l, Key: id.Key(key), Account: a, Counter: b, Amount: eur(1)}
	case 3:
		return ledger.Command{Kind: ledger.KindTransfer, Ledger: l, Key: id.Key(key), Account: a, Counter: b, Amount: eur(1_000_000)}
	}
	return across(l, key, a, b)
}

// across moves money in both ledgers at once.
func across(to id.Ledger, key string, a, b id.Account) ledger.Command {
	leg := func(l id.Ledger, side ledger.Side, name id.Account) ledger.Leg {
		return ledger.Leg{Ledger: l, Side: side, Account: name, Amount: *eur(1)}
	}
	return ledger.Command{Kind: ledger.KindPost, Ledger: to, Key: id.Key(key), Legs: []ledger.Leg{
		leg(brand, ledger.Debit, "clearing"), leg(brand, ledger.Credit, a), leg(other, ledger.Debit, "clearing"), leg(other, ledger.Credit, b),
	}}
}

// reversal undoes what a command did, where it did anything.
func reversal(of ledger.Command, key string) ledger.Command {
	return ledger.Command{Kind: ledger.KindReverse, Ledger: of.Ledger, Key: id.Key(key), Target: id.TransactionOf(of.Ledger, of.Key)}
}

func do(t testing.TB, s server, c ledger.Command) id.Transaction {
	t.Helper()
	o, err := ledger.Do(t.Context(), s, c)
	if err != nil {
		t.Fatalf("%s %s: %v", c.Kind, c.Key, err)
	}
	return o.Transaction
}

// taker is a consumer that keeps what it was handed, as a relay does: in the stream, each row once.
type taker struct {
	t    testing.TB
	db   *db.DB
	home id.Home

	mu      sync.Mutex
	changed *sync.Cond
	first   []event.Change // without repeats
	seen    map[id.Transaction]int
	last    map[ledger.Ref]int64
	cursors []event.Cursor       // every one that was handed over, in order
	had     map[event.Cursor]int // of first, when it came the first time
	batches int
	at      time.Time
	beaten  time.Time
	silence time.Duration // the longest between two batches
	refuse  error
	on      func(event.Change) // of each that is new
}

func newTaker(t testing.TB, d *db.DB, home id.Home) *taker {
	k := &taker{t: t, db: d, home: home, seen: map[id.Transaction]int{}, last: map[ledger.Ref]int64{}}
	k.had = map[event.Cursor]int{}
	k.changed = sync.NewCond(&k.mu)
	return k
}

const sqlAppend = `
INSERT INTO stream (home, position, ledger_id, transaction_id, appended_at)
SELECT $1, $2 + s.n, s.ledger_id, s.id, now()
FROM unnest($3::text[], $4::uuid[]) WITH ORDINALITY AS s (ledger_id, id, n)
ON CONFLICT (home, ledger_id, transaction_id) DO NOTHING`

func (k *taker) take(ctx context.Context, b feed.Batch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse != nil {
		return k.refuse
	}
	var ledgers []string
	var ids [][16]byte
	before := len(k.first)
	for _, c := range b.Changes {
		if k.seen[c.Transaction]++; k.seen[c.Transaction] > 1 {
			continue
		}
		k.check(c)
		k.first = append(k.first, c)
		ledgers, ids = append(ledgers, string(c.Ledger)), append(ids, c.Transaction)
		if k.on != nil {
			k.on(c)
		}
	}
	if len(ids) > 0 {
		err := k.db.Write(ctx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sqlAppend, k.home, before, ledgers, ids)
			return err
		})
		if err != nil {
			return err
		}
	}
	if b.Cursor != "" {
		k.cursors = append(k.cursors, b.Cursor)
		if _, again := k.had[b.Cursor]; !again {
			k.had[b.Cursor] = len(k.first)
		}
	}
	if !b.At.IsZero() {
		if b.At.Before(k.at) {
			k.t.Errorf("the time up to which everything was handed over went back from %s to %s", k.at, b.At)
		}
		k.at = b.At
	}
	if !k.beaten.IsZero() {
		k.silence = max(k.silence, time.Since(k.beaten))
	}
	k.beaten = time.Now()
	k.batches++
	k.changed.Broadcast()
	return nil
}

// check holds the promise of the order, which has no gap, for accounts of the home.
func (k *taker) check(c event.Change) {
	if c.Home != k.home || c.Origin != homeOf(c.Ledger) {
		k.t.Errorf("%s of home %s in the stream of %s came to home %s", c.Transaction, c.Origin, c.Home, k.home)
	}
	touches := c.Origin == k.home
	for _, s := range c.Entries {
		if homeOf(s.Ref.Ledger) != k.home {
			continue
		}
		touches = true
		if s.Sequence != k.last[s.Ref]+1 {
			k.t.Errorf("account %s: sequence %d came after %d", s.Ref, s.Sequence, k.last[s.Ref])
		}
		k.last[s.Ref] = s.Sequence
	}
	if !touches {
		k.t.Errorf("%s of home %s does not touch home %s", c.Transaction, c.Origin, k.home)
	}
}

// until waits for a condition on what was taken.
func (k *taker) until(what string, condition func() bool) {
	k.t.Helper()
	late := time.AfterFunc(patience, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.changed.Broadcast()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	k.mu.Lock()
	defer k.mu.Unlock()
	for !condition() {
		if time.Now().After(deadline) {
			k.t.Fatalf("%s: waited %s in vain, %d changes and %d batches came", what, patience, len(k.first), k.batches)
		}
		k.changed.Wait()
	}
}

func (k *taker) untilTaken(transactions ...id.Transaction) {
	k.t.Helper()
	k.until(fmt.Sprint(transactions), func() bool {
		for _, t := range transactions {
			if k.seen[t] == 0 {
				return false
			}
		}
		return true
	})
}

const sqlAllOf = `SELECT id FROM journal WHERE home = $1 UNION SELECT transaction_id FROM entry WHERE home = $1`

// untilAll waits for every journal row of the home, and every one that has entries there.
func (k *taker) untilAll() {
	k.t.Helper()
	rows, _ := k.db.Reader().Query(k.t.Context(), sqlAllOf, k.home)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	if err != nil {
		k.t.Fatal(err)
	}
	all := make([]id.Transaction, len(ids))
	for i := range ids {
		all[i] = ids[i]
	}
	k.untilTaken(all...)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.first) != len(all) {
		k.t.Errorf("%d changes were handed over, %s has %d journal rows", len(k.first), k.home, len(all))
	}
}

// looks is how many batches have come.
func (k *taker) looks() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.batches
}

// cursor is the newest.
func (k *taker) cursor() event.Cursor {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cursors) == 0 {
		return ""
	}
	return k.cursors[len(k.cursors)-1]
}

// rewound is a consumer that knows what this one knew when it was handed a cursor, and a stream to match.
func (k *taker) rewound(admin *pgx.Conn, cursor event.Cursor) *taker {
	k.t.Helper()
	earlier := newTaker(k.t, k.db, k.home)
	for _, c := range k.first[:k.had[cursor]] {
		earlier.first = append(earlier.first, c)
		earlier.seen[c.Transaction]++
		earlier.check(c)
	}
	if _, err := admin.Exec(k.t.Context(), `DELETE FROM stream WHERE home = $1 AND position > $2`, k.home, len(earlier.first)); err != nil {
		k.t.Fatal(err)
	}
	return earlier
}

// feeding is a source at work.
type feeding struct {
	stop func() error // ends it and returns why it says it stopped
}

// feedFrom starts a source; it ends with the test.
func feedFrom(t testing.TB, d *db.DB, k *taker, from event.Cursor, o feed.Options) feeding {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- feed.New(d, o).Run(ctx, k.home, from, k.take) }()
	var once sync.Once
	var err error
	stop := func() error {
		once.Do(func() {
			cancel()
			select {
			case err = <-ended:
			case <-time.After(patience):
				err = errors.New("the feed does not stop")
			}
		})
		return err
	}
	t.Cleanup(func() {
		if err := stop(); !errors.Is(err, context.Canceled) && k.refuse == nil {
			t.Errorf("the feed ended: %v", err)
		}
	})
	return feeding{stop: stop}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.WithoutCancel(t.Context())) })
	return c
}
