package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/store"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456000, time.UTC)

// callbackOf is an open callback of a provider.
func callbackOf(name provider.Name, event, payment string, at time.Time) provider.Callback {
	return provider.Envelope{
		Home: "eu", Ledger: "brand-eu", Provider: name, ID: event, Type: "payment.captured", Trigger: "captured", Payment: payment, Reference: "r-" + payment,
		Amount: money.FromInt64(500), HasAmount: true, Currency: "EUR", OccurredAt: at.Add(-time.Second), ReceivedAt: at,
		Raw: provider.Raw{Mode: provider.RawEncrypted, KeyID: "k1", Bytes: []byte{0, 1, 255}},
	}.Opening()
}

func put(t *testing.T, s *store.Store, all ...provider.Callback) [][]byte {
	t.Helper()
	before, err := s.PutCallbacks(t.Context(), "eu", all)
	if err != nil {
		t.Fatal(err)
	}
	return before
}

func TestCallbacks_AreStoredOnceWithAllThatTheySay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		full := callbackOf("acme", "e1", "p1", noon)
		bare := provider.Envelope{
			Home: "eu", Ledger: "brand-eu", Provider: "acme", ID: "sha256:0", Trigger: provider.Unknown, ReceivedAt: noon, Raw: provider.Raw{Mode: provider.RawNone},
			Cause: provider.CauseUnreadable, Detail: "the body is not json",
		}.Opening()
		if before := put(t, s, full, bare); before[0] != nil || before[1] != nil {
			t.Errorf("something was there: %v", before)
		}
		for _, want := range []provider.Callback{full, bare} {
			got, err := s.Callback(t.Context(), "eu", "brand-eu", "acme", want.ID)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Raw.Bytes) == 0 {
				got.Raw.Bytes = want.Raw.Bytes
			}
			if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		}
		other := full
		other.Amount, other.State = money.FromInt64(501), provider.Dead
		fresh := callbackOf("zeta", "e1", "p1", noon) // another provider may have the same id
		before := put(t, s, fresh, other, callbackOf("acme", "e0", "p0", noon))
		if before[0] != nil || before[2] != nil || !bytes.Equal(before[1], full.Meaning()) || bytes.Equal(before[1], other.Meaning()) {
			t.Errorf("before: %x", before)
		}
		if got, err := s.Callback(t.Context(), "eu", "brand-eu", "acme", "e1"); err != nil || got.Amount != full.Amount || got.State != provider.Received {
			t.Errorf("the repeat changed it: %+v, %v", got, err)
		}
		if _, err := s.Callback(t.Context(), "eu", "brand-eu", "acme", "e9"); !errors.Is(err, errs.ErrCallbackNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
	})
}

func TestCallbacks_OfConcurrentGroupsAreStoredOnceEach(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		w := provider.NewWriter(s, provider.WriterLimits{Lanes: 4, Group: 50, Patience: time.Minute}, nil)
		var all sync.WaitGroup
		for n := range 400 {
			all.Go(func() {
				c := callbackOf("acme", fmt.Sprintf("e%03d", n%100), fmt.Sprint(n%100), noon)
				if err := w.Put(t.Context(), "eu", []provider.Callback{c}); err != nil {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		all.Wait()
		found, err := s.Callbacks(t.Context(), "eu", provider.Page{Ledger: "brand-eu", Provider: "acme", Limit: 1000})
		if err != nil || len(found) != 100 {
			t.Errorf("%d callbacks, %v", len(found), err)
		}
	})
}

func ids(all []provider.Callback) string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.ID
	}
	return fmt.Sprint(names)
}

