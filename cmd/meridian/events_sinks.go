package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/file"
	"github.com/meridian-ledger/meridian/internal/relay/kafka"
	"github.com/meridian-ledger/meridian/internal/relay/nats"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

// sinkFlags say what the operator of a server lets subscriptions reach.
type sinkFlags struct {
	allowHTTP    bool
	allowPrivate []string
	dir          string
}

func (f *sinkFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.allowHTTP, "webhook-allow-http", false, "let webhooks be called without TLS; events then travel in clear")
	flags.StringSliceVar(&f.allowPrivate, "webhook-allow-private", nil,
		"ranges of addresses that webhooks may be called at although they are not public, as in 10.1.0.0/16,127.0.0.1/32")
	flags.StringVar(&f.dir, "events-dir", "", "directory below which subscriptions may write files of events; left out: none may")
}

// open makes the kinds of sinks that this node delivers to. It dials nobody.
func (f sinkFlags) open(log *slog.Logger) (relay.Sinks, error) {
	web := webhook.Options{AllowHTTP: f.allowHTTP, Log: log}
	for _, text := range f.allowPrivate {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--webhook-allow-private: %q is no range of addresses; write it as in 10.1.0.0/16, one address as in 127.0.0.1/32", text)
		}
		web.AllowPrivate = append(web.AllowPrivate, prefix)
	}
	root := f.dir
	if root != "" {
		var err error
		if root, err = filepath.Abs(root); err != nil {
			return nil, fmt.Errorf("--events-dir: %w", err)
		}
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--events-dir: %s is no directory", root)
		}
	}
	return relay.Sinks{
		webhook.Kind: func(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error) {
			return ready(webhook.New(spec, secrets, web))
		},
		kafka.Kind: func(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error) {
			return ready(kafka.New(spec, secrets, kafka.Options{Log: log}))
		},
		nats.Kind: func(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error) {
			return ready(nats.New(spec, secrets, nats.Options{Log: log}))
		},
		file.Kind: func(spec event.SinkSpec, secrets []event.Secret) (sink.Sink, error) {
			return ready(file.New(spec, secrets, file.Options{Root: root, Log: log}))
		},
	}, nil
}

// ready keeps a nil pointer from becoming a sink that is not nil.
func ready[S sink.Sink](s S, err error) (sink.Sink, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
