package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/changefeed"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// changefeedFlags are what a plan is made of.
type changefeedFlags struct {
	sink        string
	homes       []string
	topology    string
	version     string
	url         string
	database    string
	role        string
	connection  string
	reuse       bool
	inline      bool
	tokenFile   string
	showSecrets bool
	json        bool
}

func changefeedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "changefeed",
		Short: "Make CockroachDB itself send the journal to Kafka or a webhook",
		Long: `For who wants rows of the journal from the database, without a server in between. Events from the server are in order on each account, redacted
by home and delivered with dead letters and replays; rows of a changefeed are none of that. PostgreSQL has no changefeeds.

With --topology or --home there is one changefeed a home, which runs in the home's region; without, one for all rows. A server takes
the webhook form at /cdc/v1/webhook (serve --cdc-webhook-token-file). A URI with secrets is better given as MERIDIAN_SINK than on the command line.`,
		Example: `  meridian events changefeed plan --topology three-continents --cluster-version 26.2 --sink 'kafka://b1:9092?topic_name=journal&tls_enabled=true'
  MERIDIAN_SINK='webhook-https://ledger.example.com/cdc/v1/webhook' meridian events changefeed apply --home eu --webhook-token-file token`,
	}
	cmd.AddCommand(changefeedPlanCommand(), changefeedApplyCommand())
	return cmd
}

func (f *changefeedFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	databaseFlag(cmd, &f.url)
	flags.StringVar(&f.sink, "sink", "", "kafka://…, webhook-https://… or external://name of a connection that is there")
	flags.StringSliceVar(&f.homes, "home", nil, "homes whose rows to send; left out: all of the topology, or all rows in one changefeed")
	flags.StringVar(&f.topology, "topology", "", "a shipped topology (regions/), or a file: says in which region the changefeed of a home runs")
	flags.StringVar(&f.version, "cluster-version", "", "version of CockroachDB, as in 26.2; left out: that of the server")
	flags.StringVar(&f.database, "database", "", "database of the journal; left out: that of --database-url")
	flags.StringVar(&f.role, "role", "meridian_cdc", "role that makes the changefeeds, for the grants that are shown")
	flags.StringVar(&f.connection, "connection", "meridian_journal", "name of the external connection that keeps the URI")
	flags.BoolVar(&f.reuse, "reuse-connection", false, "the external connection is there already and has this URI")
	flags.BoolVar(&f.inline, "inline", false, "put the URI into the statements, without an external connection")
	flags.StringVar(&f.tokenFile, "webhook-token-file", "", "file with the value of the Authorization header of a webhook, as in Bearer …")
	jsonFlag(cmd, &f.json)
}

func changefeedPlanCommand() *cobra.Command {
	var f changefeedFlags
	cmd := &cobra.Command{
		Use:     "plan",
		Short:   "Print the statements, what has to be there before, and what each option is for",
		Example: "  meridian events changefeed plan --topology laptop --cluster-version 25.4 --sink kafka://b1:9092?topic_name=journal",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.url != "" {
				conn, err := cockroach(cmd.Context(), f.url)
				if err != nil {
					return err
				}
				defer hangUp(conn)
				return f.print(cmd, conn)
			}
			return f.print(cmd, nil)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&f.showSecrets, "show-secrets", false, "print passwords, keys and tokens in clear")
	return cmd
}

func (f *changefeedFlags) print(cmd *cobra.Command, conn *pgx.Conn) error {
	p, err := f.plan(cmd.Context(), conn)
	if err != nil {
		return err
	}
	if f.showSecrets {
		p = p.WithSecrets()
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), p)
	}
	return p.Write(cmd.OutOrStdout())
}

func changefeedApplyCommand() *cobra.Command {
	var f changefeedFlags
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Run the statements one after another, and print the ids of the jobs",
		Long: `What stands under "Before" in the plan is not run: an administrator decides on it. Changefeeds that run already, for the same home to the same
external connection, are left as they are, so that apply may be run again (with --reuse-connection once that is there).`,
		Example: "  meridian events changefeed apply --topology three-continents --sink external://journal --database-url …",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(f.url); err != nil {
				return err
			}
			conn, err := cockroach(cmd.Context(), f.url)
			if err != nil {
				return err
			}
			defer hangUp(conn)
			return f.apply(cmd, conn)
		},
	}
	f.register(cmd)
	return cmd
}

