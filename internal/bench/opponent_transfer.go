package bench

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// The statements of one transfer.
const (
	sqlFindKey = `SELECT request_hash FROM opponent_transfer WHERE ledger_id = $1 AND idempotency_key = $2`

	sqlRead = `
SELECT id, asset, balance, sequence, min_available, status FROM opponent_account
WHERE ledger_id = $1 AND id = ANY($2)`

	sqlReadLocked = sqlRead + ` ORDER BY id FOR UPDATE`

	sqlInsertTransfer = `
INSERT INTO opponent_transfer (ledger_id, idempotency_key, id, kind, status, request, request_hash, recorded_at)
VALUES ($1, $2, $3, 'transfer', 'posted', $4, $5, now())`

	sqlInsertEntries = `
INSERT INTO opponent_entry (ledger_id, account_id, sequence, transfer_id, amount, balance, recorded_at)
VALUES ($1, $2, $3, $4, $5, $6, now()), ($1, $7, $8, $4, $9, $10, now())`

	sqlUpdateBalance = `
UPDATE opponent_account SET balance = $3, sequence = $4, changed_at = now() WHERE ledger_id = $1 AND id = $2`
)

// request is a transfer on its way into the tables.
type request struct {
	ledger   string
	key      id.Key
	id       [16]byte
	from, to string
	minor    int64
	asset    string
	text     []byte
	hash     [sha256.Size]byte
}

func (p *program) request(c ledger.Command) (request, error) {
	if c.Kind != ledger.KindTransfer {
		return request{}, fmt.Errorf("%s: it knows transfers alone", c.Kind)
	}
	minor, fits := c.Amount.Minor.Int64()
	if !fits {
		return request{}, fmt.Errorf("%s: it knows amounts of 64 bits alone", c.Amount.Minor)
	}
	text, err := json.Marshal(map[string]any{"from": c.Account, "to": c.Counter, "amount": minor, "asset": c.Amount.Asset})
	if err != nil {
		return request{}, err
	}
	return request{
		ledger: p.ledger, key: c.Key, id: c.ID(), from: string(c.Account), to: string(c.Counter),
		minor: minor, asset: string(c.Amount.Asset), text: text, hash: sha256.Sum256(text),
	}, nil
}

type account struct {
	id, asset         string
	balance, sequence int64
	floor             int64
	status            string
}

// attempt is one transaction, in eight round trips.
func (p *program) attempt(ctx context.Context, c ledger.Command) (a Answer, err error) {
	r, err := p.request(c)
	if err != nil {
		return a, err
	}
	err = pgx.BeginTxFunc(ctx, p.pool, pgx.TxOptions{IsoLevel: pgx.Serializable}, func(tx pgx.Tx) error {
		a, err = p.transfer(ctx, tx, r)
		return err
	})
	return a, err
}

func (p *program) transfer(ctx context.Context, tx pgx.Tx, r request) (Answer, error) {
	var earlier []byte
	switch err := tx.QueryRow(ctx, sqlFindKey, r.ledger, r.key).Scan(&earlier); {
	case err == nil && string(earlier) != string(r.hash[:]):
		return Answer{}, errs.ErrIdempotencyMismatch
	case err == nil:
		return Answer{Replayed: 1}, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return Answer{}, err
	}
	from, to, err := p.pair(ctx, tx, r)
	if err != nil {
		return Answer{}, err
	}
	if from.asset != r.asset || to.asset != r.asset || from.status != "open" || to.status != "open" {
		return Answer{Declined: map[errs.Reason]int{errs.ReasonAssetMismatch: 1}}, nil
	}
	if from.balance-r.minor < from.floor {
		return Answer{Declined: map[errs.Reason]int{errs.ReasonInsufficientFunds: 1}}, nil
	}
	from.balance, from.sequence = from.balance-r.minor, from.sequence+1
	to.balance, to.sequence = to.balance+r.minor, to.sequence+1
	return Answer{Posted: 1, Entries: 2}, write(ctx, tx, r, from, to)
}

// pair reads both accounts, as the strategy does.
func (p *program) pair(ctx context.Context, tx pgx.Tx, r request) (from, to account, err error) {
	rows, _ := tx.Query(ctx, p.read, r.ledger, []string{r.from, r.to}) // the error comes back from the loop
	var a account
	found := 0
	_, err = pgx.ForEachRow(rows, []any{&a.id, &a.asset, &a.balance, &a.sequence, &a.floor, &a.status}, func() error {
		found++
		if a.id == r.from {
			from = a
		} else {
			to = a
		}
		return nil
	})
	if err == nil && found != 2 {
		err = fmt.Errorf("%d accounts of %s and %s are there", found, r.from, r.to)
	}
	return from, to, err
}

func write(ctx context.Context, tx pgx.Tx, r request, from, to account) error {
	if _, err := tx.Exec(ctx, sqlInsertTransfer, r.ledger, r.key, r.id, r.text, r.hash[:]); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, sqlInsertEntries, r.ledger, from.id, from.sequence, r.id, -r.minor, from.balance,
		to.id, to.sequence, r.minor, to.balance); err != nil {
		return err
	}
	for _, a := range []account{from, to} {
		if _, err := tx.Exec(ctx, sqlUpdateBalance, r.ledger, a.id, a.balance, a.sequence); err != nil {
			return err
		}
	}
	return nil
}
