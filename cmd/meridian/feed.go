package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// feedFlags are how a node finds out what was committed.
type feedFlags struct {
	kind      string
	tokenFile string
}

const (
	feedEngine  = "engine"
	feedWebhook = "webhook"
)

func (f *feedFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.kind, "feed", feedEngine,
		"how the relay finds out what was committed: engine, by itself; webhook, by a changefeed of CockroachDB that posts to "+rpc.PathCDC+" of any node")
	cmd.Flags().StringVar(&f.tokenFile, "cdc-webhook-token-file", "",
		"turns "+rpc.PathCDC+" on, for changefeeds whose webhook_auth_header is the one line of this file, as in Bearer …; put TLS in front of it")
}

// open returns the source of the relay, and the endpoint of changefeeds where there is one.
func (f feedFlags) open(svc service, registry prometheus.Registerer, log *slog.Logger) (feed.Source, *rpc.CDC, error) {
	switch {
	case f.kind != feedEngine && f.kind != feedWebhook:
		return nil, nil, fmt.Errorf("--feed is %s or %s", feedEngine, feedWebhook)
	case f.kind == feedWebhook && f.tokenFile == "":
		return nil, nil, errors.New("--feed webhook needs --cdc-webhook-token-file: nothing else would bring the events")
	case f.tokenFile != "" && !svc.db.Engine.Changefeeds:
		return nil, nil, errors.New("--cdc-webhook-token-file is for CockroachDB: PostgreSQL has no changefeeds, and the server finds what was committed by itself")
	}
	o := feed.Options{Metrics: feed.NewMetrics(registry), Log: log}
	if f.tokenFile == "" {
		return feed.New(svc.db, o), nil, nil
	}
	authorization, err := readToken(f.tokenFile)
	if err != nil {
		return nil, nil, err
	}
	cdc := &rpc.CDC{Feed: feed.NewWebhook(svc.db, svc.Store, o), Authorization: authorization, MaxBody: feed.MaxHook}
	if f.kind == feedWebhook {
		return feed.NewResting(svc.db, o), cdc, nil
	}
	return feed.New(svc.db, o), cdc, nil
}

// minToken is the least length of a token: shorter ones can be guessed.
const minToken = 16

// readToken reads the value of an Authorization header. Errors say nothing of what is in the file.
func readToken(path string) (string, error) {
	raw, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("read the token of the changefeed: %w", err)
	}
	token := bytes.TrimSpace(raw)
	if len(token) < minToken || bytes.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", fmt.Errorf("%s: want one line of at least %d printable ASCII characters, as in Bearer and 32 random ones", path, minToken)
	}
	return string(token), nil
}
