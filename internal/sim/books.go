package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// LostWrite holds the journal against all answers: each command that was answered is there, with the answer that was given. It only reads.
func (h *History) LostWrite(ctx context.Context, books ledger.Service, o Judging) Verdict {
	o = o.complete()
	f := find("lost_write", "no acknowledged command is missing")
	var answered []*Call
	for _, c := range h.Calls {
		if c.decided() {
			answered = append(answered, c)
		}
	}
	f.Looked = len(answered)
	f.unreadable(each(ctx, o.Workers, len(answered), func(ctx context.Context, i int) error {
		c := answered[i]
		r, err := books.Transaction(ctx, c.Command.Ledger, c.Outcome.Transaction)
		switch {
		case errors.Is(err, errs.ErrTransactionNotFound):
			f.problem("%s was answered, and is not there", c)
		case err != nil:
			return fmt.Errorf("read %s: %w", c, err)
		case difference(c.Outcome, r.Outcome) != "":
			f.problem("%s stands in the books with another answer: %s", c, difference(c.Outcome, r.Outcome))
		}
		return nil
	}))
	return f.verdict()
}

// WrongAnswer tells whether repeats got the answer that the first one got: during the load, and now, when it sends some commands once more. A
// refusal of a command is a wrong answer too.
func (h *History) WrongAnswer(ctx context.Context, books ledger.Service, o Judging) Verdict {
	o = o.complete()
	f := find("wrong_answer", "no answer differs between tries of one key")
	for _, d := range h.Different {
		f.problem("%s", d)
	}
	var again []*Call
	for _, c := range h.Calls {
		if c.decided() {
			again = append(again, c)
		}
	}
	rand.New(rand.NewPCG(h.Seed, 0)).Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	again = again[:min(max(o.Repeats, 0), len(again))]
	f.Looked = h.Replays + len(again)
	parts := slices.Collect(slices.Chunk(again, 200))
	f.unreadable(each(ctx, 1, len(parts), func(ctx context.Context, i int) error {
		var batch ledger.Batch
		for _, c := range parts[i] {
			batch.Commands = append(batch.Commands, c.Command)
		}
		results, err := books.Execute(ctx, batch)
		if err != nil {
			return fmt.Errorf("repeat commands: %w", err)
		}
		for i, c := range parts[i] {
			switch r := results[i]; {
			case r.Err != nil:
				f.problem("%s: a repeat failed: %v", c, r.Err)
			case !r.Outcome.Replayed:
				f.problem("%s was answered, and a repeat was executed as if it were new", c)
			case difference(c.Outcome, r.Outcome) != "":
				f.problem("%s: a repeat got another answer: %s", c, difference(c.Outcome, r.Outcome))
			}
		}
		return nil
	}))
	return f.verdict()
}

// told is what the clients of a history know of one account.
type told struct {
	lines map[int64]line // by sequence
	times map[id.Transaction]int
	sum   money.Amount // of all, also of two that claim one line
}

type line struct {
	call *Call
	ledger.Entry
}

// told deals the entries of the answers out to their accounts. Two answers that claim one line of a statement are a problem.
func (h *History) told(f *finding) map[ledger.Ref]*told {
	accounts := map[ledger.Ref]*told{}
	for _, c := range h.Calls {
		for _, e := range c.Outcome.Entries {
			a := accounts[e.Ref]
			if a == nil {
				a = &told{lines: map[int64]line{}, times: map[id.Transaction]int{}}
				accounts[e.Ref] = a
			}
			if other, taken := a.lines[e.Sequence]; taken {
				f.problem("%s: entry %d was told of %s, and of %s", e.Ref, e.Sequence, other.call, c)
			}
			a.lines[e.Sequence] = line{c, e}
			a.times[c.Outcome.Transaction]++
			a.sum = plus(a.sum, e.Amount)
		}
	}
	return accounts
}

// DoubleEffect holds the statement and the balances of every account of the ledgers, those of the house included, against what Open found and
// the entries of the answers: no line more, no line less, and none that differs. Lines of commands whose end nobody knows may be there. It only
// reads.
func (h *History) DoubleEffect(ctx context.Context, w Workload, books ledger.Service, o Judging) Verdict {
	o = o.complete()
	f := find("double_effect", "every account has what its clients were told, to the unit")
	told := h.told(f)
	unknown := map[id.Transaction]*Call{}
	for _, c := range h.Calls {
		if !c.decided() {
			unknown[c.Command.ID()] = c
		}
	}
	now, err := w.accounts(ctx, books)
	if err != nil {
		f.unreadable(err)
		return f.verdict()
	}
	all := map[ledger.Ref]bool{}
	for ref := range now {
		all[ref] = true
	}
	for ref := range w.before {
		all[ref] = true
	}
	for ref := range told {
		all[ref] = true
	}
	refs := slices.SortedFunc(maps.Keys(all), compareRefs)
	f.Looked = len(refs)
	f.unreadable(each(ctx, o.Workers, len(refs), func(ctx context.Context, i int) error {
		ref := refs[i]
		a, found := now[ref]
		if !found {
			f.problem("%s is not there", ref)
			return nil
		}
		lines, err := statement(ctx, books, ref, w.before[ref].Sequence)
		if err != nil {
			return err
		}
		for _, p := range compare(a, w.before[ref], lines, told[ref], unknown) {
			f.problem("%s", p)
		}
		return nil
	}))
	return f.verdict()
}

