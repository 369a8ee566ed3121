package statement

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meridian-ledger/meridian/internal/importer"
	"github.com/meridian-ledger/meridian/internal/money"
)

var (
	euro   = money.Asset{Code: "EUR", Scale: 2}
	yen    = money.Asset{Code: "JPY", Scale: 0}
	assets = []money.Asset{euro, yen}
)

// read returns the lines of a file in words, and its errors.
func read(in io.Reader, prefer CamtReference) (lines, wrong []string) {
	for l, err := range CamtLines("s.xml", in, prefer, assets) {
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		pending := ""
		if l.Pending {
			pending = " pending"
		}
		lines = append(lines, fmt.Sprintf("%d %s %s %s %s %s %s%s", l.At, l.Reference, l.ID, l.Amount, l.Asset, l.Date.Format("2006-01-02T15:04"), l.Kind, pending))
	}
	return lines, wrong
}

func TestCamt_ReadsBothVersions(t *testing.T) {
	for _, c := range []struct {
		file   string
		prefer CamtReference
		want   []string
	}{
		{"testdata/camt02.xml", EndToEnd, []string{
			"12 E2E-1 SRV-1 12345 EUR/2 2026-11-02T00:00 entry",
			"24 SRV-2 SRV-2 -500 JPY/0 2026-11-03T09:30 reversal",
			"35 E2E-3 SRV-3/1 100 EUR/2 2026-11-04T00:00 entry",
			"39 E2E-4 SRV-3/2 250 EUR/2 2026-11-04T00:00 entry",
			"45   700 EUR/2 2026-11-05T00:00 entry pending",
		}},
		{"testdata/camt02.xml", Servicer, []string{
			"12 SRV-1 SRV-1 12345 EUR/2 2026-11-02T00:00 entry",
			"24 SRV-2 SRV-2 -500 JPY/0 2026-11-03T09:30 reversal",
			"35 E2E-3 SRV-3/1 100 EUR/2 2026-11-04T00:00 entry",
			"39 E2E-4 SRV-3/2 250 EUR/2 2026-11-04T00:00 entry",
			"45   700 EUR/2 2026-11-05T00:00 entry pending",
		}},
		{"testdata/camt08.xml", EndToEnd, []string{
			"9 E2E-1 SRV-1 12345 EUR/2 2026-11-02T00:00 entry",
			"23 E2E-2 T-2 1000 EUR/2 2026-11-03T00:00 entry",
			"28 E2E-3 T-3 -400 EUR/2 2026-11-03T00:00 entry",
		}},
	} {
		data, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []io.Reader{strings.NewReader(string(data)), iotest.OneByteReader(strings.NewReader(string(data)))} {
			if got, wrong := read(in, c.prefer); !slices.Equal(got, c.want) || len(wrong) > 0 {
				t.Errorf("%s by %s:\n%s\nwant\n%s\nwrong: %q", c.file, c.prefer, strings.Join(got, "\n"), strings.Join(c.want, "\n"), wrong)
			}
		}
	}
}

const camtEntryText = `<Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><ValDt><Dt>2026-11-02</Dt></ValDt>
<NtryDtls><TxDtls><Refs><EndToEndId>E</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>`