func (f *changefeedFlags) apply(cmd *cobra.Command, conn *pgx.Conn) error {
	p, err := f.plan(cmd.Context(), conn)
	if err != nil {
		return err
	}
	all := []changefeed.Done{}
	err = p.Apply(cmd.Context(), conn, func(d changefeed.Done) {
		all = append(all, d)
		if f.json {
			return
		}
		switch {
		case d.There:
			fmt.Fprintf(cmd.OutOrStdout(), "job %d was there: %s\n", d.Job, d.Why)
		case d.Job != 0:
			fmt.Fprintf(cmd.OutOrStdout(), "job %d: %s\n", d.Job, d.Why)
		default:
			fmt.Fprintf(cmd.OutOrStdout(), "done: %s\n", d.Why)
		}
	})
	if f.json {
		return errors.Join(printJSON(cmd.OutOrStdout(), all), err) // what was made is said before what was not
	}
	return err
}

// plan makes the plan for the version of the server, where none is named.
func (f *changefeedFlags) plan(ctx context.Context, conn *pgx.Conn) (changefeed.Plan, error) {
	if f.sink == "" {
		return changefeed.Plan{}, errors.New("name the sink with --sink or MERIDIAN_SINK")
	}
	sink, err := changefeed.ParseSink(f.sink)
	if err != nil {
		return changefeed.Plan{}, err
	}
	o := changefeed.Options{Sink: sink, Database: f.database, Role: f.role, Connection: f.connection, Reuse: f.reuse, Inline: f.inline}
	if o.Targets, err = f.targets(); err != nil {
		return changefeed.Plan{}, err
	}
	if f.tokenFile != "" {
		if o.Header, err = readToken(f.tokenFile); err != nil {
			return changefeed.Plan{}, err
		}
	}
	switch {
	case f.version != "":
		o.Version, err = topology.ParseVersion(f.version)
	case conn != nil:
		o.Version, err = topology.ServerVersion(ctx, conn)
	default:
		err = errors.New("name the version of CockroachDB with --cluster-version, or a server with --database-url")
	}
	if err != nil {
		return changefeed.Plan{}, err
	}
	if o.Database == "" && conn != nil {
		o.Database = conn.Config().Database
	}
	return changefeed.New(o)
}

// targets are the homes that are named, or else those of the topology.
func (f *changefeedFlags) targets() ([]changefeed.Target, error) {
	var t topology.Topology
	if f.topology != "" {
		var err error
		if t, err = loadTopology(f.topology); err != nil {
			return nil, err
		}
	}
	homes := t.HomeNames()
	if len(f.homes) > 0 {
		homes = nil
		for _, name := range f.homes {
			homes = append(homes, id.Home(name)) // the plan parses it
		}
	}
	targets := make([]changefeed.Target, 0, len(homes))
	for _, home := range homes {
		region, known := t.RegionOf(home)
		if f.topology != "" && !known {
			return nil, fmt.Errorf("topology %s has no home %q", t.Name, home)
		}
		targets = append(targets, changefeed.Target{Home: home, Region: region})
	}
	return targets, nil
}

// cockroach connects, and refuses what has no changefeeds.
func cockroach(ctx context.Context, url string) (*pgx.Conn, error) {
	return connectTo(ctx, url, func(conn *pgx.Conn) error {
		engine, _, err := db.Detect(ctx, conn)
		if err == nil && !engine.Changefeeds {
			err = errors.New("this is PostgreSQL, which has no changefeeds; the server finds what was committed by itself: see meridian events subscriptions")
		}
		return err
	})
}

// connectTo connects to a database that is what a command needs.
func connectTo(ctx context.Context, url string, check func(*pgx.Conn) error) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", hostOf(url), db.Classify(err))
	}
	if err := check(conn); err != nil {
		hangUp(conn)
		return nil, err
	}
	return conn, nil
}

// hangUp closes a connection; a server that answers no more is not waited for.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = conn.Close(ctx)
}
