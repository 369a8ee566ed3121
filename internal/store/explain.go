package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/recon"
)

var _ explain.Store = (*Store)(nil)

// The statements of stories join arrays of full keys, as those of groups do, so that there is one plan however many ledgers are asked. Each has a
// bound, and each finds its keys in one index alone.

const sqlExplainReference = `
SELECT j.ledger_id, j.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (home, ledger_id, reference)
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.reference = k.reference AND j.reference IS NOT NULL
LIMIT $4`

const sqlExplainPaymentReference = `
SELECT p.ledger_id, p.id
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (home, ledger_id, reference)
JOIN payment p ON p.home = k.home AND p.ledger_id = k.ledger_id AND p.provider_reference = k.reference AND p.provider_reference <> ''
LIMIT $4`

const sqlExplainTrace = `
SELECT t.ledger_id, t.transaction_id
FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[]) AS k (home, ledger_id, generation, trace)
JOIN search_transaction t ON t.home = k.home AND t.ledger_id = k.ledger_id AND t.generation = k.generation AND t.trace_id = k.trace AND t.trace_id <> ''
LIMIT $5`

// queryFound reads keys of the journal, as how says they were found.
func (s *Store) queryFound(ctx context.Context, how explain.How, sql string, args ...any) ([]explain.Found, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	f := explain.Found{How: how}
	all, err := collect(rows, &f, []any{&f.Ledger, (*[16]byte)(&f.Transaction)}, nil)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("look for a %s: %w", how, err))
	}
	return all, nil
}

// Find implements explain.Store.
func (s *Store) Find(ctx context.Context, ledgers []ledger.Ledger, text string, limit int) ([]explain.Found, error) {
	var keys rowKeys[string]
	var traced rowKeys[string]
	var generations column[int64]
	serving := map[id.Home]int64{}
	for _, l := range ledgers {
		keys.add(l, text)
		if _, known := serving[l.Home]; !known {
			rows, _ := s.db.Reader().Query(ctx, sqlServing, l.Home) // the error comes back from the loop
			generation := int64(0)
			if _, err := pgx.ForEachRow(rows, []any{&generation}, func() error { return nil }); err != nil {
				return nil, db.Classify(fmt.Errorf("read which search model of %s serves: %w", l.Home, err))
			}
			serving[l.Home] = generation
		}
		if serving[l.Home] > 0 {
			traced.add(l, text)
			generations = append(generations, serving[l.Home])
		}
	}
	all, err := s.queryFound(ctx, explain.ByReference, sqlExplainReference, keys.homes, keys.ledgers, keys.ids, limit)
	if err != nil {
		return nil, err
	}
	more, err := s.queryFound(ctx, explain.ByProviderReference, sqlExplainPaymentReference, keys.homes, keys.ledgers, keys.ids, limit)
	if err != nil {
		return nil, err
	}
	if all = append(all, more...); len(generations) == 0 {
		return all, nil
	}
	more, err = s.queryFound(ctx, explain.ByTrace, sqlExplainTrace, traced.homes, traced.ledgers, generations, traced.ids, limit)
	return append(all, more...), err
}

// Records implements explain.Store.
func (s *Store) Records(ctx context.Context, keys []explain.Key) ([]ledger.Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return s.queryRecords(ctx, sqlRecordsAt, explainKeys(keys)...)
}

func explainKeys(keys []explain.Key) []any {
	var all rowKeys[[16]byte]
	for _, k := range keys {
		all.add(ledger.Ledger{ID: k.Ledger, Home: k.Home}, k.Transaction)
	}
	return []any{all.homes, all.ledgers, all.ids}
}

const sqlExplainTargets = `
SELECT j.ledger_id, j.id
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS k (home, ledger_id, id)
JOIN journal j ON j.home = k.home AND j.ledger_id = k.ledger_id AND j.target = k.id AND j.target IS NOT NULL AND j.kind <> 'step'
LIMIT $4`

