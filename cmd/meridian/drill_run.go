package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/drill"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
)

type drillFlags struct {
	engine   string
	topology string
	seed     uint64
	report   string
	all      bool
	quick    bool
	binary   string
	target   string
	url      string
	meant    bool
	asJSON   bool
}

func drillRunCommand() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use:   "run NAME|FILE.yaml …",
		Short: "Run drills, and leave evidence behind",
		Long: `Run drills one after another, each on a deployment of its own that is started for it and gone afterwards. With --report, each leaves
report.json, report.html and junit.xml behind: in the directory itself where one drill is named, in one named after each otherwise.

With --target, the drill aims at a deployment that runs already: its own hook breaks things, as chaos/README.md says. That takes
--i-mean-it, and writes to ledgers that are marked as a drill's alone.

Exit code 0: all passed; 3: one did not.`,
		Example: `  meridian drill run region_loss --report evidence/
  meridian drill run server_loss commit_limbo --engine postgresql --seed 7
  meridian drill run --quick
  meridian drill run region_loss --target staging.yaml --database-url "$STAGING" --i-mean-it --report evidence/`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	databaseFlag(cmd, &f.url)
	cmd.Flag("database-url").Usage = "with --target: the deployment's database, so that meridian verify can prove its books"
	flags := cmd.Flags()
	flags.StringVar(&f.engine, "engine", "", "cockroachdb or postgresql; left out: the best that this machine has")
	flags.StringVar(&f.topology, "topology", "", "a shipped topology (regions/), or a file, instead of the story's own")
	flags.Uint64Var(&f.seed, "seed", 0, "of the load; 0 draws one. The same seed makes up the same commands; when what meets what is up to the machine")
	flags.StringVar(&f.report, "report", "", "directory for the evidence")
	flags.BoolVar(&f.all, "all", false, "all drills that make sense on the engine")
	flags.BoolVar(&f.quick, "quick", false, "the quick set of the engine, which takes a few minutes")
	flags.StringVar(&f.binary, "server-binary", "", "meridian for the servers; left out: this program")
	flags.StringVar(&f.target, "target", "", "file with the endpoints and the hook of a deployment that runs already")
	flags.BoolVar(&f.meant, "i-mean-it", false, "with --target: really break it")
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

func (f drillFlags) run(ctx context.Context, names []string, stdout io.Writer) error {
	out := stdout // for people
	if f.asJSON {
		out = io.Discard
	}
	chosen, err := f.choose(ctx, names)
	if err != nil {
		return err
	}
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) //nolint:gosec // a clock after 1970
	}
	var reports []evidence.Report
	var broken []error
	for i, s := range chosen {
		if len(chosen) > 1 {
			fmt.Fprintf(out, "\n%s\n", styled(out, bold, fmt.Sprintf("%d of %d: %s", i+1, len(chosen), s.Title)))
		} else {
			fmt.Fprintf(out, "\n%s\n", styled(out, bold, s.Title))
		}
		report, err := f.one(ctx, s, len(chosen) > 1, saying(out))
		if err != nil {
			err = fmt.Errorf("drill %s: %w", s.Name, err)
			if len(chosen) == 1 || ctx.Err() != nil {
				return err
			}
			fmt.Fprintf(out, "  %s %v\n", styled(out, red, "✗"), err) // the others are worth running
			broken = append(broken, err)
			continue
		}
		if err := report.Text(out); err != nil {
			return err
		}
		reports = append(reports, report)
	}
	if f.asJSON {
		if err := printJSON(stdout, reports); err != nil {
			return err
		}
	}
	failed := slices.DeleteFunc(slices.Clone(reports), func(r evidence.Report) bool { return r.Passed })
	if len(reports) > 1 {
		f.sum(out, reports)
	}
	if len(broken) > 0 {
		return errors.Join(broken...)
	}
	if len(failed) > 0 {
		return silent{code: 3}
	}
	return nil
}

// choose finds the stories that were named, and refuses what can not be meant.
func (f *drillFlags) choose(ctx context.Context, names []string) ([]drill.Story, error) {
	switch {
	case f.target != "" && !f.meant:
		return nil, errors.New("a drill breaks what it aims at: say --i-mean-it")
	case f.target == "" && (f.meant || f.url != ""):
		return nil, errors.New("--i-mean-it and --database-url go with --target; without it a drill starts a deployment of its own")
	case f.all && f.quick, (f.all || f.quick) && len(names) > 0:
		return nil, errors.New("name drills, or say --all, or --quick")
	}
	if f.engine == "" && f.target == "" {
		for _, found := range cluster.Available(ctx) {
			if found.From != "" {
				f.engine = found.Engine
				break
			}
		}
		if f.engine == "" {
			return nil, errors.New("no database engine can be started here: make engine installs one, or put cockroach on the PATH")
		}
	}
	if f.quick {
		return quick(f.engine)
	}
	if f.all {
		all, err := stories()
		return slices.DeleteFunc(all, func(s drill.Story) bool { return f.engine != "" && !s.Runs(f.engine) }), err
	}
	if len(names) == 0 {
		return nil, errors.New("name a drill (meridian drill list), or say --quick or --all")
	}
	var chosen []drill.Story
	for _, name := range names {
		s, err := loadStory(name)
		if err != nil {
			return nil, err
		}
		if f.engine != "" && !s.Runs(f.engine) {
			return nil, fmt.Errorf("drill %s makes no sense on %s; it runs on %s", s.Name, f.engine, strings.Join(s.Engines, ", "))
		}
		chosen = append(chosen, s)
	}
	return chosen, nil
}

