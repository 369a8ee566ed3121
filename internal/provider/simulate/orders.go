package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/meridian-ledger/meridian/internal/provider"
)

// Manner is how orders are answered.
type Manner struct {
	Decline bool // orders are declined; else they are done
	Pending int  // how often the status is pending before that
	Lose    int  // of how many first orders the answer is lost, after they had their effect
	Deaf    int  // how many first orders never arrive
}

// ErrNoAnswer is how a lost answer looks to whoever asked.
var ErrNoAnswer = errors.New("the provider did not answer in time")

// Orders is a provider.Desk: it takes orders, and keeps what became of each key for ever. It is safe for concurrent use.
type Orders struct {
	Manner func(key string, o provider.Order) Manner // nil: all are done at once

	mu     sync.Mutex
	orders map[string]*order
	asked  map[string]int // how often a key was submitted, heard or not
}

type order struct {
	provider.Order
	status  provider.OrderStatus
	pending int
	moved   int // how often money moved
}

var _ provider.Desk = (*Orders)(nil)

func (d *Orders) manner(key string, o provider.Order) Manner {
	if d.Manner == nil {
		return Manner{}
	}
	return d.Manner(key, o)
}

// Submit implements provider.Desk.
func (d *Orders) Submit(_ context.Context, key string, o provider.Order) (provider.OrderStatus, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked == nil {
		d.asked, d.orders = map[string]int{}, map[string]*order{}
	}
	d.asked[key]++
	m := d.manner(key, o)
	if d.asked[key] <= m.Deaf {
		return provider.OrderStatus{}, ErrNoAnswer
	}
	if known := d.orders[key]; known != nil {
		return known.look(), nil
	}
	taken := &order{Order: o, pending: m.Pending, status: provider.OrderStatus{State: provider.OrderDone, Reference: "sim-" + key}}
	if m.Decline {
		taken.status = provider.OrderStatus{State: provider.OrderDeclined, Reference: "sim-" + key, Cause: "refused_by_bank"}
	} else {
		taken.moved++
	}
	d.orders[key] = taken
	if d.asked[key] <= m.Deaf+m.Lose {
		return provider.OrderStatus{}, ErrNoAnswer
	}
	return taken.look(), nil
}

// look says how an order stands, and lets it go on.
func (o *order) look() provider.OrderStatus {
	if o.pending > 0 {
		o.pending--
		return provider.OrderStatus{State: provider.OrderPending, Reference: o.status.Reference}
	}
	return o.status
}

// Status implements provider.Desk.
func (d *Orders) Status(_ context.Context, key string) (provider.OrderStatus, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.orders[key]; known != nil {
		return known.look(), nil
	}
	return provider.OrderStatus{State: provider.OrderMissing}, nil
}

// Cancel implements provider.Desk: what is still pending is taken back, and a key that was never heard of is spent.
func (d *Orders) Cancel(_ context.Context, key string) (provider.OrderStatus, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.orders == nil {
		d.asked, d.orders = map[string]int{}, map[string]*order{}
	}
	known := d.orders[key]
	if known == nil {
		known = &order{status: provider.OrderStatus{State: provider.OrderCancelled}}
		d.orders[key] = known
	}
	if known.pending > 0 {
		known.pending, known.moved = 0, 0
		known.status.State = provider.OrderCancelled
	}
	return known.status, nil
}

// Moved returns how often money moved for each key that was heard of.
func (d *Orders) Moved() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	moved := map[string]int{}
	for key, o := range d.orders {
		moved[key] = o.moved
	}
	return moved
}

// Submitted returns how often each key was submitted, heard or not.
func (d *Orders) Submitted() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.asked)
}

// ServeHTTP answers POST /orders, GET and DELETE /orders/{key}. What is lost on purpose breaks the connection.
func (d *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key, named := strings.CutPrefix(r.URL.Path, "/orders/")
	var status provider.OrderStatus
	var err error
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/orders":
		const most = 64 << 10
		var o provider.Order
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(&o) != nil || r.Header.Get("Idempotency-Key") == "" {
			http.Error(w, "no order", http.StatusBadRequest)
			return
		}
		status, err = d.Submit(r.Context(), r.Header.Get("Idempotency-Key"), o)
	case r.Method == http.MethodGet && named:
		status, err = d.Status(r.Context(), key)
	case r.Method == http.MethodDelete && named:
		status, err = d.Cancel(r.Context(), key)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler) // how a server drops a connection without a word
	}
	w.Header().Set("Content-Type", "application/json")
	if status.State == provider.OrderMissing {
		w.WriteHeader(http.StatusNotFound)
	}
	_ = json.NewEncoder(w).Encode(status) // the caller went away
}

// String says how orders are answered.
func (m Manner) String() string {
	return fmt.Sprintf("decline=%t pending=%d lose=%d deaf=%d", m.Decline, m.Pending, m.Lose, m.Deaf)
}
