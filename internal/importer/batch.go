package importer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// batch is rows on their way, in the order of the file, and the commands of those that have one.
type batch struct {
	items    []item
	commands []ledger.Command
	bytes    int
	refused  int // items that were rejected before they were sent
}

// item is a row of the batch.
type item struct {
	at       source
	earlier  int // line of an earlier row with the same id, or 0
	from     int // its first command: what opens its accounts
	command  int // its movement
	skipped  bool
	rejected *Rejected // set where it has no command
}

func (b *batch) reset() {
	clear(b.items)
	clear(b.commands)
	*b = batch{items: b.items[:0], commands: b.commands[:0]}
}

func (b *batch) full(most int) bool {
	return len(b.commands)+commandsPerRow > most || len(b.items) >= most || b.bytes >= maxBatchBytes
}

func (b *batch) skip(at source) { b.items = append(b.items, item{at: at, skipped: true}) }

func (b *batch) reject(at source, code errs.Reason, reason string) {
	b.items = append(b.items, item{at: at, rejected: at.rejected(code, reason)})
	b.bytes += len(at.text)
	b.refused++
}

func (b *batch) add(at source, earlier int, opens []ledger.Command, c ledger.Command) {
	from := len(b.commands)
	b.commands = append(append(b.commands, opens...), c)
	b.items = append(b.items, item{at: at, earlier: earlier, from: from, command: len(b.commands) - 1})
	b.bytes += len(at.text)
	for _, c := range b.commands[from:] {
		b.bytes += weight(c)
	}
}

// weight is about what a command takes on the wire.
func weight(c ledger.Command) int {
	n := 256 + len(c.Key) + len(c.Account) + len(c.Counter) + len(c.Reference)
	texts := c.Metadata
	if c.Terms != nil {
		texts = c.Terms.Metadata
	}
	for k, v := range texts {
		n += len(k) + len(v) + 8
	}
	return n
}

// withdraw takes the movement of an item out of the batch. What opens its accounts stays: rows behind it may need them. In a strict
// import the item is the last one, and nothing of it nor of what follows is sent.
func (b *batch) withdraw(i int, rejected *Rejected, strict bool) {
	it := &b.items[i]
	gone := it.command
	it.rejected = rejected
	b.refused++
	if strict {
		b.commands, b.items = b.commands[:it.from], b.items[:i+1]
		return
	}
	b.commands = slices.Delete(b.commands, gone, gone+1)
	for j := range b.items[i+1:] {
		later := &b.items[i+1+j]
		if later.rejected == nil && !later.skipped {
			later.from, later.command = later.from-1, later.command-1
		}
	}
}

// owner returns the item whose movement is the n-th command.
func (b *batch) owner(n int) (int, bool) {
	i := slices.IndexFunc(b.items, func(it item) bool { return it.rejected == nil && !it.skipped && it.command == n })
	return i, i >= 0
}

// execute has the batch answered. A strict import looks first what the books would say, and sends only what comes before the first refusal,
// so that the refused row can be mended and imported under its own id: an answer of the books is final.
func (r *run) execute(ctx context.Context) ([]ledger.Result, error) {
	if !r.o.Strict {
		return r.send(ctx, false)
	}
	results, err := r.send(ctx, true)
	if err != nil {
		return nil, err
	}
	for i, it := range r.batch.items {
		if it.rejected != nil || it.skipped {
			continue
		}
		if rejected := it.judge(results[it.command]); rejected != nil {
			r.batch.withdraw(i, rejected, true)
			break
		}
	}
	return r.send(ctx, false)
}

// send executes the commands of the batch. A command that the service finds invalid, for reasons of its own such as a clock that differs
// from ours, is withdrawn, and the others are sent again.
func (r *run) send(ctx context.Context, dry bool) ([]ledger.Result, error) {
	for len(r.batch.commands) > 0 {
		var results []ledger.Result
		err := r.persist(ctx, func(ctx context.Context) error {
			got, err := r.svc.Execute(ctx, ledger.Batch{Commands: r.batch.commands, DryRun: dry})
			if err == nil {
				results, err = supplement(results, got)
			}
			return err
		})
		if err == nil && len(results) != len(r.batch.commands) {
			return nil, fmt.Errorf("the service gave %d answers to %d commands", len(results), len(r.batch.commands))
		}
		if err == nil {
			return results, nil
		}
		i, found := r.batch.owner(culprit(err, len(r.batch.commands)))
		if !found {
			return nil, err
		}
		r.batch.withdraw(i, r.batch.items[i].at.rejected(errs.Of(err).Reason, sentence(err).Error()), r.o.Strict)
	}
	return nil, nil
}

// supplement fills what earlier attempts left without an answer, so that a first answer is not taken for a replay, and returns the error of a
// command that still has none. A key that carries another request is an answer.
func supplement(results, got []ledger.Result) ([]ledger.Result, error) {
	if len(results) != len(got) {
		results = got
	}
	var failed error
	for i := range results {
		if unanswered(results[i]) {
			results[i] = got[i]
		}
		if failed == nil && unanswered(results[i]) {
			failed = results[i].Err
		}
	}
	return results, failed
}

func unanswered(r ledger.Result) bool {
	return r.Err != nil && !errors.Is(r.Err, errs.ErrIdempotencyMismatch)
}

// culprit returns which command of a batch an error is about, or -1.
func culprit(err error, commands int) int {
	e := errs.Of(err)
	if e.Code != errs.InvalidArgument {
		return -1
	}
	if commands == 1 {
		return 0
	}
	i, err := strconv.Atoi(e.Fields["index"])
	if err != nil {
		return -1
	}
	return i
}

// judge returns why an answered row is not in the books, or nil where it is.
func (it item) judge(result ledger.Result) *Rejected {
	if result.Err != nil {
		return it.at.rejected(errs.Of(result.Err).Reason, it.mismatch(errs.Of(result.Err)))
	}
	o := result.Outcome
	if o.Decided == ledger.Posted {
		return nil
	}
	var b strings.Builder
	b.WriteString("the books declined it")
	if o.Replayed {
		b.WriteString(" in an earlier run")
	}
	separator := ": "
	for _, fact := range slices.Sorted(maps.Keys(o.Detail)) {
		if fact == "ledger" { // the same for all rows
			continue
		}
		b.WriteString(separator + fact + " " + o.Detail[fact])
		separator = ", "
	}
	return it.at.rejected(o.Reason, b.String())
}

func (it item) mismatch(e *errs.Error) string {
	field := e.Fields["field"]
	if field == "" {
		return e.Error()
	}
	if it.earlier > 0 {
		return fmt.Sprintf("line %d has the same id and another %s; an id names one row", it.earlier, field)
	}
	return fmt.Sprintf("its id came earlier with another %s; an id names one row", field)
}

func (s source) rejected(code errs.Reason, reason string) *Rejected {
	return &Rejected{Line: s.first, Last: s.last, Row: s.text, Code: code, Reason: reason}
}
