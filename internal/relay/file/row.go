package file

import (
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// row is an event in Parquet. It is made from the data that the subscriber is shown, never from the journal row, which may say more. The home is
// not in it: the directory says it, and readers that find it in both places quarrel about its type.
type row struct {
	Position       int64      `parquet:"position,delta"`
	EventID        string     `parquet:"event_id"`
	Type           string     `parquet:"type,dict"`
	Ledger         string     `parquet:"ledger,dict"`
	Account        string     `parquet:"account_id,optional,dict"`
	Kind           string     `parquet:"kind,dict"`
	Status         string     `parquet:"status,dict"`
	Reason         string     `parquet:"reason,optional,dict"`
	RequestReason  string     `parquet:"request_reason,optional,dict"`
	OccurredAt     time.Time  `parquet:"occurred_at,timestamp(microsecond)"`
	EffectiveAt    time.Time  `parquet:"effective_at,timestamp(microsecond)"`
	Amount         *decimal   `parquet:"amount,decimal(0:38)"`
	Currency       string     `parquet:"currency,optional,dict"`
	Reference      string     `parquet:"reference_id,optional"`
	IdempotencyKey string     `parquet:"idempotency_key"`
	Correlation    string     `parquet:"correlation_id,optional"`
	Entries        []entryRow `parquet:"entries,list"`
	Data           string     `parquet:"data"`
}

type entryRow struct {
	Ledger   string  `parquet:"ledger,dict"`
	Account  string  `parquet:"account_id,dict"`
	Sequence int64   `parquet:"sequence"`
	Side     string  `parquet:"side,optional,dict"`
	Amount   decimal `parquet:"amount,decimal(0:38)"`
	Currency string  `parquet:"currency,optional,dict"`
	Balance  decimal `parquet:"balance,decimal(0:38)"`
}

// decimal is DECIMAL(38, 0) as Parquet has it: two's complement, the highest byte first.
type decimal [16]byte

// data is what columns are made from. Amounts are decimal strings.
type data struct {
	EventID        string    `json:"event_id"`
	Type           string    `json:"event_type"`
	OccurredAt     time.Time `json:"occurred_at"`
	Ledger         string    `json:"ledger"`
	Kind           string    `json:"kind"`
	Status         string    `json:"status"`
	Reason         string    `json:"reason"`
	RequestReason  string    `json:"request_reason"`
	EffectiveAt    time.Time `json:"effective_at"`
	Amount         string    `json:"amount_minor"`
	Currency       string    `json:"currency"`
	Reference      string    `json:"reference_id"`
	IdempotencyKey string    `json:"idempotency_key"`
	Correlation    string    `json:"correlation_id"`
	Entries        []struct {
		Ledger   string `json:"ledger"`
		Account  string `json:"account_id"`
		Sequence int64  `json:"sequence"`
		Side     string `json:"side"`
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
		Balance  string `json:"balance"`
	} `json:"entries"`
}

func rowOf(m sink.Message) (row, error) {
	var d data
	if err := json.Unmarshal(m.Data, &d); err != nil {
		return row{}, fmt.Errorf("read the data of transaction %s: %w", m.ID(), err)
	}
	r := row{
		Position: int64(m.Position), EventID: d.EventID, Type: d.Type, Ledger: d.Ledger, Account: m.Headers["account"], Kind: d.Kind, Status: d.Status,
		Reason: d.Reason, RequestReason: d.RequestReason, OccurredAt: d.OccurredAt, EffectiveAt: d.EffectiveAt, Currency: d.Currency,
		Reference: d.Reference, IdempotencyKey: d.IdempotencyKey, Correlation: d.Correlation, Data: string(m.Data),
		Entries: make([]entryRow, len(d.Entries)),
	}
	if d.Amount != "" {
		amount, err := decimalOf(d.Amount)
		if err != nil {
			return row{}, err
		}
		r.Amount = &amount
	}
	for i, e := range d.Entries {
		amount, err := decimalOf(e.Amount)
		if err != nil {
			return row{}, err
		}
		balance, err := decimalOf(e.Balance)
		if err != nil {
			return row{}, err
		}
		r.Entries[i] = entryRow{
			Ledger: e.Ledger, Account: e.Account, Sequence: e.Sequence, Side: e.Side, Amount: amount, Currency: e.Currency, Balance: balance,
		}
	}
	return r, nil
}

// limit is 10^38: a DECIMAL(38, 0) is less.
var limit = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)

var modulus = new(big.Int).Lsh(big.NewInt(1), 128)

func decimalOf(s string) (decimal, error) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.CmpAbs(limit) >= 0 {
		return decimal{}, fmt.Errorf("%.60q is no amount of up to 38 digits", s)
	}
	if n.Sign() < 0 {
		n.Add(n, modulus)
	}
	var d decimal
	n.FillBytes(d[:])
	return d, nil
}
