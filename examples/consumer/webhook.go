package main

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// key verifies signatures of one version.
type key struct {
	version string
	verify  func(content, signature []byte) bool
}

// parseKeys reads secrets: whsec_ and base64 is HMAC-SHA256, whpk_ and base64 an Ed25519 public key. Errors repeat none.
func parseKeys(secrets []string) ([]key, error) {
	keys := make([]key, 0, len(secrets))
	for _, secret := range secrets {
		form, text, _ := strings.Cut(secret, "_")
		raw, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err == nil && form == "whsec" && len(raw) >= 24:
			keys = append(keys, key{"v1", func(content, signature []byte) bool {
				mac := hmac.New(sha256.New, raw)
				mac.Write(content)
				return hmac.Equal(mac.Sum(nil), signature)
			}})
		case err == nil && form == "whpk" && len(raw) == ed25519.PublicKeySize:
			keys = append(keys, key{"v1a", func(content, signature []byte) bool { return ed25519.Verify(raw, content, signature) }})
		default:
			return nil, errors.New("a secret is whsec_ and the base64 of 24 bytes or more, or whpk_ and that of an Ed25519 public key")
		}
	}
	return keys, nil
}

// tolerance is how far the clock of the sender may be away: an old request can not be sent again by somebody who saw it.
const tolerance = 5 * time.Minute

// verify tells whether a request was signed with any of the keys, by Standard Webhooks 1.0.0.
func verify(keys []key, h http.Header, body []byte, now time.Time) bool {
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > tolerance {
		return false
	}
	content := []byte(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body))
	for _, signature := range strings.Fields(h.Get("webhook-signature")) {
		version, text, _ := strings.Cut(signature, ",")
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		for _, k := range keys {
			if k.version == version && k.verify(content, raw) {
				return true
			}
		}
	}
	return false
}

const maxBody = 4 << 20

// receiver takes webhooks. The status says what the server does next: 2xx that the event is taken, 401 and 503 that it comes again. An event that
// nobody here understands is 422, which in the end is a dead letter for an operator to look at.
type receiver struct {
	keys  []key
	store *store
	now   func() time.Time
}

func (r receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "webhooks are posted", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody)) // as it came: JSON that was parsed and written again has another signature
	if err != nil {
		http.Error(w, "the body can not be read", http.StatusRequestEntityTooLarge)
		return
	}
	if !verify(r.keys, q.Header, body, r.now()) {
		http.Error(w, "no signature verifies", http.StatusUnauthorized)
		return
	}
	e, err := parseEvent(body)
	if err != nil || e.ID != q.Header.Get("webhook-id") {
		http.Error(w, "not understood", http.StatusUnprocessableEntity)
		return
	}
	if err := r.store.take(e); err != nil {
		http.Error(w, "the event can not be stored now", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
