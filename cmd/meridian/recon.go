package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/recon/statement"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

func reconCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "recon",
		Short: "Compare what providers say with the books",
		Long: `Import statements of providers, compare them with the books by reference, amount, asset and date, and close differences by adjustments that two
people agree on. These commands work on the database itself, so that a statement may be of any length; servers have the same as ReconService.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(reconImportCommand(), reconRunCommand(), reconShowCommand(), reconExportCommand(), reconProposeCommand(), reconApproveCommand(), reconRejectCommand())
	return cmd
}

// reconFlags are how these commands reach the books.
type reconFlags struct {
	url    string
	ledger string
	asJSON bool
}

func (f *reconFlags) register(cmd *cobra.Command) {
	databaseFlag(cmd, &f.url)
	cmd.Flags().StringVar(&f.ledger, "ledger", "", "the set of books")
}

// with opens the service for as long as fn runs.
func (f *reconFlags) with(ctx context.Context, fn func(s *recon.Service, l ledger.Ledger) error) error {
	name, err := id.ParseLedger(f.ledger)
	if err != nil {
		return fmt.Errorf("--ledger: %w", err)
	}
	registry := prometheus.NewRegistry()
	return withService(ctx, f.url, registry, func(svc service) error {
		l, err := svc.Ledger(ctx, name)
		if err != nil {
			return err
		}
		return fn(recon.NewService(svc.Store, svc, recon.NewMetrics(registry)), l)
	})
}

// decide has one person's word on what another proposed, and prints what came of it.
func (f *reconFlags) decide(
	cmd *cobra.Command, text string, decide func(*recon.Service, id.Ledger, recon.ResolutionID) (recon.Resolution, ledger.Outcome, error),
) error {
	key, err := id.ParseTransaction(text)
	if err != nil {
		return err
	}
	return f.with(cmd.Context(), func(s *recon.Service, l ledger.Ledger) error {
		r, outcome, err := decide(s, l.ID, recon.ResolutionID{Transaction: key})
		if err != nil {
			return err
		}
		if err := printResolution(cmd.OutOrStdout(), l, r, f.asJSON); err != nil {
			return err
		}
		if outcome.Decided == ledger.Declined {
			fmt.Fprintf(cmd.ErrOrStderr(), "the books declined it: %s\n", outcome.Reason)
			return silent{code: 6}
		}
		return nil
	})
}

func reconImportCommand() *cobra.Command {
	var f reconFlags
	var provider, format, mapping, reference string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "import --provider NAME FILE|-",
		Short: "Read a statement of a provider",
		Long: `Read a statement: CSV or JSON lines by a mapping (examples/recon/statement.yaml), or ISO 20022 camt.053.001.02 and 08. It is read whole or not at
all: first every line is looked at, and what is wrong is named by its line. The same file again is the statement that is there.`,
		Example: `  meridian recon import --ledger brand-eu --provider psp --map examples/recon/statement.yaml settlements.csv
  meridian recon import --ledger brand-eu --provider bank --format camt --reference account_servicer_reference camt053.xml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := statement.File{Ledger: id.Ledger(f.ledger), Provider: provider, Name: args[0], Format: statement.Format(format), MapName: mapping}
			if file.Format == "" {
				file.Format = formatOf(args[0])
			}
			if file.Reference = statement.CamtReference(reference); !slices.Contains(statement.CamtReferences, file.Reference) {
				return fmt.Errorf("--reference %s: want end_to_end_id, account_servicer_reference, transaction_id or instruction_id", reference)
			}
			if file.Format != statement.Camt {
				if mapping == "" {
					return fmt.Errorf("a statement in %s needs --map", file.Format)
				}
				var err error
				if file.Mapping, err = yamltree.ReadFile(mapping); err != nil {
					return err
				}
			}
			source, err := file.Source()
			if err != nil {
				return err
			}
			content, done, err := rereadable(cmd.Context(), args[0], cmd.InOrStdin())
			if err != nil {
				return err
			}
			defer done()
			var progress func(read, written int64)
			if !quiet && !f.asJSON {
				progress = func(read, written int64) {
					fmt.Fprintf(cmd.ErrOrStderr(), "\r%12d lines read %12d written", read, written)
				}
			}
			return f.with(cmd.Context(), func(s *recon.Service, _ ledger.Ledger) error {
				st, there, err := s.Import(cmd.Context(), source, content, progress)
				if progress != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "\r%48s\r", "")
				}
				if err != nil {
					return err
				}
				return printImported(cmd.OutOrStdout(), st, there, f.asJSON)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&provider, "provider", "", "whose statement it is")
	cmd.Flags().StringVar(&format, "format", "", "csv, jsonl or camt; left out: by the end of the name")
	cmd.Flags().StringVar(&mapping, "map", "", "mapping file, of csv and jsonl")
	cmd.Flags().StringVar(&reference, "reference", string(statement.EndToEnd), "what is the provider's reference in a camt file")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "no progress")
	jsonFlag(cmd, &f.asJSON)
	_ = cmd.MarkFlagRequired("provider")
	return cmd
}

