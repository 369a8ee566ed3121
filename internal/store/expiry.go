package store

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/expiry"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var _ expiry.Store = (*Store)(nil)

// The states are those of the index payment_expiry, which are those that expire leads out of.
var sqlExpiringPayments = `
SELECT ` + paymentReading + `
FROM payment p WHERE p.home = $1 AND p.kind = $2 AND p.opened_at <= $3 AND (p.opened_at, p.id) > ($4, $5)
    AND p.state IN ('authorized', 'partially_captured', 'granted', 'wagering', 'cleared')
ORDER BY p.opened_at, p.id LIMIT $6`

// ExpiringPayments implements expiry.Store.
func (s *Store) ExpiringPayments(ctx context.Context, home id.Home, kind ledger.PaymentKind, opened time.Time, page ledger.PaymentPage) ([]ledger.Payment, error) {
	rows, _ := s.db.Reader().Query(ctx, sqlExpiringPayments, home, string(kind), opened, page.At, [16]byte(page.ID), page.Limit) // the error comes back from the loop
	found, err := allPayments(rows)
	if err != nil {
		return nil, db.Classify(fmt.Errorf("read the payments of %s whose time is over: %w", home, err))
	}
	return found, nil
}
