package payment

import "github.com/meridian-ledger/meridian/internal/money"

// What the tests look into from outside: they race payments on real tables, and package store knows of packages that know this one.

var DefaultChart = defaultChart

func RestOf(r Rest, totals map[string]money.Amount) money.Amount { return rest(r, totals) }

func (r Rule) Leads() []State { return r.leads() }

func (t Table) Reaches(from, to State) bool { return t.reaches(from, to) }

func (t Table) Why(state State, trigger Trigger) string { return t.why(state, trigger) }
