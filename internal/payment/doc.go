// Package payment is how payments advance: a table of rules for each kind, the gates that a rule asks, and the chart that says on which
// accounts its money stands.
//
// It promises that a payment takes no step that its table does not have; that what a step posts balances for every amount, because the chart
// was proved to before it could be used; that no total goes beyond the one it is taken from; and that a closed gate says what it saw, whether
// money is set aside and who acts next. Everything is pure: Lifecycle is a value that ledger.Books ask within the transaction that writes
// the answer, so the state that is judged is the state that is stored. Terminal states have no rule, and so no way out.
//
// Read rule.go for what a rule says, tables.go for the rules, next.go for how one is chosen, gate.go for gates, chart.go and charts/default.yaml
// for accounts and postings. The diagrams under docs/payments and the exhaustive tests are made from the same tables.
package payment
