package rpc

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
)

func TestClient_ConformsOnEverySurface(t *testing.T) {
	onEach(t, func(t *testing.T, s surface) {
		ledgertest.Conformance(t, func(t *testing.T) ledgertest.Subject {
			clock := ledgertest.NewClock()
			model := ledgertest.NewModel(clock.Now)
			base := serve(t, model, Options{})
			return ledgertest.Subject{Service: s.client(t, base), Engine: s.name, Advance: clock.Advance, Sweep: model.Sweep}
		})
	})
}
