package search_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/search"
)

// wanted judges a record by reading its request, which the tables of the model know nothing of.
func wanted(t *rapid.T, q search.Query, r ledger.Record) bool {
	var c ledger.Command
	if err := json.Unmarshal(r.Request, &c); err != nil {
		t.Fatal(err)
	}
	at, o := r.Outcome.RecordedAt, r.Outcome
	for key, value := range q.Metadata {
		if c.Metadata[key] != value {
			return false
		}
	}
	touched := q.Account == ""
	for _, e := range o.Entries {
		touched = touched || e.Ref == ledger.Ref{Ledger: q.Ledger, Account: q.Account}
	}
	if o.Decided == ledger.Declined {
		touched = touched || q.Account == c.Account || q.Account == c.Counter && c.Account == ""
		for _, leg := range c.Legs {
			touched = touched || leg.Account == q.Account && cmp.Or(leg.Ledger, c.Ledger) == q.Ledger
		}
	}
	return touched && o.Ledger == q.Ledger && (q.From.IsZero() || !at.Before(q.From)) && (q.To.IsZero() || at.Before(q.To)) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, o.Kind)) && (q.Decided == "" || q.Decided == o.Decided) &&
		(len(q.Reasons) == 0 || slices.Contains(q.Reasons, o.Reason)) && (q.Reference == "" || q.Reference == c.Reference) &&
		(q.Correlation == "" || q.Correlation == c.Correlation)
}

// world is one run: a home, what its stream has, and who works on it.
type world struct {
	*server
	home     id.Home
	ledgers  [2]id.Ledger
	made     int
	appended []ledger.Record // by position
	lease    event.Lease
	at       *running
}

// brute answers by looking at every record up to a position.
func (w *world) brute(t *rapid.T, q search.Query, until event.Position) []ledger.Record {
	type placed struct {
		ledger.Record
		position int
	}
	var found []placed
	for i, r := range w.appended[:until] {
		if wanted(t, q, r) {
			found = append(found, placed{r, i})
		}
	}
	slices.SortFunc(found, func(a, b placed) int {
		order := cmp.Or(a.Outcome.RecordedAt.Compare(b.Outcome.RecordedAt), cmp.Compare(a.position, b.position))
		if !q.OldestFirst {
			order = -order
		}
		return order
	})
	var records []ledger.Record
	for _, f := range found {
		records = append(records, f.Record)
	}
	return records
}

func (w *world) execute(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "commands") {
		w.made++
		w.do(t, command(t, w.ledgers, id.Key(fmt.Sprint("k", w.made))))
	}
}

// append lets some of the journal leave, under the lease.
func (w *world) append(t *rapid.T) {
	changes := w.unappended(t, w.home)
	changes = changes[:rapid.IntRange(0, len(changes)).Draw(t, "leave")]
	head, n, err := w.Append(t.Context(), w.lease, changes, "")
	if err != nil || n != len(changes) {
		t.Fatalf("appended %d of %d: %v", n, len(changes), err)
	}
	for _, c := range changes {
		r, err := w.Transaction(t.Context(), c.Ledger, c.Transaction)
		if err != nil {
			t.Fatal(err)
		}
		w.appended = append(w.appended, r)
	}
	w.stream.Tell(w.home, head)
}

// search asks page by page, and lets other things happen between them.
func (w *world) search(t *rapid.T, between func(*rapid.T)) {
	times := []time.Time{time.Now().Add(-time.Hour)}
	for _, r := range w.appended {
		times = append(times, r.Outcome.RecordedAt)
	}
	q := query(t, rapid.SampledFrom(w.ledgers[:]).Draw(t, "searched"), times)
	var atLeast *search.Point
	if len(w.appended) > 0 && w.at != nil && rapid.Bool().Draw(t, "at least?") {
		last := w.appended[len(w.appended)-1].Outcome
		atLeast = &search.Point{Ledger: last.Ledger, Transaction: last.Transaction}
	}
	known := len(w.appended)
	var got []ledger.Record
	page := search.Page{}
	until := event.Position(0)
	for pages := 0; pages == 0 || page != (search.Page{}); pages++ {
		page.Limit = rapid.IntRange(1, 7).Draw(t, "limit")
		a, err := w.Search(t.Context(), q, page, atLeast, time.Minute)
		if err != nil || len(a.Records) > page.Limit || pages > 1000 {
			t.Fatalf("page %d has %d of %d: %v", pages, len(a.Records), page.Limit, err)
		}
		if pages == 0 {
			until = a.Complete.Position
		}
		if atLeast != nil && a.Complete.Position < event.Position(known) {
			t.Fatalf("it is complete up to %d, and waited for %d", a.Complete.Position, known)
		}
		got, page = append(got, a.Records...), a.Next
		if rapid.IntRange(0, 4).Draw(t, "meanwhile") == 0 {
			between(t)
		}
	}
	if want := w.brute(t, q, until); !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v up to %d of %d:%s\nwant:%s", q, until, len(w.appended), names(got), names(want))
	}
}

// Commands post and are declined; the journal leaves in any order and portions; projectors are killed, fenced and started at any time; the
// model is built anew now and then. Whatever is searched for is what a look at every row would have found.
func TestSearch_IsWhatALookAtTheJournalWouldFind(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s, run := newServer(t, d.DB), 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			w := &world{server: s, home: id.Home(fmt.Sprint("home-", run))}
			w.ledgers = s.open(t, w.home)
			w.lease = s.lease(t, w.home, event.Lease{Home: w.home})
			kill := func() {
				if w.at != nil {
					if err := w.at.end(); err != nil {
						t.Fatalf("a killed projector says %v", err)
					}
					w.at = nil
				}
			}
			defer kill()
			start := func() {
				if w.at == nil {
					w.at = s.start(t.Context(), w.lease)
				}
			}
			between := func(t *rapid.T) { w.execute(t); w.append(t) }
			t.Repeat(map[string]func(*rapid.T){
				"execute": w.execute,
				"append":  w.append,
				"start":   func(*rapid.T) { start() },
				"kill":    func(*rapid.T) { kill() },
				"rebuild": func(t *rapid.T) {
					if all, err := s.Generations(t.Context(), w.home); err != nil || len(all) > 3 {
						return
					}
					if _, err := s.BeginGeneration(t.Context(), w.home); err != nil {
						t.Fatal(err)
					}
				},
				"fence": func(t *rapid.T) {
					before, old := w.at, w.lease
					w.at = nil
					w.lease = s.lease(t, w.home, old)
					start()
					between(t)
					if before != nil { // it had nothing to write, or was refused
						if err := before.end(); err != nil && !errors.Is(err, event.ErrFenced) {
							t.Fatal(err)
						}
					}
					if err := s.Project(t.Context(), old, 1, 0, 1, nil); !errors.Is(err, event.ErrFenced) {
						t.Fatalf("who lost the lease writes: %v", err)
					}
				},
				"search": func(t *rapid.T) { w.search(t, between) },
			})
		})
	})
}
