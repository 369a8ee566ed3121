package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func tailCommand() *cobra.Command {
	var f eventFlags
	var filter filterFlags
	var home, from string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print the events of a home as they happen",
		Long: `Print the events of a home, from a place on, until ctrl-C; then it says at which position it was, and --from with that position goes on
there. When a server ends, or drains, it goes on with the next of --server where it was: nothing is left out, and nothing comes twice.

The positions of one home mean nothing in another one. With --json each event is a line, whole, as a CloudEvent.`,
		Example: `  meridian events tail --home eu
  meridian events tail --home eu --from beginning --accounts acc_42 --types wallet.*,hold.* --json
  meridian events tail --home eu --from 1042 --server http://eu-1:7070,http://eu-2:7070`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := f.open()
			if err != nil {
				return err
			}
			t := tail{nodes: all, print: printLine, out: cmd.OutOrStdout(), log: cmd.ErrOrStderr(), pause: pauseBetween}
			if asJSON {
				t.print = printCloudEvent
			}
			if t.subscriber.Home, err = parseHome(home); err != nil {
				return err
			}
			t.subscriber.Filter = filter.filter()
			if err := parseFrom(from, &t.subscriber); err != nil {
				return err
			}
			return t.run(cmd.Context())
		},
	}
	f.register(cmd)
	filter.register(cmd)
	cmd.Flags().StringVar(&home, "home", "", "the home whose events are wanted")
	cmd.Flags().StringVar(&from, "from", "now", "beginning, now, a time (2026-11-20T10:00:00Z), or the position after which to go on")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// filterFlags say which events are wanted.
type filterFlags struct {
	ledgers, accounts, types []string
}

func (f *filterFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.ledgers, "ledgers", nil, "only events that touch one of these ledgers")
	flags.StringSliceVar(&f.accounts, "accounts", nil, "only events that touch an account that begins with one of these")
	flags.StringSliceVar(&f.types, "types", nil, "only events of these types, as in wallet.debit.committed, or hold.*")
}

func (f *filterFlags) filter() event.Filter {
	out := event.Filter{AccountPrefixes: f.accounts}
	for _, l := range f.ledgers {
		out.Ledgers = append(out.Ledgers, id.Ledger(l))
	}
	for _, t := range f.types {
		out.Types = append(out.Types, event.Type(t))
	}
	return out
}

// parseFrom reads where to begin.
func parseFrom(text string, s *rpc.Subscriber) error {
	switch text {
	case "now":
		s.Now = true
		return nil
	case "beginning":
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		s.After = event.Position(n)
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("--from: %q is neither beginning, now, a time such as 2026-11-20T10:00:00Z, nor a position", text)
	}
	s.Since = at
	return nil
}

// tail follows a stream from node to node.
type tail struct {
	nodes      nodes
	subscriber rpc.Subscriber // where to go on, once a first word came
	started    bool           // that word came
	print      func(io.Writer, rpc.CloudEvent) error
	out, log   io.Writer
	pause      func(ctx context.Context, round int)
}

// run ends with the context, which is how a person ends it, or with an error that no other node would not make.
func (t *tail) run(ctx context.Context) error {
	failures := 0
	for i := 0; ; i = (i + 1) % len(t.nodes) {
		heard, err := t.follow(ctx, t.nodes[i])
		if ctx.Err() != nil {
			t.farewell()
			return nil
		}
		if !errs.Transient(err) {
			return err
		}
		if failures++; heard {
			failures = 1
		}
		fmt.Fprintf(t.log, "meridian: a node ended the stream (%s); going on at the next one\n", errs.Of(err).Reason)
		if failures >= len(t.nodes) { // none of them is there
			t.pause(ctx, failures/len(t.nodes))
		}
	}
}

// follow hears one node out.
func (t *tail) follow(ctx context.Context, node *rpc.EventClient) (heard bool, err error) {
	for word, err := range node.Subscribe(ctx, t.subscriber) {
		if err != nil {
			return heard, err
		}
		if word.Event != nil {
			if err := t.print(t.out, *word.Event); err != nil {
				return heard, fmt.Errorf("print an event: %w", err)
			}
		}
		heard, t.started = true, true
		t.subscriber.After, t.subscriber.Now, t.subscriber.Since = word.Position, false, time.Time{}
	}
	return heard, ctx.Err()
}

func (t *tail) farewell() {
	if !t.started {
		fmt.Fprintln(t.log, "stopped before anything was heard")
		return
	}
	fmt.Fprintf(t.log, "stopped after position %d of home %s; --from %d goes on\n", t.subscriber.After, t.subscriber.Home, t.subscriber.After)
}

// pauseBetween waits 250 ms to 5 s, a little different each time, so that those who lost a node do not come back all at once.
func pauseBetween(ctx context.Context, round int) {
	wait := min(250*time.Millisecond<<min(round-1, 5), 5*time.Second)
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func printCloudEvent(w io.Writer, e rpc.CloudEvent) error {
	_, err := w.Write(append(bytes.Clone(e.Body), '\n'))
	return err
}

// printed is what a line tells of an event.
type printed struct {
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Ledger  string    `json:"ledger"`
	Account string    `json:"account"`
	Data    struct {
		Kind     string `json:"kind"`
		Amount   string `json:"amount_minor"`
		Currency string `json:"currency"`
		Reason   string `json:"reason"`
	} `json:"data"`
}

// printLine tells an event in one line: position, time, type, account, amount in minor units, why it was declined, and the id.
func printLine(w io.Writer, e rpc.CloudEvent) error {
	var p printed
	if err := json.Unmarshal(e.Body, &p); err != nil {
		return fmt.Errorf("read event %s: %w", e.ID, err)
	}
	where := strings.Trim(p.Ledger+"/"+p.Account, "/")
	what := strings.TrimSpace(p.Data.Amount + " " + p.Data.Currency)
	if p.Data.Reason != "" {
		what = strings.TrimSpace(what+" "+p.Data.Kind) + " " + p.Data.Reason
	}
	if what == "" {
		what = "-"
	}
	_, err := fmt.Fprintf(w, "%8d  %s  %-24s  %-32s  %s  %s\n", e.Position, p.Time.UTC().Format("2006-01-02T15:04:05.000Z"), p.Type, where, what, e.ID)
	return err
}
