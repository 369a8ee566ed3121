package event

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestRender_RefusesRowsThatSayTooLittle(t *testing.T) {
	events := map[Type]Event{}
	for _, e := range story(t) {
		events[e.Type()] = e
	}
	for _, row := range []struct {
		what string
		kind Type
		edit func(*ledger.Record)
		says string
	}{
		{"no request", HoldCreated, func(r *ledger.Record) { r.Request = nil }, "read the request"},
		{"half a request", WalletDebitCommitted, func(r *ledger.Record) { r.Request = r.Request[:20] }, "read the request"},
		{"a request of something else", WalletDebitCommitted, func(r *ledger.Record) { r.Request = []byte(`{"kind":"close"}`) }, "has not an amount"},
		{"no hold", HoldCommitted, func(r *ledger.Record) { r.Outcome.Hold = nil }, "has not a hold"},
		{"no entries", HoldCommitted, func(r *ledger.Record) { r.Outcome.Entries = nil }, "has not a hold"},
		{"no account", AccountOpened, func(r *ledger.Record) { r.Outcome.Account = nil }, "has not an account"},
		{"an unknown kind", WalletDebitCommitted, func(r *ledger.Record) { r.Outcome.Kind = "wish" }, "has not a known kind"},
	} {
		e := events[row.kind]
		row.edit(&e.Record)
		if _, err := Render(e, Options{}); err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), e.ID()) {
			t.Errorf("%s: %v, want %s", row.what, err, row.says)
		}
	}
}

func TestRender_CarriesATraceThatIsOne(t *testing.T) {
	e := story(t)[0]
	trace := "4bf92f3577b34da6a3ce929d0e0e4736"
	span := strings.ReplaceAll(e.ID(), "-", "")[16:]
	for given, want := range map[string]string{
		trace: "00-" + trace + "-" + span + "-01", "": "", strings.ToUpper(trace): "", strings.Repeat("0", 32): "", trace[:31]: "", trace[:31] + "g": "", trace + "0": "",
	} {
		e.Record.TraceID = given
		r := shown(t, e)
		eventtest.Validate(t, r.Body)
		if got, set := r.Headers["traceparent"]; got != want || set != (want != "") {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
	e.Record.TraceID = trace
	e.Record.Outcome.Transaction = id.Transaction{1}
	if got := shown(t, e).Headers["traceparent"]; got != "" {
		t.Errorf("%s has a span of zeros", got)
	}
}

func TestRender_RegionsOnlyWhereKnown(t *testing.T) {
	e := story(t)[0]
	for _, region := range []string{"", "europe-west1", `a"b\c<é>`} {
		r := rendered(t, e, Options{RegionOf: func(id.Home) (string, bool) { return region, region != "" }})
		eventtest.Validate(t, r.Body)
		var got envelope
		if err := json.Unmarshal(r.Body, &got); err != nil || got.Region != region || r.Headers["region"] != region {
			t.Errorf("%q became %q and %q (%v)", region, got.Region, r.Headers["region"], err)
		}
	}
}

func TestRender_WithoutASightOfOthers(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	b.do(ledger.Command{Kind: ledger.KindCredit, Key: "1", Account: "acc_42", Amount: eur(100)})
	r := rendered(t, b.across(), Options{HomeOf: homeOf})
	eventtest.Validate(t, r.Body)
	var data struct {
		Entries   []entryData
		Elsewhere int `json:"entries_elsewhere"`
	}
	if err := json.Unmarshal(r.Data, &data); err != nil || len(data.Entries) != 2 || data.Elsewhere != 2 || strings.Contains(string(r.Body), "_us") || strings.Contains(string(r.Body), "-us") {
		t.Errorf("%s (%v)", r.Body, err)
	}
}

// An amount that moves in another home alone is not shown here, although there are only two entries.
func TestRender_HidesTheAmountOfAnotherHome(t *testing.T) {
	b := newBooks(t)
	b.accounts()
	e := b.do(ledger.Command{Kind: ledger.KindPost, Key: "1", Legs: []ledger.Leg{
		{Ledger: "brand-us", Account: "clearing-us", Side: ledger.Debit, Amount: *eur(987654)},
		{Ledger: "brand-us", Account: "acc_us", Side: ledger.Credit, Amount: *eur(987654)},
	}})
	if e.Type() != TransactionPosted {
		t.Fatalf("%s: %v", e.Type(), e.Record.Outcome.Detail)
	}
	if hidden := rendered(t, e, Options{HomeOf: homeOf}); strings.Contains(string(hidden.Body), "987654") {
		t.Errorf("%s", hidden.Body)
	}
	if all := shown(t, e); !strings.Contains(string(all.Data), `"amount_minor":"987654"`) {
		t.Errorf("%s", all.Data)
	}
}

// Whatever stands in a request, a row is rendered or refused.
func FuzzRender(f *testing.F) {
	events := story(f)
	for i, e := range events {
		f.Add(uint8(i), e.Record.Request, "brand-us")
	}
	f.Fuzz(func(t *testing.T, which uint8, request []byte, about string) {
		e := events[int(which)%len(events)]
		e.Record.Request = request
		e.Record.Outcome.Detail = map[string]string{"ledger": about, "account_id": about}
		r, err := Render(e, Options{HomeOf: homeOf})
		if err == nil && !json.Valid(r.Body) {
			t.Fatalf("%s", r.Body)
		}
		e.Accounts()
		Filter{AccountPrefixes: []string{"a"}, Ledgers: []id.Ledger{"b"}}.Matches(e)
	})
}

func BenchmarkRender(b *testing.B) {
	for _, e := range story(b) {
		if e.Type() != WalletDebitCommitted && e.Type() != TransactionDeclined {
			continue
		}
		b.Run(string(e.Type()), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Render(e, Options{RegionOf: regionOf}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatches(b *testing.B) {
	m := Filter{Types: []Type{"wallet.*"}, Ledgers: []id.Ledger{"brand-eu"}, AccountPrefixes: []string{"user:", "acc_"}}.Compile(Options{})
	e := examplesOf(b, WalletDebitCommitted)
	b.ReportAllocs()
	for b.Loop() {
		if !m.Matches(e) {
			b.Fatal("not wanted")
		}
	}
}

func BenchmarkAccounts(b *testing.B) {
	e := examplesOf(b, WalletDebitCommitted)
	b.ReportAllocs()
	for b.Loop() {
		if len(e.Accounts()) != 1 {
			b.Fatal("not one")
		}
	}
}

func BenchmarkWeigh(b *testing.B) {
	e := examplesOf(b, WalletDebitCommitted)
	var d Digest
	for b.Loop() {
		d = d.Add(Weigh("orders", 7, e.Record.Outcome.Transaction))
	}
}

func examplesOf(t T, kind Type) Event {
	for _, e := range story(t) {
		if e.Type() == kind {
			return e
		}
	}
	t.Fatalf("the story has no %s", kind)
	return Event{}
}
