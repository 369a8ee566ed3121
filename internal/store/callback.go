package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
)

var (
	_ provider.Store         = (*Store)(nil)
	_ provider.OperatorStore = (*Store)(nil)
)

// The year 1 is how a column of instants says that there is none.
const sqlInsertCallbacks = `
INSERT INTO callback (home, ledger_id, provider, provider_event_id, order_key, type, trigger, payment, reference, amount, currency, occurred_at,
    received_at, meaning, raw_mode, raw_key, raw, state, attempts, due_at, opened_at, cause, detail, changed_at)
SELECT $1::text, k.ledger_id, k.provider, k.id, k.order_key, k.type, k.word, k.payment, k.reference, NULLIF(k.amount, '')::decimal, k.currency,
    NULLIF(k.occurred_at, '0001-01-01 00:00:00+00'::timestamptz), k.received_at, k.meaning, k.raw_mode, k.raw_key, k.raw, k.state, 0, k.received_at,
    k.received_at, k.cause, k.detail, k.received_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::timestamptz[], $13::timestamptz[], $14::bytea[], $15::text[], $16::text[], $17::bytea[], $18::text[], $19::text[], $20::text[])
    AS k (ledger_id, provider, id, order_key, type, word, payment, reference, amount, currency, occurred_at, received_at, meaning, raw_mode, raw_key,
        raw, state, cause, detail)
ON CONFLICT (home, ledger_id, provider, provider_event_id) DO NOTHING
RETURNING ledger_id, provider, provider_event_id`

// The home stands in a column of its own, although there is one: as a constant it would make a plan that reads all of the home, and keeps.
const sqlLookupMeanings = `
SELECT c.ledger_id, c.provider, c.provider_event_id, c.meaning
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (home, ledger_id, provider, id)
JOIN callback c ON c.home = k.home AND c.ledger_id = k.ledger_id AND c.provider = k.provider AND c.provider_event_id = k.id`

// callbackKey names a callback in its home.
type callbackKey struct {
	ledger   id.Ledger
	provider provider.Name
	id       string
}

func keyOf(c provider.Callback) callbackKey { return callbackKey{c.Ledger, c.Provider, c.ID} }

func compareKeys(a, b provider.Callback) int {
	return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.ID, b.ID))
}

// callbackKeys are the columns that name callbacks.
func callbackKeys(all []provider.Callback) (ledgers, providers, ids column[string]) {
	ledgers, providers, ids = make(column[string], len(all)), make(column[string], len(all)), make(column[string], len(all))
	for i, c := range all {
		ledgers[i], providers[i], ids[i] = string(c.Ledger), string(c.Provider), c.ID
	}
	return ledgers, providers, ids
}

// same is a column of one home.
func same(home id.Home, n int) column[string] {
	c := make(column[string], n)
	for i := range c {
		c[i] = string(home)
	}
	return c
}

