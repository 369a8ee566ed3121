package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// queueChanges writes all rows of a group with one statement a table, whatever the size of the group.
func queueChanges(batch *pgx.Batch, c ledger.Changes) {
	queueRecords(batch, c.Records)
	queueEntries(batch, c)
	queueOpened(batch, c.Opened)
	queueChanged(batch, c.Changed)
	queueTerms(batch, c.Termed)
	queueMade(batch, c.Made)
	queueSettled(batch, c.Settled)
	queuePaymentChanges(batch, c)
}

const sqlInsertRecords = `
INSERT INTO journal (home, ledger_id, id, idempotency_key, kind, outcome, reason, detail, entries, request, request_hash,
    reference, correlation_id, trace_id, target, reverses, effective_at, recorded_at)
SELECT r.home, r.ledger_id, r.id, r.idempotency_key, r.kind, r.outcome, r.reason, r.detail::jsonb, r.entries::jsonb, r.request::jsonb,
    r.request_hash, r.reference, r.correlation_id, r.trace_id, r.target, r.reverses, r.effective_at, r.recorded_at
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::bytea[], $12::text[], $13::text[], $14::text[], $15::uuid[], $16::uuid[], $17::timestamptz[], $18::timestamptz[])
AS r (home, ledger_id, id, idempotency_key, kind, outcome, reason, detail, entries, request, request_hash,
    reference, correlation_id, trace_id, target, reverses, effective_at, recorded_at)`

func queueRecords(batch *pgx.Batch, records []ledger.Record) {
	n := len(records)
	homes, ledgers, ids, keys := make([]string, n), make([]string, n), make([][16]byte, n), make([]string, n)
	kinds, outcomes, reasons := make([]string, n), make([]string, n), make([]*string, n)
	details, entries, requests, hashes := make([]*string, n), make([]string, n), make([]string, n), make([][]byte, n)
	references, correlations, traces := make([]*string, n), make([]*string, n), make([]*string, n)
	targets, reverses := make([]*[16]byte, n), make([]*[16]byte, n)
	effective, recorded := make([]time.Time, n), make([]time.Time, n)
	for i := range records {
		r := &records[i]
		o := &r.Outcome
		homes[i], ledgers[i], ids[i], keys[i] = string(r.Home), string(o.Ledger), o.Transaction, string(o.Key)
		kinds[i], outcomes[i], reasons[i] = string(o.Kind), string(o.Decided), text(string(o.Reason))
		details[i], entries[i], requests[i], hashes[i] = detailJSON(o), entriesJSON(o), string(r.Request), r.RequestHash[:]
		references[i], correlations[i], traces[i] = text(r.Reference), text(r.Correlation), text(r.TraceID)
		targets[i], reverses[i] = uuid(&r.Target), uuid(&r.Reverses)
		effective[i], recorded[i] = o.EffectiveAt, o.RecordedAt
	}
	batch.Queue(sqlInsertRecords, column[string](homes), column[string](ledgers), column[[16]byte](ids), column[string](keys),
		column[string](kinds), column[string](outcomes), sparse[string](reasons), sparse[string](details), column[string](entries),
		column[string](requests), blobs(hashes), sparse[string](references), sparse[string](correlations), sparse[string](traces),
		sparse[[16]byte](targets), sparse[[16]byte](reverses), column[time.Time](effective), column[time.Time](recorded))
}

const sqlInsertEntries = `
INSERT INTO entry (home, ledger_id, account_id, sequence, origin_ledger_id, transaction_id, line, kind,
    amount, balance, pending_debits, pending_credits, effective_at, recorded_at)
SELECT e.home, e.ledger_id, e.account_id, e.sequence, e.origin_ledger_id, e.transaction_id, e.line, e.kind,
    e.amount::decimal, e.balance::decimal, e.pending_debits::decimal, e.pending_credits::decimal, e.effective_at, e.recorded_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::text[], $6::uuid[], $7::int8[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[])
AS e (home, ledger_id, account_id, sequence, origin_ledger_id, transaction_id, line, kind,
    amount, balance, pending_debits, pending_credits, effective_at, recorded_at)`

