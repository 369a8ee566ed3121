package feed

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

func FuzzParsePlace(f *testing.F) {
	for _, s := range []string{"pg1:7575:731:1700000000000000", "pg1:7575:+1:0", "pg1:7575:18446744073709551615:-1", "crdb1:a:b:1.0000000000", "pg1:::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parsePlace(event.Cursor(s)); err == nil && string(p.cursor()) != s {
			t.Errorf("%q became %q", s, p.cursor())
		}
	})
}

func FuzzParseMark(f *testing.F) {
	for _, s := range []string{"crdb1:8c9242e2-7355-4e3f-8fee-e8492adeb26a:106:1795262278083384349.0000000001", "crdb1:c:1:1.0000000000?", "crdb1:c:1:1.5", "pg1:1:2:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := parseMark(event.Cursor(s)); err == nil && string(m.cursor()) != s {
			t.Errorf("%q became %q", s, m.cursor())
		}
	})
}

func FuzzParseHLC(f *testing.F) {
	for _, s := range []string{"1795208887164643022.0000000000", "9223372036854775807.2147483647", "9223372036854775808.0000000000", "1.2147483648", "01.0000000000", "1e3.0000000000", "1.0000000000?", "-1.0000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parseHLC(s)
		if err == nil && h.String() != strings.TrimSuffix(s, "?") {
			t.Errorf("%q became %s", s, h)
		}
		if err == nil && (h.wall < 1 || h.logical < 0) {
			t.Errorf("%q became %+v", s, h)
		}
	})
}

