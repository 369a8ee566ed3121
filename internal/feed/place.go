package feed

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

// place is where the feed of PostgreSQL goes on: after all rows whose transaction and recorded time are not above these. Transaction numbers
// mean something in the cluster alone that gave them out: in a database that was restored elsewhere they begin again.
type place struct {
	cluster string // the system identifier
	xid     uint64
	at      time.Time // whole microseconds
}

// before is the place in front of all rows of a transaction.
func before(cluster string, xid uint64) place { return place{cluster, xid, time.UnixMicro(0).UTC()} }

const placeForm = "pg1"

var errCursor = errors.New("the cursor is not one of this feed")

// cursor returns the place as text.
func (p place) cursor() event.Cursor {
	return event.Cursor(fmt.Sprintf("%s:%s:%d:%d", placeForm, p.cluster, p.xid, p.at.UnixMicro()))
}

// parsePlace reads what cursor wrote.
func parsePlace(c event.Cursor) (place, error) {
	parts := strings.Split(string(c), ":")
	if len(parts) != 4 || parts[0] != placeForm || parts[1] == "" {
		return place{}, errCursor
	}
	xid, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return place{}, errCursor
	}
	micros, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return place{}, errCursor
	}
	p := place{cluster: parts[1], xid: xid, at: time.UnixMicro(micros).UTC()}
	if p.cursor() != c { // one text a place: no signs, no leading zeros
		return place{}, errCursor
	}
	return p, nil
}
