// Package ledger is the product: accounts, entries, holds, commands, outcomes, and the pure function Decide that turns a command into
// an outcome.
//
// It promises that money is neither made nor lost: every posted transaction is balanced per ledger and asset, every change of an
// account is one entry with the next sequence number, and an outcome never changes. It knows no database, no clock and no wire: it
// relies on money, id and errs alone.
//
// Read account.go for the nouns, command.go for what can be asked and validate.go for what can not, decide.go and apply.go for the
// answer, books.go for how a group of commands is answered one after another in memory, and service.go for the contract that users
// see. Package commit executes groups on a database; package ledgertest holds an independent model of all this.
package ledger
