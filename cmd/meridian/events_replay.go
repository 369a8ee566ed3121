package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Deliver a range of events again",
		Long: `A replay delivers a range again to one subscription, with the same ids, at a bounded rate, beside what is new. The receiver tells repeats by
the id of the event.`,
		Example: `  meridian events replay start payouts --home eu --id again-1 --first 100 --last 200 --reason lost-by-receiver
  meridian events replay list payouts
  meridian events replay cancel again-1 --home eu`,
	}
	cmd.AddCommand(startReplayCommand(), listReplaysCommand(), cancelReplayCommand())
	return cmd
}

func startReplayCommand() *cobra.Command {
	var f eventFlags
	var n event.NewReplay
	var home, from, to string
	var first, last int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "start SUBSCRIPTION",
		Short: "Start to deliver a range again",
		Long: `Start to deliver a range again: by position, --first to --last, both included, or by the time at which events entered the stream, --from
to --to, the end not included. The same id again returns the replay as it is.`,
		Example: `  meridian events replay start payouts --home eu --id again-1 --first 100 --last 200 --reason lost-by-receiver
  meridian events replay start payouts --home eu --id again-2 --from 2026-11-20T10:00:00Z --to 2026-11-20T11:00:00Z --reason audit --per-second 500`,
		Args: cobra.ExactArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if n.Home, err = parseHome(home); err != nil {
			return err
		}
		if n.From, err = parseTime("--from", from); err != nil {
			return err
		}
		if n.To, err = parseTime("--to", to); err != nil {
			return err
		}
		n.Subscription, n.First, n.Last = args[0], event.Position(first), event.Position(last)
		return f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
			r, err := node.StartReplay(ctx, n)
			if err != nil {
				return err
			}
			return printReplay(cmd, r, asJSON)
		})(cmd, args)
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&n.ID, "id", "", "name of the replay, 1 to 64 of a-z 0-9 -; a repeat with the same name starts nothing")
	flags.StringVar(&home, "home", "", "the home whose events are delivered again")
	flags.Int64Var(&first, "first", 0, "first position; left out: the beginning")
	flags.Int64Var(&last, "last", 0, "last position; left out: where the stream ends now")
	flags.StringVar(&from, "from", "", "instead of --first: what entered the stream at this time or later")
	flags.StringVar(&to, "to", "", "instead of --last: what entered the stream before this time")
	flags.IntVar(&n.PerSecond, "per-second", 0, "most events a second, up to 10000; left out: 100")
	flags.StringVar(&n.Reason, "reason", "", "why; it is kept")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// parseTime reads a time that may be left out.
func parseTime(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %q is no time; write it as in 2026-11-20T10:00:00Z", flag, text)
	}
	return at, nil
}

func printReplay(cmd *cobra.Command, r event.Replay, asJSON bool) error {
	if asJSON {
		return printJSON(cmd.OutOrStdout(), viewOfReplay(r))
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "replay %s of %s is %s: positions %d to %d of home %s, at %d, %d a second\n",
		r.ID, r.Subscription, r.State, r.First, r.Last, r.Home, r.Position, r.PerSecond)
	return err
}

func listReplaysCommand() *cobra.Command {
	var f eventFlags
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list SUBSCRIPTION",
		Short:   "List the replays of a subscription, newest first",
		Example: "  meridian events replay list payouts",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		found, err := node.Replays(ctx, args[0], limit)
		if err != nil {
			return err
		}
		return printReplays(cmd.OutOrStdout(), found, asJSON)
	})
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func cancelReplayCommand() *cobra.Command {
	var f eventFlags
	var home string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "cancel REPLAY",
		Short:   "Stop a replay; what it delivered stays delivered",
		Example: "  meridian events replay cancel again-1 --home eu",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		if _, err := parseHome(home); err != nil {
			return err
		}
		r, err := node.CancelReplay(ctx, id.Home(home), args[0])
		if err != nil {
			return err
		}
		return printReplay(cmd, r, asJSON)
	})
	f.register(cmd)
	cmd.Flags().StringVar(&home, "home", "", "the home that it reads")
	jsonFlag(cmd, &asJSON)
	return cmd
}
