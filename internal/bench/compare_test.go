package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
)

var update = flag.Bool("update", false, "write golden files anew")

// golden compares a text with a file under testdata.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got:\n%s", path, got)
	}
}

func sliceAt(rate, p50 float64) Slice {
	return Slice{
		Seconds: 5, Calls: int64(5 * rate), Commands: int64(5 * rate), PerSecond: rate, Posted: int64(5*rate) - 12, Entries: int64(10 * rate),
		Declined: map[string]int64{"INSUFFICIENT_FUNDS": 10, "ACCOUNT_FROZEN": 2}, Errors: map[string]int64{},
		Latency: Latency{P50: p50, P90: 2 * p50, P99: 3 * p50, P999: 4 * p50, Max: 5 * p50},
		Client:  ClientUse{Cores: 0.5, Machine: 1.9},
		Server: &ServerUse{
			Cores: 0.75, PeakRSS: 96 << 20, GroupsPerSecond: rate / 64, GroupCommands: 64, GroupRetries: 1, QueueMS: 6, LoadMS: 5.5, DecideMS: 0.6,
			WriteMS: 10,
		},
	}
}

func opponentAt(rate, p50 float64) Slice {
	s := sliceAt(rate, p50)
	s.Server, s.Retries = nil, 30
	return s
}

// idle is an opponent's slice in which nothing was finished.
func idle() Slice {
	return Slice{
		Seconds: 20, Declined: map[string]int64{}, Errors: map[string]int64{}, Unanswered: 256,
		Latency: Latency{P50: 23_000, P90: 23_000, P99: 23_000, P999: 23_000, Max: 23_000},
	}
}

// known is a report whose every number can be worked out by hand.
func known() Report {
	many := Load{Scenario: Uniform, Clients: 256, Accounts: 10_000, Batch: 1, WarmUp: time.Second, Duration: 5 * time.Second, Seed: seed}
	hot, open := many, many
	hot.Scenario = Hot
	open.Rate, open.Batch = 2000, 10
	limits := &Limits{Commits: 1000, Rows: 40_000}
	rows := []Row{{Name: "uniform", Load: many}, {Name: "hot", Load: hot}, {Name: "open", Load: open}}
	against := func(naive, tuned Slice) map[string]Slice { return map[string]Slice{"naive": naive, "tuned": tuned} }
	results := []Result{
		{Rounds: []Round{
			{Meridian: sliceAt(8000, 30), Against: against(opponentAt(4000, 60), opponentAt(5000, 50)), Limits: limits},
			{Meridian: sliceAt(6400, 40), Against: against(opponentAt(2000, 80), opponentAt(4000, 64)), Limits: limits},
			{Meridian: sliceAt(7200, 35), Against: against(opponentAt(3000, 70), opponentAt(3600, 70)), Limits: limits},
		}},
		{Rounds: []Round{
			{Meridian: sliceAt(7200, 30), Against: against(idle(), opponentAt(40, 4000))},
			{Meridian: sliceAt(6400, 40), Against: against(opponentAt(4, 9000), opponentAt(50, 12_000))},
			{Meridian: sliceAt(7200, 35), Against: against(opponentAt(3, 9000), opponentAt(36, 4000))},
		}},
		{Rounds: []Round{{Meridian: sliceAt(2000, 3)}}},
	}
	service := Latency{P50: 1, P90: 2, P99: 3, P999: 4, Max: 5}
	results[2].Rounds[0].Meridian.Service, results[2].Rounds[0].Meridian.Unanswered = &service, 7
	for i := range results {
		results[i].summarize(rows[i])
	}
	naive, tuned := NewOpponent(Naive, "postgresql://never:shown@db/", 90, Books{}), NewOpponent(Tuned, "postgresql://never:shown@db/", 16, Books{})
	tuned.Tried = []Pool{{8, 2500.4}, {16, 3000}, {32, 2800}}
	return Report{
		StartedAt: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), Version: "v1", Engine: "postgresql 15.13", Servers: 1, Protocol: "connect",
		Machine: Machine{System: "linux/amd64", Cores: 2}, Seed: seed, Against: []*Opponent{naive, tuned},
		Rows: results, HotOfUniform: HotOfUniform(results),
	}
}

