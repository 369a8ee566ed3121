package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func subscriptionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "subscriptions",
		Short: "Say who gets events, and see how far they are",
		Long: `A subscription delivers the events of some homes to a sink: at least once, in order on each account. It is written in a YAML file; see
examples/subscription.yaml, where every field is explained.`,
		Example: `  meridian events subscriptions create --file examples/subscription.yaml
  meridian events subscriptions test payouts
  meridian events subscriptions show payouts`,
	}
	cmd.AddCommand(
		listSubscriptionsCommand(), showSubscriptionCommand(), createSubscriptionCommand(), updateSubscriptionCommand(), pauseCommand(), resumeCommand(),
		deleteSubscriptionCommand(), testSubscriptionCommand(),
	)
	return cmd
}

func listSubscriptionsCommand() *cobra.Command {
	var f eventFlags
	var limit int
	var after string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List subscriptions, with how far behind they are",
		Example: "  meridian events subscriptions list\n  meridian events subscriptions list --json",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
		found, err := node.List(ctx, after, limit)
		if err != nil {
			return err
		}
		return printStandings(cmd.OutOrStdout(), found, asJSON)
	})
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	cmd.Flags().StringVar(&after, "after", "", "only subscriptions whose ids come after this one")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func showSubscriptionCommand() *cobra.Command {
	return standingCommand("show SUBSCRIPTION", "Show a subscription and how far it is in each home",
		"  meridian events subscriptions show payouts\n  meridian events subscriptions show payouts --json",
		func(ctx context.Context, node *rpc.EventClient, name string) (event.Standing, error) {
			return node.Get(ctx, name)
		})
}

func resumeCommand() *cobra.Command {
	return standingCommand("resume SUBSCRIPTION", "Go on with a subscription that is paused or failing, at once",
		"  meridian events subscriptions resume payouts",
		func(ctx context.Context, node *rpc.EventClient, name string) (event.Standing, error) {
			return node.Resume(ctx, name)
		})
}

// standingCommand is one whose answer is a subscription as it is then.
func standingCommand(use, short, example string, do func(context.Context, *rpc.EventClient, string) (event.Standing, error)) *cobra.Command {
	var f eventFlags
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1)}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		s, err := do(ctx, node, args[0])
		if err != nil {
			return err
		}
		return printStanding(cmd.OutOrStdout(), s, nil, asJSON)
	})
	f.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func pauseCommand() *cobra.Command {
	var reason string
	cmd := standingCommand("pause SUBSCRIPTION", "Stop deliveries until resume; nothing is lost meanwhile",
		"  meridian events subscriptions pause payouts --reason receiver-maintenance",
		func(ctx context.Context, node *rpc.EventClient, name string) (event.Standing, error) {
			return node.Pause(ctx, name, reason)
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever finds it paused")
	return cmd
}

func createSubscriptionCommand() *cobra.Command {
	var f eventFlags
	var secrets []string
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create the subscription that a file describes",
		Long: `Create the subscription that a file describes; examples/subscription.yaml explains every field. The same again changes nothing.

Secrets are never arguments, where other users of the machine could read them: the file names a variable of the environment or a file, and
--secret-file adds one. A webhook without secrets gets one from the server. It is printed this once: give it to the receiver.`,
		Example: `  meridian events subscriptions create --file examples/subscription.yaml
  meridian events subscriptions create --file examples/subscription.yaml --secret-file 2026-12=/run/secrets/payouts`,
		Args: cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := described(path, secrets)
		if err != nil {
			return err
		}
		return f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
			s, made, err := node.Create(ctx, n)
			if err != nil {
				return err
			}
			return printStanding(cmd.OutOrStdout(), s, made, asJSON)
		})(cmd, args)
	}
	f.register(cmd)
	fileFlags(cmd, &path, &secrets)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func fileFlags(cmd *cobra.Command, path *string, secrets *[]string) {
	cmd.Flags().StringVarP(path, "file", "f", "", "YAML file with the subscription")
	cmd.Flags().StringSliceVar(secrets, "secret-file", nil, "a secret besides those of the file, as in ID=PATH")
}

// described reads the file of a subscription, and the secrets that flags add.
func described(path string, secrets []string) (event.NewSubscription, error) {
	if path == "" {
		return event.NewSubscription{}, errors.New("--file: name the file with the subscription; examples/subscription.yaml is one")
	}
	n, err := readSubscription(path, os.LookupEnv)
	if err != nil {
		return n, err
	}
	added, err := secretFiles(secrets)
	n.Secrets = append(n.Secrets, added...)
	return n, err
}

