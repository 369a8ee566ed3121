package event

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

// secret marks what must not be seen elsewhere.
const secret = "sEcReT-"

// world plays a random stream on the model and hands over the events of it, declined and posted.
func world(t *rapid.T, each func(Event, Options)) {
	clock := ledgertest.NewClock()
	w := ledgertest.NewWorld("world")
	w.Timed = true
	b := &books{t: t, clock: clock, model: ledgertest.NewModel(clock.Now)}
	if err := w.Create(context.Background(), b.model); err != nil {
		t.Fatalf("create the world: %v", err)
	}
	homes := map[id.Ledger]id.Home{}
	for _, l := range w.Ledgers {
		homes[l.ID] = l.Home
	}
	see := Options{HomeOf: func(l id.Ledger) (id.Home, bool) { home, known := homes[l]; return home, known }, RegionOf: regionOf}
	for _, step := range w.Steps(20).Draw(t, "steps") {
		clock.Advance(step.Wait)
		results, err := b.model.Execute(context.Background(), step.Batch)
		if err != nil {
			continue // invalid, or of no ledger: nothing was written
		}
		for _, r := range results {
			if r.Err == nil && !r.Outcome.Replayed && !r.Outcome.DryRun {
				each(b.event(r.Outcome), see)
			}
		}
	}
}

func TestRender_RandomEventsAreAsPublished(t *testing.T) {
	seen := map[Type]int{}
	rapid.Check(t, func(t *rapid.T) {
		world(t, func(e Event, see Options) {
			seen[e.Type()]++
			see.Homes = []id.Home{"eu", "us"}
			whole(t, e, rendered(t, e, see))
			o := []Options{see, {HomeOf: see.HomeOf}, {}}[e.Position%3]
			r := rendered(t, e, o)
			eventtest.Validate(t, r.Body)
			readsBack(t, e, r)
			same(t, e, o, r)
		})
	})
	others := []Type{Test, TransitionRefused, GateClosed, PlayerUpdated, payments} // a lifecycle makes these
	for _, kind := range formed() {
		if !slices.Contains(others, kind) && seen[kind] == 0 {
			t.Errorf("no stream had a %s: the generator does not reach it", kind)
		}
	}
}

// readsBack reads an event into the forms that it was written from, and finds the same again.
func readsBack(t *rapid.T, e Event, r Rendered) {
	var got envelope
	strict(t, r.Body, &got)
	data := reflect.New(reflect.TypeOf(dataOf[e.Type()]))
	strict(t, got.Data, data.Interface())
	again, err := json.Marshal(data.Elem().Interface())
	if err != nil || !bytes.Equal(again, r.Data) || !bytes.Equal(got.Data, r.Data) {
		t.Fatalf("%s\nreads back as\n%s (%v)", r.Data, again, err)
	}
	var attributes map[string]any
	strict(t, r.Body, &attributes)
	delete(attributes, "data")
	for name, value := range r.Headers {
		if attributes[name] != value {
			t.Fatalf("header %s is %q, and the attribute %q", name, value, attributes[name])
		}
		if len(name) > 20 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Fatalf("%s is no name of an attribute", name)
		}
	}
	if len(attributes) != len(r.Headers) {
		t.Fatalf("%d headers for %d attributes", len(r.Headers), len(attributes))
	}
	if got.ID != e.ID() || got.Type != e.Type() || got.Source != e.Source() || got.Subject != e.Subject() || got.PartitionKey != e.Key() {
		t.Fatalf("the methods of the event disagree with %s", r.Body)
	}
}

