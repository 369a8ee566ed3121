package provider

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// WriterLimits bound a Writer. The zero value of each is its default.
type WriterLimits struct {
	Lanes    int           // statements in flight for one home; 2
	Group    int           // callbacks in one statement; 512
	Waiting  int           // callbacks that wait, in one home; 8192
	Bytes    int           // of the bodies of those; 64 MiB
	Patience time.Duration // with the database, for one group; 5 s
}

func (l WriterLimits) orDefaults() WriterLimits {
	return WriterLimits{
		Lanes: cmp.Or(l.Lanes, 2), Group: cmp.Or(l.Group, 512), Waiting: cmp.Or(l.Waiting, 8192), Bytes: cmp.Or(l.Bytes, 64<<20), Patience: cmp.Or(l.Patience, 5*time.Second),
	}
}

// Writer stores callbacks of concurrent requests together: what comes while a statement is under way goes with the next one, and while there is a
// burst one begins every gatherEvery at most, so that the database has few statements under a burst. One request alone waits for nobody. It is safe
// for concurrent use.
type Writer struct {
	store   Store
	limits  WriterLimits
	metrics *Metrics

	mu    sync.Mutex
	homes map[id.Home]*line
}

// line is what waits for one home.
type line struct {
	waiting []*parcel
	rows    int
	bytes   int
	lanes   int       // in use
	open    int       // requests without an answer
	next    time.Time // no group begins before
}

// gatherEvery is from the beginning of a group to that of the next one, where there are several requests and less than a full group waits. A flood of callbacks shares disk
// and cores with commands that somebody waits for: a commit for every few of them took twice the time of the server that its rows take.
const gatherEvery = 5 * time.Millisecond

// parcel is the callbacks of one request.
type parcel struct {
	callbacks []Callback
	bytes     int
	done      chan error // has room for the one answer
}

// NewWriter returns a writer to a store.
func NewWriter(store Store, limits WriterLimits, metrics *Metrics) *Writer {
	if metrics == nil {
		metrics = NewMetrics(nil)
	}
	return &Writer{store: store, limits: limits.orDefaults(), metrics: metrics, homes: map[id.Home]*line{}}
}

// Put returns when the callbacks of one request are stored for good, be it now or before. It is errs.ErrOverloaded at once where too many wait.
// Where it returns another error they may be stored all the same: to put them again is harmless.
func (w *Writer) Put(ctx context.Context, home id.Home, callbacks []Callback) error {
	p := &parcel{callbacks: callbacks, done: make(chan error, 1)}
	for _, c := range callbacks {
		p.bytes += len(c.Raw.Bytes)
	}
	if err := w.enqueue(home, p); err != nil {
		return err
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return errs.ErrCanceled.Because(ctx.Err())
	}
}

func (w *Writer) enqueue(home id.Home, p *parcel) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.homes[home]
	if l == nil {
		l = &line{}
		w.homes[home] = l
	}
	if l.rows > 0 && (l.rows+len(p.callbacks) > w.limits.Waiting || l.bytes+p.bytes > w.limits.Bytes) {
		return errs.ErrOverloaded.With("waiting", l.rows)
	}
	l.waiting, l.open = append(l.waiting, p), l.open+1
	l.rows, l.bytes = l.rows+len(p.callbacks), l.bytes+p.bytes
	if l.lanes < w.limits.Lanes {
		l.lanes++
		go w.lane(home, l)
	}
	return nil
}

// lane writes groups until nobody waits.
func (w *Writer) lane(home id.Home, l *line) {
	for {
		group, wait := w.take(l)
		switch {
		case wait > 0:
			time.Sleep(wait)
		case group == nil:
			return
		default:
			w.settle(home, group)
		}
	}
}

