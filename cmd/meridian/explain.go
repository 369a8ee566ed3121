package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/explain"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func explainCommand() *cobra.Command {
	var f eventFlags
	var ledger string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain TEXT",
		Short: "Tell everything that is stored about a payment or a transaction",
		Long: `Tell one story, in the order of time, of everything that is stored about a payment, a transaction or a hold: what was asked for, every state with
its time and cause, every refusal with its reason, what providers sent, where the money stands, where the change stream has it, what statements say
of it, and what is still awaited of whom. It works for what failed as for what went well.

TEXT is the id of a payment, a transaction or a hold, an idempotency key, a reference, the reference of a provider, a trace id, or PROVIDER/EVENT and
PROVIDER/REFERENCE for what a provider sent. A trace id is found moments after the fact. Where TEXT leads to several things, each has a line: ask for
one by its id. Bodies that providers sent are never shown here.

  ✓ accepted   ✗ refused   … awaited   · a fact

Exit code 0: a story; 2: several things, a line each; 1: anything else, as when there is nothing.`,
		Example: `  meridian explain dep-1
  meridian explain 5f2b8c1e-0d5a-8c43-9a35-d2c94ed1a001 --ledger brand-eu --json
  meridian explain acme/evt_1`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := explain.Query{Text: args[0]}
			if ledger != "" {
				var err error
				if q.Ledger, err = id.ParseLedger(ledger); err != nil {
					return fmt.Errorf("--ledger: %w", err)
				}
			}
			all, err := openEach(&f, rpc.NewExplainClient)
			if err != nil {
				return err
			}
			return askEach(all, func(node *rpc.ExplainClient) error {
				answer, err := node.Explain(cmd.Context(), q)
				if err != nil {
					return err
				}
				if asJSON {
					err = printJSON(cmd.OutOrStdout(), answer)
				} else {
					err = answer.WriteText(cmd.OutOrStdout())
				}
				if err == nil && answer.Story == nil {
					err = silent{code: 2}
				}
				return err
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&ledger, "ledger", "", "the set of books; left out: all")
	jsonFlag(cmd, &asJSON)
	return cmd
}
