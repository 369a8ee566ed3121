package sim

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
)

// journal is a model that writes down in which order it was changed.
type journal struct {
	*ledgertest.Model
	mu    sync.Mutex
	order []ledger.Outcome
}

func (j *journal) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	results, err := j.Model.Execute(ctx, b)
	for _, r := range results {
		if r.Err == nil && !r.Outcome.Replayed {
			j.order = append(j.order, r.Outcome)
		}
	}
	return results, err
}

// toldRun is a run, and what the streams of its homes are to tell of it.
type toldRun struct {
	history *History
	streams map[id.Home][]Word
	heads   map[id.Home]int64
	places  map[Place]int64
}

func givenStream(t *testing.T) toldRun {
	t.Helper()
	w := Workload{Ledgers: []id.Ledger{"brand-eu", "brand-us"}, Accounts: 10, Seed: 11, across: 0.2}
	j := &journal{Model: ledgertest.NewModel(time.Now)}
	for _, name := range w.Ledgers {
		if _, err := j.CreateLedger(t.Context(), ledger.Ledger{ID: name, Home: homeOf[name], Assets: []money.Asset{{Code: asset, Scale: 2}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Open(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	var r toldRun
	for d := 50 * time.Millisecond; r.history == nil || !mixed(r.history); d *= 2 {
		r.history = Run(t.Context(), w, ring(j), Options{Clients: 4, Duration: d})
	}
	r.streams, r.heads, r.places = map[id.Home][]Word{}, map[id.Home]int64{}, map[Place]int64{}
	known := func(l id.Ledger) (id.Home, bool) { home, known := homeOf[l]; return home, known }
	for _, o := range j.order {
		record, err := j.Transaction(t.Context(), o.Ledger, o.Transaction)
		if err != nil {
			t.Fatal(err)
		}
		homes := []id.Home{record.Home}
		for _, e := range o.Entries {
			if home := homeOf[e.Ref.Ledger]; !slices.Contains(homes, home) {
				homes = append(homes, home)
			}
		}
		for _, home := range homes {
			r.heads[home]++
			e := event.Event{Home: home, Position: event.Position(r.heads[home]), AppendedAt: time.Now(), Record: record}
			rendered, err := event.Render(e, event.Options{HomeOf: known})
			if err != nil {
				t.Fatal(err)
			}
			r.streams[home] = append(r.streams[home], Word{r.heads[home], rendered.Body})
			r.places[Place{home, o.Transaction.String()}] = r.heads[home]
		}
	}
	return r
}

// heardBy has a witness hear words, in an order.
func (r toldRun) heardBy(words ...Word) *Witness {
	w := NewWitness("a test", homeOf, nil)
	for _, word := range words {
		w.Hear(word.Body)
	}
	return w
}

// all are the words of both streams.
func (r toldRun) all() []Word { return slices.Concat(r.streams["eu"], r.streams["us"]) }

// eventOf is the place of the first word of which something is true.
func eventOf(t *testing.T, words []Word, fits func(e cloudEvent) bool) int {
	t.Helper()
	i := slices.IndexFunc(words, func(w Word) bool {
		var e cloudEvent
		if err := json.Unmarshal(w.Body, &e); err != nil {
			t.Fatal(err)
		}
		return fits(e)
	})
	if i < 0 {
		t.Fatal("there is no such event")
	}
	return i
}

func replaced(w Word, old, with string) Word {
	return Word{w.Position, []byte(strings.Replace(string(w.Body), old, with, 1))}
}

// Each row is what a consumer hears, and what the witness says of it.
func TestWitness_FindsWhatIsOff(t *testing.T) {
	r := givenStream(t)
	all := r.all()
	ours := func(e cloudEvent) bool { return strings.HasPrefix(string(e.Data.Key), r.history.Run+"-") }
	posted := eventOf(t, all, func(e cloudEvent) bool { return ours(e) && e.Data.Status == ledger.Posted })
	declined := eventOf(t, all, func(e cloudEvent) bool { return ours(e) && e.Data.Status == ledger.Declined })
	account := ""
	first := eventOf(t, all, func(e cloudEvent) bool {
		if len(e.Data.Entries) > 0 {
			account = string(e.Data.Entries[0].Account)
		}
		return ours(e) && e.Data.Status == ledger.Posted && strings.HasPrefix(account, players)
	})
	second := first + 1 + eventOf(t, all[first+1:], func(e cloudEvent) bool {
		return len(e.Data.Entries) > 0 && string(e.Data.Entries[0].Account) == account
	})
	swapped := slices.Clone(all)
	swapped[first], swapped[second] = swapped[second], swapped[first]
	without := func(i int) []Word { return slices.Delete(slices.Clone(all), i, i+1) }
	with := func(i int, w Word) []Word {
		changed := slices.Clone(all)
		changed[i] = w
		return changed
	}
	stranger := *r.history
	stranger.Calls = slices.DeleteFunc(slices.Clone(r.history.Calls), func(c *Call) bool {
		return strings.Contains(string(all[posted].Body), c.Outcome.Transaction.String())
	})
	for _, row := range []struct {
		name    string
		words   []Word
		history *History
		want    []string // none: it passes
	}{
		{"everything, once", all, r.history, nil},
		{"everything, twice", append(slices.Clone(all), all...), r.history, nil},
		{"a repeat in between", slices.Insert(slices.Clone(all), second, all[first]), r.history, nil},
		{"an event never comes", without(posted), r.history, []string{"and never came", "were heard, and"}},
		{"a decline never comes", without(declined), r.history, []string{"declined) and never came"}},
		{"nothing comes", nil, r.history, []string{"and never came"}},
		{"two have changed places", swapped, r.history, []string{"came after", "position"}},
		{"a repeat differs", append(slices.Clone(all), replaced(all[posted], `"status":"posted"`, `"status": "posted"`)), r.history, []string{"came again, and differs"}},
		{
			"a decline comes as posted", with(declined, replaced(all[declined], `"status":"declined"`, `"status":"posted"`)), r.history,
			[]string{"was answered with declined, and came as posted"},
		},
		{"another balance", with(first, replaced(all[first], `"balance":"`, `"balance":"9`)), r.history, []string{"came with other entries"}},
		{
			"an event under another id", append(slices.Clone(all), replaced(all[posted], `"id":"`, `"id":"9`)), r.history,
			[]string{"and no client sent it", "were heard, and"},
		},
		{"an event of what no client sent", all, &stranger, []string{"and no client sent it"}},
		{"an event that can not be read", append(slices.Clone(all), Word{Body: []byte("{")}), r.history, []string{"unexpected end of JSON"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := r.heardBy(row.words...)
			v := w.Verdict(row.history, r.heads)
			if len(row.want) == 0 && v.Status != Passed {
				t.Errorf("%d problems: %q", v.Found, v.Problems)
			}
			for _, want := range row.want {
				if !slices.ContainsFunc(v.Problems, func(p string) bool { return strings.Contains(p, want) }) {
					t.Errorf("no problem says %q; found %d: %q", want, v.Found, v.Problems[:min(5, len(v.Problems))])
				}
			}
			if v.Looked > len(all)+1 || len(row.words) > 0 && v.Looked < len(all)-1 {
				t.Errorf("looked at %d of %d", v.Looked, len(all))
			}
		})
	}
}

func TestWitness_ExpectsAJournal(t *testing.T) {
	r := givenStream(t)
	all := r.all()
	for name, row := range map[string]struct {
		words  []Word
		change func(map[Place]int64, Place)
		want   string
	}{
		"the same":         {all, func(map[Place]int64, Place) {}, ""},
		"one did not come": {all[1:], func(map[Place]int64, Place) {}, "never came"},
		"another position": {all, func(m map[Place]int64, at Place) { m[at]++ }, "and stands at"},
		"in no journal":    {all, func(m map[Place]int64, at Place) { delete(m, at) }, "is in no journal"},
	} {
		places := map[Place]int64{}
		var last Place
		for at, position := range r.places {
			places[at], last = position, at
		}
		row.change(places, last)
		w := r.heardBy(row.words...)
		w.Expect(places)
		v := w.Verdict(&History{Run: "none"}, nil)
		if found := slices.ContainsFunc(v.Problems, func(p string) bool { return strings.Contains(p, row.want) }); found != (row.want != "") {
			t.Errorf("%s: %q", name, v.Problems)
		}
	}
}

func TestWitness_HoldsEventsAgainstAForm(t *testing.T) {
	r := givenStream(t)
	w := NewWitness("a test", homeOf, func([]byte) error { return errors.New("it is crooked") })
	w.Hear(r.all()[0].Body)
	if v := w.Verdict(&History{}, nil); v.Found != 1 || !strings.Contains(v.Problems[0], "it is crooked") {
		t.Errorf("%+v", v)
	}
}

// A witness that listens to nodes that break off hears everything, some of it again, and knows when that is.
func TestWitness_ListensUntilItHasHeardEverything(t *testing.T) {
	r := givenStream(t)
	node := func(breaksAfter int) Source {
		return func(ctx context.Context, home id.Home, after int64) iter.Seq2[Word, error] {
			return func(yield func(Word, error) bool) {
				words := r.streams[home][after:]
				for _, w := range words[:min(breaksAfter, len(words))] {
					if !yield(w, nil) {
						return
					}
				}
				if breaksAfter < len(words) {
					yield(Word{}, errors.New("the node has died"))
					return
				}
				if yield(Word{Position: r.heads[home]}, nil) {
					<-ctx.Done()
					yield(Word{}, ctx.Err())
				}
			}
		}
	}
	w := NewWitness("a test", homeOf, nil)
	short, end := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer end()
	if err := w.AwaitCalls(short, r.history); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing was heard yet: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var listening sync.WaitGroup
	listening.Go(func() { w.Listen(ctx, "eu", []Source{node(7), node(20), node(1 << 30)}, 0) })
	listening.Go(func() { w.Listen(ctx, "us", []Source{node(30), node(1 << 30)}, 200) })
	if err := errors.Join(w.AwaitCalls(ctx, r.history), w.AwaitHeads(ctx, r.heads)); err != nil {
		t.Fatal(err)
	}
	cancel()
	listening.Wait()
	events, repeats, breaks := w.Heard()
	if events != len(r.all()) || repeats == 0 || breaks == 0 {
		t.Errorf("%d events of %d, %d repeats, %d breaks", events, len(r.all()), repeats, breaks)
	}
	if v := w.Verdict(r.history, r.heads); v.Status != Passed {
		t.Errorf("%q", v.Problems)
	}
}
