package ledger_test

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

func TestBooks_Conform(t *testing.T) {
	for _, how := range []mode{loadsAll, loadsNeeded, groups} {
		t.Run(string(how), func(t *testing.T) {
			ledgertest.Conformance(t, func(t *testing.T) ledgertest.Subject {
				clock := ledgertest.NewClock()
				return ledgertest.Subject{
					Service: newMemory(t, clock.Now, how), Engine: "books", Advance: clock.Advance,
					Exceptions: map[string]string{
						"ledgers": "package ledger has no code that creates or lists ledgers",
						"reads":   "package ledger has no code that reads",
					},
				}
			})
		})
	}
}
