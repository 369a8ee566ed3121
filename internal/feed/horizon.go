package feed

import "time"

// horizon finds out up to which time everything was handed over, where a transaction that is still running hides what was committed after it
// began. Each look at the server tells below which number everything is done (xmin), and above all numbers that were done by now (xmax).
// Once xmin has passed an xmax that was seen earlier, whatever was committed before that look has been handed over.
type horizon struct {
	looks []look // by time, and by number
	at    time.Time
}

type look struct {
	at   time.Time
	xmin uint64
	xmax uint64
}

// maxLooks bounds the memory; when it is full, every second one is forgotten, which makes the time coarser and never wrong.
const maxLooks = 1024

// saw adds a look whose rows below xmin have been handed over, and returns up to which time everything has.
func (h *horizon) saw(l look) time.Time {
	if len(h.looks) == maxLooks {
		kept := h.looks[:0]
		for i := 0; i < maxLooks; i += 2 {
			kept = append(kept, h.looks[i])
		}
		h.looks = kept
	}
	h.looks = append(h.looks, l)
	passed := 0
	for passed < len(h.looks) && h.looks[passed].xmax <= l.xmin {
		h.at = h.looks[passed].at
		passed++
	}
	h.looks = append(h.looks[:0], h.looks[passed:]...)
	return h.at
}
