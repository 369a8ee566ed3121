package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// What Parse takes can be sent, and goes where it says.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"url":"https://hooks.example:8443/in?x=1","timeout":"2.5s","parallel":3,"headers":{"x-tenant":"7"}}`,
		`{"url":"https://127.1/"}`, `{"url":"https://[::ffff:7f00:1]/"}`, `{"url":"https://a@b.example"}`,
		`{"url":"https://a.example","headers":{"a\r\n":"b"}}`,
		`{"url":"https://a.example","ca_pem":"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"}`, `[]`, `{"url":"HTTPS://A.example:443"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text, Options{})
		if err != nil {
			return
		}
		if s.URL.Scheme != "https" || s.URL.Hostname() == "" || s.URL.User != nil || s.URL.Fragment != "" {
			t.Errorf("takes %s", s.URL)
		}
		if s.Timeout < MinTimeout || s.Timeout > MaxTimeout || s.Parallel < 1 || s.Parallel > MaxParallel {
			t.Errorf("takes %v, %d", s.Timeout, s.Parallel)
		}
		var wire strings.Builder
		r := &http.Request{Method: http.MethodPost, URL: s.URL, Header: fixedHeader(s)}
		if err := r.Write(&wire); err != nil {
			t.Fatalf("can not be sent: %v", err)
		}
		// the request line, Host, Content-Length, ours and the configured ones save that which is not sent, and an empty line, ended
		lines := strings.Split(wire.String(), "\r\n")
		if want := 1 + 1 + len(fixedHeader(s)) - 1 + 2; len(lines) < want || len(lines) > want+1 || strings.ContainsAny(strings.Join(lines, ""), "\r\n") {
			t.Errorf("%d lines, of %d headers:\n%s", len(lines), len(s.Headers), wire.String())
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"0", "120", "-1", "1e3", "99999999999999999999", " 5 ",
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "",
	} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value string) {
		if after := retryAfter(value, now); after < 0 || after > MaxRetryAfter {
			t.Errorf("%q: %v", value, after)
		}
	})
}

// What is shown of an answer is one line, bounded and printable.
func FuzzClean(f *testing.F) {
	f.Add("a\x1b[0mb\u202ec\xff")
	f.Fuzz(func(t *testing.T, text string) {
		shown := clean(text)
		if len([]rune(shown)) > maxExcerpt || strings.ContainsAny(shown, "\r\n\t\x00\x1b\u202e\u2028") || strings.ToValidUTF8(shown, "") != shown {
			t.Errorf("%q becomes %q", text, shown)
		}
		if clean(shown) != shown {
			t.Errorf("%q is cleaned again to %q", shown, clean(shown))
		}
	})
}
