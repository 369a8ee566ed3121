package residency

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// Signed is a report with its signature, as it is written to a file and into a page. The signature covers the report without white space
// between its values, after the line that says what is signed.
type Signed struct {
	Report    json.RawMessage `json:"report"`
	PublicKey []byte          `json:"public_key,omitempty"` // Ed25519, for finding the right key; whom to believe is the reader's choice
	Signature []byte          `json:"signature,omitempty"`  // absent: not signed
}

// domain keeps a signature of a report from passing for one of anything else.
const domain = "meridian residency report 1\n"

// ErrNotAuthentic says that a report is not what the owner of the key has signed.
var ErrNotAuthentic = errors.New("the report is not authentic")

// Sign signs a report. A nil key leaves it unsigned.
func Sign(report Report, key ed25519.PrivateKey) (Signed, error) {
	text, err := json.Marshal(report)
	if err != nil {
		return Signed{}, fmt.Errorf("write the report: %w", err)
	}
	s := Signed{Report: text}
	if key != nil {
		s.PublicKey = key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // what the standard library promises
		s.Signature = ed25519.Sign(key, append([]byte(domain), text...))
	}
	return s, nil
}

// Check reads a file that Sign's outcome was written to, as JSON or as a page, and returns the report if the key has signed exactly it. Of a
// page, every byte has to be what the report renders to.
func Check(data []byte, key ed25519.PublicKey) (Report, error) {
	text, page := embedded(data)
	var s Signed
	if err := strict(text, &s); err != nil {
		return Report{}, fmt.Errorf("%w: it is no signed report: %w", ErrNotAuthentic, err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, s.Report); err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrNotAuthentic, err)
	}
	if len(s.Signature) == 0 {
		return Report{}, fmt.Errorf("%w: it is not signed; make it with a key", ErrNotAuthentic)
	}
	if !bytes.Equal(s.PublicKey, key) || !ed25519.Verify(key, append([]byte(domain), compact.Bytes()...), s.Signature) {
		return Report{}, fmt.Errorf("%w: it was changed, or signed with another key", ErrNotAuthentic)
	}
	var report Report
	if err := strict(compact.Bytes(), &report); err != nil || report.Format != format {
		return Report{}, fmt.Errorf("%w: it has another format than %s", ErrNotAuthentic, format)
	}
	s.Report = compact.Bytes()
	if page {
		var again bytes.Buffer
		if err := WritePage(&again, s); err != nil {
			return Report{}, err
		}
		if !bytes.Equal(again.Bytes(), data) {
			return Report{}, fmt.Errorf("%w: the page does not show what was signed, or another version of meridian made it", ErrNotAuthentic)
		}
	}
	if !page && !sameJSON(data, s) {
		return Report{}, fmt.Errorf("%w: the file says more than what was signed", ErrNotAuthentic)
	}
	return report, nil
}

// sameJSON keeps a second report, under a key in other letters, from standing beside the one that was signed.
func sameJSON(data []byte, s Signed) bool {
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		return false
	}
	text, err := json.Marshal(s)
	return err == nil && bytes.Equal(compact.Bytes(), text)
}

// strict reads one JSON value with no field that is not known, and nothing behind it.
func strict(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is more behind it")
	}
	return nil
}

// NewKey writes a private key to a file that must not exist, readable by its owner alone, and the public key beside it, as file.pub.
func NewKey(file string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	open, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if err := create(file, 0o600, &pem.Block{Type: "PRIVATE KEY", Bytes: secret}); err != nil {
		return err
	}
	return create(file+".pub", 0o644, &pem.Block{Type: "PUBLIC KEY", Bytes: open})
}

func create(file string, mode os.FileMode, block *pem.Block) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return errors.Join(pem.Encode(f, block), f.Close())
}

// ReadKey reads a private key, PKCS #8 in PEM.
func ReadKey(file string) (ed25519.PrivateKey, error) {
	return readKey[ed25519.PrivateKey](file, "PRIVATE KEY", x509.ParsePKCS8PrivateKey)
}

// ReadPublicKey reads a public key, PKIX in PEM.
func ReadPublicKey(file string) (ed25519.PublicKey, error) {
	return readKey[ed25519.PublicKey](file, "PUBLIC KEY", x509.ParsePKIXPublicKey)
}

func readKey[K any](file, kind string, parse func([]byte) (any, error)) (key K, err error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return key, fmt.Errorf("read the key: %w", err)
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return key, fmt.Errorf("%s holds no %s in PEM; meridian regions verify --new-key makes one", file, kind)
	}
	parsed, err := parse(block.Bytes)
	key, ok := parsed.(K)
	if err != nil || !ok {
		return key, fmt.Errorf("%s holds no Ed25519 key", file)
	}
	return key, nil
}

// WriteJSON writes a signed report as JSON with a line for each value.
func WriteJSON(w io.Writer, s Signed) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}
