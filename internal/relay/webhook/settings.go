package webhook

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
)

// Bounds and defaults of settings.
const (
	DefaultTimeout  = 10 * time.Second
	MinTimeout      = 100 * time.Millisecond
	MaxTimeout      = 30 * time.Second
	DefaultParallel = 8
	MaxParallel     = 64
)

// Settings are those of one endpoint, valid.
type Settings struct {
	URL         *url.URL
	Timeout     time.Duration  // of one attempt, from the look-up of the name to the status of the answer
	Parallel    int            // calls in flight
	Headers     http.Header    // sent besides the sink's own
	Authorities *x509.CertPool // that its certificate may come from; nil is the system's
}

// form is the JSON of settings, as protojson writes a WebhookSink under its proto names.
type form struct {
	URL      string            `json:"url"`
	Timeout  string            `json:"timeout"` // with its unit: "10s", "2.500s"
	Parallel int               `json:"parallel"`
	Headers  map[string]string `json:"headers"`
	CAPEM    string            `json:"ca_pem"`
}

// Parse reads settings and refuses what can not work or is not allowed. Errors are *errs.Error of a field; they hold no value of the settings
// that may be a secret: neither url nor headers.
func Parse(settings []byte, o Options) (Settings, error) {
	f, err := read(settings)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{Timeout: DefaultTimeout, Parallel: DefaultParallel}
	if s.URL, err = parseURL(f.URL, o); err != nil {
		return Settings{}, invalid("url", err)
	}
	if f.Timeout != "" {
		if s.Timeout, err = time.ParseDuration(f.Timeout); err != nil || s.Timeout < MinTimeout || s.Timeout > MaxTimeout {
			return Settings{}, errs.Invalid("sink.webhook.timeout", fmt.Sprintf("a timeout is %v to %v, with its unit, as in \"10s\"", MinTimeout, MaxTimeout))
		}
	}
	if f.Parallel != 0 {
		s.Parallel = f.Parallel
	}
	if s.Parallel < 1 || s.Parallel > MaxParallel {
		return Settings{}, errs.Invalid("sink.webhook.parallel", fmt.Sprintf("1 to %d calls in flight", MaxParallel))
	}
	if s.Headers, err = parseHeaders(f.Headers); err != nil {
		return Settings{}, invalid("headers", err)
	}
	if s.Authorities, err = parseAuthorities(f.CAPEM); err != nil {
		return Settings{}, invalid("ca_pem", err)
	}
	return s, nil
}

func invalid(field string, err error) error { return errs.Invalid("sink.webhook."+field, err.Error()) }

func read(settings []byte) (form, error) {
	if len(settings) > event.MaxSettings {
		return form{}, errs.Invalid("sink.webhook", fmt.Sprintf("settings have at most %d bytes", event.MaxSettings))
	}
	var f form
	d := json.NewDecoder(bytes.NewReader(settings))
	d.DisallowUnknownFields()
	err := d.Decode(&f)
	if err == nil {
		if _, more := d.Token(); errors.Is(more, io.EOF) {
			return f, nil
		}
	}
	// What the decoder says can quote the settings; that it was this field says enough.
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		field, _, _ := strings.Cut(wrong.Field, ".")
		return form{}, errs.Invalid(strings.TrimSuffix("sink.webhook."+field, "."), "it has not the type that it should have")
	}
	return form{}, errs.Invalid("sink.webhook", "settings are one JSON object with url, timeout, parallel, headers and ca_pem")
}

// parseAuthorities reads certificates, and nothing else: a private key here was put in the wrong place.
func parseAuthorities(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // nil is the system's pool, as crypto/tls has it
	}
	pool, rest := x509.NewCertPool(), []byte(text)
	for found := 0; ; found++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if found == 0 || len(bytes.TrimSpace(rest)) > 0 {
				return nil, errors.New("give PEM blocks of certificates, and nothing else")
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("a PEM block is no certificate; private keys do not belong here")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d can not be read", found+1)
		}
		pool.AddCert(certificate)
	}
}
