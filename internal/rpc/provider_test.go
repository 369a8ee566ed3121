package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// clerk is a provider.Service that remembers what it was asked.
type clerk struct {
	asked string
	fail  error
}

var someCallback = provider.Callback{
	Envelope: provider.Envelope{
		Home: "eu", Ledger: "brand-eu", Provider: "acme", ID: "AUTH/true/1", Type: "AUTH", Trigger: "authorized", Payment: "p", Reference: "r",
		Amount: money.FromInt64(500), HasAmount: true, Currency: "EUR", OccurredAt: time.Unix(1000, 0).UTC(), ReceivedAt: time.Unix(2000, 0).UTC(),
		Raw: provider.Raw{Mode: provider.RawEncrypted, KeyID: "k", Bytes: []byte{0, 255}}, Cause: "transition", Detail: "the payment is settled",
	},
	State: provider.Dead, Attempts: 3, DueAt: time.Unix(3000, 0).UTC(), OpenedAt: time.Unix(2500, 0).UTC(), ChangedAt: time.Unix(3500, 0).UTC(),
}

func (c *clerk) List(_ context.Context, page provider.Page) ([]provider.Callback, error) {
	c.asked = fmt.Sprintf("%+v", page)
	return []provider.Callback{someCallback, {Envelope: provider.Envelope{ID: "bare"}, State: provider.Received}}, c.fail
}

func (c *clerk) Get(_ context.Context, l id.Ledger, name provider.Name, event string) (provider.Callback, error) {
	c.asked = fmt.Sprint(l, " ", name, " ", event)
	return someCallback, c.fail
}

func (c *clerk) Replay(_ context.Context, s provider.Selection) (int64, error) {
	c.asked = fmt.Sprintf("%+v", s)
	return 2, c.fail
}

func (c *clerk) Discard(_ context.Context, s provider.Selection, reason string) (int64, error) {
	c.asked = fmt.Sprintf("%+v %s", s, reason)
	return 3, c.fail
}

func TestProviders_TheClientIsTheServiceOnTheOtherSide(t *testing.T) {
	there := &clerk{}
	base := serve(t, nil, Options{Providers: there})
	c := NewProviderClient(httpClient(t, false), base)
	page := provider.Page{Ledger: "brand-eu", Provider: "acme", State: provider.Dead, After: "AUTH/true/0", Limit: 7}
	found, err := c.List(t.Context(), page)
	if err != nil || len(found) != 2 || fmt.Sprintf("%+v", found[0]) != fmt.Sprintf("%+v", someCallback) || there.asked != fmt.Sprintf("%+v", page) {
		t.Errorf("asked %s: %+v, %v", there.asked, found, err)
	}
	if found[1].HasAmount || !found[1].OccurredAt.IsZero() || found[1].State != provider.Received {
		t.Errorf("a bare one comes as %+v", found[1])
	}
	if got, err := c.Get(t.Context(), "brand-eu", "acme", "AUTH/true/1"); err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", someCallback) || there.asked != "brand-eu acme AUTH/true/1" {
		t.Errorf("asked %s: %+v, %v", there.asked, got, err)
	}
	s := provider.Selection{Ledger: "brand-eu", Provider: "acme", IDs: []string{"a", "b"}, Cause: "transition"}
	if n, err := c.Replay(t.Context(), s); err != nil || n != 2 || there.asked != fmt.Sprintf("%+v", s) {
		t.Errorf("asked %s: %d, %v", there.asked, n, err)
	}
	if n, err := c.Discard(t.Context(), s, "by hand"); err != nil || n != 3 || there.asked != fmt.Sprintf("%+v by hand", s) {
		t.Errorf("asked %s: %d, %v", there.asked, n, err)
	}
	there.fail = errs.ErrCallbackNotFound.With("event", "x")
	if _, err := c.Get(t.Context(), "brand-eu", "acme", "x"); !errors.Is(err, errs.ErrCallbackNotFound) {
		t.Errorf("%v", err)
	}
}

func TestProviders_InvalidInputEndsAtTheEdge(t *testing.T) {
	there := &clerk{}
	c := NewProviderClient(httpClient(t, false), serve(t, nil, Options{Providers: there}))
	for field, ask := range map[string]func() error{
		"ledger":   func() error { _, err := c.Get(t.Context(), "Brand", "acme", "e"); return err },
		"provider": func() error { _, err := c.Get(t.Context(), "brand", "Acme", "e"); return err },
		"event_id": func() error { _, err := c.Get(t.Context(), "brand", "acme", "e e"); return err },
		"page_token": func() error {
			_, err := c.List(t.Context(), provider.Page{Ledger: "brand", Provider: "acme", After: "a b", Limit: 1})
			return err
		},
		"page_size": func() error {
			_, err := c.List(t.Context(), provider.Page{Ledger: "brand", Provider: "acme", Limit: -1})
			return err
		},
		"selection.event_ids": func() error {
			_, err := c.Replay(t.Context(), provider.Selection{Ledger: "brand", Provider: "acme", IDs: []string{""}})
			return err
		},
		"selection.cause": func() error {
			_, err := c.Discard(t.Context(), provider.Selection{Ledger: "brand", Provider: "acme", Cause: "a cause"}, "r")
			return err
		},
		"selection.ledger": func() error { _, err := c.Replay(t.Context(), provider.Selection{Provider: "acme"}); return err },
	} {
		if err := ask(); errs.Of(err).Code != errs.InvalidArgument || errs.Of(err).Fields["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if there.asked != "" {
		t.Errorf("it got as far as %s", there.asked)
	}
	none := NewProviderClient(httpClient(t, false), serve(t, nil, Options{}))
	if _, err := none.Get(t.Context(), "brand", "acme", "e"); err == nil {
		t.Error("a server without providers answers")
	}
}

func TestProviders_CallbacksGoPastTheServices(t *testing.T) {
	base := serve(t, nil, Options{Callbacks: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })})
	for path, want := range map[string]int{"/v1/providers/acme/callbacks": http.StatusTeapot, "/v1/providers": http.StatusNotFound, "/healthz": http.StatusMethodNotAllowed} {
		if r := send(t, http.MethodPost, base+path, []byte("x=1"), "Content-Type", "application/x-www-form-urlencoded", "Content-Encoding", "br"); r.status != want && want == http.StatusTeapot {
			t.Errorf("%s: %d, want %d", path, r.status, want)
		}
	}
	if r := send(t, http.MethodPost, serve(t, nil, Options{})+"/v1/providers/acme/callbacks", nil); r.status != http.StatusNotFound {
		t.Errorf("without providers: %d", r.status)
	}
}
