package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/ledger"
)

// seen is when a sequence of an account was known to somebody, and from what.
type seen struct {
	at       time.Duration
	sequence int64
	call     *Call // or nil: from a read
}

// StaleRead tells whether each read saw what was acknowledged before it began, its client's own writes as those of all others, and no less than
// any read that ended before it began; whether it saw the balances that the newest entry left; and whether nobody saw what was not asked for yet.
func (h *History) StaleRead(w Workload) Verdict {
	f := find("stale_read", "every read saw what was acknowledged before, and none went back")
	f.Looked = len(h.Reads)
	knowledge, reads := map[ledger.Ref][]seen{}, map[ledger.Ref][]Read{}
	unknown := false
	for _, c := range h.Calls {
		unknown = unknown || !c.decided()
		if c.State != Acknowledged {
			continue
		}
		for _, e := range c.Outcome.Entries {
			knowledge[e.Ref] = append(knowledge[e.Ref], seen{c.Ended, e.Sequence, c})
		}
	}
	for _, r := range h.Reads {
		knowledge[r.Ref] = append(knowledge[r.Ref], seen{r.Ended, r.Sequence, nil})
		reads[r.Ref] = append(reads[r.Ref], r)
	}
	told := h.told(find("", "")) // what is wrong with that is for DoubleEffect to say
	for ref, reads := range reads {
		known := knowledge[ref]
		slices.SortFunc(known, func(a, b seen) int { return cmp.Compare(a.at, b.at) })
		slices.SortFunc(reads, func(a, b Read) int { return cmp.Compare(a.Began, b.Began) })
		newest, next := seen{sequence: w.before[ref].Sequence}, 0
		for _, r := range reads {
			for ; next < len(known) && known[next].at < r.Began; next++ {
				if known[next].sequence > newest.sequence {
					newest = known[next]
				}
			}
			switch {
			case r.Sequence >= newest.sequence:
			case newest.call != nil:
				h.complain(f, r, "saw entry %d, and entry %d of %s was acknowledged at %s", r.Sequence, newest.sequence, newest.call, seconds(newest.at))
			default:
				h.complain(f, r, "saw entry %d, and a read that ended at %s had seen entry %d", r.Sequence, seconds(newest.at), newest.sequence)
			}
			h.look(f, r, w.before[ref], told[ref], unknown)
		}
	}
	return f.verdict()
}

// look holds what a read saw against the entry that it saw.
func (h *History) look(f *finding, r Read, before ledger.Account, t *told, unknown bool) {
	var l line
	known := false
	if t != nil {
		l, known = t.lines[r.Sequence]
	}
	saw := [3]any{balance(r.Balance), r.Balance.PendingDebits, r.Balance.PendingCredits}
	switch {
	case known:
		from, _ := l.call.span()
		if left := [3]any{l.Balance, l.PendingDebits, l.PendingCredits}; saw != left {
			h.complain(f, r, "saw entry %d with %v, and %s had left %v", r.Sequence, saw, l.call, left)
		} else if from > r.Ended {
			h.complain(f, r, "saw entry %d of %s, which was not sent before %s", r.Sequence, l.call, seconds(from))
		}
	case r.Sequence == before.Sequence:
		if left := [3]any{balance(before.Balances), before.PendingDebits, before.PendingCredits}; saw != left {
			h.complain(f, r, "saw entry %d with %v, and the load began with %v", r.Sequence, saw, left)
		}
	case r.Sequence > before.Sequence && !unknown:
		h.complain(f, r, "saw entry %d, of which no client was told", r.Sequence)
	}
}

func (h *History) complain(f *finding, r Read, format string, args ...any) {
	f.problem("%s: a read by client %d in %s, from %s to %s, "+format,
		append([]any{r.Ref, r.Client, h.Regions[r.Node], seconds(r.Began), seconds(r.Ended)}, args...)...)
}

func seconds(d time.Duration) string { return d.Round(time.Microsecond).String() }
