package simulate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

var wild = simulate.Profile{
	Seed: 7, Payments: 200, Spread: time.Minute, Delay: 3 * time.Second, Duplicate: 0.3, Reorder: 0.2, Lose: 0.1, Contradict: 0.1, RetryFor: 72 * time.Hour,
}

func TestScript_IsTheSameForASeedAndHasEveryKindOfMischief(t *testing.T) {
	s := simulate.Write(wild, nil)
	if !reflect.DeepEqual(s, simulate.Write(wild, nil)) {
		t.Error("the same seed made another script")
	}
	other := wild
	other.Seed++
	if reflect.DeepEqual(s, simulate.Write(other, nil)) {
		t.Error("another seed made the same script")
	}
	why, late := map[string]int{}, 0
	seen := map[string]time.Duration{} // the last event of each payment that was posted
	posted := map[string]bool{}
	for i, p := range s.Postings {
		if i > 0 && p.At < s.Postings[i-1].At {
			t.Fatal("postings are not in the order of time")
		}
		why[p.Why]++
		e := p.Events[0]
		posted[e.ID] = true
		if p.Why == simulate.First {
			if e.At < seen[e.Payment] {
				late++
			}
			seen[e.Payment] = max(seen[e.Payment], e.At)
		}
	}
	for _, e := range s.Lost {
		if posted[e.ID] {
			t.Errorf("%s is lost and posted", e.ID)
		}
	}
	if why[simulate.First]+len(s.Lost) != len(s.Events) || why[simulate.Duplicate] < 100 || why[simulate.Contradiction] < 30 || late < 30 || len(s.Lost) < 20 {
		t.Errorf("%d events: %v, %d out of order, %d lost", len(s.Events), why, late, len(s.Lost))
	}
}

func TestScript_AFloodIsOneMomentAndABatchOneRequest(t *testing.T) {
	flood := wild
	flood.Flood, flood.Payments, flood.Callbacks = true, 4000, 10_000
	s := simulate.Write(flood, nil)
	if len(s.Postings) != 10_000 || s.Postings[9_999].At != 0 {
		t.Errorf("%d postings until %s", len(s.Postings), s.Postings[len(s.Postings)-1].At)
	}
	flood.Batch = 100
	if s := simulate.Write(flood, nil); len(s.Postings) != 100 || len(s.Postings[0].Events) != 100 {
		t.Errorf("%d requests", len(s.Postings))
	}
}

// receiver is away at first, and remembers what it took.
type receiver struct {
	mu    sync.Mutex
	until time.Time
	clock *simulate.Clock
	took  map[string]int
}

func (r *receiver) post(_ context.Context, q simulate.Request) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clock.Now().Before(r.until) {
		return http.StatusServiceUnavailable, nil
	}
	var e struct{ ID string }
	if err := json.Unmarshal(q.Body, &e); err != nil {
		return 0, err
	}
	r.took[e.ID]++
	return http.StatusOK, nil
}

