package drill

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// receiver is a webhook endpoint that can be gone: a real HTTPS server, in this process, that hears for a witness.
type receiver struct {
	server  *httptest.Server
	witness *sim.Witness
	gone    atomic.Bool
}

const subscription = "drill"

func newReceiver() *receiver {
	r := &receiver{}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // senders are killed in the middle of a handshake
	r.server.StartTLS()
	return r
}

// hears tells which ledgers there are, before the first event comes.
func (r *receiver) hears(homeOf map[id.Ledger]id.Home) {
	r.witness = sim.NewWitness("webhook", homeOf, nil)
}

// subscribe asks for everything that happens in the homes.
func (r *receiver) subscribe(ctx context.Context, at *rpc.EventClient, homes []id.Home) error {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
	settings, err := json.Marshal(map[string]any{"url": r.server.URL + "/events", "timeout": "2s", "ca_pem": string(ca)})
	if err != nil {
		return fmt.Errorf("subscribe the drill's receiver: %w", err)
	}
	_, _, err = at.Create(ctx, event.NewSubscription{
		ID: subscription, Homes: homes, Sink: event.SinkSpec{Kind: "webhook", Settings: settings}, Start: event.Start{Beginning: true},
	})
	if err != nil {
		return fmt.Errorf("subscribe the drill's receiver: %w", err)
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.gone.Load() {
		panic(http.ErrAbortHandler) // the connection breaks, as where nobody is
	}
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err != nil {
		return // the sender died
	}
	r.witness.Hear(body)
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) down() {
	r.gone.Store(true)
	r.server.CloseClientConnections()
}

func (r *receiver) up() { r.gone.Store(false) }

func (r *receiver) close() { r.server.Close() }
