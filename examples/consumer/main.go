// Command consumer is a reference for who receives the change stream of Meridian: by webhook, or by a stream of its own with --subscribe.
//
// It shows what every consumer has to do: verify signatures, deduplicate by the id of the event, write an event down before saying so, and act on
// the events of an account in the order of its sequences. What it does with them is a summary. README.md beside it says what to take over
// and what not. Look at ledger.go for the order, store.go for what survives a crash.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], strings.Fields(os.Getenv("WEBHOOK_SECRETS")), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "consumer:", err)
		os.Exit(1)
	}
}

// run consumes until the context ends, and then writes the summary as JSON.
func run(ctx context.Context, args, secrets []string, out io.Writer) error {
	flags := flag.NewFlagSet("consumer", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:8080", "address for webhooks, behind what ends TLS")
	path := flags.String("store", "events.ndjson", "file of the events that were taken")
	subscribe := flags.String("subscribe", "", "base URL of a server: subscribe there instead of waiting for webhooks")
	home := flags.String("home", "", "home to subscribe to")
	patience := flags.Duration("patience", time.Minute, "how long an event waits for an earlier one of its account; a subscription, which is in order, waits for none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *subscribe != "" {
		*patience = 0
	}
	s, err := openStore(*path, *patience)
	if err != nil {
		return err
	}
	watching, end := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(watching) }()
	defer func() { end(); <-watched }()
	if *subscribe != "" {
		err = follow(ctx, *subscribe, *home, s, out)
	} else {
		err = serve(ctx, *listen, secrets, s, out)
	}
	if ctx.Err() != nil { // somebody ended it, which is no failure
		err = nil
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return errors.Join(err, e.Encode(s.summary()), s.close())
}

func serve(ctx context.Context, address string, secrets []string, s *store, out io.Writer) error {
	if len(secrets) == 0 {
		return errors.New("WEBHOOK_SECRETS names no secret: whsec_… or whpk_…, with spaces between several")
	}
	keys, err := parseKeys(secrets)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "listening on", listener.Addr())
	server := &http.Server{Handler: receiver{keys: keys, store: s, now: time.Now}, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}
