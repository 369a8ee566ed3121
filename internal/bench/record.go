package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meridian-ledger/meridian/internal/errs"
)

// Slice is what one measured window showed.
type Slice struct {
	Seconds    float64          `json:"seconds"`
	Calls      int64            `json:"calls"`
	Commands   int64            `json:"commands"` // that were answered
	PerSecond  float64          `json:"commands_per_second"`
	Posted     int64            `json:"posted"`
	Declined   map[string]int64 `json:"declined,omitempty"` // by reason
	Replayed   int64            `json:"replayed"`
	Errors     map[string]int64 `json:"errors,omitempty"`     // calls without an answer, by reason
	Unanswered int64            `json:"unanswered,omitempty"` // calls that had no answer when time was up
	Entries    int64            `json:"entries"`
	Retries    int64            `json:"retries,omitempty"` // attempts that an opponent repeated, of calls that were answered
	Latency    Latency          `json:"latency_ms"`        // of calls: at a fixed rate from when they were due
	Service    *Latency         `json:"service_ms,omitempty"`
	Client     ClientUse        `json:"client"`
	Server     *ServerUse       `json:"server,omitempty"`
}

// Latency are percentiles in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Histograms count microseconds, up to ten minutes, with an error of at most a thousandth.
const (
	highest = int64(10 * time.Minute / time.Microsecond)
	digits  = 3
)

// recorder keeps what fell into the window.
type recorder struct {
	from, end time.Time
	open      bool

	mu      sync.Mutex
	latency *hdrhistogram.Histogram
	service *hdrhistogram.Histogram
	s       Slice
}

func newRecorder(from, end time.Time, open bool) *recorder {
	return &recorder{
		from: from, end: end, open: open,
		latency: hdrhistogram.New(1, highest, digits), service: hdrhistogram.New(1, highest, digits),
		s: Slice{Seconds: end.Sub(from).Seconds(), Declined: map[string]int64{}, Errors: map[string]int64{}},
	}
}

func (r *recorder) within(t time.Time) bool { return !t.Before(r.from) && t.Before(r.end) }

// add takes in one call. Answers count in the window in which they come. Latencies are those of the same answers in a closed loop; at a
// fixed rate they are those of the calls that were due in the window, however late their answer was. A call without an answer when time is
// up counts with the time it has waited: else a target that answers few calls and forgets the rest would look fast. A call that failed is an
// error and no latency: failing fast is not being fast.
func (r *recorder) add(intended, began, done time.Time, commands int, a Answer, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	late := err != nil && !done.Before(r.end)
	if late && (!r.open || r.within(intended)) {
		r.s.Unanswered++
	}
	if r.open && r.within(intended) && (err == nil || late) {
		observe(r.latency, done.Sub(intended))
		observe(r.service, done.Sub(began))
	}
	if !r.open && (late || err == nil && r.within(done)) {
		observe(r.latency, done.Sub(began))
	}
	if !r.within(done) {
		return
	}
	if err != nil {
		r.s.Errors[string(errs.Of(err).Reason)]++
		return
	}
	r.s.Calls++
	r.s.Commands += int64(commands)
	r.s.Posted += int64(a.Posted)
	r.s.Replayed += int64(a.Replayed)
	r.s.Entries += int64(a.Entries)
	r.s.Retries += int64(a.Retries)
	for reason, n := range a.Declined {
		r.s.Declined[string(reason)] += int64(n)
	}
}

// observe clamps what is out of range, which only a clock that jumps can be.
func observe(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), highest)) // in range: no error
}

func (r *recorder) slice() Slice {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.s
	s.PerSecond = float64(s.Commands) / s.Seconds
	s.Latency = percentiles(r.latency)
	if r.open {
		service := percentiles(r.service)
		s.Service = &service
	}
	return s
}

func percentiles(h *hdrhistogram.Histogram) Latency {
	at := func(p float64) float64 { return float64(h.ValueAtPercentile(p)) / 1000 }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1000}
}
