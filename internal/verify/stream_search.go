package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// searched is the generation of the search model that serves a home.
type searched struct {
	generation int64 // 0: none
	position   event.Position
	scratch    []byte
}

const sqlServing = `SELECT generation, position FROM search_state WHERE home = $1 AND serving ORDER BY generation`

func (r *run) discoverSearch(ctx context.Context, h *home) error {
	serving := 0
	_, err := pgx.ForEachRow(r.query(ctx, sqlServing, h.name), []any{&h.search.generation, &h.search.position}, func() error {
		serving++
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the search model of %s: %w", h.name, err)
	}
	if serving > 1 {
		r.find(&r.checks.search, Finding{Home: h.name, Message: fmt.Sprintf("%d generations of the search model serve", serving)})
	}
	if h.search.position > h.head {
		r.find(&r.checks.search, Finding{
			Home: h.name, Position: int64(h.search.position),
			Message: fmt.Sprintf("the search model is at position %d, and the newest is %d", h.search.position, h.head),
		})
	}
	return nil
}

// Matters of what the search model says.
const (
	ofTransaction = "search"
	ofAccount     = "search account"
)

// words says a row, the same way for both sides and for a person.
func (s *searched) words(recorded time.Time, position event.Position, metadata map[string]string, texts ...string) []byte {
	b := s.scratch[:0]
	b = append(b, "position "...)
	b = append(strconv.AppendInt(b, int64(position), 10), " recorded "...)
	b = appendTime(b, recorded)
	for _, text := range texts {
		b = append(strconv.AppendQuote(append(b, ' '), text), ',')
	}
	b = fmt.Appendf(b, " metadata %q", metadata)
	s.scratch = b
	return b
}

// tell says what the model has to have of a position.
func (s *searched) tell(r *run, f *fact, e event.Event) {
	if s.generation == 0 || f.position > s.position {
		return
	}
	var c ledger.Command
	_ = json.Unmarshal(f.request, &c) // the journal is judged elsewhere
	metadata := map[string]string(c.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	at := place{ledger: f.ledger, sequence: int64(f.position)}
	r.model.say(told, subject{ledger: f.ledger, transaction: f.transaction, matter: ofTransaction}, at,
		s.words(f.recordedAt, f.position, metadata, f.kind, f.outcome, f.reason, f.reference, f.correlation), one)
	for _, a := range accountsOf(e) {
		r.model.say(told, subject{ledger: f.ledger, account: a, line: int64(f.position), matter: ofAccount}, at, s.words(f.recordedAt, f.position, nil), one)
	}
}

// accountsOf lists the accounts of its own ledger that a transaction is found by: of its entries, or those that a declined command is about.
func accountsOf(e event.Event) []id.Account {
	o := e.Record.Outcome
	var found []id.Account
	for _, entry := range o.Entries {
		if entry.Ref.Ledger == o.Ledger {
			found = append(found, entry.Ref.Account)
		}
	}
	if len(o.Entries) == 0 {
		for _, ref := range e.Accounts() {
			if ref.Ledger == o.Ledger {
				found = append(found, ref.Account)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

const sqlSearchTransactions = `
SELECT recorded_at, position, transaction_id, kind, outcome, reason, reference, correlation_id, metadata
FROM search_transaction WHERE home = $1 AND ledger_id = $2 AND generation = $3 AND (recorded_at, position) >= ($4, $5::int8)
ORDER BY recorded_at, position LIMIT $6 OFFSET $7`

const sqlSearchAccounts = `
SELECT account_id, recorded_at, position
FROM search_account WHERE home = $1 AND ledger_id = $2 AND generation = $3 AND (account_id, recorded_at, position) >= ($4, $5, $6::int8)
ORDER BY account_id, recorded_at, position LIMIT $7 OFFSET $8`

// searchable reads the model of one home.
func (r *run) searchable(ctx context.Context, h *home) error {
	if h.search.generation == 0 {
		return nil
	}
	for _, b := range r.books {
		if b.home != h.name {
			continue
		}
		if err := r.searchableTransactions(ctx, h, b.ledger); err != nil {
			return err
		}
		if err := r.searchableAccounts(ctx, h, b.ledger); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) searchableTransactions(ctx context.Context, h *home, name id.Ledger) error {
	recorded := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	var position event.Position
	var transaction id.Transaction
	var kind, outcome, reason, reference, correlation string
	var metadata map[string]string
	began := false
	from := func() []any { return []any{h.name, name, h.search.generation, recorded, position} }
	into := []any{&recorded, &position, (*[16]byte)(&transaction), &kind, &outcome, &reason, &reference, &correlation, &metadata}
	return r.paged(ctx, "search", sqlSearchTransactions, &began, from, into, func() error {
		r.looked(&r.checks.search)
		r.model.say(kept, subject{ledger: name, transaction: transaction, matter: ofTransaction}, place{ledger: name, sequence: int64(position)},
			h.search.words(recorded, position, metadata, kind, outcome, reason, reference, correlation), one)
		metadata = nil // or else the next row would be added to it
		return nil
	})
}

func (r *run) searchableAccounts(ctx context.Context, h *home, name id.Ledger) error {
	recorded := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	var position event.Position
	var account id.Account
	began := false
	from := func() []any { return []any{h.name, name, h.search.generation, account, recorded, position} }
	return r.paged(ctx, "search", sqlSearchAccounts, &began, from, []any{&account, &recorded, &position}, func() error {
		r.looked(&r.checks.search)
		r.model.say(kept, subject{ledger: name, account: account, line: int64(position), matter: ofAccount}, place{ledger: name, sequence: int64(position)},
			h.search.words(recorded, position, nil), one)
		return nil
	})
}

// straySearch says what the model and the journal do not agree on.
func straySearch(m mismatch) Finding {
	f := Finding{Ledger: m.ledger, Account: m.account, Transaction: m.transaction, Position: max(m.at[told].sequence, m.at[kept].sequence)}
	switch {
	case m.kept == "":
		f.Message = "the search model has not: " + m.told
	case m.told == "":
		f.Message = "the search model alone has: " + m.kept
	default:
		f.Message = fmt.Sprintf("the search model has %s, the journal %s", m.kept, m.told)
	}
	return f
}
