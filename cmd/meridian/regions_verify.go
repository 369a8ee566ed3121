package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/topology/residency"
)

// residencyFlags say what to prove, or what to check.
type residencyFlags struct {
	topology  string
	url       string
	database  string
	key       string
	newKey    string
	out       string
	report    string
	publicKey string
	wait      time.Duration
	json      bool
}

func regionsVerifyCommand() *cobra.Command {
	var f residencyFlags
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove where the money of each home lies, in a signed report, or check such a report",
		Long: `Looks at every range of every index of the tables that hold money: which regions hold copies, which serve them, and whether losing what the
topology survives would leave a quorum. A range that can hold rows of several homes counts for each of them.

With --out FILE.html or FILE.json the report is written to a file, with --key signed (Ed25519). --new-key FILE makes a key, and FILE.pub for
whoever checks. --report FILE --public-key FILE checks a report of either form without any cluster; of a page, every byte.

Exit code 0: every home is proven, or the report is authentic and says so; 3: a home is misplaced or broken, or the report is not authentic.`,
		Example: `  meridian regions verify --topology three-continents --database-url postgresql://root@localhost:26257/ledger
  meridian regions verify --new-key residency.key
  meridian regions verify --topology three-continents --wait 5m --key residency.key --out residency.html
  meridian regions verify --report residency.html --public-key residency.key.pub`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case f.newKey != "":
				if err := residency.NewKey(f.newKey); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s signs, keep it secret; %s.pub checks, give it to whoever reads reports\n", f.newKey, f.newKey)
				return err
			case f.report != "":
				return f.check(cmd)
			default:
				return f.prove(cmd)
			}
		},
	}
	databaseFlag(cmd, &f.url)
	flags := cmd.Flags()
	flags.StringVar(&f.topology, "topology", "", "a shipped topology (regions/), or a file")
	flags.StringVar(&f.database, "database", "", "the database to prove; left out: that of --database-url")
	flags.StringVar(&f.key, "key", "", "file with the private key to sign with")
	flags.StringVar(&f.newKey, "new-key", "", "make a key in this file, and FILE.pub beside it, and do nothing else")
	flags.StringVar(&f.out, "out", "", "write the report to this file, .html or .json")
	flags.StringVar(&f.report, "report", "", "check this report instead of a cluster")
	flags.StringVar(&f.publicKey, "public-key", "", "file with the public key to check with")
	flags.DurationVar(&f.wait, "wait", 0, "look again until every home is proven, for so long; replicas move in the background")
	jsonFlag(cmd, &f.json)
	return cmd
}

func (f *residencyFlags) check(cmd *cobra.Command) error {
	if f.publicKey == "" {
		return errors.New("name the key to check with: --public-key FILE; a key that comes with the report proves nothing")
	}
	key, err := residency.ReadPublicKey(f.publicKey)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(f.report)
	if err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	report, err := residency.Check(data, key)
	if errors.Is(err, residency.ErrNotAuthentic) {
		fmt.Fprintln(cmd.ErrOrStderr(), "meridian:", err)
		return silent{code: 3}
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "authentic: signed with this key, and unchanged")
	return f.print(cmd, report)
}

func (f *residencyFlags) prove(cmd *cobra.Command) error {
	if err := needTopology(f.topology); err != nil {
		return err
	}
	write, err := f.writer()
	if err != nil {
		return err
	}
	var key ed25519.PrivateKey
	if f.key != "" {
		if key, err = residency.ReadKey(f.key); err != nil {
			return err
		}
	}
	if err := needURL(f.url); err != nil {
		return err
	}
	conn, err := connectPlaceable(cmd.Context(), f.url)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	report, err := f.look(cmd.Context(), conn)
	if err != nil {
		return err
	}
	signed, err := residency.Sign(report, key)
	if err != nil {
		return err
	}
	if write != nil {
		if err := write(signed); err != nil {
			return err
		}
	}
	return f.print(cmd, report)
}

// look reads until all is proven or the time is up.
func (f *residencyFlags) look(ctx context.Context, conn *pgx.Conn) (residency.Report, error) {
	t, err := loadTopology(f.topology)
	if err != nil {
		return residency.Report{}, err
	}
	database := f.database
	if database == "" {
		database = conn.Config().Database
	}
	const pause = 2 * time.Second // the cluster moves replicas by itself and tells nobody
	for deadline := time.Now().Add(f.wait); ; {
		report, err := residency.Read(ctx, conn, t, database, time.Now())
		if err != nil || report.Verdict == residency.Proven || time.Now().Add(pause).After(deadline) {
			return report, err
		}
		select {
		case <-ctx.Done():
			return report, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (f *residencyFlags) print(cmd *cobra.Command, report residency.Report) error {
	var err error
	if f.json {
		err = printJSON(cmd.OutOrStdout(), report)
	} else {
		err = report.WriteText(cmd.OutOrStdout())
	}
	if err == nil && report.Verdict != residency.Proven {
		return silent{code: 3}
	}
	return err
}

// writer is how --out is written; none without it.
func (f *residencyFlags) writer() (func(residency.Signed) error, error) {
	switch filepath.Ext(f.out) {
	case ".html":
		return func(s residency.Signed) error { return f.write(s, residency.WritePage) }, nil
	case ".json":
		return func(s residency.Signed) error { return f.write(s, residency.WriteJSON) }, nil
	}
	if f.out != "" {
		return nil, fmt.Errorf("--out %s: name a file that ends in .html or .json", f.out)
	}
	return nil, nil //nolint:nilnil // nothing to write is no error
}

func (f *residencyFlags) write(s residency.Signed, render func(io.Writer, residency.Signed) error) error {
	file, err := os.Create(f.out)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return errors.Join(render(file, s), file.Close())
}
