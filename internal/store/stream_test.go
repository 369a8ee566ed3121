package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/store"
)

func changeOf(n int) event.Change {
	return event.Change{Home: "eu", Ledger: brand, Transaction: id.TransactionOf(brand, id.Key(fmt.Sprint("k", n)))}
}

// written is the stream of a home as the table has it.
func written(t *rapid.T, d *db.DB, home id.Home) []id.Transaction {
	rows, _ := d.Reader().Query(t.Context(), `SELECT position, transaction_id FROM stream WHERE home = $1 ORDER BY position`, home)
	var all []id.Transaction
	var position int
	var transaction id.Transaction
	if _, err := pgx.ForEachRow(rows, []any{&position, (*[16]byte)(&transaction)}, func() error {
		if all = append(all, transaction); position != len(all) {
			t.Fatalf("position %d is the %d. of %s", position, len(all), home)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// Two owners take, lose, renew and use a lease in any order. The model is a list, and the epoch that may write to it.
func TestStream_IsTheListThatItsOwnersWrote(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, run := store.New(d.DB), 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			home := id.Home(fmt.Sprintf("home-%d", run))
			var list []id.Transaction
			var epoch int64
			var cursor event.Cursor
			free := true
			leases := map[string]event.Lease{"a": {Home: home}, "b": {Home: home}}
			current := func(l event.Lease) error {
				if l.Epoch == epoch && epoch > 0 {
					return nil
				}
				return event.ErrFenced
			}
			owner := func() string { return rapid.SampledFrom([]string{"a", "b"}).Draw(t, "owner") }
			ttl := func() time.Duration { return rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "ttl") }
			t.Repeat(map[string]func(*rapid.T){
				"acquire": func(t *rapid.T) {
					who, ttl := owner(), ttl()
					tenure, taken, err := s.Acquire(t.Context(), home, who, ttl)
					if err != nil || taken != free {
						t.Fatalf("acquire: %t %v, want %t", taken, err, free)
					}
					if !taken {
						return
					}
					epoch++
					if tenure.Epoch != epoch || tenure.Head != event.Position(len(list)) || tenure.Cursor != cursor {
						t.Fatalf("the tenure is %+v, want epoch %d, head %d, cursor %q", tenure, epoch, len(list), cursor)
					}
					leases[who], free = tenure.Lease, ttl == 0
				},
				"renew": func(t *rapid.T) {
					lease, ttl := leases[owner()], ttl()
					err := s.Renew(t.Context(), lease, ttl)
					if want := current(lease); !errors.Is(err, want) {
						t.Fatalf("renew: %v, want %v", err, want)
					}
					if err == nil {
						free = ttl == 0
					}
				},
				"release": func(t *rapid.T) {
					lease := leases[owner()]
					if err := s.Release(t.Context(), lease); err != nil {
						t.Fatal(err)
					}
					free = free || current(lease) == nil
				},
				"fence": func(t *rapid.T) {
					lease := leases[owner()]
					err := d.DB.Write(t.Context(), func(tx pgx.Tx) error { return store.Fence(t.Context(), tx, lease) })
					if want := current(lease); !errors.Is(err, want) {
						t.Fatalf("fence: %v, want %v", err, want)
					}
				},
				"append": func(t *rapid.T) {
					lease := leases[owner()]
					var changes []event.Change
					fresh := 0
					for _, n := range rapid.SliceOfN(rapid.IntRange(0, 30), 0, 12).Draw(t, "changes") {
						changes = append(changes, changeOf(n))
					}
					next := event.Cursor(rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "cursor"))
					head, appended, err := s.Append(t.Context(), lease, changes, next)
					if want := current(lease); !errors.Is(err, want) {
						t.Fatalf("append: %v, want %v", err, want)
					}
					if err != nil {
						return
					}
					for _, c := range changes {
						if !slices.Contains(list, c.Transaction) {
							list, fresh = append(list, c.Transaction), fresh+1
						}
					}
					if next != "" {
						cursor = next
					}
					if head != event.Position(len(list)) || appended != fresh {
						t.Fatalf("append says head %d, %d new; want %d and %d", head, appended, len(list), fresh)
					}
				},
				"": func(t *rapid.T) {
					if got := written(t, d.DB, home); !slices.Equal(got, list) {
						t.Fatalf("the stream is %v, want %v", got, list)
					}
				},
			})
		})
	})
}

func acquire(t *testing.T, s *store.Store, owner string, ttl time.Duration) event.Lease {
	t.Helper()
	for {
		tenure, taken, err := s.Acquire(t.Context(), "eu", owner, ttl)
		if err != nil {
			t.Fatal(err)
		}
		if taken {
			return tenure.Lease
		}
		time.Sleep(10 * time.Millisecond) // it is the clock of the database that is waited for
	}
}

func TestAcquire_OneOfManyGetsIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		const many = 8
		won := make(chan bool, many)
		for i := range many {
			go func() {
				_, taken, err := s.Acquire(t.Context(), "eu", fmt.Sprint(i), time.Hour)
				if err != nil {
					t.Error(err)
				}
				won <- taken
			}()
		}
		winners := 0
		for range many {
			if <-won {
				winners++
			}
		}
		if h, err := s.Holding(t.Context(), "eu"); winners != 1 || err != nil || h.Epoch != 1 || h.Left < 50*time.Minute || h.Left > time.Hour {
			t.Errorf("%d of %d got it, and the lease is %+v: %v", winners, many, h, err)
		}
	})
}

