package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// sinking posts what a changefeed of CockroachDB says to servers, as its webhook sink would: batches side by side, each to any server and again
// until it is taken. The rows are a real changefeed's, in its order and with its repeats; the sink is ours, because builds without a licence have none.
type sinking struct {
	t     *testing.T
	token string
	mu    sync.Mutex
	nodes []string
	sent  atomic.Int64 // batches that were taken
	again atomic.Int64 // attempts that were not
}

func (s *sinking) to(nodes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = nodes
}

// run ends with the context; what is under way is posted until it is taken.
func (s *sinking) run(ctx context.Context, url string) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer context.AfterFunc(ctx, func() { _ = conn.PgConn().Conn().Close() })() // rows of a changefeed have no other end
	rows, err := conn.Query(context.WithoutCancel(ctx), `CREATE CHANGEFEED FOR TABLE journal WITH updated`, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		s.t.Error(err)
		return
	}
	batches := make(chan [][]byte)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for batch := range batches {
				s.post(batch)
			}
		})
	}
	said := make(chan []byte, 64)
	go func() {
		defer close(said)
		for rows.Next() {
			values := rows.RawValues() // table, key, value; bytes as \x and digits
			key, keyErr := hex.DecodeString(string(values[1][2:]))
			value, err := hex.DecodeString(string(values[2][2:]))
			if err != nil || keyErr != nil {
				s.t.Error(err, keyErr)
				return
			}
			said <- fmt.Appendf(nil, `%s, "key": %s, "topic": "journal"}`, bytes.TrimSuffix(value, []byte("}")), key)
		}
	}()
	for row := range said { // batches are small, so that a later row is often posted before an earlier one
		batch := [][]byte{row}
		for more := true; more && len(batch) < 3; {
			select {
			case row, more = <-said:
				if more {
					batch = append(batch, row)
				}
			default:
				more = false
			}
		}
		batches <- batch
	}
	close(batches)
	workers.Wait()
}

func (s *sinking) post(rows [][]byte) {
	body := fmt.Appendf(nil, `{"payload":[%s],"length":%d}`, bytes.Join(rows, []byte(",")), len(rows))
	for began := time.Now(); ; {
		s.mu.Lock()
		node := s.nodes[rand.IntN(len(s.nodes))]
		s.mu.Unlock()
		r, err := http.NewRequest(http.MethodPost, node+rpc.PathCDC, bytes.NewReader(body)) //nolint:noctx // the client has a timeout
		if err != nil {
			s.t.Error(err)
			return
		}
		r.Header.Set("Authorization", s.token)
		client := http.Client{Timeout: 10 * time.Second}
		answer, err := client.Do(r)
		if err == nil {
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				s.sent.Add(1)
				return
			}
			if answer.StatusCode != http.StatusServiceUnavailable {
				s.t.Errorf("%d %s to %s", answer.StatusCode, text, body)
				return
			}
		}
		if s.again.Add(1); time.Since(began) > patience {
			s.t.Errorf("a batch is not taken: %v", err)
			return
		}
		time.Sleep(20 * time.Millisecond) // the backoff of the sink
	}
}

// The changefeed is the only source. The node that has the lease is killed, and later the other one; whoever is there takes what comes.
func TestServe_ByWebhookAloneLosesNothingWhenNodesAreKilled(t *testing.T) {
	d := dbtest.New(t, "cockroachdb")
	const token = "Bearer 0123456789abcdef"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *server { return serving(t, d.URL, "--feed", "webhook", "--cdc-webhook-token-file", file) }
	a, b := start(), start()
	sink := &sinking{t: t, token: token}
	sink.to(a.URL, b.URL)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); sink.run(ctx, d.AdminURL) }()
	a.furnish(t, fourAccounts...)
	first, _ := owner(t, d, "", 10*time.Second)
	works, stands := held(t, first, a, b)
	load := moving(t, stands, 4)
	until := func(n int64) {
		for load.posted.Load() < n && !t.Failed() {
			time.Sleep(10 * time.Millisecond)
		}
	}
	until(100)
	if err := works.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(300) // half of what is posted meets nobody
	owner(t, d, first, 12*time.Second)
	c := start()
	sink.to(stands.URL, c.URL)
	until(load.posted.Load() + 100)
	load.stop()
	if err := stands.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	sink.to(c.URL)
	events := wantStreamed(t, d)
	stop()
	<-ended
	t.Logf("%d events, %d batches taken, %d attempts in vain", events, sink.sent.Load(), sink.again.Load())
	if sink.again.Load() == 0 {
		t.Error("nothing was ever posted in vain: the test has killed nobody")
	}
}
