package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/meridian-ledger/meridian/internal/bench"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// runBenchStream measures delays of the change stream, on the nodes that a bench brings up, or that are named.
func runBenchStream(cmd *cobra.Command, f benchFlags) error {
	if f.rate == 0 {
		f.rate = 500
	}
	if len(f.against) > 0 || f.suite {
		return errors.New("--stream stands alone: without --against and --suite")
	}
	delays, err := f.measureStream(cmd.Context(), saying(cmd.ErrOrStderr()))
	if err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(cmd.OutOrStdout(), delays)
	}
	return delays.WriteText(cmd.OutOrStdout())
}

func (f benchFlags) measureStream(ctx context.Context, say func(string)) (d bench.Delays, err error) {
	for f.seed == 0 {
		f.seed = rand.Uint64()
	}
	load, err := f.load()
	if err != nil {
		return d, err
	}
	f.serveArgs = append([]string{"--webhook-allow-http", "--webhook-allow-private=127.0.0.0/8"}, f.serveArgs...)
	target, err := f.open(ctx, say)
	defer func() { err = errors.Join(err, target.stop()) }()
	if err != nil {
		return d, err
	}
	books := bench.Names(id.Ledger(fmt.Sprintf("bench-%x", time.Now().UnixNano())), f.accounts)
	if err := books.Open(ctx, target.services[0], benchHome); err != nil {
		return d, err
	}
	searched := rpc.NewClient(rpc.NewHTTPClient(nil, false), target.urls[0])
	s := bench.Stream{
		Books: books, Home: benchHome, Services: target.services, Meter: target.meter, URL: target.url, Sample: 50,
		Events: rpc.NewEventClient(rpc.NewHTTPClient(nil, false), target.urls[0]),
		Search: func(ctx context.Context, o ledger.Outcome) error {
			_, err := searched.SearchTransactions(ctx, &ledgerv1.SearchTransactionsRequest{
				Ledger: string(o.Ledger), AtLeast: rpc.PositionToken(o), Wait: durationpb.New(30 * time.Second), PageSize: 1,
			})
			return err
		},
	}
	return s.Run(ctx, load)
}
