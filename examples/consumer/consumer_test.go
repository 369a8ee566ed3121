package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"

	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// story makes events of a home as the server does: in order on each account, each with the account it is about and the default counter account.
func story(n int, pick func(int) int) []event {
	sequences := map[string]int64{}
	line := func(account string, counter bool) entry {
		sequences[account]++
		return entry{Ledger: "brand", Account: account, Sequence: sequences[account], Counter: counter, Balance: fmt.Sprint(sequences[account] * 100)}
	}
	events := make([]event, n)
	for i := range events {
		e := event{ID: fmt.Sprintf("t%04d", i), Type: "wallet.credit.committed", Home: "eu", Position: fmt.Sprint(i + 1)}
		a := fmt.Sprint("a", pick(5))
		if pick(3) == 0 {
			e.Type = "transaction.posted"
			e.Data.Entries = []entry{line(a, false), line(fmt.Sprint("b", pick(3)), false), line(a, false)}
		} else {
			e.Data.Entries = []entry{line(a, false), line("~counter", true)}
		}
		events[i] = e
	}
	return events
}

// whole tells whether an account has all sequences from 1 on.
func whole(a *account) bool { return len(a.got) == 1 && a.got[0][0] == 1 }

// Whatever comes twice and in whatever order: each event is acted on once, on each account in order, and in the end nothing waits.
func TestLedger_PutsInOrderWhatComesInAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := story(rapid.IntRange(1, 60).Draw(t, "n"), func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") })
		want := newLedger(time.Hour)
		for _, e := range events {
			want.take(e, time.Time{})
		}
		l := newLedger(time.Hour)
		again := 0
		for _, e := range rapid.Permutation(append(slices.Clone(events), events[:len(events)/3]...)).Draw(t, "order") {
			if l.knows(e.ID) {
				again++
				continue
			}
			l.take(e, time.Time{})
			for name, a := range l.accounts {
				if !strings.Contains(name, "~") && len(a.got) > 1 {
					t.Fatalf("%s was acted on out of order: %v", name, a.got)
				}
			}
		}
		got := l.summary()
		if again != len(events)/3 || got.Duplicates != again || got.Waiting != 0 || got.Events != len(events) || len(got.Missing) != 0 {
			t.Fatalf("%+v", got)
		}
		if !maps.Equal(got.Balances, want.summary().Balances) || !maps.Equal(got.Types, want.summary().Types) {
			t.Fatalf("%+v, in order it is %+v", got, want.summary())
		}
		for name, a := range l.accounts {
			if !whole(a) {
				t.Fatalf("%s: %v", name, a.got)
			}
		}
	})
}

// What never comes holds up its account for as long as patience lasts, others not at all, and is told.
func TestLedger_WaitsForAGapAndNotForEver(t *testing.T) {
	events := story(30, func(n int) int { return 1 % n }) // of one account
	other := event{ID: "other", Type: "x", Home: "eu"}
	other.Data.Entries = []entry{{Ledger: "brand", Account: "c", Sequence: 1, Balance: "5"}}
	l, now := newLedger(time.Minute), time.Unix(1, 0)
	for _, e := range slices.Concat(events[:10], events[12:20], []event{other}) {
		l.take(e, now)
	}
	if got := l.summary(); got.Events != 11 || got.Waiting != 8 || fmt.Sprint(got.Missing["brand/a1"]) != "[[11 12]]" || got.Balances["brand/c"] != "5" {
		t.Fatalf("%+v", got)
	}
	now = now.Add(time.Minute)
	l.expire(now)
	if got := l.summary(); got.Events != 19 || got.Waiting != 0 || fmt.Sprint(got.Missing["brand/a1"]) != "[[11 12]]" || got.Balances["brand/a1"] != "2000" {
		t.Fatalf("%+v", got)
	}
	l.take(events[20], now) // and after that it goes on
	l.take(events[11], now)
	if got := l.summary(); got.Events != 21 || fmt.Sprint(got.Missing["brand/a1"]) != "[[11 11]]" || got.Balances["brand/a1"] != "2100" {
		t.Fatalf("%+v", got)
	}
}

func TestSpans_AreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s spans
		set := map[int64]bool{}
		for _, n := range rapid.SliceOf(rapid.Int64Range(1, 30)).Draw(t, "n") {
			s, set[n] = s.with(n), true
		}
		gone := s.gaps()
		for i, r := range s {
			if r[0] > r[1] || i > 0 && s[i-1][1]+1 >= r[0] {
				t.Fatalf("%v", s)
			}
		}
		for n := int64(1); n <= 31; n++ {
			after := n
			for set[after] {
				after++
			}
			last := len(s) > 0 && n < s[len(s)-1][1]
			if s.after(n) != after || last && (gone.after(n) != n) == set[n] {
				t.Fatalf("%d: %v gaps %v", n, s, gone)
			}
		}
	})
}

