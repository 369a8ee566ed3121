package drill

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/store"
)

// Paying is what is paid beside the load, through a provider of the drill. The zero value is nothing.
type Paying struct {
	Deposits    map[string]int           // by engine, in each home; clients authorize them, and the step callbacks tells what became of them
	Conflicts   bool                     // six of seven of them are told of too early, too late or against what was told before
	Withdrawals map[string]int           // by engine, in each home; sagas that begin in the first half of the load
	Within      map[string]time.Duration // by engine: from the callbacks, or the end of an outage, until everything is applied and ended
}

func (p Paying) any() bool { return len(p.Deposits)+len(p.Withdrawals) > 0 }

// Payments are the payments of one drill on a field: what clients and the provider do, and what there is to ask afterwards. Its books are ledgers of
// their own, so that the load's are moved by the load alone.
type Payments struct {
	paying  Paying
	engine  string
	psp     *psp
	store   *store.Store
	servers turns
	ledgers map[id.Home]ledger.Ledger

	seed uint64

	deposits    []*deposit
	withdrawals []*withdrawal

	early int // callbacks that were seen to wait for what comes before them

	over    <-chan struct{} // closed when the drill is given up
	telling sync.WaitGroup

	mu      sync.Mutex
	trouble string // of telling
	posted  []simulate.Report
	since   time.Time // when the load began, the provider began to tell, or it was back: the newest
	busy    time.Time // when something was last seen to be open
	most    int64     // how much was, at the worst
}

// paymentsLedger names the ledger of payments in a home.
func paymentsLedger(home id.Home) id.Ledger { return id.Ledger("drill-payments-" + string(home)) }

// newPayments makes up the payments of a drill. Amounts differ, so that no two can be taken for one another.
func newPayments(p Paying, engine string, at *psp, s *store.Store, homes []id.Home, urls []string) *Payments {
	const players = 50 // of the deposits of a home
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight}
	all := &Payments{
		paying: p, engine: engine, psp: at, store: s, ledgers: map[id.Home]ledger.Ledger{},
		servers: turns{urls: urls, http: &http.Client{Timeout: 15 * time.Second, Transport: transport}},
	}
	for n := range max(p.Deposits[engine], p.Withdrawals[engine]) {
		for _, home := range homes {
			if n < p.Deposits[engine] {
				d := &deposit{home: home, name: fmt.Sprintf("d%d", n), plot: plain, player: id.Player(fmt.Sprintf("payer-%d", n%players)), amount: 100 + int64(n)}
				if p.Conflicts {
					d.plot = plots[n%len(plots)]
				}
				all.deposits = append(all.deposits, d)
			}
			if n < p.Withdrawals[engine] {
				all.withdrawals = append(all.withdrawals, &withdrawal{
					home: home, key: id.Key(fmt.Sprintf("w%d", n)), player: id.Player(fmt.Sprintf("winner-%d", n)), amount: 1000 + int64(n),
				})
			}
		}
	}
	return all
}

// open makes the ledgers, the players and their money, and has clients authorize what the provider will tell of.
func (p *Payments) open(ctx context.Context, books ledger.Service, seed uint64) error {
	p.seed, p.over = seed, ctx.Done()
	for _, home := range p.homes() {
		l, err := books.CreateLedger(ctx, ledger.Ledger{
			ID: paymentsLedger(home), Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}, Metadata: ledger.Metadata{purpose: forDrills},
		})
		if err != nil {
			return fmt.Errorf("open the books of payments of %s: %w", home, err)
		}
		p.ledgers[home] = l
	}
	var parts [][]ledger.Command // what stands in one is done in order
	for _, d := range p.deposits {
		switch d.plot {
		case early:
		case voided:
			parts = append(parts, []ledger.Command{d.step("authorize"), d.step("void")})
		case expired:
			parts = append(parts, []ledger.Command{d.step("authorize"), d.step("expire")})
		default:
			parts = append(parts, []ledger.Command{d.step("authorize")})
		}
	}
	for _, w := range p.withdrawals {
		parts = append(parts, []ledger.Command{
			{Kind: ledger.KindPlayer, Ledger: w.ledger(), Key: w.key + "-known", Player: &ledger.PlayerChange{Player: w.player, KYC: ledger.KYCVerified}},
			{Kind: ledger.KindStep, Ledger: w.ledger(), Key: w.key + "-won", Amount: euros(2 * w.amount), Step: &ledger.Step{
				Payment: payment.Deposit, Trigger: "receive", Player: w.player, Provider: string(accountAt(w.home)),
			}},
		})
	}
	return p.commands(ctx, parts)
}

