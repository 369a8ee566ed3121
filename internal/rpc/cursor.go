package rpc

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/meridian-ledger/meridian/internal/id"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize bounds what a client asks for.
func (p *parser) pageSize(size int32) int {
	if size < 0 || size > maxPage {
		p.fail("page_size", "1 to 1000")
		return 0
	}
	if size == 0 {
		return defaultPage
	}
	return int(size)
}

// page reads the size and the token of a list by name.
func (p *parser) page(size int32, token string) (int, string) {
	if token == "" {
		return p.pageSize(size), ""
	}
	after, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		_, err = id.ParseAccount(string(after)) // the names of ledgers are of that kind too; a database must not see anything else
	}
	if err != nil {
		p.fail("page_token", "take it from next_page_token of the page before")
	}
	return p.pageSize(size), string(after)
}

// cut takes the row that was read too many off a page, and makes the token of the next one.
func cut[T any](rows []T, size int, name func(T) string) ([]T, string) {
	if len(rows) <= size {
		return rows, ""
	}
	rows = rows[:size]
	return rows, nameToken(name(rows[size-1]))
}

// cursor is a place in a statement: the lines before or after a sequence.
type cursor struct {
	sequence int64
	backward bool // the lines before it
}

func (c cursor) String() string {
	var b [9]byte
	if c.backward {
		b[0] = 1
	}
	binary.BigEndian.PutUint64(b[1:], uint64(c.sequence)) //nolint:gosec // sequences are positive
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (p *parser) cursor(token string) cursor {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 9 || b[0] > 1 || b[1] > 0x7f {
		p.fail("page_token", "take it from an earlier page of the same statement")
		return cursor{}
	}
	return cursor{sequence: int64(binary.BigEndian.Uint64(b[1:])), backward: b[0] == 1} //nolint:gosec // the sign bit was checked
}