// PutCallbacks implements provider.Store, in one round trip where all are new. The one statement is its own transaction: the key alone decides, so
// that it needs no serializable one. Rows go in the order of their keys: two groups that share some wait for each other, and never in a circle.
func (s *Store) PutCallbacks(ctx context.Context, home id.Home, callbacks []provider.Callback) ([][]byte, error) {
	sorted := slices.SortedFunc(slices.Values(callbacks), compareKeys)
	n := len(sorted)
	ledgers, providers, ids := callbackKeys(sorted)
	texts := make([]column[string], 12)
	for i := range texts {
		texts[i] = make(column[string], n)
	}
	occurred, received := make(column[time.Time], n), make(column[time.Time], n)
	meanings, raws := make(blobs, n), make(blobs, n)
	for i, c := range sorted {
		amount := ""
		if c.HasAmount {
			amount = c.Amount.String()
		}
		for j, text := range []string{
			c.Order(), c.Type, c.Trigger, c.Payment, c.Reference, amount, string(c.Currency), string(c.Raw.Mode), c.Raw.KeyID, string(c.State), c.Cause, c.Detail,
		} {
			texts[j][i] = text
		}
		occurred[i], received[i], meanings[i], raws[i] = c.OccurredAt, c.ReceivedAt, c.Meaning(), c.Raw.Bytes
		if raws[i] == nil {
			raws[i] = []byte{}
		}
	}
	conn, err := s.db.Writer(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	stored := make(map[callbackKey]bool, n)
	var k callbackKey
	rows, _ := conn.Query(ctx, sqlInsertCallbacks, home, ledgers, providers, ids, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], // the error comes back from the loop
		occurred, received, meanings, texts[7], texts[8], raws, texts[9], texts[10], texts[11])
	if _, err := pgx.ForEachRow(rows, []any{&k.ledger, &k.provider, &k.id}, func() error { stored[k] = true; return nil }); err != nil {
		return nil, db.ClassifyCommit(fmt.Errorf("store callbacks in %s: %w", home, err))
	}
	before := make([][]byte, n)
	if len(stored) == n {
		return before, nil
	}
	repeats := slices.DeleteFunc(sorted, func(c provider.Callback) bool { return stored[keyOf(c)] })
	ledgers, providers, ids = callbackKeys(repeats)
	found := make(map[callbackKey][]byte, len(repeats))
	var meaning []byte
	rows, _ = conn.Query(ctx, sqlLookupMeanings, same(home, len(repeats)), ledgers, providers, ids) // the error comes back from the loop
	if _, err := pgx.ForEachRow(rows, []any{&k.ledger, &k.provider, &k.id, &meaning}, func() error { found[k] = slices.Clone(meaning); return nil }); err != nil {
		return nil, db.Classify(fmt.Errorf("look at callbacks in %s: %w", home, err))
	}
	for i, c := range callbacks {
		if before[i] = found[keyOf(c)]; before[i] == nil && !stored[keyOf(c)] {
			return nil, errs.ErrContended.With("cause", "vanished") // it was there a moment ago
		}
	}
	return before, nil
}

const callbackReading = `home, ledger_id, provider, provider_event_id, type, trigger, payment, reference, coalesce(amount::text, ''), currency,
    occurred_at, received_at, raw_mode, raw_key, state, attempts, due_at, opened_at, cause, detail, changed_at`

const sqlOpenCallbacks = `
SELECT ` + callbackReading + `, ''::bytea
FROM callback WHERE home = $1 AND state IN ('received', 'waiting') AND order_key IN (
    SELECT order_key FROM callback WHERE home = $1 AND state IN ('received', 'waiting') AND due_at <= $2 ORDER BY due_at LIMIT $3)
ORDER BY order_key, coalesce(occurred_at, received_at), received_at, provider_event_id
LIMIT $4`

// OpenCallbacks implements provider.Store.
func (s *Store) OpenCallbacks(ctx context.Context, home id.Home, now time.Time, most int) ([]provider.Callback, error) {
	const others = 4                                                                    // that wait with one that is due, before some are left for the next time
	rows, _ := s.db.Reader().Query(ctx, sqlOpenCallbacks, home, now, most, others*most) // the error comes back from the loop
	found, err := collectCallbacks(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the open callbacks of %s: %w", home, err))
	}
	return found, nil
}

