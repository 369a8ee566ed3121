package webhook_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

func TestDeliver_JudgesTheStatus(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const date = "Sun, 01 Mar 2026 12:01:30 GMT"
	for _, row := range []struct {
		status  int
		after   string // Retry-After
		verdict sink.Verdict
		cause   string
		want    time.Duration
		detail  string
	}{
		{200, "", "", "", 0, ""},
		{201, "", "", "", 0, ""},
		{202, "5", "", "", 0, ""},
		{204, "", "", "", 0, ""},
		{299, "", "", "", 0, ""},
		{300, "", sink.Down, "redirect", 0, "redirects are not followed"},
		{301, "", sink.Down, "redirect", 0, "to https://elsewhere.example; redirects"},
		{304, "", sink.Down, "redirect", 0, ""},
		{307, "", sink.Down, "redirect", 0, "to https://elsewhere.example; redirects"},
		{308, "3", sink.Down, "redirect", 3 * time.Second, ""},
		{400, "", sink.Retry, "status_4xx", 0, "400 Bad Request: because of this"},
		{401, "", sink.Retry, "status_4xx", 0, "401 Unauthorized"},
		{403, "", sink.Retry, "status_4xx", 0, "403 Forbidden"},
		{404, "", sink.Retry, "status_4xx", 0, "404 Not Found"},
		{408, "", sink.Retry, "status_4xx", 0, ""},
		{409, "", sink.Retry, "status_4xx", 0, ""},
		{410, "", sink.Down, "gone", 0, "wants no more events"},
		{413, "", sink.Poison, "too_large", 0, "no body of " + strconv.Itoa(len(aBody)) + " bytes"},
		{422, "", sink.Retry, "status_4xx", 0, "422 Unprocessable Entity: because of this"},
		{425, "", sink.Retry, "status_4xx", 0, ""},
		{429, "7", sink.Down, "status_4xx", 7 * time.Second, "429 Too Many Requests"},
		{429, date, sink.Down, "status_4xx", 90 * time.Second, ""},
		{500, "", sink.Retry, "status_5xx", 0, "500 Internal Server Error: because of this"},
		{500, "11", sink.Retry, "status_5xx", 11 * time.Second, ""},
		{502, "", sink.Retry, "status_5xx", 0, ""},
		{503, "", sink.Down, "status_5xx", 0, "503 Service Unavailable"},
		{503, "120", sink.Down, "status_5xx", 2 * time.Minute, ""},
		{503, date, sink.Down, "status_5xx", 90 * time.Second, ""},
		{503, "999999999999999999999999", sink.Down, "status_5xx", time.Hour, ""},
		{503, "Sun, 01 Mar 2037 12:00:00 GMT", sink.Down, "status_5xx", time.Hour, ""},
		{503, "Sun, 01 Mar 2020 12:00:00 GMT", sink.Down, "status_5xx", 0, ""},
		{503, "soon", sink.Down, "status_5xx", 0, ""},
		{503, "-5", sink.Down, "status_5xx", 0, ""},
		{504, "", sink.Retry, "status_5xx", 0, ""},
		{599, "", sink.Retry, "status_5xx", 0, "599"},
	} {
		t.Run(strconv.Itoa(row.status)+" "+row.after, func(t *testing.T) {
			ca := newAuthority(t)
			calls := 0
			port := serve(t, ca.config(t), false, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				if row.after != "" {
					w.Header().Set("Retry-After", row.after)
				}
				w.Header().Set("Location", "https://elsewhere.example/private/path?token=1")
				w.WriteHeader(row.status)
				io.WriteString(w, "because of this")
			})
			s := open(t, given{port: port, ca: ca, options: webhook.Options{Now: func() time.Time { return now }}})
			e := deliver(t, s, message(1, aBody))
			expect(t, e, row.verdict, row.cause, row.detail)
			if e != nil && e.After != row.want {
				t.Errorf("not before %v, want %v", e.After, row.want)
			}
			if e != nil && strings.Contains(e.Detail, "token") {
				t.Errorf("the detail shows where a redirect leads: %s", e.Detail)
			}
			if calls != 1 {
				t.Errorf("%d calls", calls)
			}
		})
	}
}

func TestDeliver_CleansWhatTheEndpointSays(t *testing.T) {
	for _, row := range []struct{ name, answer, want string }{
		{"nothing", "", "the endpoint answered 500 Internal Server Error"},
		{"blanks", " \r\n\t ", "the endpoint answered 500 Internal Server Error"},
		{"lines", "one\r\n\r\n two\x00three", "the endpoint answered 500 Internal Server Error: one two three"},
		{"escapes", "\x1b[31mred\x1b[0m \u202eright to left\u200b", "the endpoint answered 500 Internal Server Error: [31mred [0m right to left"},
		{"broken UTF-8", "a\xff\xfeb", "the endpoint answered 500 Internal Server Error: a b"},
		{"long", strings.Repeat("ü", 500), "the endpoint answered 500 Internal Server Error: " + strings.Repeat("ü", 199) + "…"},
		{"the event", "can not parse " + aBody, "the endpoint answered 500 Internal Server Error and repeated the event"},
		{"the event in JSON", `{"got":` + strconv.Quote(aBody) + `}`, "the endpoint answered 500 Internal Server Error and repeated the event"},
		{"a part of the event in JSON", `{"got":"\"account\":\"user:42:eur\""}`, "the endpoint answered 500 Internal Server Error and repeated the event"},
		{"a part of the event", `bad "account":"user:42:eur"`, "the endpoint answered 500 Internal Server Error and repeated the event"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ca := newAuthority(t)
			port := serve(t, ca.config(t), false, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, row.answer)
			})
			if e := deliver(t, open(t, given{port: port, ca: ca}), message(1, aBody)); e == nil || e.Detail != row.want {
				t.Errorf("%+v, want %q", e, row.want)
			}
		})
	}
}
