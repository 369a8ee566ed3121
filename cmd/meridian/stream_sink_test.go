package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/sim"
)

func specOf(kind string, settings map[string]any) event.SinkSpec {
	text, _ := json.Marshal(settings) // texts and numbers
	return event.SinkSpec{Kind: kind, Settings: text}
}

// jetStream is a NATS server with a stream of its own. It forgets ids at once, so that repeats are there to be seen.
type jetStream struct {
	url    string
	stream jetstream.Stream
}

func newJetStream(t *testing.T) *jetStream {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("NATS did not start")
	}
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	made, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"chaos.>"}, Duplicates: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return &jetStream{s.ClientURL(), made}
}

func (s *jetStream) spec() event.SinkSpec {
	return specOf("nats", map[string]any{"servers": []string{s.url}, "subject_prefix": "chaos"})
}

// read lets a witness hear all that is in the stream.
func (s *jetStream) read(t *testing.T, w *sim.Witness) {
	t.Helper()
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := info.State.FirstSeq; n <= info.State.LastSeq; n++ {
		m, err := s.stream.GetMsg(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		attributes := map[string]string{}
		for name, values := range m.Header {
			if name, is := strings.CutPrefix(name, "ce-"); is {
				if attributes[name], err = url.PathUnescape(values[0]); err != nil {
					t.Fatal(err)
				}
			}
		}
		body, err := structured(attributes, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		w.Hear(body)
	}
}

// newKafka has one partition, so that the log has one order.
func newKafka(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func kafkaSpec(c *kfake.Cluster) event.SinkSpec {
	return specOf("kafka", map[string]any{"brokers": c.ListenAddrs(), "topic": "events"})
}

func readKafka(t *testing.T, c *kfake.Cluster, w *sim.Witness) {
	t.Helper()
	reader, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.ConsumeTopics("events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	end := c.PartitionInfo("events", 0).HighWatermark
	for at := int64(0); at < end; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			attributes := map[string]string{}
			for _, h := range r.Headers {
				if name, is := strings.CutPrefix(h.Key, "ce_"); is {
					attributes[name] = string(h.Value)
				} else if h.Key == "content-type" {
					attributes["datacontenttype"] = string(h.Value)
				}
			}
			body, err := structured(attributes, r.Value)
			if err != nil {
				t.Error(err)
			}
			w.Hear(body)
		})
	}
}

// readFiles lets a witness hear the files of a directory in the order in which they were written. Nothing else may lie there.
func readFiles(t *testing.T, dir string, w *sim.Witness) {
	t.Helper()
	type file struct {
		path string
		at   time.Time
	}
	var all []file
	legal := regexp.MustCompile(`^home=[a-z]+/(\.lock|date=\d{4}-\d\d-\d\d/\d{20}-\d{20}\.ndjson)$`)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if !legal.MatchString(filepath.ToSlash(name)) {
			t.Errorf("%s lies among the files", name)
		}
		info, err := d.Info()
		if err == nil && filepath.Ext(path) == ".ndjson" {
			all = append(all, file{path, info.ModTime()})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b file) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.path, b.path) // as positions sort
	})
	for _, f := range all {
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			w.Hear(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	if _, repeats, _ := w.Heard(); repeats > 0 {
		t.Errorf("%d events stand twice in the files", repeats)
	}
}
