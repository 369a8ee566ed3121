package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// reversalsAtOnce is how many reversals and targets are in memory together, each with its entries.
const reversalsAtOnce = 100

const sqlReversals = `
SELECT reverses, id, entries FROM journal
WHERE home = $1 AND ledger_id = $2 AND reverses IS NOT NULL AND (reverses, id) > ($3, $4)
ORDER BY reverses, id LIMIT $5`

// LIMIT 1 leaves one way to run this, a look-up by the primary key for each id. With id = ANY($3) PostgreSQL read the whole journal where
// it had no statistics of it yet.
const sqlTargets = `
SELECT t.id, t.kind, t.outcome, t.entries FROM unnest($3::uuid[]) AS k (id)
CROSS JOIN LATERAL (SELECT id, kind, outcome, entries FROM journal WHERE home = $1 AND ledger_id = $2 AND id = k.id LIMIT 1) t`

// reversal is a row of the journal that undoes another.
type reversal struct {
	target, id id.Transaction
	lines      []line
}

// target is a row that one undoes.
type target struct {
	kind, outcome string
	lines         []line
}

// reversals reads the rows that reverse others in the order of what they reverse, some at a time, and then the others.
func (r *run) reversals(ctx context.Context, b book) error {
	var last reversal
	atOnce := int(min(reversalsAtOnce, r.o.page))
	for {
		page, err := r.reversalPage(ctx, b, last, atOnce)
		if err != nil {
			return err
		}
		targets, err := r.targets(ctx, b, page)
		if err != nil {
			return err
		}
		for _, v := range page {
			f := Finding{Ledger: b.ledger, Transaction: v.id}
			if v.target == last.target {
				f.Message = fmt.Sprintf("reverses %s, which %s reversed before", v.target, last.id)
				r.find(&r.checks.reversals, f)
			}
			if fault := v.fault(b, targets); fault != "" {
				f.Message = fault
				r.find(&r.checks.reversals, f)
			}
			last = v
		}
		if len(page) < atOnce {
			return nil
		}
	}
}

func (r *run) reversalPage(ctx context.Context, b book, last reversal, atOnce int) ([]reversal, error) {
	var page []reversal
	var v reversal
	var entries []byte
	rows := r.query(ctx, sqlReversals, b.home, b.ledger, [16]byte(last.target), [16]byte(last.id), atOnce)
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&v.target), (*[16]byte)(&v.id), &entries}, func() error {
		v.lines = nil
		_ = strict(entries, &v.lines) // a row that can not be read was reported by the journal's own check, and is no opposite here
		page = append(page, v)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the reversals of %s: %w", b.ledger, err)
	}
	return page, nil
}

func (r *run) targets(ctx context.Context, b book, page []reversal) (map[id.Transaction]target, error) {
	ids := make([][16]byte, len(page))
	for i, v := range page {
		ids[i] = v.target
	}
	found := make(map[id.Transaction]target, len(page))
	var key id.Transaction
	var t target
	var entries []byte
	rows := r.query(ctx, sqlTargets, b.home, b.ledger, ids)
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&key), &t.kind, &t.outcome, &entries}, func() error {
		t.lines = nil
		_ = strict(entries, &t.lines) // as above
		found[key] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what was reversed in %s: %w", b.ledger, err)
	}
	return found, nil
}

// fault says why a reversal is not the exact opposite of its target.
func (v *reversal) fault(b book, targets map[id.Transaction]target) string {
	t, found := targets[v.target]
	switch {
	case !found:
		return fmt.Sprintf("reverses %s, which is not there", v.target)
	case t.outcome != string(ledger.Posted) || !ledger.Kind(t.kind).Reversible():
		return fmt.Sprintf("reverses %s, which is a %s %s", v.target, t.outcome, t.kind)
	}
	opposite := slices.Clone(t.lines)
	for i := range opposite {
		opposite[i].Amount = opposite[i].Amount.Neg()
	}
	ours, theirs := sortedLines(v.lines, b), sortedLines(opposite, b)
	if len(ours) == 0 || len(ours) != len(theirs) {
		return fmt.Sprintf("has %d entries, and %s that it reverses has %d", len(ours), v.target, len(theirs))
	}
	for i, l := range ours {
		if o := theirs[i]; l.Ledger != o.Ledger || l.Account != o.Account || l.Amount != o.Amount {
			return fmt.Sprintf("moves %s on %s/%s, the opposite of %s is %s on %s/%s", l.Amount, l.Ledger, l.Account, v.target, o.Amount, o.Ledger, o.Account)
		}
	}
	return ""
}

// sortedLines puts lines in an order of their own, as a reversal may have them in any.
func sortedLines(lines []line, b book) []line {
	lines = slices.Clone(lines)
	for i := range lines {
		lines[i].Ledger = cmp.Or(lines[i].Ledger, b.ledger)
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Account, b.Account), a.Amount.Cmp(b.Amount))
	})
	return lines
}
