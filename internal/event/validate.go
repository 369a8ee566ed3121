package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// Bounds on a subscription.
const (
	MaxSubscriptionHomes = 64
	MaxSettings          = 64 << 10
)

// SinkKinds lists the kinds of sinks.
var SinkKinds = []string{"webhook", "kafka", "nats", "file"}

// ParseSubscriptionID reads 1 to 64 of a-z 0-9 -, starting with a letter: what a path, a metric and a consumer group take as it is.
func ParseSubscriptionID(s string) (string, error) {
	if _, err := id.ParseLedger(s); err != nil { // the same form
		return "", errs.Invalid("id", "a subscription is 1 to 64 of a-z 0-9 -, starting with a letter")
	}
	return s, nil
}

// Validate refuses a subscription that is malformed; whether its sink can be reached, and whether its homes exist, others know. Secrets
// are none of it.
func (s Subscription) Validate() error {
	if _, err := ParseSubscriptionID(s.ID); err != nil {
		return err
	}
	if !slices.Contains([]State{Active, Paused, Failing, Deleted}, s.State) {
		return errs.Invalid("state", "a subscription is active, paused, failing or deleted")
	}
	if len(s.Homes) == 0 || len(s.Homes) > MaxSubscriptionHomes {
		return errs.Invalid("homes", fmt.Sprintf("name 1 to %d homes whose events are wanted", MaxSubscriptionHomes))
	}
	for i, home := range s.Homes {
		if _, err := id.ParseHome(string(home)); err != nil {
			return errs.Invalid(at("homes", i), "a home is 1 to 32 of a-z 0-9 -, starting with a letter")
		}
		if slices.Contains(s.Homes[:i], home) {
			return errs.Invalid(at("homes", i), "home "+string(home)+" is named twice")
		}
	}
	if err := s.Filter.Validate(); err != nil {
		return err
	}
	if err := s.Sink.validate(); err != nil {
		return err
	}
	for i, g := range s.Grants {
		if err := g.validate(at("residency_grants", i)); err != nil {
			return err
		}
	}
	return s.Metadata.Validate("metadata")
}

func (s SinkSpec) validate() error {
	if !slices.Contains(SinkKinds, s.Kind) {
		return errs.Invalid("sink.kind", "a sink is one of "+strings.Join(SinkKinds, ", "))
	}
	if err := ledger.ValidateText("sink.region", s.Region); err != nil {
		return err
	}
	if len(s.Settings) > MaxSettings {
		return errs.Invalid("sink.settings", fmt.Sprintf("at most %d bytes", MaxSettings))
	}
	if !json.Valid(s.Settings) || !bytes.HasPrefix(bytes.TrimSpace(s.Settings), []byte("{")) {
		return errs.Invalid("sink.settings", "the settings of a sink are a JSON object")
	}
	return nil
}

func (g Grant) validate(field string) error {
	if _, err := id.ParseHome(string(g.Home)); err != nil {
		return errs.Invalid(field+".home", "a home is 1 to 32 of a-z 0-9 -, starting with a letter")
	}
	if g.Region == "" {
		return errs.Invalid(field+".region", "name the region that events may leave for")
	}
	if strings.TrimSpace(g.Reason) == "" {
		return errs.Invalid(field+".reason", "say who allowed it, and on what ground: it is kept for ever")
	}
	if err := ledger.ValidateText(field+".region", g.Region); err != nil {
		return err
	}
	return ledger.ValidateText(field+".reason", g.Reason)
}
