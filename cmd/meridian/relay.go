package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/topology"
)

func relayFlag(cmd *cobra.Command, p *bool) {
	cmd.Flags().BoolVar(p, "relay", true,
		"work on the change streams of homes that no other node works on: write their order down and deliver; with --topology, on those of other regions last")
}

// streams is what a node does for the change stream: it hears of what is new in every home, lets operators manage subscriptions, and works on
// the homes whose lease it gets.
type streams struct {
	tails     *relay.Tails
	operators *relay.Subscriptions
	search    *search.Service
	cdc       *rpc.CDC
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// startStreams begins, and goes on until the node leaves; end waits for it. Runners besides its own work under the same leases.
func startStreams(
	ctx context.Context, f serveFlags, where places, svc service, registry prometheus.Registerer, log *slog.Logger, besides ...relay.Runner,
) (*streams, error) {
	sinks, err := f.sinks.open(log)
	if err != nil {
		return nil, err
	}
	source, cdc, err := f.feed.open(svc, registry, log)
	if err != nil {
		return nil, err
	}
	var listen relay.Listen
	if svc.db.Engine.Notifies {
		listen = func(ctx context.Context, told func()) error { return svc.db.Listen(ctx, "meridian_stream", told) }
	}
	s := &streams{tails: relay.NewTails(svc.Store, listen, svc.db.Engine.Poll, log), cdc: cdc}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx)) // the signal to end begins with a drain
	homeOf := homeOf(ctx, svc.Store, log)
	s.operators = &relay.Subscriptions{
		Store: svc.Store, Stream: svc.Store, Sinks: sinks, HomeOf: homeOf, RegionOf: where.regionOf,
		MakeSecret: map[string]func() []byte{webhook.Kind: webhook.MakeSecret},
	}
	progress := relay.NewTails(search.Heads{Store: svc.Store}, nil, searchPoll, log)
	s.search = search.NewService(svc.Store, s.tails, progress)
	s.running.Go(func() { s.tails.Run(ctx) })
	if !f.relay {
		return s, nil
	}
	deliverers := relay.NewDeliverers(relay.DeliverOptions{
		Store: svc.Store, Stream: svc.Store, Sinks: sinks, HomeOf: homeOf, RegionOf: where.regionOf, Metrics: relay.NewDeliveryMetrics(registry), Log: log,
	})
	projector := search.NewProjector(svc.Store, s.tails, progress, search.NewMetrics(registry), log)
	r := relay.New(relay.Options{
		Store: svc.Store, Source: source, Tails: s.tails, Owner: relayName(f.region),
		Near: where.near, Runners: append([]relay.Runner{deliverers, projector}, besides...), Grown: deliverers.Wake, Metrics: relay.NewMetrics(registry), Log: log,
	})
	working, leave := context.WithCancel(ctx)
	s.running.Go(func() { r.Run(working) })
	s.running.Go(func() { // others take over while this node drains
		defer leave()
		select {
		case <-svc.leaving.begun:
		case <-ctx.Done():
		}
	})
	return s, nil
}

// searchPoll is how often a search that waits looks how far another node has got with the model.
const searchPoll = 50 * time.Millisecond

// end stops everything that startStreams began, and returns when the leases are released.
func (s *streams) end() {
	s.stop()
	s.running.Wait()
}

// places are what a node knows of a topology; without one, all is nil.
type places struct {
	homes    []id.Home
	near     func(id.Home) bool // lives in our region, or nobody knows where
	regionOf func(id.Home) (string, bool)
}

func placesOf(region, name string) (places, error) {
	if name == "" {
		return places{}, nil
	}
	t, err := loadTopology(name)
	if err != nil {
		return places{}, err
	}
	return places{
		homes: t.HomeNames(),
		near: func(home id.Home) bool {
			r, known := t.RegionOf(home)
			return !known || r == topology.Region(region)
		},
		regionOf: func(home id.Home) (string, bool) {
			r, known := t.RegionOf(home)
			return string(r), known
		},
	}, nil
}

// homeOf tells the home of a ledger. Where the database can not be asked it asks again: a delivery that took a ledger for unknown would lack
// entries for ever. It gives up with the context alone.
func homeOf(ctx context.Context, books *store.Store, log *slog.Logger) func(id.Ledger) (id.Home, bool) {
	const pause = 500 * time.Millisecond
	return func(name id.Ledger) (id.Home, bool) {
		for {
			l, err := books.Ledger(ctx, name)
			switch {
			case err == nil:
				return l.Home, true
			case errors.Is(err, errs.ErrLedgerNotFound) || ctx.Err() != nil:
				return "", false
			}
			log.Warn("look up the home of a ledger, again and again", "ledger", name, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}
}

// relayName is how a person finds the process that has a lease. No two processes share one, also where one has the other's number.
func relayName(region string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%s/%d/%s", region, host, os.Getpid(), rand.Text()[:8])
}
