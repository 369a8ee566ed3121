// Package ledgertest is how an implementation of ledger.Service proves itself.
//
// It promises a second opinion: Model is an implementation in memory, written from the documentation of package ledger and not from its
// code. It keeps a list of lines per account, adds them up with math/big whenever it is asked, and looks for reasons to decline by
// walking errs.Declines from the top. It is slow and meant to be obviously right.
//
// Conformance is the contract of ledger.Service as stories (story.go has their vocabulary); every implementation passes it, and says why
// where it makes an exception. CheckAgainstModel plays random streams of commands (random.go) on an implementation and on the model and
// compares them after each step. Audit proves the books of any implementation through the Service alone.
//
// It relies on package ledger for types, on rapid for random streams and their shrinking, and on no database.
package ledgertest
