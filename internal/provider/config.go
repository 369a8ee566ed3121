package provider

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Format is what bodies are written in.
type Format string

// The formats.
const (
	JSON Format = "json"
	Form Format = "form" // application/x-www-form-urlencoded
)

// Place is where a value is: in the body, or in a header.
type Place struct {
	Path   Path
	Header string
}

// Account is one account at a provider: where its callbacks go, how they are verified and what they mean. It holds no secret that a format
// could show.
type Account struct {
	Name       Name
	Ledger     id.Ledger
	Checks     []Check // all have to pass; at least one
	Format     Format
	Items      Path // of the events in a body; nil: the body is one
	EventID    []Place
	Type       []Place
	Payment    Path // nil where the provider does not repeat it, as are those below
	Reference  Path
	Amount     Path
	Decimals   uint8 // of an amount that is written in units; 0 where it is in minor units
	Currency   Path
	OccurredAt Path
	Triggers   map[string]string
	Keep       RawMode
	Redact     []Path
	Patience   time.Duration // how long an event may wait for what has to come before it
	Answer     string        // the body of the 200; empty: {"status":"ok"}
	TLS        bool          // a check asks for a client certificate
	Orders     *DeskConfig   // where orders are given; nil: nowhere

	vault *Vault
}

// Config is the accounts of a server.
type Config struct {
	Accounts map[Name]*Account
}

// TLS tells whether any account asks for a client certificate.
func (c Config) TLS() bool {
	for _, a := range c.Accounts {
		if a.TLS {
			return true
		}
	}
	return false
}

// Source says where a secret is.
type Source struct {
	File string
	Env  string
}

// Reveal reads what is at a source. Its error is shown to the operator: it says what is wrong with the source and nothing of what is there.
type Reveal func(s Source) ([]byte, error)

// maxSecret bounds a secret, a key or a file of certificates.
const maxSecret = 64 << 10

// System reads files and the environment of the process. White space at the end does not count.
func System(s Source) ([]byte, error) {
	if s.Env != "" {
		value, there := os.LookupEnv(s.Env)
		if !there || strings.TrimSpace(value) == "" {
			return nil, fmt.Errorf("the environment has no %s", s.Env)
		}
		return []byte(strings.TrimSpace(value)), nil
	}
	info, err := os.Stat(s.File)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the file %s can not be read", s.File)
	case info.Size() > maxSecret:
		return nil, fmt.Errorf("the file %s is larger than %d bytes", s.File, maxSecret)
	}
	value, err := os.ReadFile(s.File)
	if err != nil {
		return nil, fmt.Errorf("the file %s can not be read", s.File)
	}
	if value = []byte(strings.TrimSpace(string(value))); len(value) == 0 {
		return nil, fmt.Errorf("the file %s is empty", s.File)
	}
	return value, nil
}

// Parse reads a file of accounts. file is what errors call it. All that is wrong with the file comes back at once, a line each, with the place
// and how to mend it; secrets are read through reveal, and no error shows one.
func Parse(file string, data []byte, reveal Reveal) (Config, error) {
	tree, root, err := yamltree.Parse(file, data, yamltree.Kind{Noun: "file of providers", Fields: "providers, with an account under each name"})
	if err != nil {
		return Config{}, err
	}
	c := reader{Reader: tree, reveal: reveal}.document(root)
	if err := tree.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// Load reads a file of accounts, with secrets from files and the environment of the process.
func Load(file string) (Config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Config{}, fmt.Errorf("read the providers: %w", err)
	}
	if info.Size() > yamltree.MaxBytes {
		return Config{}, fmt.Errorf("%s:1:1: the file is too large; a file of providers has at most %d bytes", file, yamltree.MaxBytes)
	}
	data, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return Config{}, fmt.Errorf("read the providers: %w", err)
	}
	return Parse(file, data, System)
}

// Names lists the accounts in alphabetical order.
func (c Config) Names() []Name {
	names := make([]Name, 0, len(c.Accounts))
	for name := range c.Accounts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var errNoSource = errors.New("name a file or an environment variable, as in {file: /run/secrets/acme} or {env: ACME_SECRET}")