func queueEntries(batch *pgx.Batch, c ledger.Changes) {
	n := c.Recorded
	if n == 0 {
		return
	}
	homes, ledgers, accounts, sequences := make([]string, 0, n), make([]string, 0, n), make([]string, 0, n), make([]int64, 0, n)
	origins, transactions, lines, kinds := make([]string, 0, n), make([][16]byte, 0, n), make([]int64, 0, n), make([]string, 0, n)
	amounts, balances := make([]string, 0, n), make([]string, 0, n)
	debits, credits := make([]string, 0, n), make([]string, 0, n)
	effective, recorded := make([]time.Time, 0, n), make([]time.Time, 0, n)
	for i := range c.Records {
		o := &c.Records[i].Outcome
		for line, e := range o.Entries {
			homes, ledgers = append(homes, string(c.HomeOf[e.Ref.Ledger])), append(ledgers, string(e.Ref.Ledger))
			accounts, sequences = append(accounts, string(e.Ref.Account)), append(sequences, e.Sequence)
			origins, transactions = append(origins, string(o.Ledger)), append(transactions, o.Transaction)
			lines, kinds = append(lines, int64(line)), append(kinds, string(o.Kind))
			amounts, balances = append(amounts, e.Amount.String()), append(balances, e.Balance.String())
			debits, credits = append(debits, e.PendingDebits.String()), append(credits, e.PendingCredits.String())
			effective, recorded = append(effective, o.EffectiveAt), append(recorded, o.RecordedAt)
		}
	}
	batch.Queue(sqlInsertEntries, column[string](homes), column[string](ledgers), column[string](accounts), column[int64](sequences),
		column[string](origins), column[[16]byte](transactions), column[int64](lines), column[string](kinds), column[string](amounts),
		column[string](balances), column[string](debits), column[string](credits), column[time.Time](effective), column[time.Time](recorded))
}

const sqlInsertAccounts = `
INSERT INTO account (` + accountColumns + `)
SELECT a.home, a.ledger_id, a.id, a.asset, a.scale, a.normal_side,
    a.posted_debits::decimal, a.posted_credits::decimal, a.pending_debits::decimal, a.pending_credits::decimal, a.sequence,
    a.min_available::decimal, a.max_balance::decimal, a.status, a.metadata::jsonb, a.opened_at, a.changed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int8[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::int8[], $12::text[], $13::text[], $14::text[], $15::text[], $16::timestamptz[], $17::timestamptz[])
AS a (home, ledger_id, id, asset, scale, normal_side, posted_debits, posted_credits, pending_debits, pending_credits, sequence,
    min_available, max_balance, status, metadata, opened_at, changed_at)`

func queueOpened(batch *pgx.Batch, accounts []ledger.Account) {
	n := len(accounts)
	if n == 0 {
		return
	}
	homes, ledgers, ids, assets := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	scales, normals := make([]int64, n), make([]string, n)
	opened := make([]time.Time, n)
	t := newTerms(n)
	for i, a := range accounts {
		homes[i], ledgers[i], ids[i], assets[i] = string(a.Home), string(a.Ref.Ledger), string(a.Ref.Account), string(a.Asset.Code)
		scales[i], normals[i], opened[i] = int64(a.Asset.Scale), a.Normal.String(), a.OpenedAt
		t.set(i, a)
	}
	b := balancesOf(accounts)
	batch.Queue(sqlInsertAccounts, homes, ledgers, ids, assets, scales, normals, b.postedDebits, b.postedCredits, b.pendingDebits,
		b.pendingCredits, b.sequences, t.floors, t.ceilings, t.statuses, t.metadata, opened, b.changed)
}

// Every row that is set was locked for it in the same transaction. Where one is gone all the same, nothing may be committed, and COMMIT is
// on its way already when the count comes back: so the statement itself fails, with a division by zero.
const sqlAllWritten = `
SELECT 1 / CASE count(*) WHEN array_length($1, 1) THEN 1 ELSE 0 END FROM written`

const sqlUpdateBalances = `
WITH written AS (
UPDATE account SET posted_debits = b.posted_debits::decimal, posted_credits = b.posted_credits::decimal,
    pending_debits = b.pending_debits::decimal, pending_credits = b.pending_credits::decimal,
    sequence = b.sequence, changed_at = b.changed_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int8[], $9::timestamptz[])
AS b (home, ledger_id, id, posted_debits, posted_credits, pending_debits, pending_credits, sequence, changed_at)
WHERE account.home = b.home AND account.ledger_id = b.ledger_id AND account.id = b.id
RETURNING account.id)` + sqlAllWritten

func queueChanged(batch *pgx.Batch, accounts []ledger.Account) {
	if len(accounts) == 0 {
		return
	}
	homes, ledgers, ids := refs(accounts)
	b := balancesOf(accounts)
	batch.Queue(sqlUpdateBalances, column[string](homes), column[string](ledgers), column[string](ids), column[string](b.postedDebits),
		column[string](b.postedCredits), column[string](b.pendingDebits), column[string](b.pendingCredits), column[int64](b.sequences),
		column[time.Time](b.changed))
}

const sqlUpdateTerms = `
WITH written AS (
UPDATE account SET min_available = t.min_available::decimal, max_balance = t.max_balance::decimal, status = t.status,
    metadata = t.metadata::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
AS t (home, ledger_id, id, min_available, max_balance, status, metadata)
WHERE account.home = t.home AND account.ledger_id = t.ledger_id AND account.id = t.id
RETURNING account.id)` + sqlAllWritten