func collectCallbacks(rows pgx.Rows) ([]provider.Callback, error) {
	var found []provider.Callback
	var row provider.Callback
	var amount string
	var occurred *time.Time
	var raw []byte
	_, err := pgx.ForEachRow(rows, []any{
		&row.Home, &row.Ledger, &row.Provider, &row.ID, &row.Type, &row.Trigger, &row.Payment, &row.Reference, &amount, &row.Currency, &occurred,
		&row.ReceivedAt, &row.Raw.Mode, &row.Raw.KeyID, &row.State, &row.Attempts, &row.DueAt, &row.OpenedAt, &row.Cause, &row.Detail, &row.ChangedAt, &raw,
	}, func() error {
		c := row
		c.Raw.Bytes = slices.Clone(raw)
		c.ReceivedAt, c.DueAt, c.OpenedAt, c.ChangedAt = row.ReceivedAt.UTC(), row.DueAt.UTC(), row.OpenedAt.UTC(), row.ChangedAt.UTC()
		if occurred != nil {
			c.OccurredAt = occurred.UTC()
		}
		if amount != "" {
			n, err := money.Parse(amount)
			if err != nil {
				return fmt.Errorf("read the amount of callback %s: %w", c.ID, err)
			}
			c.Amount, c.HasAmount = n, true
		}
		found = append(found, c)
		return nil
	})
	return found, err
}

const sqlSettleCallbacks = `
UPDATE callback c SET state = k.state, trigger = k.word, attempts = k.attempts::int4, due_at = k.due_at, cause = k.cause, detail = k.detail, changed_at = k.changed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::timestamptz[], $9::text[], $10::text[], $11::timestamptz[])
    AS k (home, ledger_id, provider, id, state, word, attempts, due_at, cause, detail, changed_at)
WHERE c.home = k.home AND c.ledger_id = k.ledger_id AND c.provider = k.provider AND c.provider_event_id = k.id`

// SettleCallbacks implements provider.Store. Nobody but the owner of the lease changes what is open, so that nothing else has to be compared.
func (s *Store) SettleCallbacks(ctx context.Context, lease event.Lease, settled []provider.Callback) error {
	n := len(settled)
	ledgers, providers, ids := callbackKeys(settled)
	states, words, causes, details := make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n)
	attempts := make(column[int64], n)
	due, changed := make(column[time.Time], n), make(column[time.Time], n)
	for i, c := range settled {
		states[i], words[i], causes[i], details[i] = string(c.State), c.Trigger, c.Cause, c.Detail
		attempts[i], due[i], changed[i] = int64(c.Attempts), c.DueAt, c.ChangedAt
	}
	err := s.db.Write(ctx, func(tx pgx.Tx) error {
		if err := Fence(ctx, tx, lease); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlSettleCallbacks, same(lease.Home, n), ledgers, providers, ids, states, words, attempts, due, causes, details, changed)
		if err == nil && tag.RowsAffected() != int64(n) {
			err = errs.ErrInternal.Because(fmt.Errorf("%d of %d callbacks are there", tag.RowsAffected(), n))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write down what became of callbacks of %s: %w", lease.Home, err)
	}
	return nil
}

const sqlTallyOpenCallbacks = `
SELECT provider, state, '', count(*), min(received_at) FROM callback WHERE home = $1 AND state IN ('received', 'waiting') GROUP BY provider, state`

const sqlTallyDeadCallbacks = `
SELECT provider, 'dead', cause, count(*), min(received_at) FROM callback WHERE home = $1 AND state = 'dead' GROUP BY provider, cause`

// TallyCallbacks implements provider.Store.
func (s *Store) TallyCallbacks(ctx context.Context, home id.Home) ([]provider.Tally, error) {
	var found []provider.Tally
	for _, sql := range []string{sqlTallyOpenCallbacks, sqlTallyDeadCallbacks} {
		rows, _ := s.db.Reader().Query(ctx, sql, home) // the error comes back from the loop
		var t provider.Tally
		some, err := collect(rows, &t, []any{&t.Provider, &t.State, &t.Cause, &t.Count, &t.Oldest}, func(t *provider.Tally) { t.Oldest = t.Oldest.UTC() })
		if err != nil {
			return nil, db.Classify(fmt.Errorf("count the callbacks of %s: %w", home, err))
		}
		found = append(found, some...)
	}
	return found, nil
}

const sqlListCallbacks = `
SELECT ` + callbackReading + `, ''::bytea
FROM callback WHERE home = $1 AND ledger_id = $2 AND provider = $3 AND provider_event_id > $4 AND ($5::text = '' OR state = $5::text)
ORDER BY provider_event_id LIMIT $6`

