package feed

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func ref(name string) ledger.Ref { return ledger.Ref{Ledger: "brand", Account: id.Account(name)} }

// touch is a change that names itself by its key, with a step on each account: "a1 b7".
func touch(name string, steps ...event.Step) event.Change {
	return event.Change{Home: "eu", Ledger: "brand", Transaction: id.TransactionOf("brand", id.Key(name)), Entries: steps}
}

func on(account string, sequence int64) event.Step {
	return event.Step{Ref: ref(account), Sequence: sequence}
}

func nowhere(id.Ledger) bool { return false }

func at(n int) hlc { return hlc{wall: int64(n)} }

// takes wants the changes of these names, in this order.
func takes(t *testing.T, s *sequencer, names ...string) {
	t.Helper()
	got := s.take(1000)
	ids := map[id.Transaction]string{}
	for _, n := range names {
		ids[id.TransactionOf("brand", id.Key(n))] = n
	}
	var text []string
	for _, c := range got {
		text = append(text, ids[c.Transaction])
	}
	if fmt.Sprint(text) != fmt.Sprint(names) {
		t.Errorf("%d changes are let go: %v, want %v", len(got), text, names)
	}
}

func TestSequencer_WaitsForTheEntryBefore(t *testing.T) {
	s := newSequencer(hlc{}, 10, 10)
	_ = s.add(touch("third", on("a", 3), on("b", 1)), at(30), nowhere)
	_ = s.add(touch("fourth", on("b", 2)), at(40), nowhere)
	_ = s.add(touch("second", on("a", 2)), at(20), nowhere)
	takes(t, s)
	_ = s.add(touch("first", on("a", 1)), at(10), nowhere)
	takes(t, s, "first", "second", "third", "fourth")
}

func TestSequencer_ResolvedDecidesWhatNobodyKnows(t *testing.T) {
	s := newSequencer(hlc{}, 10, 10)
	_ = s.add(touch("late", on("a", 9)), at(30), nowhere)
	_ = s.add(touch("two", on("a", 8), on("b", 5)), at(20), nowhere)
	_ = s.add(touch("one", on("b", 4)), at(20), nowhere)
	s.resolve(at(10))
	takes(t, s)
	s.resolve(at(20))
	takes(t, s, "one", "two", "late")
}

func TestSequencer_DropsRepeats(t *testing.T) {
	s := newSequencer(at(5), 10, 10)
	_ = s.add(touch("old", on("a", 1)), at(5), nowhere)
	takes(t, s)
	for range 2 {
		_ = s.add(touch("new", on("a", 1)), at(6), nowhere)
	}
	takes(t, s, "new")
	s.resolve(at(6))
	_ = s.add(touch("new", on("a", 1)), at(6), nowhere)
	takes(t, s)
	if len(s.seen) != 0 {
		t.Errorf("%d changes are remembered after they are resolved", len(s.seen))
	}
}

func TestSequencer_AsksAboutAccountsItDoesNotKnow(t *testing.T) {
	s := newSequencer(hlc{}, 10, 10)
	now := time.Now()
	_ = s.add(touch("a7", on("a", 7)), at(30), nowhere)
	_ = s.add(touch("a8", on("a", 8)), at(40), nowhere)
	asked := s.questions(now, 10)
	if len(asked) != 1 || asked[0] != (question{ref("a"), 7}) {
		t.Fatalf("it asks %v, want what was on account a before 7", asked)
	}
	if again := s.questions(now.Add(askAgain/2), 10); len(again) != 0 {
		t.Errorf("it asks %v at once again", again)
	}
	s.answer(predecessor{question: asked[0], sequence: 6})
	takes(t, s) // it is there, and has not left
	s.answer(predecessor{question: asked[0], sequence: 6, left: true})
	takes(t, s, "a7", "a8")
	_ = s.add(touch("a11", on("a", 11)), at(60), nowhere) // 9 and 10 are of another home
	if early := s.questions(now, 10); len(early) != 0 {
		t.Errorf("it asks %v before the entry can have come", early)
	}
	asked = s.questions(now.Add(askKnown), 10)
	if len(asked) != 1 {
		t.Fatalf("it asks %v, want one question", asked)
	}
	s.answer(predecessor{question: asked[0], sequence: 8})
	takes(t, s, "a11")
}

func TestSequencer_AccountsAtHomeElsewhereHaveNoSay(t *testing.T) {
	s := newSequencer(hlc{}, 10, 10)
	c := touch("across", on("a", 1), event.Step{Ref: ledger.Ref{Ledger: "other", Account: "x"}, Sequence: 9})
	_ = s.add(c, at(10), func(l id.Ledger) bool { return l == "other" })
	takes(t, s, "across")
}

