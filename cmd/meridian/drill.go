package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	drills "github.com/meridian-ledger/meridian/chaos"
	"github.com/meridian-ledger/meridian/internal/drill"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
)

func drillCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Game days: a load in every region, faults on a timeline, and the proof afterwards",
		Long: `A drill starts a deployment on this machine (or aims at one that runs already), lets many clients of every region move money, breaks something,
and then proves what was promised: no acknowledged command lost, none doubled, no answer changed, every event there, and how long each region was
without service. docs/gameday.md tells how a team runs one; chaos/README.md is the reference of the stories.`,
		Example: `  meridian drill list
  meridian drill run server_loss
  meridian drill run region_loss --engine cockroachdb --report evidence/
  meridian drill run --quick
  meridian drill compare monday/report.json friday/report.json`,
	}
	cmd.AddCommand(drillListCommand(), drillShowCommand(), drillRunCommand(), drillCompareCommand())
	return cmd
}

// loadStory reads a shipped drill by name, or a file.
func loadStory(name string) (drill.Story, error) {
	if filepath.Ext(name) == "" {
		return drill.LoadStory(drills.FS, name)
	}
	data, err := os.ReadFile(name) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return drill.Story{}, fmt.Errorf("read the drill: %w", err)
	}
	return drill.Parse(filepath.Base(name), data)
}

// stories are all that ship.
func stories() ([]drill.Story, error) {
	names, err := drill.Names(drills.FS)
	if err != nil {
		return nil, err
	}
	all := make([]drill.Story, len(names))
	for i, name := range names {
		if all[i], err = drill.LoadStory(drills.FS, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// drillLine is a drill in a list.
type drillLine struct {
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Why      string   `json:"why"`
	Engines  []string `json:"engines"`
	Quick    []string `json:"quick"`
	Topology string   `json:"topology"`
	Seconds  float64  `json:"load_seconds"`
	Steps    []string `json:"steps"`
}

func lineOf(s drill.Story) drillLine {
	l := drillLine{
		Name: s.Name, Title: s.Title, Why: s.Why, Engines: s.Engines, Quick: append([]string{}, s.Quick...), Topology: s.Topology, Seconds: s.Load.Duration.Seconds(),
	}
	for _, step := range s.Steps {
		said := fmt.Sprintf("%s: %s", step.At, step.Text)
		if step.For > 0 {
			said += fmt.Sprintf(", for %s", step.For)
		}
		l.Steps = append(l.Steps, said)
	}
	return l
}

func drillListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the drills that ship", Args: cobra.NoArgs, Example: "  meridian drill list\n  meridian drill list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := stories()
			if err != nil {
				return err
			}
			if asJSON {
				lines := make([]drillLine, len(all))
				for i, s := range all {
					lines[i] = lineOf(s)
				}
				return printJSON(cmd.OutOrStdout(), lines)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "DRILL\tWHAT HAPPENS\tENGINES\tQUICK\tLOAD")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.Title, strings.Join(s.Engines, ", "), strings.Join(s.Quick, ", "), s.Load.Duration)
			}
			return w.Flush()
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func drillShowCommand() *cobra.Command {
	var asJSON, asYAML bool
	cmd := &cobra.Command{
		Use: "show NAME|FILE.yaml", Short: "Tell the story of a drill", Args: cobra.ExactArgs(1),
		Example: "  meridian drill show region_loss\n  meridian drill show region_loss --yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := loadStory(args[0])
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			switch {
			case asJSON:
				return printJSON(w, lineOf(s))
			case asYAML:
				_, err := fmt.Fprint(w, s.Text)
				return err
			}
			fmt.Fprintf(w, "%s: %s\n\n%s\n\n", s.Name, s.Title, s.Why)
			l := s.Load
			fmt.Fprintf(w, "  engines   %s\n  topology  %s, %d database nodes and %d servers in each region\n", strings.Join(s.Engines, ", "), s.Topology, s.Databases, s.Servers)
			fmt.Fprintf(w, "  load      %d clients in each region, %d accounts in each ledger, %s\n", l.Clients, l.Accounts, l.Duration)
			for _, engine := range s.Engines {
				if deposits, withdrawals := s.Paying.Deposits[engine], s.Paying.Withdrawals[engine]; deposits+withdrawals > 0 {
					fmt.Fprintf(w, "  payments  %d deposits and %d withdrawals in each home (%s)\n", deposits, withdrawals, engine)
				}
			}
			fmt.Fprintln(w)
			for _, step := range lineOf(s).Steps {
				fmt.Fprintf(w, "  %s\n", step)
			}
			for _, r := range s.Recovery {
				moment, where := "after", "everywhere"
				if r.FromEnd {
					moment = "after the end of"
				}
				if len(r.Regions) > 0 {
					where = "in " + strings.Join(r.Regions, ", ")
				}
				for _, engine := range s.Engines {
					if within, found := r.Within[engine]; found {
						fmt.Fprintf(w, "  99 %% of requests succeed again within %s %s %s, %s (%s)\n", within, moment, r.Step, where, engine)
					}
				}
			}
			for _, engine := range s.Engines {
				if within, found := s.Paying.Within[engine]; found {
					fmt.Fprintf(w, "  every payment has ended within %s (%s)\n", within, engine)
				}
			}
			return nil
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&asYAML, "yaml", false, "print the file, to change and run it")
	return cmd
}

// errNoReport is what a person hears who compares something else.
var errNoReport = errors.New("name the report.json of a drill, or the directory that holds it")

func readReport(path string) (evidence.Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return evidence.Report{}, fmt.Errorf("read a report: %w", err)
	}
	if info.IsDir() {
		path = filepath.Join(path, "report.json")
	}
	f, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return evidence.Report{}, fmt.Errorf("%s: %w", path, errNoReport)
	}
	if err != nil {
		return evidence.Report{}, fmt.Errorf("read a report: %w", err)
	}
	defer f.Close()
	r, err := evidence.Read(f)
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func drillCompareCommand() *cobra.Command {
	var asJSON bool
	var page string
	cmd := &cobra.Command{
		Use: "compare A B", Short: "Two reports side by side: are we getting faster?", Args: cobra.ExactArgs(2),
		Long:    "Compare two reports of a drill. A and B are report.json files, or the directories that hold them. Exit code 0, whatever the comparison says.",
		Example: "  meridian drill compare monday/ friday/\n  meridian drill compare a/report.json b/report.json --html difference.html",
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := readReport(args[0])
			if err != nil {
				return err
			}
			b, err := readReport(args[1])
			if err != nil {
				return err
			}
			c := evidence.Compare(a, b)
			if page != "" {
				html, err := c.HTML()
				if err != nil {
					return err
				}
				if err := os.WriteFile(page, html, 0o600); err != nil {
					return fmt.Errorf("write the page: %w", err)
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), c)
			}
			return c.Text(cmd.OutOrStdout())
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&page, "html", "", "write the comparison as a page")
	return cmd
}

// quick are the drills of the quick set on an engine.
func quick(engine string) ([]drill.Story, error) {
	all, err := stories()
	return slices.DeleteFunc(all, func(s drill.Story) bool { return !slices.Contains(s.Quick, engine) }), err
}