func TestCallbacks_OpenOnesComeByPaymentAndTimeWithAllThatWaitBeside(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		first, second, later, lone := callbackOf("acme", "b", "p1", noon), callbackOf("acme", "a", "p1", noon.Add(time.Second)), callbackOf("acme", "c", "p1", noon), callbackOf("acme", "d", "p2", noon)
		later.OccurredAt = time.Time{} // its time is then when it was received
		put(t, s, first, second, later, lone)
		lease := leaseOf(t, s, "eu")
		open := func(at time.Time) string {
			t.Helper()
			found, err := s.OpenCallbacks(t.Context(), "eu", at, 10)
			if err != nil {
				t.Fatal(err)
			}
			return ids(found)
		}
		if got := open(noon.Add(time.Minute)); got != "[b a c d]" && got != "[b c a d]" {
			t.Errorf("all: %s", got)
		}
		if got := open(noon.Add(-time.Minute)); got != "[]" {
			t.Errorf("before they came: %s", got)
		}
		second.State, second.DueAt, second.Cause, second.Attempts, second.Detail, second.Trigger = provider.Waiting, noon.Add(time.Hour), "contended", 1, "why", "settled"
		second.ChangedAt = noon.Add(time.Minute)
		first.State, lone.State, lone.Cause = provider.Applied, provider.Dead, "transition"
		if err := s.SettleCallbacks(t.Context(), lease, []provider.Callback{first, second, lone}); err != nil {
			t.Fatal(err)
		}
		if got := open(noon.Add(time.Minute)); got != "[a c]" && got != "[c a]" {
			t.Errorf("one that is due, and one that waits beside it: %s", got)
		}
		got, err := s.Callback(t.Context(), "eu", "brand-eu", "acme", "a")
		second.Raw.Bytes = got.Raw.Bytes
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", second) {
			t.Errorf("got  %+v\nwant %+v, %v", got, second, err)
		}
		later.State = provider.Applied
		if err := s.SettleCallbacks(t.Context(), lease, []provider.Callback{later}); err != nil {
			t.Fatal(err)
		}
		if got := open(noon.Add(time.Minute)); got != "[]" {
			t.Errorf("nothing is due: %s", got)
		}
		tallies, err := s.TallyCallbacks(t.Context(), "eu")
		if err != nil || len(tallies) != 2 || tallies[0].State != provider.Waiting || tallies[0].Count != 1 || !tallies[0].Oldest.Equal(noon.Add(time.Second)) || tallies[1].Cause != "transition" {
			t.Errorf("%+v, %v", tallies, err)
		}
		stale := lease
		stale.Epoch--
		if err := s.SettleCallbacks(t.Context(), stale, []provider.Callback{later}); !errors.Is(err, event.ErrFenced) {
			t.Errorf("under an old lease: %v", err)
		}
	})
}

func leaseOf(t *testing.T, s *store.Store, home id.Home) event.Lease {
	t.Helper()
	tenure, taken, err := s.Acquire(t.Context(), home, "test", time.Hour)
	if err != nil || !taken {
		t.Fatalf("no lease: %v", err)
	}
	return tenure.Lease
}

func TestCallbacks_DeadOnesAreListedReplayedAndDiscarded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := store.New(d.DB)
		o := &provider.Operators{Store: s, HomeOf: func(context.Context, id.Ledger) (id.Home, error) { return "eu", nil }}
		for i, cause := range []string{"", "transition", "transition", "unknown_type", "unknown_type"} {
			c := callbackOf("acme", fmt.Sprint("e", i), fmt.Sprint(i), noon)
			if c.Cause = cause; cause != "" {
				c = c.Opening()
			}
			put(t, s, c)
		}
		list := func(state provider.State, after string, limit int) string {
			t.Helper()
			found, err := o.List(t.Context(), provider.Page{Ledger: "brand-eu", Provider: "acme", State: state, After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if slices.ContainsFunc(found, func(c provider.Callback) bool { return len(c.Raw.Bytes) > 0 }) {
				t.Error("a list has bodies")
			}
			return ids(found)
		}
		if got := list("", "", 3) + list("", "e2", 3) + list(provider.Dead, "", 10) + list(provider.Dead, "e1", 1) + list(provider.Received, "", 10); got != "[e0 e1 e2][e3 e4][e1 e2 e3 e4][e2][e0]" {
			t.Errorf("lists: %s", got)
		}
		all := provider.Selection{Ledger: "brand-eu", Provider: "acme"}
		one, caused := all, all
		one.IDs, caused.Cause = []string{"e0", "e1"}, "unknown_type"
		if n, err := o.Replay(t.Context(), one); err != nil || n != 1 {
			t.Errorf("replay of one dead and one open: %d, %v", n, err)
		}
		if n, err := o.Discard(t.Context(), caused, "booked by hand"); err != nil || n != 2 {
			t.Errorf("discard by cause: %d, %v", n, err)
		}
		if _, err := o.Discard(t.Context(), all, " "); errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("discard without a reason: %v", err)
		}
		if got := list(provider.Dead, "", 10) + list(provider.Discarded, "", 10) + list(provider.Received, "", 10); got != "[e2][e3 e4][e0 e1]" {
			t.Errorf("lists: %s", got)
		}
		got, err := o.Get(t.Context(), "brand-eu", "acme", "e1")
		if err != nil || got.State != provider.Received || !got.OpenedAt.After(noon) && time.Now().After(noon.Add(time.Hour)) || got.Attempts != 0 || !got.ReceivedAt.Equal(noon) {
			t.Errorf("replayed: %+v, %v", got, err)
		}
		if got, err := o.Get(t.Context(), "brand-eu", "acme", "e3"); err != nil || got.Detail != "; discarded: booked by hand" {
			t.Errorf("discarded: %+v, %v", got, err)
		}
	})
}
