package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Watch the change stream, and manage who it is delivered to",
		Long: `Every command that the ledger decides, posted or declined, becomes one event: a CloudEvent with the id of the transaction. The events of a
home stand in one stream, at positions from 1 without a gap, and in order on each account.

tail reads the stream itself. A subscription has the servers deliver it: to a webhook, to Kafka, to NATS or into files. What a sink does not
take is tried again, and in the end it is a dead letter, which waits for somebody to retry or discard it. A replay delivers a range again.`,
		Example: `  meridian events tail --home eu --types wallet.*
  meridian events subscriptions create --file examples/subscription.yaml
  meridian events dead-letters list payouts
  meridian events replay start payouts --home eu --id again-1 --first 100 --last 200 --reason lost-by-receiver`,
	}
	cmd.AddCommand(tailCommand(), subscriptionsCommand(), deliveriesCommand(), deadLettersCommand(), replayCommand(), changefeedCommand())
	return cmd
}

// eventFlags are how a tool reaches the change stream: at the first server that can be reached.
type eventFlags struct {
	servers []string
	caFile  string
}

func (f *eventFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.servers, "server", []string{"http://127.0.0.1:7070"}, "base URLs of server nodes; where one can not be reached, the next is asked")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with the authority of the servers' certificates, where the system does not know it")
}

// nodes are clients of several servers.
type nodes []*rpc.EventClient

func (f *eventFlags) open() (nodes, error) {
	return openEach(f, rpc.NewEventClient)
}

// openEach makes a client of each server.
func openEach[T any](f *eventFlags, client clientOf[T]) ([]T, error) {
	if len(f.servers) == 0 {
		return nil, errors.New("--server: name a server")
	}
	all := make([]T, len(f.servers))
	for i, server := range f.servers {
		server = strings.TrimSpace(server)
		if !strings.HasPrefix(server, "http://") && !strings.HasPrefix(server, "https://") {
			return nil, fmt.Errorf("--server: %q is no base URL; write it as in http://127.0.0.1:7070", server)
		}
		config, err := trusting(server, f.caFile)
		if err != nil {
			return nil, err
		}
		all[i] = client(rpc.NewHTTPClient(config, false), server)
	}
	return all, nil
}

// do asks one server after another, until one answers. What is asked may be asked twice.
func (n nodes) do(ask func(*rpc.EventClient) error) error { return askEach(n, ask) }

func askEach[T any](nodes []T, ask func(T) error) (err error) {
	for _, node := range nodes {
		if err = ask(node); err == nil || errs.Of(err).Code != errs.Unavailable {
			return err
		}
	}
	return err
}

// asking is what a command about subscriptions does: a server, a question, and the answer in one of two forms.
func (f *eventFlags) asking(ask func(ctx context.Context, cmd *cobra.Command, node *rpc.EventClient, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		all, err := f.open()
		if err != nil {
			return err
		}
		return all.do(func(node *rpc.EventClient) error { return ask(cmd.Context(), cmd, node, args) })
	}
}

// parseHome reads --home, so that the error names the flag.
func parseHome(text string) (id.Home, error) {
	home, err := id.ParseHome(text)
	if err != nil {
		return "", fmt.Errorf("--home: %w", err)
	}
	return home, nil
}
