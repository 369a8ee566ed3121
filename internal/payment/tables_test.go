package payment_test

import (
	"slices"
	"testing"

	. "github.com/meridian-ledger/meridian/internal/payment"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// everyTrigger is what anybody may send, and one that nobody knows.
func everyTrigger() []Trigger {
	all := []Trigger{"teleport"}
	for _, t := range Tables {
		for _, on := range t.Triggers() {
			if !slices.Contains(all, on) {
				all = append(all, on)
			}
		}
	}
	return all
}

// For each state of each kind, each trigger of all kinds, and each amount, with gates open and closed: the step follows the table, or is refused
// for the right reason, counted, and changes nothing.
func TestTables_EveryStateMeetsEveryTrigger(t *testing.T) {
	for _, table := range Tables {
		t.Run(string(table.Kind), func(t *testing.T) {
			t.Parallel()
			ways := paths(t, table)
			for _, s := range table.States() {
				if ways[s] == nil {
					t.Errorf("nothing leads to %s", s)
				}
			}
			for state, way := range ways {
				if state != New && !slices.Contains(table.States(), state) {
					t.Errorf("the table has no %s", state)
				}
				met(t, table, state, way)
			}
		})
	}
}

func met(t *testing.T, table Table, state State, way path) {
	t.Helper()
	for _, on := range everyTrigger() {
		var rules []Rule
		for _, r := range table.Rules {
			if r.On == on && slices.Contains(r.From, state) {
				rules = append(rules, r)
			}
		}
		for _, amount := range amounts {
			for _, prepare := range []func(*world){nil, suspect} {
				w := newWorld(t)
				var p ledger.Payment
				if state != New {
					p = w.follow(table, way)
				}
				c := step(p, on, amount, "third")
				if state == New {
					if amount == nil {
						continue // an invalid request
					}
					c = first(table.Kind, on, 0, w.parentOf(table))
					c.Amount = amount
				}
				if prepare != nil {
					prepare(w)
				}
				before := w.balances()
				o := w.try(c)
				where := string(table.Kind) + " " + string(state) + " " + string(on)
				if o.Decided == ledger.Declined {
					if changed := w.unchanged(p, before, o); changed != "" {
						t.Fatalf("%s: refused for %s, and %s", where, o.Reason, changed)
					}
				}
				switch {
				case len(rules) == 0:
					if o.Reason != errs.ReasonTransitionRefused || o.Detail["state"] != string(state) || o.Detail["trigger"] != string(on) || o.Detail["cause"] == "" {
						t.Fatalf("%s: %s %s %v, and the table has no rule", where, o.Decided, o.Reason, o.Detail)
					}
					if (on == "teleport") != (o.Detail["cause"] == Unknown) && slices.Contains(append(table.Triggers(), "teleport"), on) {
						t.Fatalf("%s: refused as %s", where, o.Detail["cause"])
					}
				case o.Decided == ledger.Posted:
					if !slices.ContainsFunc(rules, func(r Rule) bool { return slices.Contains(r.Leads(), o.Step.To) }) || o.Step.From != state {
						t.Fatalf("%s: led from %s to %s", where, o.Step.From, o.Step.To)
					}
					is := w.payment(o.Step.Payment)
					if is.State != o.Step.To || is.Version != p.Version+1 || is.Attempts != p.Attempts+1 {
						t.Fatalf("%s: %+v became %+v", where, p, is)
					}
					w.sound(is)
				case !isStepDecline(o.Reason):
					t.Fatalf("%s: %s %v", where, o.Reason, o.Detail)
				case prepare == nil && amount == nil && takesRest(rules):
					t.Fatalf("%s of what is left: %s %v", where, o.Reason, o.Detail)
				}
			}
		}
	}
}

// takesRest tells whether one of the rules takes what is left without being told how much.
func takesRest(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.Takes.How == All || r.Takes.How == Nothing })
}

func TestTables_TerminalStatesAreFinalAndAllOthersEndInOne(t *testing.T) {
	for _, table := range Tables {
		ends := 0
		for _, s := range table.States() {
			if table.Terminal(s) {
				ends++
				continue
			}
			if !slices.ContainsFunc(table.States(), func(end State) bool { return table.Terminal(end) && table.Reaches(s, end) }) {
				t.Errorf("%s: from %s nothing leads to an end", table.Kind, s)
			}
		}
		if ends == 0 || len(table.States()) < 3 {
			t.Errorf("%s: %d ends of %d states", table.Kind, ends, len(table.States()))
		}
	}
	for kind, want := range map[Kind][]State{
		Deposit:    {"settled", "voided", "expired", "returned"},
		Withdrawal: {"settled", "compensated", "rejected", "cancelled"},
		Bet:        {"settled", "voided"},
		Refund:     {"settled", "compensated", "rejected"},
		Bonus:      {"converted", "forfeited", "expired"},
		Chargeback: {"won", "lost"},
		Adjustment: {"applied", "rejected"},
		Commission: {"waived", "settled"},
		Affiliate:  {"paid", "cancelled"},
	} {
		table, _ := TableOf(kind)
		for _, s := range table.States() {
			if table.Terminal(s) != slices.Contains(want, s) {
				t.Errorf("%s: %s terminal: %t", kind, s, table.Terminal(s))
			}
		}
	}
}

func TestTables_SayInWhatWayATriggerIsRefused(t *testing.T) {
	for _, row := range []struct {
		kind  Kind
		state State
		on    Trigger
		cause string
	}{
		{Deposit, "captured", "capture", Duplicate},
		{Deposit, "settled", "capture", Backward},
		{Deposit, "settled", "authorize", Backward},
		{Deposit, "authorized", "settle", Early},
		{Deposit, "voided", "capture", Elsewhere},
		{Deposit, "voided", "void", Duplicate},
		{Withdrawal, "requested", "settle", Early},
		{Withdrawal, "settled", "fail", Backward},
		{Withdrawal, "rejected", "settle", Elsewhere},
		{Bet, "settled", "win", Backward},
		{Bet, "accepted", "resettle_win", Early},
		{Bet, "voided", "teleport", Unknown},
	} {
		table, _ := TableOf(row.kind)
		if got := table.Why(row.state, row.on); got != row.cause {
			t.Errorf("%s %s %s is refused as %s, wanted %s", row.kind, row.state, row.on, got, row.cause)
		}
	}
}
