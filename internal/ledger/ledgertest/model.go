package ledgertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Model implements ledger.Service in memory. It is safe for concurrent use: one command at a time.
type Model struct {
	now func() time.Time

	mu      sync.Mutex
	ledgers map[id.Ledger]ledger.Ledger
	books   books
}

var _ ledger.Service = (*Model)(nil)

// books are everything that commands change.
type books struct {
	accounts map[ledger.Ref]account
	holds    map[id.Transaction]ledger.Hold
	journal  map[id.Transaction]ledger.Record
	order    []id.Transaction // of the journal
}

// NewModel returns empty books that tell the time by now.
func NewModel(now func() time.Time) *Model {
	return &Model{now: now, ledgers: map[id.Ledger]ledger.Ledger{}, books: books{
		accounts: map[ledger.Ref]account{}, holds: map[id.Transaction]ledger.Hold{}, journal: map[id.Transaction]ledger.Record{},
	}}
}

// copy returns books that can be changed without changing these.
func (b books) copy() books {
	c := books{accounts: maps.Clone(b.accounts), holds: maps.Clone(b.holds), journal: maps.Clone(b.journal), order: slices.Clone(b.order)}
	for ref, a := range c.accounts {
		a.lines = slices.Clone(a.lines)
		c.accounts[ref] = a
	}
	return c
}

// enter takes the lock unless the caller has gone away.
func (m *Model) enter(ctx context.Context) (leave func(), err error) {
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, errs.ErrCanceled
	case ctx.Err() != nil:
		return nil, errs.ErrDeadlineExceeded
	}
	m.mu.Lock()
	return m.mu.Unlock, nil
}

// CreateLedger implements ledger.Service.
func (m *Model) CreateLedger(ctx context.Context, l ledger.Ledger) (ledger.Ledger, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return ledger.Ledger{}, err
	}
	defer leave()
	if field := incomplete(l); field != "" {
		return ledger.Ledger{}, errs.Invalid(field, "a ledger has a name, a home and 1 to 1000 different assets")
	}
	if err := l.Metadata.Validate("metadata"); err != nil {
		return ledger.Ledger{}, err
	}
	l.Assets = slices.SortedFunc(slices.Values(l.Assets), func(a, b money.Asset) int { return cmp.Compare(a.Code, b.Code) })
	l.Metadata = maps.Clone(l.Metadata)
	there, found := m.ledgers[l.ID]
	if !found {
		l.CreatedAt = m.now()
		m.ledgers[l.ID] = l
		return l, nil
	}
	switch {
	case there.Home != l.Home:
		return ledger.Ledger{}, errs.ErrLedgerExists.With("field", "home").With("ledger", l.ID)
	case !slices.Equal(there.Assets, l.Assets):
		return ledger.Ledger{}, errs.ErrLedgerExists.With("field", "assets").With("ledger", l.ID)
	case !maps.Equal(there.Metadata, l.Metadata):
		return ledger.Ledger{}, errs.ErrLedgerExists.With("field", "metadata").With("ledger", l.ID)
	}
	return there, nil
}

func incomplete(l ledger.Ledger) string {
	codes := map[money.Code]bool{}
	for _, a := range l.Assets {
		codes[a.Code] = true
	}
	switch {
	case l.ID == "":
		return "ledger"
	case l.Home == "":
		return "home"
	case len(codes) == 0, len(codes) != len(l.Assets), len(codes) > 1000:
		return "assets"
	}
	return ""
}

// Execute implements ledger.Service.
func (m *Model) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	leave, err := m.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := m.now()
	if err := m.unanswerable(batch, now); err != nil {
		return nil, err
	}
	before := m.books
	if batch.Atomic || batch.DryRun {
		m.books = before.copy()
	}
	results := make([]ledger.Result, len(batch.Commands))
	for i, c := range batch.Commands {
		results[i] = m.answer(c, func() ledger.Outcome { return m.decide(c, now) })
	}
	mismatch := slices.IndexFunc(results, func(r ledger.Result) bool { return r.Err != nil })
	decline := slices.IndexFunc(results, func(r ledger.Result) bool { return r.Outcome.Decided == ledger.Declined })
	switch {
	case batch.Atomic && mismatch >= 0:
		m.books = before
		for i, err := 0, errs.Of(results[mismatch].Err).With("index", mismatch); i < len(results); i++ {
			results[i] = ledger.Result{Err: err}
		}
	case batch.Atomic && decline >= 0:
		m.books = before.copy()
		results = m.declineBatch(batch.Commands, now, decline, results[decline].Outcome)
	}
	if batch.DryRun {
		m.books = before
		for i := range results {
			results[i].Outcome.DryRun = true
		}
	}
	return results, nil
}

