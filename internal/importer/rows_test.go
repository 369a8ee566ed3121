package importer

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// told reads a file and writes each row as lines, fields or an error.
func told(t *testing.T, in io.Reader, d dialect) []string {
	t.Helper()
	r, err := openRows(in, d)
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	for {
		fields, at, err := r.next()
		if err == io.EOF {
			return all
		}
		var bad malformed
		if err != nil && !errors.As(err, &bad) {
			return append(all, err.Error())
		}
		where := fmt.Sprintf("%d-%d ", at.first, at.last)
		if err != nil {
			all = append(all, where+"malformed")
			continue
		}
		all = append(all, where+strings.Join(fields, "|"))
	}
}

func TestRows_StandOnThePhysicalLinesOfTheFile(t *testing.T) {
	comma := dialect{delimiter: ','}
	for _, c := range []struct {
		name string
		in   string
		d    dialect
		want []string
	}{
		{"plain", "a,b\n1,2\n3,4\n", comma, []string{"2-2 1|2", "3-3 3|4"}},
		{"no end of the last line", "a,b\n1,2", comma, []string{"2-2 1|2"}},
		{"windows", "a,b\r\n1,2\r\n\r\n3,4\r\n", comma, []string{"2-2 1|2", "4-4 3|4"}},
		{"byte order mark", "\xef\xbb\xbfa,b\n1,2\n", comma, []string{"2-2 1|2"}},
		{"line ends in quotes", "a,b\n1,\"x\n\ny\"\n3,4\n", comma, []string{"2-4 1|x\n\ny", "5-5 3|4"}},
		{"a header of two lines", "a,\"b\nb\"\n1,2\n", comma, []string{"3-3 1|2"}},
		{"comments and empty lines", "# one\na,b\n\n# two\n1,2\n#3,4\n\n5,6\n", dialect{delimiter: ',', comment: '#'}, []string{"5-5 1|2", "8-8 5|6"}},
		{"a comment sign in quotes", "a,b\n1,\"x\n# y\"\n", dialect{delimiter: ',', comment: '#'}, []string{"2-3 1|x\n# y"}},
		{"lines before the header", "Account 42\n\"open\na,b\n1,2\n", dialect{delimiter: ',', skipLines: 2}, []string{"4-4 1|2"}},
		{"no header line", "1,2\n3,4\n", dialect{delimiter: ',', columns: []string{"a", "b"}}, []string{"1-1 1|2", "2-2 3|4"}},
		{"tabs", "a\tb\n1\t\n", dialect{delimiter: '\t'}, []string{"2-2 1|"}},
		{"a wrong number of fields", "a,b\n1\n1,2,3\n1,2\n", comma, []string{"2-2 malformed", "3-3 malformed", "4-4 1|2"}},
		{"stray quotes, strict", "a,b\n1,5\" x\n1,\"5\" x\"\n1,2\n", comma, []string{"2-2 malformed", "3-3 malformed", "4-4 1|2"}},
		{"stray quotes, lazy", "a,b\n1,5\" x\n1,\"5\" x\"\n1,2\n", dialect{delimiter: ',', lazy: true}, []string{"2-2 1|5\" x", "3-3 1|5\" x", "4-4 1|2"}},
		{"a broken row of two lines", "a,b\n1,\"x\ny\"z\n1,2\n", comma, []string{"2-3 malformed", "4-4 1|2"}},
		{"never closed", "a,b\n1,\"x\n3,4\n", comma, []string{"2-3 malformed"}},
		{"not UTF-8", "a,b\n1,\xe9\n1,2\n", comma, []string{"2-2 malformed", "3-3 1|2"}},
		{"only a header", "a,b\n", comma, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := told(t, strings.NewReader(c.in), c.d); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := told(t, iotest.OneByteReader(strings.NewReader(c.in)), c.d); !slices.Equal(got, c.want) {
				t.Errorf("byte by byte: got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRows_ARunawayRowIsBoundedAndTheNextOneIsRead(t *testing.T) {
	long := strings.Repeat("x", maxRowBytes)
	many := strings.Repeat("3,4\n", maxRowLines)
	for _, lazy := range []bool{false, true} {
		d := dialect{delimiter: ',', lazy: lazy}
		for _, c := range []struct {
			name, in string
			want     []string
		}{
			{"quote that is never closed", "a,b\n1,\"x\n" + many + "5,6\n", []string{"2-102 malformed", "103-103 5|6"}},
			{"long line", "a,b\n1," + long + "\n5,6\n", []string{"2-2 malformed", "3-3 5|6"}},
			{"long line at the end", "a,b\n1," + long, []string{"2-2 malformed"}},
			{"long quoted line", "a,b\n1,\"" + long + "\"\n5,6\n", []string{"2-2 malformed", "3-3 5|6"}},
		} {
			if got := told(t, strings.NewReader(c.in), d); len(got) != len(c.want) || !slices.Equal(got, c.want) {
				t.Errorf("lazy %t, %s: got %.80q, want %q", lazy, c.name, got, c.want)
			}
		}
	}
	comment := "#" + strings.Repeat(long, 20) + "\n"
	r, err := openRows(strings.NewReader("a,b\n"+comment+"1,2\n"), dialect{delimiter: ',', comment: '#'})
	if err != nil {
		t.Fatal(err)
	}
	if fields, at, err := r.next(); err != nil || at.first != 3 || !slices.Equal(fields, []string{"1", "2"}) || cap(r.lines.row) > 2*maxRowBytes {
		t.Errorf("a long comment: %q at %d, %v, buffer of %d bytes", fields, at.first, err, cap(r.lines.row))
	}
}

// FuzzRows compares with csv.Reader on the whole file at once: the same rows on the same lines, wherever csv.Reader takes the file.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a,\"b\n\"\r\n\r\n#x\n1,2", "\"a\"\"\",b\n\"", "a\r\r\n\r", "#\n\n,\n", "a,b\n1,\"x\n# y\"\n"} {
		f.Add(seed, true, false)
		f.Add(seed, false, true)
	}
	f.Fuzz(func(t *testing.T, text string, comments, lazy bool) {
		d := dialect{delimiter: ',', lazy: lazy}
		if comments {
			d.comment = '#'
		}
		want, clean := reference(text, d)
		got := told(t, strings.NewReader(text), d)
		if clean && !slices.Equal(got, want) {
			t.Fatalf("%q\n got %q\nwant %q", text, got, want)
		}
	})
}

// reference reads with csv.Reader alone; clean is false where the file has a row that one of the two may refuse.
func reference(text string, d dialect) (rows []string, clean bool) {
	if strings.HasPrefix(text, "\xef\xbb\xbf") || strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") ||
		strings.Contains(text, "\r\r") || len(text) > maxRowBytes || strings.Count(text, "\n") > maxRowLines || !validUTF8(text) {
		return nil, false
	}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.Comment, r.LazyQuotes = d.delimiter, d.comment, d.lazy
	for i := 0; ; i++ {
		fields, err := r.Read()
		if err == io.EOF {
			return rows, i > 0
		}
		if err != nil {
			return nil, false
		}
		if i == 0 {
			continue // the header
		}
		line, _ := r.FieldPos(0)
		last := line + bytes.Count([]byte(text)[lineStart(text, line):r.InputOffset()], []byte("\n"))
		if strings.HasSuffix(text[:r.InputOffset()], "\n") {
			last--
		}
		rows = append(rows, fmt.Sprintf("%d-%d %s", line, last, strings.Join(fields, "|")))
	}
}

func validUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

func lineStart(text string, line int) int {
	at := 0
	for range line - 1 {
		at += strings.Index(text[at:], "\n") + 1
	}
	return at
}

// FuzzCSVRow imports whatever it is given under the header of the Berka file. Each row becomes a valid command, or a rejection with the
// lines on which it stands in the file.
func FuzzCSVRow(f *testing.F) {
	for _, seed := range []string{deposit, withdrawal, standing, deposit + "\n" + deposit, `1;"7`, "1;7;930101;\"PRIJEM\";\"VKLAD\";7\x00.00;;\"\";;", ";;;;;;;;;", "\"\n\n\"\n\"", "1;7;930230;\"PRIJEM\";;-1.005;;;;\r\n\xff"} {
		f.Add(seed)
	}
	m := berka(f)
	f.Fuzz(func(t *testing.T, body string) {
		text := BerkaHeader + "\n" + body
		lines := strings.SplitAfter(text, "\n")
		svc := newShelf()
		last, told := 1, 0
		s, err := Run(t.Context(), svc, m, strings.NewReader(text), Options{Ledger: bank, Batch: 10, Reject: func(r Rejected) {
			told++
			if r.Line <= last || r.Last < r.Line || r.Last > len(lines) || r.Code == "" || r.Reason == "" {
				t.Fatalf("%+v after line %d of %d", r, last, len(lines))
			}
			last = r.Last
			if physical := strings.TrimRight(strings.Join(lines[r.Line-1:r.Last], ""), "\r\n"); r.Row != physical && r.Last-r.Line < maxRowLines-1 && len(r.Row) < maxRowBytes {
				t.Fatalf("lines %d to %d are %q, and the rejection has %q", r.Line, r.Last, physical, r.Row)
			}
		}})
		if err != nil {
			t.Fatalf("%+v, %v", s, err)
		}
		consistent(t, s, told)
		for _, key := range svc.order {
			if !strings.HasPrefix(string(key), "import:berka:") {
				t.Fatalf("key %q", key)
			}
		}
	})
}
