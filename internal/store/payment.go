package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
)

var _ ledger.Payments = (*Store)(nil)

const (
	paymentColumns = `home, ledger_id, id, kind, state, version, attempts, player, parent, asset, scale, provider, provider_reference, data,
    opened_at, changed_at`

	playerColumns = `home, ledger_id, id, version, profile, used, changed_at`
)

var (
	paymentReading = columnsOf("p", paymentColumns)
	playerReading  = columnsOf("p", playerColumns)
)

// Payments are locked after holds, and players after payments, by key like these.
func lockPayments(e db.Engine) string {
	return "SELECT " + columnsOf("r", paymentColumns) + "\n" + e.LockedRows("payment", "uuid") + "\nORDER BY r.home, r.ledger_id, r.id FOR UPDATE OF r"
}

func lockPlayers(e db.Engine) string {
	return "SELECT " + columnsOf("r", playerColumns) + "\n" + e.LockedRows("player", "text") + "\nORDER BY r.home, r.ledger_id, r.id FOR UPDATE OF r"
}

var sqlLookupPayments = `
SELECT ` + paymentReading + `
` + byKey + `
JOIN payment p ON p.home = k.home AND p.ledger_id = k.ledger_id AND p.id = k.id`

var sqlLookupPlayers = `
SELECT ` + playerReading + `
` + byName + `
JOIN player p ON p.home = k.home AND p.ledger_id = k.ledger_id AND p.id = k.id`

// queuePayments reads payments and players, with the statements that lock them or with those that do not. A player who is not there is one of
// whom nothing is known.
func queuePayments(batch *pgx.Batch, books *ledger.Books, needs ledger.Needs, sqlPayments, sqlPlayers string) {
	var payments rowKeys[[16]byte]
	var players rowKeys[string]
	for _, n := range needs {
		for _, key := range n.Payments {
			payments.add(n.Ledger, key)
		}
		for _, player := range n.Players {
			players.add(n.Ledger, string(player))
			books.Players[ledger.PlayerRef(n.Ledger.ID, player)] = ledger.Player{Home: n.Ledger.Home, Ledger: n.Ledger.ID, ID: player}
		}
	}
	payments.queue(batch, sqlPayments, func(rows pgx.Rows) error {
		return eachPayment(rows, func(p ledger.Payment) error {
			books.Payments[p.ID] = p
			return nil
		})
	})
	players.queue(batch, sqlPlayers, func(rows pgx.Rows) error {
		return eachPlayer(rows, func(p ledger.Player) error {
			books.Players[ledger.PlayerRef(p.Ledger, p.ID)] = p
			return nil
		})
	})
}

func eachPayment(rows pgx.Rows, fn func(ledger.Payment) error) error {
	var p ledger.Payment
	var parent pgtype.UUID
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{
		&p.Home, &p.Ledger, (*[16]byte)(&p.ID), &p.Kind, &p.State, &p.Version, &p.Attempts, &p.Player, &parent, &p.Asset.Code, &p.Asset.Scale,
		&p.Provider, &p.ProviderReference, &data, &p.OpenedAt, &p.ChangedAt,
	}, func() error {
		found := p
		found.Parent, found.PaymentData = parent.Bytes, ledger.PaymentData{}
		if err := json.Unmarshal(data, &found.PaymentData); err != nil {
			return fmt.Errorf("payment %s: read its data: %w", p.ID, err)
		}
		found.OpenedAt, found.ChangedAt = p.OpenedAt.UTC(), p.ChangedAt.UTC()
		return fn(found)
	})
	return err
}

func allPayments(rows pgx.Rows) (all []ledger.Payment, err error) {
	err = eachPayment(rows, func(p ledger.Payment) error {
		all = append(all, p)
		return nil
	})
	return all, err
}

