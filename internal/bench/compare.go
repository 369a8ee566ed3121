package bench

import (
	"context"
	"fmt"
	"time"
)

// Row is one line of a comparison.
type Row struct {
	Name string
	Load Load
}

// Suite is the table of docs/benchmarks.md, out of a load of many clients on many accounts.
func Suite(many Load) []Row {
	many.Scenario, many.Batch, many.Rate = Uniform, 1, 0
	hot, batch, alone := many, many, many
	hot.Scenario = Hot
	batch.Batch, batch.Clients = 500, 16
	alone.Clients = 1
	return []Row{{"uniform", many}, {"hot", hot}, {"batch of 500", batch}, {"one client", alone}}
}

// Bench is what takes part in a comparison. Against may be empty, Prober nil.
type Bench struct {
	Books    Books
	Meridian Target
	Meter    *Meter
	Against  []*Opponent
	Prober   *Prober
	Say      func(string) // a line for a person who waits; nil: none
}

// probeEach is how long each limit is measured in each round of each row.
const probeEach = 500 * time.Millisecond

// Run measures the rows in turn, and all of them again in each round. Who begins changes from round to round, so that what drifts, and
// what one side leaves to the next, falls on all.
func (b *Bench) Run(ctx context.Context, rows []Row, rounds int) ([]Result, error) {
	results := make([]Result, len(rows))
	for round := range rounds {
		for i, row := range rows {
			measured, err := b.round(ctx, row, round*len(rows)+i, round)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", row.Name, err)
			}
			results[i].Rounds = append(results[i].Rounds, measured)
			b.say("round %d of %d: %s", round+1, rounds, line(row.Name, measured))
		}
	}
	for i := range results {
		results[i].summarize(rows[i])
	}
	return results, nil
}

func (b *Bench) say(format string, args ...any) {
	if b.Say != nil {
		b.Say(fmt.Sprintf(format, args...))
	}
}

// round gives every side its turn, with the same commands.
func (b *Bench) round(ctx context.Context, row Row, slice, first int) (Round, error) {
	r := Round{Against: map[string]Slice{}}
	if b.Prober != nil {
		limits, err := b.Prober.Measure(ctx, probeEach)
		if err != nil {
			return r, err
		}
		r.Limits = &limits
	}
	turns := []func() error{func() (err error) {
		r.Meridian, err = Run(ctx, b.Meridian, row.Load, b.Books, slice, b.Meter)
		return err
	}}
	for _, o := range b.Against {
		turns = append(turns, func() (err error) {
			r.Against[o.Name], err = o.Run(ctx, row.Load, b.Books, slice)
			return err
		})
	}
	for i := range turns {
		if err := turns[(first+i)%len(turns)](); err != nil {
			return r, err
		}
	}
	return r, nil
}
