package provider

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// RawMode says what is kept of a body.
type RawMode string

// The modes.
const (
	RawNone      RawMode = "none"      // nothing
	RawRedacted  RawMode = "redacted"  // its JSON, with listed values replaced
	RawEncrypted RawMode = "encrypted" // its bytes, by AES-256-GCM: a nonce of 12 bytes, then the sealed body
)

// Raw is what is kept of a body. Where several events came in one body, it is the part of one.
type Raw struct {
	Mode  RawMode
	KeyID string // of the key that opens it, where it is encrypted
	Bytes []byte
}

// KeySize is the length of a key for bodies, in bytes.
const KeySize = 32

// Vault seals bodies with its first key, and opens them with any. It is safe for concurrent use.
type Vault struct {
	first string
	keys  map[string]cipher.AEAD
}

// ErrSealed says that a body can not be opened: the key is not here, or the body is not the one that was sealed for this event.
var ErrSealed = errors.New("the body can not be opened with the keys that are here")

// NewVault returns one without keys; Add gives it some.
func NewVault() *Vault { return &Vault{keys: map[string]cipher.AEAD{}} }

// Add takes a key of KeySize bytes. The first one seals.
func (v *Vault) Add(id string, key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("a key has %d bytes", KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return fmt.Errorf("take a key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return fmt.Errorf("take a key: %w", err)
	}
	if len(v.keys) == 0 {
		v.first = id
	}
	v.keys[id] = aead
	return nil
}

// sealedFor is what a sealed body belongs to: an event by its id, without what contradicted adds to one.
func sealedFor(e Envelope) []byte {
	own, _, _ := strings.Cut(e.ID, contradiction)
	return []byte(string(e.Provider) + "/" + own)
}

// Seal encrypts the body of an event. What it returns opens for the same provider and event alone.
func (v *Vault) Seal(e Envelope, body []byte) Raw {
	aead := v.keys[v.first]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(body)+aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails: without randomness the program ends
	return Raw{Mode: RawEncrypted, KeyID: v.first, Bytes: aead.Seal(nonce, nonce, body, sealedFor(e))}
}

// Open decrypts the body of an event, or returns ErrSealed.
func (v *Vault) Open(e Envelope) ([]byte, error) {
	aead, known := v.keys[e.Raw.KeyID]
	if !known || len(e.Raw.Bytes) < aead.NonceSize() {
		return nil, ErrSealed
	}
	body, err := aead.Open(nil, e.Raw.Bytes[:aead.NonceSize()], e.Raw.Bytes[aead.NonceSize():], sealedFor(e))
	if err != nil {
		return nil, ErrSealed
	}
	return body, nil
}

// keep makes what is kept of a body; tree is its parsed form, or nil where it has none. It may change the tree.
func (a *Account) keep(e Envelope, body []byte, tree any) Raw {
	switch a.Keep {
	case RawEncrypted:
		return a.vault.Seal(e, body)
	case RawRedacted:
		if tree == nil { // what can not be read can not be redacted
			return Raw{Mode: RawNone}
		}
		for _, p := range a.Redact {
			redact(tree, p)
		}
		text, err := json.Marshal(tree)
		if err != nil {
			return Raw{Mode: RawNone}
		}
		return Raw{Mode: RawRedacted, Bytes: text}
	default:
		return Raw{Mode: RawNone}
	}
}
