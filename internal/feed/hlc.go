package feed

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

// hlc is a time of CockroachDB: nanoseconds since 1970, and a counter where these are the same. No float holds it.
type hlc struct {
	wall    int64
	logical int32
}

var errHLC = errors.New("not a hybrid logical time: want nanoseconds, a dot and ten digits")

// parseHLC reads 1795208887164643022.0000000000. A question mark behind it says that no clock has shown that time yet; it is the same time.
func parseHLC(s string) (hlc, error) {
	wall, logical, dot := strings.Cut(strings.TrimSuffix(s, "?"), ".")
	if !dot || len(logical) != 10 {
		return hlc{}, errHLC
	}
	w, err := strconv.ParseInt(wall, 10, 64)
	if err != nil {
		return hlc{}, errHLC
	}
	l, err := strconv.ParseInt(logical, 10, 32)
	if err != nil {
		return hlc{}, errHLC
	}
	h := hlc{w, int32(l)}
	if w < 1 || l < 0 || h.String() != strings.TrimSuffix(s, "?") {
		return hlc{}, errHLC
	}
	return h, nil
}

func (h hlc) String() string { return fmt.Sprintf("%d.%010d", h.wall, h.logical) }

func (h hlc) compare(other hlc) int {
	return cmp.Or(cmp.Compare(h.wall, other.wall), cmp.Compare(h.logical, other.logical))
}

func (h hlc) time() time.Time { return time.Unix(0, h.wall).UTC() }

// mark is where the feed of CockroachDB goes on: after a resolved time. The table is part of it because one that was dropped and restored has
// another history, whatever the clock says.
type mark struct {
	cluster string // a UUID
	table   string // its number
	at      hlc
}

const markForm = "crdb1"

// cursor returns the mark as text.
func (m mark) cursor() event.Cursor {
	return event.Cursor(markForm + ":" + m.cluster + ":" + m.table + ":" + m.at.String())
}

// parseMark reads what cursor wrote.
func parseMark(c event.Cursor) (mark, error) {
	parts := strings.Split(string(c), ":")
	if len(parts) != 4 || parts[0] != markForm || parts[1] == "" || parts[2] == "" || strings.HasSuffix(parts[3], "?") {
		return mark{}, errCursor
	}
	at, err := parseHLC(parts[3])
	if err != nil {
		return mark{}, errCursor
	}
	return mark{cluster: parts[1], table: parts[2], at: at}, nil
}
