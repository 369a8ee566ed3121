package importer

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meridian-ledger/meridian/internal/money"
)

const lineMapping = `name: psp
skip:
  - {payment.status: failed}
pending:
  - {payment.status: [pending, open]}
id: "{id}"
reference: "{payment.reference}"
date: {value: "{at}", format: "%Y-%m-%d"}
asset: "{payment.currency|upper}"
amount: {value: "{payment.amount}"}
direction: {positive: credit}
kind: "{kind|default:payment}"
`

var lineAssets = []money.Asset{{Code: "EUR", Scale: 2}, {Code: "JPY"}}

// readLines reads a statement and writes lines and errors in words.
func readLines(t testing.TB, mapping string, in io.Reader, syntax Syntax) (all []string) {
	t.Helper()
	m, err := ParseLineMapping("m.yaml", []byte(mapping))
	if err != nil {
		t.Fatal(err)
	}
	for l, err := range m.Lines("s", in, syntax, lineAssets) {
		if err != nil {
			all = append(all, err.Error())
			continue
		}
		all = append(all, fmt.Sprintf("%d %s %s %s %s %s %s %t", l.At, l.ID, l.Reference, l.Kind, l.Amount, l.Asset, l.Date.Format("2006-01-02"), l.Pending))
	}
	return all
}

func TestLines_OfJSONHaveTheDigitsOfTheFile(t *testing.T) {
	file := `{"id": 1, "at": "2026-11-01", "payment": {"reference": "r1", "currency": "eur", "amount": 12.50}}

{"id": "2", "at": "2026-11-01", "payment": {"reference": "r2", "currency": "EUR", "amount": "-99999999999999999999.99", "status": "open"}, "kind": null}
{"id": 3, "payment": {"status": "failed"}}
{"id": 4, "at": "2026-11-01", "payment": {"reference": "r4", "currency": "EUR", "amount": 1e2}}
{"id": 5, "at": "2026-11-01", "payment": {"reference": ["r5"], "currency": "EUR", "amount": 1}}
[1]
{"id": 6} {"id": 7}
{"id": 8, "at": "2026-11-01", "payment": {"reference": "r8", "currency": "USD", "amount": 1}}
` + "{\"id\": \"\xff\"}\n" + `{"id": "` + strings.Repeat("x", maxRowBytes) + `"}
{"id": 9, "at": "2026-11-01", "payment": {"currency": "JPY", "amount": 7}}`
	want := []string{
		"1 1 r1 payment 1250 EUR/2 2026-11-01 false",
		"3 2 r2 payment -9999999999999999999999 EUR/2 2026-11-01 true",
		`s:5: amount: "1e2" is no number with '.' before its decimals`,
		"s:6: json: payment.reference is an object or a list; name a value in it",
		"s:7: json: the line is no object; write one object a line: {\"reference\": …}",
		"s:8: json: something follows the object; write one object a line",
		`s:9: asset: the ledger has no asset "USD"; mend the mapping, or skip such rows`,
		"s:10: json: the line is not UTF-8; convert the file first",
		"s:11: json: a line of more than 65536 bytes; write one object a line",
		"12 9  payment 7 JPY/0 2026-11-01 false",
	}
	for _, in := range []io.Reader{strings.NewReader(file), iotest.OneByteReader(strings.NewReader(file))} {
		if got := readLines(t, lineMapping, in, JSON); !slices.Equal(got, want) {
			t.Errorf("got\n%.1500s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestLines_OfCSVGoOnBehindWhatIsWrong(t *testing.T) {
	file := "id,at,kind,payment.reference,payment.currency,payment.amount,payment.status\n" +
		"1,2026-11-01,refund,r1,EUR,-5,\n2,2026-11-01,,r2,EUR,x,\n3,2026-11-01\n4,2026-11-01,," + strings.Repeat("r", 300) + ",EUR,1,\n5,2026-11-01,,r5,EUR,1,pending\n"
	want := []string{
		"2 1 r1 refund -500 EUR/2 2026-11-01 false",
		`s:3: amount: "x" is no number`,
		"s:4: csv: 2 fields where the header has 7",
		`s:5: reference: "rrrr`,
		"6 5 r5 payment 100 EUR/2 2026-11-01 true",
	}
	got := readLines(t, lineMapping, strings.NewReader(file), CSV)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := readLines(t, lineMapping, strings.NewReader("id,at\n1,2\n"), CSV); len(got) != 1 || !strings.HasPrefix(got[0], "s:1: m.yaml:") || !strings.Contains(got[0], "the file has no column") {
		t.Errorf("without its columns: %q", got)
	}
	constant := strings.Replace(lineMapping, `"{payment.currency|upper}"`, "EUR/3", 1)
	if got := readLines(t, constant, strings.NewReader(file), CSV); !strings.Contains(got[0], "the ledger has EUR/2 where the mapping has EUR/3") {
		t.Errorf("another scale: %q", got[0])
	}
	broken := io.MultiReader(strings.NewReader(file), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got := readLines(t, lineMapping, broken, CSV); !strings.Contains(got[len(got)-1], "unexpected EOF") {
		t.Errorf("a file that can not be read to its end: %q", got)
	}
}

// FuzzLines: every line comes back once, as a line or with its place, in order, whatever stands in it.
func FuzzLines(f *testing.F) {
	f.Add(`{"id": 1, "at": "2026-11-01", "payment": {"reference": "r1", "currency": "eur", "amount": 12.50}}`+"\n{}\n", true)
	f.Add("id,at,kind,payment.reference,payment.currency,payment.amount,payment.status\n1,2026-11-01,,r,EUR,1,\n", false)
	m, err := ParseLineMapping("m.yaml", []byte(lineMapping))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, asJSON bool) {
		syntax := CSV
		if asJSON {
			syntax = JSON
		}
		last := 0
		for l, err := range m.Lines("s", strings.NewReader(text), syntax, lineAssets) {
			if err != nil {
				if !strings.HasPrefix(err.Error(), "s:") {
					t.Fatalf("an error without its place: %v", err)
				}
				continue
			}
			if l.At <= last || l.Date.IsZero() || !slices.Contains(lineAssets, l.Asset) {
				t.Fatalf("%+v after line %d", l, last)
			}
			last = l.At
		}
	})
}
