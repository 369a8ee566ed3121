package relay

import (
	"math/rand/v2"
	"time"
)

// Backoff is how long to wait after failures: a uniform draw up to a bound that doubles with each, so that those who failed together do not
// come back together.
type Backoff struct {
	First, Last time.Duration
}

// bound returns the longest wait after the given number of failures, 1 or more.
func (b Backoff) bound(failures int) time.Duration {
	bound := b.First
	for range failures - 1 {
		if bound >= b.Last/2 {
			return b.Last
		}
		bound *= 2
	}
	return min(bound, b.Last)
}

// wait draws one, no less than after, which is what the other side asked for and counts up to Last.
func (b Backoff) wait(failures int, after time.Duration) time.Duration {
	drawn := rand.N(b.bound(failures)) + 1
	return max(drawn, min(after, b.Last))
}
