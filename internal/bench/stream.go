package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Stream measures how long what was answered takes until others know of it, under a load at a fixed rate. The load and all that waits run on
// the same machine and clock, but for what the database says of itself.
type Stream struct {
	Books    Books
	Home     id.Home
	Services []ledger.Service
	Meter    *Meter
	// Search returns when an outcome can be searched for.
	Search func(context.Context, ledger.Outcome) error
	// Events makes the subscription; nil: webhooks are not measured.
	Events event.Service
	// URL is that of the database; empty: what it says is left out.
	URL string
	// Sample is how many searches begin a second, at most. Each is a request by itself, so that asking after every transfer would be a load of
	// its own.
	Sample float64
}

// Delays are what a stream showed. Those of webhooks and searches begin with the answer to the client.
type Delays struct {
	Load       Load   `json:"load"`
	Answers    Slice  `json:"answers"`
	Appended   *Delay `json:"appended,omitempty"`  // from the beginning of its transaction to that of the append, by the database's clock
	Delivered  *Delay `json:"delivered,omitempty"` // to the arrival of the webhook
	Searchable *Delay `json:"searchable"`          // to the answer of a search that waited for it
}

// Delay is a distribution. What is missing did not come within half a minute after the load.
type Delay struct {
	Count   int64   `json:"count"`
	Missing int64   `json:"missing"`
	Latency Latency `json:"latency_ms"`
}

const (
	patience     = 30 * time.Second
	mostSearches = 256
)

// Run puts the load on and waits for what follows from it.
func (s Stream) Run(ctx context.Context, l Load) (Delays, error) {
	w := &witness{Stream: s, searched: newDelays(), answered: map[id.Transaction]time.Time{}, received: map[string]time.Time{}}
	if s.Events != nil {
		end, err := w.subscribe(ctx)
		if err != nil {
			return Delays{}, err
		}
		defer end()
	}
	start := time.Now()
	w.from, w.until = start.Add(l.WarmUp), start.Add(l.WarmUp+l.Duration)
	slice, err := Run(ctx, w, l, s.Books, 0, s.Meter)
	if err != nil {
		return Delays{}, err
	}
	w.searches.Wait()
	d := Delays{Load: l, Answers: slice, Searchable: w.searched.delay(w.late.Load())}
	if s.Events != nil {
		d.Delivered = w.delivered(ctx)
	}
	if s.URL != "" {
		if d.Appended, err = appended(ctx, s.URL, s.Home, s.Books.Ledger, w.from, w.until); err != nil {
			return Delays{}, err
		}
	}
	return d, nil
}

// delays is a histogram for many goroutines.
type delays struct {
	mu   sync.Mutex
	seen *hdrhistogram.Histogram
}

func newDelays() *delays { return &delays{seen: hdrhistogram.New(1, highest, digits)} }

func (d *delays) add(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	observe(d.seen, took)
}

func (d *delays) delay(missing int64) *Delay {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Delay{Count: d.seen.TotalCount(), Missing: missing, Latency: percentiles(d.seen)}
}

// witness is the target of the load. It remembers when each transfer was answered, searches for some, and receives webhooks.
type witness struct {
	Stream
	from, until time.Time
	searched    *delays
	searches    sync.WaitGroup
	searching   atomic.Int64
	late        atomic.Int64
	due         atomic.Int64 // when the next search may begin, as nanoseconds

	mu       sync.Mutex
	answered map[id.Transaction]time.Time
	received map[string]time.Time
}

// Do implements Target.
func (w *witness) Do(ctx context.Context, client int, commands []ledger.Command) (Answer, error) {
	results, err := w.Services[client%len(w.Services)].Execute(ctx, ledger.Batch{Commands: commands})
	now := time.Now()
	if err != nil {
		return Answer{}, err
	}
	a, err := tallied(results)
	if err != nil || now.Before(w.from) || !now.Before(w.until) {
		return a, err
	}
	w.mu.Lock()
	for _, r := range results {
		w.answered[r.Outcome.Transaction] = now
	}
	w.mu.Unlock()
	w.sample(ctx, results[len(results)-1].Outcome, now)
	return a, nil
}

// sample searches for an outcome, where it is time to.
func (w *witness) sample(ctx context.Context, o ledger.Outcome, answered time.Time) {
	due := w.due.Load()
	if answered.UnixNano() < due || !w.due.CompareAndSwap(due, answered.UnixNano()+int64(float64(time.Second)/w.Sample)) {
		return
	}
	if w.searching.Add(1) > mostSearches { // they do not come back: what is missing is counted
		w.searching.Add(-1)
		w.late.Add(1)
		return
	}
	w.searches.Go(func() {
		defer w.searching.Add(-1)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if err := w.Search(ctx, o); err != nil {
			w.late.Add(1)
			return
		}
		w.searched.add(time.Since(answered))
	})
}

// subscribe opens a receiver and has all events of the ledger sent to it.
func (w *witness) subscribe(ctx context.Context) (end func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		now, name := time.Now(), r.Header.Get("Webhook-Id")
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, again := w.received[name]; !again {
			w.received[name] = now
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }() // it ends with Close
	name := string(w.Books.Ledger)
	close := func() { _ = server.Close(); <-done }
	settings, err := json.Marshal(map[string]any{"url": "http://" + listener.Addr().String() + "/", "parallel": 16})
	if err == nil {
		_, _, err = w.Events.Create(ctx, event.NewSubscription{
			ID: name, Homes: []id.Home{w.Home}, Filter: event.Filter{Ledgers: []id.Ledger{w.Books.Ledger}},
			Sink: event.SinkSpec{Kind: "webhook", Settings: settings},
		})
	}
	if err != nil {
		close()
		return nil, fmt.Errorf("subscribe to the events of the load: %w", err)
	}
	return func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = w.Events.Delete(ending, name) // a subscription of a ledger that nobody uses again takes nothing
		close()
	}, nil
}

// delivered waits for what is still on its way.
func (w *witness) delivered(ctx context.Context) *Delay {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		d, missing := newDelays(), int64(0)
		w.mu.Lock()
		for transaction, answered := range w.answered {
			if received, there := w.received[transaction.String()]; there {
				d.add(max(0, received.Sub(answered))) // it may overtake the answer
			} else {
				missing++
			}
		}
		w.mu.Unlock()
		if missing == 0 || !sleepUntil(ctx, time.Now().Add(100*time.Millisecond)) {
			return d.delay(missing)
		}
	}
}

const sqlAppendDelays = `
SELECT (extract(epoch FROM s.appended_at) - extract(epoch FROM j.recorded_at))::float8
FROM journal j LEFT JOIN stream s ON s.home = j.home AND s.ledger_id = j.ledger_id AND s.transaction_id = j.id
WHERE j.home = $1 AND j.ledger_id = $2 AND j.recorded_at >= $3 AND j.recorded_at < $4`

// appended asks the database when what it recorded was appended.
func appended(ctx context.Context, url string, home id.Home, name id.Ledger, from, until time.Time) (*Delay, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // nothing was written
	d, missing := newDelays(), int64(0)
	var took *float64
	rows, _ := conn.Query(ctx, sqlAppendDelays, home, name, from, until) // the error comes back from the loop
	_, err = pgx.ForEachRow(rows, []any{&took}, func() error {
		if took == nil {
			missing++
			return nil
		}
		d.add(time.Duration(*took * float64(time.Second)))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read when transfers were appended: %w", err)
	}
	return d.delay(missing), nil
}
