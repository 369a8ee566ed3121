package sim

import (
	"slices"
	"testing"
	"time"
)

// tries are attempts every so many seconds, each answered, or failed, after a time.
func tries(from, until, every, took float64, ok bool) []Attempt {
	var all []Attempt
	for n := 0; from+float64(n)*every < until-1e-9; n++ {
		a := Attempt{Began: at(from + float64(n)*every), Took: at(took)}
		if !ok {
			a.Code = 1
		}
		all = append(all, a)
	}
	return all
}

func TestRecovery_FromWhatHappenedToTheLastBadWindow(t *testing.T) {
	join := func(parts ...[]Attempt) []Attempt {
		all := slices.Concat(parts...)
		slices.SortFunc(all, func(a, b Attempt) int { return int(a.Began - b.Began) })
		return all
	}
	good := func(from, until float64) []Attempt { return tries(from, until, 0.01, 0.005, true) }
	bad := func(from, until, took float64) []Attempt { return tries(from, until, 0.01, took, false) }
	for _, row := range []struct {
		name        string
		attempts    []Attempt
		from, until float64
		want        Recovery
	}{
		{"nobody notices", good(0, 20), 10, 20, Recovery{Recovered: true}},
		{
			"an outage of two seconds: the window that begins in its last quarter is the last bad one", join(good(0, 10), bad(10, 12, 0.002), good(12, 20)),
			10, 20,
			Recovery{true, at(0.002), at(2.75), true},
		},
		{"what failed before is not of this event", join(bad(0, 9.9, 0.002), good(9.9, 20)), 10, 20, Recovery{Recovered: true}},
		{
			"one that was under way when it happened is the first to notice", join(good(0, 9.9), bad(9.9, 9.91, 0.3), good(9.91, 20)), 10, 20,
			Recovery{true, at(0.2), 0, true},
		},
		{"one that ends as it happens is not of this event", join(good(0, 9.9), bad(9.9, 9.91, 0.1), good(9.91, 20)), 10, 20, Recovery{Recovered: true}},
		{
			"the first failure to end counts, not the first to begin", join(good(0, 10), bad(10, 10.01, 5), bad(10.01, 10.02, 1), good(10.02, 20)), 10, 20,
			Recovery{true, at(1.01), at(1), true},
		},
		{"one of a hundred may fail", join(good(0, 15), bad(15, 15.01, 0.01), good(15.01, 20)), 10, 20, Recovery{true, at(5.01), 0, true}},
		{"two of a hundred may not", join(good(0, 15), bad(15, 15.02, 0.01), good(15.02, 20)), 10, 20, Recovery{true, at(5.01), at(6), true}},
		{"slow is not failed", join(good(0, 10), tries(10, 12, 0.01, 4, true), good(12, 20)), 10, 20, Recovery{Recovered: true}},
		{
			"it counts when an attempt began, not when it failed", join(good(0, 10), bad(10, 10.5, 6), good(10.5, 20)), 10, 20,
			Recovery{true, at(6), at(1.25), true},
		},
		{"all hang, and fail in the end", join(good(0, 10), tries(9.99, 10, 0.001, 5.01, false), good(15, 20)), 10, 20, Recovery{true, at(5), at(5), true}},
		{
			"all hang, and are answered in the end", join(good(0, 10), tries(9.99, 10, 0.001, 5.01, true), good(15, 20)), 10, 20,
			Recovery{true, 0, at(5), true},
		},
		{
			"nobody asks after a failure: that is an outage", join(good(0, 10), bad(10, 10.01, 0.002), good(13, 20)), 10, 20,
			Recovery{true, at(0.002), at(3), true},
		},
		{"nobody asks after an answer: that is none", join(good(0, 11), good(14, 20)), 10, 20, Recovery{Recovered: true}},
		{"not recovered", join(good(0, 10), bad(10, 20, 0.002)), 10, 20, Recovery{true, at(0.002), at(10), false}},
		{
			"recovered in the last second is not recovered", join(good(0, 10), bad(10, 19.2, 0.002), good(19.2, 20)), 10, 20,
			Recovery{true, at(0.002), at(10), false},
		},
		{
			"recovered before the last second is recovered", join(good(0, 10), bad(10, 18.7, 0.002), good(18.7, 20)), 10, 20,
			Recovery{true, at(0.002), at(9.5), true},
		},
		{"what fails after until is of the next event", join(good(0, 20), bad(20, 25, 0.002)), 10, 20, Recovery{Recovered: true}},
		{
			"down, up and down again: the last time counts", join(good(0, 10), bad(10, 11, 0.002), good(11, 14), bad(14, 15, 0.002), good(15, 20)), 10, 20,
			Recovery{true, at(0.002), at(5.75), true},
		},
		{"too short to tell", good(0, 20), 10, 10.9, Recovery{}},
		{"nobody is there", nil, 10, 20, Recovery{Recovered: true}},
		{"everybody hangs to the end", tries(9, 9.1, 0.01, 100, false), 10, 20, Recovery{true, at(99), at(10), false}},
	} {
		if got := recovery(row.attempts, at(row.from), at(row.until)); sprint(got) != sprint(row.want) {
			t.Errorf("%s:\n got %s\nwant %s", row.name, sprint(got), sprint(row.want))
		}
	}
}

