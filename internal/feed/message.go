package feed

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// message is what a changefeed says at once: a row that was committed at a time, or that nothing more will come up to it.
type message struct {
	change event.Change
	row    bool // else the time is resolved
	at     hlc
}

// messageJSON is the value of a row of a changefeed. Only what is needed of a journal row is decoded; timestamps are texts and sequences are
// read as integers, so that no number passes through a float.
type messageJSON struct {
	Resolved string `json:"resolved"`
	Updated  string `json:"updated"`
	After    *struct {
		Home       id.Home         `json:"home"`
		Ledger     id.Ledger       `json:"ledger_id"`
		ID         string          `json:"id"`
		Entries    json.RawMessage `json:"entries"`
		RecordedAt time.Time       `json:"recorded_at"`
	} `json:"after"`
}

var errMessage = errors.New("the changefeed says what is not understood")

// ledgerNamed is in the entries of every row that touches more ledgers than its own.
var ledgerNamed = []byte(`"ledger"`)

// readMessage reads the value of a row of a changefeed for the stream of a home. What is of another home and touches no ledger but its own comes
// back without its entries. A row that was deleted, which nobody who has the rights of a server can do, is no row and has no time.
func readMessage(home id.Home, value []byte) (message, error) {
	var form messageJSON
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&form); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return message{}, fmt.Errorf("%w: more than one value", errMessage)
	}
	if form.Resolved != "" {
		at, err := parseHLC(form.Resolved)
		if err != nil {
			return message{}, fmt.Errorf("%w: resolved: %w", errMessage, err)
		}
		return message{at: at}, nil
	}
	at, err := parseHLC(form.Updated)
	if err != nil {
		return message{}, fmt.Errorf("%w: updated: %w", errMessage, err)
	}
	row := form.After
	if row == nil {
		return message{}, nil
	}
	m := message{row: true, at: at, change: event.Change{
		Home: home, Origin: row.Home, Ledger: row.Ledger, RecordedAt: row.RecordedAt.UTC(),
	}}
	if m.change.Transaction, err = id.ParseTransaction(row.ID); err != nil || row.Home == "" || row.Ledger == "" {
		return message{}, fmt.Errorf("%w: a journal row without a key", errMessage)
	}
	if row.Home != home && !bytes.Contains(row.Entries, ledgerNamed) {
		return m, nil
	}
	if err := readSteps(&m.change, row.Entries); err != nil {
		return message{}, fmt.Errorf("%w: %w", errMessage, err)
	}
	return m, nil
}

// unhex reads bytes as the text protocol writes them: \x and pairs of hexadecimal digits.
func unhex(text []byte) ([]byte, error) {
	digits, ok := bytes.CutPrefix(text, []byte(`\x`))
	if !ok {
		return nil, fmt.Errorf("%w: bytes without \\x", errMessage)
	}
	value := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(value, digits); err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return value, nil
}