const sqlListDeadCallbacks = `
SELECT ` + callbackReading + `, ''::bytea
FROM callback WHERE home = $1 AND ledger_id = $2 AND provider = $3 AND provider_event_id > $4 AND state = 'dead'
ORDER BY provider_event_id LIMIT $5`

// Callbacks lists callbacks of a provider by event id, without bodies.
func (s *Store) Callbacks(ctx context.Context, home id.Home, page provider.Page) ([]provider.Callback, error) {
	sql, args := sqlListCallbacks, []any{home, page.Ledger, page.Provider, page.After, page.State, page.Limit}
	if page.State == provider.Dead {
		sql, args = sqlListDeadCallbacks, []any{home, page.Ledger, page.Provider, page.After, page.Limit}
	}
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	found, err := collectCallbacks(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("list the callbacks of %s: %w", page.Provider, err))
	}
	return found, nil
}

const sqlSelectCallback = `
SELECT ` + callbackReading + `, raw
FROM callback WHERE home = $1 AND ledger_id = $2 AND provider = $3 AND provider_event_id = $4`

// Callback returns one with its body, or errs.ErrCallbackNotFound.
func (s *Store) Callback(ctx context.Context, home id.Home, ledger id.Ledger, name provider.Name, event string) (provider.Callback, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlSelectCallback, home, ledger, name, event) // the error comes back from the loop
	found, err := collectCallbacks(rows)
	if err != nil {
		return provider.Callback{}, db.Classify(fmt.Errorf("read a callback of %s: %w", name, err))
	}
	if len(found) == 0 {
		return provider.Callback{}, errs.ErrCallbackNotFound.With("provider", name).With("event", event)
	}
	return found[0], nil
}

const selectedCallbacks = `
WHERE home = $1 AND ledger_id = $2 AND provider = $3 AND state = 'dead' AND ($4::text = '' OR cause = $4::text)
    AND ($5::bool OR provider_event_id = ANY($6::text[]))`

const sqlReplayCallbacks = `
UPDATE callback SET state = 'received', attempts = 0, due_at = now(), opened_at = now(), changed_at = now()` + selectedCallbacks

// ReplayCallbacks makes dead callbacks due at once, as if never attempted, and returns how many.
func (s *Store) ReplayCallbacks(ctx context.Context, home id.Home, sel provider.Selection) (int64, error) {
	n, err := s.changeCallbacks(ctx, home, sel, sqlReplayCallbacks)
	if err != nil {
		return 0, fmt.Errorf("replay callbacks of %s: %w", sel.Provider, err)
	}
	return n, nil
}

const sqlDiscardCallbacks = `
UPDATE callback SET state = 'discarded', detail = detail || '; discarded: ' || $7::text, changed_at = now()` + selectedCallbacks

// DiscardCallbacks gives dead callbacks up, and returns how many.
func (s *Store) DiscardCallbacks(ctx context.Context, home id.Home, sel provider.Selection, reason string) (int64, error) {
	n, err := s.changeCallbacks(ctx, home, sel, sqlDiscardCallbacks, reason)
	if err != nil {
		return 0, fmt.Errorf("discard callbacks of %s: %w", sel.Provider, err)
	}
	return n, nil
}

func (s *Store) changeCallbacks(ctx context.Context, home id.Home, sel provider.Selection, sql string, more ...any) (n int64, err error) {
	if sel.Ledger == "" || sel.Provider == "" {
		return 0, errs.ErrInternal.Because(errors.New("a selection of callbacks names no provider"))
	}
	args := append([]any{home, sel.Ledger, sel.Provider, sel.Cause, len(sel.IDs) == 0, column[string](sel.IDs)}, more...)
	err = s.db.Write(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args...)
		n = tag.RowsAffected()
		return err
	})
	return n, err
}
