package main

import (
	"crypto/rand"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func transferCommand() *cobra.Command {
	var f clientFlags
	var key, reference, reason string
	var dryRun, asJSON bool
	cmd := &cobra.Command{
		Use:   "transfer FROM TO AMOUNT ASSET",
		Short: "Move money between two accounts",
		Long: `Move money between two accounts. The amount is in minor units (5000 is 50.00 EUR).

A repeat with the same --key gets the same answer and moves nothing again: give one wherever a script might run twice. Without it each call
is a new transfer, and the key that was made up is printed.

Exit code 0: posted; 2: declined by the books; 1: anything else.`,
		Example: "  meridian transfer acc_42 acc_43 5000 EUR --ledger brand-eu --key payout-2026-11-20-0001",
		Args:    cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			c, err := transferOf(name, args, key)
			if err != nil {
				return err
			}
			c.Reference, c.Reason = reference, id.Reason(reason)
			results, err := svc.Execute(cmd.Context(), ledger.Batch{Commands: []ledger.Command{c}, DryRun: dryRun})
			if err != nil {
				return err
			}
			if err := results[0].Err; err != nil {
				return err
			}
			return printOutcome(cmd.OutOrStdout(), results[0].Outcome, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&key, "key", "", "idempotency key; made up where it is left out")
	cmd.Flags().StringVar(&reference, "reference", "", "the provider's or your own reference")
	cmd.Flags().StringVar(&reason, "reason", "", "why the money moves, as in payout")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would happen, and write nothing")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func transferOf(name id.Ledger, args []string, key string) (ledger.Command, error) {
	c := ledger.Command{Kind: ledger.KindTransfer, Ledger: name, Amount: &ledger.Money{}}
	if key == "" {
		key = "cli:" + rand.Text()
	}
	var err error
	if c.Key, err = id.ParseKey(key); err != nil {
		return c, fmt.Errorf("--key: %w", err)
	}
	if c.Account, err = id.ParseAccount(args[0]); err != nil {
		return c, err
	}
	if c.Counter, err = id.ParseAccount(args[1]); err != nil {
		return c, err
	}
	if c.Amount.Minor, err = money.Parse(args[2]); err != nil {
		return c, err
	}
	c.Amount.Asset, err = money.ParseCode(args[3])
	return c, err
}

// outcomeView is what a person or a script reads of an outcome.
type outcomeView struct {
	Transaction string            `json:"transaction_id"`
	Key         string            `json:"idempotency_key"`
	Outcome     string            `json:"outcome"`
	Reason      string            `json:"reason,omitempty"`
	Detail      map[string]string `json:"detail,omitempty"`
	Replayed    bool              `json:"replayed"`
	DryRun      bool              `json:"dry_run,omitempty"`
}

func printOutcome(w io.Writer, o ledger.Outcome, asJSON bool) error {
	if asJSON {
		view := outcomeView{o.Transaction.String(), string(o.Key), string(o.Decided), string(o.Reason), o.Detail, o.Replayed, o.DryRun}
		if err := printJSON(w, view); err != nil {
			return err
		}
	} else {
		again := ""
		if o.Replayed {
			again = " (answered before)"
		}
		if o.DryRun {
			again = " (dry run: nothing was written)"
		}
		fmt.Fprintf(w, "%s %s%s  transaction %s  key %s\n", o.Kind, o.Decided, again, o.Transaction, o.Key)
		if o.Decided == ledger.Declined {
			fmt.Fprintf(w, "  %s %v\n", o.Reason, o.Detail)
		}
	}
	if o.Decided == ledger.Declined {
		return silent{code: 2}
	}
	return nil
}