func queueTerms(batch *pgx.Batch, accounts []ledger.Account) {
	if len(accounts) == 0 {
		return
	}
	homes, ledgers, ids := refs(accounts)
	t := newTerms(len(accounts))
	for i, a := range accounts {
		t.set(i, a)
	}
	batch.Queue(sqlUpdateTerms, homes, ledgers, ids, t.floors, t.ceilings, t.statuses, t.metadata)
}

const sqlInsertHolds = `
INSERT INTO hold (` + holdColumns + `)
SELECT h.home, h.ledger_id, h.id, h.from_account, h.to_account, h.asset, h.scale, h.amount::decimal, h.captured::decimal, h.status, h.expires_at
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::int8[], $8::text[], $9::text[], $10::text[],
    $11::timestamptz[])
AS h (home, ledger_id, id, from_account, to_account, asset, scale, amount, captured, status, expires_at)`

func queueMade(batch *pgx.Batch, holds []ledger.Hold) {
	n := len(holds)
	if n == 0 {
		return
	}
	homes, ledgers, ids, from, to := make([]string, n), make([]string, n), make([][16]byte, n), make([]string, n), make([]string, n)
	assets, scales, amounts, captured := make([]string, n), make([]int64, n), make([]string, n), make([]string, n)
	statuses, expires := make([]string, n), make([]time.Time, n)
	for i, h := range holds {
		homes[i], ledgers[i], ids[i], from[i], to[i] = string(h.Home), string(h.Ledger), h.ID, string(h.From), string(h.To)
		assets[i], scales[i], amounts[i], captured[i] = string(h.Asset.Code), int64(h.Asset.Scale), h.Amount.String(), h.Captured.String()
		statuses[i], expires[i] = string(h.Status), h.ExpiresAt
	}
	batch.Queue(sqlInsertHolds, homes, ledgers, ids, from, to, assets, scales, amounts, captured, statuses, expires)
}

const sqlUpdateHolds = `
WITH written AS (
UPDATE hold SET captured = h.captured::decimal, status = h.status
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[]) AS h (home, ledger_id, id, captured, status)
WHERE hold.home = h.home AND hold.ledger_id = h.ledger_id AND hold.id = h.id
RETURNING hold.id)` + sqlAllWritten

func queueSettled(batch *pgx.Batch, holds []ledger.Hold) {
	n := len(holds)
	if n == 0 {
		return
	}
	homes, ledgers, ids := make([]string, n), make([]string, n), make([][16]byte, n)
	captured, statuses := make([]string, n), make([]string, n)
	for i, h := range holds {
		homes[i], ledgers[i], ids[i], captured[i], statuses[i] = string(h.Home), string(h.Ledger), h.ID, h.Captured.String(), string(h.Status)
	}
	batch.Queue(sqlUpdateHolds, homes, ledgers, ids, captured, statuses)
}

func refs(accounts []ledger.Account) (homes, ledgers, ids []string) {
	for _, a := range accounts {
		homes, ledgers, ids = append(homes, string(a.Home)), append(ledgers, string(a.Ref.Ledger)), append(ids, string(a.Ref.Account))
	}
	return homes, ledgers, ids
}

type balances struct {
	postedDebits, postedCredits, pendingDebits, pendingCredits []string
	sequences                                                  []int64
	changed                                                    []time.Time
}

func balancesOf(accounts []ledger.Account) balances {
	var b balances
	for _, a := range accounts {
		b.postedDebits, b.postedCredits = append(b.postedDebits, a.PostedDebits.String()), append(b.postedCredits, a.PostedCredits.String())
		b.pendingDebits, b.pendingCredits = append(b.pendingDebits, a.PendingDebits.String()), append(b.pendingCredits, a.PendingCredits.String())
		b.sequences, b.changed = append(b.sequences, a.Sequence), append(b.changed, a.ChangedAt)
	}
	return b
}

type terms struct {
	floors, ceilings   []*string
	statuses, metadata []string
}

func newTerms(n int) terms {
	return terms{floors: make([]*string, n), ceilings: make([]*string, n), statuses: make([]string, n), metadata: make([]string, n)}
}

func (t terms) set(i int, a ledger.Account) {
	t.floors[i], t.ceilings[i] = limit(a.Floor), limit(a.Ceiling)
	t.statuses[i], t.metadata[i] = string(a.Status), string(metadataJSON(a.Metadata))
}

func limit(l ledger.Limit) *string {
	if !l.Set {
		return nil
	}
	s := l.Amount.String()
	return &s
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func uuid(t *id.Transaction) *[16]byte {
	if t.IsZero() {
		return nil
	}
	return (*[16]byte)(t)
}

func metadataJSON(m ledger.Metadata) json.RawMessage {
	if len(m) == 0 {
		return json.RawMessage(`{}`)
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("a map of texts always marshals: %v", err))
	}
	return b
}
