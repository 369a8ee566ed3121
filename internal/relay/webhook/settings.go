package webhook

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
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
	var f form
	if err := sink.Decode(settings, "sink.webhook", &f); err != nil {
		return Settings{}, err
	}
	var err error
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
	if s.Authorities, err = sink.ParseAuthorities(f.CAPEM); err != nil {
		return Settings{}, invalid("ca_pem", err)
	}
	return s, nil
}

func invalid(field string, err error) error { return errs.Invalid("sink.webhook."+field, err.Error()) }
