// Package bench puts a load on a ledger and measures what it answers, next to two programs that do the same without group commit and next
// to what the database itself can do.
//
// It promises that a seed decides every command of a run; that a load is bounded in time; that what is reported fell inside the measured
// window, after the warm-up; and that under a fixed rate a latency begins when the command was due, whether or not the generator came to
// send it by then, so that a stall shows in full. All sides of a comparison get the same commands from the same number of clients, in
// slices that take turns, and a ratio is one of slices of the same round.
//
// It relies on a ledger.Service for the load, on pgx for the comparison and the limits, and on the /metrics of servers for what they
// used. See scenario.go for what is asked, load.go for how, opponent.go for the other programs and what they differ in, limit.go for the
// physical limits, compare.go for the order of things, report.go for what comes out, text.go for what a person reads. docs/benchmarks.md
// has results.
package bench
