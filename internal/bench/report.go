package bench

import (
	"encoding/json"
	"slices"
	"time"
)

// Report is what a comparison showed. Rates are commands a second, times milliseconds.
type Report struct {
	StartedAt time.Time   `json:"started_at"`
	Version   string      `json:"version"`
	Engine    string      `json:"engine,omitempty"`
	Machine   Machine     `json:"machine"`
	Servers   int         `json:"servers"`
	Protocol  string      `json:"protocol"`
	Seed      uint64      `json:"seed"`
	Against   []*Opponent `json:"against,omitempty"`
	Rows      []Result    `json:"rows"`
	// HotOfUniform is the rate on hot accounts over that on all of them, where both were measured: the median over rounds.
	HotOfUniform float64 `json:"hot_of_uniform,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	System string `json:"system"`
	Cores  int    `json:"cores"`
}

// Pool is what an opponent did with a pool of this size, on uniform transfers.
type Pool struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"commands_per_second"`
}

// Result is a row with what it showed.
type Result struct {
	Name     string                `json:"name"`
	Load     Load                  `json:"load"`
	Meridian Slice                 `json:"meridian"`          // rates and times are medians over rounds, counts are sums
	Against  map[string]Comparison `json:"against,omitempty"` // by the opponent's name
	Limits   *Limits               `json:"limits,omitempty"`
	Use      *Use                  `json:"use_of_limits,omitempty"`
	Rounds   []Round               `json:"rounds"`
}

// Comparison is an opponent's side of a row, and how Meridian compares.
type Comparison struct {
	Measured Slice `json:"measured"` // as Meridian's
	Rate     Ratio `json:"rate"`     // Meridian's over the opponent's; higher is better
	// P50 is the median over rounds of Meridian's over the opponent's; lower is better. 0 where a call of one is not a call of the other.
	P50 float64 `json:"p50,omitempty"`
}

// Ratio is of slices of the same round.
type Ratio struct {
	Median float64 `json:"median"` // over rounds
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	// AtLeast says that the opponent finished nothing in some round. It counts there as if it had finished one command.
	AtLeast bool `json:"at_least,omitempty"`
}

// Use is how much Meridian made of the limits.
type Use struct {
	Groups  float64 `json:"groups_of_durable_commits,omitempty"`
	Entries float64 `json:"entries_of_rows"`
}

// Round is one turn of a row.
type Round struct {
	Meridian Slice            `json:"meridian"`
	Against  map[string]Slice `json:"against,omitempty"`
	Limits   *Limits          `json:"limits,omitempty"`
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
	ours := each(r.Rounds, func(round Round) Slice { return round.Meridian })
	r.Meridian = merge(ours)
	for name := range r.Rounds[0].Against {
		if r.Against == nil {
			r.Against = map[string]Comparison{}
		}
		r.Against[name] = compare(ours, each(r.Rounds, func(round Round) Slice { return round.Against[name] }), row.Load.Batch == 1)
	}
	if r.Rounds[0].Limits == nil {
		return
	}
	r.Limits = &Limits{
		Commits: median(each(r.Rounds, func(round Round) float64 { return round.Limits.Commits })),
		Rows:    median(each(r.Rounds, func(round Round) float64 { return round.Limits.Rows })),
	}
	r.Use = &Use{Entries: over(float64(r.Meridian.Entries)/r.Meridian.Seconds, r.Limits.Rows)}
	if r.Meridian.Server != nil {
		r.Use.Groups = over(r.Meridian.Server.GroupsPerSecond, r.Limits.Commits)
	}
}

// compare takes slices that are neighbours, round by round. Calls are alike where each is one command on both sides.
func compare(ours, theirs []Slice, alike bool) Comparison {
	c := Comparison{Measured: merge(theirs)}
	rates, times := make([]float64, len(ours)), make([]float64, len(ours))
	for i := range ours {
		ratio, atLeast := ours[i].faster(theirs[i])
		rates[i], times[i] = ratio, over(ours[i].Latency.P50, theirs[i].Latency.P50)
		c.Rate.AtLeast = c.Rate.AtLeast || atLeast
	}
	c.Rate.Median, c.Rate.Low, c.Rate.High = median(rates), slices.Min(rates), slices.Max(rates)
	if alike {
		c.P50 = median(times)
	}
	return c
}

// faster divides rates. Where the other finished nothing, it is what the ratio would be had it finished one command.
func (s Slice) faster(other Slice) (ratio float64, atLeast bool) {
	if other.Commands == 0 {
		return s.PerSecond * other.Seconds, true
	}
	return s.PerSecond / other.PerSecond, false
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
