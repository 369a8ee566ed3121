package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/sink/sinktest"
)

var bothFormats = []Format{NDJSON, Parquet}

// T is what *testing.T and *rapid.T have.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// newSink writes below root, into out.
func newSink(t T, root string, f Format) *Sink {
	t.Helper()
	settings := fmt.Sprintf(`{"directory":"out","format":"FILE_FORMAT_%s"}`, strings.ToUpper(string(f)))
	s, err := New(event.SinkSpec{Kind: Kind, Settings: json.RawMessage(settings)}, nil, Options{Root: root})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return s
}

func deliver(t T, s *Sink, messages []sink.Message) {
	t.Helper()
	if safe, err := s.Deliver(context.Background(), messages); err != nil || safe != len(messages) {
		t.Fatalf("%d of %d are safe: %v", safe, len(messages), err)
	}
}

// written reads all files, and returns positions by directory, and the names of what is no whole file.
func written(t T, root string, f Format) (positions map[string][]event.Position, others []string) {
	t.Helper()
	positions = map[string][]event.Position{}
	base, err := os.OpenRoot(root)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer base.Close()
	err = fs.WalkDir(base.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockName {
			return err
		}
		if _, ok := parseName(d.Name(), f); !ok {
			others = append(others, name)
			return nil
		}
		all, err := readPositions(base, name, f)
		dir := filepath.Dir(name)
		positions[dir] = append(positions[dir], all...)
		return err
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for _, all := range positions {
		slices.Sort(all)
	}
	return positions, others
}

// once fails unless the files have just these messages, each once and in its directory.
func once(t T, root string, f Format, messages []sink.Message) {
	t.Helper()
	want := map[string][]event.Position{}
	for _, m := range messages {
		dir := "out/home=eu/date=" + m.Record.Outcome.RecordedAt.UTC().Format("2006-01-02")
		want[dir] = append(want[dir], m.Position)
	}
	got, others := written(t, root, f)
	if fmt.Sprint(got) != fmt.Sprint(want) || len(others) > 0 {
		t.Fatalf("files have %v and %v besides, want %v", got, others, want)
	}
}

// overMidnight returns messages of two dates.
func overMidnight(t sinktest.T, n int) []sink.Message {
	b := sinktest.New(t)
	all := b.Credits(n/2, "acc_1", "acc_2")
	b.Clock.Advance(24 * time.Hour)
	for len(all) < n {
		all = append(all, b.Credit("acc_1", "1", "EUR"))
	}
	return all
}

func TestDeliver_EachDateHasItsDirectory(t *testing.T) {
	for _, f := range bothFormats {
		t.Run(string(f), func(t *testing.T) {
			root, all := t.TempDir(), overMidnight(t, 10)
			deliver(t, newSink(t, root, f), all)
			once(t, root, f, all)
			for _, name := range []string{
				"home=eu/date=2025-03-10/00000000000000000001-00000000000000000005." + string(f),
				"home=eu/date=2025-03-11/00000000000000000006-00000000000000000010." + string(f),
			} {
				if _, err := os.Stat(filepath.Join(root, "out", name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestDeliver_NDJSONIsTheEvents(t *testing.T) {
	root, all := t.TempDir(), overMidnight(t, 4)[:2]
	deliver(t, newSink(t, root, NDJSON), all)
	text, err := os.ReadFile(filepath.Join(root, "out/home=eu", "date=2025-03-10", spanOf(all).name(NDJSON)))
	if want := string(all[0].Body) + "\n" + string(all[1].Body) + "\n"; err != nil || string(text) != want {
		t.Errorf("%s (%v), want %s", text, err, want)
	}
}

// A relay that starts again cuts batches in another way, sends an event late that met an obstacle, and repeats.
func TestDeliver_EveryPositionOnceHoweverBatchesAreCut(t *testing.T) {
	all := overMidnight(t, 60)
	for _, f := range bothFormats {
		t.Run(string(f), func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				root, err := os.MkdirTemp(t.TempDir(), "")
				if err != nil {
					r.Fatalf("%v", err)
				}
				s := newSink(r, root, f)
				for range rapid.IntRange(1, 6).Draw(r, "calls") {
					if rapid.Bool().Draw(r, "restart") {
						s = newSink(r, root, f)
					}
					from := rapid.IntRange(0, len(all)-1).Draw(r, "from")
					batch := slices.Clone(all[from:rapid.IntRange(from+1, len(all)).Draw(r, "to")])
					left := rapid.IntRange(0, len(batch)-1).Draw(r, "left out")
					if len(batch) > 1 {
						batch = slices.Delete(batch, left, left+1)
					}
					deliver(r, s, batch)
				}
				deliver(r, newSink(r, root, f), all)
				once(r, root, f, all)
			})
		})
	}
}

func TestDeliver_ReplayWritesWhatWasDeleted(t *testing.T) {
	root, all := t.TempDir(), overMidnight(t, 12)
	s := newSink(t, root, Parquet)
	deliver(t, s, all[:3])
	deliver(t, s, all[3:])
	if err := os.Remove(filepath.Join(root, "out/home=eu/date=2025-03-10", spanOf(all[3:6]).name(Parquet))); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, all)
	once(t, root, Parquet, all)
}

func TestDeliver_TestLeavesNothing(t *testing.T) {
	for _, f := range bothFormats {
		root := t.TempDir()
		deliver(t, newSink(t, root, f), []sink.Message{sinktest.Test(t)})
		if got, others := written(t, root, f); len(got)+len(others) > 0 {
			t.Errorf("%s: %v, %v", f, got, others)
		}
	}
}

func TestDeliver_SweepsWhatDeadWritersLeft(t *testing.T) {
	root, all := t.TempDir(), overMidnight(t, 4)
	deliver(t, newSink(t, root, Parquet), all[:1])
	day := filepath.Join(root, "out/home=eu/date=2025-03-10")
	for _, name := range []string{hidden(spanOf(all[:2]).name(Parquet)), hidden(spanOf(all).name(NDJSON)), "somebody.else.tmp"} {
		if err := os.WriteFile(filepath.Join(day, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, newSink(t, root, Parquet), all)
	if got, others := written(t, root, Parquet); len(got) != 2 || fmt.Sprint(others) != "[out/home=eu/date=2025-03-10/somebody.else.tmp]" {
		t.Errorf("%v, %v", got, others)
	}
}

// failed fails unless a call failed in this way, with a part of it safe.
func failed(t *testing.T, s *Sink, messages []sink.Message, safe int, verdict sink.Verdict, cause, detail string) {
	t.Helper()
	got, err := s.Deliver(t.Context(), messages)
	var e *sink.Error
	if !errors.As(err, &e) || got != safe || e.Verdict != verdict || e.Cause != cause || !strings.Contains(e.Detail, detail) {
		t.Errorf("%d safe, %v; want %d, %s %s: %s", got, err, safe, verdict, cause, detail)
	}
}

func TestDeliver_FollowsNoLink(t *testing.T) {
	all := overMidnight(t, 4)
	for _, link := range []string{"out", "out/home=eu", "out/home=eu/date=2025-03-10"} {
		root, elsewhere := t.TempDir(), t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(link)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
		failed(t, newSink(t, root, NDJSON), all, 0, sink.Down, "settings", "symbolic link")
		if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
			t.Errorf("%s: wrote %v behind a link", link, left)
		}
	}
}

func TestDeliver_SaysWhatIsWrong(t *testing.T) {
	all := overMidnight(t, 4)
	failed(t, newSink(t, filepath.Join(t.TempDir(), "gone"), NDJSON), all, 0, sink.Down, "disk", "does not exist")

	root := t.TempDir()
	deliver(t, newSink(t, root, Parquet), all[:1])
	broken := filepath.Join(root, "out/home=eu/date=2025-03-10", spanOf(all[:1]).name(Parquet))
	if err := os.WriteFile(broken, []byte("PAR1"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed(t, newSink(t, root, Parquet), all, 0, sink.Down, "unreadable", "move it away")

	malformed := slices.Clone(all)
	malformed[3].Data = []byte(`{"entries":[{"amount":"1e3","balance":"0"}]}`)
	root = t.TempDir()
	failed(t, newSink(t, root, Parquet), malformed, 3, sink.Poison, "unreadable", "columns")
	once(t, root, Parquet, all[:3])

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if safe, err := newSink(t, t.TempDir(), NDJSON).Deliver(canceled, all); safe != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", safe, err)
	}
}

// The second date can not be written: the first is safe.
func TestDeliver_ReturnsThePrefixThatIsWritten(t *testing.T) {
	root, all := t.TempDir(), overMidnight(t, 10)
	if err := os.MkdirAll(filepath.Join(root, "out/home=eu"), 0o700); err != nil {
		t.Fatal(err)
	}
	obstacle := filepath.Join(root, "out/home=eu/date=2025-03-11")
	if err := os.WriteFile(obstacle, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, root, Parquet)
	failed(t, s, all, 5, sink.Down, "disk", "can not be written")
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, all)
	once(t, root, Parquet, all)
}

func TestDeliver_OneWriterAtATime(t *testing.T) {
	root, all := t.TempDir(), overMidnight(t, 40)
	errs := make(chan error)
	for i := range 4 {
		go func() {
			_, err := newSink(t, root, NDJSON).Deliver(t.Context(), all[5*i:])
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	once(t, root, NDJSON, all)

	base, err := os.OpenRoot(filepath.Join(root, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	unlock, err := lock(t.Context(), base, "home=eu/"+lockName)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	brief, cancel := context.WithTimeout(t.Context(), 3*lockEvery)
	defer cancel()
	if safe, err := newSink(t, root, NDJSON).Deliver(brief, all); safe != 0 || err == nil {
		t.Errorf("%d, %v: wrote beside another writer", safe, err)
	}
}