// post sends an event as the server does, signed by the library of Standard Webhooks.
func post(t testing.TB, h http.Handler, e event, spoil func(*http.Request)) int {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := webhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(e.ID, now, body)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("webhook-id", e.ID)
	r.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("webhook-signature", "v1a,bm9uZQ== "+signature)
	if spoil != nil {
		spoil(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

func newReceiver(t testing.TB, path string) receiver {
	t.Helper()
	keys, err := parseKeys([]string{"whsec_b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3RoZXI=", secret})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(path, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return receiver{keys: keys, store: s, now: time.Now}
}

func TestReceiver_TakesWhatIsSignedAndNothingElse(t *testing.T) {
	r := newReceiver(t, filepath.Join(t.TempDir(), "events"))
	e := story(1, func(int) int { return 1 })[0]
	for name, row := range map[string]struct {
		spoil func(*http.Request)
		code  int
	}{
		"a GET":             {func(q *http.Request) { q.Method = http.MethodGet }, 405},
		"no signature":      {func(q *http.Request) { q.Header.Del("webhook-signature") }, 401},
		"another body":      {func(q *http.Request) { q.Body = http.NoBody }, 401},
		"another id":        {func(q *http.Request) { q.Header.Set("webhook-id", "t2") }, 401},
		"an old request":    {func(q *http.Request) { q.Header.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix()-301, 10)) }, 401},
		"one of the future": {func(q *http.Request) { q.Header.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix()+302, 10)) }, 401},
	} {
		if code := post(t, r, e, row.spoil); code != row.code {
			t.Errorf("%s: %d, want %d", name, code, row.code)
		}
	}
	if code := post(t, r, event{ID: "x"}, nil); code != http.StatusUnprocessableEntity {
		t.Errorf("no event: %d", code)
	}
	if n := r.store.summary().Events; n != 0 {
		t.Fatalf("%d events were taken", n)
	}
	for range 2 {
		if code := post(t, r, e, nil); code != http.StatusNoContent {
			t.Errorf("a signed event: %d", code)
		}
	}
	if got := r.store.summary(); got.Events != 1 || got.Duplicates != 1 {
		t.Errorf("%+v", got)
	}
}

// A crash leaves half a line, at any byte: what was answered is there, and what was not comes again.
func TestStore_KeepsWhatItSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	events := story(20, func(n int) int { return 1 % n })
	r := newReceiver(t, path)
	for _, e := range events[:10] {
		post(t, r, e, nil)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range 60 {
		torn := filepath.Join(t.TempDir(), "torn")
		if err := os.WriteFile(torn, whole[:len(whole)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		again := newReceiver(t, torn)
		if n := again.store.summary().Events; n != 10 && (cut == 0 || n != 9) {
			t.Fatalf("cut by %d: %d events", cut, n)
		}
		for _, e := range events {
			post(t, again, e, nil)
		}
		if got := newReceiver(t, torn).store.summary(); got.Events != 20 || got.Waiting != 0 || got.Positions["eu"] != 20 {
			t.Fatalf("cut by %d: %+v", cut, got)
		}
	}
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(path, 0); err == nil {
		t.Error("a damaged store was opened")
	}
}

// streaming is a server that ends each stream after a few events, and repeats some.
type streaming struct {
	ledgerv1connect.UnimplementedEventServiceHandler
	events []event
	mu     sync.Mutex
	calls  int
	done   chan struct{}
}

func (s *streaming) Subscribe(ctx context.Context, r *connect.Request[ledgerv1.SubscribeRequest], out *connect.ServerStream[ledgerv1.SubscribeResponse]) error {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	if r.Msg.GetHome() != "eu" {
		return connect.NewError(connect.CodeInvalidArgument, nil)
	}
	from := max(0, int(r.Msg.GetAfter())-2)
	if err := out.Send(&ledgerv1.SubscribeResponse{What: &ledgerv1.SubscribeResponse_Heartbeat{Heartbeat: &ledgerv1.StreamPosition{Home: "eu"}}}); err != nil {
		return err
	}
	for _, e := range s.events[from:min(len(s.events), from+9)] {
		body, _ := json.Marshal(e)
		if err := out.Send(&ledgerv1.SubscribeResponse{What: &ledgerv1.SubscribeResponse_Event{Event: &ledgerv1.Event{CloudEvent: string(body)}}}); err != nil {
			return err
		}
	}
	if from+9 >= len(s.events) {
		close(s.done)
		<-ctx.Done()
	}
	return connect.NewError(connect.CodeUnavailable, nil)
}

func TestFollow_GoesOnWhereItWas(t *testing.T) {
	server := &streaming{events: story(40, func(n int) int { return 1 % n }), done: make(chan struct{})}
	_, handler := ledgerv1connect.NewEventServiceHandler(server)
	h := httptest.NewServer(handler)
	defer h.Close()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	go func() { <-server.done; time.AfterFunc(200*time.Millisecond, stop) }() // the last page is on its way
	var out bytes.Buffer
	if err := run(ctx, []string{"--subscribe", h.URL, "--home", "eu", "--store", filepath.Join(t.TempDir(), "events")}, nil, &out); err != nil {
		t.Fatal(err)
	}
	var got summary
	if err := json.Unmarshal(out.Bytes()[bytes.IndexByte(out.Bytes(), '{'):], &got); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if got.Events != 40 || got.Waiting != 0 || got.Positions["eu"] != 40 || got.Duplicates == 0 || server.calls < 4 {
		t.Errorf("%d calls: %+v", server.calls, got)
	}
	err := run(t.Context(), []string{"--subscribe", h.URL, "--home", "mars", "--store", filepath.Join(t.TempDir(), "events")}, nil, &out)
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("what the server refuses is tried again: %v", err)
	}
}

func TestParseEvent_ReadsTheExamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/events/examples/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := parseEvent(body); err != nil || e.Home == "" || e.place() == 0 && e.Type != "meridian.test" {
			t.Errorf("%s: %v %+v", file, err, e)
		}
	}
}

func FuzzParseEvent(f *testing.F) {
	f.Add([]byte(`{"id":"a","type":"b","position":"1","data":{"entries":[{"ledger":"l","account_id":"a","sequence":1}]}}`))
	f.Add([]byte(`{"id":"a","type":"b","data":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parseEvent(body)
		if err != nil {
			return
		}
		l := newLedger(0)
		if l.take(e, time.Time{}); l.summary().Events != 1 || l.summary().Waiting != 0 {
			t.Errorf("%+v is not acted on at once", e)
		}
	})
}
