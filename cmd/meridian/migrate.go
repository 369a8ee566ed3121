package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/schema"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of a database up to date, show it, or grant the server its rights",
		Long: `Migrations are numbered, plain SQL that both engines take, and run one statement at a time. Any number of migrators may run at once: a
lock row lets one of them work. The server refuses to start on a schema that it does not know.`,
	}
	cmd.AddCommand(migrateUpCommand(), migrateStatusCommand(), migrateGrantsCommand())
	return cmd
}

func migrateUpCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Apply the migrations that are missing",
		Example: "  meridian migrate up --database-url postgresql://root@localhost:26257/ledger",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(url); err != nil {
				return err
			}
			applied := false
			err := schema.Up(cmd.Context(), url, schema.Options{Progress: func(line string) {
				applied = true
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}})
			if err == nil && !applied {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing to apply: the schema is at version %d\n", schema.Newest())
			}
			return err
		},
	}
	databaseFlag(cmd, &url)
	return cmd
}

func migrateStatusCommand() *cobra.Command {
	var url string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "List the migrations and when each was applied",
		Example: "  meridian migrate status --database-url postgresql://root@localhost:26257/ledger\n  meridian migrate status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(url); err != nil {
				return err
			}
			all, err := schema.Status(cmd.Context(), url)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, m := range all {
				applied := "pending"
				if !m.AppliedAt.IsZero() {
					applied = m.AppliedAt.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, m.Name, applied)
			}
			return w.Flush()
		},
	}
	databaseFlag(cmd, &url)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func migrateGrantsCommand() *cobra.Command {
	var url, role string
	var apply bool
	cmd := &cobra.Command{
		Use:   "grants",
		Short: "Print, or apply, the least rights that the server's role needs",
		Long: `The server's role may insert and read journal and entry, and can neither update nor delete them: history stays history even for a server
that was taken over. The role's password, where it needs one, is read from MERIDIAN_ROLE_PASSWORD and never printed.`,
		Example: "  meridian migrate grants --role meridian\n  meridian migrate grants --role meridian --apply --database-url …",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !apply {
				for _, statement := range schema.Grants(role) {
					fmt.Fprintln(cmd.OutOrStdout(), statement+";")
				}
				return nil
			}
			if err := needURL(url); err != nil {
				return err
			}
			if err := schema.ApplyGrants(cmd.Context(), url, role, os.Getenv("MERIDIAN_ROLE_PASSWORD")); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "role %s has the rights of a server\n", role)
			return nil
		},
	}
	databaseFlag(cmd, &url)
	cmd.Flags().StringVar(&role, "role", "meridian", "the server's role; made where it is missing")
	cmd.Flags().BoolVar(&apply, "apply", false, "run the statements instead of printing them")
	return cmd
}

func needURL(url string) error {
	if url == "" {
		return fmt.Errorf("name the database with --database-url or MERIDIAN_DATABASE_URL")
	}
	return nil
}
