package webhook

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Causes of answers.
const (
	causeGone     = "gone"
	causeTooLarge = "too_large"
	causeRedirect = "redirect"
	cause4xx      = "status_4xx"
	cause5xx      = "status_5xx"
)

// verdict says what an answer means; nil is that the receiver has the event.
//
// Down is what speaks of the endpoint and not of the event, so that no event spends its attempts on it: a redirect, 410, and 429 and 503, which ask
// the sender to slow down. Poison is 413 alone: the event does not shrink, and to send it again is what costs. All else is Retry with attempts
// that the relay bounds, 400 and 422 included: most of these are a bad release of the receiver, and end with the next.
func (s *Sink) verdict(answer *http.Response, text string, body []byte) *sink.Error {
	code := answer.StatusCode
	e := &sink.Error{Verdict: sink.Retry, Detail: describeAnswer(code, text, body)}
	switch {
	case code >= 200 && code <= 299:
		return nil
	case code >= 300 && code <= 399:
		e.Verdict, e.Cause = sink.Down, causeRedirect
		e.Detail = fmt.Sprintf("the endpoint answered %s%s; redirects are not followed: set the url to where it leads", status(code), target(answer))
	case code == http.StatusGone:
		e.Verdict, e.Cause = sink.Down, causeGone
		e.Detail = "the endpoint answered 410 Gone: it wants no more events; change the url, pause or delete the subscription"
	case code == http.StatusRequestEntityTooLarge:
		e.Verdict, e.Cause = sink.Poison, causeTooLarge
		e.Detail = fmt.Sprintf("the endpoint takes no body of %d bytes: %s", len(body), e.Detail)
	case code == http.StatusTooManyRequests:
		e.Verdict, e.Cause = sink.Down, cause4xx
	case code == http.StatusServiceUnavailable:
		e.Verdict, e.Cause = sink.Down, cause5xx
	case code >= 400 && code <= 499:
		e.Cause = cause4xx
	case code >= 500 && code <= 599:
		e.Cause = cause5xx
	default: // 101, and what HTTP does not know
		e.Cause = causeProtocol
	}
	e.After = retryAfter(answer.Header.Get("Retry-After"), s.options.Now())
	return e
}

func status(code int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// target is the host that a redirect leads to; the rest of it may be a secret, as that of a url may.
func target(answer *http.Response) string {
	to, err := answer.Location()
	if err != nil || to.Host == "" {
		return ""
	}
	return " to " + to.Scheme + "://" + clean(to.Host)
}

func describeAnswer(code int, text string, body []byte) string {
	said := "the endpoint answered " + status(code)
	switch {
	case text == "":
		return said
	case repeats(text, body):
		return said + " and repeated the event"
	}
	return said + ": " + text
}

// repeats tells whether an answer quotes the event: details are shown to people who may not see what events say. Quotes inside JSON have
// backslashes.
func repeats(text string, body []byte) bool {
	const long = 20
	said, sent := bytes.ReplaceAll([]byte(text), []byte(`\`), nil), bytes.ReplaceAll(body, []byte(`\`), nil)
	for i := 0; i+long <= len(said); i++ {
		if bytes.Contains(sent, said[i:i+long]) {
			return true
		}
	}
	return false
}

// MaxRetryAfter bounds what Retry-After can ask for.
const MaxRetryAfter = time.Hour

// retryAfter reads the header, seconds or a date of HTTP; what can not be read, and the past, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		var seconds time.Duration
		for _, digit := range value {
			if seconds = seconds*10 + time.Duration(digit-'0'); seconds >= MaxRetryAfter/time.Second {
				return MaxRetryAfter
			}
		}
		return seconds * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
