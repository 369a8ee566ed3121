package verify

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
)

// judgeWaiting holds what waits on the pending account of a payment against the payment's state.
func (r *run) judgeWaiting(f Finding, kind, state string, data paymentData) {
	r.looked(&r.checks.holdings)
	role := string(payment.Pending)
	held := data.Holdings[role]
	f.Account = data.Roles[role]
	table, _ := payment.TableOf(ledger.PaymentKind(kind))
	switch {
	case held.Sign() < 0:
		f.Message = fmt.Sprintf("the payment took %s more from its pending account than it put there", held.Neg())
	case held.Sign() > 0 && table.Terminal(ledger.PaymentState(state)):
		f.Message = fmt.Sprintf("the %s has ended as %s, and %s of it wait on its pending account", kind, state, held)
	default:
		return
	}
	r.find(&r.checks.holdings, f)
}

// See sqlTargets for LIMIT 1.
const sqlRoles = `
SELECT p.id, p.data FROM unnest($3::uuid[]) AS k (id)
CROSS JOIN LATERAL (SELECT id, data FROM payment WHERE home = $1 AND ledger_id = $2 AND id = k.id LIMIT 1) p`

// judgeHoldings says what steps moved on accounts, whose entries were all read. An account that has been moved otherwise may do so unless
// money of payments waits there: whether it does says the payment of its newest step.
func (r *run) judgeHoldings(ctx context.Context, b book, page []*statement) error {
	mixed := map[id.Transaction][]*statement{} // by their newest step
	for _, s := range page {
		if s.step.IsZero() {
			continue
		}
		r.looked(&r.checks.holdings)
		r.holdings.say(kept, subject{ledger: b.ledger, account: s.id}, place{}, nil, s.steps)
		if posted, err := s.credits.Sub(s.debits); err != nil || posted != s.steps {
			mixed[s.step] = append(mixed[s.step], s)
		}
	}
	if r.searching || len(mixed) == 0 {
		return nil
	}
	byPayment := make(map[id.Transaction][]*statement, len(mixed))
	var key id.Transaction
	var text []byte
	into := []any{(*[16]byte)(&key), &text}
	_, err := pgx.ForEachRow(r.query(ctx, sqlTerms, b.home, b.ledger, keysOf(mixed)), into, func() error {
		var detail struct {
			Step transition `json:"step"`
		}
		_ = json.Unmarshal(text, &detail) // what can not be read was reported by the journal's own check
		byPayment[detail.Step.Payment] = append(byPayment[detail.Step.Payment], mixed[key]...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the newest steps on accounts of %s: %w", b.ledger, err)
	}
	_, err = pgx.ForEachRow(r.query(ctx, sqlRoles, b.home, b.ledger, keysOf(byPayment)), into, func() error {
		var data paymentData
		_ = json.Unmarshal(text, &data) // as above
		for _, s := range byPayment[key] {
			if s.id == data.Roles[string(payment.Pending)] {
				s.mixed(r, b)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the payments of accounts of %s: %w", b.ledger, err)
	}
	return nil
}

// mixed reports an account on which money of payments waits, and other money too.
func (s *statement) mixed(r *run, b book) {
	posted, _ := s.credits.Sub(s.debits) // both are sums of amounts without sign
	r.find(&r.checks.holdings, Finding{
		Ledger: b.ledger, Account: s.id, Message: fmt.Sprintf("money of payments waits here: their steps make it %s, and all entries make it %s", s.steps, posted),
	})
}

func keysOf[V any](of map[id.Transaction]V) [][16]byte {
	keys := make([][16]byte, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	return keys
}

// strayHolding words an account on which payments hold something else than their steps moved there.
func strayHolding(m mismatch) Finding {
	return Finding{
		Ledger: m.ledger, Account: m.account, Message: fmt.Sprintf("payments hold %s here, and their steps moved %s", m.sums[told], m.sums[kept]),
	}
}
