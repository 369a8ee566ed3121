package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// paid is all that is known of the payments of a drill when it is over: what clients and the provider did, what servers say, and what the provider
// has in its own record. The checkers are functions of it.
type paid struct {
	told   bool            // the provider told of the deposits
	failed string          // why it could not tell everything; empty: it did
	posted simulate.Report // what came of that
	broken bool            // servers were broken in the story, so that a callback may have no answer at first
	rows   map[id.Home][]provider.Callback

	deposits    []paidDeposit
	withdrawals []paidOut
	record      map[string]payout // the provider's own, by our id of the payment
	accounts    map[ledger.Ref]ledger.Account

	most, open  int64 // of what was not applied or ended: at the worst, and in the end
	took        time.Duration
	within      time.Duration // that it may take; 0: no limit
	early       int           // callbacks that were seen to wait
	wasExpected int           // that were to be
}

// paidDeposit is a deposit as the books have it.
type paidDeposit struct {
	*deposit
	ledger.Payment
	steps []ledger.PaymentStep
}

// paidOut is a withdrawal as the books have it. Without a payment its ID is zero.
type paidOut struct {
	*withdrawal
	saga saga.Saga
	ledger.Payment
	steps []ledger.PaymentStep
}

// reading is how many questions are asked at once.
const reading = 8

// read asks servers and the provider for all that there is to know.
func (p *Payments) read(ctx context.Context, broken bool) (paid, error) {
	all := paid{
		broken: broken, rows: map[id.Home][]provider.Callback{}, record: p.psp.paid(), accounts: map[ledger.Ref]ledger.Account{}, within: p.paying.Within[p.engine],
		deposits: make([]paidDeposit, len(p.deposits)), withdrawals: make([]paidOut, len(p.withdrawals)),
	}
	p.mu.Lock()
	all.told, all.posted, all.early, all.most = len(p.posted) > 0, several(p.posted), p.early, p.most
	all.failed = p.trouble
	all.took = max(0, p.busy.Sub(p.since))
	p.mu.Unlock()
	for _, d := range p.deposits {
		if all.told && d.plot == early {
			all.wasExpected += 2 // settled, and captured
		}
	}
	var err error
	if all.open, err = p.look(ctx); err != nil {
		return all, fmt.Errorf("count what is open: %w", err)
	}
	for _, home := range p.homes() {
		if all.rows[home], err = p.callbacks(ctx, home); err != nil {
			return all, fmt.Errorf("read the callbacks of %s: %w", home, err)
		}
		if err := p.accounts(ctx, paymentsLedger(home), all.accounts); err != nil {
			return all, fmt.Errorf("read the accounts of %s: %w", paymentsLedger(home), err)
		}
	}
	numbers := make([]int, max(len(p.deposits), len(p.withdrawals)))
	for n := range numbers {
		numbers[n] = n
	}
	return all, severally(ctx, reading, numbers, func(ctx context.Context, n int) (err error) {
		if n < len(p.deposits) {
			d := p.deposits[n]
			one := paidDeposit{deposit: d}
			if one.Payment, one.steps, err = p.payment(ctx, d.ledger(), d.id()); err != nil {
				return err
			}
			all.deposits[n] = one
		}
		if n < len(p.withdrawals) {
			w := p.withdrawals[n]
			one := paidOut{withdrawal: w}
			if one.saga, err = p.store.Saga(ctx, w.home, w.ledger(), saga.IDOf(w.ledger(), w.key)); err != nil && !errors.Is(err, saga.ErrNotFound) {
				return err
			}
			if made := one.saga.Progress.Payments[saga.Main]; !made.IsZero() {
				if one.Payment, one.steps, err = p.payment(ctx, w.ledger(), made); err != nil {
					return err
				}
			}
			all.withdrawals[n] = one
		}
		return nil
	})
}

// payment reads a payment with its history; one that is not there is zero.
func (p *Payments) payment(ctx context.Context, name id.Ledger, which id.Transaction) (found ledger.Payment, steps []ledger.PaymentStep, err error) {
	found, err = asked(ctx, p, func(ctx context.Context, url string) (ledger.Payment, error) {
		return rpc.NewPaymentClient(p.servers.http, url).Payment(ctx, name, which)
	})
	if errors.Is(err, errs.ErrPaymentNotFound) {
		return ledger.Payment{}, nil, nil
	}
	if err != nil {
		return found, nil, fmt.Errorf("read payment %s: %w", which, err)
	}
	steps, err = asked(ctx, p, func(ctx context.Context, url string) ([]ledger.PaymentStep, error) {
		return rpc.NewPaymentClient(p.servers.http, url).PaymentSteps(ctx, name, which, 0, 100)
	})
	if err != nil {
		return found, nil, fmt.Errorf("read the history of payment %s: %w", which, err)
	}
	return found, steps, nil
}

