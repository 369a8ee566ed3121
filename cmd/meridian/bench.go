package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/bench"
	"github.com/meridian-ledger/meridian/internal/id"
)

type benchFlags struct {
	scenario  string
	clients   int
	accounts  int
	batch     int
	rate      float64
	duration  time.Duration
	warmUp    time.Duration
	rounds    int
	against   []string
	naivePool int
	tunedPool int
	suite     bool
	seed      uint64
	protocol  string
	servers   []string
	nodes     int
	serveArgs []string
	url       string
	engine    string
	dir       string
	asJSON    bool
	stream    bool
}

func benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a ledger under load, next to a straightforward program on the same database",
		Long: `Put a load on server nodes and report commands a second, latencies, what the servers used, and how far that is from what the database
itself can do. It brings its own durable engine and server, unless --server or --database-url name others.

Closed loop: --clients callers, each of which waits for its answer before it calls again. Open loop (--rate): calls are due at fixed times,
and a latency begins when its call was due, so that a stall counts for everybody it kept waiting.

--against takes turns with programs that do each transfer in one SERIALIZABLE transaction, on the same database with the same transfers, and
reports ratios of neighbouring slices. naive is what one writes first with pgx: plain reads, and the same again at once when the database
could not serialize it. tuned locks both accounts in the order of their ids, pauses before it repeats, and gets the best pool of those it
tries. --suite measures the whole table of docs/benchmarks.md against both.

The load goes into a new ledger, bench-…, which stays: a ledger forgets nothing. Point it at a database for measurements only.`,
		Example: `  meridian bench --scenario hot --against naive,tuned
  meridian bench --rate 2000 --duration 30s --json
  meridian bench --server http://10.0.0.1:7070,http://10.0.0.2:7070 --clients 512 --batch 100
  meridian bench --suite`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.stream {
				return runBenchStream(cmd, f)
			}
			if f.suite && !cmd.Flags().Changed("duration") {
				f.duration = 5 * time.Second
			}
			if f.suite && len(f.against) == 0 {
				f.against = []string{bench.Naive.Name, bench.Tuned.Name}
			}
			if !cmd.Flags().Changed("rounds") && len(f.against) > 0 {
				f.rounds = 3
			}
			report, err := measure(cmd.Context(), f, saying(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), report)
			}
			return report.WriteText(cmd.OutOrStdout())
		},
	}
	f.register(cmd)
	return cmd
}

func (f *benchFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.scenario, "scenario", "uniform", "uniform, zipf, hot (4 accounts) or mixed (every kind of money command)")
	flags.IntVar(&f.clients, "clients", 256, "callers at once")
	flags.IntVar(&f.accounts, "accounts", 10_000, "accounts that take part")
	flags.IntVar(&f.batch, "batch", 1, "commands a call; more than 1 are a PostBatch")
	flags.Float64Var(&f.rate, "rate", 0, "commands a second, whatever the answers take (open loop); 0: as fast as answers come")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "measured window of each round (5s in a suite; at least 20s for naive on hot accounts)")
	flags.DurationVar(&f.warmUp, "warm-up", time.Second, "load before each window")
	flags.IntVar(&f.rounds, "rounds", 1, "windows; 3 in comparisons")
	flags.StringSliceVar(&f.against, "against", nil, "naive, tuned or both: take turns with one SERIALIZABLE transaction per transfer")
	flags.IntVar(&f.naivePool, "naive-pool", 90, "connections of naive: nearly all of the 100 that PostgreSQL allows by default")
	flags.IntVar(&f.tunedPool, "tuned-pool", 0, "connections of tuned; 0: try 4 to 64 on uniform transfers and take the best")
	flags.BoolVar(&f.suite, "suite", false, "the whole table of docs/benchmarks.md")
	flags.BoolVar(&f.stream, "stream", false, "measure how long it takes until what was answered is in the stream, delivered to a webhook, and searchable; with --rate, or 500")
	flags.Uint64Var(&f.seed, "seed", 0, "decides every command of the run; 0: drawn, and printed")
	flags.StringVar(&f.protocol, "protocol", "connect", "connect (HTTP/1.1), h2 (Connect over cleartext HTTP/2) or grpc")
	flags.StringSliceVar(&f.servers, "server", nil, "base URLs of running server nodes; clients spread over them")
	flags.IntVar(&f.nodes, "servers", 1, "server nodes to start, where none are named")
	flags.StringSliceVar(&f.serveArgs, "serve-args", nil, "more flags for the nodes it starts, as in --lanes=4,--max-group=256")
	databaseFlag(cmd, &f.url)
	flags.StringVar(&f.engine, "engine", "", "cockroachdb or postgresql; left out: the best that this machine has")
	flags.StringVar(&f.dir, "data-dir", "", "where its own engine keeps its data; left out: a temporary directory")
	jsonFlag(cmd, &f.asJSON)
}

