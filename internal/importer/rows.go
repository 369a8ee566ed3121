package importer

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// dialect is how a file writes its rows.
//
// Strict quotes are those of RFC 4180: a quote opens a field at its start alone, and stands doubled inside. Lazy ones are those of
// csv.Reader.LazyQuotes: a quote elsewhere is a character like any other. Strict is the default, because a lazy reader takes what comes
// after a stray quote for text, rows of money included, where a strict one says that the row is broken.
type dialect struct {
	delimiter rune
	comment   rune // 0: none
	lazy      bool
	skipLines int
	columns   []string // of a file without a header line
}

// A row has at most so many bytes and lines. More is a quote that is never closed: without a bound it would take the rest of the file
// into memory, and with it all its rows.
const (
	maxRowBytes = 64 << 10
	maxRowLines = 100
)

var errRunaway = errors.New("row beyond its bounds")

// source is where a row stands in the file, and what it says there.
type source struct {
	first, last int    // physical lines, from 1
	text        string // as it stands in the file, without the end of the last line
}

// rows reads a file row by row.
type rows struct {
	lines  lines
	csv    *csv.Reader
	header []string
}

// malformed is a row that is no CSV of the dialect; the next one can be read.
type malformed struct{ text string }

func (m malformed) Error() string { return m.text }

// openRows reads up to the header.
func openRows(r io.Reader, d dialect) (*rows, error) {
	s := &rows{lines: lines{src: bufio.NewReaderSize(r, 64<<10), comment: d.comment}, header: d.columns}
	if start, _ := s.lines.src.Peek(3); bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("line 1: the file is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8")
	} else if string(start) == "\xef\xbb\xbf" {
		s.lines.src.Discard(3) //nolint:errcheck // they were just peeked at
		s.lines.bytes = 3
	}
	for range d.skipLines {
		if err := s.lines.skip(); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read line %d: %w", s.lines.number, err)
		}
	}
	s.csv = csv.NewReader(&s.lines)
	s.csv.Comma, s.csv.LazyQuotes, s.csv.ReuseRecord = d.delimiter, d.lazy, true
	s.csv.FieldsPerRecord = len(d.columns)
	if len(d.columns) > 0 {
		return s, nil
	}
	fields, at, err := s.next()
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the file has no header line; if it has none by intention, name its columns under csv.columns")
	}
	if err != nil {
		return nil, fmt.Errorf("line %d: header: %w", max(at.first, 1), err)
	}
	s.header = append(s.header, fields...)
	return s, nil
}

// next returns the next row, or io.EOF. The fields are valid until the next call. After a malformed error the next row can be read;
// any other error is the end.
func (s *rows) next() ([]string, source, error) {
	s.lines.begin()
	fields, err := s.csv.Read()
	at := source{first: s.lines.first, last: s.lines.number, text: string(bytes.TrimRight(s.lines.row, "\r\n"))}
	if s.lines.failed != nil {
		at.last = max(at.last, 1)
		return nil, at, fmt.Errorf("read line %d: %w", at.last, s.lines.failed)
	}
	if errors.Is(err, io.EOF) {
		return nil, at, io.EOF
	}
	if err != nil {
		return nil, at, s.explain(err, len(fields), at)
	}
	if !utf8.ValidString(at.text) {
		return nil, at, malformed{"csv: the row is not UTF-8; convert the file first, for example: iconv -f WINDOWS-1250 -t UTF-8"}
	}
	return fields, at, nil
}

// explain says what is wrong with a row in words that lead to the place.
func (s *rows) explain(err error, fields int, at source) error {
	var broken *csv.ParseError
	switch {
	case errors.Is(err, errRunaway):
		return malformed{fmt.Sprintf("csv: a row of more than %d bytes or %d lines; a quote that opens in line %d is probably never closed", maxRowBytes, maxRowLines, at.first)}
	case errors.Is(err, csv.ErrFieldCount):
		return malformed{fmt.Sprintf("csv: %d fields where the header has %d", fields, s.csv.FieldsPerRecord)}
	case !errors.As(err, &broken):
		return fmt.Errorf("line %d: %w", at.last, err)
	case errors.Is(err, csv.ErrBareQuote):
		return malformed{fmt.Sprintf("csv: a quote inside of an unquoted field, at line %d column %d; quote the field and double the quote, or set csv.quotes: lazy", at.last, broken.Column)}
	}
	return malformed{fmt.Sprintf("csv: a quote that is neither doubled nor at the end of its field, or one that is never closed, at line %d column %d", at.last, broken.Column)}
}

// lines hands a file to csv.Reader one physical line at a time, never more than the row in hand needs, and so knows at any moment which
// line a row begins and ends on and what it says there. Between rows it drops empty lines and comments, as csv.Reader would. It keeps
// rows within their bounds.
type lines struct {
	src     *bufio.Reader
	comment rune
	number  int    // of physical lines begun
	inside  bool   // of a line that is not read to its end
	pending []byte // read and not handed over
	first   int    // line on which the row in hand begins; 0 before it does
	row     []byte // its text so far
	bytes   int64  // read
	failed  error  // reading did
}

// begin forgets the row before.
func (l *lines) begin() { l.first, l.row = 0, l.row[:0] }

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	if len(l.pending) == 0 {
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.pending)
	l.pending = l.pending[n:]
	return n, nil
}

// fill reads the next piece of the row: a line, or a part of a long one.
func (l *lines) fill() error {
	for {
		piece, err := l.piece()
		if err != nil {
			return err
		}
		begins := l.first == 0
		if begins && l.unimportant(piece) {
			if err := l.finish(); err != nil {
				return err
			}
			continue
		}
		if begins {
			l.first = l.number
		}
		l.row = append(l.row, piece...)
		if len(l.row) > maxRowBytes || l.number-l.first >= maxRowLines {
			if err := l.finish(); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			return errRunaway
		}
		l.pending = piece
		return nil
	}
}

// piece reads up to the end of the line, or as much of it as the buffer holds.
func (l *lines) piece() ([]byte, error) {
	if l.failed != nil {
		return nil, l.failed
	}
	piece, err := l.src.ReadSlice('\n')
	l.bytes += int64(len(piece))
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		l.failed = err
	}
	if len(piece) == 0 {
		l.inside = false
		return nil, err
	}
	if !l.inside {
		l.number++
	}
	l.inside = piece[len(piece)-1] != '\n'
	return piece, nil
}

// finish reads the line in hand to its end.
func (l *lines) finish() error {
	for l.inside {
		if _, err := l.piece(); err != nil {
			return err
		}
	}
	return nil
}

// skip reads the next line.
func (l *lines) skip() error {
	if _, err := l.piece(); err != nil {
		return err
	}
	return l.finish()
}

// unimportant tells whether a line between rows is empty or a comment.
func (l *lines) unimportant(line []byte) bool {
	if l.comment != 0 {
		if first, _ := utf8.DecodeRune(line); first == l.comment {
			return true
		}
	}
	return len(bytes.Trim(line, "\r\n")) == 0
}
