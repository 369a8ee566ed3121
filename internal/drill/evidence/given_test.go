package evidence

import (
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares a text with a file under testdata.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (-update writes it anew)", path)
	}
}

func ptr(f float64) *float64 { return &f }

// given is a drill that passed: a region dies for 30 s, later a link goes one way dead, and one step could not be done.
func given() Report {
	r := Report{
		Format: Format, Drill: "region_loss", Title: "Loss of the region europe-west1",
		Why:     "Clients of all regions keep their acknowledged writes and are served again within 20 s when a whole region dies, and nobody notices when it comes back.",
		Started: time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC), Seconds: 143.217, Seed: 18_012_026,
		Command: "meridian drill run region_loss --engine cockroachdb --seed 18012026 --report out", Story: story, Passed: true,
		Environment: Environment{
			Meridian: "v1.4.0", Go: "go1.26.8", OS: "linux/amd64", CPU: "AMD EPYC 7B13", CPUs: 2, MemoryBytes: 8 << 30, Engine: "CockroachDB",
			EngineVersion: "v22.1.22", Topology: "three_regions",
			Regions: []Region{
				{"europe-west1", []string{"b", "c", "d"}, 3, 1, []string{"eu"}},
				{"us-east1", []string{"b", "c", "d"}, 3, 1, []string{"us"}},
				{"asia-northeast1", []string{"a", "b", "c"}, 3, 1, []string{"ap"}},
			},
			RTTs: []RTT{
				{[2]string{"europe-west1", "us-east1"}, 92}, {[2]string{"europe-west1", "asia-northeast1"}, 222}, {[2]string{"us-east1", "asia-northeast1"}, 156},
			},
		},
		Steps: []Step{
			{At: 20, Until: ptr(50), Kind: "kill", Target: "region/europe-west1", Text: "All database nodes and servers of europe-west1 are killed, and started again 30 s later"},
			{At: 35, Kind: "skew", Target: "us-east1-db1", Skipped: "moving a clock needs root", Text: "The clock of us-east1-db1 jumps 400 ms ahead"},
			{At: 58, Until: ptr(66), Kind: "partition", Target: "us-east1 → asia-northeast1", Text: "Bytes from us-east1 to asia-northeast1 are dropped, the other way passes"},
			{At: 72, Kind: "drain", Target: "us-east1-srv1", Text: "The server us-east1-srv1 drains and starts again"},
		},
		Bucket: 0.25,
		Recovery: []Recovery{
			{"europe-west1", "kill region/europe-west1", ptr(0.03), ptr(7.42), ptr(20), true, "Clients went over to us-east1"},
			{"us-east1", "kill region/europe-west1", ptr(1.11), ptr(6.25), ptr(20), true, "Leases moved to us-east1 and asia-northeast1"},
			{"asia-northeast1", "kill region/europe-west1", nil, nil, ptr(20), true, "No call was hurt"},
			{"asia-northeast1", "partition us-east1 → asia-northeast1", ptr(0.42), ptr(9.5), ptr(20), true, ""},
			{"us-east1", "drain us-east1-srv1", nil, nil, nil, true, "No call was hurt"},
		},
		Verdicts: []Verdict{
			{"no acknowledged command is missing", LostWrite, Passed, 74_310, nil, 2.41},
			{"no command has two effects", DoubleEffect, Passed, 75_001, nil, 1.93},
			{"every repeat got the first answer", "replay", Passed, 1_482, nil, 0.31},
			{"the books balance", "books", Passed, 231_877, nil, 4.02},
			{"each event is heard once, in order on every account", "stream", Passed, 148_620, nil, 1.2},
			{"rows stay in the regions of their homes", "residency", Skipped, 0, []string{"the engine is a development build without a licence for placement"}, 0},
		},
		Log: []Line{
			{-31.2, "starting 9 database nodes in 3 regions"},
			{-4.05, "starting 3 servers"},
			{0, "load begins: 48 clients"},
			{20, "kill region/europe-west1"},
			{27.42, "europe-west1 is well again"},
			{50.9, "europe-west1 is back"},
			{90, "load ends"},
			{93.1, "checking"},
		},
	}
	r.load()
	return r
}

const story = `drill: region_loss
title: Loss of the region europe-west1
topology: three_regions
load: {clients: 48, seconds: 90}
steps:
  - {at: 20s, until: 50s, kill: region/europe-west1}
  - {at: 35s, skew: us-east1-db1, by: 400ms}
  - {at: 58s, until: 66s, partition: [us-east1, asia-northeast1], one_way: true}
  - {at: 72s, drain: us-east1-srv1}
limits: {rto: 20s}
`