func TestReport_JSONKeepsItsShape(t *testing.T) {
	text, err := json.MarshalIndent(known(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.json", string(text)+"\n")
}

func TestReport_TextIsForPeople(t *testing.T) {
	var text bytes.Buffer
	if err := known().WriteText(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.txt", text.String())
}

func TestSummarize_RatiosAreOfNeighbours(t *testing.T) {
	uniform := known().Rows[0]
	for name, want := range map[string]Comparison{
		"naive": {Rate: Ratio{Median: 2.4, Low: 2, High: 3.2}, P50: 0.5},
		"tuned": {Rate: Ratio{Median: 1.6, Low: 1.6, High: 2}, P50: 0.6},
	} {
		if got := uniform.Against[name]; got.Rate != want.Rate || got.P50 != want.P50 {
			t.Errorf("%s: %+v and %g, want %+v and %g", name, got.Rate, got.P50, want.Rate, want.P50)
		}
	}
	if want := (Use{Groups: 7200.0 / 64 / 1000, Entries: 1.8 / 5}); *uniform.Use != want {
		t.Errorf("%+v, want %+v", *uniform.Use, want)
	}
	if uniform.Meridian.PerSecond != 7200 || uniform.Meridian.Posted != 3*36_000-36 || uniform.Meridian.Server.GroupRetries != 3 {
		t.Errorf("%+v: want the median rate, and sums of what was counted", uniform.Meridian)
	}
	if got := known().HotOfUniform; got != 1 { // 0.9, 1 and 1
		t.Errorf("hot is %g of uniform", got)
	}
}

// In one of its rounds the opponent finished nothing in 20 seconds: Meridian's 7,200/s are at least 144,000 times that.
func TestSummarize_NothingFinishedIsABound(t *testing.T) {
	hot := known().Rows[1]
	if want := (Ratio{Median: 2400, Low: 1600, High: 144_000, AtLeast: true}); hot.Against["naive"].Rate != want {
		t.Errorf("%+v, want %+v", hot.Against["naive"].Rate, want)
	}
	if got := hot.Against["naive"].Rate.String(); got != "> 2,400x" {
		t.Errorf("reads %q", got)
	}
	if got := idle().p50(); got != "> 23.0 s" {
		t.Errorf("the median of calls without an answer reads %q", got)
	}
	if got := hot.Against["tuned"].Rate; got.AtLeast {
		t.Errorf("%+v is exact", got)
	}
}

func TestSummarize_CallsOfDifferentSizeHaveNoTimesToCompare(t *testing.T) {
	r := Result{Rounds: []Round{{Meridian: sliceAt(8000, 30), Against: map[string]Slice{"naive": opponentAt(4000, 2)}}}}
	r.summarize(Row{Name: "batch", Load: Load{Batch: 500}})
	if c := r.Against["naive"]; c.P50 != 0 || c.Rate.Median != 2 {
		t.Errorf("%+v", c)
	}
}

func TestSuite_IsTheTable(t *testing.T) {
	rows := Suite(Load{Scenario: Zipf, Clients: 256, Accounts: 10_000, Batch: 7, Rate: 5, Duration: time.Second})
	names := []string{}
	for _, row := range rows {
		names = append(names, row.Name)
		if row.Load.Rate != 0 || row.Load.Validate() != nil {
			t.Errorf("%s: %+v", row.Name, row.Load)
		}
	}
	if want := []string{"uniform", "hot", "batch of 500", "one client"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// node is a whole server in this process, on a database of its own.
func node(t *testing.T, d dbtest.Database) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s := store.New(d.DB)
	c := commit.New(s, commit.Options{Metrics: commit.NewMetrics(registry)})
	svc := struct {
		*store.Store
		*commit.Committer
	}{s, c}
	server := httptest.NewServer(rpc.NewHandler(svc, rpc.Options{Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{})}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestBench_MeasuresAllSidesOfOneDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		url := node(t, d)
		svc := rpc.NewClient(NewWire(), url, connect.WithAcceptCompression("gzip", nil, nil))
		b := Bench{Books: Names("bench", 60), Meridian: Through(svc), Meter: NewMeter(http.DefaultClient, url)}
		if err := b.Books.Open(t.Context(), svc, "eu"); err != nil {
			t.Fatal(err)
		}
		if err := PrepareOpponents(t.Context(), d.AdminURL, b.Books, 0, strategies...); err != nil {
			t.Fatal(err)
		}
		for _, s := range strategies {
			b.Against = append(b.Against, NewOpponent(s, d.AdminURL, 2, b.Books))
		}
		var err error
		if b.Prober, err = OpenProber(t.Context(), d.AdminURL, b.Books); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Prober.conn.Close(t.Context()) })
		var said []string
		b.Say = func(line string) { said = append(said, line) }
		load := Load{Scenario: Uniform, Clients: 4, Accounts: 60, Batch: 1, Duration: time.Second, Seed: seed}
		batch := load
		batch.Batch = 20
		results, err := b.Run(t.Context(), []Row{{Name: "single", Load: load}, {Name: "batch", Load: batch}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			m := r.Meridian
			if m.Posted == 0 || m.Posted != m.Commands || m.Entries != 2*m.Posted || len(m.Errors) > 0 || len(m.Declined) > 0 {
				t.Errorf("%s: %+v", r.Name, m)
			}
			if m.Latency.P50 <= 0 || m.Latency.Max < m.Latency.P99 || m.Server == nil || m.Server.GroupsPerSecond <= 0 {
				t.Errorf("%s: %+v, %+v", r.Name, m.Latency, m.Server)
			}
			for _, s := range strategies {
				c := r.Against[s.Name]
				if c.Measured.Posted == 0 || c.Measured.Posted != c.Measured.Calls || len(c.Measured.Errors) > 0 || c.Rate.Median <= 0 || c.Rate.AtLeast {
					t.Errorf("%s: %s %+v", r.Name, s.Name, c)
				}
			}
			if r.Limits.Rows <= 0 || r.Use.Entries <= 0 {
				t.Errorf("%s: %+v, %+v", r.Name, r.Limits, r.Use)
			}
		}
		if len(said) != 2 || !strings.Contains(said[0], "round 1 of 1: single: ") {
			t.Errorf("said %q", said)
		}
		wantBalanced(t, svc, b.Books)
		wantConserved(t, d, 2*60, number(t, d, `SELECT count(*) FROM opponent_transfer`))
	})
}

// wantBalanced looks at what the load left.
func wantBalanced(t *testing.T, svc ledger.Service, b Books) {
	t.Helper()
	lines, err := svc.TrialBalance(t.Context(), b.Ledger)
	if err != nil || len(lines) != 1 || lines[0].PostedDebits != lines[0].PostedCredits {
		t.Errorf("trial balance: %+v, %v", lines, err)
	}
}
