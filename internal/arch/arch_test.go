// Package arch_test holds the packages of this module to the table of who may import whom.
//
// The rule, in one breath: money, id and errs import nothing of ours; ledger imports those three; adapters (store, feed, relay, rpc,
// topology) import the domain and never each other, except that store and feed share db; commit imports the domain and declares the port
// that it needs; cmd imports everything, and nobody imports cmd. Each line that allows more says why. A package that is new gets a line
// here before it gets an import.
package arch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/meridian-ledger/meridian/"

// domain is what every room may know.
var domain = []string{"internal/errs", "internal/id", "internal/ledger", "internal/money"}

// rule says what a package may import of ours, and why it is more than the table of the house grants.
type rule struct {
	may []string
	why string // of an exception
	// stdlib: nothing but the standard library besides.
	stdlib bool
	// any: everything but cmd.
	any bool
}

func and(base []string, more ...string) []string { return append(slices.Clone(base), more...) }

// rules is the table. A package that is not in it fails the test.
var rules = map[string]rule{
	"internal/attempt": {stdlib: true},
	"internal/money":   {stdlib: true},
	"internal/id":      {stdlib: true},
	"internal/errs":    {stdlib: true},
	"internal/ledger": {
		may: []string{"internal/errs", "internal/id", "internal/money"}, stdlib: true,
	},
	"internal/ledger/ledgertest": {may: domain, why: "the model of the books: domain, and rapid for random commands"},
	"internal/commit":            {may: domain, why: "declares the port to the tables itself"},
	"internal/sim":               {may: domain, why: "knows the ledger as a Service only, so that it runs against all of them"},
	"internal/importer": {
		may: and(domain, "internal/yamltree"), why: "knows the ledger as a Service only, so that it loads through the API",
	},
	"internal/rpc": {may: and(domain, "internal/event", "internal/explain", "internal/provider", "internal/recon", "internal/recon/statement", "internal/saga", "internal/search", "proto/meridian/ledger/v1", "proto/meridian/ledger/v1/ledgerv1connect",
		"proto/meridian/payments/v1", "proto/meridian/payments/v1/paymentsv1connect")},
	"internal/topology": {may: []string{"internal/id", "internal/yamltree"}},
	"internal/topology/residency": {
		may: []string{"internal/id", "internal/topology"}, why: "judges placement against a topology; reads ranges, not the books",
	},
	"internal/payment":          {may: and(domain, "internal/yamltree"), why: "the domain of payments: pure, and reads its charts"},
	"internal/payment/standing": {may: and(domain, "internal/event", "internal/payment"), why: "declares the port to the tables itself; works under the lease of a relay"},
	"internal/yamltree":         {why: "reads files of people: nothing of ours, and the YAML parser"},
	"internal/db":               {may: []string{"internal/errs"}, why: "turns SQLSTATE into the errors of the domain"},
	"internal/db/dbtest": {
		may: []string{"internal/cluster", "internal/db", "internal/fault", "schema"}, why: "starts engines and makes the tables for tests",
	},
	"internal/event": {may: domain, why: "the domain of the change stream: types and pure functions"},
	"internal/event/eventtest": {
		may: []string{"docs/events"}, why: "judges events by what is published about them, not by the types that make them",
	},
	"internal/search":     {may: and(domain, "internal/event"), why: "declares the port to the tables itself, like relay"},
	"internal/store":      {may: and(domain, "internal/db", "internal/event", "internal/expiry", "internal/explain", "internal/payment", "internal/provider", "internal/recon", "internal/saga", "internal/search"), why: "keeps the rows of the search model, of payments, of callbacks, of reconciliation and of sagas in their own terms"},
	"internal/feed":       {may: and(domain, "internal/db", "internal/event"), why: "shares db with store"},
	"internal/relay":      {may: and(domain, "internal/attempt", "internal/event", "internal/feed", "internal/relay/sink"), why: "takes any feed.Source, and any sink"},
	"internal/relay/sink": {may: and(domain, "internal/event")},
	"internal/worker":     {may: []string{"internal/attempt", "internal/id"}, why: "the loop of those who work under the lease of a relay"},
	"internal/provider": {
		may: and(domain, "internal/attempt", "internal/event", "internal/worker", "internal/yamltree"), why: "declares the port to the tables itself; works under the lease of a relay",
	},
	"internal/provider/step": {may: and(domain, "internal/payment", "internal/provider"), why: "tells by the tables of payments what comes too early"},
	"internal/saga": {
		may: and(domain, "internal/attempt", "internal/event", "internal/payment", "internal/provider", "internal/worker"),
		why: "flows are of payments and of orders to providers; declares the port to the tables itself; works under the lease of a relay",
	},
	"internal/expiry": {
		may: and(domain, "internal/attempt", "internal/event", "internal/payment", "internal/worker"),
		why: "sends a trigger of payments; declares the port to the tables itself; works under the lease of a relay",
	},
	"internal/provider/simulate": {may: and(domain, "internal/provider"), why: "a provider signs what package provider verifies"},
	"internal/recon":             {may: and(domain, "internal/yamltree"), why: "declares the port to the tables itself, like search; reads rules of people"},
	"internal/explain": {
		may: and(domain, "internal/event", "internal/payment", "internal/provider", "internal/recon"),
		why: "tells of rows of all of them; declares the port to the tables itself",
	},
	"internal/recon/statement": {may: and(domain, "internal/importer", "internal/recon"), why: "reads statements through mappings"},
	"internal/relay/sink/sinktest": {
		may: and(domain, "internal/event", "internal/ledger/ledgertest", "internal/relay/sink"), why: "makes real messages for tests of sinks",
	},
	"internal/relay/kafka": {may: and(domain, "internal/event", "internal/relay/sink"), why: "a sink, and the one place of the Kafka client"},
	"internal/relay/nats":  {may: and(domain, "internal/event", "internal/relay/sink"), why: "a sink, and the one place of the NATS client"},
	"internal/relay/file":  {may: and(domain, "internal/event", "internal/relay/sink"), why: "a sink, and the one place of Parquet"},
	"internal/verify":      {may: and(domain, "internal/db", "internal/event", "internal/payment"), why: "reads the tables by itself: a proof must not trust the store; the tables of payments say which states are ends"},
	"internal/fault":       {stdlib: true, why: "breaks lines between programs; which programs is not its business"},
	"internal/cluster":     {may: []string{"internal/fault"}, why: "starts programs and joins them by links; what runs on them is not its business"},
	"internal/telemetry":   {why: "sets up logs, metrics and traces; knows nothing of the ledger"},
	"internal/bench":       {any: true, why: "measures whatever there is"},
	"internal/arch":        {stdlib: true},
	"cmd/meridian":         {any: true},
	"schema":               {may: []string{"internal/db", "internal/errs"}, why: "migrates: finds out the engine and refuses what it does not know"},
	"regions":              {stdlib: true},
	"examples":             {stdlib: true},
	"docs/events":          {stdlib: true},

	"internal/drill":          {any: true, why: "breaks and proves whatever there is"},
	"chaos":                   {stdlib: true},
	"internal/drill/evidence": {stdlib: true, why: "a report that was kept is read years later: it depends on nothing that moves"},

	"internal/relay/webhook": {may: and(domain, "internal/event", "internal/relay/sink")},

	"internal/changefeed": {
		may: []string{"internal/id", "internal/topology"}, why: "renders statements for homes in regions, for versions that topology knows",
	},
	"examples/consumer": {
		may: []string{"proto/meridian/ledger/v1", "proto/meridian/ledger/v1/ledgerv1connect"}, why: "a consumer knows what is published and nothing else",
	},

	"proto/meridian/ledger/v1":                     {},
	"proto/meridian/payments/v1":                   {may: []string{"proto/meridian/ledger/v1"}},
	"proto/meridian/payments/v1/paymentsv1connect": {may: []string{"proto/meridian/payments/v1"}},
	"proto/meridian/ledger/v1/ledgerv1connect":     {may: []string{"proto/meridian/ledger/v1"}},
}