func secretFiles(flags []string) ([]event.Secret, error) {
	var all []event.Secret
	for _, flag := range flags {
		name, path, ok := strings.Cut(flag, "=")
		if !ok || name == "" || path == "" { // what stands there may be a secret by mistake
			return nil, errors.New("--secret-file: write the id of the secret and the path of its file, as in 2026-12=/run/secrets/payouts")
		}
		value, err := readSecret(path)
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		all = append(all, event.Secret{ID: name, Value: value})
	}
	return all, nil
}

func updateSubscriptionCommand() *cobra.Command {
	var f eventFlags
	var secrets, remove []string
	var path, name string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "update [SUBSCRIPTION]",
		Short: "Bring the changes of a file in, and rotate secrets",
		Long: `Bring a changed file in: filter, sink and metadata become those of the file; residency grants and secrets that are new are added. The homes
of a subscription can not change, and what is delivered already is not delivered again.

To rotate a secret: add the new one, wait until the receiver knows it, remove the old one. In between both sign.`,
		Example: `  meridian events subscriptions update --file examples/subscription.yaml
  meridian events subscriptions update payouts --secret-file 2026-12=/run/secrets/payouts
  meridian events subscriptions update payouts --remove-secret 2026-11`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		a := event.Amendment{RemoveSecrets: remove}
		var homes []id.Home
		if path != "" {
			n, err := described(path, secrets)
			if err != nil {
				return err
			}
			name, homes = n.ID, n.Homes
			a.Filter, a.Sink, a.AddGrants, a.AddSecrets = &n.Filter, &n.Sink, n.Grants, n.Secrets
			if len(n.Metadata) > 0 {
				a.Metadata = &n.Metadata
			}
		} else {
			var err error
			if a.AddSecrets, err = secretFiles(secrets); err != nil {
				return err
			}
		}
		switch {
		case len(args) == 1 && name != "" && args[0] != name:
			return fmt.Errorf("the file describes %s, not %s", name, args[0])
		case len(args) == 1:
			name = args[0]
		case name == "":
			return errors.New("name the subscription, or its file with --file")
		}
		a.ID = name
		return f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, _ []string) error {
			s, err := update(ctx, node, a, homes)
			if err != nil {
				return err
			}
			return printStanding(cmd.OutOrStdout(), s, nil, asJSON)
		})(cmd, args)
	}
	f.register(cmd)
	fileFlags(cmd, &path, &secrets)
	cmd.Flags().StringSliceVar(&remove, "remove-secret", nil, "id of a secret that is not to sign any more")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// update makes a change that a file describes; homes are those of the file, or none.
func update(ctx context.Context, node *rpc.EventClient, a event.Amendment, homes []id.Home) (event.Standing, error) {
	now, err := node.Get(ctx, a.ID)
	if err != nil {
		return event.Standing{}, err
	}
	if len(homes) > 0 && !slices.Equal(slices.Sorted(slices.Values(homes)), slices.Sorted(slices.Values(now.Homes))) {
		return event.Standing{}, fmt.Errorf("the homes of %s are %v and can not change; make another subscription for %v", a.ID, now.Homes, homes)
	}
	a.AddSecrets = slices.DeleteFunc(slices.Clone(a.AddSecrets), func(s event.Secret) bool { // the file lists those that are there as well
		return slices.Contains(now.SecretIDs, s.ID) && !slices.Contains(a.RemoveSecrets, s.ID)
	})
	return node.Update(ctx, a)
}

func deleteSubscriptionCommand() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:     "delete SUBSCRIPTION",
		Short:   "End a subscription for ever, and forget its secrets",
		Example: "  meridian events subscriptions delete payouts",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		if err := node.Delete(ctx, args[0]); err != nil {
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is deleted\n", args[0])
		return err
	})
	f.register(cmd)
	return cmd
}

func testSubscriptionCommand() *cobra.Command {
	var f eventFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test SUBSCRIPTION",
		Short: "Send one made-up event to the sink, and say what came back",
		Long: `Send one made-up event, of the type meridian.test, to the sink of a subscription, in whatever state that is.

Exit code 0: the sink took it; 2: it did not; 1: anything else.`,
		Example: "  meridian events subscriptions test payouts",
		Args:    cobra.ExactArgs(1),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error {
		r, err := node.Test(ctx, args[0])
		if err != nil {
			return err
		}
		return printTest(cmd.OutOrStdout(), args[0], r, asJSON)
	})
	f.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}