func camtFile(entries string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr/><Stmt>
` + entries + `</Stmt></BkToCstmrStmt></Document>`
}

func TestCamt_NamesTheLineAndWhatToDo(t *testing.T) {
	for _, c := range []struct{ old, mended, want string }{
		{`"EUR"`, `"USD"`, `s.xml:3: the ledger has no asset "USD" (Ccy)`},
		{`1.00`, `1.001`, `s.xml:3: amount (Amt): amount is not a whole number`},
		{`1.00`, `-1.00`, `s.xml:3: amount (Amt) -1.00 is negative`},
		{`CRDT`, `IN`, `s.xml:3: direction (CdtDbtInd) is "IN"`},
		{`BOOK`, `DONE`, `s.xml:3: status (Sts) is "DONE"`},
		{`2026-11-02`, `02.11.2026`, `s.xml:3: date "02.11.2026" is not written as`},
		{`<Dt>2026-11-02</Dt>`, ``, `s.xml:3: the entry has no date`},
		{`</TxDtls>`, `</TxDtls><TxDtls/>`, `s.xml:4: the entry has several details (TxDtls), and this one has no amount`},
		{`<TxDtls>`, `<TxDtls><Amt Ccy="EUR">0.40</Amt></TxDtls><TxDtls><Amt Ccy="EUR">0.50</Amt>`, `s.xml:3: the details add up to 0.90 and the entry says 1.00`},
		{`<TxDtls>`, `<TxDtls><Amt Ccy="JPY">1</Amt></TxDtls><TxDtls>`, `s.xml:4: the detail is in JPY and its entry in EUR`},
		{`>E<`, ">" + strings.Repeat("x", 300) + "<", `s.xml:3: reference "xxx`},
		{`</Ntry>`, `</Stmt>`, `s.xml:4: this is not XML`},
		{`</Stmt>`, ``, `this is not XML`},
		{`</BkToCstmrStmt></Document>`, ``, `this is not XML`},
		{`camt.053.001.02`, `camt.053.001.99`, `not a camt.053.001.02 or 08`},
		{`<Document`, `<Dokument`, `not a camt.053.001.02 or 08`},
		{`UTF-8`, `ISO-8859-1`, `only UTF-8 is read`},
		{`<GrpHdr/>`, `<GrpHdr>` + strings.Repeat("<a>x</a>", maxElement/8+2000) + `</GrpHdr>`, `an element of more than 1048576 bytes`},
	} {
		text := strings.Replace(camtFile(camtEntryText), c.old, c.mended, 1)
		if _, wrong := read(strings.NewReader(text), EndToEnd); len(wrong) != 1 || !strings.Contains(wrong[0], c.want) {
			t.Errorf("%s → %.40s: %.300q, want %q", c.old, c.mended, wrong, c.want)
		}
	}
	text := strings.Replace(camtFile(camtEntryText+"\n"+camtEntryText), "CRDT", "IN", 1)
	if lines, wrong := read(strings.NewReader(text), EndToEnd); len(lines) != 1 || len(wrong) != 1 {
		t.Errorf("behind an entry that is wrong: %q, %q", lines, wrong)
	}
	empty := strings.ReplaceAll(strings.ReplaceAll(camtFile(""), "<Stmt>", ""), "</Stmt>", "")
	if _, wrong := read(strings.NewReader(empty), EndToEnd); len(wrong) != 1 || !strings.Contains(wrong[0], "has no statement") {
		t.Errorf("without a statement: %q", wrong)
	}
}

// FuzzCamt: whatever the file, it is read to an end, lines are in the books' terms, and the reader holds to who has enough.
func FuzzCamt(f *testing.F) {
	for _, name := range []string{"testdata/camt02.xml", "testdata/camt08.xml"} {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(camtFile(camtEntryText))
	f.Fuzz(func(t *testing.T, text string) {
		count := 0
		for l, err := range CamtLines("s.xml", strings.NewReader(text), EndToEnd, assets) {
			if err != nil && !strings.HasPrefix(err.Error(), "s.xml:") {
				t.Fatalf("an error without its place: %v", err)
			}
			if err == nil && (l.At < 1 || l.Date.IsZero() && l.Date.Year() != 1 || !slices.Contains(assets, l.Asset)) {
				t.Fatalf("%+v", l)
			}
			count++
		}
		for range CamtLines("s.xml", strings.NewReader(text), EndToEnd, assets) {
			count--
			break
		}
		if count < -1 {
			t.Fatal(count)
		}
	})
}

func TestExamples_AreRead(t *testing.T) {
	m, err := importer.LoadLineMapping("../../../examples/recon/statement.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := "line_id,reference,settled_at,currency,amount,direction,type,status\n1,r1,2026-11-02T10:00:00+01:00,eur,12.50,out,refund,done\n2,r2,x,eur,1,in,,failed\n3,r3,2026-11-02T10:00:00Z,jpy,7,in,,pending\n"
	var got []string
	for l, err := range m.Lines("f.csv", strings.NewReader(file), importer.CSV, assets) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(l.At, l.ID, l.Reference, l.Kind, l.Amount, l.Asset, l.Pending))
	}
	if want := []string{"2 1 r1 refund -1250 EUR/2 false", "4 3 r3 payment 7 JPY/0 true"}; !slices.Equal(spaced(got), spaced(want)) {
		t.Errorf("%q", got)
	}
}

// spaced leaves spaces out, of which fmt.Sprint writes as many as it likes.
func spaced(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = strings.ReplaceAll(s, " ", "")
	}
	return out
}
