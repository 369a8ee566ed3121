package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// Pauses between attempts, and how long a server may say nothing: it sends a heartbeat each heartbeatEvery.
const (
	firstPause     = 100 * time.Millisecond
	lastPause      = 10 * time.Second
	heartbeatEvery = 5 * time.Second
	silence        = 4 * heartbeatEvery
)

// errDisk is what no other connection mends.
var errDisk = errors.New("the store fails")

// follow reads the stream of a home, after what the store has, and connects again when it breaks, until the context ends.
func follow(ctx context.Context, url, home string, s *store, out io.Writer) error {
	if home == "" {
		return errors.New("name the home with --home")
	}
	client := ledgerv1connect.NewEventServiceClient(http.DefaultClient, url)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		before := s.position(home)
		err := session(ctx, client, home, s)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errDisk), connect.CodeOf(err) == connect.CodeInvalidArgument, connect.CodeOf(err) == connect.CodeUnimplemented:
			return err
		case s.position(home) > before:
			pause = firstPause
		}
		fmt.Fprintln(out, "the stream ended and begins again:", err)
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func session(ctx context.Context, client ledgerv1connect.EventServiceClient, home string, s *store) error {
	ctx, hangUp := context.WithCancel(ctx)
	defer hangUp()
	watchdog := time.AfterFunc(silence, hangUp) // a connection may be dead without a word
	defer watchdog.Stop()
	stream, err := client.Subscribe(ctx, connect.NewRequest(&ledgerv1.SubscribeRequest{
		Home: home, From: &ledgerv1.SubscribeRequest_After{After: s.position(home)}, Heartbeat: durationpb.New(heartbeatEvery),
	}))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		watchdog.Reset(silence)
		got := stream.Msg().GetEvent()
		if got == nil {
			continue // a heartbeat: the silence is one of the stream
		}
		e, err := parseEvent([]byte(got.GetCloudEvent()))
		if err != nil {
			return err
		}
		if err := s.take(e); err != nil {
			return errors.Join(errDisk, err)
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return io.EOF
}
