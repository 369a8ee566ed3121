package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/topology"
)

// regionsFlags say what is compared with what.
type regionsFlags struct {
	topology string
	url      string
	database string
	version  string
	zones    bool
	yes      bool
	json     bool
}

func (f *regionsFlags) register(cmd *cobra.Command) {
	databaseFlag(cmd, &f.url)
	flags := cmd.Flags()
	flags.StringVar(&f.topology, "topology", "", "a shipped topology (regions/), or a file")
	flags.StringVar(&f.database, "database", "", "the database to lay out; left out: that of --database-url")
	flags.BoolVar(&f.zones, "zone-configurations", false, "place whole tables by zone configurations, where multi-region SQL is not licensed; promises less, and says what")
	jsonFlag(cmd, &f.json)
}

func regionsPlanCommand() *cobra.Command {
	var f regionsFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what lies between a cluster and a topology: statements in order, what each costs and locks, and what is refused",
		Long: `Compares the topology with the regions of the cluster and of the database, the localities and region columns of its tables, and zone
configurations. Changes nothing. Refused is what would move the money of a home that has ledgers, drop the region it lives in, or let its
copies out of where they are confined.

Without --database-url it plans for a database that has only been migrated, for the version named.

Exit code 0: the plan may be applied, or nothing is to do; 3: refused.`,
		Example: `  meridian regions plan --topology three-continents --cluster-version 26.2
  meridian regions plan --topology three-continents --database-url postgresql://root@localhost:26257/ledger
  meridian regions plan --topology single-region --zone-configurations --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var conn *pgx.Conn
			if f.url != "" {
				var err error
				if conn, err = connectPlaceable(cmd.Context(), f.url); err != nil {
					return err
				}
				defer hangUp(conn)
			}
			p, err := f.plan(cmd.Context(), conn)
			if err != nil {
				return err
			}
			if f.json {
				err = printJSON(cmd.OutOrStdout(), p)
			} else {
				err = p.Write(cmd.OutOrStdout())
			}
			if err == nil && len(p.Refused) > 0 {
				return silent{code: 3}
			}
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.version, "cluster-version", "", "version of CockroachDB to write for, as in 26.2; left out: that of the server")
	return cmd
}

func regionsApplyCommand() *cobra.Command {
	var f regionsFlags
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Run the plan, one statement at a time",
		Long: `Makes the plan, shows it, asks, and runs it. An interrupted run is taken up by running it again: the next plan begins where this one ended,
and the database serves commands in between. A statement that was cut off may go on as a job (SHOW JOBS); wait for it first. Nobody else may
change the schema meanwhile.`,
		Example: "  meridian regions apply --topology three-continents --database-url postgresql://root@localhost:26257/ledger\n  meridian regions apply --topology three-continents --yes --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(f.url); err != nil {
				return err
			}
			conn, err := connectPlaceable(cmd.Context(), f.url)
			if err != nil {
				return err
			}
			defer hangUp(conn)
			return f.apply(cmd, conn)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask; needed where nobody sits at a terminal")
	return cmd
}

// plan compares, by the method that was asked for.
func (f *regionsFlags) plan(ctx context.Context, conn *pgx.Conn) (topology.Plan, error) {
	if err := needTopology(f.topology); err != nil {
		return topology.Plan{}, err
	}
	t, err := loadTopology(f.topology)
	if err != nil {
		return topology.Plan{}, err
	}
	database := f.database
	if database == "" {
		database = "meridian"
		if conn != nil {
			database = conn.Config().Database
		}
	}
	version, err := f.writeFor(ctx, conn)
	if err != nil {
		return topology.Plan{}, err
	}
	state := topology.State{Version: version}
	if conn != nil {
		if state, err = topology.ReadState(ctx, conn, database, version); err != nil {
			return topology.Plan{}, err
		}
	}
	if f.zones {
		return t.PlanZones(database, state), nil
	}
	return t.Plan(database, state), nil
}

// writeFor is the version that statements are written for. Zone configurations are the same in all of them.
func (f *regionsFlags) writeFor(ctx context.Context, conn *pgx.Conn) (topology.Version, error) {
	switch {
	case f.version != "":
		return topology.ParseVersion(f.version)
	case f.zones:
		return topology.Version{}, nil
	case conn == nil:
		return topology.Version{}, errors.New("name the version of CockroachDB with --cluster-version, or a server with --database-url")
	}
	version, err := topology.ServerVersion(ctx, conn)
	if err != nil {
		return version, fmt.Errorf("%w; or place whole tables with --zone-configurations", err)
	}
	return version, nil
}

func (f *regionsFlags) apply(cmd *cobra.Command, conn *pgx.Conn) error {
	p, err := f.plan(cmd.Context(), conn)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !f.json || len(p.Refused) == 0 && !f.yes {
		if err := p.Write(cmd.ErrOrStderr()); err != nil {
			return err
		}
	}
	if len(p.Refused) == 0 && len(p.Steps) > 0 && !f.yes {
		if err := agreed(cmd, len(p.Steps)); err != nil {
			return err
		}
	}
	done := []topology.Statement{}
	var running *topology.Statement
	err = p.Run(cmd.Context(), conn, func(number, of int, s topology.Statement) {
		if running != nil {
			done = append(done, *running)
		}
		running = &s
		if !f.json {
			fmt.Fprintf(out, "%*d/%d  %s\n", len(fmt.Sprint(of)), number, of, strings.Split(s.SQL, "\n")[0])
		}
	})
	if err == nil && running != nil {
		done = append(done, *running)
	}
	switch {
	case f.json:
		return errors.Join(printJSON(out, struct {
			Complete bool                 `json:"complete"`
			Done     []topology.Statement `json:"done"`
			Refused  []string             `json:"refused"`
		}{err == nil, done, p.Refused}), err)
	case err != nil && len(done) > 0:
		return fmt.Errorf("%w\n%d of %d statements are done; run it again to go on", err, len(done), len(p.Steps))
	case err == nil:
		fmt.Fprintf(out, "done: %d statements; replicas move in the background, meridian regions verify says when all are in place\n", len(done))
	}
	return err
}

// agreed asks a person, and takes nothing but yes.
func agreed(cmd *cobra.Command, statements int) error {
	in, ok := cmd.InOrStdin().(*os.File)
	if info, err := statOf(in, ok); err != nil || info.Mode()&os.ModeCharDevice == 0 || !terminal(cmd.ErrOrStderr()) {
		return errors.New("nobody is at a terminal to agree to the plan; look at it with meridian regions plan, then apply with --yes")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "\nRun these %d statements? Type yes: ", statements)
	line, _ := bufio.NewReader(in).ReadString('\n') // a line that ends early is no yes
	if strings.TrimSpace(line) != "yes" {
		return errors.New("not agreed; nothing was changed")
	}
	return nil
}

func statOf(f *os.File, ok bool) (os.FileInfo, error) {
	if !ok {
		return nil, os.ErrInvalid
	}
	return f.Stat()
}

func needTopology(name string) error {
	if name == "" {
		return errors.New("name the topology with --topology or MERIDIAN_TOPOLOGY")
	}
	return nil
}

// connectPlaceable connects, and refuses what has no regions.
func connectPlaceable(ctx context.Context, url string) (*pgx.Conn, error) {
	return connectTo(ctx, url, func(conn *pgx.Conn) error {
		_, err := topology.CanBePlaced(ctx, conn)
		return err
	})
}
