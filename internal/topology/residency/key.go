package residency

import (
	"regexp"
	"slices"
	"strconv"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// bound is one end of a range, as far as its first column. An unknown one reaches as far as can be.
type bound struct {
	known bool
	value string
	exact bool // just the value, nothing behind it: all of its rows come after
	past  bool // behind all rows of the value
}

// The keys that SHOW RANGES prints: /"eu"/"brand" in v22.1, …/"eu"/"brand" since; NULL, …/TableMin, <before:…> and the like are no value.
var prettyKey = regexp.MustCompile(`^…?/("(?:[^"\\]|\\.)*")(.*)$`)

func parseBound(key string) bound {
	m := prettyKey.FindStringSubmatch(key)
	if m == nil {
		return bound{}
	}
	value, err := strconv.Unquote(m[1])
	if err != nil {
		return bound{}
	}
	return bound{known: true, value: value, exact: m[2] == "", past: m[2] == "/PrefixEnd"}
}

// holds says whether rows of the value can stand between two bounds. Text is sorted by its bytes, here as there.
func holds(start, end bound, value string) bool {
	if start.known && (start.value > value || start.value == value && start.past) {
		return false
	}
	if end.known && (end.value < value || end.value == value && end.exact) {
		return false
	}
	return true
}

// homesIn returns the homes whose rows a span can hold.
func (s span) homesIn(homes map[id.Home]topology.Region, regionOf map[string]topology.Region) []id.Home {
	start, end := parseBound(s.start), parseBound(s.end)
	var all []id.Home
	for home, region := range homes {
		can := true
		switch {
		case s.byRow && regionOf != nil:
			can = false
			for value, r := range regionOf {
				can = can || r == region && holds(start, end, value)
			}
		case s.byHome && !s.byRow:
			can = holds(start, end, string(home))
		}
		if can {
			all = append(all, home)
		}
	}
	slices.Sort(all)
	return all
}

// partitions finds what stands for each region at the beginning of the keys of an index that is partitioned by region. CockroachDB splits
// ranges where a partition begins, and sorts regions as the type of the column does; so as many values as regions, in their order, are
// these regions. Anything else is nil: not known, and each range may hold everything.
func partitions(spans []span, enum []topology.Region) map[string]topology.Region {
	var values []string
	for _, s := range spans {
		if b := parseBound(s.start); b.known && !b.past && !slices.Contains(values, b.value) {
			values = append(values, b.value)
		}
	}
	if len(values) != len(enum) || len(enum) == 0 {
		return nil
	}
	slices.Sort(values)
	regionOf := map[string]topology.Region{}
	for i, value := range values {
		regionOf[value] = enum[i]
	}
	return regionOf
}