func eachPlayer(rows pgx.Rows, fn func(ledger.Player) error) error {
	var p ledger.Player
	var profile, used []byte
	_, err := pgx.ForEachRow(rows, []any{&p.Home, &p.Ledger, &p.ID, &p.Version, &profile, &used, &p.ChangedAt}, func() error {
		found := p
		found.Profile, found.Usage = ledger.Profile{}, nil
		if err := json.Unmarshal(profile, &found.Profile); err != nil {
			return fmt.Errorf("player %s: read the profile: %w", p.ID, err)
		}
		if err := json.Unmarshal(used, &found.Usage); err != nil {
			return fmt.Errorf("player %s: read what was used: %w", p.ID, err)
		}
		found.ChangedAt = p.ChangedAt.UTC()
		return fn(found)
	})
	return err
}

// queuePaymentChanges writes payments, their history and players, with one statement a table and way.
func queuePaymentChanges(batch *pgx.Batch, c ledger.Changes) {
	queueBegun(batch, c.Begun)
	queueAdvanced(batch, c.Advanced)
	queueSteps(batch, c.Steps)
	queuePlayers(batch, sqlInsertPlayers, c.Joined)
	queuePlayers(batch, sqlUpdatePlayers, c.Players)
}

const sqlInsertPayments = `
INSERT INTO payment (` + paymentColumns + `)
SELECT p.home, p.ledger_id, p.id, p.kind, p.state, p.version, p.attempts, p.player, p.parent, p.asset, p.scale, p.provider, p.provider_reference,
    p.data::jsonb, p.opened_at, p.changed_at
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::text[], $9::uuid[], $10::text[], $11::int8[],
    $12::text[], $13::text[], $14::text[], $15::timestamptz[], $16::timestamptz[])
AS p (home, ledger_id, id, kind, state, version, attempts, player, parent, asset, scale, provider, provider_reference, data, opened_at, changed_at)`

func queueBegun(batch *pgx.Batch, payments []ledger.Payment) {
	n := len(payments)
	if n == 0 {
		return
	}
	keys, rows := paymentRows(payments)
	kinds, players, parents := make(column[string], n), make(column[string], n), make(sparse[[16]byte], n)
	assets, scales, opened := make(column[string], n), make(column[int64], n), make(column[time.Time], n)
	for i := range payments {
		p := &payments[i]
		kinds[i], players[i], parents[i] = string(p.Kind), string(p.Player), uuid(&p.Parent)
		assets[i], scales[i], opened[i] = string(p.Asset.Code), int64(p.Asset.Scale), p.OpenedAt
	}
	batch.Queue(sqlInsertPayments, keys.homes, keys.ledgers, keys.ids, kinds, rows.states, rows.versions, rows.attempts, players, parents, assets,
		scales, rows.providers, rows.references, rows.data, opened, rows.changed)
}

const sqlUpdatePayments = `
WITH written AS (
UPDATE payment SET state = p.state, version = p.version, attempts = p.attempts, provider = p.provider,
    provider_reference = p.provider_reference, data = p.data::jsonb, changed_at = p.changed_at
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::int8[], $6::int8[], $7::text[], $8::text[], $9::text[], $10::timestamptz[])
AS p (home, ledger_id, id, state, version, attempts, provider, provider_reference, data, changed_at)
WHERE payment.home = p.home AND payment.ledger_id = p.ledger_id AND payment.id = p.id
RETURNING payment.id)` + sqlAllWritten

func queueAdvanced(batch *pgx.Batch, payments []ledger.Payment) {
	if len(payments) == 0 {
		return
	}
	keys, rows := paymentRows(payments)
	batch.Queue(sqlUpdatePayments, keys.homes, keys.ledgers, keys.ids, rows.states, rows.versions, rows.attempts, rows.providers, rows.references,
		rows.data, rows.changed)
}

// paymentState is what changes of payments.
type paymentState struct {
	states, providers, references, data column[string]
	versions, attempts                  column[int64]
	changed                             column[time.Time]
}

