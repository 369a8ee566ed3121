package payment_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/meridian-ledger/meridian/internal/payment"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// act is what somebody does to a payment.
type act struct {
	on     Trigger
	amount *ledger.Money
}

func (a act) String() string {
	if a.amount == nil {
		return string(a.on)
	}
	return fmt.Sprintf("%s %s", a.on, a.amount.Minor)
}

// acts are all that can be done to payments of a kind that are there: each trigger, with the amounts that matter to it.
func actsOf(t Table) []act {
	var all []act
	for _, r := range t.Rules {
		var a []act
		switch r.Takes.How {
		case Any:
			a = []act{{r.On, minor(1500)}}
		case Part, UpTo:
			a = []act{{r.On, minor(400)}, {r.On, minor(1000)}}
		case Enough:
			a = []act{{r.On, minor(10000)}}
		default:
			a = []act{{r.On, nil}}
		}
		for _, one := range a {
			if !slices.ContainsFunc(all, func(b act) bool { return b.String() == one.String() }) {
				all = append(all, one)
			}
		}
	}
	return all
}

// race is two acts at once on a payment in a state, and what may come of them.
type race struct {
	state State
	acts  [2]act
	may   [2]ending // of either order
}

// ending is a payment after both acts.
type ending struct {
	payment ledger.Payment
	posted  [2]bool
}

func (e ending) same(f ending) bool {
	return e.posted == f.posted && e.payment.State == f.payment.State && e.payment.Version == f.payment.Version &&
		e.payment.Attempts == f.payment.Attempts && maps.Equal(e.payment.Totals, f.payment.Totals) && maps.Equal(e.payment.Holdings, f.payment.Holdings)
}