func TestHLC_IsExact(t *testing.T) {
	parse := func(s string) hlc {
		h, err := parseHLC(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		return h
	}
	ascending := []hlc{ // a float64 could not tell the first three apart
		parse("1795208887164643022.0000000000"), parse("1795208887164643022.0000000001"), parse("1795208887164643023.0000000000"),
		parse("1795208887164643023.2147483647"), parse("9223372036854775807.0000000000"),
	}
	for i := range ascending {
		for j := range ascending {
			if got := ascending[i].compare(ascending[j]); got != min(1, max(-1, i-j)) {
				t.Errorf("%s against %s: %d", ascending[i], ascending[j], got)
			}
		}
	}
}

// As a CockroachDB v22.1 sends it, but for the home of brand.
const recordedRow = `{"after": {"correlation_id": null, "detail": null, "effective_at": "2026-11-20T21:08:11.730852Z", "entries": ` +
	`[{"account": "a", "amount": "-5000", "balance": "-5000", "sequence": 9007199254740993}, ` +
	`{"account": "x", "amount": "5000", "balance": "5000", "ledger": "other", "sequence": 2}], "home": "eu", ` +
	`"id": "11111111-1111-4111-8111-111111111111", "idempotency_key": "k", "kind": "transfer", "ledger_id": "brand", "outcome": "posted", ` +
	`"reason": null, "recorded_at": "2026-11-20T21:08:11.730852Z", "request": {"n": 12345678901234567890123456789012345678}, ` +
	`"request_hash": "\\x0102"}, "mvcc_timestamp": "1795208891731161302.0000000000", "updated": "1795208891731161302.0000000000"}`

func TestReadMessage(t *testing.T) {
	m, err := readMessage("eu", []byte(recordedRow))
	if err != nil {
		t.Fatal(err)
	}
	c := m.change
	if !m.row || m.at != (hlc{wall: 1795208891731161302}) || c.Home != "eu" || c.Origin != "eu" || c.Ledger != "brand" ||
		c.Transaction.String() != "11111111-1111-4111-8111-111111111111" || !c.RecordedAt.Equal(time.Date(2026, 11, 20, 21, 8, 11, 730852000, time.UTC)) {
		t.Errorf("the row is %+v", m)
	}
	if len(c.Entries) != 2 || c.Entries[0].Ref.Ledger != "brand" || c.Entries[0].Sequence != 9007199254740993 || c.Entries[1].Ref.Ledger != "other" {
		t.Errorf("its entries are %+v", c.Entries)
	}
	m, err = readMessage("us", []byte(recordedRow))
	if err != nil || m.change.Home != "us" || m.change.Origin != "eu" || !reflect.DeepEqual(m.change.Entries, c.Entries) {
		t.Errorf("to another home the row is %+v, %v", m, err)
	}
	alone := strings.Replace(recordedRow, `"ledger":`, `"was":`, 1)
	if m, err := readMessage("us", []byte(alone)); err != nil || m.change.Origin != "eu" || m.change.Entries != nil {
		t.Errorf("to another home a row of one ledger is %+v, %v", m, err)
	}
	if m, err := readMessage("eu", []byte(`{"resolved":"1795208887164643022.0000000000"}`)); err != nil || m.row || m.at.wall != 1795208887164643022 {
		t.Errorf("resolved is %+v, %v", m, err)
	}
	if m, err := readMessage("eu", []byte(`{"after": null, "updated": "1795208887164643022.0000000000"}`)); err != nil || m.row || m.at != (hlc{}) {
		t.Errorf("a deleted row is %+v, %v", m, err)
	}
	for _, bad := range []string{
		``, `{}`, `[]`, `{"resolved":"1.5"}`, `{"resolved":1795208887164643022.0}`, recordedRow + recordedRow,
		strings.Replace(recordedRow, "1111-4111", "1111-411", 1), strings.Replace(recordedRow, `"sequence": 2`, `"sequence": 2.5`, 1),
		strings.Replace(recordedRow, `"sequence": 2`, `"sequence": 0`, 1), strings.Replace(recordedRow, `"updated": "1795208891731161302.0000000000"`, `"updated": ""`, 1),
	} {
		if m, err := readMessage("eu", []byte(bad)); !errors.Is(err, errMessage) {
			t.Errorf("%s is understood as %+v, %v", bad, m, err)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	for _, s := range []string{recordedRow, `{"resolved":"1795208887164643022.0000000000"}`, `{"after": null, "updated": "1.0000000000"}`, `{"after": {"home": 1}}`} {
		f.Add([]byte(`\x` + hex.EncodeToString([]byte(s))))
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := unhex(text)
		if err != nil {
			value = text
		}
		m, err := readMessage("eu", value)
		if err != nil {
			return
		}
		if m.row && (m.change.Transaction == id.Transaction{}) && m.at == (hlc{}) {
			t.Errorf("%q became a row without a time", value)
		}
		for _, s := range m.change.Entries {
			if s.Sequence < 1 || s.Ref.Account == "" || s.Ref.Ledger == "" {
				t.Errorf("%q became an entry %+v", value, s)
			}
		}
	})
}

func TestHorizon_NeverClaimsWhatIsHidden(t *testing.T) {
	second := func(n int64) time.Time { return time.Unix(n, 0) }
	var h horizon
	for i, row := range []struct {
		l    look
		want int64
	}{
		{look{second(1), 10, 10}, 1}, // nobody is at work
		{look{second(2), 11, 20}, 1}, // 11 began, and hides what others have committed since
		{look{second(3), 11, 30}, 1},
		{look{second(4), 20, 40}, 2}, // what was committed before the second look is below 20
		{look{second(5), 25, 50}, 2},
		{look{second(6), 60, 60}, 6},
	} {
		if got := h.saw(row.l); !got.Equal(second(row.want)) {
			t.Errorf("after look %d everything was handed over up to %d, want %d", i, got.Unix(), row.want)
		}
	}
	for n := range int64(10 * maxLooks) {
		if got := h.saw(look{second(7 + n), 60, 100 + uint64(n)}); !got.Equal(second(6)) || len(h.looks) > maxLooks {
			t.Fatalf("with %d looks in store everything was handed over up to %d", len(h.looks), got.Unix())
		}
	}
}
