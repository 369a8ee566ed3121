package drill

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

// psp is the payment provider of a drill: the simulated one, behind a real HTTP endpoint of this process, that can be made to fail. It keeps its own
// record of what was ordered and what it has paid, which the books are held against.
type psp struct {
	server *httptest.Server
	orders simulate.Orders
	fails  atomic.Pointer[func(http.ResponseWriter, *http.Request)] // nil: it answers
	asked  atomic.Int64
	form   simulate.Form
	dir    string // of its configuration and secret

	mu    sync.Mutex
	taken map[string]provider.Order // by key
}

// deskTimeout is how long servers wait for an answer to an order.
const deskTimeout = 2 * time.Second

const pspSecret = "whsec_of_the_provider_of_drills" //nolint:gosec // G101: of servers that live as long as a drill

// newPSP starts it, and writes down for servers how to verify its callbacks and where to give it orders: one account for each home.
func newPSP(homes []id.Home) (p *psp, err error) {
	p = &psp{form: simulate.Forms([]byte(pspSecret))["stripe"], taken: map[string]provider.Order{}}
	if p.dir, err = os.MkdirTemp("", "meridian-psp-"); err != nil {
		return nil, fmt.Errorf("make a place for the provider of the drill: %w", err)
	}
	p.orders.Manner = p.manner
	p.server = httptest.NewUnstartedServer(p)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections break on purpose
	p.server.Start()
	var accounts strings.Builder
	for _, home := range homes {
		fmt.Fprintf(&accounts, `
  %s:
    ledger: %s
    verify: [{scheme: stripe, secrets: [{file: %s}]}]
    fields: {event_id: id, type: type, payment: data.payment, reference: data.reference, amount: data.amount, currency: data.currency, occurred_at: created}
    triggers: {payment.authorized: authorize, payment.captured: capture, payment.settled: settle, payment.declined: void}
    orders: {url: %q, timeout: %s}
`, accountAt(home), paymentsLedger(home), filepath.Join(p.dir, "secret"), p.server.URL, deskTimeout)
	}
	for file, text := range map[string]string{"secret": pspSecret + "\n", "providers.yaml": "providers:" + accounts.String()} {
		if err := os.WriteFile(filepath.Join(p.dir, file), []byte(text), 0o600); err != nil {
			p.close()
			return nil, fmt.Errorf("configure the provider of the drill: %w", err)
		}
	}
	return p, nil
}

// accountAt names our account at the provider for a home.
func accountAt(home id.Home) provider.Name { return provider.Name("drill-" + string(home)) }

// config is the file that servers read.
func (p *psp) config() string { return filepath.Join(p.dir, "providers.yaml") }

// manner decides about an order by its key, so that a seed repeats it: one of five is declined, one of five takes a while. It remembers all that it
// takes.
func (p *psp) manner(key string, o provider.Order) simulate.Manner {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken[key] = o
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(key))
	switch sum.Sum32() % 5 {
	case 0:
		return simulate.Manner{Decline: true}
	case 1:
		return simulate.Manner{Pending: 2}
	}
	return simulate.Manner{}
}

// ServeHTTP implements http.Handler. While it fails, every other request has its effect all the same, and nobody hears of it.
func (p *psp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fails := p.fails.Load()
	if fails == nil {
		p.orders.ServeHTTP(w, r)
		return
	}
	if p.asked.Add(1)%2 == 0 {
		p.orders.ServeHTTP(httptest.NewRecorder(), r)
	}
	_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice when the caller goes away
	(*fails)(w, r)
}

// fail makes it fail until up.
func (p *psp) fail(what Fault) {
	fails := func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<h1>Internal Server Error</h1>", http.StatusInternalServerError)
	}
	if what == FaultProviderSilent {
		fails = func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
	}
	p.fails.Store(&fails)
}

// up ends what fail has begun, and tells how often it was asked meanwhile. Who still waits for an answer waits until deskTimeout.
func (p *psp) up() (asked int64) {
	p.fails.Store(nil)
	return p.asked.Swap(0)
}

// paid is the provider's own record: how often money moved for each payment, and how much at once. Orders that nobody gave are not in it.
func (p *psp) paid() map[string]payout {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]payout{}
	for key, times := range p.orders.Moved() {
		o, given := p.taken[key]
		if !given {
			continue // a key that was only taken back
		}
		one := all[o.Payment]
		one.times, one.amount = one.times+times, o.Amount.String()
		all[o.Payment] = one
	}
	return all
}

// payout is what a provider has paid for one payment.
type payout struct {
	times  int
	amount string // in minor units
}

// inFlight is how many callbacks of an account are posted at once.
const inFlight = 200

// tell posts callbacks to servers in turn, all at once, and those that are not taken again, until each is answered 200.
func (p *psp) tell(ctx context.Context, account provider.Name, postings []simulate.Posting, servers *turns) (simulate.Report, error) {
	return simulate.Play(ctx, simulate.Script{Postings: postings}, simulate.Options{
		Profile: simulate.Profile{RetryFor: 2 * time.Minute, RetryFirst: 200 * time.Millisecond, RetryLast: 2 * time.Second}, Form: p.form, Parallel: inFlight,
		Post: func(ctx context.Context, r simulate.Request) (status int, err error) {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, servers.next()+provider.Prefix+string(account)+provider.Suffix, strings.NewReader(string(r.Body)))
			if err != nil {
				return 0, err
			}
			request.Header = r.Header
			answer, err := servers.http.Do(request)
			if err != nil {
				return 0, err
			}
			defer answer.Body.Close()
			_, err = io.Copy(io.Discard, answer.Body)
			return answer.StatusCode, err
		},
	})
}

// turns hands out servers one after another.
type turns struct {
	http *http.Client
	urls []string
	n    atomic.Uint64
}

func (t *turns) next() string { return t.urls[t.n.Add(1)%uint64(len(t.urls))] }

func (p *psp) close() {
	p.server.CloseClientConnections()
	p.server.Close()
	_ = os.RemoveAll(p.dir) // what it leaves is a file of no worth
}

// several adds reports of what was posted.
func several(reports []simulate.Report) simulate.Report {
	all := simulate.Report{Statuses: map[int]int{}}
	for _, r := range reports {
		all.Requests, all.Taken, all.Refused, all.GivenUp = all.Requests+r.Requests, all.Taken+r.Taken, all.Refused+r.Refused, all.GivenUp+r.GivenUp
		all.Took, all.P99 = max(all.Took, r.Took), max(all.P99, r.P99)
		for status, n := range r.Statuses {
			all.Statuses[status] += n
		}
	}
	return all
}

// said lists statuses in order.
func said(statuses map[int]int) string {
	var all []string
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		name := fmt.Sprint(status)
		if status == 0 {
			name = "no answer"
		}
		all = append(all, fmt.Sprintf("%s %d times", name, statuses[status]))
	}
	return strings.Join(all, ", ")
}
