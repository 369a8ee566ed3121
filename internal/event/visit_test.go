package event

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// shownData is what a test looks at in data.
type shownData struct {
	Account   id.Account        `json:"account_id"`
	Entries   []entryData       `json:"entries"`
	Elsewhere int               `json:"entries_elsewhere"`
	Metadata  map[string]string `json:"metadata"`
}

func dataOfRendered(t T, r Rendered) (d shownData) {
	t.Helper()
	if err := json.Unmarshal(r.Data, &d); err != nil {
		t.Fatalf("%v in %s", err, r.Data)
	}
	return d
}

// other is the home that an event has entries at besides that of its journal row; empty where there is none.
func other(e Event, see Options) id.Home {
	for _, entry := range e.Record.Outcome.Entries {
		if home, known := see.HomeOf(entry.Ref.Ledger); known && home != e.Record.Home {
			return home
		}
	}
	return ""
}

// In the stream of another home the event is the same one: who sees both homes is shown the same, and who sees that home alone nothing of the
// first but the name of the ledger that the command was sent to.
func TestRender_InTheStreamOfAnotherHome(t *testing.T) {
	kinds := map[Type]int{}
	rapid.Check(t, func(t *rapid.T) {
		for _, e := range crossings(t) {
			see := Options{HomeOf: homeOf, RegionOf: regionOf}
			home := other(e, see)
			if home == "" {
				continue
			}
			kinds[e.Type()]++
			guest := e
			guest.Home, guest.Position = home, e.Position+1000
			wantOnly(t, guest, see)

			see.Homes = []id.Home{e.Home, home}
			here, there := rendered(t, e, see), rendered(t, guest, see)
			eventtest.Validate(t, there.Body)
			a, b := dataOfRendered(t, here), dataOfRendered(t, there)
			if guest.ID() != e.ID() || here.Headers["id"] != there.Headers["id"] || here.Headers["source"] == there.Headers["source"] {
				t.Fatalf("%s is not the same event of another source as %s", there.Body, here.Body)
			}
			if !reflect.DeepEqual(a.Entries, b.Entries) || a.Elsewhere+b.Elsewhere > 0 || !reflect.DeepEqual(a.Metadata, b.Metadata) {
				t.Fatalf("who sees both homes is shown\n%s in one stream, and in the other\n%s", here.Data, there.Data)
			}
		}
	})
	if kinds[TransactionPosted] == 0 || kinds[TransactionReversed] == 0 || len(kinds) != 2 {
		t.Errorf("%v events crossed homes: the generator does not reach what can", kinds)
	}
}

// crossings are posts of some legs in any of the ledgers, and their reversals.
func crossings(t *rapid.T) (all []Event) {
	b := newBooks(t)
	for l := range homes {
		for _, account := range []id.Account{"acc_1", "acc_2"} {
			b.do(ledger.Command{
				Kind: ledger.KindOpen, Ledger: l, Key: id.Key("open/" + account), Account: account, Terms: &ledger.Terms{Asset: "EUR", Normal: ledger.Credit},
			})
		}
	}
	names := rapid.SampledFrom([]id.Ledger{"brand-eu", "shop-eu", "brand-us"})
	accounts := rapid.SampledFrom([]id.Account{"acc_1", "acc_2"})
	for i := range rapid.IntRange(1, 4).Draw(t, "posts") {
		c := ledger.Command{Kind: ledger.KindPost, Ledger: names.Draw(t, "to"), Key: id.Key(fmt.Sprint("post", i)), Metadata: ledger.Metadata{"note": "n"}}
		for range rapid.IntRange(1, 3).Draw(t, "pairs") {
			in := names.Draw(t, "ledger")
			c.Legs = append(c.Legs, ledger.Leg{Ledger: in, Side: ledger.Debit, Account: accounts.Draw(t, "debit"), Amount: *eur(7)},
				ledger.Leg{Ledger: in, Side: ledger.Credit, Account: accounts.Draw(t, "credit"), Amount: *eur(7)})
		}
		e := b.do(c)
		if all = append(all, e); rapid.Bool().Draw(t, "undone") {
			all = append(all, b.do(ledger.Command{
				Kind: ledger.KindReverse, Ledger: c.Ledger, Key: id.Key(fmt.Sprint("undo", i)), Target: e.Record.Outcome.Transaction,
			}))
		}
	}
	return all
}

