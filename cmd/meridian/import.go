package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/importer"
)

func importCommand() *cobra.Command {
	var f clientFlags
	var mapping string
	var strict, asJSON, quiet bool
	var batch int
	cmd := &cobra.Command{
		Use:   "import --map FILE CSV|-",
		Short: "Load the export of a bank or a payment provider",
		Long: `Read a CSV file row by row through a mapping file, which says what each column means: amounts, dates, accounts and counter accounts, which
are opened on the fly. examples/ has mappings to start from. The file may be a pipe, or - for standard input.

The id of a row becomes its idempotency key, so an import can be interrupted and run again, and a second run changes nothing. A row that
is rejected is named with its line, and the import goes on; --strict ends at the first one.

Exit code 0: all rows are in the books; 4: some were rejected; 1: it did not get to the end.`,
		Example: `  meridian import --map examples/berka.yaml --ledger berka-cz ../shared/data/berka/trans.asc
  zcat payouts.csv.gz | meridian import --map psp.yaml --ledger shop-eu -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			m, err := importer.LoadMapping(mapping)
			if err != nil {
				return err
			}
			file, err := openExport(cmd.Context(), args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer file.Close()
			o := importer.Options{Ledger: name, Strict: strict, Batch: batch, TotalBytes: file.size}
			o.Reject = func(r importer.Rejected) { fmt.Fprintln(cmd.ErrOrStderr(), r) }
			if !quiet && !asJSON {
				o.Progress = progressTo(cmd.ErrOrStderr())
			}
			summary, err := importer.Run(cmd.Context(), svc, m, file, o)
			return finishImport(cmd.OutOrStdout(), summary, err, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&mapping, "map", "", "mapping file")
	cmd.Flags().BoolVar(&strict, "strict", false, "end at the first row that is rejected")
	cmd.Flags().IntVar(&batch, "batch", 500, "most commands sent at once, up to 1000")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "no progress")
	jsonFlag(cmd, &asJSON)
	_ = cmd.MarkFlagRequired("map")
	return cmd
}

// progressTo shows how far an import is: a line that renews itself for a person, and a line every tenth of the file for a log.
func progressTo(w io.Writer) func(importer.Progress) {
	watched, tenths := terminal(w), int64(0)
	return func(p importer.Progress) {
		share, done := "", p.TotalBytes > 0 && p.Bytes >= p.TotalBytes
		if p.TotalBytes > 0 {
			share = fmt.Sprintf("%3d %%  ", 100*p.Bytes/p.TotalBytes)
		}
		line := fmt.Sprintf("%s%d rows  %d posted  %d there already  %d rejected  %.0f rows/s", share, p.Rows, p.Posted, p.Replayed, p.Rejected, p.Rate)
		switch tenth := 10 * p.Bytes / max(p.TotalBytes, 1); {
		case watched && done:
			fmt.Fprintf(w, "\r  %s \n", line)
		case watched:
			fmt.Fprintf(w, "\r  %s ", line)
		case p.TotalBytes > 0 && tenth > tenths:
			tenths = tenth
			fmt.Fprintln(w, "  "+line)
		}
	}
}

// importView is what a script reads of an import.
type importView struct {
	Rows      int64                 `json:"rows"`
	Posted    int64                 `json:"posted"`
	Replayed  int64                 `json:"replayed"`
	Rejected  int64                 `json:"rejected"`
	Skipped   int64                 `json:"skipped"`
	Reasons   map[errs.Reason]int64 `json:"reasons,omitempty"` // of the rejected rows
	Opened    int64                 `json:"accounts_opened"`
	Retries   int64                 `json:"retries"`
	Line      int                   `json:"line"` // of the file, up to which all rows have an answer
	Bytes     int64                 `json:"bytes"`
	Seconds   float64               `json:"seconds"`
	PerSecond float64               `json:"rows_per_second"`
}

func finishImport(w io.Writer, s importer.Summary, failed error, asJSON bool) error {
	if asJSON {
		view := importView{
			Rows: s.Rows, Posted: s.Posted, Replayed: s.Replayed, Rejected: s.Rejected, Skipped: s.Skipped, Reasons: s.Reasons, Opened: s.Opened,
			Retries: s.Retries, Line: s.Line, Bytes: s.Bytes, Seconds: s.Elapsed.Seconds(), PerSecond: s.Rate(),
		}
		if err := printJSON(w, view); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w, "%d rows: %d posted, %d there already, %d rejected, %d skipped; %d accounts opened; %s, %.0f rows/s\n",
			s.Rows, s.Posted, s.Replayed, s.Rejected, s.Skipped, s.Opened, s.Elapsed.Round(time.Millisecond), s.Rate())
	}
	if failed != nil {
		return fmt.Errorf("up to line %d every row has its answer; run the same command again to go on: %w", s.Line, failed)
	}
	if s.Rejected > 0 {
		return silent{code: 4}
	}
	return nil
}