// timeline is a history of two regions.
func timeline() *History {
	h := &History{Regions: []string{"eu", "us", "elsewhere"}, Loaded: at(2)}
	h.Attempts = []Attempt{
		{Began: at(0), Took: at(0.010)},
		{Began: at(0.1), Took: at(0.030)},
		{Began: at(0.1), Took: at(5), Code: 1},
		{Began: at(0.2), Took: at(9), Code: 1, What: Probe},
		{Began: at(0.25), Took: at(1.5), Node: 2},
		{Began: at(0.30), Took: at(0.020), Region: 1, Node: 1},
		{Began: at(1.1), Took: at(0.001), Code: 4, Region: 1},
	}
	return h
}

func TestSeries_CountsWhereAnAttemptBegan(t *testing.T) {
	s := timeline().Series(250 * time.Millisecond)
	if len(s) != 2 || s[0].Region != "eu" || s[1].Region != "us" {
		t.Fatalf("the series are %+v", s)
	}
	for name, row := range map[string]struct{ got, want []int }{
		"eu ok": {s[0].OK, []int{2, 1, 0, 0, 0, 0, 0, 0}}, "eu failed": {s[0].Failed, []int{1, 0, 0, 0, 0, 0, 0, 0}},
		"us ok": {s[1].OK, []int{0, 1, 0, 0, 0, 0, 0, 0}}, "us failed": {s[1].Failed, []int{0, 0, 0, 0, 1, 0, 0, 0}},
	} {
		if !slices.Equal(row.got, row.want) {
			t.Errorf("%s: %v, want %v", name, row.got, row.want)
		}
	}
	if !slices.Equal(s[0].P50[:3], []float64{10, 1500, -1}) || !slices.Equal(s[0].Max[:3], []float64{30, 1500, -1}) || s[0].P99[0] != 30 {
		t.Errorf("p50 %v, p99 %v, max %v", s[0].P50, s[0].P99, s[0].Max)
	}
	if got := (&History{}).Series(time.Second); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

func TestPhases_SumUpSpans(t *testing.T) {
	got := timeline().Phases(time.Second, Span{"before", 0, at(0.25)}, Span{"after", at(0.25), at(2.25)})
	want := []Phase{
		{Span: Span{"before", 0, at(0.25)}, Region: "eu", Requests: 3, Failed: 1, PerSecond: 8, P50: at(0.010), P99: at(0.030), P999: at(0.030), Max: at(0.030)},
		{Span: Span{"after", at(0.25), at(2.25)}, Region: "eu", Requests: 1, Slow: 1, PerSecond: 0.5, P50: at(1.5), P99: at(1.5), P999: at(1.5), Max: at(1.5)},
		{Span: Span{"before", 0, at(0.25)}, Region: "us"},
		{Span: Span{"after", at(0.25), at(2.25)}, Region: "us", Requests: 2, Failed: 1, PerSecond: 0.5, P50: at(0.020), P99: at(0.020), P999: at(0.020), Max: at(0.020)},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestTotals_LeaveProbesOut(t *testing.T) {
	got := timeline().Totals(time.Second)
	if got.Requests != 6 || got.FailedRequests != 2 || got.SlowRequests != 1 {
		t.Errorf("%+v", got)
	}
}

func TestRecovery_OfARegionEndsWithTheLoad(t *testing.T) {
	h := &History{Regions: []string{"eu", "us"}, Loaded: at(15), Attempts: tries(0, 15, 0.01, 0.005, true)}
	for _, a := range tries(10, 15, 0.01, 0.002, false) {
		a.Region = 1
		h.Attempts = append(h.Attempts, a)
	}
	slices.SortFunc(h.Attempts, func(a, b Attempt) int { return int(a.Began - b.Began) })
	for region, want := range map[string]Recovery{"eu": {Recovered: true}, "us": {true, at(0.002), at(5), false}, "moon": {}} {
		if got := h.Recovery(region, at(10), at(60)); got != want {
			t.Errorf("%s: %s, want %s", region, sprint(got), sprint(want))
		}
	}
}

func TestQuantile_IsTheSmallestThatAShareDidNotExceed(t *testing.T) {
	var d digested
	for n := range 1000 {
		d.took = append(d.took, time.Duration(n+1))
	}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 500, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := d.quantile(share); got != want {
			t.Errorf("%v: %d, want %d", share, got, want)
		}
	}
}
