package relay

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

// same refuses to create a subscription whose id is taken by another one; secrets are compared where they were given.
func (o *Subscriptions) same(ctx context.Context, wanted event.Subscription, secrets []event.Secret, given bool) error {
	there, err := o.Store.Subscription(ctx, wanted.ID)
	if err != nil {
		return err
	}
	field := differs(there, wanted)
	if field == "" && given {
		stored, err := o.Store.Secrets(ctx, wanted.ID)
		if err != nil {
			return err
		}
		if !sameSecrets(stored, secrets) {
			field = "secrets"
		}
	}
	if field != "" {
		return errs.ErrSubscriptionExists.With("subscription", wanted.ID).With("field", field)
	}
	return nil
}

// differs returns the first field in which a stored subscription is not the wanted one.
func differs(there, wanted event.Subscription) string {
	switch {
	case there.State == event.Deleted:
		return "state"
	case !slices.Equal(slices.Sorted(slices.Values(there.Homes)), slices.Sorted(slices.Values(wanted.Homes))):
		return "homes"
	case !slices.Equal(there.Filter.Ledgers, wanted.Filter.Ledgers), !slices.Equal(there.Filter.AccountPrefixes, wanted.Filter.AccountPrefixes),
		!slices.Equal(there.Filter.Types, wanted.Filter.Types):
		return "filter"
	case there.Sink.Kind != wanted.Sink.Kind, there.Sink.Region != wanted.Sink.Region, !sameJSON(there.Sink.Settings, wanted.Sink.Settings):
		return "sink"
	case !slices.Equal(there.Grants, wanted.Grants):
		return "residency_grants"
	case !maps.Equal(there.Metadata, wanted.Metadata):
		return "metadata"
	}
	return ""
}

// sameJSON compares what texts say, not how: the table keeps the first alone.
func sameJSON(a, b json.RawMessage) bool {
	read := func(text json.RawMessage) (v any, ok bool) {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		return v, d.Decode(&v) == nil
	}
	x, okX := read(a)
	y, okY := read(b)
	return okX && okY && reflect.DeepEqual(x, y)
}

func sameSecrets(stored, given []event.Secret) bool {
	if len(stored) != len(given) {
		return false
	}
	for _, g := range given {
		if !slices.ContainsFunc(stored, func(s event.Secret) bool { return s.ID == g.ID && subtle.ConstantTimeCompare(s.Value, g.Value) == 1 }) {
			return false
		}
	}
	return true
}
