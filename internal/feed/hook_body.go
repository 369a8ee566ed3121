package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/meridian-ledger/meridian/internal/id"
)

// MaxHook bounds the body of a webhook, in bytes; a changefeed as `meridian events changefeed` makes it sends 1 MiB, or one row that is larger.
const MaxHook = 16 << 20

// maxHookRows bounds the rows of a body.
const maxHookRows = 10_000

// hookJSON is the body of a webhook: rows, or up to which time everything was sent, in one of two forms.
type hookJSON struct {
	Payload  []json.RawMessage `json:"payload"`
	Length   *json.Number      `json:"length"`
	Resolved string            `json:"resolved"`
	Bare     *struct {
		Resolved string `json:"resolved"`
	} `json:"__crdb__"`
}

// topicJSON is what a row says of its table.
type topicJSON struct {
	Topic string `json:"topic"`
}

var errHook = errors.New("the body is not one of a changefeed of the journal")

// readHook reads the body of a webhook: the journal rows that it names, by home. A body that is empty, and one with a time alone, name none.
// Numbers are never read as floats.
func readHook(body []byte) (map[id.Home][]key, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	var form hookJSON
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&form); err != nil {
		return nil, fmt.Errorf("%w: not the JSON that was expected", errHook)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one value", errHook)
	}
	resolved := form.Resolved
	if resolved == "" && form.Bare != nil {
		resolved = form.Bare.Resolved
	}
	switch {
	case resolved != "" && form.Payload == nil && form.Length == nil:
		if _, err := parseHLC(resolved); err != nil {
			return nil, fmt.Errorf("%w: resolved: %w", errHook, err)
		}
		return nil, nil
	case resolved != "" || form.Payload == nil || form.Length == nil:
		return nil, fmt.Errorf("%w: want payload and length, or resolved", errHook)
	case form.Length.String() != fmt.Sprint(len(form.Payload)):
		return nil, fmt.Errorf("%w: length is not that of payload", errHook)
	case len(form.Payload) > maxHookRows:
		return nil, fmt.Errorf("%w: more than %d rows", errHook, maxHookRows)
	}
	rows := map[id.Home][]key{}
	for i, raw := range form.Payload {
		home, k, err := readHookRow(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: payload[%d]: %w", errHook, i, err)
		}
		if home != "" {
			rows[home] = append(rows[home], k)
		}
	}
	return rows, nil
}

// readHookRow reads one row; a row that was deleted has no home.
func readHookRow(raw []byte) (id.Home, key, error) {
	var table topicJSON
	if err := json.Unmarshal(raw, &table); err != nil {
		return "", key{}, errors.New("not a row")
	}
	if table.Topic != "" && table.Topic != "journal" {
		return "", key{}, errors.New("of another table than journal")
	}
	m, err := readMessage("", raw)
	if err != nil || !m.row && m.at != (hlc{}) {
		return "", key{}, errors.New("no row of a journal with its key and the option updated")
	}
	return m.change.Origin, key{m.change.Ledger, m.change.Transaction}, nil
}
