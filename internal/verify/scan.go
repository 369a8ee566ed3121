package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/meridian-ledger/meridian/internal/money"
)

// digits scans a DECIMAL that was cast to text. What is no amount (NaN, a fraction, more than 38 digits) stays as the text it is, equals
// nothing else, and counts as zero.
type digits struct {
	money.Amount
	odd string
}

var errNull = errors.New("an amount is NULL")

// ScanBytes implements pgtype.BytesScanner.
func (d *digits) ScanBytes(text []byte) error {
	if text == nil {
		return errNull
	}
	a, err := money.Parse(string(text))
	*d = digits{Amount: a}
	if err != nil {
		d.odd = string(text)
	}
	return nil
}

// Append appends the text of d to b.
func (d digits) Append(b []byte) []byte {
	if d.odd != "" {
		return append(b, d.odd...)
	}
	return d.Amount.Append(b)
}

func (d digits) String() string { return string(d.Append(nil)) }

// strict decodes JSON that has no field we do not know: what is not read can not be proven.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

func appendTime(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.RFC3339Nano) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// micros cuts a time to what the database stores.
func micros(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
