// Package importer loads the transactions of any bank or payment provider from a CSV file into a ledger.
//
// It promises that every row is either in the books or named by its line in the file with the reason why it is not; that rows reach the
// books in the order of the file; that memory stays bounded however long the file is; and that an import can be interrupted anywhere and
// run again without doubling anything, because the id of a row is its idempotency key. Nothing is rounded and nothing is guessed: what a
// mapping does not say clearly is refused with a sentence that says how to mend it.
//
// It relies on ledger.Service alone, so it runs in the server's process, over the wire and in memory. The format of mapping files is
// described in examples/README.md.
//
// Read mapping.go for what a mapping says, row.go for how a row becomes a command, and importer.go for the run. line.go reads rows in the same
// language where nothing is posted: the statements of package recon.
package importer