// callbacks are all that servers have stored of a home's account at the provider.
func (p *Payments) callbacks(ctx context.Context, home id.Home) (all []provider.Callback, err error) {
	page := provider.Page{Ledger: paymentsLedger(home), Provider: accountAt(home), Limit: 500}
	for {
		part, err := asked(ctx, p, func(ctx context.Context, url string) ([]provider.Callback, error) {
			return rpc.NewProviderClient(p.servers.http, url).List(ctx, page)
		})
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(part) < page.Limit {
			return all, nil
		}
		page.After = part[len(part)-1].ID
	}
}

func (p *Payments) accounts(ctx context.Context, name id.Ledger, into map[ledger.Ref]ledger.Account) error {
	const page = 1000
	for after := id.Account(""); ; {
		part, err := asked(ctx, p, func(ctx context.Context, url string) ([]ledger.Account, error) {
			return rpc.NewClient(p.servers.http, url).Accounts(ctx, name, after, page)
		})
		if err != nil {
			return err
		}
		for _, a := range part {
			after, into[a.Ref] = a.Ref.Account, a
		}
		if len(part) < page {
			return nil
		}
	}
}

// verdicts are those of all checkers that have something to look at in a story.
func (r paid) verdicts() []sim.Verdict {
	all := []sim.Verdict{}
	if r.told {
		all = append(all, r.answered(), r.once(), r.applied(), r.deposited())
	}
	if len(r.withdrawals) > 0 {
		all = append(all, r.ordered())
	}
	return append(all, r.backward(), r.sums(), r.ended())
}

// found is a verdict that is being found.
type found struct{ sim.Verdict }

func (f *found) problem(format string, args ...any) {
	const enough = 50
	if f.Found++; f.Found <= enough {
		f.Problems = append(f.Problems, fmt.Sprintf(format, args...))
	}
}

func (f *found) verdict() sim.Verdict {
	f.Status = sim.Passed
	switch {
	case f.Found > 0:
		f.Status = sim.Failed
	case f.Looked == 0:
		f.Status, f.Notes = sim.Skipped, append(f.Notes, "there was nothing to look at")
	}
	return f.Verdict
}

func find(checker, name string) *found {
	return &found{sim.Verdict{Checker: checker, Name: name}}
}

// answered holds the answers that the provider got: 200 in the end for every callback; before that, 503 from a server that asks for it again, and none
// from one that somebody has broken.
func (r paid) answered() sim.Verdict {
	f := find("callbacks_answered", "every callback was answered 200, at once or when it was sent again")
	f.Looked = r.posted.Requests
	if r.failed != "" {
		f.problem("the provider could not tell everything: %s", r.failed)
	}
	if r.posted.GivenUp > 0 {
		f.problem("%d callbacks were never answered 200: %s", r.posted.GivenUp, said(r.posted.Statuses))
	}
	for status, n := range r.posted.Statuses {
		if status != http.StatusOK && status != http.StatusServiceUnavailable && (status != 0 || !r.broken) {
			f.problem("%d answers were %d", n, status)
		}
	}
	f.Notes = append(f.Notes, fmt.Sprintf("%s; 99 %% within %s", said(r.posted.Statuses), r.posted.P99.Round(time.Millisecond)))
	return f.verdict()
}

// restatement marks what was said under an id that says something else already.
const restatement = "~"

// want is what has to become of a callback.
type want struct {
	state provider.State
	cause string
}

// wants is what has to become of every event that the provider told of, by its id; what was restated has the mark behind it.
func (d *deposit) wants() map[string]want {
	all := map[string]want{}
	dead := func(name, cause string) { all[d.name+"-"+name] = want{provider.Dead, cause} }
	for _, wave := range d.waves() {
		for _, e := range wave {
			if _, again := all[e.ID]; !again {
				all[e.ID] = want{state: provider.Applied}
			}
		}
	}
	switch d.plot {
	case voided, expired:
		dead("c", payment.Elsewhere)
	case contradicted:
		dead("x", payment.Backward)
	case restated:
		dead("c"+restatement, provider.CauseContradicts)
	case twice:
		dead("c2", payment.Backward)
	case plain, early:
	}
	return all
}

// once holds what servers have stored against what was posted: each event once, and no other.
func (r paid) once() sim.Verdict {
	f := find("callbacks_once", "every callback is stored once, and nothing else is")
	for home, rows := range r.rows {
		stored := map[string]int{}
		for _, c := range rows {
			f.Looked++
			stored[unmarked(c.ID)]++
		}
		for _, d := range r.deposits {
			if d.home != home {
				continue
			}
			for event := range d.wants() {
				if n := stored[event]; n != 1 {
					f.problem("%s of %s is stored %d times", event, home, n)
				}
				delete(stored, event)
			}
		}
		for event := range stored {
			f.problem("%s of %s is stored, and nobody posted it", event, home)
		}
	}
	return f.verdict()
}