const sqlCheckpoint = `
INSERT INTO progress (home, subscription_id, since, position, delivered, digest, changed_at) VALUES ('eu', $1, 0, 1, 1, 0, now())`

// The line to the database stalls with an append and a checkpoint on it, somebody else takes over, and then the line flows again.
func TestStream_WhatAStalledOwnerSentIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		stand := newStand(t, d)
		open, err := db.Open(t.Context(), db.Options{URL: stand.proxy.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(open.Close)
		stalled := store.New(open)
		old := acquire(t, stalled, "stalled", 200*time.Millisecond)
		if _, _, err := stalled.Append(t.Context(), old, []event.Change{changeOf(1)}, "one"); err != nil {
			t.Fatal(err)
		}
		stand.proxy.Stall()
		failed := make(chan error, 3)
		go func() {
			_, _, err := stalled.Append(t.Context(), old, []event.Change{changeOf(2)}, "two")
			failed <- err
		}()
		go func() {
			failed <- open.Write(t.Context(), func(tx pgx.Tx) error {
				if err := store.Fence(t.Context(), tx, old); err != nil {
					return err
				}
				_, err := tx.Exec(t.Context(), sqlCheckpoint, "late")
				return err
			})
		}()
		go func() { failed <- stalled.Renew(t.Context(), old, time.Hour) }()
		now := acquire(t, stand.Store, "next", time.Hour)
		head, _, err := stand.Append(t.Context(), now, []event.Change{changeOf(3)}, "three")
		if err != nil || head != 2 {
			t.Fatalf("the next owner appends: head %d, %v", head, err)
		}
		stand.proxy.Heal()
		for range cap(failed) {
			if err := <-failed; !errors.Is(err, event.ErrFenced) {
				t.Errorf("who stalled gets %v, want %v", err, event.ErrFenced)
			}
		}
		if n := stand.count("stream"); n != 2 || stand.count("progress") != 0 {
			t.Errorf("%d rows in the stream and %d in progress, want what was before and what the next owner wrote", n, stand.count("progress"))
		}
	})
}

// The worst moment to stall is past the fence: the next owner either finds what is under way committed, or it never will be. And it does not
// wait for longer than the lease.
func TestAcquire_NothingOfAnEarlierEpochCommitsLater(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		stand := newStand(t, d)
		for _, stalls := range []bool{false, true} {
			name := fmt.Sprintf("stalls=%t", stalls)
			old := acquire(t, stand.Store, name, 0)
			taken := make(chan int, 1) // how many checkpoints the next owner finds
			attempts := 0
			began := time.Now()
			err := d.DB.Write(t.Context(), func(tx pgx.Tx) error {
				if err := store.Fence(t.Context(), tx, old); err != nil {
					return err
				}
				if _, err := tx.Exec(t.Context(), sqlCheckpoint, name); err != nil {
					return err
				}
				if attempts++; attempts > 1 {
					return nil
				}
				go func() {
					acquire(t, stand.Store, "next", 0)
					var found int
					if err := d.DB.Reader().QueryRow(t.Context(), `SELECT count(*) FROM progress WHERE subscription_id = $1`, name).Scan(&found); err != nil {
						t.Error(err)
					}
					taken <- found
				}()
				patience := 300 * time.Millisecond
				if stalls {
					patience = time.Minute
				}
				select {
				case found := <-taken:
					taken <- found
				case <-time.After(patience):
				}
				return nil
			})
			found := <-taken
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("%s: the next owner waited for %s", name, took)
			}
			if committed := err == nil; committed != (found == 1) {
				t.Errorf("%s: the next owner found %d checkpoints, and the one before was told %v", name, found, err)
			}
			if stalls && err == nil {
				t.Errorf("%s: it committed", name)
			}
		}
	})
}

