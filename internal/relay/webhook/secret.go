package webhook

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

// How secrets are written.
const (
	prefixHMAC    = "whsec_"
	prefixEd25519 = "whsk_"
	minHMAC       = 24 // bytes
	maxHMAC       = 64
)

// signer returns one signature with its version. It is a function and not a value with a key in it, because no format, log or panic can
// print what a function has captured.
type signer func(content []byte) string

// MakeSecret returns a new secret for HMAC-SHA256, of 32 random bytes: whsec_ and base64.
func MakeSecret() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails: without randomness the program ends
	return append([]byte(prefixHMAC), base64.StdEncoding.EncodeToString(key)...)
}

// CheckSecret tells whether a secret can sign. The error says how one is written and nothing of this one.
func CheckSecret(value []byte) error {
	_, err := parseSecret(value)
	return err
}

func signersOf(secrets []event.Secret) ([]signer, error) {
	if len(secrets) == 0 || len(secrets) > event.MaxSecrets {
		return nil, errs.Invalid("secrets", fmt.Sprintf("a webhook signs with 1 to %d secrets", event.MaxSecrets))
	}
	signers := make([]signer, len(secrets))
	for i, secret := range secrets {
		var err error
		if signers[i], err = parseSecret(secret.Value); err != nil {
			return nil, errs.Invalid(fmt.Sprintf("secrets[%d].value", i), err.Error())
		}
	}
	return signers, nil
}

var (
	errUnknownSecret = errors.New("a secret of a webhook starts with whsec_ (HMAC-SHA256) or whsk_ (Ed25519 private key)")
	errHMACSecret    = fmt.Errorf("whsec_ is followed by the base64 of %d to %d random bytes", minHMAC, maxHMAC)
	errEd25519Secret = errors.New("whsk_ is followed by the base64 of an Ed25519 private key: 32 bytes of seed, or 64 of seed and public key")
)

func parseSecret(value []byte) (signer, error) {
	// The errors of base64 tell where it broke, and so about the secret; they stay here.
	if text, ok := strings.CutPrefix(string(value), prefixHMAC); ok {
		key, err := decode(text)
		if err != nil || len(key) < minHMAC || len(key) > maxHMAC {
			return nil, errHMACSecret
		}
		return signHMAC(key), nil
	}
	if text, ok := strings.CutPrefix(string(value), prefixEd25519); ok {
		key, err := decode(text)
		if err != nil {
			return nil, errEd25519Secret
		}
		return parseEd25519(key)
	}
	return nil, errUnknownSecret
}

// decode is strict: base64 of Go skips line breaks, and what is shown in one form is to be stored in one form.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

func signHMAC(key []byte) signer {
	return func(content []byte) string {
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
}

func parseEd25519(key []byte) (signer, error) {
	if len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
		return nil, errEd25519Secret
	}
	private := ed25519.NewKeyFromSeed(key[:ed25519.SeedSize])
	if len(key) == ed25519.PrivateKeySize && !bytes.Equal(private, key) { // a foreign public half makes signatures that give the key away
		return nil, errEd25519Secret
	}
	return func(content []byte) string {
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, content))
	}, nil
}