func (p *Payments) homes() []id.Home {
	var all []id.Home
	for _, d := range p.deposits {
		all = append(all, d.home)
	}
	for _, w := range p.withdrawals {
		all = append(all, w.home)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// clients of payments are so many.
const payers = 16

// commands has clients send commands, those of one part in order, each until it is answered.
func (p *Payments) commands(ctx context.Context, parts [][]ledger.Command) error {
	return severally(ctx, payers, parts, func(ctx context.Context, commands []ledger.Command) error {
		for _, c := range commands {
			o, err := asked(ctx, p, func(ctx context.Context, url string) (ledger.Outcome, error) {
				return rpc.NewPaymentClient(p.servers.http, url).Do(ctx, c, false)
			})
			if err == nil && o.Decided != ledger.Posted {
				err = fmt.Errorf("declined: %s %v", o.Reason, o.Detail)
			}
			if err != nil {
				return fmt.Errorf("%s %s of %s: %w", c.Kind, c.Key, c.Ledger, err)
			}
		}
		return nil
	})
}

// severally does something with each of several things, a few at a time, and returns the first error, which ends it.
func severally[T any](ctx context.Context, most int, all []T, do func(context.Context, T) error) error {
	group, doing := errgroup.WithContext(ctx)
	group.SetLimit(most)
	for _, one := range all {
		group.Go(func() error {
			if doing.Err() != nil {
				return context.Cause(doing)
			}
			return do(doing, one)
		})
	}
	return group.Wait()
}

// asked takes a question to one server after another, as long as another may answer it.
func asked[T any](ctx context.Context, p *Payments, ask func(ctx context.Context, url string) (T, error)) (answer T, err error) {
	const tries, patience, pause = 60, 5 * time.Second, 250 * time.Millisecond
	for range tries {
		trying, cancel := context.WithTimeout(ctx, patience)
		answer, err = ask(trying, p.servers.next())
		cancel()
		if err == nil || !errs.Transient(err) || ctx.Err() != nil {
			return answer, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
	return answer, err
}

// mark notes that the clock of Paying.Within begins anew.
func (p *Payments) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = time.Now()
}

// tell has the provider post its callbacks, each so many times at once, and returns when all were taken or the context ends. Then the provider goes
// on all the same: settle waits for it.
func (p *Payments) tell(ctx context.Context, copies int) {
	p.mark()
	done := make(chan struct{})
	p.telling.Go(func() {
		defer close(done)
		telling, stop := context.WithCancel(context.WithoutCancel(ctx))
		defer stop()
		go func() {
			select {
			case <-p.over:
				stop()
			case <-telling.Done():
			}
		}()
		if err := p.waves(telling, copies); err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.trouble = err.Error()
		}
	})
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// waves posts callbacks, to one server after another, until every one was answered 200.
func (p *Payments) waves(ctx context.Context, copies int) error {
	for wave := range waves {
		if err := severally(ctx, len(p.ledgers), p.homes(), func(ctx context.Context, home id.Home) error {
			report, err := p.psp.tell(ctx, accountAt(home), p.postings(home, wave, copies), &p.servers)
			p.mu.Lock()
			defer p.mu.Unlock()
			p.posted = append(p.posted, report)
			return err
		}); err != nil {
			return fmt.Errorf("post callbacks: %w", err)
		}
		if wave == 1 && p.paying.Conflicts {
			if err := p.authorizeLate(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// postings are what a provider posts in a wave: events in any order, the copies of one next to each other.
func (p *Payments) postings(home id.Home, wave, copies int) []simulate.Posting {
	var events []simulate.Event
	for _, d := range p.deposits {
		if d.home == home {
			events = append(events, d.waves()[wave]...)
		}
	}
	rand.New(rand.NewPCG(p.seed, uint64(wave))).Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] }) //nolint:gosec // small
	var all []simulate.Posting
	for _, e := range events {
		for n := range copies {
			why := simulate.First
			if n > 0 {
				why = simulate.Duplicate
			}
			all = append(all, simulate.Posting{Events: []simulate.Event{e}, Why: why})
		}
	}
	return all
}

// authorizeLate waits until what was told too early waits, and then has clients authorize it.
func (p *Payments) authorizeLate(ctx context.Context) error {
	var parts [][]ledger.Command
	tooEarly := map[string]bool{} // by account and event
	for _, d := range p.deposits {
		if d.plot != early {
			continue
		}
		parts = append(parts, []ledger.Command{d.step("authorize")})
		for _, e := range slices.Concat(d.waves()[0], d.waves()[1]) {
			tooEarly[string(d.home)+e.ID] = true
		}
	}
	const patience, page = 15 * time.Second, 1000
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for p.early < len(tooEarly) && waiting.Err() == nil {
		n := 0
		for _, home := range p.homes() {
			found, _ := p.store.Callbacks(waiting, home, provider.Page{ // where it fails it is asked again
				Ledger: paymentsLedger(home), Provider: accountAt(home), State: provider.Waiting, Limit: page,
			})
			for _, c := range found {
				if tooEarly[string(home)+c.ID] { // others wait for a moment as well, while those before them are on their way
					n++
				}
			}
		}
		p.early = max(p.early, n)
		rest(waiting, 100*time.Millisecond)
	}
	return p.commands(ctx, parts)
}

// rest waits, unless the context ends first.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// withdraw starts the sagas, spread over a time. It asks nobody but the database, as the command does.
func (p *Payments) withdraw(ctx context.Context, over time.Duration) {
	p.mark() // until the provider does something that counts
	began := time.Now()
	operators := saga.Operators{Store: p.store, Ledger: func(_ context.Context, name id.Ledger) (ledger.Ledger, error) {
		for _, l := range p.ledgers {
			if l.ID == name {
				return l, nil
			}
		}
		return ledger.Ledger{}, errs.ErrLedgerNotFound
	}}
	for n, w := range p.withdrawals {
		rest(ctx, time.Until(began.Add(over*time.Duration(n)/time.Duration(len(p.withdrawals)))))
		for ctx.Err() == nil {
			_, _, err := operators.Start(ctx, w.ledger(), saga.Withdrawal, w.key, saga.Request{
				Player: w.player, Amount: *euros(w.amount), Provider: accountAt(w.home), Actor: "drill",
			})
			if err == nil {
				break
			}
			if w.trouble = err.Error(); !errs.Transient(err) {
				return
			}
			rest(ctx, 250*time.Millisecond)
		}
	}
}

// look counts callbacks that are not applied and sagas that have not ended, and remembers when there were any.
func (p *Payments) look(ctx context.Context) (open int64, err error) {
	for _, home := range p.homes() {
		callbacks, err := p.store.TallyCallbacks(ctx, home)
		if err != nil {
			return 0, err
		}
		sagas, err := p.store.TallySagas(ctx, home)
		if err != nil {
			return 0, err
		}
		for _, t := range callbacks {
			if t.State == provider.Received || t.State == provider.Waiting {
				open += t.Count
			}
		}
		for _, t := range sagas {
			open += t.Count
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if open > 0 {
		p.busy, p.most = time.Now(), max(p.most, open)
	}
	return open, nil
}

// watch looks until the context ends.
func (p *Payments) watch(ctx context.Context) {
	for ctx.Err() == nil {
		_, _ = p.look(ctx) // a fault may hit the database: it is asked again
		rest(ctx, 500*time.Millisecond)
	}
}

// settle waits until the provider has told everything and nothing is open, as long as the context lasts.
func (p *Payments) settle(ctx context.Context) {
	told := make(chan struct{})
	go func() {
		p.telling.Wait()
		close(told)
	}()
	select {
	case <-told:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		if open, err := p.look(ctx); err == nil && open == 0 {
			return
		}
		rest(ctx, 250*time.Millisecond)
	}
}
