// Package changefeed writes the statements that make CockroachDB send the journal to a sink of its own: Kafka, or a webhook.
//
// It promises that a statement says what was asked for and nothing else, whatever stands in names and URIs; that nothing it shows has a secret in
// it unless that was asked for; and that Apply may be run again. It relies on the grammar of CockroachDB 24.3 to 26.2. Whoever takes
// events from the server instead (webhooks, Kafka, NATS, files, Subscribe) needs none of this: those are in order on each account, redacted and
// checkpointed, which a changefeed is not. Look at plan.go for the statements and apply.go for how they are run.
package changefeed

import (
	"errors"
	"fmt"
	"strings"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// Target is a home whose rows a changefeed sends, and where it runs; an empty region is anywhere.
type Target struct {
	Home   id.Home
	Region topology.Region
}

// Options of a plan.
type Options struct {
	Sink       Sink
	Version    topology.Version
	Database   string   // where the journal is; empty: the current one
	Targets    []Target // none: one changefeed for all homes
	Role       string   // that will own the jobs, for the grants
	Connection string   // name of the external connection; empty: meridian_journal
	Reuse      bool     // the connection is there already, with the same URI
	Inline     bool     // put the URI into the statement instead of a connection
	Header     string   // of a webhook: the value of Authorization, a secret
}

// Step is one statement. It comes without a semicolon at its end.
type Step struct {
	SQL   string  `json:"sql"`
	Why   string  `json:"why"`
	Home  id.Home `json:"home,omitempty"`
	plain string  // with secrets
	what  what
}

type what int

const (
	precondition what = iota
	connection
	feed
)

// Option is an option of the changefeeds, with what it is for.
type Option struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
	Why   string `json:"why"`
}

// Plan is what there is to run. Steps have no secrets in their SQL.
type Plan struct {
	Version       string   `json:"version"`
	Sink          string   `json:"sink"`
	Preconditions []Step   `json:"preconditions"` // for an administrator; Apply runs none of them
	Steps         []Step   `json:"steps"`
	Options       []Option `json:"options"`
	Notes         []string `json:"notes"`
	database      string
	via           string // the sink as it stands in the statements, without secrets
}

// columns of the journal, which consumers may rely on: a query names them, so that a new column reaches nobody who does not expect it.
var columns = []string{
	"home", "ledger_id", "id", "idempotency_key", "kind", "outcome", "reason", "detail", "entries", "request", "request_hash", "reference",
	"correlation_id", "trace_id", "target", "reverses", "effective_at", "recorded_at",
}

// New plans one changefeed for each target.
func New(o Options) (Plan, error) {
	if o.Connection == "" {
		o.Connection = "meridian_journal"
	}
	if err := o.check(); err != nil {
		return Plan{}, err
	}
	p := Plan{Version: o.Version.String(), Sink: o.Sink.String(), Preconditions: preconditions(o), Options: options(o), Notes: notes(o), database: o.Database}
	into, shown := o.Sink.URI(), o.Sink.String()
	if o.Sink.Kind != External && !o.Inline {
		if create := "CREATE EXTERNAL CONNECTION " + topology.Ident(o.Connection) + " AS "; !o.Reuse {
			p.Steps = append(p.Steps, Step{
				SQL: create + topology.Literal(shown), plain: create + topology.Literal(into), what: connection,
				Why: "the cluster keeps the URI with its secrets; changefeeds name the connection alone",
			})
		}
		into = "external://" + o.Connection
		shown = into
	}
	p.via = shown
	if len(o.Targets) == 0 {
		p.Steps = append(p.Steps, wholeTable(o, into, shown))
	}
	for _, t := range o.Targets {
		p.Steps = append(p.Steps, oneHome(o, t, into, shown))
	}
	return p, nil
}

func (o Options) check() error {
	for what, name := range map[string]string{"database": o.Database, "role": o.Role, "connection": o.Connection} {
		if len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("the name of the %s has control characters or more than 128 bytes", what)
		}
	}
	if strings.Trim(o.Connection, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return errors.New("the name of an external connection has a-z, 0-9 and _ here, because it stands in a URI")
	}
	if o.Header != "" && o.Sink.Kind == Kafka {
		return errors.New("an Authorization header is for webhooks")
	}
	if strings.ContainsFunc(o.Header, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("the Authorization header has characters that are not printable ASCII")
	}
	seen := map[id.Home]bool{}
	for _, t := range o.Targets {
		if _, err := id.ParseHome(string(t.Home)); err != nil {
			return err
		}
		if seen[t.Home] {
			return fmt.Errorf("home %s is named twice", t.Home)
		}
		seen[t.Home] = true
		if t.Region == "" {
			continue
		}
		if _, err := topology.ParseRegion(string(t.Region)); err != nil {
			return err
		}
	}
	return nil
}

// wholeTable needs no query: without a filter the plain form has all columns, also those that come later.
func wholeTable(o Options, into, shown string) Step {
	render := func(into, header string) string {
		return "CREATE CHANGEFEED FOR TABLE " + table(o.Database) + " INTO " + topology.Literal(into) + "\nWITH " + with(o, "", header)
	}
	return Step{SQL: render(shown, mask(o.Header)), plain: render(into, o.Header), Why: "sends the rows of all homes", what: feed}
}

// oneHome is a query, because only a query can leave rows out before they leave the region.
func oneHome(o Options, t Target, into, shown string) Step {
	render := func(into, header string) string {
		return "CREATE CHANGEFEED INTO " + topology.Literal(into) + "\nWITH " + with(o, t.Region, header) +
			"\nAS SELECT " + strings.Join(columns, ", ") + "\nFROM " + table(o.Database) + "\nWHERE home = " + topology.Literal(string(t.Home))
	}
	why := "sends the rows of home " + string(t.Home)
	if t.Region != "" {
		why += " from nodes in " + string(t.Region) + ", which it fails without"
	}
	return Step{SQL: render(shown, mask(o.Header)), plain: render(into, o.Header), Why: why, Home: t.Home, what: feed}
}

func mask(header string) string {
	if header == "" {
		return ""
	}
	return hidden
}

// WithSecrets returns the plan with the secrets in its SQL.
func (p Plan) WithSecrets() Plan {
	steps := make([]Step, len(p.Steps))
	for i, s := range p.Steps {
		s.SQL = s.plain
		steps[i] = s
	}
	p.Steps = steps
	return p
}

func table(database string) string {
	if database == "" {
		return "journal"
	}
	return topology.Ident(database) + "." + topology.Ident("public") + "." + topology.Ident("journal")
}
