package relay

import (
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

func TestHealth(t *testing.T) {
	const minute = time.Minute
	retry, down := &sink.Error{Verdict: sink.Retry, Cause: "status_5xx"}, &sink.Error{Verdict: sink.Down, Cause: "refused"}
	type failure struct {
		at      time.Duration
		of      event.Position
		failure *sink.Error // nil: a success
	}
	for _, c := range []struct {
		name          string
		story         []failure
		counts        bool // the last failure, against its message
		down, failing bool
	}{
		{"one refused message is its own fault", []failure{{0, 1, retry}, {6 * minute, 1, retry}}, true, false, false},
		{"two are as well", []failure{{0, 1, retry}, {1, 2, retry}, {6 * minute, 1, retry}}, true, false, false},
		{"three are not, after a while", []failure{{0, 1, retry}, {1, 2, retry}, {6 * minute, 3, retry}}, false, false, true},
		{"three are, before", []failure{{0, 1, retry}, {1, 2, retry}, {4 * minute, 3, retry}}, true, false, false},
		{"a success starts anew", []failure{{0, 1, retry}, {1, 2, retry}, {minute, 4, nil}, {6 * minute, 3, retry}}, true, false, false},
		{"down is nobody's fault", []failure{{0, 1, down}}, false, true, false},
		{"down for long is failing", []failure{{0, 1, down}, {6 * minute, 2, down}}, false, true, true},
		{"who refuses is not down", []failure{{0, 1, down}, {minute, 1, retry}}, true, false, false},
		{"a message that nobody takes counts also while failing", []failure{{0, 1, down}, {6 * minute, 1, down}, {7 * minute, 1, retry}}, true, false, true},
		{"and a success ends that", []failure{{0, 1, down}, {6 * minute, 1, down}, {7 * minute, 1, nil}}, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := health{pace: attempt.Backoff{First: time.Second, Last: minute}, patient: 5 * minute}
			start := time.Now()
			var counts bool
			for _, f := range c.story {
				if f.failure == nil {
					h.succeeded()
					counts = false
				} else {
					counts = h.refused(start.Add(f.at), f.of, f.failure)
				}
			}
			if counts != c.counts || h.down != c.down || h.failing != c.failing {
				t.Errorf("counts %t down %t failing %t, want %t %t %t", counts, h.down, h.failing, c.counts, c.down, c.failing)
			}
		})
	}
}

func TestHealth_ProbesWithOneMessageAtGrowingIntervals(t *testing.T) {
	h := health{pace: attempt.Backoff{First: time.Second, Last: time.Minute}, patient: 5 * time.Minute}
	now := time.Now()
	var longest time.Duration
	for n := range 200 {
		h.refused(now, 1, &sink.Error{Verdict: sink.Down})
		if most, again := h.may(now, 0, 8); most != 0 || !again.Equal(h.probeAt) {
			t.Fatalf("round %d: %d may go at once, want to wait", n, most)
		}
		wait := h.probeAt.Sub(now)
		if most := h.pace.Bound(n + 1); wait <= 0 || wait > most {
			t.Fatalf("round %d: waits %s, want up to %s", n, wait, most)
		}
		longest = max(longest, wait)
		before := h.probeAt
		h.refused(before.Add(-1), 2, &sink.Error{Verdict: sink.Down}) // one that was in flight
		if !h.probeAt.Equal(before) {
			t.Fatal("a call that was in flight moved the next look")
		}
		now = before
		if most, _ := h.may(now, 0, 8); most != 1 {
			t.Fatalf("round %d: %d may go, want one", n, most)
		}
		if most, _ := h.may(now, 1, 8); most != 0 {
			t.Fatalf("round %d: a second look beside the first", n)
		}
	}
	if longest < 30*time.Second {
		t.Errorf("the longest wait of 200 is %s", longest)
	}
	if back := h.succeeded(); !back {
		t.Error("it is not back")
	}
	if most, _ := h.may(now, 3, 8); most != 8 {
		t.Errorf("%d may go, want as many as fit", most)
	}
}
