package main

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// settle waits until every event is everywhere, for as long as there is progress.
func (c *chaos) settle(t *testing.T) {
	t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	began := time.Now()
	for least, since := -1, began; ; <-look.C {
		left, what := c.outstanding(t)
		if left == 0 {
			t.Logf("all was delivered %s after the load", time.Since(began).Round(time.Millisecond))
			return
		}
		if least < 0 || left < least {
			least, since = left, time.Now()
		}
		if time.Since(since) > patience {
			t.Errorf("no progress for %s: %s", patience, what)
			return // judge says what is missing where
		}
	}
}

// outstanding counts what is on its way: to the streams, to subscriptions, to who listens.
func (c *chaos) outstanding(t *testing.T) (left int, what string) {
	t.Helper()
	var journal int
	if err := c.database.DB.Reader().QueryRow(t.Context(), sqlCountChanges).Scan(&journal); err != nil {
		t.Fatal(err)
	}
	say := func(n int, format string, args ...any) {
		if n != 0 {
			left, what = left+max(n, 1), what+fmt.Sprintf(format, args...)+"; "
		}
	}
	heads, err := c.books.Heads(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	streamed := 0
	for _, h := range heads {
		streamed += int(h.Position)
	}
	say(journal-streamed, "%d are in no stream", journal-streamed)
	subscriptions, err := c.seats[0].events().List(t.Context(), "", 100)
	if err != nil {
		if !errs.Transient(err) {
			t.Fatal(err)
		}
		say(1, "list subscriptions: %v", err)
	}
	for _, s := range subscriptions {
		if s.State != event.Active {
			say(1, "%s is %s: %s", s.ID, s.State, s.Cause)
		}
		for _, p := range s.Places {
			n := int(p.Head-p.Position) + int(p.Due+p.Dead)
			say(n, "%s in %s is at %d of %d, %d due, %d dead", s.ID, p.Home, p.Position, p.Head, p.Due, p.Dead)
		}
	}
	for _, w := range c.live {
		events, _, _ := w.Heard()
		n := max(0, journal-events) // more is for judge to see
		say(n, "%s lacks %d", w.Name(), n)
	}
	return left, what
}

// A change leaves in the home of its journal row, and in every home where it wrote on an account.
const (
	sqlChanges = `
SELECT home, ledger_id, id FROM journal UNION SELECT home, origin_ledger_id, transaction_id FROM entry`
	sqlCountChanges = `SELECT count(*) FROM (` + sqlChanges + `) c`
	sqlPlaces       = `
SELECT c.home, c.id::text, coalesce(s.position, 0)
FROM (` + sqlChanges + `) c LEFT JOIN stream s ON s.home = c.home AND s.ledger_id = c.ledger_id AND s.transaction_id = c.id`
)

// journal is what there is to deliver, with its positions, by a statement of the test's own.
func (c *chaos) journal(t *testing.T) map[sim.Place]int64 {
	t.Helper()
	rows, err := c.database.DB.Reader().Query(t.Context(), sqlPlaces)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[sim.Place]int64{}
	for rows.Next() {
		var at sim.Place
		var position int64
		if err := rows.Scan(&at.Home, &at.ID, &position); err != nil {
			t.Fatal(err)
		}
		all[at] = position
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// judge holds what everybody got against the journal and against what clients were told, and has the books proven.
func (c *chaos) judge(t *testing.T, h *sim.History) {
	t.Helper()
	c.end()
	svc := rpc.NewClient(c.seats[0].http(), "http://"+c.seats[0].name)
	files, jets, kafka := c.witness("files"), c.witness("jetstream"), c.witness("kafka")
	readFiles(t, filepath.Join(c.dir, "chaos"), files)
	c.jetstream.read(t, jets)
	readKafka(t, c.kafka, kafka)
	journal, totals := c.journal(t), h.Totals(time.Second)
	verdicts, _ := h.Judge(t.Context(), c.workload, svc, sim.Judging{Repeats: 200})
	t.Logf("%d events of %d acknowledged commands, %d calls without an answer, %d replays, %d commits cut; the webhook's: %v",
		len(journal), totals.Acknowledged, totals.FailedRequests, h.Replays, c.faults.proxy.Cuts(), c.web.tally())
	repeats := 0
	for _, w := range append(c.live, files, jets, kafka) {
		w.Expect(journal)
		verdicts = append(verdicts, w.Verdict(h, nil))
		events, again, _ := w.Heard()
		t.Logf("%-10s %d events and %d repeats", w.Name(), events, again)
		repeats += again
	}
	for _, v := range verdicts {
		t.Logf("%-12s %s, looked at %d in %s %v", v.Checker, v.Status, v.Looked, v.Took.Round(time.Millisecond), v.Notes)
		for _, p := range v.Problems {
			t.Error(p)
		}
	}
	if totals.Acknowledged == 0 || repeats == 0 {
		t.Error("nothing was put to the test")
	}
	c.judgeTakeovers(t)
	wantProven(t, c.database)
}

// judgeTakeovers wants every home that lost its owner to have had another one in time.
func (c *chaos) judgeTakeovers(t *testing.T) {
	t.Helper()
	const within = 10 * time.Second
	if len(c.faults.losses) < 2 {
		t.Errorf("only %d homes lost their owner", len(c.faults.losses))
	}
	for _, l := range c.faults.losses {
		took, done := c.leases.takeover(l)
		if t.Logf("home %s: its owner was %s, another took over after %s", l.home, l.how, took.Round(time.Millisecond)); !done || took > within {
			t.Errorf("home %s was without an owner for %s (taken over: %t), want less than %s", l.home, took, done, within)
		}
	}
}
