package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func orders() Subscription {
	return Subscription{
		ID: "orders", State: Active, Homes: []id.Home{"eu"}, Filter: Filter{Types: []Type{"wallet.*"}},
		Sink: SinkSpec{Kind: "webhook", Region: "europe-west1", Settings: json.RawMessage(`{"url":"https://example.com"}`)},
	}
}

func TestSubscription_IsRefused(t *testing.T) {
	if err := orders().Validate(); err != nil {
		t.Fatal(err)
	}
	grant := Grant{Home: "us", Region: "europe-west1", Reason: "contract 7"}
	for _, row := range []struct {
		field string
		edit  func(*Subscription)
	}{
		{"id", func(s *Subscription) { s.ID = "Orders" }},
		{"id", func(s *Subscription) { s.ID = "" }},
		{"id", func(s *Subscription) { s.ID = strings.Repeat("a", 65) }},
		{"state", func(s *Subscription) { s.State = "asleep" }},
		{"homes", func(s *Subscription) { s.Homes = nil }},
		{"homes", func(s *Subscription) { s.Homes = make([]id.Home, MaxSubscriptionHomes+1) }},
		{"homes[0]", func(s *Subscription) { s.Homes = []id.Home{"EU"} }},
		{"homes[1]", func(s *Subscription) { s.Homes = []id.Home{"eu", "eu"} }},
		{"filter.types[0]", func(s *Subscription) { s.Filter.Types = []Type{"x"} }},
		{"sink.kind", func(s *Subscription) { s.Sink.Kind = "carrier pigeon" }},
		{"sink.region", func(s *Subscription) { s.Sink.Region = "a\nb" }},
		{"sink.settings", func(s *Subscription) { s.Sink.Settings = nil }},
		{"sink.settings", func(s *Subscription) { s.Sink.Settings = json.RawMessage(`[]`) }},
		{"sink.settings", func(s *Subscription) { s.Sink.Settings = json.RawMessage(`{"a":}`) }},
		{"sink.settings", func(s *Subscription) {
			s.Sink.Settings = json.RawMessage(`{"a":"` + strings.Repeat("x", MaxSettings) + `"}`)
		}},
		{"residency_grants[0].home", func(s *Subscription) { s.Grants = []Grant{{Home: "U S", Region: grant.Region, Reason: grant.Reason}} }},
		{"residency_grants[1].region", func(s *Subscription) { s.Grants = []Grant{grant, {Home: "us", Reason: grant.Reason}} }},
		{"residency_grants[0].reason", func(s *Subscription) { s.Grants = []Grant{{Home: "us", Region: grant.Region, Reason: " "}} }},
		{"residency_grants[0].reason", func(s *Subscription) {
			s.Grants = []Grant{{Home: "us", Region: grant.Region, Reason: strings.Repeat("x", 256)}}
		}},
		{"metadata", func(s *Subscription) { s.Metadata = ledger.Metadata{"": "x"} }},
	} {
		s := orders()
		row.edit(&s)
		if e := errs.Of(s.Validate()); s.Validate() == nil || e.Code != errs.InvalidArgument || e.Fields["field"] != row.field {
			t.Errorf("%v, want %s", e, row.field)
		}
	}
}

func TestCheckResidency_KeepsEventsInTheRegionOfTheirHome(t *testing.T) {
	grant := Grant{Home: "us", Region: "europe-west1", Reason: "contract 7"}
	for _, row := range []struct {
		what    string
		edit    func(*Subscription)
		refused id.Home
		says    string
	}{
		{"the same region", func(*Subscription) {}, "", ""},
		{
			"another region", func(s *Subscription) { s.Sink.Region = "us-east1" }, "eu",
			"use a sink in europe-west1, or add a residency grant for home eu and region us-east1",
		},
		{"one home of two", func(s *Subscription) { s.Homes = []id.Home{"eu", "us"} }, "us", "use a sink in us-east1"},
		{"one home of two, granted", func(s *Subscription) { s.Homes, s.Grants = []id.Home{"eu", "us"}, []Grant{grant} }, "", ""},
		{"a grant for another region", func(s *Subscription) {
			s.Homes, s.Grants = []id.Home{"us"}, []Grant{{Home: "us", Region: "asia-east1", Reason: "x"}}
		}, "us", "use a sink in us-east1"},
		{"a grant for another home", func(s *Subscription) {
			s.Homes, s.Grants = []id.Home{"us"}, []Grant{{Home: "eu", Region: "europe-west1"}}
		}, "us", ""},
		{"a sink that says nothing", func(s *Subscription) { s.Sink.Region = "" }, "eu", "say in which region the sink runs"},
		{"a grant that says nothing", func(s *Subscription) { s.Sink.Region, s.Grants = "", []Grant{{Home: "eu"}} }, "eu", "say in which region"},
		{"a home that nobody knows", func(s *Subscription) { s.Homes = []id.Home{"mars"} }, "mars", "topology does not list the home mars"},
		{"a home that nobody knows, granted", func(s *Subscription) {
			s.Homes, s.Grants = []id.Home{"mars"}, []Grant{{Home: "mars", Region: "europe-west1", Reason: "x"}}
		}, "", ""},
	} {
		s := orders()
		row.edit(&s)
		err := CheckResidency(s, regionOf)
		if row.refused == "" {
			if err != nil {
				t.Errorf("%s: %v", row.what, err)
			}
			continue
		}
		e := errs.Of(err)
		region, _ := regionOf(row.refused)
		if !errors.Is(err, errs.ErrResidencyRefused) || e.Code != errs.FailedPrecondition || e.Fields["home"] != string(row.refused) ||
			e.Fields["region"] != region || e.Fields["sink_region"] != s.Sink.Region || !strings.Contains(e.Message, row.says) {
			t.Errorf("%s: %v", row.what, err)
		}
		if err := CheckResidency(s, nil); err != nil {
			t.Errorf("%s, without a topology: %v", row.what, err)
		}
	}
	if errs.ErrResidencyRefused.Fields != nil {
		t.Error("the refusal of one stays with all")
	}
}

func TestSees_NamedAndGrantedHomes(t *testing.T) {
	s := orders()
	s.Grants = []Grant{{Home: "us", Region: "europe-west1"}, {Home: "us", Region: "europe-west1"}, {Home: "eu", Region: "europe-west1"}, {Home: "apac", Region: "elsewhere"}}
	if got := s.Sees(); !slices.Equal(got, []id.Home{"eu", "us"}) || len(s.Homes) != 1 {
		t.Errorf("%v", got)
	}
}

func TestSecret_ShowsItselfInNoFormat(t *testing.T) {
	s := Secret{ID: "s1", Value: []byte("hunter2")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, s); strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprint(string(s.Value))) {
			t.Errorf("%s shows it", format)
		}
	}
}

func FuzzParseSubscriptionID(f *testing.F) {
	for _, s := range []string{"orders", "Orders", "a_b", "-", "a\n", "é", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseSubscriptionID(s)
		plain := s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && s[0] >= 'a' && s[0] <= 'z'
		for _, r := range s {
			plain = plain && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-')
		}
		if (err == nil) != plain || err == nil && got != s {
			t.Fatalf("%q is %q: %v", s, got, err)
		}
	})
}
