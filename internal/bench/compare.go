package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Row is one line of a comparison: a load, and the one that the naive program gets where it is better off with another.
type Row struct {
	Name  string
	Load  Load
	Naive *Load
}

// Suite is the table of docs/benchmarks.md, out of a load of many clients on many accounts.
func Suite(many Load) []Row {
	many.Scenario, many.Batch, many.Rate = Uniform, 1, 0
	hot, batch, alone := many, many, many
	hot.Scenario = Hot
	batch.Batch, batch.Clients = 500, 16 // the naive program has no batches: it gets the load that suits it best
	alone.Clients = 1
	return []Row{{Name: "uniform", Load: many}, {Name: "hot", Load: hot}, {Name: "batch of 500", Load: batch, Naive: &many}, {Name: "one client", Load: alone}}
}

// Bench is what takes part in a comparison. Naive and Prober may be nil.
type Bench struct {
	Books    Books
	Meridian Target
	Meter    *Meter
	Naive    *Naive
	Prober   *Prober
	Say      func(string) // a line for a person who waits; nil: none
}

// Report is what a comparison showed. Rates are commands a second, times milliseconds.
type Report struct {
	StartedAt time.Time `json:"started_at"`
	Version   string    `json:"version"`
	Engine    string    `json:"engine,omitempty"`
	Machine   Machine   `json:"machine"`
	Servers   int       `json:"servers"`
	Protocol  string    `json:"protocol"`
	Seed      uint64    `json:"seed"`
	Pools     []Pool    `json:"naive_pools,omitempty"` // that were tried; the naive program got the best
	Rows      []Result  `json:"rows"`
	// HotOfUniform is the rate on hot accounts over that on all of them, where both were measured: the median over rounds.
	HotOfUniform float64 `json:"hot_of_uniform,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	System string `json:"system"`
	Cores  int    `json:"cores"`
}

// Pool is what the naive program did with a pool of this size, on uniform transfers.
type Pool struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"commands_per_second"`
}

// Result is a row with what it showed.
type Result struct {
	Name     string  `json:"name"`
	Load     Load    `json:"load"`
	Meridian Slice   `json:"meridian"`        // rates and times are medians over rounds, counts are sums
	Naive    *Slice  `json:"naive,omitempty"` // likewise
	Limits   *Limits `json:"limits,omitempty"`
	Ratios   *Ratios `json:"ratios,omitempty"`
	Rounds   []Round `json:"rounds"`
}

// Ratios compare what was measured side by side: medians over rounds of Meridian over the other.
type Ratios struct {
	Rate     float64 `json:"rate,omitempty"`      // over the naive program's; higher is better
	RateLow  float64 `json:"rate_low,omitempty"`  // of the rounds
	RateHigh float64 `json:"rate_high,omitempty"` // of the rounds
	P50      float64 `json:"p50,omitempty"`       // over the naive program's; lower is better
	Groups   float64 `json:"groups_of_durable_commits,omitempty"`
	Entries  float64 `json:"entries_of_rows,omitempty"`
}

// Round is one turn of a row.
type Round struct {
	Meridian Slice   `json:"meridian"`
	Naive    *Slice  `json:"naive,omitempty"`
	Limits   *Limits `json:"limits,omitempty"`
}

// probeEach is how long each limit is measured in each round of each row.
const probeEach = 500 * time.Millisecond

