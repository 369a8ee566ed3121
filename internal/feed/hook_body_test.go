package feed

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
)

const hookedRow = `{"after": {"home": "eu", "ledger_id": "brand", "id": "11111111-1111-4111-8111-111111111111", "entries": [{"account": "a", ` +
	`"sequence": 9007199254740993, "amount": 12345678901234567890123456789012345678}], "recorded_at": "2026-11-20T21:08:11.730852Z"}, ` +
	`"before": null, "key": ["eu", "brand", "11111111-1111-4111-8111-111111111111"], "topic": "journal", "updated": "1795208891731161302.0000000007"}`

func hooked(rows ...string) string {
	return fmt.Sprintf(`{"payload":[%s],"length":%d}`, strings.Join(rows, ","), len(rows))
}

func TestReadHook_TheFormsOfAChangefeed(t *testing.T) {
	us := strings.ReplaceAll(hookedRow, `"eu"`, `"us"`)
	deleted := `{"after": null, "key": ["eu", "brand", "11111111-1111-4111-8111-111111111111"], "topic": "journal", "updated": "1795208891731161302.0000000000"}`
	for _, row := range []struct {
		name, body string
		eu, us     int
	}{
		{"nothing", "", 0, 0},
		{"white space", " \n", 0, 0},
		{"resolved", `{"resolved":"1795208887164643022.0000000000"}`, 0, 0},
		{"resolved of a query", `{"__crdb__": {"resolved": "1795208887164643022.0000000000"}}`, 0, 0},
		{"a row", hooked(hookedRow), 1, 0},
		{"rows of two homes", hooked(hookedRow, us, hookedRow), 2, 1},
		{"a row without its table", hooked(strings.Replace(hookedRow, `"topic": "journal", `, "", 1)), 1, 0},
		{"a row with its other time", hooked(strings.Replace(hookedRow, `"updated"`, `"mvcc_timestamp": "1795208891731161302.0000000007", "updated"`, 1)), 1, 0},
		{"no row", hooked(), 0, 0},
		{"a row that was deleted", hooked(deleted), 0, 0},
	} {
		rows, err := readHook([]byte(row.body))
		if err != nil || len(rows["eu"]) != row.eu || len(rows["us"]) != row.us {
			t.Errorf("%s: %v, %v", row.name, rows, err)
		}
		for _, k := range rows["eu"] {
			if k.ledger != "brand" || k.id.String() != "11111111-1111-4111-8111-111111111111" {
				t.Errorf("%s: %v", row.name, k)
			}
		}
	}
}

func TestReadHook_RefusesWhatNoChangefeedOfTheJournalSends(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":              "payload",
		"cut short":            hooked(hookedRow)[:40],
		"an array":             "[]",
		"null":                 "null",
		"empty object":         "{}",
		"two values":           hooked(hookedRow) + "{}",
		"no length":            `{"payload":[]}`,
		"no payload":           `{"length":0}`,
		"another length":       strings.Replace(hooked(hookedRow), `"length":1`, `"length":2`, 1),
		"a length as a float":  strings.Replace(hooked(hookedRow), `"length":1`, `"length":1.0`, 1),
		"resolved and payload": `{"payload":[],"length":0,"resolved":"1795208887164643022.0000000000"}`,
		"a time as a float":    `{"resolved":"1795208887164643022.5"}`,
		"a time as a number":   `{"resolved":1795208887164643022}`,
		"a row without a time": hooked(strings.Replace(hookedRow, `"updated"`, `"up"`, 1)),
		"a row without a home": hooked(strings.Replace(hookedRow, `"home"`, `"hme"`, 1)),
		"a row without an id":  hooked(strings.Replace(hookedRow, `"id"`, `"idd"`, 1)),
		"another table":        hooked(strings.Replace(hookedRow, `"topic": "journal"`, `"topic": "hold"`, 1)),
		"resolved as a row":    hooked(`{"resolved":"1795208887164643022.0000000000"}`),
		"a number as a row":    hooked("1"),
		"null as a row":        hooked("null"),
		"too many rows":        hooked(strings.Split(strings.Repeat(hookedRow+"\n", maxHookRows+1), "\n")[:maxHookRows+1]...),
	} {
		if rows, err := readHook([]byte(body)); err == nil {
			t.Errorf("%s: %d homes, and no error", name, len(rows))
		} else if strings.Contains(err.Error(), "1111") {
			t.Errorf("%s: the error repeats the body: %v", name, err)
		}
	}
}

// What is read of a changefeed without a sink is exact: HLC with its counter, sequences above 2^53, amounts of 38 digits left as they are.
func TestReadMessage_OfAWebhookIsExact(t *testing.T) {
	m, err := readMessage("eu", []byte(hookedRow))
	if err != nil {
		t.Fatal(err)
	}
	if m.at != (hlc{1795208891731161302, 7}) || m.change.Entries[0].Sequence != 9007199254740993 {
		t.Errorf("%+v", m)
	}
}

func FuzzReadHook(f *testing.F) {
	for _, body := range []string{
		"", hooked(), hooked(hookedRow), hooked(hookedRow, hookedRow), `{"resolved":"1795208887164643022.0000000000"}`,
		`{"__crdb__":{"resolved":"1.0000000000"}}`, `{"payload":[null],"length":1}`, `{"payload":[{"after":null,"updated":"1.0000000000"}],"length":1}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		rows, err := readHook(body)
		if err != nil {
			if rows != nil {
				t.Errorf("rows beside an error")
			}
			return
		}
		n := 0
		for home, keys := range rows {
			if n += len(keys); home == "" {
				t.Error("rows of no home")
			}
			for _, k := range keys {
				if k.ledger == "" {
					t.Error("a row of no ledger")
				}
				if _, err := id.ParseTransaction(k.id.String()); err != nil {
					t.Errorf("%v: %v", k, err)
				}
			}
		}
		if n > bytes.Count(body, []byte(":")) {
			t.Errorf("%d rows of %d bytes", n, len(body))
		}
	})
}
