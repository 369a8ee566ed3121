package event

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Bounds on what a filter lists, so that matching stays cheap.
const (
	MaxFilterLedgers  = 100
	MaxFilterPrefixes = 100
	MaxFilterTypes    = 50
)

// Validate refuses a filter that could never match, or that is too long. Errors name the field: filter.types[0].
func (f Filter) Validate() error {
	for _, list := range []struct {
		field    string
		has, may int
	}{
		{"filter.ledgers", len(f.Ledgers), MaxFilterLedgers},
		{"filter.account_prefixes", len(f.AccountPrefixes), MaxFilterPrefixes},
		{"filter.types", len(f.Types), MaxFilterTypes},
	} {
		if list.has > list.may {
			return errs.Invalid(list.field, fmt.Sprintf("at most %d; leave it empty to want all, or make two subscriptions", list.may))
		}
	}
	for i, l := range f.Ledgers {
		if _, err := id.ParseLedger(string(l)); err != nil {
			return errs.Invalid(at("filter.ledgers", i), "a ledger is 1 to 64 of a-z 0-9 -, starting with a letter")
		}
	}
	for i, prefix := range f.AccountPrefixes {
		if _, err := id.ParseAccount(prefix); err != nil {
			return errs.Invalid(at("filter.account_prefixes", i),
				"a prefix is the beginning of an account: 1 to 128 letters, digits and _.:/@+~=-, starting with a letter or a digit")
		}
	}
	for i, t := range f.Types {
		if _, err := ParseType(string(t)); err != nil {
			return errs.Of(err).With("field", at("filter.types", i))
		}
	}
	return nil
}

// Matches tells whether an event is wanted. It sees the entries in the event's own ledger; Compile sees what the subscriber may see.
func (f Filter) Matches(e Event) bool { return f.Compile(Options{}).Matches(e) }

// Matcher is a filter made fast. It is immutable, and safe for concurrent use.
type Matcher struct {
	types    map[Type]bool // nil: all
	ledgers  map[id.Ledger]bool
	prefixes []string
	see      Options
}

// Compile makes a filter fast, for a subscriber that sees what the options let it see: an entry that is redacted from the event matches
// nothing, or else a filter could find out what it is not shown.
func (f Filter) Compile(see Options) Matcher {
	m := Matcher{prefixes: slices.Clone(f.AccountPrefixes), see: see}
	if len(f.Types) > 0 {
		m.types = map[Type]bool{}
		for _, t := range Types {
			m.types[t] = slices.ContainsFunc(f.Types, func(wanted Type) bool { return wanted.takes(t) })
		}
	}
	if len(f.Ledgers) > 0 {
		m.ledgers = map[id.Ledger]bool{}
		for _, l := range f.Ledgers {
			m.ledgers[l] = true
		}
	}
	return m
}

// Matches tells whether an event is wanted. The ledgers of an event are its own and those of its entries; its accounts are those of its
// entries or, where it has none, those that keep its order. The event of a test is always wanted.
func (m Matcher) Matches(e Event) bool {
	if e.Test {
		return true
	}
	return (m.types == nil || m.types[e.Type()]) && (m.ledgers == nil || m.ledger(e)) && (len(m.prefixes) == 0 || m.account(e))
}

func (m Matcher) ledger(e Event) bool {
	if m.ledgers[e.Record.Outcome.Ledger] {
		return true
	}
	for _, entry := range e.Record.Outcome.Entries {
		if m.ledgers[entry.Ref.Ledger] && m.see.sees(e, entry.Ref.Ledger) {
			return true
		}
	}
	return false
}

func (m Matcher) account(e Event) bool {
	for _, entry := range e.Record.Outcome.Entries {
		if m.wants(entry.Ref.Account) && m.see.sees(e, entry.Ref.Ledger) {
			return true
		}
	}
	if len(e.Record.Outcome.Entries) > 0 {
		return false
	}
	for _, ref := range e.Accounts() {
		if m.wants(ref.Account) && m.see.sees(e, ref.Ledger) {
			return true
		}
	}
	return false
}

func (m Matcher) wants(a id.Account) bool {
	for _, prefix := range m.prefixes {
		if strings.HasPrefix(string(a), prefix) {
			return true
		}
	}
	return false
}

func at(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

func quote(s string) string { return strconv.Quote(s) }