// Run measures the rows in turn, and all of them again in each round. Meridian begins in even rounds and the naive program in odd ones, so
// that what drifts, and what the one leaves to the other, falls on both.
func (b *Bench) Run(ctx context.Context, rows []Row, rounds int) ([]Result, error) {
	results := make([]Result, len(rows))
	for round := range rounds {
		for i, row := range rows {
			measured, err := b.round(ctx, row, round*len(rows)+i, round%2 == 1)
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

func (b *Bench) round(ctx context.Context, row Row, slice int, naiveFirst bool) (Round, error) {
	var r Round
	if b.Prober != nil {
		limits, err := b.Prober.Measure(ctx, probeEach)
		if err != nil {
			return r, err
		}
		r.Limits = &limits
	}
	ours := func() (err error) {
		r.Meridian, err = Run(ctx, b.Meridian, row.Load, b.Books, slice, b.Meter)
		return err
	}
	theirs := func() error {
		if b.Naive == nil {
			return nil
		}
		load := row.Load
		if row.Naive != nil {
			load = *row.Naive
		}
		s, err := Run(ctx, b.Naive, load, b.Books, slice, nil)
		r.Naive = &s
		return err
	}
	order := []func() error{ours, theirs}
	if naiveFirst {
		slices.Reverse(order)
	}
	for _, side := range order {
		if err := side(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Fit tries the naive program with pools of several sizes on a load, and leaves it the best.
func (b *Bench) Fit(ctx context.Context, load Load, sizes ...int) ([]Pool, error) {
	var tried []Pool
	var best *Naive
	for i, size := range sizes {
		n, err := b.Naive.Resized(ctx, size)
		if err != nil {
			return nil, err
		}
		s, err := Run(ctx, n, load, b.Books, -1-i, nil)
		if err != nil {
			n.Close()
			return nil, fmt.Errorf("try the naive program with %d connections: %w", size, err)
		}
		tried = append(tried, Pool{Connections: size, PerSecond: s.PerSecond})
		b.say("naive with %d connections: %.0f/s", size, s.PerSecond)
		if best != nil && s.PerSecond <= slices.MaxFunc(tried[:i], byRate).PerSecond {
			n.Close()
			continue
		}
		if best != nil {
			best.Close()
		}
		best = n
	}
	b.Naive.Close()
	b.Naive = best
	return tried, nil
}

func byRate(a, b Pool) int {
	switch {
	case a.PerSecond < b.PerSecond:
		return -1
	case a.PerSecond > b.PerSecond:
		return 1
	}
	return 0
}

// HotOfUniform compares two rows of one run, round by round; 0 where one of them is missing.
func HotOfUniform(results []Result) float64 {
	rates := map[Scenario][]float64{}
	for _, r := range results {
		if r.Load.Batch == 1 && r.Load.Clients > 1 {
			for _, round := range r.Rounds {
				rates[r.Load.Scenario] = append(rates[r.Load.Scenario], round.Meridian.PerSecond)
			}
		}
	}
	var ratios []float64
	for i := range min(len(rates[Hot]), len(rates[Uniform])) {
		ratios = append(ratios, over(rates[Hot][i], rates[Uniform][i]))
	}
	return median(ratios)
}

func (r *Result) summarize(row Row) {
	r.Name, r.Load = row.Name, row.Load
	var ours, theirs []Slice
	var limits []Limits
	for _, round := range r.Rounds {
		ours = append(ours, round.Meridian)
		if round.Naive != nil {
			theirs = append(theirs, *round.Naive)
		}
		if round.Limits != nil {
			limits = append(limits, *round.Limits)
		}
	}
	r.Meridian = merge(ours)
	ratios := Ratios{}
	if len(theirs) > 0 {
		naive := merge(theirs)
		r.Naive = &naive
		rates := pairs(ours, theirs, func(s Slice) float64 { return s.PerSecond })
		ratios.Rate, ratios.RateLow, ratios.RateHigh = median(rates), slices.Min(rates), slices.Max(rates)
		ratios.P50 = median(pairs(ours, theirs, func(s Slice) float64 { return s.Latency.P50 }))
	}
	if len(limits) > 0 {
		r.Limits = &Limits{
			Commits: median(each(limits, func(l Limits) float64 { return l.Commits })),
			Rows:    median(each(limits, func(l Limits) float64 { return l.Rows })),
		}
		ratios.Entries = over(float64(r.Meridian.Entries)/r.Meridian.Seconds, r.Limits.Rows)
		if r.Meridian.Server != nil {
			ratios.Groups = over(r.Meridian.Server.GroupsPerSecond, r.Limits.Commits)
		}
	}
	if ratios != (Ratios{}) {
		r.Ratios = &ratios
	}
}

// pairs divides what one side showed by what the other did in the same round.
func pairs(ours, theirs []Slice, of func(Slice) float64) []float64 {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = over(of(ours[i]), of(theirs[i]))
	}
	return ratios
}

func each[T any](all []T, of func(T) float64) []float64 {
	values := make([]float64, len(all))
	for i, v := range all {
		values[i] = of(v)
	}
	return values
}

func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// merge makes one slice of several: sums of what was counted, medians of rates and times, and the largest memory.
func merge(all []Slice) Slice {
	of := func(f func(Slice) float64) float64 { return median(each(all, f)) }
	latency := func(l func(Slice) Latency) Latency {
		return Latency{
			P50: of(func(s Slice) float64 { return l(s).P50 }), P90: of(func(s Slice) float64 { return l(s).P90 }),
			P99: of(func(s Slice) float64 { return l(s).P99 }), P999: of(func(s Slice) float64 { return l(s).P999 }),
			Max: of(func(s Slice) float64 { return l(s).Max }),
		}
	}
	m := Slice{Declined: map[string]int64{}, Errors: map[string]int64{}}
	for _, s := range all {
		m.add(s)
	}
	m.PerSecond = of(func(s Slice) float64 { return s.PerSecond })
	m.Latency = latency(func(s Slice) Latency { return s.Latency })
	if all[0].Service != nil {
		service := latency(func(s Slice) Latency { return *s.Service })
		m.Service = &service
	}
	m.Client = ClientUse{
		Cores: of(func(s Slice) float64 { return s.Client.Cores }), Machine: of(func(s Slice) float64 { return s.Client.Machine }),
	}
	if all[0].Server != nil {
		use := mergeUse(all)
		m.Server = &use
	}
	return m
}

func (s *Slice) add(other Slice) {
	s.Seconds += other.Seconds
	s.Calls += other.Calls
	s.Commands += other.Commands
	s.Posted += other.Posted
	s.Replayed += other.Replayed
	s.Unanswered += other.Unanswered
	s.Entries += other.Entries
	s.Retries += other.Retries
	for reason, n := range other.Declined {
		s.Declined[reason] += n
	}
	for reason, n := range other.Errors {
		s.Errors[reason] += n
	}
}

func mergeUse(all []Slice) ServerUse {
	of := func(f func(ServerUse) float64) float64 {
		return median(each(all, func(s Slice) float64 { return f(*s.Server) }))
	}
	use := ServerUse{
		Cores:           of(func(u ServerUse) float64 { return u.Cores }),
		GroupsPerSecond: of(func(u ServerUse) float64 { return u.GroupsPerSecond }),
		GroupCommands:   of(func(u ServerUse) float64 { return u.GroupCommands }),
		QueueMS:         of(func(u ServerUse) float64 { return u.QueueMS }),
		LoadMS:          of(func(u ServerUse) float64 { return u.LoadMS }),
		DecideMS:        of(func(u ServerUse) float64 { return u.DecideMS }),
		WriteMS:         of(func(u ServerUse) float64 { return u.WriteMS }),
	}
	for _, s := range all {
		use.GroupRetries += s.Server.GroupRetries
		use.PeakRSS = max(use.PeakRSS, s.Server.PeakRSS)
	}
	return use
}

// MarshalJSON writes times in seconds.
func (l Load) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scenario Scenario `json:"scenario"`
		Clients  int      `json:"clients"`
		Accounts int      `json:"accounts"`
		Batch    int      `json:"batch"`
		Rate     float64  `json:"rate,omitempty"`
		WarmUp   float64  `json:"warm_up_seconds"`
		Duration float64  `json:"duration_seconds"`
	}{l.Scenario, l.Clients, l.Accounts, l.Batch, l.Rate, l.WarmUp.Seconds(), l.Duration.Seconds()})
}
