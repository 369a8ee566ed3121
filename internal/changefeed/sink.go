package changefeed

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Kind is what a sink is.
type Kind string

// The kinds of sinks.
const (
	Kafka    Kind = "kafka"
	Webhook  Kind = "webhook-https"
	External Kind = "external" // a connection that the cluster knows already; what is behind it is not said
)

// Sink is where a changefeed sends, as it came and taken apart. It comes from ParseSink. Its String has no secrets in it, so that no log and no
// plan shows one by accident.
type Sink struct {
	Kind  Kind
	uri   string
	hosts string
	path  string
	query url.Values
}

const maxURI = 64 << 10 // certificates stand in it

// ParseSink reads kafka://broker:9092?topic_name=…, webhook-https://host/path or external://name. Errors repeat nothing of it.
func ParseSink(s string) (Sink, error) {
	if len(s) > maxURI || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Sink{}, fmt.Errorf("the sink is a URI of at most %d printable ASCII characters without spaces; write others as %%xx", maxURI)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	kind := Kind(scheme)
	if !ok || kind != Kafka && kind != Webhook && kind != External {
		return Sink{}, errors.New("the sink is kafka://…, webhook-https://… or external://…")
	}
	if strings.Contains(rest, "#") {
		return Sink{}, errors.New("the sink has a #; write it as %23")
	}
	rest, raw, _ := strings.Cut(rest, "?")
	hosts, path, slash := strings.Cut(rest, "/")
	if slash {
		path = "/" + path
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return Sink{}, errors.New("what follows the ? of the sink is not name=value&…")
	}
	sink := Sink{Kind: kind, uri: s, hosts: hosts, path: path, query: query}
	return sink, sink.check()
}

func (s Sink) check() error {
	switch {
	case s.hosts == "" || strings.ContainsAny(s.hosts, `'"\<>`):
		return errors.New("the sink names no host")
	case strings.Contains(s.hosts, "@"):
		return errors.New("the sink has a user before the host; name it with sasl_user, or with the header of a webhook")
	case s.Kind == External && (s.path != "" || len(s.query) > 0):
		return errors.New("external:// is followed by the name of a connection and nothing else")
	case s.Kind == Kafka && s.path != "" && s.path != "/":
		return errors.New("a Kafka sink has no path; name the topic with topic_name")
	case s.Kind == Kafka && s.query.Get("sasl_enabled") == "true" && s.query.Get("tls_enabled") != "true":
		return errors.New("sasl_enabled needs tls_enabled=true: the password would travel in clear")
	case s.Kind == Webhook && s.query.Has("webhook_auth_header"):
		return errors.New("webhook_auth_header is an option of the changefeed: put it in a file and name that with --webhook-token-file")
	}
	return nil
}

// URI is the sink with its secrets.
func (s Sink) URI() string { return s.uri }

// open are the parameters whose values may be shown; what is not known may be a secret.
var open = []string{
	"insecure_tls_skip_verify", "sasl_enabled", "sasl_mechanism", "tls_enabled", "topic_name", "topic_prefix",
}

const hidden = "redacted"

// String is the sink as it may be shown: with the path of our own endpoint alone, for others put tokens there.
func (s Sink) String() string {
	var b strings.Builder
	b.WriteString(string(s.Kind) + "://" + s.hosts)
	switch s.path {
	case "", "/", "/cdc/v1/webhook":
		b.WriteString(s.path)
	default:
		b.WriteString("/" + hidden)
	}
	names := make([]string, 0, len(s.query))
	for name := range s.query {
		names = append(names, name)
	}
	slices.Sort(names)
	sep := "?"
	for _, name := range names {
		value := hidden
		if slices.Contains(open, name) {
			value = url.QueryEscape(s.query.Get(name))
		}
		b.WriteString(sep + url.QueryEscape(name) + "=" + value)
		sep = "&"
	}
	return b.String()
}

// GoString keeps %#v from showing what String hides.
func (s Sink) GoString() string { return s.String() }
