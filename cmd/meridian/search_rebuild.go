package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/schema"
)

func searchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "search", Short: "Look after the model that searches read",
		Long: "Look after the model that searches read. To search, see meridian transaction search.",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(searchRebuildCommand())
	return cmd
}

func searchRebuildCommand() *cobra.Command {
	var url string
	var homes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Write the model anew from the stream, while the old one serves",
		Long: `Begin a new generation of the search model and wait until it serves. The nodes write it, beside what is new; searches read the old one until
the new one is as far, and then it is removed. Ctrl-C ends the waiting, not the work.

Needed after damage that meridian verify has found in the model, and never otherwise.`,
		Example: "  meridian search rebuild --database-url postgresql://meridian@localhost:26257/ledger --home eu",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needURL(url); err != nil {
				return err
			}
			d, err := db.Open(cmd.Context(), db.Options{URL: url, Writers: 1, Readers: 1, Name: "meridian search rebuild"})
			if err != nil {
				return err
			}
			defer d.Close()
			if err := schema.Check(cmd.Context(), d.Reader()); err != nil {
				return err
			}
			return rebuild(cmd.Context(), store.New(d), homes, reporter(cmd.OutOrStdout(), asJSON))
		},
	}
	databaseFlag(cmd, &url)
	cmd.Flags().StringSliceVar(&homes, "home", nil, "only this home; may be given several times")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// rebuild works on the homes one after another.
func rebuild(ctx context.Context, s *store.Store, named []string, report func(search.Step)) error {
	there, err := s.Homes(ctx)
	if err != nil {
		return err
	}
	homes := there
	if len(named) > 0 {
		homes = nil
	}
	for _, name := range named {
		if !slices.Contains(there, id.Home(name)) {
			return errs.ErrHomeNotFound.With("home", name)
		}
		homes = append(homes, id.Home(name))
	}
	for _, home := range homes {
		if err := search.Rebuild(ctx, s, home, 500*time.Millisecond, report); err != nil {
			return fmt.Errorf("rebuild the search model of %s: %w", home, err)
		}
	}
	return nil
}

// reporter prints a line a step.
func reporter(w io.Writer, asJSON bool) func(search.Step) {
	return func(s search.Step) {
		if asJSON {
			_ = json.NewEncoder(w).Encode(s) // nobody reads any more, and the work goes on
			return
		}
		state := "is being written"
		if s.Serving {
			state = "serves"
		}
		fmt.Fprintf(w, "%s: generation %d %s: %d of %d\n", s.Home, s.Generation, state, s.Position, s.Head)
	}
}