// races lists all pairs of acts in all states of a table, with their endings on books in memory.
func races(t *testing.T, table Table, ways map[State]path) []race {
	t.Helper()
	var all []race
	acts := actsOf(table)
	for _, state := range slices.Sorted(maps.Keys(ways)) {
		if state == New {
			continue
		}
		for i, a := range acts {
			for _, b := range acts[i:] {
				r := race{state: state, acts: [2]act{a, b}}
				for order := range 2 {
					w := newWorld(t)
					p := w.follow(table, ways[state])
					for n := range 2 {
						at := (order + n) % 2
						o := w.try(step(p, r.acts[at].on, r.acts[at].amount, "third"))
						r.may[order].posted[at] = o.Decided == ledger.Posted
					}
					r.may[order].payment = w.payment(p.ID)
					w.sound(r.may[order].payment)
				}
				if r.may[0].posted == [2]bool{} && r.may[1].posted == [2]bool{} {
					continue // neither can happen, and so neither is in a race: TestTables_EveryStateMeetsEveryTrigger has both
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// node is a ledger with payments as a server has it.
type node struct {
	*store.Store
	*commit.Committer
}

var _ ledger.Service = node{}

func newNode(t *testing.T, d dbtest.Database) node {
	t.Helper()
	opened, err := db.Open(t.Context(), db.Options{URL: d.URL, Writers: 4, Readers: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	n := node{Store: store.New(opened)}
	n.Committer = commit.New(n.Store, commit.Options{MaxGroup: 16, Patience: 2 * time.Minute, Attempt: time.Minute, Lifecycle: advances})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
	return n
}

// all executes commands in order, batch by batch.
func (n node) all(t *testing.T, commands []ledger.Command) []ledger.Outcome {
	t.Helper()
	var outcomes []ledger.Outcome
	for part := range slices.Chunk(commands, ledger.MaxBatch) {
		results, err := n.Execute(t.Context(), ledger.Batch{Commands: part})
		if err != nil {
			t.Errorf("execute: %v", err)
			return nil
		}
		for _, r := range results {
			if r.Err != nil {
				t.Errorf("execute: %v", r.Err)
			}
			outcomes = append(outcomes, r.Outcome)
		}
	}
	return outcomes
}

// told is the way of a payment of its own player to a state, as commands, and the id of the payment.
func told(table Table, way path, name string) (commands []ledger.Command, payment id.Transaction) {
	player := id.Player(name)
	key := func(what string) id.Key { return id.Key(name + "/" + what) }
	add := func(c ledger.Command, what string) id.Transaction {
		c.Ledger, c.Key = brand.ID, key(what)
		if c.Step != nil && c.Target.IsZero() {
			c.Step.Player = player
		}
		commands = append(commands, c)
		return c.ID()
	}
	mark := func(aml ledger.AML, what string) {
		add(ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: player, AML: aml}}, what)
	}
	add(ledger.Command{Kind: ledger.KindPlayer, Player: &ledger.PlayerChange{Player: player, KYC: ledger.KYCVerified}}, "known")
	cash := id.Account("player:" + name + ":cash:EUR")
	add(ledger.Command{Kind: ledger.KindOpen, Account: cash, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit, Floor: ledger.AtLimit(minor(0).Minor)}}, "open")
	add(ledger.Command{Kind: ledger.KindCredit, Account: cash, Amount: minor(1_000_000)}, "fund")
	var parent id.Transaction
	if table.Parent != "" {
		parent = add(first(Deposit, "receive", 1000, id.Transaction{}), "parent")
	}
	for i, m := range way {
		if m.before != nil {
			mark(ledger.AMLFlagged, fmt.Sprint("flag", i))
		}
		if i == 0 {
			payment = add(first(table.Kind, m.on, 1000, parent), "first")
		} else {
			add(step(ledger.Payment{ID: payment, Kind: table.Kind}, m.on, m.amount, "second"), fmt.Sprint("way", i))
		}
		if m.after != nil {
			mark(ledger.AMLClear, fmt.Sprint("clear", i))
		}
	}
	return commands, payment
}

// For each pair of triggers, in each state, of each kind: two nodes send one each at the same time. One order of the two explains what is there
// afterwards, whatever the interleaving, and the books are proved.
func TestRaces_EndAsOneOrderOfTheTwo(t *testing.T) {
	all := map[Kind][]race{}
	ways := map[Kind]map[State]path{}
	for _, table := range Tables {
		ways[table.Kind] = paths(t, table)
		all[table.Kind] = races(t, table, ways[table.Kind])
		if testing.Short() {
			all[table.Kind] = slices.Collect(every(7, all[table.Kind]))
		}
	}
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		nodes := []node{newNode(t, d), newNode(t, d)}
		if _, err := nodes[0].CreateLedger(t.Context(), brand); err != nil {
			t.Fatal(err)
		}
		ran := 0
		for _, table := range Tables {
			began := time.Now()
			run(t, nodes, table, ways[table.Kind], all[table.Kind])
			t.Logf("%s: %d races in %s", table.Kind, len(all[table.Kind]), time.Since(began))
			ran += len(all[table.Kind])
		}
		report, err := verify.Run(t.Context(), d.DB, verify.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range report.Checks {
			if c.Found > 0 {
				t.Errorf("%s: %d findings: %+v", c.Name, c.Found, c.Findings[0])
			}
		}
		t.Logf("%d races", ran)
	})
}

// every yields each n-th of a list.
func every[V any](n int, all []V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for i := 0; i < len(all); i += n {
			if !yield(all[i]) {
				return
			}
		}
	}
}

func run(t *testing.T, nodes []node, table Table, ways map[State]path, races []race) {
	t.Helper()
	payments := make([]id.Transaction, len(races))
	var prepared []ledger.Command
	sent := [2][]ledger.Command{}
	for i, r := range races {
		name := fmt.Sprintf("%s%d", table.Kind, i)
		commands, payment := told(table, ways[r.state], name)
		prepared, payments[i] = append(prepared, commands...), payment
		for n, a := range r.acts {
			c := step(ledger.Payment{ID: payment, Kind: table.Kind}, a.on, a.amount, "third")
			c.Ledger, c.Key = brand.ID, id.Key(fmt.Sprintf("%s/race%d", name, n))
			sent[n] = append(sent[n], c)
		}
	}
	for _, o := range nodes[0].all(t, prepared) {
		if o.Decided != ledger.Posted {
			t.Fatalf("%s: on the way: %s %s %v", table.Kind, o.Key, o.Reason, o.Detail)
		}
	}
	var outcomes [2][]ledger.Outcome
	var wait sync.WaitGroup
	for n := range nodes {
		wait.Go(func() { outcomes[n] = nodes[n].all(t, sent[n]) })
	}
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for i, r := range races {
		p, err := nodes[0].Payment(t.Context(), brand.ID, payments[i])
		if err != nil {
			t.Fatal(err)
		}
		is := ending{payment: p, posted: [2]bool{outcomes[0][i].Decided == ledger.Posted, outcomes[1][i].Decided == ledger.Posted}}
		if !is.same(r.may[0]) && !is.same(r.may[1]) {
			t.Fatalf("%s, %s against %s in %s: %+v; in order %+v, or %+v", table.Kind, r.acts[0], r.acts[1], r.state, is, r.may[0], r.may[1])
		}
		history(t, nodes[0], p)
	}
}

// history proves that the lines of a payment's history lead from one to the next, and to where it stands.
func history(t *testing.T, n node, p ledger.Payment) {
	t.Helper()
	steps, err := n.PaymentSteps(t.Context(), p.Ledger, p.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	at, accepted := New, int64(0)
	for i, s := range steps {
		if s.Number != int64(i)+1 || s.From != at {
			t.Fatalf("%s %s: line %d of its history is %+v after %s", p.Kind, p.ID, i+1, s, at)
		}
		if at = s.To; s.Decided == ledger.Posted {
			accepted++
		}
	}
	if at != p.State || accepted != p.Version || int64(len(steps)) != p.Attempts {
		t.Fatalf("%s %s: %d of %d steps lead to %s, and it is %s after %d of %d", p.Kind, p.ID, accepted, len(steps), at, p.State, p.Version, p.Attempts)
	}
}

func TestReads_FindPayments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newNode(t, d)
		if _, err := n.CreateLedger(t.Context(), brand); err != nil {
			t.Fatal(err)
		}
		table, _ := TableOf(Deposit)
		commands, made := told(table, path{{on: "authorize"}}, "q")
		last := len(commands) - 1
		commands[last].Step.ProviderReference = "pi_7"
		commands[last].Metadata = nil
		if o := n.all(t, commands); o[last].Decided != ledger.Posted {
			t.Fatalf("%s %v", o[last].Reason, o[last].Detail)
		}
		refused := step(ledger.Payment{ID: made, Kind: Deposit}, "settle", nil, "")
		refused.Ledger, refused.Key = brand.ID, "too-early"
		if o := n.all(t, []ledger.Command{refused}); o[0].Reason != errs.ReasonTransitionRefused || o[0].Step.From != "authorized" {
			t.Fatalf("%+v", o[0])
		}
		p, err := n.Payment(t.Context(), brand.ID, made)
		if err != nil || p.State != "authorized" || p.Version != 1 || p.Attempts != 2 {
			t.Fatalf("%+v %v", p, err)
		}
		for what, list := range map[string]func() ([]ledger.Payment, error){
			"player": func() ([]ledger.Payment, error) {
				return n.PaymentsOfPlayer(t.Context(), brand.ID, "q", ledger.PaymentPage{Limit: 5})
			},
			"state": func() ([]ledger.Payment, error) {
				return n.PaymentsInState(t.Context(), brand.ID, Deposit, "authorized", ledger.PaymentPage{Limit: 5})
			},
			"reference": func() ([]ledger.Payment, error) {
				return n.PaymentsByReference(t.Context(), brand.ID, "psp", "pi_7", 5)
			},
		} {
			if found, err := list(); err != nil || len(found) != 1 || found[0].ID != made {
				t.Errorf("by %s: %+v %v", what, found, err)
			}
		}
		after, err := n.PaymentsOfPlayer(t.Context(), brand.ID, "q", ledger.PaymentPage{At: p.OpenedAt, ID: p.ID, Limit: 5})
		if err != nil || len(after) != 0 {
			t.Errorf("behind the last one: %+v %v", after, err)
		}
		player, err := n.Player(t.Context(), brand.ID, "q")
		if err != nil || player.KYC != ledger.KYCVerified || len(player.Usage) != 3 {
			t.Errorf("%+v %v", player, err)
		}
		if _, err := n.Player(t.Context(), brand.ID, "nobody"); !errors.Is(err, errs.ErrPlayerNotFound) {
			t.Error(err)
		}
		if _, err := n.Payment(t.Context(), brand.ID, id.Transaction{1}); !errors.Is(err, errs.ErrPaymentNotFound) {
			t.Error(err)
		}
		r, err := n.Transaction(t.Context(), brand.ID, refused.ID())
		if err != nil || r.Outcome.Step == nil || r.Outcome.Step.Number != 2 || r.Outcome.Step.Trigger != "settle" {
			t.Errorf("%+v %v", r.Outcome, err)
		}
	})
}

