package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/verify"
	"github.com/meridian-ledger/meridian/schema"
)

func verifyCommand() *cobra.Command {
	var url string
	var ledgers []string
	var asJSON, quiet bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove the books",
		Long: `Prove on one consistent snapshot, on a live system and without locking anything, that the books are right: debits equal credits, every
balance is the sum of its entries, no sequence has a gap, holds add up to what is pending, no key was used twice, and the journal says
exactly what stands in the accounts.

Exit code 0: the books are proven; 3: something is wrong, and it says what.`,
		Example: "  meridian verify --database-url postgresql://meridian@localhost:26257/ledger\n  meridian verify --ledger brand-eu --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(url); err != nil {
				return err
			}
			o := verify.Options{}
			for _, text := range ledgers {
				l, err := id.ParseLedger(text)
				if err != nil {
					return fmt.Errorf("--ledger: %w", err)
				}
				o.Ledgers = append(o.Ledgers, l)
			}
			if !quiet && !asJSON {
				o.Progress = func(check string, rows int64) { fmt.Fprintf(cmd.ErrOrStderr(), "\r%-24s %12d rows", check, rows) }
			}
			d, err := db.Open(cmd.Context(), db.Options{URL: url, Writers: 1, Readers: 2, Name: "meridian verify"})
			if err != nil {
				return err
			}
			defer d.Close()
			if err := schema.Check(cmd.Context(), d.Reader()); err != nil {
				return err
			}
			report, err := verify.Run(cmd.Context(), d, o)
			if err != nil {
				return err
			}
			if o.Progress != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "\r%42s\r", "")
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.WriteText(cmd.OutOrStdout())
			}
			if err == nil && !report.OK() {
				return silent{code: 3}
			}
			return err
		},
	}
	databaseFlag(cmd, &url)
	cmd.Flags().StringSliceVar(&ledgers, "ledger", nil, "only this ledger; may be given several times")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "no progress")
	jsonFlag(cmd, &asJSON)
	return cmd
}