// Acted implements explain.Store.
func (s *Store) Acted(ctx context.Context, on []explain.Key, limit int) ([]ledger.Record, error) {
	found, err := s.queryFound(ctx, explain.ByTarget, sqlExplainTargets, append(explainKeys(on), limit)...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	keys := make([]explain.Key, len(found))
	for i, f := range found {
		keys[i] = explain.Key{Home: on[0].Home, Ledger: f.Ledger, Transaction: f.Transaction}
	}
	return s.Records(ctx, keys)
}

// Hold implements explain.Store.
func (s *Store) Hold(ctx context.Context, key explain.Key) (h ledger.Hold, found bool, err error) {
	rows, _ := s.db.Reader().Query(ctx, sqlLookupHolds, explainKeys([]explain.Key{key})...) // the error comes back from the loop
	err = eachHold(rows, func(one ledger.Hold) error {
		h, found = one, true
		return nil
	})
	if err != nil {
		return h, false, db.Classify(fmt.Errorf("read hold %s: %w", key.Transaction, err))
	}
	return h, found, nil
}

// The bodies stay where they are: a story says that they are kept, and nothing of what stands in them.
const sqlExplainCallbacks = `
SELECT c.home, c.ledger_id, c.provider, c.provider_event_id, c.type, c.trigger, c.payment, c.reference, coalesce(c.amount::text, ''), c.currency,
    c.occurred_at, c.received_at, c.raw_mode, c.raw_key, c.state, c.attempts, c.due_at, c.opened_at, c.cause, c.detail, c.changed_at, ''::bytea
FROM (SELECT b.home, b.ledger_id, b.provider, b.provider_event_id
    FROM unnest($1::text[], $2::text[], $3::text[]) AS n (home, ledger_id, order_key)
    JOIN callback b ON b.home = n.home AND b.ledger_id = n.ledger_id AND b.order_key = n.order_key LIMIT $4) k
JOIN callback c ON c.home = k.home AND c.ledger_id = k.ledger_id AND c.provider = k.provider AND c.provider_event_id = k.provider_event_id`

const sqlExplainCallbacksAt = `
SELECT c.home, c.ledger_id, c.provider, c.provider_event_id, c.type, c.trigger, c.payment, c.reference, coalesce(c.amount::text, ''), c.currency,
    c.occurred_at, c.received_at, c.raw_mode, c.raw_key, c.state, c.attempts, c.due_at, c.opened_at, c.cause, c.detail, c.changed_at, ''::bytea
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (home, ledger_id, provider, id)
JOIN callback c ON c.home = k.home AND c.ledger_id = k.ledger_id AND c.provider = k.provider AND c.provider_event_id = k.id`

// CallbacksOf implements explain.Store.
func (s *Store) CallbacksOf(ctx context.Context, ledgers []ledger.Ledger, orders []string, limit int) ([]provider.Callback, error) {
	var keys rowKeys[string]
	for i, l := range ledgers {
		keys.add(l, orders[i])
	}
	rows, _ := s.db.Reader().Query(ctx, sqlExplainCallbacks, keys.homes, keys.ledgers, keys.ids, limit) // the error comes back from the collection
	found, err := collectCallbacks(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the callbacks of a payment: %w", err))
	}
	return found, nil
}

// CallbacksAt implements explain.Store.
func (s *Store) CallbacksAt(ctx context.Context, ledgers []ledger.Ledger, names []provider.Name, events []string) ([]provider.Callback, error) {
	var keys rowKeys[string]
	providers := make(column[string], len(names))
	for i, l := range ledgers {
		keys.add(l, events[i])
		providers[i] = string(names[i])
	}
	rows, _ := s.db.Reader().Query(ctx, sqlExplainCallbacksAt, keys.homes, keys.ledgers, providers, keys.ids) // the error comes back from the collection
	found, err := collectCallbacks(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read callbacks by their ids: %w", err))
	}
	return found, nil
}

const explainedResult = `r.run_id, r.attempt, r.number, r.verdict, r.reason, r.reference, r.asset, r.difference::text, r.statement_id IS NOT NULL,
    coalesce(r.line_amount::text, ''), r.transaction_id IS NOT NULL, coalesce(r.book_amount::text, ''), coalesce(r.transaction_id::text, ''), r.compared_at`

const sqlExplainCompared = `
SELECT ` + explainedResult + `
FROM (SELECT b.home, b.ledger_id, b.run_id, b.attempt, b.number
    FROM unnest($1::text[], $2::text[], $3::uuid[]) AS n (home, ledger_id, id)
    JOIN recon_result b ON b.home = n.home AND b.ledger_id = n.ledger_id AND b.transaction_id = n.id AND b.transaction_id IS NOT NULL LIMIT $4) k
JOIN recon_result r ON r.home = k.home AND r.ledger_id = k.ledger_id AND r.run_id = k.run_id AND r.attempt = k.attempt AND r.number = k.number`

// One reference at a time: with several, each engine has a form that reads the index whole while it has no statistics of it.
const sqlExplainLines = `
SELECT ` + explainedResult + `
FROM (SELECT b.home, b.ledger_id, b.run_id, b.attempt, b.number
    FROM recon_result b
    WHERE b.home = $1 AND b.ledger_id = $2 AND b.reference = $3 AND b.transaction_id IS NULL LIMIT $4) k
JOIN recon_result r ON r.home = k.home AND r.ledger_id = k.ledger_id AND r.run_id = k.run_id AND r.attempt = k.attempt AND r.number = k.number`

// Compared implements explain.Store.
func (s *Store) Compared(ctx context.Context, l ledger.Ledger, transactions []id.Transaction, references []string, limit int) ([]explain.Compared, error) {
	var byID rowKeys[[16]byte]
	for _, t := range transactions {
		byID.add(l, t)
	}
	found, err := s.queryCompared(ctx, l, sqlExplainCompared, byID.homes, byID.ledgers, byID.ids, limit)
	for _, reference := range references {
		if err != nil || len(found) >= limit {
			break
		}
		var lines []explain.Compared
		lines, err = s.queryCompared(ctx, l, sqlExplainLines, l.Home, l.ID, reference, limit-len(found))
		found = append(found, lines...)
	}
	return found, err
}

// queryCompared reads results of attempts that count, each with its run and what was proposed about it.
func (s *Store) queryCompared(ctx context.Context, l ledger.Ledger, sql string, args ...any) ([]explain.Compared, error) {
	rows, _ := s.db.Reader().Query(ctx, sql, args...) // the error comes back from the loop
	var all []explain.Compared
	var c explain.Compared
	var attempt int64
	var attempts []int64
	var run [16]byte
	var hasLine, hasBook bool
	var line, book, transaction string
	_, err := pgx.ForEachRow(rows, []any{
		&run, &attempt, &c.Result.Number, &c.Result.Verdict, &c.Result.Reason, &c.Result.Reference, &c.Result.Asset, into(&c.Result.Difference), &hasLine,
		&line, &hasBook, &book, &transaction, &c.At,
	}, func() error {
		one := c
		one.At, one.Run.ID = c.At.UTC(), recon.RunID{Transaction: run}
		if hasLine {
			one.Result.Line = &recon.LineSide{}
			if err := parseInto(&one.Result.Line.Amount, &line); err != nil {
				return err
			}
		}
		if hasBook {
			one.Result.Book = &recon.BookSide{}
			if err := parseInto(&one.Result.Book.Amount, &book); err != nil {
				return err
			}
			var err error
			if one.Result.Book.Transaction, err = id.ParseTransaction(transaction); err != nil {
				return err
			}
		}
		all, attempts = append(all, one), append(attempts, attempt)
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read what comparisons say: %w", err))
	}
	var counted []explain.Compared
	runs, proposed := map[recon.RunID]recon.Run{}, map[recon.RunID][]recon.Resolution{}
	for i, one := range all {
		if _, known := runs[one.Run.ID]; !known {
			if runs[one.Run.ID], err = s.Run(ctx, l, one.Run.ID); err != nil {
				return nil, err
			}
			if proposed[one.Run.ID], err = s.Resolutions(ctx, l, one.Run.ID); err != nil {
				return nil, err
			}
		}
		if one.Run = runs[one.Run.ID]; !one.Run.Done || one.Run.Attempt != attempts[i] {
			continue
		}
		for _, r := range proposed[one.Run.ID] {
			if r.Result == one.Result.Number {
				one.Resolutions = append(one.Resolutions, r)
			}
		}
		counted = append(counted, one)
	}
	return counted, nil
}

const sqlExplainPositions = `
SELECT s.home, s.position, s.transaction_id, s.appended_at
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS k (home, ledger_id, id)
JOIN stream s ON s.home = k.home AND s.ledger_id = k.ledger_id AND s.transaction_id = k.id`

const sqlExplainDeliveries = `
SELECT d.home, d.subscription_id, d.position, d.ledger_id, d.transaction_id, '[]'::jsonb, d.state, d.attempts, d.due_at, d.cause, d.detail, d.created_at,
    d.changed_at
FROM unnest($1::text[], $2::text[], $3::int8[]) AS k (home, subscription_id, position)
JOIN delivery d ON d.home = k.home AND d.subscription_id = k.subscription_id AND d.position = k.position`

const sqlExplainProgress = `
SELECT p.home, p.subscription_id, p.since, p.position
FROM unnest($1::text[], $2::text[]) AS k (home, subscription_id)
JOIN progress p ON p.home = k.home AND p.subscription_id = k.subscription_id`

// Streamed implements explain.Store. The homes that a transaction touches are those whose streams it stands in.
func (s *Store) Streamed(ctx context.Context, l id.Ledger, transactions []id.Transaction) (explain.Streamed, error) {
	out := explain.Streamed{}
	homes, err := s.Homes(ctx)
	if err != nil {
		return out, err
	}
	var keys rowKeys[[16]byte]
	for _, home := range homes {
		for _, t := range transactions {
			keys.add(ledger.Ledger{ID: l, Home: home}, t)
		}
	}
	rows, _ := s.db.Reader().Query(ctx, sqlExplainPositions, keys.homes, keys.ledgers, keys.ids) // the error comes back from the loop
	var p explain.Placed
	scan := []any{&p.Home, &p.Position, (*[16]byte)(&p.Transaction), &p.At}
	if out.Placed, err = collect(rows, &p, scan, func(p *explain.Placed) { p.At = p.At.UTC() }); err != nil {
		return out, db.Classify(fmt.Errorf("read positions of the stream: %w", err))
	}
	var atHomes, atSubs, ofHomes, ofSubs column[string]
	var at column[int64]
	for _, home := range homes {
		if !slices.ContainsFunc(out.Placed, func(p explain.Placed) bool { return p.Home == home }) {
			continue
		}
		subs, err := s.Subscribed(ctx, home)
		if err != nil {
			return out, err
		}
		for _, sub := range subs {
			out.Subscriptions = append(out.Subscriptions, explain.Subscribed{Home: home, ID: sub.ID, Filter: sub.Filter, State: sub.State})
			ofHomes, ofSubs = append(ofHomes, string(home)), append(ofSubs, sub.ID)
			for _, p := range out.Placed {
				if p.Home == home {
					atHomes, atSubs, at = append(atHomes, string(home)), append(atSubs, sub.ID), append(at, int64(p.Position))
				}
			}
		}
	}
	if len(at) == 0 {
		return out, nil
	}
	rows, _ = s.db.Reader().Query(ctx, sqlExplainDeliveries, atHomes, atSubs, at) // the error comes back from the collection
	if out.Deliveries, err = collectDeliveries(rows); err != nil {
		return out, db.Classify(fmt.Errorf("read deliveries of a story: %w", err))
	}
	rows, _ = s.db.Reader().Query(ctx, sqlExplainProgress, ofHomes, ofSubs) // the error comes back from the loop
	var home id.Home
	var sub string
	var since, position event.Position
	_, err = pgx.ForEachRow(rows, []any{&home, &sub, &since, &position}, func() error {
		for i := range out.Subscriptions {
			if one := &out.Subscriptions[i]; one.Home == home && one.ID == sub {
				one.Since, one.Position = since, position
			}
		}
		return nil
	})
	if err != nil {
		return out, db.Classify(fmt.Errorf("read how far subscriptions are: %w", err))
	}
	return out, nil
}

// Children implements explain.Store: payments of the same player that take this one back, among the newest.
func (s *Store) Children(ctx context.Context, p ledger.Payment, limit int) ([]ledger.Payment, error) {
	if p.Player == "" {
		return nil, nil
	}
	all, err := s.PaymentsOfPlayer(ctx, p.Ledger, p.Player, ledger.PaymentPage{Limit: limit})
	return slices.DeleteFunc(all, func(c ledger.Payment) bool { return c.Parent != p.ID }), err
}