func strict(t *rapid.T, text []byte, into any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// same renders again, from a request that an engine has put in another order, and wants the same bytes.
func same(t *rapid.T, e Event, o Options, want Rendered) {
	var request map[string]any
	d := json.NewDecoder(bytes.NewReader(e.Record.Request))
	d.UseNumber()
	if err := d.Decode(&request); err != nil {
		t.Fatalf("%v", err)
	}
	spaced, err := json.MarshalIndent(request, " ", "  ") // by key, where the canonical form is by field
	if err != nil {
		t.Fatalf("%v", err)
	}
	e.Record.Request = spaced
	if got := rendered(t, e, o); !bytes.Equal(got.Body, want.Body) || !maps.Equal(got.Headers, want.Headers) {
		t.Fatalf("the second time\n%s\ndiffers from\n%s", got.Body, want.Body)
	}
}

// whole finds in the event all that the journal row says.
func whole(t *rapid.T, e Event, r Rendered) {
	var data struct {
		Entries []entryData `json:"entries"`
	}
	if err := json.Unmarshal(r.Data, &data); err != nil {
		t.Fatalf("%v", err)
	}
	o := e.Record.Outcome
	if len(data.Entries) != len(o.Entries) {
		t.Fatalf("%d of %d entries in %s", len(data.Entries), len(o.Entries), r.Data)
	}
	ordering := e.Accounts()
	for i, line := range data.Entries {
		was := o.Entries[i]
		if line.Ledger != was.Ref.Ledger || line.Account != was.Ref.Account || line.Sequence != was.Sequence || line.Amount != digitsOf(was.Amount.Abs()) ||
			string(line.Side) != was.Side().String() || line.Balance != digitsOf(was.Balance) || line.PendingDebits != digitsOf(was.PendingDebits) ||
			line.PendingCredits != digitsOf(was.PendingCredits) || line.ID != o.EntryID(i) {
			t.Fatalf("entry %d is %+v, was %+v", i, line, was)
		}
		if line.Counter == slices.Contains(ordering, was.Ref) && !allCounters(data.Entries) {
			t.Fatalf("entry %d says counter=%t, and the order of the event is that of %v", i, line.Counter, ordering)
		}
		if line.Currency == "" && o.Kind != ledger.KindReverse {
			t.Fatalf("entry %d of a %s has no currency", i, o.Kind)
		}
	}
}

func allCounters(entries []entryData) bool {
	return !slices.ContainsFunc(entries, func(e entryData) bool { return !e.Counter })
}

func TestRender_NeverLeaksAnotherHome(t *testing.T) {
	redacted, declines := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		world(t, func(e Event, see Options) {
			e, hidden := marked(t, e, see)
			if !hidden {
				return
			}
			redacted++
			if e.Type() == TransactionDeclined {
				declines++
			}
			for name, o := range map[string]Options{
				"only its own home": {Homes: []id.Home{e.Home}, HomeOf: see.HomeOf}, "no home": {HomeOf: see.HomeOf}, "no knowledge": {},
				"a home that is not there": {Homes: []id.Home{"mars"}, HomeOf: see.HomeOf},
			} {
				r := rendered(t, e, o)
				eventtest.Validate(t, r.Body)
				if text := string(r.Body) + fmt.Sprint(r.Headers); strings.Contains(text, secret) || strings.Contains(text, away(e, see)) {
					t.Fatalf("with %s in sight, %s shows what is in %s", name, text, away(e, see))
				}
				for _, f := range []Filter{{AccountPrefixes: []string{secret}}, {Ledgers: []id.Ledger{id.Ledger(away(e, see))}}} {
					if f.Compile(o).Matches(e) {
						t.Fatalf("with %s in sight, the filter %+v finds %s", name, f, e.ID())
					}
				}
			}
			see.Homes = []id.Home{"eu", "us"}
			if r := rendered(t, e, see); !strings.Contains(string(r.Body), secret) {
				t.Fatalf("with both homes in sight, %s shows nothing of %s", r.Body, away(e, see))
			}
			if len(e.Record.Outcome.Entries) > 0 && !(Filter{AccountPrefixes: []string{secret}}).Compile(see).Matches(e) {
				t.Fatalf("with both homes in sight, a filter does not find %s", e.ID())
			}
		})
	})
	if redacted == 0 || declines == 0 || declines == redacted {
		t.Errorf("%d events had something to hide, %d of them declines: the generator does not reach them", redacted, declines)
	}
}

// away is the ledger of the world that is not at home where the event is.
func away(e Event, see Options) string {
	if home, _ := see.HomeOf("world-c"); home == e.Home {
		return "world-a"
	}
	return "world-c"
}

// marked renames the accounts of ledgers in another home, and tells whether there are any among entries or facts.
func marked(t *rapid.T, e Event, see Options) (Event, bool) {
	elsewhere := func(l id.Ledger) bool {
		home, known := see.HomeOf(l)
		return known && home != e.Home
	}
	o := &e.Record.Outcome
	c, err := e.command()
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, leg := range c.Legs {
		if elsewhere(cmp.Or(leg.Ledger, c.Ledger)) {
			c.Legs[i].Account = secret + leg.Account
		}
	}
	e.Record.Request = c.Canonical()
	hidden := false
	o.Entries = slices.Clone(o.Entries)
	for i, entry := range o.Entries {
		if elsewhere(entry.Ref.Ledger) {
			o.Entries[i].Ref.Account, hidden = secret+entry.Ref.Account, true
		}
	}
	if l, about := o.Detail["ledger"]; about && elsewhere(id.Ledger(l)) {
		o.Detail, hidden = maps.Clone(o.Detail), true
		for fact := range o.Detail {
			if fact != "ledger" {
				o.Detail[fact] = secret + o.Detail[fact]
			}
		}
	}
	return e, hidden
}
