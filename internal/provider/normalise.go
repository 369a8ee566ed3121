package provider

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Bounds on what comes in.
const (
	MaxBody  = 256 << 10 // bytes of a request
	maxItems = 500       // events in one request
	maxText  = 255       // bytes of a type, a payment or a reference
)

// Normalise makes envelopes of a verified request, one an event, in the order of the body; at least one. It loses nothing: what can not be read, or
// has no meaning here, becomes an envelope with a cause. It does not look at a clock, and an Account may be used concurrently.
func (a *Account) Normalise(r *Request, home id.Home, at time.Time) []Envelope {
	from := Envelope{Home: home, Ledger: a.Ledger, Provider: a.Name, ReceivedAt: at}
	tree, err := a.decode(r.Body)
	if err != nil {
		return []Envelope{a.unreadable(from, r.Body, nil, "the body is not "+string(a.Format))}
	}
	if a.Items == nil {
		return []Envelope{a.normalise(from, r, r.Body, tree)}
	}
	items, found := spread(tree, a.Items)
	if !found || len(items) == 0 || len(items) > maxItems {
		return []Envelope{a.unreadable(from, r.Body, tree, fmt.Sprintf("the body has not 1 to %d items where the configuration says", maxItems))}
	}
	all := make([]Envelope, len(items))
	for i, item := range items {
		text, err := json.Marshal(item)
		if err != nil {
			text = r.Body
		}
		all[i] = a.normalise(from, r, text, item)
	}
	return all
}

func (a *Account) decode(body []byte) (any, error) {
	if a.Format == JSON {
		return decodeJSON(body)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	tree := make(map[string]any, len(form))
	for name, values := range form {
		tree[name] = values[0]
	}
	return tree, nil
}

func digestID(body []byte) string {
	sum := sha256.Sum256(body)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (a *Account) unreadable(e Envelope, body []byte, tree any, detail string) Envelope {
	e.ID, e.Trigger, e.Cause, e.Detail = digestID(body), Unknown, CauseUnreadable, detail
	e.Raw = a.keep(e, body, tree)
	return e
}

// normalise reads one event. The first thing that is wrong is its cause; what can be read besides is read all the same, for a person.
func (a *Account) normalise(e Envelope, r *Request, body []byte, tree any) Envelope {
	wrong := func(cause, detail string) {
		if e.Cause == "" {
			e.Cause, e.Detail = cause, detail
		}
	}
	var ok bool
	if e.ID, ok = joined(a.EventID, r, tree); !ok {
		e.ID = digestID(body)
		wrong(CauseNoID, "the id of the event is not where the configuration says, or not 1 to 180 printable characters without spaces")
	}
	e.Type, _ = joined(a.Type, r, tree)
	e.Type = attempt.Brief(e.Type)
	e.Trigger = a.TriggerOf(e.Type)
	if e.Trigger == Unknown {
		wrong(CauseUnknownType, "the configuration has no trigger for this type")
	}
	e.Payment, e.Reference = kept(tree, a.Payment), kept(tree, a.Reference)
	if err := a.amount(&e, tree); err != nil {
		wrong(CauseBadAmount, err.Error())
	}
	if text, there := textAt(tree, a.OccurredAt); there && a.OccurredAt != nil {
		e.OccurredAt = instant(text)
	}
	e.Raw = a.keep(e, body, tree)
	return e
}

// TriggerOf returns what a word of the provider means: a trigger of the lifecycle, Ignored, or Unknown.
func (a *Account) TriggerOf(word string) string {
	if trigger, known := a.Triggers[word]; known {
		return trigger
	}
	return Unknown
}

// joined reads the values of several places, with slashes between them, as something to be found by.
func joined(places []Place, r *Request, tree any) (string, bool) {
	parts := make([]string, len(places))
	for i, p := range places {
		text, there := textAt(tree, p.Path)
		if p.Header != "" {
			text, there = only(r.Header, p.Header)
		}
		if !there || text == "" {
			return "", false
		}
		parts[i] = text
	}
	text := strings.Join(parts, "/")
	if len(text) > MaxID || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return text, false
	}
	return text, true
}

// kept is a text that may be missing. One that is longer than any id is cut, so that it finds nothing rather than something else.
func kept(tree any, p Path) string {
	if p == nil {
		return ""
	}
	text, _ := textAt(tree, p)
	text = attempt.Brief(text)
	if len(text) > maxText {
		return digestID([]byte(text))
	}
	return text
}

// amount reads the amount and its currency where there are some.
func (a *Account) amount(e *Envelope, tree any) error {
	if a.Currency != nil {
		if text, there := textAt(tree, a.Currency); there && text != "" {
			code, err := money.ParseCode(strings.ToUpper(text))
			if err != nil {
				return fmt.Errorf("the currency can not be read: %w", err)
			}
			e.Currency = code
		}
	}
	if a.Amount == nil {
		return nil
	}
	text, there := textAt(tree, a.Amount)
	if !there || text == "" {
		return nil
	}
	asset := money.Asset{Code: e.Currency, Scale: a.Decimals}
	n, err := asset.ParseDecimal(text)
	if err != nil {
		return fmt.Errorf("the amount can not be read: %w", err)
	}
	e.Amount, e.HasAmount = n, true
	return nil
}

// instant reads RFC 3339, or seconds or milliseconds since 1970; anything else is the zero time: an order that is not known is no reason to
// refuse.
func instant(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return bounded(t)
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	const millis = 1e11 // more than that in seconds is the year 5138
	switch {
	case err != nil || math.IsNaN(n) || n <= 0 || n > 1e14:
		return time.Time{}
	case n >= millis:
		return bounded(time.UnixMilli(int64(n)))
	}
	return bounded(time.UnixMicro(int64(math.Round(n * 1e6))))
}

// bounded keeps to the years that both engines have.
func bounded(t time.Time) time.Time {
	if y := t.UTC().Year(); y < 1970 || y > 9999 {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
