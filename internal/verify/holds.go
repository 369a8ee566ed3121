package verify

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// What is said of accounts and holds.
const (
	pendingDebits  = "pending debits"
	pendingCredits = "pending credits"
	made           = "made"
	ended          = "ended"
)

const sqlHolds = `
SELECT id, from_account, to_account, asset, scale, amount::text, captured::text, status, expires_at
FROM hold WHERE home = $1 AND ledger_id = $2 AND id >= $3
ORDER BY id LIMIT $4 OFFSET $5`

// hold is a row of the hold table.
type hold struct {
	id               id.Transaction
	from, to         id.Account
	asset            money.Asset
	amount, captured digits
	status           string
	expiresAt        time.Time
}

// making says what a hold was made as, and ending what became of it, the same way for both sides and for a person.
func (h *hold) making(b []byte) []byte {
	b = append(append(b, "was made from "...), h.from...)
	b = append(append(b, " to "...), h.to...)
	b = h.amount.Append(append(b, " amount "...))
	b = append(append(b, ' '), h.asset.String()...)
	return appendTime(append(b, " until "...), h.expiresAt)
}

func ending(status string) []byte { return []byte("ended as " + status) }

// holds reads the holds of one book, in the order of their ids.
func (r *run) holds(ctx context.Context, b book) error {
	var h hold
	began := false
	from := func() []any { return []any{b.home, b.ledger, [16]byte(h.id)} }
	into := []any{
		(*[16]byte)(&h.id), &h.from, &h.to, &h.asset.Code, &h.asset.Scale, &h.amount, &h.captured, &h.status, &h.expiresAt,
	}
	return r.paged(ctx, "holds", sqlHolds, &began, from, into, func() error {
		f := Finding{Ledger: b.ledger, Account: h.from, Transaction: h.id, Message: "the hold"}
		r.housed(b, f)
		r.denominated(b, h.asset, f)
		r.looked(&r.checks.holds)
		if !r.searching {
			r.totals.of(b.ledger).holds++
		}
		if fault := h.fault(); fault != "" {
			f.Message = fault
			r.find(&r.checks.holds, f)
		}
		r.keepHold(b, &h)
		return nil
	})
}

// fault says how the amounts of a hold contradict its status. A hold whose last part was committed is committed, so that in any other
// state something is left.
func (h *hold) fault() string {
	left, err := h.amount.Sub(h.captured.Amount)
	possible := false
	switch h.status {
	case "held", "rolled_back", "expired":
		possible = left.Sign() > 0
	case "committed":
		possible = h.captured.Sign() > 0 && left.Sign() >= 0
	}
	if err == nil && possible && h.captured.Sign() >= 0 && h.amount.odd == "" && h.captured.odd == "" {
		return ""
	}
	return fmt.Sprintf("the hold is %s with %s of %s captured", h.status, h.captured, h.amount)
}

// keepHold says what the row says of accounts and of its own life.
func (r *run) keepHold(b book, h *hold) {
	about := subject{ledger: b.ledger, transaction: h.id}
	at := place{ledger: b.ledger, account: h.from}
	r.captured.say(kept, about, at, nil, h.captured.Amount)
	about.matter = made
	r.lives.say(kept, about, at, h.making(nil), one)
	if h.status != "held" {
		about.matter = ended
		r.lives.say(kept, about, at, ending(h.status), one)
		return
	}
	left, err := h.amount.Sub(h.captured.Amount)
	if err != nil {
		return // and reported as a fault
	}
	r.pending.say(told, subject{ledger: b.ledger, account: h.from, matter: pendingDebits}, place{}, nil, left)
	r.pending.say(told, subject{ledger: b.ledger, account: h.to, matter: pendingCredits}, place{}, nil, left)
}

// strayPending words an account whose holds do not add up.
func strayPending(m mismatch) Finding {
	return Finding{Ledger: m.ledger, Account: m.account, Message: fmt.Sprintf("%s are %s, open holds add up to %s", m.matter, m.sums[kept], m.sums[told])}
}

// strayCapture words a hold whose commits do not add up.
func strayCapture(m mismatch) Finding {
	return strayHold(m, fmt.Sprintf("the hold has captured %s, its commits add up to %s", m.sums[kept], m.sums[told]))
}

// strayLife words a hold of which the journal tells another story.
func strayLife(m mismatch) Finding {
	switch {
	case m.kept == "":
		return strayHold(m, fmt.Sprintf("the journal says that the hold %s, the hold does not", m.told))
	case m.told == "":
		return strayHold(m, fmt.Sprintf("the hold says that it %s, the journal does not", m.kept))
	}
	return strayHold(m, fmt.Sprintf("the journal says that the hold %s, the hold that it %s", m.told, m.kept))
}

func strayHold(m mismatch, message string) Finding {
	return Finding{Ledger: m.ledger, Account: cmp.Or(m.at[kept].account, m.at[told].account), Transaction: m.transaction, Message: message}
}