func TestPlay_RetriesForHoursInNoTime(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := simulate.NewClock(start)
	r := &receiver{until: start.Add(30 * time.Hour), clock: clock, took: map[string]int{}}
	s := simulate.Write(wild, nil)
	report, err := simulate.Play(t.Context(), s, simulate.Options{Profile: wild, Form: simulate.Forms([]byte("secret"))["stripe"], Post: r.post, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	if report.Taken != len(s.Postings) || report.GivenUp != 0 || report.Simulated < 30*time.Hour || report.Simulated > 32*time.Hour || report.Took > 20*time.Second {
		t.Errorf("%d of %d taken, %d given up, %s in %s", report.Taken, len(s.Postings), report.GivenUp, report.Simulated, report.Took)
	}
	if tries := report.Refused / len(s.Postings); tries < 30 || tries > 60 {
		t.Errorf("each was refused about %d times in 30 hours", tries)
	}
	if len(r.took) != len(s.Posted()) {
		t.Errorf("%d events arrived of %d", len(r.took), len(s.Posted()))
	}
	impatient := wild
	impatient.RetryFor = time.Hour
	report, err = simulate.Play(t.Context(), s, simulate.Options{
		Profile: impatient, Form: simulate.Forms(nil)["none"], Clock: simulate.NewClock(start), Post: func(context.Context, simulate.Request) (int, error) { return 0, errors.New("no route") },
	})
	if err != nil || report.GivenUp != len(s.Postings) || report.Taken != 0 || report.Statuses[0] != report.Requests {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestPlay_EndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	_, err := simulate.Play(ctx, simulate.Write(wild, nil), simulate.Options{
		Profile: wild, Form: simulate.Forms(nil)["none"], Post: func(context.Context, simulate.Request) (int, error) { stop(); return 200, nil },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestDesk_TellsTheTruthAsOfNow(t *testing.T) {
	s := simulate.Write(simulate.Profile{Seed: 1, Payments: 50, Lose: 1}, nil)
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	clock := simulate.NewClock(start)
	d := simulate.NewDesk(s, start, clock.Now)
	get := func(reference string) (int, simulate.Status) {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/status/"+reference, nil))
		var got simulate.Status
		_ = json.Unmarshal(w.Body.Bytes(), &got)
		return w.Code, got
	}
	settled := ""
	for _, e := range s.Events {
		if e.Type == "payment.settled" {
			settled = e.Reference
			break
		}
	}
	if code, got := get(settled); code != 200 || got.State != "authorized" {
		t.Errorf("at first %d %+v", code, got)
	}
	clock.Forward(start.Add(2 * time.Second))
	if code, got := get(settled); code != 200 || got.State != "settled" || got.Currency != "EUR" {
		t.Errorf("later %d %+v", code, got)
	}
	if code, _ := get("nobody"); code != 404 {
		t.Errorf("unknown: %d", code)
	}
}

// What the simulated provider signs is what the checks of the configuration want, in the forms that the example file reads.
func TestForms_AreReadByTheExampleFile(t *testing.T) {
	t.Setenv("ACME_SECRET", "whsec_of_the_tests_of_acme")
	t.Setenv("ADYEN_HMAC_KEY", "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056")
	text, err := os.ReadFile("../../../examples/providers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config, err := provider.Parse("providers.yaml", []byte(strings.Replace(string(text), "      - scheme: ip\n        allow: [127.0.0.0/8, 203.0.113.0/24]\n", "", 1)), provider.System)
	if err != nil {
		t.Fatal(err)
	}
	s := simulate.Write(simulate.Profile{Seed: 3, Payments: 40}, nil)
	now := time.Now()
	key := []byte{0x44, 0x78, 0x2D, 0xEF, 0x54, 0x7A, 0xAA, 0x06, 0xC9, 0x10, 0xC4, 0x39, 0x32, 0xB1, 0xEB, 0x0C, 0x71, 0xFC, 0x68, 0xD9, 0xD0, 0xC0, 0x57, 0x55, 0x0C, 0x48, 0xEC, 0x2A, 0xCF, 0x6B, 0xA0, 0x56}
	// What the example file makes of the simulated words. A refund is a payment of its own, so that one which nobody asked for is unknown.
	triggers := map[string]string{
		"payment.authorized": "authorize", "payment.captured": "capture", "payment.settled": "settle", "payment.declined": "void", "payment.refunded": provider.Unknown,
	}
	for name, form := range map[provider.Name]simulate.Form{
		"acme": simulate.Forms([]byte("whsec_of_the_tests_of_acme"))["stripe"], "adyen-eu": simulate.Forms(key)["adyen"],
	} {
		a := config.Accounts[name]
		size := 1
		if form.Many {
			size = len(s.Events)
		}
		for at := 0; at < len(s.Events); at += size {
			r, err := form.Render(s.Events[at:at+size], now, now)
			if err != nil {
				t.Fatal(err)
			}
			request := &provider.Request{Header: r.Header, Body: r.Body}
			for _, check := range a.Checks {
				if err := check(request, now); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			changed := *request
			changed.Body = bytes.Replace(r.Body, []byte(`EUR`), []byte(`USD`), 1)
			if err := a.Checks[0](&changed, now); err == nil {
				t.Errorf("%s: a changed body passes", name)
			}
			for i, e := range a.Normalise(request, "eu", now) {
				want := s.Events[at+i]
				trigger := triggers[want.Type]
				if (e.Cause == "") != (trigger != provider.Unknown) || e.Trigger != trigger || e.Payment != want.Payment || e.Reference != want.Reference || e.Amount.String() != fmt.Sprint(want.Amount) || e.OccurredAt.IsZero() {
					t.Errorf("%s: %+v of %+v", name, e, want)
				}
			}
		}
	}
}
