// Command meridian is the ledger: server, tools and drills in one binary. This package is wiring and flags only.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/schema"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings handed in, so that tests can call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var quiet silent
	switch {
	case err == nil:
		return 0
	case errors.As(err, &quiet):
		return quiet.code
	}
	fmt.Fprintln(stderr, "meridian:", err)
	return 1
}

// silent ends the process with a code after the command has said all there is to say.
type silent struct{ code int }

func (s silent) Error() string { return fmt.Sprintf("exit code %d", s.code) }

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "A double-entry ledger for money that lives in several regions at once",
		Long: `Meridian is a distributed, multi-region, double-entry ledger on CockroachDB (PostgreSQL for a laptop or a pilot).

The first five minutes:
  meridian demo                    a cluster, real transactions, a killed server, and the proof of the books
  meridian dev                     the same cluster, kept running, with lines to copy

Every flag can be given as an environment variable (--database-url is MERIDIAN_DATABASE_URL) or in a YAML file (database-url: …, named
by --config or MERIDIAN_CONFIG). A flag wins over the environment, the environment over the file.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return resolve(cmd, os.LookupEnv) },
	}
	root.PersistentFlags().String("config", "", "YAML file with values for flags that are not given otherwise")
	root.AddCommand(
		serveCommand(), devCommand(), demoCommand(), drillCommand(), migrateCommand(), importCommand(), verifyCommand(), benchCommand(),
		accountCommand(), transferCommand(), transactionCommand(), searchCommand(), reconCommand(), eventsCommand(), providerCommand(), sagasOfPayments(), regionsCommand(), versionCommand(),
	)
	return root
}

// version is set by the build (-ldflags "-X main.version=…").
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this binary and of the schema it knows",
		Example: "  meridian version\n  meridian version --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return printVersion(cmd.OutOrStdout(), asJSON) },
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printVersion(w io.Writer, asJSON bool) error {
	view := struct {
		Version string `json:"version"`
		Schema  int64  `json:"schema"`
		Go      string `json:"go"`
	}{versionText(), schema.Newest(), runtime.Version()}
	if asJSON {
		return printJSON(w, view)
	}
	_, err := fmt.Fprintf(w, "meridian %s, schema %d, %s\n", view.Version, view.Schema, view.Go)
	return err
}
