package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func deliveriesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "See which events met an obstacle on their way to a sink",
		Long: `A delivery is here when its first attempt failed, or when it waits behind such a one on the same account. One that gets through in the end
leaves the list.`,
		Example: "  meridian events deliveries list payouts --state due\n  meridian events deliveries show payouts eu 1042",
	}
	cmd.AddCommand(listDeliveriesCommand("all", "List what met an obstacle, by home and position", "  meridian events deliveries list payouts --state due"),
		showDeliveryCommand("  meridian events deliveries show payouts eu 1042 --json"))
	return cmd
}

func deadLettersCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "Look after events that a sink did not take in the end",
		Long: `A dead letter is an event that was given up after its attempts, or that the sink will never take. Later events of its account went past it.
Mend the receiver and retry, or discard it with a reason that is kept.`,
		Example: `  meridian events dead-letters list payouts
  meridian events dead-letters retry payouts --home eu --cause status_5xx
  meridian events dead-letters discard payouts --home eu --position 1042 --reason booked-by-hand`,
	}
	cmd.AddCommand(
		listDeliveriesCommand("dead", "List dead letters, by home and position", "  meridian events dead-letters list payouts --home eu"),
		showDeliveryCommand("  meridian events dead-letters show payouts eu 1042"), retryCommand(), discardCommand(),
	)
	return cmd
}

var deliveryStates = map[string]event.DeliveryState{"all": "", "due": event.Due, "dead": event.Dead, "discarded": event.Discarded}

func listDeliveriesCommand(state, short, example string) *cobra.Command {
	var f eventFlags
	var page event.DeliveryPage
	var home, after string
	var asJSON bool
	cmd := &cobra.Command{Use: "list SUBSCRIPTION", Short: short, Example: example, Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var known bool
		if page.State, known = deliveryStates[state]; !known {
			return fmt.Errorf("--state: %q is none; name due, dead, discarded or all", state)
		}
		if home != "" {
			var err error
			if page.Home, err = parseHome(home); err != nil {
				return err
			}
		}
		if after != "" {
			p, err := parsePosition(after)
			if err != nil || page.Home == "" {
				return errors.New("--after: a position, together with --home")
			}
			page.AfterHome, page.AfterPosition = page.Home, p
		}
		page.Subscription = args[0]
		return f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
			found, err := node.Deliveries(ctx, page)
			if err != nil {
				return err
			}
			return printDeliveries(cmd.OutOrStdout(), found, asJSON)
		})(cmd, args)
	}
	f.register(cmd)
	cmd.Flags().StringVar(&home, "home", "", "only those of this home")
	if state == "all" {
		cmd.Flags().StringVar(&state, "state", state, "due, dead, discarded or all")
	}
	cmd.Flags().StringVar(&after, "after", "", "only those after this position of --home")
	cmd.Flags().IntVar(&page.Limit, "limit", 100, "at most so many, up to 1000")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func parsePosition(text string) (event.Position, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is no position; they count from 1", text)
	}
	return event.Position(n), nil
}

func showDeliveryCommand(example string) *cobra.Command {
	var f eventFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show SUBSCRIPTION HOME POSITION",
		Short:   "Show one with its event, as the subscription sees it",
		Example: example,
		Args:    cobra.ExactArgs(3),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		p, err := parsePosition(args[2])
		if err != nil {
			return err
		}
		d, e, err := node.DeliveryEvent(ctx, args[0], id.Home(args[1]), p)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), viewOfDelivery(d, e.Body))
		}
		return printDelivery(cmd.OutOrStdout(), d, e)
	})
	f.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printDelivery(w io.Writer, d event.Delivery, e rpc.CloudEvent) error {
	fmt.Fprintf(w, "%s: position %d of home %s is %s after %d attempts\n", d.Subscription, d.Position, d.Home, d.State, d.Attempts)
	fmt.Fprintf(w, "  cause   %s: %s\n  since   %s\n", d.Cause, d.Detail, d.CreatedAt.UTC().Format(time.RFC3339))
	if d.State == event.Due {
		fmt.Fprintf(w, "  due at  %s\n", d.DueAt.UTC().Format(time.RFC3339))
	}
	fmt.Fprintln(w)
	return printJSON(w, e.Body)
}

// selectionFlags name dead letters. To mean all of them has to be said: nobody is to do so by leaving something out.
type selectionFlags struct {
	home      string
	positions []int64
	cause     string
	all       bool
}

func (f *selectionFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.home, "home", "", "the home whose dead letters are meant")
	flags.Int64SliceVar(&f.positions, "position", nil, "those at these positions")
	flags.StringVar(&f.cause, "cause", "", "all of this cause, as the list shows it")
	flags.BoolVar(&f.all, "all", false, "all of the home")
}

func (f *selectionFlags) selection(subscription string) (event.Selection, error) {
	s := event.Selection{Subscription: subscription, Cause: f.cause}
	var err error
	if s.Home, err = parseHome(f.home); err != nil {
		return s, err
	}
	said := 0
	for _, given := range []bool{len(f.positions) > 0, f.cause != "", f.all} {
		if given {
			said++
		}
	}
	if said != 1 {
		return s, errors.New("say which are meant: by --position, or by --cause, or --all")
	}
	for _, p := range f.positions {
		s.Positions = append(s.Positions, event.Position(p))
	}
	return s, nil
}

func retryCommand() *cobra.Command {
	return selectingCommand("retry SUBSCRIPTION", "Make dead letters due at once, as if never attempted",
		"  meridian events dead-letters retry payouts --home eu --position 1042,1043\n  meridian events dead-letters retry payouts --home eu --all", "due again",
		func(ctx context.Context, node *rpc.EventClient, s event.Selection) (int64, error) {
			return node.RetryDeliveries(ctx, s)
		})
}

func discardCommand() *cobra.Command {
	var reason string
	cmd := selectingCommand("discard SUBSCRIPTION", "Give dead letters up for ever, with a reason that is kept",
		"  meridian events dead-letters discard payouts --home eu --position 1042 --reason booked-by-hand", "discarded",
		func(ctx context.Context, node *rpc.EventClient, s event.Selection) (int64, error) {
			return node.DiscardDeliveries(ctx, s, reason)
		})
	cmd.Flags().StringVar(&reason, "reason", "", "who decided so, and why; it is kept for ever")
	return cmd
}

func selectingCommand(use, short, example, done string, do func(context.Context, *rpc.EventClient, event.Selection) (int64, error)) *cobra.Command {
	var f eventFlags
	var which selectionFlags
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1)}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		selected, err := which.selection(args[0])
		if err != nil {
			return err
		}
		return f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
			n, err := do(ctx, node, selected)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), struct {
					Count int64 `json:"count"`
				}{n})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, done)
			return err
		})(cmd, args)
	}
	f.register(cmd)
	which.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