// unmarked is the id of an event, without the hash of what a restatement says.
func unmarked(event string) string {
	before, _, restates := strings.Cut(event, restatement)
	if restates {
		return before + restatement
	}
	return event
}

// applied holds what became of callbacks against what has to: what came early is applied, what contradicts is kept and refused for its reason, and
// there are as many of these as were sent.
func (r paid) applied() sim.Verdict {
	f := find("callbacks_applied", "every callback is applied, or refused and kept where it is stale or contradicts")
	refused, wanted := 0, 0
	for home, rows := range r.rows {
		wants := map[string]want{}
		for _, d := range r.deposits {
			if d.home != home {
				continue
			}
			for event, w := range d.wants() {
				if wants[event] = w; w.state == provider.Dead {
					wanted++
				}
			}
		}
		for _, c := range rows {
			f.Looked++
			if c.State == provider.Dead {
				refused++
			}
			w := wants[unmarked(c.ID)]
			if c.State != w.state || w.state == provider.Dead && c.Cause != w.cause {
				f.problem("%s of %s is %s %s (%s), want %s %s", c.ID, home, c.State, c.Cause, c.Detail, w.state, w.cause)
			}
		}
	}
	if refused != wanted {
		f.problem("%d callbacks were refused, and %d were sent that had to be", refused, wanted)
	}
	if r.early != r.wasExpected {
		f.problem("%d callbacks waited for what comes before them, and %d came too early", r.early, r.wasExpected)
	}
	f.Notes = append(f.Notes, fmt.Sprintf("%d refused and kept, %d waited for what comes before them", refused, r.early))
	return f.verdict()
}

// ends is where a deposit has to stand: its state, the steps that were taken, and those that were refused.
func (d *deposit) ends() (state payment.State, taken, refused int64) {
	switch d.plot {
	case voided:
		return "voided", 2, 1
	case expired:
		return "expired", 2, 1
	case contradicted, twice:
		return "settled", 3, 1
	case plain, early, restated:
	}
	return "settled", 3, 0
}

// captured is what a deposit has brought.
func (d *deposit) captured() int64 {
	if state, _, _ := d.ends(); state == "settled" {
		return d.amount
	}
	return 0
}

// deposited holds each deposit against what clients and the provider said of it: as many steps as different triggers, and each amount once.
func (r paid) deposited() sim.Verdict {
	f := find("payments_once", "every deposit took each step once, and no other")
	for _, d := range r.deposits {
		f.Looked++
		state, taken, refused := d.ends()
		if d.State != state || d.Version != taken || d.Attempts != taken+refused {
			f.problem("%s %s (%s) is %q after %d steps and %d refusals, want %s, %d and %d",
				d.ledger(), d.name, d.plot, d.State, d.Version, d.Attempts-d.Version, state, taken, refused)
		}
		for _, total := range []string{payment.Captured, payment.Settled} {
			if got := d.Totals[total]; got != money.FromInt64(d.captured()) {
				f.problem("%s %s (%s) has %s %s, want %d", d.ledger(), d.name, d.plot, total, got, d.captured())
			}
		}
	}
	return f.verdict()
}

// backward follows the history of each payment along the table of its kind.
func (r paid) backward() sim.Verdict {
	f := find("payments_forward", "no payment took a step that its table does not have, or went backwards")
	follow := func(p ledger.Payment, steps []ledger.PaymentStep) {
		f.Looked++
		table, _ := payment.TableOf(p.Kind)
		state, taken := payment.New, int64(0)
		for n, s := range steps {
			if s.Number != int64(n)+1 {
				f.problem("%s %s: line %d of its history has number %d", p.Ledger, p.ID, n+1, s.Number)
			}
			if s.Decided != ledger.Posted {
				continue
			}
			taken++
			allowed := slices.ContainsFunc(table.Rules, func(rule payment.Rule) bool {
				return rule.On == s.Trigger && slices.Contains(rule.From, state) && (rule.To == s.To || s.To == ledger.UnderReview && len(rule.Pauses) > 0)
			})
			if s.From != state || !allowed {
				f.problem("%s %s went from %q to %q by %s, when it was %q", p.Ledger, p.ID, s.From, s.To, s.Trigger, state)
			}
			state = s.To
		}
		if state != p.State || taken != p.Version || int64(len(steps)) != p.Attempts {
			f.problem("%s %s is %q in version %d after %d lines; its history leads to %q in %d after %d", p.Ledger, p.ID, p.State, p.Version, p.Attempts, state, taken, len(steps))
		}
	}
	for _, d := range r.deposits {
		follow(d.Payment, d.steps)
	}
	for _, w := range r.withdrawals {
		if w.Exists() {
			follow(w.Payment, w.steps)
		}
	}
	return f.verdict()
}