func formatOf(name string) statement.Format {
	switch filepath.Ext(name) {
	case ".xml":
		return statement.Camt
	case ".jsonl", ".ndjson", ".json":
		return statement.JSONL
	}
	return statement.CSV
}

// rereadable opens a file that is read twice. What can not be, a pipe say, is copied to a temporary file first.
func rereadable(ctx context.Context, path string, stdin io.Reader) (io.ReadSeeker, func(), error) {
	source, err := openExport(ctx, path, stdin)
	if err != nil {
		return nil, nil, err
	}
	if file, regular := source.ReadCloser.(*os.File); regular {
		return file, func() { _ = file.Close() }, nil
	}
	defer source.Close()
	spool, err := os.CreateTemp("", "meridian-statement-*")
	if err != nil {
		return nil, nil, fmt.Errorf("keep the statement until it is read: %w", err)
	}
	done := func() {
		_ = spool.Close()
		_ = os.Remove(spool.Name())
	}
	_, err = io.Copy(spool, source)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("read the statement: %w", err)
	}
	return spool, done, nil
}

func reconRunCommand() *cobra.Command {
	var f reconFlags
	var provider, rules, from, to, asOf string
	var statements []string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "run --provider NAME --rules FILE",
		Short: "Compare statements with the books",
		Long: `Compare statements of a provider with the books, by rules such as examples/recon/rules.yaml. What is compared is the journal up to a minute ago, or up to
--as-of: so everything recorded before it is there, and the same run later finds the same. A snapshot that was compared before is compared again, and
the results have to be the same to the byte.

Exit code 0: nothing is open; 5: somebody has to look at something.`,
		Example: `  meridian recon run --ledger brand-eu --provider psp --rules examples/recon/rules.yaml
  meridian recon run --ledger brand-eu --provider psp --rules examples/recon/rules.yaml --from 2026-11-01 --to 2026-12-01 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := recon.Request{Ledger: id.Ledger(f.ledger), Provider: provider}
			var err error
			if q.Rules, err = recon.LoadRules(rules); err != nil {
				return err
			}
			for _, text := range statements {
				key, err := id.ParseTransaction(text)
				if err != nil {
					return fmt.Errorf("--statement: %w", err)
				}
				q.Statements = append(q.Statements, recon.StatementID{Transaction: key})
			}
			for _, t := range []struct {
				flag, text string
				into       *time.Time
			}{{"--from", from, &q.From}, {"--to", to, &q.To}, {"--as-of", asOf, &q.Cut}} {
				if *t.into, err = dayOrInstant(t.flag, t.text); err != nil {
					return err
				}
			}
			var progress func(int64)
			if !quiet && !f.asJSON {
				progress = func(results int64) { fmt.Fprintf(cmd.ErrOrStderr(), "\r%12d results", results) }
			}
			return f.with(cmd.Context(), func(s *recon.Service, _ ledger.Ledger) error {
				run, again, err := s.Run(cmd.Context(), q, progress)
				if progress != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "\r%24s\r", "")
				}
				if err != nil {
					return err
				}
				if err := printRun(cmd.OutOrStdout(), run, again, f.asJSON); err != nil {
					return err
				}
				if slices.ContainsFunc(run.Totals, func(t recon.Total) bool { return t.Open > 0 }) {
					return silent{code: 5}
				}
				return nil
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&provider, "provider", "", "whose statements to compare")
	cmd.Flags().StringVar(&rules, "rules", "", "file of rules")
	cmd.Flags().StringSliceVar(&statements, "statement", nil, "only this statement; may be given several times; left out: those of the period, or the newest")
	cmd.Flags().StringVar(&from, "from", "", "first day of the period, as in 2026-11-01; left out: of the statements")
	cmd.Flags().StringVar(&to, "to", "", "first day after it")
	cmd.Flags().StringVar(&asOf, "as-of", "", "the journal up to this recorded time, as in 2026-11-21T10:00:00Z; left out: a minute ago")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "no progress")
	jsonFlag(cmd, &f.asJSON)
	_ = cmd.MarkFlagRequired("provider")
	_ = cmd.MarkFlagRequired("rules")
	return cmd
}

// dayOrInstant reads a day, in UTC, or an instant; empty is none.
func dayOrInstant(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s %s: want a day as in 2026-11-01, or a time as in 2026-11-01T00:00:00Z", flag, text)
	}
	return t, nil
}

// findRun reads the id of a run; "latest" is the newest of the ledger.
func findRun(ctx context.Context, s *recon.Service, l ledger.Ledger, text string) (recon.Run, error) {
	if text == "latest" {
		runs, err := s.Store().Runs(ctx, l, "", 1)
		if err == nil && len(runs) == 0 {
			err = fmt.Errorf("ledger %s has no run yet", l.ID)
		}
		if err != nil {
			return recon.Run{}, err
		}
		return runs[0], nil
	}
	key, err := id.ParseTransaction(text)
	if err != nil {
		return recon.Run{}, err
	}
	return s.Store().Run(ctx, l, recon.RunID{Transaction: key})
}

func reconShowCommand() *cobra.Command {
	var f reconFlags
	var limit int
	cmd := &cobra.Command{
		Use:     "show [RUN|latest]",
		Short:   "Show runs, or what one of them found",
		Long:    "Without an argument, list the runs of a ledger, the newest first. With one, show its totals, what is open, and who proposed and decided what.",
		Example: "  meridian recon show --ledger brand-eu\n  meridian recon show --ledger brand-eu latest",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return fmt.Errorf("--limit %d: want 1 or more", limit)
			}
			return f.with(cmd.Context(), func(s *recon.Service, l ledger.Ledger) error {
				if len(args) == 0 {
					runs, err := s.Store().Runs(cmd.Context(), l, "", limit)
					if err != nil {
						return err
					}
					return printRuns(cmd.OutOrStdout(), runs, f.asJSON)
				}
				run, err := findRun(cmd.Context(), s, l, args[0])
				if err != nil {
					return err
				}
				return showRun(cmd.Context(), cmd.OutOrStdout(), s, l, run, limit, f.asJSON)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many runs, or results of each verdict")
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

func reconExportCommand() *cobra.Command {
	var f reconFlags
	var verdict, format string
	cmd := &cobra.Command{
		Use:   "export RUN|latest",
		Short: "Write the results of a run as CSV or JSON lines",
		Long:  "Write all results of a run, or those of one verdict, to standard output, in their order and in bounded memory.",
		Example: `  meridian recon export --ledger brand-eu latest --verdict missing_there
  meridian recon export --ledger brand-eu latest --format jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if verdict != "" && !slices.Contains(recon.Verdicts, recon.Verdict(verdict)) {
				return fmt.Errorf("--verdict %s: want one of %s", verdict, strings.Join(names(recon.Verdicts), ", "))
			}
			if format != "csv" && format != "jsonl" {
				return fmt.Errorf("--format %s: want csv or jsonl", format)
			}
			return f.with(cmd.Context(), func(s *recon.Service, l ledger.Ledger) error {
				run, err := findRun(cmd.Context(), s, l, args[0])
				if err != nil {
					return err
				}
				return exportRun(cmd.Context(), cmd.OutOrStdout(), s, l, run, recon.Verdict(verdict), format)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&verdict, "verdict", "", "only this one: "+strings.Join(names(recon.Verdicts), ", "))
	cmd.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	return cmd
}

func names[T ~string](all []T) []string {
	texts := make([]string, len(all))
	for i, one := range all {
		texts[i] = string(one)
	}
	return texts
}

func reconProposeCommand() *cobra.Command {
	var f reconFlags
	var p recon.Proposal
	var account, counter, attachment string
	cmd := &cobra.Command{
		Use:   "propose RUN|latest --result N",
		Short: "Propose an adjustment that closes a difference",
		Long: `Propose to close the difference of a result by a movement of exactly its amount, between an account of the provider and another one. Somebody else has to
approve it. The attachment is the document that supports it: its SHA-256 is kept, and stands in the audit trail.`,
		Example: "  meridian recon propose --ledger brand-eu latest --result 7 --actor alice --reason ticket-42 --attachment ticket.pdf " +
			"--account psp:clearing:eur --counter suspense:eur",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if p.Account, err = id.ParseAccount(account); err != nil {
				return fmt.Errorf("--account: %w", err)
			}
			if p.Counter, err = id.ParseAccount(counter); err != nil {
				return fmt.Errorf("--counter: %w", err)
			}
			if p.Attachment, err = hashFile(attachment); err != nil {
				return err
			}
			return f.with(cmd.Context(), func(s *recon.Service, l ledger.Ledger) error {
				run, err := findRun(cmd.Context(), s, l, args[0])
				if err != nil {
					return err
				}
				p.Ledger, p.Run = l.ID, run.ID
				r, err := s.Propose(cmd.Context(), p)
				if err != nil {
					return err
				}
				return printResolution(cmd.OutOrStdout(), l, r, f.asJSON)
			})
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.Int64Var(&p.Result, "result", 0, "number of the result")
	flags.StringVar(&p.Actor, "actor", "", "who proposes")
	flags.StringVar(&p.Reason, "reason", "", "why")
	flags.StringVar(&attachment, "attachment", "", "file that supports it")
	flags.StringVar(&account, "account", "", "account of the provider")
	flags.StringVar(&counter, "counter", "", "account on the other side")
	jsonFlag(cmd, &f.asJSON)
	for _, name := range []string{"result", "actor", "reason", "attachment", "account", "counter"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func hashFile(path string) (sum [sha256.Size]byte, err error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return sum, fmt.Errorf("read the attachment: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return sum, fmt.Errorf("read the attachment: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

func reconApproveCommand() *cobra.Command {
	var f reconFlags
	var actor string
	cmd := &cobra.Command{
		Use:   "approve RESOLUTION",
		Short: "Approve an adjustment that somebody else proposed",
		Long: `Approve a proposal: the adjustment is posted, under a key of the difference that it closes, so that it happens once. Whoever proposed it is refused, and
the attempt is kept. The same approval again posts what the first could not.

Exit code 0: it is posted; 6: the books declined it.`,
		Example: "  meridian recon approve --ledger brand-eu --actor bob 0b9c6a3e-5d5e-8a51-9d0a-3c5d1b6f2a11",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.decide(cmd, args[0], func(s *recon.Service, l id.Ledger, key recon.ResolutionID) (recon.Resolution, ledger.Outcome, error) {
				return s.Approve(cmd.Context(), l, key, actor)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&actor, "actor", "", "who approves")
	jsonFlag(cmd, &f.asJSON)
	_ = cmd.MarkFlagRequired("actor")
	return cmd
}

func reconRejectCommand() *cobra.Command {
	var f reconFlags
	var actor, reason string
	cmd := &cobra.Command{
		Use:     "reject RESOLUTION",
		Short:   "Reject an adjustment that somebody else proposed",
		Long:    "Reject a proposal for good; another one may follow.",
		Example: `  meridian recon reject --ledger brand-eu --actor bob --reason wrong-account 0b9c6a3e-5d5e-8a51-9d0a-3c5d1b6f2a11`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.decide(cmd, args[0], func(s *recon.Service, l id.Ledger, key recon.ResolutionID) (recon.Resolution, ledger.Outcome, error) {
				r, err := s.Reject(cmd.Context(), l, key, actor, reason)
				return r, ledger.Outcome{}, err
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&actor, "actor", "", "who rejects")
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	jsonFlag(cmd, &f.asJSON)
	_ = cmd.MarkFlagRequired("actor")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}
