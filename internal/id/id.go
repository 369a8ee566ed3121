// Package id holds the typed identifiers of the ledger.
//
// It promises that a value of one of its types is well-formed: a Parse function is the only way in for untrusted text, and it
// refuses control characters, spaces and anything that would need quoting in a log, a URL or a header. Identifiers that could be
// swapped by accident have different types. It relies on the standard library only.
package id

import (
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Err says that a text is no identifier of the wanted kind.
var Err = errors.New("malformed identifier")

// Home is where money legally lives: eu, us, apac. A topology maps each home to a region.
type Home string

// Ledger names one set of books; it has exactly one home.
type Ledger string

// Account names an account inside its ledger; the client chooses it (acc_42, user:42:eur).
type Account string

// Player names a person for whom payments are made, inside a ledger; the client chooses it, and does well to choose no name.
type Player string

// Key is a client's idempotency key, unique inside a ledger, for ever.
type Key string

// Reason is why a client moves money (payout, bet, fee); it chooses the default counter account of a debit or a credit.
type Reason string

// Transaction identifies a command, its journal row and all that came of it. A hold has the id of the command that made it.
type Transaction [16]byte

const (
	maxName = 128
	maxKey  = 255
)

// ParseHome reads 1 to 32 of a-z 0-9 -, starting with a letter.
func ParseHome(s string) (Home, error) {
	if len(s) > 32 || !lower(s) {
		return "", malformed("home", s, "1 to 32 of a-z 0-9 -, starting with a letter")
	}
	return Home(s), nil
}

// ParseLedger reads 1 to 64 of a-z 0-9 -, starting with a letter.
func ParseLedger(s string) (Ledger, error) {
	if len(s) > 64 || !lower(s) {
		return "", malformed("ledger", s, "1 to 64 of a-z 0-9 -, starting with a letter")
	}
	return Ledger(s), nil
}

// ParseAccount reads 1 to 128 letters, digits and _ . : / @ + ~ = -, starting with a letter or a digit.
func ParseAccount(s string) (Account, error) {
	if !name(s) {
		return "", malformed("account", s, "1 to 128 letters, digits and _.:/@+~=-, starting with a letter or a digit")
	}
	return Account(s), nil
}

// ParsePlayer reads what ParseAccount reads, of at most 64 characters.
func ParsePlayer(s string) (Player, error) {
	if len(s) > 64 || !name(s) {
		return "", malformed("player", s, "1 to 64 letters, digits and _.:/@+~=-, starting with a letter or a digit")
	}
	return Player(s), nil
}

// ParseReason reads what ParseAccount reads, of at most 64 characters.
func ParseReason(s string) (Reason, error) {
	if len(s) > 64 || !name(s) {
		return "", malformed("reason", s, "1 to 64 letters, digits and _.:/@+~=-, starting with a letter or a digit")
	}
	return Reason(s), nil
}

// ParseKey reads 1 to 255 printable ASCII characters without spaces.
func ParseKey(s string) (Key, error) {
	if s == "" || len(s) > maxKey {
		return "", malformed("idempotency key", s, "1 to 255 printable ASCII characters without spaces")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "", malformed("idempotency key", s, "1 to 255 printable ASCII characters without spaces")
		}
	}
	return Key(s), nil
}

// ParseTransaction reads the 36-character form of a UUID, in lower or upper case.
func ParseTransaction(s string) (Transaction, error) {
	var t Transaction
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return t, malformed("transaction", s, "a UUID of 36 characters")
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(t[:], []byte(digits)); err != nil {
		return Transaction{}, malformed("transaction", s, "a UUID of 36 characters")
	}
	return t, nil
}

// TransactionOf derives the id of the command that carries key in ledger: a UUIDv8 over SHA-256 of both, so that the replay
// check is the lookup of the primary key.
func TransactionOf(ledger Ledger, key Key) Transaction {
	text := make([]byte, 0, 2+len(ledger)+len(key))
	text = binary.BigEndian.AppendUint16(text, uint16(len(ledger))) //nolint:gosec // at most 64; the length keeps "ab"+"c" and "a"+"bc" apart
	text = append(append(text, ledger...), key...)
	sum := sha256.Sum256(text)
	t := Transaction(sum[:16])
	t[6] = t[6]&0x0f | 0x80 // version 8
	t[8] = t[8]&0x3f | 0x80 // RFC 9562 variant
	return t
}

// String returns the 36-character form.
func (t Transaction) String() string {
	var b [36]byte
	hex.Encode(b[0:8], t[0:4])
	hex.Encode(b[9:13], t[4:6])
	hex.Encode(b[14:18], t[6:8])
	hex.Encode(b[19:23], t[8:10])
	hex.Encode(b[24:36], t[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// IsZero tells whether t is unset.
func (t Transaction) IsZero() bool { return t == Transaction{} }

// MarshalText writes the 36-character form, or nothing where t is unset.
func (t Transaction) MarshalText() ([]byte, error) {
	if t.IsZero() {
		return nil, nil
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (t *Transaction) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*t = Transaction{}
		return nil
	}
	parsed, err := ParseTransaction(string(b))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Value sends t to SQL as text; an unset id is NULL.
func (t Transaction) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.String(), nil
}

func malformed(kind, s, want string) error {
	if len(s) > 48 {
		s = s[:48] + "…"
	}
	return fmt.Errorf("%w: %s %q is not %s", Err, kind, s, want)
}

func lower(s string) bool {
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func name(s string) bool {
	if s == "" || len(s) > maxName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == ':' || c == '/' || c == '@' || c == '+' || c == '~' || c == '=' || c == '-'):
		default:
			return false
		}
	}
	return true
}

// OtherActor tells whether two names of persons or programs are of two, as four eyes need it: both are given, and it is not only case or the white
// space around them that tells them apart.
func OtherActor(first, second string) bool {
	first, second = strings.TrimSpace(first), strings.TrimSpace(second)
	return first != "" && second != "" && !strings.EqualFold(first, second)
}
