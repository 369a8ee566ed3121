package drill

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/saga"
	"github.com/meridian-ledger/meridian/internal/sim"
)

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
