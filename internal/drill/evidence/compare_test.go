package evidence

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestCompare_Golden(t *testing.T) {
	c := Compare(given(), broken())
	var text bytes.Buffer
	if err := c.Text(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/compare.txt", text.Bytes())
	page, err := c.HTML()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/compare.html", page)
	program, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/compare.json", append(program, '\n'))
	var back Comparison
	if err := json.Unmarshal(program, &back); err != nil || len(back.Measures) != len(c.Measures) {
		t.Errorf("%v", err)
	}
}

func TestCompare_WithItselfIsTheSame(t *testing.T) {
	c := Compare(broken(), broken())
	if c.Better+c.Worse != 0 || c.Same < 60 || len(c.Warnings)+len(c.Environment)+len(c.Verdicts) != 0 {
		t.Errorf("%s; %v; %v; %v", c.Headline(), c.Warnings, c.Environment, c.Verdicts)
	}
	for _, m := range c.Measures {
		if m.Judgement != Same && m.A != nil {
			t.Errorf("%+v", m)
		}
	}
}

// What is better one way is worse the other way.
func TestCompare_IsSymmetric(t *testing.T) {
	there, back := Compare(given(), broken()), Compare(broken(), given())
	if there.Better != back.Worse || there.Worse != back.Better || there.Same != back.Same || there.Worse < 10 {
		t.Errorf("%s and back: %s", there.Headline(), back.Headline())
	}
}

func TestCompare_Judges(t *testing.T) {
	find := func(c Comparison, name string) Measure {
		t.Helper()
		for _, m := range c.Measures {
			if m.Name == name {
				return m
			}
		}
		t.Fatalf("no measure %q", name)
		return Measure{}
	}
	const eu, ap = "europe-west1 after kill region/europe-west1: well again after", "asia-northeast1 after kill region/europe-west1: well again after"
	for _, row := range []struct {
		name, measure string
		change        func(*Report)
		want          Judgement
	}{
		{"RTO within noise", eu, func(r *Report) { r.Recovery[0].RTOSeconds = ptr(7.9) }, Same},
		{"RTO worse", eu, func(r *Report) { r.Recovery[0].RTOSeconds = ptr(9) }, Worse},
		{"RTO better", eu, func(r *Report) { r.Recovery[0].RTOSeconds = ptr(3) }, Better},
		{"never is worse", eu, func(r *Report) { r.Recovery[0].RTOSeconds = nil }, Worse},
		{"not noticed is better", eu, func(r *Report) { r.Recovery[0].DetectSeconds, r.Recovery[0].RTOSeconds = nil, nil }, Better},
		{"noticed is worse", ap, func(r *Report) { r.Recovery[2].DetectSeconds, r.Recovery[2].RTOSeconds = ptr(1), ptr(2) }, Worse},
		{"a region is gone", eu, func(r *Report) { r.Recovery = r.Recovery[1:] }, NoJudgement},
		{"one lost write", "lost writes (RPO)", func(r *Report) { r.Totals.LostWrites = 1 }, Worse},
		{"one double effect", "double effects", func(r *Report) { r.Totals.DoubleEffects = 1 }, Worse},
		{"a few failures more", "failed requests", func(r *Report) { r.Totals.FailedRequests += 30 }, Same},
		{"many failures more", "failed requests", func(r *Report) { r.Totals.FailedRequests *= 2 }, Worse},
		{"more requests", "requests", func(r *Report) { r.Totals.Requests *= 2 }, NoJudgement},
		{"latency within noise", "us-east1 before: p50", func(r *Report) { r.Phases[3].P50 *= 1.09 }, Same},
		{"latency worse", "us-east1 before: p50", func(r *Report) { r.Phases[3].P50 *= 1.2 }, Worse},
		{"latency by less than 1 ms", "us-east1 before: p50", func(r *Report) { r.Phases[3].P50 -= 0.9 }, Same},
		{"no call ended", "us-east1 before: p50", func(r *Report) { r.Phases[3].P50 = -1 }, NoJudgement},
		{"throughput", "us-east1 before: answered", func(r *Report) { r.Phases[3].PerSecond *= 1.2 }, Better},
	} {
		b := given()
		row.change(&b)
		c := Compare(given(), b)
		if m := find(c, row.measure); m.Judgement != row.want {
			t.Errorf("%s: %+v, want %s", row.name, m, row.want)
		}
	}
	b := given()
	b.Totals.LostWrites = 2
	if m := find(Compare(b, given()), "lost writes (RPO)"); m.Judgement != Better || *m.Ratio != 0 {
		t.Errorf("%+v", m)
	}
	if m := find(Compare(given(), b), "lost writes (RPO)"); m.Ratio != nil {
		t.Errorf("%+v: there is no ratio to 0", m)
	}
}

func TestCompare_WarnsOfWhatIsNotComparable(t *testing.T) {
	for _, row := range []struct {
		want   string
		change func(*Report)
	}{
		{"engine differs (CockroachDB, PostgreSQL)", func(r *Report) { r.Environment.Engine = "PostgreSQL" }},
		{"topology differs (three_regions, two_regions)", func(r *Report) { r.Environment.Topology = "two_regions" }},
		{"CPUs differs (2, 64)", func(r *Report) { r.Environment.CPUs = 64 }},
		{"story differs (line 4: load: {clients: 48, seconds: 90}, line 4: load: {clients: 48, seconds: 91})", func(r *Report) {
			r.Story = strings.Replace(r.Story, "90", "91", 1)
		}},
		{"story differs (line 10: limits: {rto: 20s}, ends after line 9)", func(r *Report) {
			r.Story, _, _ = strings.Cut(r.Story, "\nlimits")
		}},
		{"drill differs", func(r *Report) { r.Drill = "other" }},
		{"clients differs", func(r *Report) { r.Totals.Clients++ }},
		{"steps not done differs (2 skew us-east1-db1, none)", func(r *Report) { r.Steps[1].Skipped = "" }},
		{"The load lasted 90 s and 180 s", func(r *Report) { r.Bucket *= 2 }},
	} {
		b := given()
		row.change(&b)
		if c := Compare(given(), b); !strings.Contains(strings.Join(c.Warnings, "\n"), row.want) || !strings.Contains(c.Headline(), "NOT COMPARABLE") {
			t.Errorf("%q; want %q", c.Warnings, row.want)
		}
	}
	b := given()
	b.Seed, b.Environment.Meridian = 2, "v1.5.0"
	if c := Compare(given(), b); len(c.Warnings) != 0 || len(c.Environment) != 2 {
		t.Errorf("%v, %v: another seed and version are what one compares", c.Warnings, c.Environment)
	}
}

func TestCompare_VerdictsThatChanged(t *testing.T) {
	b := given()
	b.Verdicts[0].Status, b.Verdicts[5].Status, b.Verdicts[1].Status = Failed, Passed, Skipped
	b.Verdicts[4].Name = "a new promise"
	got := map[string]Judgement{}
	for _, v := range Compare(given(), b).Verdicts {
		got[string(v.A)+" "+string(v.B)] = v.Judgement
	}
	for change, want := range map[string]Judgement{
		"passed failed": Worse, "skipped passed": Better, "passed skipped": Worse, "passed ": Worse, " passed": Better,
	} {
		if got[change] != want {
			t.Errorf("%q is %q, want %q", change, got[change], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%v", got)
	}
}