// take returns the next group, or how long to wait for it; neither, and the lane ends, where nobody waits.
func (w *Writer) take(l *line) (group []*parcel, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wait = time.Until(l.next); wait > 0 && l.rows > 0 && l.rows < w.limits.Group {
		return nil, wait
	}
	rows, n := 0, 0
	for n < len(l.waiting) && (n == 0 || rows+len(l.waiting[n].callbacks) <= w.limits.Group) {
		rows += len(l.waiting[n].callbacks)
		l.bytes -= l.waiting[n].bytes
		n++
	}
	if n == 0 {
		l.lanes--
		l.waiting = nil
		return nil, 0
	}
	if l.open > 1 {
		l.next = time.Now().Add(gatherEvery)
	}
	group = l.waiting[:n:n]
	l.waiting, l.rows = l.waiting[n:], l.rows-rows
	return group, 0
}

// settle writes a group and answers its requests. Where something in it breaks the statement, its halves are tried one after the other.
func (w *Writer) settle(home id.Home, group []*parcel) {
	ctx, cancel := context.WithTimeout(context.Background(), w.limits.Patience)
	defer cancel()
	var rows []Callback
	for _, p := range group {
		rows = append(rows, p.callbacks...)
	}
	began := time.Now()
	err := w.persist(ctx, home, rows)
	w.metrics.grouped(len(rows), time.Since(began))
	if errors.Is(err, errs.ErrInternal) && len(group) > 1 {
		w.settle(home, group[:len(group)/2])
		w.settle(home, group[len(group)/2:])
		return
	}
	w.mu.Lock()
	w.homes[home].open -= len(group)
	w.mu.Unlock()
	for _, p := range group {
		p.done <- err
	}
}

var rewriting = attempt.Backoff{First: 20 * time.Millisecond, Last: time.Second}

// persist puts rows until they are stored, whatever the first attempts came to: a second one finds the rows of the first.
func (w *Writer) persist(ctx context.Context, home id.Home, rows []Callback) error {
	for failures := 1; ; failures++ {
		err := w.put(ctx, home, rows)
		if err == nil || !errs.Transient(err) && !errors.Is(err, errs.ErrOutcomeUnknown) || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(rewriting.Wait(failures, 0))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

// put stores rows, and what contradicts as rows of their own.
func (w *Writer) put(ctx context.Context, home id.Home, rows []Callback) error {
	once, against, repeats := distinct(rows)
	before, err := w.store.PutCallbacks(ctx, home, once)
	if err != nil {
		return err
	}
	for i, c := range once {
		switch {
		case before[i] == nil:
			w.metrics.received.WithLabelValues(string(c.Provider)).Inc()
		case bytes.Equal(before[i], c.Meaning()):
			repeats = append(repeats, c)
		default:
			against = append(against, contradicted(c))
		}
	}
	if len(against) > 0 {
		if against, _, _ = distinct(against); len(against) > 0 {
			if before, err = w.store.PutCallbacks(ctx, home, against); err != nil {
				return err
			}
		}
		for i, c := range against {
			if before[i] != nil { // it said so before
				repeats = append(repeats, c)
				continue
			}
			w.metrics.contradictions.WithLabelValues(string(c.Provider)).Inc()
		}
	}
	for _, c := range repeats {
		w.metrics.duplicates.WithLabelValues(string(c.Provider)).Inc()
	}
	return nil
}

// distinct parts rows into the first of each event, those that say something else under the same id, and mere repeats.
func distinct(rows []Callback) (once, against, repeats []Callback) {
	type key struct {
		provider Name
		id       string
	}
	first := make(map[key]int, len(rows))
	once = make([]Callback, 0, len(rows))
	for _, c := range rows {
		k := key{c.Provider, c.ID}
		switch at, there := first[k]; {
		case !there:
			first[k] = len(once)
			once = append(once, c)
		case bytes.Equal(once[at].Meaning(), c.Meaning()):
			repeats = append(repeats, c)
		default:
			against = append(against, contradicted(c))
		}
	}
	return once, against, repeats
}
