package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/meridian-ledger/meridian/internal/bench"
	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/schema"
)

// benchTarget is what a load is put on, and how to get rid of what was started for it.
type benchTarget struct {
	services []ledger.Service
	urls     []string // of the nodes behind them
	meter    *bench.Meter
	url      string // of the database, where it is known
	engine   string
	stops    []func() error // last started, first stopped
}

// stop ends what was started.
func (t *benchTarget) stop() error {
	var all []error
	for i := len(t.stops) - 1; i >= 0; i-- {
		all = append(all, t.stops[i]())
	}
	return errors.Join(all...)
}

// open connects to the named servers, or starts some. What it returns has to be stopped, also after an error.
func (f *benchFlags) open(ctx context.Context, say func(string)) (*benchTarget, error) {
	t := &benchTarget{url: f.url}
	client, options, err := f.client()
	if err != nil {
		return t, err
	}
	urls := f.servers
	if len(urls) == 0 {
		if urls, err = f.start(ctx, t, say); err != nil {
			return t, err
		}
	}
	for _, url := range urls {
		t.services = append(t.services, rpc.NewClient(client, strings.TrimSuffix(url, "/"), options...))
	}
	t.urls = urls
	t.meter = bench.NewMeter(rpc.NewHTTPClient(nil, false), urls...)
	return t, nil
}

// client speaks the protocol. It does not ask for compressed answers: between two ends of one network they cost more than they save.
func (f *benchFlags) client() (connect.HTTPClient, []connect.ClientOption, error) {
	plain := connect.WithAcceptCompression("gzip", nil, nil)
	switch f.protocol {
	case "connect":
		if slices.ContainsFunc(f.servers, func(url string) bool { return strings.HasPrefix(url, "https:") }) {
			return rpc.NewHTTPClient(nil, false), []connect.ClientOption{plain}, nil
		}
		return bench.NewWire(), []connect.ClientOption{plain}, nil
	case "h2":
		return rpc.NewHTTPClient(nil, true), []connect.ClientOption{plain}, nil
	case "grpc":
		return rpc.NewHTTPClient(nil, true), []connect.ClientOption{plain, connect.WithGRPC()}, nil
	}
	return nil, nil, fmt.Errorf("--protocol %s: want connect, h2 or grpc", f.protocol)
}

// start brings up an engine, unless there is one, and server nodes on it.
func (f *benchFlags) start(ctx context.Context, t *benchTarget, say func(string)) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	engine, err := cluster.Start(ctx, cluster.Options{DatabaseURL: f.url, Engine: f.engine, Dir: f.dir, Durable: true, Progress: say})
	if err != nil {
		return nil, err
	}
	t.stops, t.url, t.engine = append(t.stops, engine.Stop), engine.URL, engine.Name+" "+engine.Version
	if f.url == "" { // a database that somebody else keeps is not ours to migrate
		if err := schema.Up(ctx, engine.URL, schema.Options{}); err != nil {
			return nil, err
		}
	}
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	logs, err := os.MkdirTemp("", "meridian-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for logs: %w", err)
	}
	t.stops = append(t.stops, func() error { return os.RemoveAll(logs) })
	var urls []string
	for i := range f.nodes {
		node, err := cluster.StartNode(ctx, cluster.NodeOptions{
			Binary: binary, Dir: logs, Region: "bench-" + strconv.Itoa(i), DatabaseURL: engine.URL, Args: f.serveArgs,
		})
		if err != nil {
			return nil, err
		}
		t.stops = append(t.stops, node.Stop)
		urls = append(urls, node.URL)
		say(fmt.Sprintf("server: %s (process %d)", node.URL, node.PID()))
	}
	return urls, nil
}