func TestEvents_AreTheJournalInTheOrderOfTheStream(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		var changes []event.Change
		for i := range 25 {
			o := s.posted(s.Store, transfer(id.Key(fmt.Sprint("t", i)), "a", "b"))
			changes = append(changes, event.Change{Home: "eu", Ledger: brand, Transaction: o.Transaction})
		}
		lease := acquire(t, s.Store, "owner", time.Hour)
		var between time.Time
		for i, part := range [][]event.Change{changes[:10], changes[10:20], changes[15:]} {
			if _, _, err := s.Append(t.Context(), lease, part, ""); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				if err := d.DB.Reader().QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&between); err != nil {
					t.Fatal(err)
				}
			}
		}
		var all []event.Event
		for after := event.Position(0); ; after = event.Position(len(all)) {
			page, err := s.Events(t.Context(), "eu", after, 7)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
		}
		if len(all) != len(changes) {
			t.Fatalf("%d events of %d", len(all), len(changes))
		}
		for i, e := range all {
			r, err := s.Transaction(t.Context(), brand, changes[i].Transaction)
			if err != nil {
				t.Fatal(err)
			}
			if e.Position != event.Position(i+1) || e.Home != "eu" || fmt.Sprint(e.Record) != fmt.Sprint(r) {
				t.Errorf("event %d is %+v, want %+v", i+1, e, r)
			}
			if i > 0 && e.AppendedAt.Before(all[i-1].AppendedAt) {
				t.Errorf("event %d was appended at %s, before the one before it", i+1, e.AppendedAt)
			}
			if p, err := s.PositionOf(t.Context(), "eu", brand, r.Outcome.Transaction); p != e.Position || err != nil {
				t.Errorf("the position of event %d is %d: %v", i+1, p, err)
			}
		}
		if p, err := s.PositionOf(t.Context(), "eu", brand, id.Transaction{1}); p != 0 || err != nil {
			t.Errorf("the position of what is not there is %d: %v", p, err)
		}
		for at, want := range map[time.Time]event.Position{{}: 0, all[0].AppendedAt: 0, between: 10, all[24].AppendedAt.Add(time.Second): 25} {
			if p, err := s.PositionAt(t.Context(), "eu", at); p != want || err != nil {
				t.Errorf("the position at %s is %d, want %d: %v", at, p, want, err)
			}
		}
		heads, err := s.Heads(t.Context())
		if want := (event.Head{Home: "eu", Position: 25, At: all[24].AppendedAt}); err != nil || len(heads) != 1 || heads[0] != want {
			t.Errorf("the heads are %v, want %v: %v", heads, want, err)
		}
		if _, err := s.admin.Exec(t.Context(), `DELETE FROM stream WHERE position = 12`); err != nil {
			t.Fatal(err)
		}
		if page, err := s.Events(t.Context(), "eu", 10, 7); !errors.Is(err, errs.ErrInternal) {
			t.Errorf("a stream with a gap: %d events, %v; want %v", len(page), err, errs.ErrInternal)
		}
	})
}

func TestAppend_RefusesTooMany(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		lease := acquire(t, s, "owner", time.Hour)
		full := make([]event.Change, store.MaxAppend)
		for i := range full {
			full[i] = changeOf(i)
		}
		if head, appended, err := s.Append(t.Context(), lease, full, ""); head != store.MaxAppend || appended != store.MaxAppend || err != nil {
			t.Errorf("a full append: head %d, %d new, %v", head, appended, err)
		}
		if _, _, err := s.Append(t.Context(), lease, append(full, changeOf(-1)), ""); !errors.Is(err, errs.Invalid("changes", "")) {
			t.Errorf("more: %v, want a refusal", err)
		}
	})
}

// An append whose answer was lost may still be on its way when it is repeated.
func TestAppend_TheSameAtOnceStandsThereOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		lease := acquire(t, s, "owner", time.Hour)
		const many, round = 4, 50
		for n := range 5 {
			var changes []event.Change
			for i := range round {
				changes = append(changes, changeOf(n*round+i))
			}
			fresh := make(chan int, many)
			for range many {
				go func() {
					head, appended, err := s.Append(t.Context(), lease, changes, "")
					if err != nil || head != event.Position((n+1)*round) {
						t.Errorf("head %d, %v", head, err)
					}
					fresh <- appended
				}()
			}
			sum := 0
			for range many {
				sum += <-fresh
			}
			if sum != round {
				t.Errorf("%d changes were new, want %d", sum, round)
			}
		}
	})
}

// A row that has entries in several homes is in the stream of each: the event says which stream, its record where the row stands.
func TestEvents_OfAnotherHomeAreItsJournalRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newStand(t, d)
		o := s.posted(s.Store, transfer("t", "a", "b"))
		for i, home := range []id.Home{"us", "eu", "apac"} {
			tenure, taken, err := s.Acquire(t.Context(), home, "owner", time.Hour)
			if err != nil || !taken {
				t.Fatalf("take the lease: %t %v", taken, err)
			}
			change := event.Change{Home: home, Origin: "eu", Ledger: brand, Transaction: o.Transaction}
			for range 2 { // again
				if head, _, err := s.Append(t.Context(), tenure.Lease, []event.Change{change}, ""); head != 1 || err != nil {
					t.Fatalf("stream %d of the row is at %d: %v", i, head, err)
				}
			}
			r, err := s.Transaction(t.Context(), brand, o.Transaction)
			if err != nil {
				t.Fatal(err)
			}
			read, err := s.Events(t.Context(), home, 0, 10)
			if err != nil {
				t.Fatal(err)
			}
			picked, err := s.EventsAt(t.Context(), home, []event.Position{1, 2})
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range [][]event.Event{read, picked} {
				if len(found) != 1 || found[0].Home != home || found[0].Visits() != (home != "eu") || fmt.Sprint(found[0].Record) != fmt.Sprint(r) {
					t.Errorf("the stream of %s has %+v, want %+v", home, found, r)
				}
			}
			if p, err := s.PositionOf(t.Context(), home, brand, o.Transaction); p != 1 || err != nil {
				t.Errorf("the position in %s is %d: %v", home, p, err)
			}
		}
	})
}
