package commit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/verify"
)

// loud tells whether enough was said to prove anything.
func (h *history) loud() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.told) >= 200 && h.mismatches >= 5 && h.gaveUp > 0
}

func TestNodes_UnderAttackGiveEveryCommandOneAnswerForEver(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("MERIDIAN_TEST_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MERIDIAN_TEST_SEED=%d", seed)
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		var servers []server
		for range 3 {
			servers = append(servers, newServer(t, d, commit.Options{Patience: 2 * time.Second}, db.Options{
				Writers: 4, Readers: 4, Name: underAttack,
			}))
		}
		openBooks(t, servers[0], slices.Concat(hot, cold)...)
		h := &history{told: map[id.Transaction][]ledger.Outcome{}, errors: map[errs.Reason]int{}}
		v := newVandal(t, d, servers, seed)

		started := time.Now()
		h.live(t, v, 12, seed)
		for _, s := range servers {
			drain, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := s.Drain(drain); err != nil {
				t.Error(err)
			}
			cancel()
		}
		if took := time.Since(started); took > 18*time.Second {
			t.Errorf("ten seconds of load took %s", took)
		}
		retries, resolved := 0.0, 0.0
		for _, s := range servers {
			retries += metric(t, s.metrics, "meridian_group_retries_total")
			resolved += metric(t, s.metrics, "meridian_ambiguous_commits_resolved_total")
		}
		h.check(t, servers[0], d, int(resolved))
		t.Logf("%d keys answered, %d conflicting, %d never heard of again; attack: %s; %v groups run again, %v commits resolved; clients saw %v",
			len(h.told), h.mismatches, h.gaveUp, v, retries, resolved, h.errors)
		if retries == 0 {
			t.Error("nothing was ever run again: where was the attack?")
		}
	})
}

// live lets clients send under attack until they have been told enough, for three to ten seconds, and sees all through in peace.
func (h *history) live(t *testing.T, v *vandal, clients int, seed uint64) {
	load, rest := context.WithCancel(t.Context())
	attack, peace := context.WithCancel(t.Context())
	var lives, vandals sync.WaitGroup
	vandals.Go(func() { v.run(attack) })
	for i := range clients {
		c := &client{
			t: t, name: fmt.Sprintf("client%d", i), random: rand.New(rand.NewPCG(seed, uint64(10+i))), servers: v.servers, history: h,
		}
		lives.Go(func() { c.run(load) })
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for started := time.Now(); ; {
		<-look.C
		if took := time.Since(started); took > 3*time.Second && h.loud() || took > 10*time.Second {
			break
		}
	}
	rest()
	peace()
	vandals.Wait()
	lives.Wait()
}

// check holds what clients were told against what the database has. Of all callers of one key one is told that theirs is the first, and a
// second one only where a commit was in doubt and another node has recorded the very same answer.
func (h *history) check(t *testing.T, s server, d dbtest.Database, resolved int) {
	t.Helper()
	report, err := verify.Run(t.Context(), d.DB, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		text, _ := json.MarshalIndent(report, "", "  ")
		t.Errorf("the books are broken: %s", text)
	}
	of, err := s.past.Ledger(t.Context(), brand)
	if err != nil {
		t.Fatal(err)
	}
	needs := ledger.Needs{{Ledger: of}}
	for key := range h.told {
		needs[0].Keys = append(needs[0].Keys, key)
	}
	stored, err := s.past.Peek(t.Context(), needs)
	if err != nil {
		t.Fatal(err)
	}
	firsts := 0
	for key, told := range h.told {
		row, found := stored.Journal[key]
		if !found {
			t.Errorf("%s was answered and is not there", told[0].Key)
			continue
		}
		first := 0
		for _, o := range told {
			if text(o) != text(row.Outcome) {
				t.Errorf("%s\n   was answered %s\n   and is       %s", o.Key, text(o), text(row.Outcome))
			}
			if !o.Replayed {
				first++
			}
		}
		firsts += max(0, first-1)
	}
	if firsts > resolved {
		t.Errorf("%d callers too many were told that theirs was the first, and only %d commits were resolved", firsts, resolved)
	}
	if len(h.told) < 50 || h.mismatches == 0 {
		t.Errorf("%d keys answered and %d conflicts: too quiet to prove anything", len(h.told), h.mismatches)
	}
}

// text is an outcome without what depends on who asks when.
func text(o ledger.Outcome) string {
	o.Replayed = false
	if len(o.Entries) == 0 {
		o.Entries = nil
	}
	if len(o.Detail) == 0 {
		o.Detail = nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