// one runs a drill on a field of its own, and writes its evidence.
func (f drillFlags) one(ctx context.Context, s drill.Story, several bool, say func(string)) (report evidence.Report, err error) {
	field, err := f.field(ctx, s, say)
	if err != nil {
		return report, err
	}
	keep := true
	defer func() {
		logs, closing := field.Close(keep)
		if logs != "" {
			say("logs of the processes: " + logs)
		}
		err = errors.Join(err, closing)
	}()
	result, err := drill.Run(ctx, s, field, drill.Options{Seed: f.seed, Command: f.command(s), Version: versionText(), Say: say})
	if err != nil {
		return report, err
	}
	keep = !result.Report.Passed
	if f.report == "" {
		return result.Report, nil
	}
	dir := f.report
	if several {
		dir = filepath.Join(dir, s.Name)
	}
	if err := writeEvidence(dir, result); err != nil {
		return report, err
	}
	say("evidence: " + filepath.Join(dir, "report.html"))
	return result.Report, nil
}

func (f drillFlags) field(ctx context.Context, s drill.Story, say func(string)) (drill.Field, error) {
	if f.target != "" {
		data, err := os.ReadFile(f.target)
		if err != nil {
			return nil, fmt.Errorf("read the target: %w", err)
		}
		aim, err := drill.ParseAim(f.target, data)
		if err != nil {
			return nil, err
		}
		return drill.OpenTarget(ctx, aim, f.url)
	}
	name := s.Topology
	if f.topology != "" {
		name = f.topology
	}
	t, err := loadTopology(name)
	if err != nil {
		return nil, err
	}
	binary := f.binary
	if binary == "" {
		if binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this binary: %w", err)
		}
	}
	return drill.StartLocal(ctx, s, drill.LocalOptions{Engine: f.engine, Topology: t, Binary: binary, Say: say})
}

// command repeats the drill.
func (f drillFlags) command(s drill.Story) string {
	parts := []string{"meridian drill run", s.Name}
	for _, flag := range []struct{ name, value string }{
		{"--engine", f.engine}, {"--topology", f.topology}, {"--server-binary", f.binary}, {"--target", f.target}, {"--seed", fmt.Sprint(f.seed)},
	} {
		if flag.value != "" {
			parts = append(parts, flag.name, flag.value)
		}
	}
	if f.meant {
		parts = append(parts, "--i-mean-it")
	}
	return strings.Join(parts, " ")
}

// writeEvidence writes the forms of a report, the JSON first: the others can be made from it again.
func writeEvidence(dir string, r drill.Result) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the directory of the report: %w", err)
	}
	html, err := evidence.HTML(r.Report)
	if err != nil {
		return err
	}
	junit, err := evidence.JUnit(r.Report)
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := r.Report.WriteJSON(&text); err != nil {
		return err
	}
	files := []struct {
		name string
		data []byte
	}{{"report.json", []byte(text.String())}, {"report.html", html}, {"junit.xml", junit}, {"history.html", r.Picture}}
	for _, f := range files {
		if f.data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o600); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// sum is the last word on several drills.
func (f drillFlags) sum(w io.Writer, reports []evidence.Report) {
	acknowledged, lost, doubled := 0, 0, 0
	fmt.Fprintf(w, "\n%s\n", styled(w, bold, "All drills"))
	for _, r := range reports {
		mark := styled(w, green, "✓")
		if !r.Passed {
			mark = styled(w, red, "✗")
		}
		worst := 0.0
		for _, one := range r.Recovery {
			if one.RTOSeconds != nil {
				worst = max(worst, *one.RTOSeconds)
			}
		}
		fmt.Fprintf(w, "  %s %-22s %8s acknowledged, longest recovery %6.2f s, %5.1f s in all\n", mark, r.Drill, grouped(fmt.Sprint(r.Totals.Acknowledged)), worst, r.Seconds)
		acknowledged, lost, doubled = acknowledged+r.Totals.Acknowledged, lost+r.Totals.LostWrites, doubled+r.Totals.DoubleEffects
	}
	fmt.Fprintf(w, "  %s acknowledged commands, %d lost, %d doubled; seed %d\n", grouped(fmt.Sprint(acknowledged)), lost, doubled, f.seed)
}
