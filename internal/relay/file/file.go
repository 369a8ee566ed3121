// Package file writes events into files for analysts: NDJSON or Parquet, under <root>/<directory>/home=<home>/date=<YYYY-MM-DD>/. It
// implements sink.Sink.
//
// Every event is in the files of a directory once. A file is written under a hidden name, synced, renamed to <first>-<last> and its directory synced:
// it is there whole or not at all. An event has one position and one date (the day on which it was recorded, in UTC) for ever, so a repeat
// belongs to the same directory, whatever batch it comes in; where a file of that directory has the position in it, the event is
// safe and is not written again. The names alone would not tell: batches are cut in another way after a restart, and an event that met an
// obstacle comes when later ones are there already. So files whose span covers a repeat are read. A replay writes what is missing and nothing
// else: delete files, replay their range, and they are there again. A lock on each home's directory keeps a second writer out, as there is one
// for a moment when a relay takes over.
package file

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Kind is how a subscription names this sink.
const Kind = "file"

// Options are for the whole server.
type Options struct {
	Root string       // where files go; empty is a server that writes none
	Log  *slog.Logger // nil is silence
}

// Sink is a directory. It is safe for concurrent use.
type Sink struct {
	settings Settings
	root     string
	log      *slog.Logger

	mu    sync.Mutex
	swept map[id.Home]bool // nothing is left there of writers that died
}

var _ sink.Sink = (*Sink)(nil)

// New makes the sink of a subscription ready and touches no file. Errors are *errs.Error of a field.
func New(spec event.SinkSpec, _ []event.Secret, o Options) (*Sink, error) {
	if spec.Kind != Kind {
		return nil, errs.Invalid("sink.kind", "the sink is no directory of files")
	}
	settings, err := Parse(spec.Settings)
	if err != nil {
		return nil, err
	}
	if o.Root == "" {
		return nil, errs.Invalid("sink.kind", "this server was given no directory for files")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Sink{settings: settings, root: o.Root, log: o.Log, swept: map[id.Home]bool{}}, nil
}

// Shape says one call, one file.
func (s *Sink) Shape() sink.Shape {
	return sink.Shape{Batch: s.settings.Batch, Parallel: 1, Linger: s.settings.Linger}
}

// Close has nothing to do: nothing is open between calls.
func (s *Sink) Close() error { return nil }

// String names the directory.
func (s *Sink) String() string { return "directory " + s.settings.Directory }

// Deliver writes messages, a file for each date among them, and returns when they are on the disk.
func (s *Sink) Deliver(ctx context.Context, messages []sink.Message) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost, err := s.deliver(ctx, messages)
	if err == nil {
		return len(messages), nil
	}
	if bad := (*malformedError)(nil); errors.As(err, &bad) { // what is before it can be safe all the same
		before := slices.IndexFunc(messages, func(m sink.Message) bool { return m.Position == bad.position })
		if lost, other := s.deliver(ctx, messages[:before]); other != nil {
			return safe(messages, lost), s.failure(ctx, other)
		}
		return before, s.failure(ctx, err)
	}
	return safe(messages, lost), s.failure(ctx, err)
}

// safe counts the messages before the first whose part is not written.
func safe(messages []sink.Message, lost map[part]bool) int {
	for i, m := range messages {
		if lost[partOf(m)] {
			return i
		}
	}
	return len(messages)
}

// part is a directory of files: a home and a date, or the tests of a home.
type part struct {
	home id.Home
	date string
	test bool
}

func partOf(m sink.Message) part {
	if m.Test {
		return part{home: m.Home, test: true}
	}
	return part{home: m.Home, date: m.Record.Outcome.RecordedAt.UTC().Format("2006-01-02")}
}

// deliver returns the parts that are not written, where there is an error.
func (s *Sink) deliver(ctx context.Context, messages []sink.Message) (map[part]bool, error) {
	var order []part
	of, lost := map[part][]sink.Message{}, map[part]bool{}
	for _, m := range messages {
		p := partOf(m)
		if !lost[p] {
			order = append(order, p)
			lost[p] = true
		}
		of[p] = append(of[p], m)
	}
	base, err := s.open()
	if err != nil {
		return lost, err
	}
	defer base.Close()
	for _, p := range order {
		if err := ctx.Err(); err != nil {
			return lost, err
		}
		if err := s.write(ctx, base, p, of[p]); err != nil {
			return lost, err
		}
		delete(lost, p)
	}
	return nil, nil
}