func (f *benchFlags) load() (bench.Load, error) {
	scenario, err := bench.ParseScenario(f.scenario)
	if err != nil {
		return bench.Load{}, err
	}
	l := bench.Load{
		Scenario: scenario, Clients: f.clients, Accounts: f.accounts, Batch: f.batch, Rate: f.rate, WarmUp: f.warmUp, Duration: f.duration,
		Seed: f.seed,
	}
	against := len(f.against) > 0
	switch {
	case against && scenario == bench.Mixed:
		return l, errors.New("--scenario mixed: the programs of --against know transfers alone")
	case against && len(f.servers) > 0 && f.url == "":
		return l, errors.New("the programs of --against need the --database-url of the servers")
	case f.rounds < 1 || f.rounds > 100:
		return l, fmt.Errorf("--rounds %d: want 1 to 100", f.rounds)
	case f.nodes < 1 || f.nodes > 16:
		return l, fmt.Errorf("--servers %d: want 1 to 16", f.nodes)
	case f.naivePool < 1 || f.naivePool > 150:
		return l, fmt.Errorf("--naive-pool %d: want 1 to 150", f.naivePool)
	case f.tunedPool < 0 || f.tunedPool > 150:
		return l, fmt.Errorf("--tuned-pool %d: want 0 to 150", f.tunedPool)
	}
	return l, l.Validate()
}

// measure does all of it and leaves nothing running.
func measure(ctx context.Context, f benchFlags, say func(string)) (report bench.Report, err error) {
	for f.seed == 0 {
		f.seed = rand.Uint64()
	}
	load, err := f.load()
	if err != nil {
		return report, err
	}
	strategies, err := bench.ParseStrategies(f.against)
	if err != nil {
		return report, fmt.Errorf("--against: %w", err)
	}
	target, err := f.open(ctx, say)
	defer func() { err = errors.Join(err, target.stop()) }()
	if err != nil {
		return report, err
	}
	b := bench.Bench{
		Books: bench.Names(id.Ledger(fmt.Sprintf("bench-%x", time.Now().UnixNano())), f.accounts), Meter: target.meter,
		Meridian: bench.Through(target.services...), Say: say,
	}
	say(fmt.Sprintf("books: %d accounts in %s, seed %d", f.accounts, b.Books.Ledger, f.seed))
	if err := b.Books.Open(ctx, target.services[0], benchHome); err != nil {
		return report, err
	}
	report = bench.Report{
		StartedAt: time.Now().UTC(), Version: versionText(), Engine: target.engine, Servers: len(target.services), Protocol: f.protocol,
		Machine: bench.Machine{System: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}, Seed: f.seed,
	}
	if len(strategies) > 0 {
		defer func() {
			err = errors.Join(err, closing(ctx, func(ctx context.Context) error { return bench.DropOpponents(ctx, target.url) }))
		}()
		if b.Against, err = f.opponents(ctx, b.Books, target.url, load, strategies, say); err != nil {
			return report, err
		}
		report.Against = b.Against
	}
	if target.url != "" {
		if b.Prober, err = bench.OpenProber(ctx, target.url, b.Books); err != nil {
			return report, err
		}
		defer func() { err = errors.Join(err, closing(ctx, b.Prober.Close)) }()
	}
	rows := []bench.Row{{Name: f.scenario, Load: load}}
	if f.suite {
		rows = bench.Suite(load)
	}
	if report.Rows, err = b.Run(ctx, rows, f.rounds); err != nil {
		return report, err
	}
	report.HotOfUniform = bench.HotOfUniform(report.Rows)
	return report, nil
}

// past is how many thousands of transfers the tables of opponents hold before the first.
const past = 50

// opponents prepares the programs to compare with. A program has one pool, whatever it is used for: tuned has the best for many clients on
// many accounts.
func (f *benchFlags) opponents(
	ctx context.Context, b bench.Books, url string, load bench.Load, strategies []bench.Strategy, say func(string),
) ([]*bench.Opponent, error) {
	if err := bench.PrepareOpponents(ctx, url, b, past, strategies...); err != nil {
		return nil, err
	}
	pools := map[string]int{bench.Naive.Name: f.naivePool, bench.Tuned.Name: f.tunedPool}
	var all []*bench.Opponent
	for _, s := range strategies {
		o := bench.NewOpponent(s, url, pools[s.Name], b)
		if o.Connections == 0 {
			say(fmt.Sprintf("%s: trying pools", s.Name))
			load.Scenario, load.Batch, load.Rate = bench.Uniform, 1, 0
			load.Duration = min(load.Duration, 2*time.Second)
			if err := o.Fit(ctx, load, b, 4, 8, 16, 32, 64); err != nil {
				return nil, err
			}
		}
		say(fmt.Sprintf("%s: %d connections", s.Name, o.Connections))
		all = append(all, o)
	}
	return all, nil
}

// closing gives an ending time of its own: the run may be over because somebody pressed ctrl-C.
func closing(ctx context.Context, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return end(ctx)
}

const benchHome id.Home = "eu"