// load makes up series, phases and totals that fit each other.
func (r *Report) load() {
	random := rand.New(rand.NewPCG(1, 2))
	hurt := map[string][][4]float64{ // from, until, share of calls that go on, share that fails
		"europe-west1":    {{20, 23, 0, 0.15}, {23, 27.5, 0.12, 0.08}, {27.5, 50, 0.6, 0}},
		"us-east1":        {{21.25, 26.25, 0.2, 0.02}},
		"asia-northeast1": {{58.5, 67.5, 0.35, 0.05}},
	}
	base, rate := map[string]float64{"europe-west1": 11, "us-east1": 14, "asia-northeast1": 19}, map[string]float64{"europe-west1": 420, "us-east1": 330, "asia-northeast1": 180}
	t := Totals{Clients: 48, Reads: 21_377, Declined: 691, Unknown: 0, Replays: 1_482, Moved: 402, Events: 148_620, EventRepeats: 211}
	for _, g := range r.Environment.Regions {
		s := Series{Region: g.Name}
		for i := range 360 {
			now, goes, fails, slower := float64(i)/4, 1.0, 0.0, 1.0
			for _, h := range hurt[g.Name] {
				if now >= h[0] && now < h[1] {
					goes, fails = h[2], h[3]
					slower = 2 + 30*(1-goes)*(1-goes)
				}
			}
			wave := 1 + 0.05*math.Sin(now/3) + 0.06*(random.Float64()-0.5)
			ok, failed := int(rate[g.Name]/4*wave*goes), int(rate[g.Name]/4*fails*random.Float64()*1.6)
			if now > 21 && now < 22 && g.Name == "europe-west1" {
				failed = 0 // all clients wait
			}
			s.OK, s.Failed = append(s.OK, ok), append(s.Failed, failed)
			p50, p99 := -1.0, -1.0
			if ok+failed > 0 {
				p50 = math.Round(100*base[g.Name]*slower*(1+0.2*(random.Float64()-0.5))) / 100
				p99 = math.Round(100*p50*(3+2*random.Float64())) / 100
			}
			s.P50, s.P99, s.Max = append(s.P50, p50), append(s.P99, p99), append(s.Max, math.Max(p99*1.5, -1))
			t.Requests, t.FailedRequests = t.Requests+ok+failed, t.FailedRequests+failed
		}
		r.Series = append(r.Series, s)
		for _, p := range []struct {
			name        string
			from, until float64
		}{{Before, 0, 20}, {During, 20, 67.5}, {After, 67.5, 90}} {
			c := s.column(int(4*p.from), int(4*p.until), p.until-p.from)
			failed := int(math.Round(c.Failed * (p.until - p.from)))
			r.Phases = append(r.Phases, Phase{p.name, g.Name, p.from, p.until, c.Calls, failed, failed / 3, c.OK, rounded(c.P50), rounded(c.P50 * 4), rounded(c.P99), c.Max})
		}
	}
	t.SlowRequests, t.Commands = t.FailedRequests/3, t.Requests-t.Reads-t.FailedRequests
	t.Acknowledged = t.Commands - t.Declined
	r.Totals = t
}

// broken is the same drill on a bad day.
func broken() Report {
	r := given()
	r.Passed, r.Seed, r.Started = false, 7, r.Started.Add(26*time.Hour)
	r.Command = "meridian drill run region_loss --engine cockroachdb --seed 7 --report out"
	r.Totals.LostWrites = 2
	r.Recovery[0].RTOSeconds, r.Recovery[0].Met, r.Recovery[0].Text = ptr(26.31), false, "Clients waited for a lease"
	r.Recovery[1].RTOSeconds, r.Recovery[1].Met, r.Recovery[1].Text = nil, false, "Calls still failed when the load ended"
	r.Verdicts[0].Status, r.Verdicts[0].Detail = Failed, []string{
		"eu/wallet-0041: transfer 0197f2c4-7a11 was acknowledged by us-east1-srv1 at 24.91 s and is not in the journal",
		"eu/wallet-0108: transfer 0197f2c4-7b70 was acknowledged by us-east1-srv1 at 24.93 s and is not in the journal",
	}
	for i := range r.Series[0].OK {
		r.Series[0].P50[i], r.Series[0].P99[i] = max(r.Series[0].P50[i]*1.4, -1), max(r.Series[0].P99[i]*1.4, -1)
	}
	for i := range r.Phases[:3] {
		p := &r.Phases[i]
		p.P50, p.P99, p.P999, p.PerSecond = p.P50*1.4, p.P99*1.4, p.P999*1.4, p.PerSecond/1.4
	}
	return r
}

// short is a report with two buckets, for tests that need many reports.
func short(r Report) Report {
	for i := range r.Series {
		s := &r.Series[i]
		s.OK, s.Failed, s.P50, s.P99, s.Max = s.OK[:2], s.Failed[:2], s.P50[:2], s.P99[:2], s.Max[:2]
	}
	return r
}
