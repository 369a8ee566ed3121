package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// names are how a story writes amounts: entries do not name their asset, what was asked does.
type names struct {
	ledger  ledger.Ledger
	assetOf map[ledger.Ref]money.Code
	only    money.Code // of the whole story, where it is one
}

func newNames(l ledger.Ledger, records []ledger.Record) *names {
	n := &names{ledger: l, assetOf: map[ledger.Ref]money.Code{}}
	seen := map[money.Code]bool{}
	for _, r := range records {
		c := requestOf(r)
		code := money.Code("")
		switch {
		case c.Amount != nil:
			code = c.Amount.Asset
		case r.Outcome.Hold != nil:
			code = r.Outcome.Hold.Asset.Code
		case r.Outcome.Step != nil:
			code = r.Outcome.Step.Asset.Code
		case r.Outcome.Account != nil:
			code = r.Outcome.Account.Asset.Code
		case c.Terms != nil:
			code = c.Terms.Asset
		}
		for _, leg := range c.Legs {
			of := leg.Ledger
			if of == "" {
				of = r.Outcome.Ledger
			}
			n.assetOf[ledger.Ref{Ledger: of, Account: leg.Account}] = leg.Amount.Asset
			seen[leg.Amount.Asset] = true
		}
		if code == "" {
			continue
		}
		seen[code] = true
		for _, e := range r.Outcome.Entries {
			if _, known := n.assetOf[e.Ref]; !known {
				n.assetOf[e.Ref] = code
			}
		}
	}
	if len(seen) == 1 {
		n.only = slices.Collect(maps.Keys(seen))[0]
	}
	return n
}

func (n *names) asset(ref ledger.Ref) money.Code {
	if code, known := n.assetOf[ref]; known {
		return code
	}
	return n.only
}

// money writes an amount as people do, or in minor units where the ledger does not have the asset.
func (n *names) money(a money.Amount, code money.Code) string {
	if asset, known := n.ledger.Asset(code); known {
		return asset.Format(a) + " " + string(code)
	}
	if code == "" {
		return a.String() + " minor units"
	}
	return a.String() + " minor units of " + string(code)
}

func (n *names) signed(a money.Amount, code money.Code) string {
	if a.Sign() > 0 {
		return "+" + n.money(a, code)
	}
	return n.money(a, code)
}

// account names one, with its ledger where that is not the story's.
func (n *names) account(ref ledger.Ref) string {
	if ref.Ledger != n.ledger.ID {
		return string(ref.Ledger) + "/" + string(ref.Account)
	}
	return string(ref.Account)
}

func (n *names) amountOf(c ledger.Command) string {
	if c.Amount == nil {
		return ""
	}
	return n.money(c.Amount.Minor, c.Amount.Asset)
}

// asked says what a row was asked for.
func asked(n *names, r ledger.Record) string {
	c := requestOf(r)
	amount := n.amountOf(c)
	to := func(word string) string {
		if c.Counter == "" {
			return ""
		}
		return " " + word + " " + string(c.Counter)
	}
	switch c.Kind {
	case ledger.KindDebit:
		return fmt.Sprintf("debit %s from %s%s", amount, c.Account, to("to"))
	case ledger.KindCredit:
		return fmt.Sprintf("credit %s to %s%s", amount, c.Account, to("from"))
	case ledger.KindTransfer:
		return fmt.Sprintf("transfer %s from %s%s", amount, c.Account, to("to"))
	case ledger.KindPost:
		return fmt.Sprintf("post %d lines", len(c.Legs))
	case ledger.KindHold:
		return fmt.Sprintf("hold %s of %s%s", amount, c.Account, to("for"))
	case ledger.KindCommit:
		if amount == "" {
			amount = "all that remains"
		}
		if c.KeepRest {
			return fmt.Sprintf("commit %s of the hold and keep the rest", amount)
		}
		return fmt.Sprintf("commit %s of the hold", amount)
	case ledger.KindRollback:
		return "roll the hold back"
	case ledger.KindExpire:
		return "release the hold, whose time is over"
	case ledger.KindReverse:
		return "reverse transaction " + c.Target.String()
	case ledger.KindStep:
		if c.Step != nil {
			return strings.TrimSpace(fmt.Sprintf("%s: %s %s", c.Step.Payment, c.Step.Trigger, amount))
		}
	case ledger.KindPlayer:
		if c.Player != nil {
			return fmt.Sprintf("change what gates know of player %s", c.Player.Player)
		}
	case ledger.KindOpen, ledger.KindUpdate, ledger.KindFreeze, ledger.KindClose:
		what := fmt.Sprintf("%s account %s", c.Kind, c.Account)
		if c.Status != "" {
			what += ": " + string(c.Status)
		}
		return what
	}
	return string(c.Kind)
}

// facts lists a map by name.
func facts(all map[string]string) []Fact {
	var out []Fact
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, Fact{name, all[name]})
	}
	return out
}

// counted writes how many there are.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// told leaves out what is empty.
func told(all ...Fact) []Fact {
	return slices.DeleteFunc(all, func(f Fact) bool { return f.Value == "" })
}

func text[T ~string](s T) string { return string(s) }

func idText(t id.Transaction) string {
	if t.IsZero() {
		return ""
	}
	return t.String()
}