// wantOnly wants an event to show what is at home where its stream is, and nothing else.
func wantOnly(t *rapid.T, guest Event, see Options) {
	guest, _ = marked(t, guest, see)
	c, err := guest.command()
	if err != nil {
		t.Fatalf("%v", err)
	}
	c.Metadata = ledger.Metadata{"note": secret}
	guest.Record.Request = c.Canonical()
	at := 0
	for _, entry := range guest.Record.Outcome.Entries {
		if home, _ := see.HomeOf(entry.Ref.Ledger); home == guest.Home {
			at++
		}
	}
	for what, o := range map[string]Options{
		"only its own home": {Homes: []id.Home{guest.Home}, HomeOf: see.HomeOf}, "no home": {HomeOf: see.HomeOf}, "no knowledge": {},
		"a home that is not there": {Homes: []id.Home{"mars"}, HomeOf: see.HomeOf},
	} {
		r := rendered(t, guest, o)
		eventtest.Validate(t, r.Body)
		if text := string(r.Body) + fmt.Sprint(r.Headers); strings.Contains(text, secret) {
			t.Fatalf("with %s in sight, %s shows what is in %s", what, text, guest.Record.Home)
		}
		if (Filter{AccountPrefixes: []string{secret}}).Compile(o).Matches(guest) {
			t.Fatalf("with %s in sight, a filter finds what %s does not show", what, r.Body)
		}
		want := at
		if o.HomeOf == nil {
			want = 0
		}
		d := dataOfRendered(t, r)
		if len(d.Entries) != want || d.Elsewhere != len(guest.Record.Outcome.Entries)-want {
			t.Fatalf("with %s in sight, %d entries of %d are at home: %s", what, want, len(guest.Record.Outcome.Entries), r.Data)
		}
		if account := r.Headers["account"]; o.HomeOf != nil && d.Entries[0].Account != "" && account == "" || r.Headers["partitionkey"] == "" {
			t.Fatalf("with %s in sight, it is about no account: %s", what, r.Body)
		}
	}
}

// A partition of the other home is that of its own account.
func TestRender_AVisitIsAboutAnAccountThatIsAtHomeThere(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	b.do(ledger.Command{Kind: ledger.KindCredit, Key: "1", Account: "acc_42", Amount: eur(100)})
	e := b.across()
	e.Home = "us"
	r := rendered(t, e, Options{HomeOf: homeOf, Homes: []id.Home{"us"}})
	for name, want := range map[string]string{
		"source": "/meridian/homes/us/ledgers/brand-eu", "home": "us", "ledger": "brand-eu", "account": "clearing-us", "subject": "clearing-us",
		"partitionkey": "brand-us/clearing-us", "id": e.ID(), "sequence": "00000000000000000002",
	} {
		if r.Headers[name] != want {
			t.Errorf("%s is %q, want %q", name, r.Headers[name], want)
		}
	}
	for _, row := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{Ledgers: []id.Ledger{"brand-us"}}, true},
		{Filter{AccountPrefixes: []string{"acc_us"}}, true},
		{Filter{AccountPrefixes: []string{"acc_42"}}, false},
		{Filter{Ledgers: []id.Ledger{"shop-eu"}}, false},
	} {
		if got := row.filter.Compile(Options{HomeOf: homeOf}).Matches(e); got != row.want {
			t.Errorf("%+v finds it: %t", row.filter, got)
		}
	}
}
