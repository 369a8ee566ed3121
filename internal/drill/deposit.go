package drill

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

// plot is what the provider tells of a deposit.
type plot string

// The plots. What a drill without conflicts tells is plain.
const (
	plain        plot = "plain"        // authorized, captured, settled
	early        plot = "early"        // settled, then captured, before the client has authorized it
	voided       plot = "voided"       // captured, after the client has voided it
	expired      plot = "expired"      // captured, after it has expired
	contradicted plot = "contradicted" // settled, and then declined
	restated     plot = "restated"     // captured, and the same event again with another amount
	twice        plot = "twice"        // captured, settled, and captured once more as another event
)

var plots = []plot{plain, early, voided, expired, contradicted, restated, twice}

// deposit is one that a client authorizes and the provider tells of.
type deposit struct {
	home   id.Home
	name   string // unique in the home
	plot   plot
	player id.Player
	amount int64
}

func (d *deposit) ledger() id.Ledger { return paymentsLedger(d.home) }

// step is a command of the client on it; the first makes it.
func (d *deposit) step(trigger payment.Trigger) ledger.Command {
	c := ledger.Command{
		Kind: ledger.KindStep, Ledger: d.ledger(), Key: id.Key(d.name + "-" + string(trigger)),
		Step: &ledger.Step{Payment: payment.Deposit, Trigger: trigger, Actor: "drill"},
	}
	if trigger == "authorize" {
		c.Step.Player, c.Step.Provider, c.Amount = d.player, string(accountAt(d.home)), euros(d.amount)
		return c
	}
	c.Target = d.id()
	return c
}

// id is that of the payment: the command that makes it is known before it is sent.
func (d *deposit) id() id.Transaction {
	return id.TransactionOf(d.ledger(), id.Key(d.name+"-authorize"))
}

// event is one of the provider's, by its name, so many seconds after the moment in which it is posted.
func (d *deposit) event(name, kind string, amount int64, at time.Duration) simulate.Event {
	return simulate.Event{ID: d.name + "-" + name, Type: "payment." + kind, Payment: d.id().String(), Reference: "ref-" + d.name, Amount: amount, Currency: "EUR", At: at}
}

const waves = 3

// waves are what the provider posts of it: what stands in one is posted when all of the one before was answered. Between the second and the third,
// clients authorize what came too early.
func (d *deposit) waves() [waves][]simulate.Event {
	authorized, captured := d.event("a", "authorized", d.amount, -3*time.Second), d.event("c", "captured", d.amount, -2*time.Second)
	settled := d.event("s", "settled", d.amount, -time.Second)
	whole := []simulate.Event{authorized, captured, settled}
	switch d.plot {
	case early:
		captured.At = -time.Minute
		return [waves][]simulate.Event{{settled}, {captured}, {authorized}}
	case voided, expired:
		return [waves][]simulate.Event{{authorized}, {captured}}
	case contradicted:
		return [waves][]simulate.Event{whole, {d.event("x", "declined", d.amount, 0)}}
	case restated:
		return [waves][]simulate.Event{whole, {d.event("c", "captured", d.amount+1, 0)}}
	case twice:
		return [waves][]simulate.Event{whole, {d.event("c2", "captured", d.amount, 0)}}
	default:
		return [waves][]simulate.Event{whole}
	}
}

// withdrawal is a saga that pays a player out.
type withdrawal struct {
	home   id.Home
	key    id.Key
	player id.Player
	amount int64

	trouble string // of starting it
}

func (w *withdrawal) ledger() id.Ledger { return paymentsLedger(w.home) }

func euros(minor int64) *ledger.Money {
	return &ledger.Money{Minor: money.FromInt64(minor), Asset: "EUR"}
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
