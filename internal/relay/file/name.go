package file

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// span is what the name of a file says: its first and last position. There may be positions between that are not in it: those that the
// subscription does not want, and those of another date.
type span struct{ first, last event.Position }

func spanOf(messages []sink.Message) span {
	s := span{messages[0].Position, messages[0].Position}
	for _, m := range messages {
		s.first, s.last = min(s.first, m.Position), max(s.last, m.Position)
	}
	return s
}

const digits = 20 // of a position in a name, so that names sort as positions do

// name returns <first>-<last>.<format>.
func (s span) name(f Format) string {
	return fmt.Sprintf("%0*d-%0*d.%s", digits, s.first, digits, s.last, f)
}

// parseName reads the name of a whole file of that format.
func parseName(name string, f Format) (span, bool) {
	stem, ok := strings.CutSuffix(name, "."+string(f))
	if !ok || len(stem) != 2*digits+1 || stem[digits] != '-' {
		return span{}, false
	}
	first, ok := parsePosition(stem[:digits])
	last, also := parsePosition(stem[digits+1:])
	return span{first, last}, ok && also && first >= 1 && first <= last
}

func parsePosition(s string) (event.Position, bool) {
	if strings.Trim(s, "0123456789") != "" { // ParseInt takes a sign
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return event.Position(n), err == nil
}

// hidden is the name that a file has while it is written: no reader's pattern matches it.
func hidden(name string) string { return "." + name + ".tmp" }

// isHidden tells whether a file is one that was being written.
func isHidden(name string) bool {
	inner, ok := strings.CutPrefix(name, ".")
	if !ok {
		return false
	}
	if inner, ok = strings.CutSuffix(inner, ".tmp"); !ok {
		return false
	}
	_, ndjson := parseName(inner, NDJSON)
	_, parquet := parseName(inner, Parquet)
	return ndjson || parquet
}
