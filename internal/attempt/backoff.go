// Package attempt has what everything needs that tries again and gives up in the end, be it deliveries to sinks or callbacks of providers: how
// long to wait, in which words a failure is counted, and how much of a foreign text is kept. It decides nothing else, and keeps nothing.
package attempt

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait after failures: a uniform draw up to a bound that doubles with each, so that those who failed together do not
// come back together.
type Backoff struct {
	First, Last time.Duration
}

// Bound returns the longest wait after the given number of failures, 1 or more.
func (b Backoff) Bound(failures int) time.Duration {
	bound := b.First
	for range failures - 1 {
		if bound >= b.Last/2 {
			return b.Last
		}
		bound *= 2
	}
	return min(bound, b.Last)
}

// Wait draws one, no less than after, which is what the other side asked for and counts up to Last.
func (b Backoff) Wait(failures int, after time.Duration) time.Duration {
	drawn := rand.N(b.Bound(failures)) + 1
	return max(drawn, min(after, b.Last))
}
