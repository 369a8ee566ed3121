package commit_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestLane_AnUnknownCommitIsResolvedBeforeAnythingIsSaid(t *testing.T) {
	for name, e := range map[string]ending{"it stands": {err: unknown}, "it does not": {lost: true, err: unknown}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, commit.Options{}, func(t *testing.T, n *node) {
				n.store.inTurn(e, e)
				o := n.do(transfer("k", "a", "b", 5))
				if o.Replayed || o.Decided != ledger.Posted || len(o.Entries) != 2 {
					t.Errorf("the caller was told %+v, want what is told where nothing happened", o)
				}
				if e.lost {
					n.wantMetric("meridian_ambiguous_commits_resolved_total", 0)
					n.wantMetric("meridian_group_retries_total", 2)
				} else {
					n.wantMetric("meridian_ambiguous_commits_resolved_total", 1)
					n.wantMetric("meridian_group_retries_total", 1)
				}
				n.wantMetric("meridian_replays_total", 0)
				n.wantMetric("meridian_outcomes_total", 1)
			})
		})
	}
}

func TestLane_AfterAnUnknownCommitAReplayIsStillAReplay(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		n.do(transfer("old", "a", "b", 1))
		g := n.store.gate()
		first := n.send(t.Context(), transfer("busy", "a", "b", 1))
		again := n.send(t.Context(), transfer("old", "a", "b", 1))
		twice := n.send(t.Context(), transfer("new", "a", "b", 1), transfer("new", "a", "b", 1))
		g <- ending{}
		synctest.Wait()
		g <- ending{err: unknown} // the group of again and twice
		pass(time.Second)
		n.wantPosted(first, again, twice)
		got := []bool{again.outcome(0).Replayed, twice.outcome(0).Replayed, twice.outcome(1).Replayed}
		if !slices.Equal(got, []bool{true, false, true}) {
			t.Errorf("flagged as replayed: %v, want the old key and the second of the new one", got)
		}
		n.wantMetric("meridian_ambiguous_commits_resolved_total", 1)
		n.wantMetric("meridian_replays_total", 2)
	})
}

func TestLane_AfterAnUnknownCommitAnotherNodesAnswerIsAReplay(t *testing.T) {
	bubble(t, commit.Options{}, func(t *testing.T, n *node) {
		attempts := 0
		n.store.inTurn(ending{lost: true, err: unknown})
		n.store.onBegin = func(ledger.Needs) error {
			if attempts++; attempts == 2 {
				n.store.given(transfer("k", "a", "b", 1)) // by another node, to which the client sent it too
			}
			return nil
		}
		if o := n.do(transfer("k", "a", "b", 1)); !o.Replayed {
			t.Error("the answer of another node is to be flagged as replayed")
		}
		n.wantMetric("meridian_ambiguous_commits_resolved_total", 0)
	})
}

func TestLane_WhereTheDatabaseStaysAwayTheOutcomeIsUnknownAndARetryLearnsIt(t *testing.T) {
	for name, e := range map[string]ending{"it stands": {err: unknown}, "it does not": {lost: true, err: unknown}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, commit.Options{Patience: 3 * time.Second}, func(t *testing.T, n *node) {
				away := false
				n.store.onCommit = func(ledger.Changes) ending {
					away = true
					return e
				}
				n.store.onBegin = func(ledger.Needs) error {
					if away {
						return errs.ErrUnavailable.With("cause", "connection")
					}
					return nil
				}
				started := time.Now()
				a := n.send(t.Context(), transfer("k", "a", "b", 1))
				pass(4 * time.Second)
				if !errors.Is(a.told(), errs.ErrOutcomeUnknown) {
					t.Fatalf("after %s: %v, want OUTCOME_UNKNOWN", time.Since(started), a.told())
				}
				n.store.onBegin, n.store.onCommit = nil, nil
				if o := n.do(transfer("k", "a", "b", 1)); o.Decided != ledger.Posted || o.Replayed == e.lost {
					t.Errorf("a retry says %s, replayed=%t", o.Decided, o.Replayed)
				}
				if got := n.store.written(); !slices.Equal(got, []id.Key{"k"}) {
					t.Errorf("written %v, want k once", got)
				}
			})
		})
	}
}

// INTERNAL means that nothing was written, which nobody knows after an unknown commit.
func TestLane_AfterAnUnknownCommitNoErrorSaysThatNothingWasWritten(t *testing.T) {
	bubble(t, commit.Options{Lanes: 1}, func(t *testing.T, n *node) {
		attempts := 0
		n.store.inTurn(ending{err: unknown})
		n.store.onBegin = func(ledger.Needs) error {
			if attempts++; attempts > 1 {
				return internal
			}
			return nil
		}
		a := n.send(t.Context(), transfer("k", "a", "b", 1))
		pass(time.Minute)
		if !errors.Is(a.told(), errs.ErrOutcomeUnknown) {
			t.Errorf("the caller was told %v, want OUTCOME_UNKNOWN", a.told())
		}
	})
}
