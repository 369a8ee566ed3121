package simulate

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Status is the truth about a payment.
type Status struct {
	Reference string `json:"reference"`
	Payment   string `json:"payment"`
	State     string `json:"state"` // authorized, captured, settled, declined or refunded
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

// Desk answers questions about the payments of a script. It is safe for concurrent use.
type Desk struct {
	start  time.Time
	now    func() time.Time
	events map[string][]Event
}

// NewDesk returns one for a script that began at a time, by a clock.
func NewDesk(s Script, start time.Time, now func() time.Time) *Desk {
	d := &Desk{start: start, now: now, events: map[string][]Event{}}
	for _, e := range s.Events {
		d.events[e.Reference] = append(d.events[e.Reference], e)
	}
	return d
}

// Status returns what is true by now of the payment of a reference, or false where nothing has happened yet, or never will.
func (d *Desk) Status(reference string) (Status, bool) {
	since := d.now().Sub(d.start)
	for _, e := range slices.Backward(d.events[reference]) {
		if e.At <= since {
			return Status{e.Reference, e.Payment, e.Type[len("payment."):], e.Amount, e.Currency}, true
		}
	}
	return Status{}, false
}

// ServeHTTP answers GET /status/{reference}.
func (d *Desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const prefix = "/status/"
	if r.Method != http.MethodGet || len(r.URL.Path) <= len(prefix) || r.URL.Path[:len(prefix)] != prefix {
		http.NotFound(w, r)
		return
	}
	s, known := d.Status(r.URL.Path[len(prefix):])
	if !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // the caller went away
}
