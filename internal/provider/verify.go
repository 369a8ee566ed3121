package provider

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Request is all that a check may look at.
type Request struct {
	Header http.Header
	Body   []byte
	Remote netip.Addr          // who is at the other end of the connection
	Peer   []*x509.Certificate // what the other end presented in TLS, its own first; the handshake has proved that it has the key
}

// Check says whether a request comes from the provider: nil, or a *Refusal. It is a function of its arguments, safe for concurrent use, and
// takes the same time for any wrong signature.
type Check func(r *Request, now time.Time) error

// Refusal is why a request is not the provider's. Neither text holds anything secret, or anything of the body.
type Refusal struct {
	Reason string // one word, for metrics
	Detail string
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Detail }

// Reasons of refusals by checks.
const (
	ReasonUnsigned    = "unsigned"    // the signature is missing or has not its form
	ReasonSignature   = "signature"   // it is that of something else
	ReasonStale       = "stale"       // the time that was signed is too far from now
	ReasonAddress     = "address"     // it comes from an address that is not allowed
	ReasonCertificate = "certificate" // the client certificate is missing, or another one
)

func refusal(reason, detail string) *Refusal { return &Refusal{reason, detail} }

// maxSignatures bounds how many signatures of one request are compared.
const maxSignatures = 16

func mac(secret []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, secret)
	for _, part := range parts {
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// matches compares every signature with every secret, and does not stop at the first.
func matches(secrets, signatures [][]byte, parts ...string) bool {
	found := false
	for _, secret := range secrets {
		want := mac(secret, parts...)
		for _, signature := range signatures {
			if hmac.Equal(want, signature) {
				found = true
			}
		}
	}
	return found
}

// only returns the value of a header that must be there once.
func only(h http.Header, name string) (string, bool) {
	values := h.Values(name)
	if len(values) != 1 || values[0] == "" {
		return "", false
	}
	return values[0], true
}

// fresh tells whether seconds since 1970, as decimal digits, are near enough to now.
func fresh(text string, now time.Time, tolerance time.Duration) error {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || len(text) > 12 {
		return refusal(ReasonUnsigned, "the timestamp is not in seconds since 1970")
	}
	if age := now.Sub(time.Unix(seconds, 0)); age.Abs() > tolerance {
		return refusal(ReasonStale, "the timestamp is "+age.Round(time.Second).String()+" old")
	}
	return nil
}

// Stripe checks a header as in t=1492774577,v1=5257a8…: the hex HMAC-SHA256 of t, a dot and the body. Signatures of other versions are passed over;
// one of any secret will do, so that secrets can be rotated.
func Stripe(header string, secrets [][]byte, tolerance time.Duration) Check {
	return func(r *Request, now time.Time) error {
		value, there := only(r.Header, header)
		if !there {
			return refusal(ReasonUnsigned, "the header "+header+" is not there once")
		}
		stamp, signatures := "", [][]byte{}
		for part := range strings.SplitSeq(value, ",") {
			key, text, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch key {
			case "t":
				if stamp != "" {
					return refusal(ReasonUnsigned, "there are two timestamps")
				}
				stamp = text
			case "v1":
				if signature, err := hex.DecodeString(text); err == nil && len(signatures) < maxSignatures {
					signatures = append(signatures, signature)
				}
			}
		}
		if stamp == "" || len(signatures) == 0 {
			return refusal(ReasonUnsigned, "the header "+header+" has no t and v1")
		}
		if !matches(secrets, signatures, stamp, ".", string(r.Body)) {
			return refusal(ReasonSignature, "no signature is by a secret that is active here")
		}
		return fresh(stamp, now, tolerance)
	}
}

// StandardWebhooks checks the three headers of the Standard Webhooks specification 1.0, which begin with prefix (webhook, or svix): the base64
// HMAC-SHA256 of id, timestamp and body, with dots between. Asymmetric signatures (v1a) are passed over.
func StandardWebhooks(prefix string, secrets [][]byte, tolerance time.Duration) Check {
	return func(r *Request, now time.Time) error {
		message, hasID := only(r.Header, prefix+"-id")
		stamp, hasStamp := only(r.Header, prefix+"-timestamp")
		value, hasSignature := only(r.Header, prefix+"-signature")
		if !hasID || !hasStamp || !hasSignature {
			return refusal(ReasonUnsigned, "the headers "+prefix+"-id, -timestamp and -signature are not there once each")
		}
		var signatures [][]byte
		for one := range strings.FieldsSeq(value) {
			text, isHMAC := strings.CutPrefix(one, "v1,")
			if signature, err := base64.StdEncoding.DecodeString(text); isHMAC && err == nil && len(signatures) < maxSignatures {
				signatures = append(signatures, signature)
			}
		}
		if len(signatures) == 0 {
			return refusal(ReasonUnsigned, "the header "+prefix+"-signature has no v1")
		}
		if !matches(secrets, signatures, message, ".", stamp, ".", string(r.Body)) {
			return refusal(ReasonSignature, "no signature is by a secret that is active here")
		}
		return fresh(stamp, now, tolerance)
	}
}

// Adyen checks the notifications of Adyen: each item of the body carries the base64 HMAC-SHA256 of eight of its fields. All have to be right. What is
// signed has no time in it; a notification that is sent again is known by its id. Fields are read as the normaliser reads them: a second reading
// of the same body, with other rules for repeated or misspelt names, would let one item be checked and another one applied.
func Adyen(secrets [][]byte) Check {
	return func(r *Request, _ time.Time) error {
		items := adyenItems(r.Body)
		if len(items) == 0 || len(items) > maxItems {
			return refusal(ReasonUnsigned, "the body has no notificationItems that can be read")
		}
		for _, item := range items {
			text, _ := textAt(item, adyenSignature)
			signature, err := base64.StdEncoding.DecodeString(text)
			if err != nil || len(signature) == 0 {
				return refusal(ReasonUnsigned, "an item has no additionalData.hmacSignature")
			}
			if !matches(secrets, [][]byte{signature}, adyenSigned(item)) {
				return refusal(ReasonSignature, "the signature of an item is by no secret that is active here")
			}
		}
		return nil
	}
}

var (
	adyenList      = Path{"notificationItems", "[]", "NotificationRequestItem"}
	adyenSignature = Path{"additionalData", "hmacSignature"}
	adyenFields    = []Path{
		{"pspReference"}, {"originalReference"}, {"merchantAccountCode"}, {"merchantReference"}, {"amount", "value"}, {"amount", "currency"}, {"eventCode"}, {"success"},
	}
)

// adyenItems returns the items of a body, or none where one of them is no object.
func adyenItems(body []byte) []any {
	tree, err := decodeJSON(body)
	if err != nil {
		return nil
	}
	items, _ := spread(tree, adyenList)
	return items
}

// adyenSigned is what the signature of an item is over.
func adyenSigned(item any) string {
	values := make([]string, len(adyenFields))
	for i, path := range adyenFields {
		values[i], _ = textAt(item, path)
	}
	return strings.Join(values, ":")
}