type pkg struct {
	ImportPath string
	Imports    []string
}

// packages asks the go command, without test files: tests may use whatever helps them.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

func TestImports_FollowTheTable(t *testing.T) {
	all := packages(t)
	if len(all) < 15 {
		t.Fatalf("go list found %d packages: the test looks in the wrong place", len(all))
	}
	for _, p := range all {
		for _, complaint := range broken(p) {
			t.Error(complaint)
		}
	}
}

// broken says what a package imports against the table.
func broken(p pkg) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	r, known := rules[name]
	if !known {
		return []string{name + " is not in the table: say what it may import, and why"}
	}
	var complaints []string
	for _, path := range p.Imports {
		ours, isOurs := strings.CutPrefix(path, module)
		first, _, _ := strings.Cut(path, "/")
		switch {
		case isOurs && strings.HasPrefix(ours, "cmd/"):
			complaints = append(complaints, name+" imports "+ours+": nobody imports cmd")
		case isOurs && !r.any && !slices.Contains(r.may, ours):
			complaints = append(complaints, name+" imports "+ours)
		case !isOurs && r.stdlib && strings.Contains(first, "."):
			complaints = append(complaints, name+" imports "+path+": it is to need the standard library alone")
		}
	}
	return complaints
}

func TestImports_TheTableRefuses(t *testing.T) {
	for _, row := range []struct{ from, to string }{
		{"internal/money", module + "internal/errs"},
		{"internal/money", "github.com/jackc/pgx/v5"},
		{"internal/ledger", module + "internal/db"},
		{"internal/rpc", module + "internal/store"},
		{"internal/store", module + "internal/commit"},
		{"internal/commit", module + "internal/store"},
		{"internal/telemetry", module + "internal/ledger"},
		{"internal/bench", module + "cmd/meridian"},
		{"internal/unheard-of", "fmt"},
	} {
		if got := broken(pkg{ImportPath: module + row.from, Imports: []string{row.to}}); len(got) != 1 {
			t.Errorf("%s importing %s: %v, want one complaint", row.from, row.to, got)
		}
	}
	if got := broken(pkg{ImportPath: module + "internal/store", Imports: []string{module + "internal/db", "fmt", "github.com/jackc/pgx/v5"}}); len(got) != 0 {
		t.Errorf("store importing db: %v", got)
	}
}
