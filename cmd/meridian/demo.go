package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/examples"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/importer"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/verify"
)

type demoFlags struct {
	local    localFlags
	berka    string
	rows     int
	clients  int
	accounts int
	duration time.Duration
	seed     uint64
	asJSON   bool
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Real transactions through three nodes, one of them killed, and the proof of the books",
		Long: `Start an engine and a server node for each region; import 39,333 real bank transactions (or generated ones of the same shape, where the
file is not there); let many clients move money through all nodes; kill a node with SIGKILL half-way, its clients going on at the others
with the same keys; and then prove the books: by meridian verify, and by what the clients were told, to the last unit. A consumer follows the
change stream all the while, the kill included, and has to have heard of every command once.

Exit code 0: everything agrees; 3: something is off.`,
		Example: "  meridian demo\n  meridian demo --engine postgresql --clients 32 --duration 5s --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.OutOrStdout()
			if f.asJSON {
				w = io.Discard
			}
			d := &demo{f: f, w: w}
			if err := d.run(cmd.Context()); err != nil {
				return err
			}
			if f.asJSON {
				if err := printJSON(cmd.OutOrStdout(), d.summary()); err != nil {
					return err
				}
			}
			if len(d.problems) > 0 {
				return silent{code: 3}
			}
			return nil
		},
	}
	f.local.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.berka, "berka", "../shared/data/berka/trans.asc", "file with the bank's transactions")
	flags.IntVar(&f.rows, "rows", 39_333, "transactions to generate where the file is not there")
	flags.IntVar(&f.clients, "clients", 96, "clients that move money at the same time")
	flags.IntVar(&f.accounts, "accounts", 500, "players in each ledger")
	flags.DurationVar(&f.duration, "duration", 10*time.Second, "how long they make up new commands")
	flags.Uint64Var(&f.seed, "seed", uint64(time.Now().UnixNano()), "of the workload; the same seed makes up the same commands") //nolint:gosec // a clock after 1970
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

// demo is one run and what came of it.
type demo struct {
	f        demoFlags
	w        io.Writer
	local    *local
	workload sim.Workload

	bank     id.Ledger // that the bank's transactions go to
	imported importer.Summary
	source   string
	history  *sim.History
	totals   sim.Totals
	witness  *sim.Witness
	killed   string
	report   verify.Report
	verdicts []sim.Verdict
	problems []string
	elapsed  time.Duration
}

const berkaLedger = id.Ledger("berka-cz")

func (d *demo) run(ctx context.Context) (err error) {
	started := time.Now()
	d.headline("Starting a cluster")
	if d.local, err = startLocal(ctx, d.f.local, nil, saying(d.w)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.local.stop()) }()
	for _, n := range d.local.nodes {
		fmt.Fprintf(d.w, "  node: %-18s %s  (process %d)\n", n.Region, n.URL, n.PID())
	}
	defer d.listen(ctx)()
	for _, step := range []func(context.Context) error{d.importBank, d.load, d.prove} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.elapsed = time.Since(started)
	d.print()
	return nil
}

func (d *demo) headline(text string) { fmt.Fprintf(d.w, "\n%s\n", styled(d.w, bold, text)) }

// importBank loads the bank's file through the API, and holds every account against the file.
func (d *demo) importBank(ctx context.Context) error {
	file, err := d.bankFile()
	if err != nil {
		return err
	}
	d.headline("Importing " + d.source)
	svc := d.local.client(0)
	home := defaultHome(d.local.topology)
	czk := []money.Asset{{Code: "CZK", Scale: 2}}
	if _, err := svc.CreateLedger(ctx, ledger.Ledger{ID: d.bank, Home: home, Assets: czk}); err != nil {
		return fmt.Errorf("open the bank's books: %w", err)
	}
	mapping, err := examples.FS.ReadFile("berka.yaml")
	if err != nil {
		return fmt.Errorf("read the mapping: %w", err)
	}
	m, err := importer.ParseMapping("berka.yaml", mapping)
	if err != nil {
		return err
	}
	d.imported, err = importer.Run(ctx, svc, m, bytes.NewReader(file), importer.Options{
		Ledger: d.bank, TotalBytes: int64(len(file)),
		Progress: progressTo(d.w),
		Reject:   func(r importer.Rejected) { d.problems = append(d.problems, "import: "+r.String()) },
	})
	if err != nil {
		return fmt.Errorf("import the bank's transactions: %w", err)
	}
	return d.checkBank(ctx, svc, file)
}

// bankFile reads the real file, or generates one of the same shape and says so.
func (d *demo) bankFile() ([]byte, error) {
	file, err := os.ReadFile(d.f.berka)
	if err == nil {
		d.bank = berkaLedger
		d.source = "39,333 real transactions of a Czech bank, 1993 to 1994"
		return file, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the bank's transactions: %w", err)
	}
	d.source = fmt.Sprintf("%d generated transactions (%s is not there)", d.f.rows, d.f.berka)
	d.bank = id.Ledger(fmt.Sprintf("generated-%d-%x", d.f.rows, d.f.seed)) // another run on the same data makes up other rows
	var generated bytes.Buffer
	if err := importer.Generate(&generated, d.f.rows, d.f.seed); err != nil {
		return nil, fmt.Errorf("generate transactions: %w", err)
	}
	return generated.Bytes(), nil
}

// load runs the clients, and kills a node when half of the time is over.
func (d *demo) load(ctx context.Context) error {
	d.workload = sim.Workload{Accounts: d.f.accounts, Hot: 8, Seed: d.f.seed}
	nodes, names := make([]ledger.Service, len(d.local.nodes)), make([]string, len(d.local.nodes))
	for i, n := range d.local.nodes {
		nodes[i], names[i] = d.local.client(i), n.Region
	}
	if err := d.local.openBooks(ctx, nodes[0]); err != nil {
		return err
	}
	for _, home := range d.local.topology.HomeNames() {
		d.workload.Ledgers = append(d.workload.Ledgers, ledgerOf(home))
	}
	if err := d.workload.Open(ctx, nodes[0]); err != nil {
		return err
	}
	d.headline(fmt.Sprintf("%d clients at %d nodes for %s, seed %d", d.f.clients, len(nodes), d.f.duration, d.f.seed))
	victim := d.local.nodes[1%len(d.local.nodes)]
	killed := make(chan error, 1)
	timer := time.AfterFunc(d.f.duration/2, func() { killed <- d.kill(victim) })
	defer timer.Stop()
	d.history = sim.Run(ctx, d.workload, sim.Ring(names, nodes), sim.Options{Clients: d.f.clients, Duration: d.f.duration, Reads: 0.1})
	d.totals = d.history.Totals(time.Second)
	if err := ctx.Err(); err != nil {
		return err
	}
	return <-killed
}