// Sweep releases all holds whose time is over, as the nodes of a service do by themselves.
func (m *Model) Sweep(ctx context.Context) error {
	leave, err := m.enter(ctx)
	if err != nil {
		return err
	}
	var due []ledger.Hold
	for _, h := range m.books.holds {
		if h.Status == ledger.Held && !m.now().Before(h.ExpiresAt) {
			due = append(due, h)
		}
	}
	leave()
	for _, h := range due {
		if _, err := ledger.Do(ctx, m, ledger.ExpireCommand(h)); err != nil {
			return fmt.Errorf("expire hold %s: %w", h.ID, err)
		}
	}
	return nil
}

// unanswerable finds what refuses a batch as a whole: malformed commands and ledgers that are not there.
func (m *Model) unanswerable(batch ledger.Batch, now time.Time) error {
	if n := len(batch.Commands); n == 0 || n > ledger.MaxBatch {
		return errs.Invalid("commands", "a batch has 1 to 1000 commands")
	}
	for i, c := range batch.Commands {
		err := c.Validate(now)
		if err == nil && slices.Contains(ledger.PaymentCommands, c.Kind) {
			err = errs.Invalid("payment", "this service keeps no payments")
		}
		if err == nil {
			err = m.unknownLedger(c)
		}
		if err == nil {
			continue
		}
		if len(batch.Commands) == 1 {
			return err
		}
		e := errs.Of(err).With("index", i)
		if field, found := e.Fields["field"]; found {
			e = e.With("field", fmt.Sprintf("commands[%d].%s", i, field))
		}
		return e
	}
	return nil
}

func (m *Model) unknownLedger(c ledger.Command) error {
	names := []id.Ledger{c.Ledger}
	for _, leg := range c.Legs {
		if leg.Ledger != "" {
			names = append(names, leg.Ledger)
		}
	}
	for _, name := range names {
		if _, found := m.ledgers[name]; !found {
			return errs.ErrLedgerNotFound.With("ledger", name)
		}
	}
	return nil
}

// answer gives the stored outcome of a key, or stores what decide finds.
func (m *Model) answer(c ledger.Command, decide func() ledger.Outcome) ledger.Result {
	request := c.Canonical()
	if earlier, found := m.books.journal[c.ID()]; found {
		if field := ledger.Differs(earlier.Request, request); field != "" {
			return ledger.Result{Err: errs.ErrIdempotencyMismatch.With("field", field).With("idempotency_key", c.Key)}
		}
		o := earlier.Outcome
		o.Replayed = true
		return ledger.Result{Outcome: o}
	}
	o := decide()
	record := ledger.Record{
		Home: m.ledgers[c.Ledger].Home, Request: request, RequestHash: ledger.Hash(request), Reference: c.Reference,
		Correlation: c.Correlation, TraceID: c.TraceID, Target: c.Target, Outcome: o,
	}
	if c.Kind == ledger.KindReverse && o.Decided == ledger.Posted {
		record.Reverses = c.Target
	}
	m.books.journal[c.ID()] = record
	m.books.order = append(m.books.order, c.ID())
	return ledger.Result{Outcome: o}
}

// declineBatch answers an atomic batch of which one command is declined: that one with its own reason, the others because of it, and
// what was answered in an earlier batch as it was then.
func (m *Model) declineBatch(commands []ledger.Command, now time.Time, culprit int, refused ledger.Outcome) []ledger.Result {
	results := make([]ledger.Result, len(commands))
	for i, c := range commands {
		results[i] = m.answer(c, func() ledger.Outcome {
			if i == culprit {
				return refused
			}
			facts := map[string]string{"index": strconv.Itoa(culprit), "reason": string(refused.Reason)}
			return m.declined(c, now, errs.ReasonBatchDeclined, facts)
		})
	}
	return results
}