func paymentRows(payments []ledger.Payment) (keys rowKeys[[16]byte], rows paymentState) {
	for i := range payments {
		p := &payments[i]
		keys.add(ledger.Ledger{ID: p.Ledger, Home: p.Home}, p.ID)
		rows.states, rows.providers = append(rows.states, string(p.State)), append(rows.providers, p.Provider)
		rows.references, rows.data = append(rows.references, p.ProviderReference), append(rows.data, mustJSON(p.PaymentData))
		rows.versions, rows.attempts = append(rows.versions, p.Version), append(rows.attempts, p.Attempts)
		rows.changed = append(rows.changed, p.ChangedAt)
	}
	return keys, rows
}

const sqlInsertSteps = `
INSERT INTO payment_step (home, ledger_id, payment_id, number, transaction_id, trigger_name, from_state, to_state, outcome, reason, recorded_at)
SELECT s.home, s.ledger_id, s.payment_id, s.number, s.transaction_id, s.trigger_name, s.from_state, s.to_state, s.outcome, s.reason, s.recorded_at
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::int8[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::timestamptz[])
AS s (home, ledger_id, payment_id, number, transaction_id, trigger_name, from_state, to_state, outcome, reason, recorded_at)`

func queueSteps(batch *pgx.Batch, steps []ledger.PaymentStep) {
	n := len(steps)
	if n == 0 {
		return
	}
	var keys rowKeys[[16]byte]
	numbers, transactions, triggers := make(column[int64], n), make(column[[16]byte], n), make(column[string], n)
	from, to, outcomes, reasons := make(column[string], n), make(column[string], n), make(column[string], n), make(column[string], n)
	recorded := make(column[time.Time], n)
	for i, s := range steps {
		keys.add(ledger.Ledger{ID: s.Ledger, Home: s.Home}, s.Payment)
		numbers[i], transactions[i], triggers[i] = s.Number, s.Transaction, string(s.Trigger)
		from[i], to[i], outcomes[i], reasons[i] = string(s.From), string(s.To), string(s.Decided), string(s.Reason)
		recorded[i] = s.RecordedAt
	}
	batch.Queue(sqlInsertSteps, keys.homes, keys.ledgers, keys.ids, numbers, transactions, triggers, from, to, outcomes, reasons, recorded)
}

const sqlInsertPlayers = `
INSERT INTO player (` + playerColumns + `)
SELECT p.home, p.ledger_id, p.id, p.version, p.profile::jsonb, p.used::jsonb, p.changed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::timestamptz[])
AS p (home, ledger_id, id, version, profile, used, changed_at)`

const sqlUpdatePlayers = `
WITH written AS (
UPDATE player SET version = p.version, profile = p.profile::jsonb, used = p.used::jsonb, changed_at = p.changed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::text[], $7::timestamptz[])
AS p (home, ledger_id, id, version, profile, used, changed_at)
WHERE player.home = p.home AND player.ledger_id = p.ledger_id AND player.id = p.id
RETURNING player.id)` + sqlAllWritten

func queuePlayers(batch *pgx.Batch, sql string, players []ledger.Player) {
	n := len(players)
	if n == 0 {
		return
	}
	var keys rowKeys[string]
	versions, profiles, used, changed := make(column[int64], n), make(column[string], n), make(column[string], n), make(column[time.Time], n)
	for i, p := range players {
		keys.add(ledger.Ledger{ID: p.Ledger, Home: p.Home}, string(p.ID))
		versions[i], profiles[i], used[i], changed[i] = p.Version, mustJSON(p.Profile), usageJSON(p.Usage), p.ChangedAt
	}
	batch.Queue(sql, keys.homes, keys.ledgers, keys.ids, versions, profiles, used, changed)
}

func usageJSON(used []ledger.Usage) string {
	if len(used) == 0 {
		return `[]`
	}
	return mustJSON(used)
}

