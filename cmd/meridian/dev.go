package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/topology"
)

func devCommand() *cobra.Command {
	var f localFlags
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a local cluster, with lines to copy",
		Long: `Start a database engine and one server node for each region of the topology, on 127.0.0.1:7070, 7071 and 7072, and keep them running until
ctrl-C. The engine is the one of --database-url; else CockroachDB (COCKROACH_BINARY, the PATH, its official download, Docker); else
PostgreSQL. It says which it took, and why.

There is a ledger for each home (brand-eu, brand-us, brand-apac), and in brand-eu, the default ledger, the accounts acc_42 with
1,000.00 EUR and acc_43.`,
		Example: "  meridian dev\n  meridian dev --engine postgresql --data-dir ~/meridian",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return dev(cmd.Context(), f, cmd.OutOrStdout()) },
	}
	f.register(cmd)
	return cmd
}

func dev(ctx context.Context, f localFlags, w io.Writer) error {
	say := saying(w)
	t, err := loadTopology(f.topology)
	if err != nil {
		return err
	}
	l, err := startLocal(ctx, f, devPorts, say, "--default-ledger", string(ledgerOf(defaultHome(t))))
	if err != nil {
		return err
	}
	if err := l.furnish(ctx); err != nil {
		return errors.Join(err, l.stop())
	}
	l.invite(w)
	<-ctx.Done()
	fmt.Fprintln(w, "\nstopping")
	return l.stop()
}

// furnish opens ledgers and two accounts, one of them with money. It may run any number of times on the same data.
func (l *local) furnish(ctx context.Context) error {
	svc := l.client(0)
	if err := l.openBooks(ctx, svc); err != nil {
		return err
	}
	name := l.defaultLedger()
	commands := []ledger.Command{
		{Kind: ledger.KindOpen, Ledger: name, Key: "open:acc_42", Account: "acc_42", Terms: wallet()},
		{Kind: ledger.KindOpen, Ledger: name, Key: "open:acc_43", Account: "acc_43", Terms: wallet()},
		{
			Kind: ledger.KindCredit, Ledger: name, Key: "dev:first-deposit", Account: "acc_42", Reason: "deposit",
			Amount: &ledger.Money{Minor: money.FromInt64(100_000), Asset: "EUR"},
		},
	}
	results, err := svc.Execute(ctx, ledger.Batch{Commands: commands})
	if err != nil {
		return fmt.Errorf("open the accounts: %w", err)
	}
	for _, r := range results {
		if r.Err != nil || r.Outcome.Decided != ledger.Posted {
			return fmt.Errorf("open the accounts: %s %s: %w", r.Outcome.Kind, r.Outcome.Reason, r.Err)
		}
	}
	return nil
}

func wallet() *ledger.Terms {
	return &ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{})}
}

// defaultHome is eu, where the topology has it, and otherwise its first home.
func defaultHome(t topology.Topology) id.Home {
	homes := t.HomeNames()
	if slices.Contains(homes, "eu") {
		return "eu"
	}
	return homes[0]
}

func (l *local) defaultLedger() id.Ledger { return ledgerOf(defaultHome(l.topology)) }

// invite prints addresses and lines that work as they stand.
func (l *local) invite(w io.Writer) {
	fmt.Fprintln(w)
	for _, n := range l.nodes {
		fmt.Fprintf(w, "  %-20s %s   (/readyz, /metrics; log %s)\n", n.Region, n.URL, n.Log)
	}
	first := l.nodes[0].URL
	address := first[len("http://"):]
	fmt.Fprintf(w, `
Try it:

  curl -s %[1]s/v1/wallet/debit -H 'X-Idempotency-Key: debit_pi_001' -H 'X-Trace-Id: tr_a1b2' \
    -d '{"account_id":"acc_42","amount":{"minor_units":5000,"currency":"EUR"},"reason":"payout","reference_id":"po_001"}'

  grpcurl -plaintext -d '{"terms":{"idempotency_key":"transfer_001"},"from_account_id":"acc_42","to_account_id":"acc_43","amount":{"minor_units":"2500","currency":"EUR"}}' \
    %[2]s meridian.ledger.v1.TransactionService/Transfer

  buf curl --http2-prior-knowledge -d '{"account_id":"acc_42"}' %[1]s/meridian.ledger.v1.QueryService/GetBalance

ctrl-C ends it.
`, first, address)
}