// statement reads the lines of an account after a sequence.
func statement(ctx context.Context, books ledger.Service, ref ledger.Ref, after int64) ([]ledger.StatementLine, error) {
	const page = 1000
	var all []ledger.StatementLine
	for {
		lines, err := books.Entries(ctx, ref, ledger.EntryPage{After: after, Limit: page})
		if err != nil {
			return nil, fmt.Errorf("read the statement of %s: %w", ref, err)
		}
		if all = append(all, lines...); len(lines) < page {
			return all, nil
		}
		after = lines[len(lines)-1].Sequence
	}
}

// compare says in what an account differs from what its clients were told.
func compare(now, before ledger.Account, lines []ledger.StatementLine, t *told, unknown map[id.Transaction]*Call) (problems []string) {
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s ", now.Ref)+fmt.Sprintf(format, args...))
	}
	if t == nil {
		t = &told{}
	}
	sequence, pending := before.Sequence, [2]money.Amount{before.PendingDebits, before.PendingCredits}
	want := plus(balance(before.Balances), t.sum) // what clients were told, and what unknown commands did
	there, times := map[int64]bool{}, map[id.Transaction]int{}
	for _, l := range lines {
		if l.Sequence != sequence+1 {
			problem("has entry %d after %d", l.Sequence, sequence)
		}
		sequence, pending = l.Sequence, [2]money.Amount{l.PendingDebits, l.PendingCredits}
		there[l.Sequence] = true
		times[l.Transaction]++
		was, known := t.lines[l.Sequence]
		switch {
		case unknown[l.Transaction] != nil:
			want = plus(want, l.Amount)
		case known && was.call.Outcome.Transaction == l.Transaction && was.Entry == l.Entry:
		case t.times[l.Transaction] > 0 && times[l.Transaction] > t.times[l.Transaction]:
			problem("has %s %s once more, as entry %d of %s", l.Kind, l.Transaction, l.Sequence, l.Amount)
		case known:
			problem("has entry %d of %s with balance %s of %s, its client was told %s with balance %s of %s",
				l.Sequence, l.Amount, l.Balance, l.Transaction, was.Amount, was.Balance, was.call)
		default:
			problem("has entry %d of %s of %s %s, which no client asked for", l.Sequence, l.Amount, l.Kind, l.Transaction)
		}
	}
	for _, sequence := range slices.Sorted(maps.Keys(t.lines)) {
		if l := t.lines[sequence]; !there[sequence] {
			problem("has no entry %d, of which the client of %s was told", sequence, l.call)
		}
	}
	switch got := balance(now.Balances); {
	case got != want:
		problem("has %s, its clients were told %s", got, want)
	case now.Sequence != sequence:
		problem("is at entry %d, its statement at %d", now.Sequence, sequence)
	case pending != [2]money.Amount{now.PendingDebits, now.PendingCredits}:
		problem("holds %s and %s, its statement says %s", now.PendingDebits, now.PendingCredits, pending)
	}
	return problems
}

// balance is credits less debits, as entries have it.
func balance(b ledger.Balances) money.Amount { return plus(b.PostedCredits, b.PostedDebits.Neg()) }

// plus adds. Sums of a run stay far below 38 digits.
func plus(a, b money.Amount) money.Amount {
	sum, _ := a.Add(b)
	return sum
}

func compareRefs(a, b ledger.Ref) int {
	if a.Ledger != b.Ledger {
		return cmp.Compare(a.Ledger, b.Ledger)
	}
	return cmp.Compare(a.Account, b.Account)
}

// difference says in what two answers to one command differ, or "".
func difference(a, b ledger.Outcome) string {
	switch {
	case a.Transaction != b.Transaction:
		return "transaction"
	case a.Decided != b.Decided || a.Reason != b.Reason:
		return fmt.Sprintf("%s %s, then %s %s", a.Decided, a.Reason, b.Decided, b.Reason)
	case !a.RecordedAt.Equal(b.RecordedAt) || !a.EffectiveAt.Equal(b.EffectiveAt):
		return fmt.Sprintf("time %s, then %s", a.RecordedAt.UTC().Format(time.RFC3339Nano), b.RecordedAt.UTC().Format(time.RFC3339Nano))
	case !slices.Equal(a.Entries, b.Entries):
		return "entries"
	case !maps.Equal(a.Detail, b.Detail):
		return fmt.Sprintf("detail %v, then %v", a.Detail, b.Detail)
	case holdText(a.Hold) != holdText(b.Hold):
		return fmt.Sprintf("hold %s, then %s", holdText(a.Hold), holdText(b.Hold))
	}
	return ""
}

func holdText(h *ledger.Hold) string {
	if h == nil {
		return "none"
	}
	at := *h
	at.ExpiresAt = at.ExpiresAt.UTC() // the same instant, whatever way it came
	return fmt.Sprintf("%+v", at)
}