var sqlSelectPayment = `
SELECT ` + paymentReading + `
FROM payment p WHERE p.home = $1 AND p.ledger_id = $2 AND p.id = $3`

// Payment implements ledger.Payments.
func (s *Store) Payment(ctx context.Context, key id.Ledger, payment id.Transaction) (ledger.Payment, error) {
	found, err := s.queryPayments(ctx, key, sqlSelectPayment, [16]byte(payment))
	return only(found, err, errs.ErrPaymentNotFound.With("ledger", key).With("payment_id", payment))
}

// pageArgs are the place and the limit of a page.
func pageArgs(p ledger.PaymentPage) []any {
	if p.At.IsZero() && !p.OldestFirst {
		return []any{time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), [16]byte{}, p.Limit} // infinity is beyond what CockroachDB takes
	}
	return []any{p.At, [16]byte(p.ID), p.Limit}
}

var sqlPaymentsOfPlayer = `
SELECT ` + paymentReading + `
FROM payment p WHERE p.player = $3 AND p.player <> '' AND p.home = $1 AND p.ledger_id = $2 AND (p.opened_at, p.id) < ($4, $5)
ORDER BY p.opened_at DESC, p.id DESC LIMIT $6`

// PaymentsOfPlayer implements ledger.Payments.
func (s *Store) PaymentsOfPlayer(ctx context.Context, key id.Ledger, player id.Player, page ledger.PaymentPage) ([]ledger.Payment, error) {
	return s.queryPayments(ctx, key, sqlPaymentsOfPlayer, append([]any{string(player)}, pageArgs(page)...)...)
}

var sqlPaymentsInState = `
SELECT ` + paymentReading + `
FROM payment p WHERE p.state = $4 AND p.home = $1 AND p.ledger_id = $2 AND p.kind = $3 AND (p.changed_at, p.id) < ($5, $6)
ORDER BY p.changed_at DESC, p.id DESC LIMIT $7`

var sqlPaymentsInStateOldest = `
SELECT ` + paymentReading + `
FROM payment p WHERE p.state = $4 AND p.home = $1 AND p.ledger_id = $2 AND p.kind = $3 AND (p.changed_at, p.id) > ($5, $6)
ORDER BY p.changed_at, p.id LIMIT $7`

// PaymentsInState implements ledger.Payments.
func (s *Store) PaymentsInState(ctx context.Context, key id.Ledger, kind ledger.PaymentKind, state ledger.PaymentState, page ledger.PaymentPage) ([]ledger.Payment, error) {
	sql := sqlPaymentsInState
	if page.OldestFirst {
		sql = sqlPaymentsInStateOldest
	}
	return s.queryPayments(ctx, key, sql, append([]any{string(kind), string(state)}, pageArgs(page)...)...)
}

// It counts no further: what stands at a place may be as many as a ledger ever had, and whoever asks wants to know whether they are many.
const sqlTallyPayments = `
SELECT count(*), min(changed_at) FROM (
    SELECT changed_at FROM payment WHERE state = $4 AND home = $1 AND ledger_id = $2 AND kind = $3 ORDER BY changed_at LIMIT 10000) p`

// TallyPayments implements standing.Store, with a round trip a ledger.
func (s *Store) TallyPayments(ctx context.Context, home id.Home, places []payment.Place) ([]payment.Tally, error) {
	ledgers, err := s.ledgersOf(ctx, home)
	if err != nil {
		return nil, db.Classify(err)
	}
	tallies := make([]payment.Tally, len(places))
	for _, l := range ledgers {
		batch := &pgx.Batch{}
		for i, at := range places {
			t := &tallies[i]
			t.Place = at
			batch.Queue(sqlTallyPayments, home, l, string(at.Kind), string(at.State)).QueryRow(func(row pgx.Row) error {
				var count int64
				var oldest *time.Time
				if err := row.Scan(&count, &oldest); err != nil {
					return err
				}
				if t.Count += count; oldest != nil && (t.Oldest.IsZero() || oldest.Before(t.Oldest)) {
					t.Oldest = oldest.UTC()
				}
				return nil
			})
		}
		if err := s.db.Reader().SendBatch(ctx, batch).Close(); err != nil {
			return nil, db.Classify(fmt.Errorf("count the payments of %s that have not ended: %w", l, err))
		}
	}
	return slices.DeleteFunc(tallies, func(t payment.Tally) bool { return t.Count == 0 }), nil
}

