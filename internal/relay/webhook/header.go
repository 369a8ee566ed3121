package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Bounds on configured headers.
const (
	maxHeaders     = 32
	maxHeaderName  = 64
	maxHeaderValue = 1024
)

// reserved are headers that the sink, the connection or the specifications own. Authorization and cookies are refused because settings are
// shown to whoever may read the subscription: a receiver knows the sender by its signature.
var (
	reserved = []string{
		"accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host",
		"http2-settings", "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-idempotency-key",
	}
	reservedPrefixes = []string{"webhook-", "meridian-", "ce-", "proxy-"}
)

// parseHeaders refuses what would break a request or speak in the sink's name. Errors repeat no value.
func parseHeaders(configured map[string]string) (http.Header, error) {
	if len(configured) > maxHeaders {
		return nil, fmt.Errorf("at most %d headers", maxHeaders)
	}
	headers := make(http.Header, len(configured))
	for name, value := range configured {
		if !isToken(name) {
			return nil, fmt.Errorf("the name of a header is 1 to %d of letters, digits and !#$%%&'*+-.^_`|~", maxHeaderName)
		}
		lower, key := strings.ToLower(name), http.CanonicalHeaderKey(name)
		if slices.Contains(reserved, lower) || slices.ContainsFunc(reservedPrefixes, func(p string) bool { return strings.HasPrefix(lower, p) }) {
			return nil, errors.New("header " + lower + " is not for settings: the sink sets it, or it would show a credential")
		}
		if headers[key] != nil {
			return nil, errors.New("header " + lower + " is named twice")
		}
		if !isValue(value) {
			return nil, fmt.Errorf("the value of header %s is not 0 to %d printable ASCII characters without spaces around", lower, maxHeaderValue)
		}
		headers[key] = []string{value}
	}
	return headers, nil
}

func isToken(s string) bool {
	if s == "" || len(s) > maxHeaderName {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

func isValue(s string) bool {
	if len(s) > maxHeaderValue || s != strings.TrimSpace(s) {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
