package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// known is a ledger as the ledger and asset tables have it.
type known struct {
	home   id.Home
	scales map[money.Code]uint8
}

// book is the rows of one ledger in one home. There is one book a ledger, unless a row stands where it does not belong.
type book struct {
	home   id.Home
	ledger id.Ledger
	known  bool // the ledger is in the ledger table
	astray bool // and has another home
	proper id.Home
}

const sqlLedgers = `
SELECT l.id, l.home, coalesce(a.code, ''), coalesce(a.scale, 0)
FROM ledger l LEFT JOIN asset a ON a.ledger_id = l.id
ORDER BY l.id, a.code`

// discover reads the ledgers, which fit in memory, and finds every pair of home and ledger that a row stands under.
func (r *run) discover(ctx context.Context) error {
	var ledger id.Ledger
	var home id.Home
	var code money.Code
	var scale uint8
	rows := r.query(ctx, sqlLedgers)
	_, err := pgx.ForEachRow(rows, []any{&ledger, &home, &code, &scale}, func() error {
		l, again := r.assets[ledger]
		if !again {
			l = known{home: home, scales: map[money.Code]uint8{}}
			r.assets[ledger] = l
		}
		if code != "" {
			l.scales[code] = scale
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the ledgers: %w", err)
	}
	for l := range r.assets {
		if r.inScope(l) {
			r.totals.of(l)
		}
	}
	seen := map[book]bool{}
	for _, table := range []string{"account", "entry", "journal", "hold", "payment", "payment_step"} {
		if err := r.booksOf(ctx, table, seen); err != nil {
			return err
		}
	}
	return r.asked()
}

// asked refuses a ledger that was named and of which there is not a trace: a misspelled name must not look like right books.
func (r *run) asked() error {
	for _, l := range r.o.Ledgers {
		_, found := r.assets[l]
		if !found && !slices.ContainsFunc(r.books, func(b book) bool { return b.ledger == l }) {
			return errs.ErrLedgerNotFound.With("ledger", l)
		}
	}
	return nil
}

// booksOf jumps from one pair of home and ledger to the next, one primary-key look-up each.
func (r *run) booksOf(ctx context.Context, table string, seen map[book]bool) error {
	after, args := "", []any(nil)
	for {
		var b book
		sql := `SELECT home, ledger_id FROM ` + table + after + ` ORDER BY home, ledger_id LIMIT 1`
		err := r.conn.QueryRow(ctx, sql, args...).Scan(&b.home, &b.ledger)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the ledgers in table %s: %w", table, err)
		}
		after, args = ` WHERE (home, ledger_id) > ($1, $2)`, []any{b.home, b.ledger}
		if seen[b] || !r.inScope(b.ledger) {
			continue
		}
		seen[b] = true
		l, found := r.assets[b.ledger]
		b.known, b.proper = found, l.home
		b.astray = !found || l.home != b.home
		r.books = append(r.books, b)
	}
}

func (r *run) inScope(l id.Ledger) bool { return r.scope == nil || r.scope[l] }

// housed holds the home of a row against that of its ledger.
func (r *run) housed(b book, f Finding) {
	r.looked(&r.checks.homes)
	if !b.astray {
		return
	}
	if b.known {
		f.Message = fmt.Sprintf("%s stands in home %q, the home of its ledger is %q", f.Message, b.home, b.proper)
	} else {
		f.Message = fmt.Sprintf("%s stands in home %q under a ledger that does not exist", f.Message, b.home)
	}
	r.find(&r.checks.homes, f)
}

// denominated holds an asset against those of the ledger.
func (r *run) denominated(b book, asset money.Asset, f Finding) {
	if !b.known {
		return // and reported as such
	}
	scale, found := r.assets[b.ledger].scales[asset.Code]
	switch {
	case !found:
		f.Message = fmt.Sprintf("%s is in %s, which is no asset of its ledger", f.Message, asset)
	case scale != asset.Scale:
		f.Message = fmt.Sprintf("%s is in %s, and its ledger has %s", f.Message, asset, money.Asset{Code: asset.Code, Scale: scale})
	default:
		return
	}
	r.find(&r.checks.homes, f)
}