var sqlPaymentsByReference = `
SELECT ` + paymentReading + `
FROM (SELECT home, ledger_id, id FROM payment
    WHERE home = $1 AND ledger_id = $2 AND provider_reference = $4 AND provider_reference <> '' AND provider = $3
    ORDER BY opened_at DESC, id LIMIT $5) k
JOIN payment p ON p.home = k.home AND p.ledger_id = k.ledger_id AND p.id = k.id
ORDER BY p.opened_at DESC, p.id`

// PaymentsByReference implements ledger.Payments.
func (s *Store) PaymentsByReference(ctx context.Context, key id.Ledger, provider, reference string, limit int) ([]ledger.Payment, error) {
	return s.queryPayments(ctx, key, sqlPaymentsByReference, provider, reference, limit)
}

func (s *Store) queryPayments(ctx context.Context, key id.Ledger, sql string, args ...any) ([]ledger.Payment, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return nil, err
	}
	rows, _ := s.db.Reader().Query(ctx, sql, append([]any{l.Home, key}, args...)...) // the error comes back from the loop
	found, err := allPayments(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read payments: %w", err))
	}
	return found, nil
}

const sqlListSteps = `
SELECT home, ledger_id, payment_id, number, transaction_id, trigger_name, from_state, to_state, outcome, reason, recorded_at
FROM payment_step WHERE home = $1 AND ledger_id = $2 AND payment_id = $3 AND number > $4
ORDER BY number LIMIT $5`

// PaymentSteps implements ledger.Payments. A payment that is not there has none.
func (s *Store) PaymentSteps(ctx context.Context, key id.Ledger, payment id.Transaction, after int64, limit int) ([]ledger.PaymentStep, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return nil, err
	}
	rows, _ := s.db.Reader().Query(ctx, sqlListSteps, l.Home, key, [16]byte(payment), after, limit) // the error comes back from the loop
	var p ledger.PaymentStep
	found, err := collect(rows, &p, []any{
		&p.Home, &p.Ledger, (*[16]byte)(&p.Payment), &p.Number, (*[16]byte)(&p.Transaction), &p.Trigger, &p.From, &p.To, &p.Decided, &p.Reason,
		&p.RecordedAt,
	}, func(p *ledger.PaymentStep) { p.RecordedAt = p.RecordedAt.UTC() })
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the history of payment %s: %w", payment, err))
	}
	return found, nil
}

var sqlSelectPlayer = `
SELECT ` + playerReading + `
FROM player p WHERE p.home = $1 AND p.ledger_id = $2 AND p.id = $3`

// Player implements ledger.Payments.
func (s *Store) Player(ctx context.Context, key id.Ledger, player id.Player) (ledger.Player, error) {
	l, err := s.Ledger(ctx, key)
	if err != nil {
		return ledger.Player{}, err
	}
	rows, _ := s.db.Reader().Query(ctx, sqlSelectPlayer, l.Home, key, string(player)) // the error comes back from the loop
	var found *ledger.Player
	err = eachPlayer(rows, func(p ledger.Player) error {
		found = &p
		return nil
	})
	if err != nil {
		return ledger.Player{}, db.Classify(fmt.Errorf("read player %s: %w", player, err))
	}
	if found == nil {
		return ledger.Player{}, errs.ErrPlayerNotFound.With("ledger", key).With("player", player)
	}
	return *found, nil
}
