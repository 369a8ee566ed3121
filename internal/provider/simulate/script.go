package simulate

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Write makes the script of a profile. payment names the n-th payment, from 0; nil makes names up.
func Write(p Profile, payment func(n int) string) Script {
	p = p.orDefaults()
	w := writer{Profile: p, rng: rand.New(rand.NewPCG(p.Seed, 0x9e3779b97f4a7c15))}
	if payment == nil {
		payment = func(n int) string { return fmt.Sprintf("sim-%d-%d", p.Seed, n) }
	}
	for n := range p.Payments {
		w.payment(n, payment(n))
	}
	if p.Callbacks > 0 && len(w.posts) > p.Callbacks {
		w.posts = w.posts[:p.Callbacks]
	}
	if p.Flood {
		for i := range w.posts {
			w.posts[i].At = 0
		}
		w.rng.Shuffle(len(w.posts), func(a, b int) { w.posts[a], w.posts[b] = w.posts[b], w.posts[a] })
	}
	slices.SortStableFunc(w.posts, func(a, b Posting) int { return cmp.Compare(a.At, b.At) })
	w.script.Postings = batched(w.posts, p.Batch)
	return w.script
}

type writer struct {
	Profile
	rng    *rand.Rand
	script Script
	posts  []Posting // of one event each
}

func (w *writer) some(share float64) bool { return w.rng.Float64() < share }

func (w *writer) within(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

// stories are what happens to payments.
var stories = [][]string{
	{"payment.authorized", "payment.captured", "payment.settled"},
	{"payment.authorized", "payment.captured", "payment.settled"},
	{"payment.authorized", "payment.captured", "payment.settled"},
	{"payment.authorized", "payment.captured", "payment.settled", "payment.refunded"},
	{"payment.declined"},
}

// payment writes the story of one payment, and what the provider makes of it.
func (w *writer) payment(n int, name string) {
	begins := w.within(w.Spread)
	story := stories[w.rng.IntN(len(stories))]
	amount := 100 + w.rng.Int64N(100_000)
	last := begins + time.Duration(len(story))*w.Step
	for i, kind := range story {
		e := Event{
			ID: fmt.Sprintf("evt-%d-%d-%d", w.Seed, n, i), Type: kind, Payment: name, Reference: fmt.Sprintf("ref-%d-%d", w.Seed, n), Amount: amount,
			Currency: "EUR", At: begins + time.Duration(i)*w.Step,
		}
		w.script.Events = append(w.script.Events, e)
		at := e.At + w.within(w.Delay)
		if w.some(w.Reorder) {
			at = last + w.within(w.Delay+w.Step)
		}
		if w.some(w.Lose) {
			w.script.Lost = append(w.script.Lost, e)
			continue
		}
		w.post(at, e, First)
		if w.some(w.Duplicate) {
			for range 1 + w.rng.IntN(2) {
				w.post(at+w.within(w.Delay+w.Step), e, Duplicate)
			}
		}
		if w.some(w.Contradict) {
			w.post(at+w.within(w.Delay+w.Step), w.opposite(e), Contradiction)
		}
	}
}

// opposite says something else: of the same event, or as an event of its own.
func (w *writer) opposite(e Event) Event {
	if w.rng.IntN(2) == 0 {
		e.Amount++
		return e
	}
	e.ID += "-x"
	if e.Type == "payment.declined" {
		e.Type = "payment.authorized"
	} else {
		e.Type = "payment.declined"
	}
	return e
}

func (w *writer) post(at time.Duration, e Event, why string) {
	w.posts = append(w.posts, Posting{At: at, Events: []Event{e}, Why: why})
}

// batched puts neighbours into one request, at the time of the last.
func batched(posts []Posting, most int) []Posting {
	if most <= 1 {
		return posts
	}
	var all []Posting
	for part := range slices.Chunk(posts, most) {
		p := Posting{At: part[len(part)-1].At, Why: part[0].Why}
		for _, one := range part {
			p.Events = append(p.Events, one.Events...)
		}
		all = append(all, p)
	}
	return all
}

// Posted returns the events of a script that are posted at least once, by id; of contradictions under one id, the first.
func (s Script) Posted() map[string]Event {
	all := map[string]Event{}
	for _, p := range s.Postings {
		for _, e := range p.Events {
			if _, there := all[e.ID]; !there {
				all[e.ID] = e
			}
		}
	}
	return all
}
