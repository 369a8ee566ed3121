package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// hook is a webhook behind TLS that misbehaves, until it is calm. What befalls an event hangs on the seed, its id and how often it came.
type hook struct {
	*httptest.Server
	*sim.Witness
	key   []byte
	seed  uint64
	calm  atomic.Bool
	mu    sync.Mutex
	came  map[string]int
	fates map[string]int
}

func newHook(t *testing.T, seed uint64, w *sim.Witness) *hook {
	h := &hook{Witness: w, key: []byte("0123456789abcdef0123456789abcdef"), seed: seed, came: map[string]int{}, fates: map[string]int{}}
	h.Server = httptest.NewUnstartedServer(h)
	h.Config.ErrorLog = log.New(io.Discard, "", 0) // senders die in the middle of a handshake
	h.StartTLS()
	t.Cleanup(h.Close) // after the servers are gone: it waits for its connections
	return h
}

func (h *hook) spec() event.SinkSpec {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	return specOf("webhook", map[string]any{"url": h.URL + "/events", "timeout": "1s", "ca_pem": string(ca)})
}

func (h *hook) secret() event.Secret {
	return event.Secret{ID: "only", Value: []byte("whsec_" + base64.StdEncoding.EncodeToString(h.key))}
}

// fate draws what befalls an event: of 1000 that come, 70 are trouble, and none is in trouble a third time.
func (h *hook) fate(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came[id]++
	draw := fnv.New64a()
	fmt.Fprint(draw, h.seed, id, h.came[id])
	fate := "taken"
	if !h.calm.Load() && h.came[id] <= 2 {
		switch n := draw.Sum64() % 1000; {
		case n < 25:
			fate = "refused with 500"
		case n < 30:
			fate = "left without an answer"
		case n < 40:
			fate = "dropped"
		case n < 60:
			fate = "taken, then dropped"
		case n < 70:
			fate = "taken, then left without an answer"
		}
	}
	h.fates[fate]++
	return fate
}

// tally counts what befell events.
func (h *hook) tally() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.fates)
}

// ServeHTTP implements http.Handler.
func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender died
	}
	id := r.Header.Get("webhook-id")
	if err := h.signed(id, r.Header, body); err != nil {
		h.Problem("%s: %v", id, err)
	}
	fate := h.fate(id)
	if strings.HasPrefix(fate, "taken") {
		h.Hear(body)
	}
	switch {
	case strings.HasSuffix(fate, "500"):
		w.WriteHeader(http.StatusInternalServerError)
	case strings.HasSuffix(fate, "dropped"):
		panic(http.ErrAbortHandler)
	case strings.HasSuffix(fate, "answer"):
		<-r.Context().Done()
	}
}

// signed verifies as the Standard Webhooks specification says.
func (h *hook) signed(id string, header http.Header, body []byte) error {
	const tolerance = 5 * time.Minute
	stamp := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return fmt.Errorf("the timestamp is %q", stamp)
	}
	mac := hmac.New(sha256.New, h.key)
	fmt.Fprintf(mac, "%s.%s.%s", id, stamp, body)
	if want, got := "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), header.Get("webhook-signature"); !hmac.Equal([]byte(got), []byte(want)) {
		return fmt.Errorf("the signature is %s, want %s", got, want)
	}
	if !bytes.Contains(body, []byte(id)) {
		return fmt.Errorf("the body is not of that event: %s", body)
	}
	return nil
}