// ordered holds sagas and the books against the provider's own record: each ended in one way, and what was paid was paid once.
func (r paid) ordered() sim.Verdict {
	f := find("provider_record", "every withdrawal ended, and the provider paid each completed one once and no other")
	completed, paid := 0, map[string]bool{}
	for _, w := range r.withdrawals {
		f.Looked++
		at := fmt.Sprintf("%s %s", w.ledger(), w.key)
		record := payout{}
		if w.Exists() {
			record = r.record[w.ID.String()]
			paid[w.ID.String()] = true
		}
		switch w.saga.State {
		case saga.Completed:
			completed++
			if w.State != "settled" {
				f.problem("%s is completed, and its payment is %q", at, w.State)
			}
			if record.times != 1 || record.amount != fmt.Sprint(w.amount) {
				f.problem("%s is completed, and the provider paid %d times %s, want once %d", at, record.times, record.amount, w.amount)
			}
		case saga.Compensated:
			if w.Exists() && !slices.Contains([]payment.State{"cancelled", "rejected", "compensated"}, w.State) {
				f.problem("%s is compensated, and its payment is %q", at, w.State)
			}
			if record.times != 0 {
				f.problem("%s is compensated, and the provider paid %d times", at, record.times)
			}
		case "":
			f.problem("%s was never started: %s", at, w.trouble)
		default:
			f.problem("%s is still %s at %s: %s %s", at, w.saga.State, w.saga.Step, w.saga.Cause, w.saga.Detail)
		}
	}
	for which, record := range r.record {
		if !paid[which] && record.times > 0 {
			f.problem("the provider paid %d times for payment %s, of which no saga knows", record.times, which)
		}
	}
	f.Notes = append(f.Notes, fmt.Sprintf("%d completed, %d compensated", completed, f.Looked-completed))
	return f.verdict()
}

// sums holds the accounts against the sums of what was captured and paid out: what players have, what is pending, and what stands outside.
func (r paid) sums() sim.Verdict {
	f := find("payments_sums", "accounts hold what was captured less what was paid out, and nothing is pending")
	cash, outside := map[ledger.Ref]int64{}, map[id.Ledger]int64{}
	add := func(l id.Ledger, player id.Player, amount int64) {
		cash[ledger.Ref{Ledger: l, Account: id.Account("player:" + string(player) + ":cash:EUR")}] += amount
		outside[l] += amount
	}
	for _, d := range r.deposits {
		if r.told {
			add(d.ledger(), d.player, d.captured())
		}
	}
	for _, w := range r.withdrawals {
		add(w.ledger(), w.player, 2*w.amount)
		if w.saga.State == saga.Completed {
			add(w.ledger(), w.player, -w.amount)
		}
	}
	for ref, account := range r.accounts {
		f.Looked++
		has, _ := account.Posted().Int64()
		name := string(ref.Account)
		switch {
		case strings.HasSuffix(name, ":cash:EUR"):
			if has != cash[ref] {
				f.problem("%s has %d, want %d", ref, has, cash[ref])
			}
			delete(cash, ref)
		case strings.Contains(name, ":pending:"):
			if has != 0 {
				f.problem("%s has %d pending", ref, has)
			}
		case account.Normal == ledger.Debit: // the provider, the bank and fees
			outside[ref.Ledger] -= has
		default:
			outside[ref.Ledger] += has
		}
	}
	for ref, amount := range cash {
		if amount != 0 {
			f.problem("%s is not there, want %d", ref, amount)
		}
	}
	for l, left := range outside {
		if left != 0 {
			f.problem("%s: outside of it stands %d less than what players have", l, left)
		}
	}
	return f.verdict()
}

// ended tells whether everything was applied and ended in the time that it may take.
func (r paid) ended() sim.Verdict {
	f := find("payments_ended", "every callback was applied and every saga ended in time")
	f.Looked = int(r.most)
	if r.open > 0 {
		f.problem("%d callbacks and sagas are still open", r.open)
	}
	if r.within > 0 && r.took > r.within {
		f.problem("it took %.1f s, and may take %s", r.took.Seconds(), r.within)
	}
	f.Notes = append(f.Notes, fmt.Sprintf("%d were open at once, and none after %.1f s", r.most, r.took.Seconds()))
	return f.verdict()
}