// Who stands still for the longest is not who was opened first: a list by state goes by the last change, from both ends and page by page.
func TestReads_PaymentsInAStateByTheirLastChange(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		n := newNode(t, d)
		if _, err := n.CreateLedger(t.Context(), brand); err != nil {
			t.Fatal(err)
		}
		table, _ := TableOf(Deposit)
		var opened []id.Transaction
		capture := func(made id.Transaction, key id.Key) {
			t.Helper()
			c := step(ledger.Payment{ID: made, Kind: Deposit}, "capture", minor(1), "")
			c.Ledger, c.Key = brand.ID, key
			if o := n.all(t, []ledger.Command{c}); o[0].Step.To != "partially_captured" {
				t.Fatalf("%+v", o[0])
			}
		}
		for _, player := range []string{"a", "b", "c"} {
			commands, made := told(table, path{{on: "authorize"}}, player)
			n.all(t, commands)
			capture(made, id.Key("part/"+player))
			opened = append(opened, made)
		}
		capture(opened[0], "again")
		oldest := []id.Transaction{opened[1], opened[2], opened[0]}
		for _, row := range []struct {
			first bool
			want  []id.Transaction
		}{{true, oldest}, {false, []id.Transaction{oldest[2], oldest[1], oldest[0]}}} {
			var got []id.Transaction
			for page := (ledger.PaymentPage{Limit: 1, OldestFirst: row.first}); ; {
				found, err := n.PaymentsInState(t.Context(), brand.ID, Deposit, "partially_captured", page)
				if err != nil {
					t.Fatal(err)
				}
				if len(found) == 0 || len(got) > len(oldest) {
					break
				}
				got, page.At, page.ID = append(got, found[0].ID), found[0].ChangedAt, found[0].ID
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("oldest first %t: %v, want %v", row.first, got, row.want)
			}
		}
	})
}
