package attempt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meridian-ledger/meridian/internal/attempt"
)

func TestBackoff_DoublesUpToItsLastAndHonoursTheOtherSide(t *testing.T) {
	b := attempt.Backoff{First: time.Second, Last: time.Hour}
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 12: 2048 * time.Second, 13: time.Hour, 1000: time.Hour} {
		if got := b.Bound(failures); got != want {
			t.Errorf("after %d failures up to %s, want %s", failures, got, want)
		}
	}
	if got := b.Wait(1, 20*time.Minute); got != 20*time.Minute {
		t.Errorf("asked for 20 min, waits %s", got)
	}
	if got := b.Wait(1, 30*time.Hour); got != time.Hour {
		t.Errorf("asked for 30 h, waits %s, want the last", got)
	}
	seen := map[time.Duration]bool{}
	for range 50 {
		seen[b.Wait(5, 0)] = true
	}
	if len(seen) < 40 {
		t.Errorf("%d different waits of 50: no jitter", len(seen))
	}
}

func TestWord_IsWhatMetricsCanHold(t *testing.T) {
	for cause, want := range map[string]string{
		"timeout": "timeout", "status_5xx": "status_5xx", "": "other", "Time Out": "other", strings.Repeat("a", 33): "other", "a\x00": "other",
	} {
		if got := attempt.Word(cause); got != want {
			t.Errorf("%q is %q, want %q", cause, got, want)
		}
	}
}

func TestCauses_AreBounded(t *testing.T) {
	var c attempt.Causes
	for i := range 64 {
		if cause := fmt.Sprint("c", i); c.Label(cause) != cause {
			t.Fatalf("%s is not among the first 64", cause)
		}
	}
	if got := c.Label("one_more"); got != attempt.Other {
		t.Errorf("word 65 is %q", got)
	}
	if c.Label("c1") != "c1" || c.Label("") != "" {
		t.Error("known words change")
	}
}

func TestBrief_BoundsAndCleans(t *testing.T) {
	if got := attempt.Brief(strings.Repeat("é", 400)); len(got) > 503 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if got := attempt.Brief("a\x00b\xff"); got != "ab�" {
		t.Errorf("%q", got)
	}
}