func TestSequencer_SaysWhenItIsCrowded(t *testing.T) {
	s := newSequencer(hlc{}, 10, 2)
	var err error
	for i := range 3 {
		err = s.add(touch(fmt.Sprint(i), on("a", int64(i+2))), at(i+1), nowhere)
	}
	if err != errCrowded {
		t.Errorf("the third says %v, want %v", err, errCrowded)
	}
}

// history draws commits: each touches some accounts, and has the next sequence on each.
func drawHistory(t *rapid.T) []event.Change {
	next := map[string]int64{}
	var all []event.Change
	for i := range rapid.IntRange(1, 60).Draw(t, "commits") {
		c := touch(fmt.Sprint(i))
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), 0, 4).Draw(t, "accounts") {
			next[name]++
			c.Entries = append(c.Entries, on(name, next[name]))
		}
		all = append(all, c)
	}
	return all
}

// wantOrder holds that changes are in the order of each account.
func wantOrder(t *rapid.T, changes []event.Change) {
	last := map[ledger.Ref]int64{}
	for _, c := range changes {
		for _, s := range c.Entries {
			if s.Sequence <= last[s.Ref] {
				t.Fatalf("account %s: %d after %d", s.Ref, s.Sequence, last[s.Ref])
			}
			last[s.Ref] = s.Sequence
		}
	}
}

func TestInOrder_OfAnyHistoryInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawHistory(t)
		wantOrder(t, inOrder(all))
		for i, c := range inOrder(all) {
			if c.Transaction != all[i].Transaction {
				t.Fatal("what is in order already was moved")
			}
		}
		mixed := inOrder(rapid.Permutation(all).Draw(t, "mixed"))
		wantOrder(t, mixed)
		if len(mixed) != len(all) {
			t.Fatalf("%d of %d came through", len(mixed), len(all))
		}
	})
}

// Rows come in any order, some again, with resolved times between that are true; some of the history has left before, some accounts are
// forgotten, and questions are answered now or never. Everything comes out, once, in order.
func TestSequencer_PutsAnyArrivalInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawHistory(t)
		start := rapid.IntRange(0, len(all)-1).Draw(t, "start")
		s := newSequencer(at(start), rapid.IntRange(1, 5).Draw(t, "remembered"), 1000)
		when := map[id.Transaction]int{}
		for i, c := range all {
			when[c.Transaction] = i + 1
		}
		rest := rapid.Permutation(all[start:]).Draw(t, "arrival")
		arrived := map[id.Transaction]bool{}
		gone := append([]event.Change(nil), all[:start]...)
		take := func() { gone = append(gone, s.take(1000)...) }
		for i, c := range rest {
			if err := s.add(c, at(when[c.Transaction]), nowhere); err != nil {
				t.Fatal(err)
			}
			arrived[c.Transaction] = true
			take()
			if rapid.Bool().Draw(t, "repeat") {
				again := rest[rapid.IntRange(0, i).Draw(t, "which")]
				_ = s.add(again, at(when[again.Transaction]), nowhere)
			}
			if rapid.Bool().Draw(t, "answered") {
				for _, q := range s.questions(time.Now().Add(time.Hour), 10) {
					s.answer(found(q, all, gone))
				}
			}
			if rapid.IntRange(0, 5).Draw(t, "resolved") == 0 {
				upTo := start
				for upTo < len(all) && arrived[all[upTo].Transaction] {
					upTo++
				}
				s.resolve(at(upTo))
			}
			take()
		}
		s.resolve(at(len(all)))
		take()
		wantOrder(t, gone)
		if len(gone) != len(all) {
			t.Fatalf("%d of %d came out", len(gone), len(all))
		}
		if len(s.held)+len(s.seen) > 0 || s.last.order.Len() > s.last.size {
			t.Fatalf("%d held, %d seen, %d remembered at the end", len(s.held), len(s.seen), s.last.order.Len())
		}
	})
}

// found answers as the database would, with what has been handed over in the stream.
func found(q question, all, gone []event.Change) predecessor {
	p := predecessor{question: q}
	var by id.Transaction
	for _, c := range all {
		for _, s := range c.Entries {
			if s.Ref == q.ref && s.Sequence < q.before && s.Sequence > p.sequence {
				p.sequence, by = s.Sequence, c.Transaction
			}
		}
	}
	for _, c := range gone {
		p.left = p.left || c.Transaction == by
	}
	return p
}
