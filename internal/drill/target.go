package drill

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/sim"
	"github.com/meridian-ledger/meridian/internal/store"
	"github.com/meridian-ledger/meridian/internal/verify"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Aim says where a deployment is that runs already, and who breaks it. It comes from ParseAim.
type Aim struct {
	Name    string
	Regions []AimRegion
	// Hook is a program that does what a story asks for. It is called as HOOK begin and HOOK end, with the step as JSON on its standard
	// input; HOOK heal at the end of the load ends whatever is still broken. Exit code 0: done; 3: can not be done here, for the reason on its
	// standard output; all else: failed.
	Hook string
	CA   string // PEM file of who signed the servers' certificates; "": the system's
}

// AimRegion is one region of it.
type AimRegion struct {
	Name    string
	Servers []string // URLs
	Homes   []id.Home
}

// ParseAim reads a file as in chaos/README.md. Paths in it are relative to the file.
func ParseAim(file string, data []byte) (Aim, error) {
	tree, root, err := yamltree.Parse(file, data, yamltree.Kind{Noun: "target", Fields: "name, regions and hook"})
	if err != nil {
		return Aim{}, err
	}
	a := reader{tree}.aim(root)
	if err := tree.Err(); err != nil {
		return Aim{}, err
	}
	for _, path := range []*string{&a.Hook, &a.CA} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(file), *path)
		}
	}
	return a, nil
}

func (r reader) aim(root ast.Node) Aim {
	var a Aim
	if root == nil {
		return a
	}
	f, ok := r.Fields(root, "a target", []string{"name", "regions", "hook"}, []string{"ca"})
	if !ok {
		return a
	}
	a.Name, a.Hook = r.sentence(f["name"], "name", 63), r.sentence(f["hook"], "hook", 1000)
	if n := f["ca"]; n != nil {
		a.CA = r.sentence(n, "ca", 1000)
	}
	for _, item := range r.List(f["regions"], "regions") {
		f, ok := r.Fields(item, "a region", []string{"name", "servers"}, []string{"homes"})
		if !ok {
			continue
		}
		region := AimRegion{Name: r.sentence(f["name"], "a region", 63)}
		for _, server := range r.List(f["servers"], "servers") {
			text, _ := yamltree.Text(server)
			u, err := url.Parse(text)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
				r.Complain(server, "a server is %s; write its URL, as in https://us-east1.staging.example.com", yamltree.Describe(server))
				continue
			}
			region.Servers = append(region.Servers, text)
		}
		if n := f["homes"]; n != nil {
			for _, item := range r.List(n, "homes") {
				text, _ := yamltree.Text(item)
				home, err := id.ParseHome(text)
				if err != nil {
					r.Complain(item, "%v", err)
					continue
				}
				region.Homes = append(region.Homes, home)
			}
		}
		a.Regions = append(a.Regions, region)
	}
	if len(a.Regions) > 0 && !slices.ContainsFunc(a.Regions, func(r AimRegion) bool { return len(r.Homes) > 0 }) {
		r.Complain(f["regions"], "no region has homes; name those that the drill may have ledgers in")
	}
	return a
}

// Target is a Field that runs already and that somebody else breaks.
type Target struct {
	aim     Aim
	http    *http.Client
	books   *db.DB // nil: nobody gave the drill a database to ask
	ledgers map[id.Ledger]id.Home
	engine  string
}

// OpenTarget reaches a deployment and its drill ledgers, drill-<home> in each home: those that are missing are made, and one that is there and
// not marked by the metadata purpose: drill is refused, because a load would write to it. databaseURL may be empty: then the database is not
// asked, and verify is skipped aloud.
func OpenTarget(ctx context.Context, a Aim, databaseURL string) (t *Target, err error) {
	t = &Target{aim: a, ledgers: map[id.Ledger]id.Home{}}
	roots, err := rootsOf(a.CA)
	if err != nil {
		return nil, err
	}
	t.http = rpc.NewHTTPClient(roots, false)
	info, err := os.Stat(a.Hook)
	if err != nil {
		return nil, fmt.Errorf("find the hook: %w", err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("the hook %s is no program", a.Hook)
	}
	if databaseURL != "" {
		if t.books, err = db.Open(ctx, db.Options{URL: databaseURL, Writers: 1, Readers: 2, Name: "meridian drill"}); err != nil {
			return nil, err
		}
		t.engine = t.books.Engine.Name
	}
	defer func() {
		if err != nil {
			_, closing := t.Close(false)
			t, err = nil, errors.Join(err, closing)
		}
	}()
	if t.books == nil {
		if t.engine, err = t.askEngine(ctx); err != nil {
			return t, err
		}
	}
	svc, err := t.Books(ctx)
	if err != nil {
		return t, err
	}
	for _, r := range a.Regions {
		for _, home := range r.Homes {
			if err := t.mark(ctx, svc, home); err != nil {
				return t, err
			}
		}
	}
	return t, nil
}

func rootsOf(file string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if file == "" {
		return config, nil
	}
	pem, err := os.ReadFile(file) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the certificate of who signs servers: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return config, nil
}

// mark makes sure that the ledger of a home belongs to drills.
func (t *Target) mark(ctx context.Context, svc ledger.Service, home id.Home) error {
	name := ledgerFor(home)
	l, err := svc.Ledger(ctx, name)
	if errors.Is(err, errs.ErrLedgerNotFound) {
		l, err = svc.CreateLedger(ctx, ledger.Ledger{
			ID: name, Home: home, Assets: []money.Asset{{Code: "EUR", Scale: 2}}, Metadata: ledger.Metadata{purpose: forDrills},
		})
	}
	if err != nil {
		return fmt.Errorf("look at the drill ledger %s: %w", name, err)
	}
	if l.Metadata[purpose] != forDrills {
		return fmt.Errorf("the ledger %s is there and is not marked %s: %s in its metadata; a drill writes to its own ledgers alone", name, purpose, forDrills)
	}
	if l.Home != home {
		return fmt.Errorf("the ledger %s is at home in %s, not in %s", name, l.Home, home)
	}
	t.ledgers[name] = home
	return nil
}

// Engine implements Field.
func (t *Target) Engine() string { return t.engine }

// askEngine asks the servers what they stand on: limits and think times depend on it.
func (t *Target) askEngine(ctx context.Context) (engine string, err error) {
	urls, _ := t.servers("")
	var failed []error
	for _, u := range urls {
		var ready struct {
			Database struct{ Engine string }
		}
		err := t.ready(ctx, u, &ready)
		if err == nil && !slices.Contains(engines, ready.Database.Engine) {
			err = fmt.Errorf("it says %q", ready.Database.Engine)
		}
		if err == nil {
			return ready.Database.Engine, nil
		}
		failed = append(failed, fmt.Errorf("%s/readyz: %w", u, err))
	}
	return "", fmt.Errorf("no server tells which database it stands on, and no --database-url was given: %w", errors.Join(failed...))
}

// ready reads what a server says of itself, ready or not.
func (t *Target) ready(ctx context.Context, server string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := t.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}

// Environment implements Field.
func (t *Target) Environment() evidence.Environment {
	e := machine()
	e.Topology, e.Engine = t.aim.Name, cluster.Title(t.engine)
	if t.books != nil {
		e.EngineVersion = t.books.Version
	}
	for _, r := range t.aim.Regions {
		region := evidence.Region{Name: r.Name, Zones: []string{}, Servers: len(r.Servers), Homes: []string{}}
		for _, home := range r.Homes {
			region.Homes = append(region.Homes, string(home))
		}
		e.Regions = append(e.Regions, region)
	}
	return e
}

// servers are the URLs as clients of a region prefer them, with the region of each.
func (t *Target) servers(region string) (urls, regions []string) {
	own := slices.Clone(t.aim.Regions)
	slices.SortStableFunc(own, func(a, b AimRegion) int {
		switch {
		case a.Name == region && b.Name != region:
			return -1
		case b.Name == region && a.Name != region:
			return 1
		}
		return 0
	})
	for _, r := range own {
		for _, u := range r.Servers {
			urls, regions = append(urls, u), append(regions, r.Name)
		}
	}
	return urls, regions
}

// Regions implements Field.
func (t *Target) Regions() []sim.Region {
	var all []sim.Region
	for _, r := range t.aim.Regions {
		region := sim.Region{Name: r.Name}
		urls, names := t.servers(r.Name)
		for i, u := range urls {
			region.Nodes = append(region.Nodes, sim.Node{Region: names[i], Service: rpc.NewClient(t.http, u)})
		}
		for _, home := range r.Homes {
			region.Ledgers = append(region.Ledgers, ledgerFor(home))
		}
		all = append(all, region)
	}
	return all
}

// Ledgers implements Field.
func (t *Target) Ledgers() map[id.Ledger]id.Home { return t.ledgers }

// Sources implements Field.
func (t *Target) Sources(region string) []sim.Source {
	var all []sim.Source
	urls, _ := t.servers(region)
	for _, u := range urls {
		all = append(all, StreamOf(rpc.NewEventClient(t.http, u)))
	}
	return all
}

// Books implements Field.
func (t *Target) Books(ctx context.Context) (ledger.Service, error) {
	urls, _ := t.servers("")
	var last error
	for _, u := range urls {
		svc := rpc.NewClient(t.http, u)
		if _, last = svc.Ledgers(ctx, "", 1); last == nil {
			return svc, nil
		}
	}
	return nil, fmt.Errorf("no server answers: %w", last)
}

// Heads implements Field.
func (t *Target) Heads(ctx context.Context) (map[id.Home]int64, error) {
	if t.books == nil {
		return nil, unsupported("no --database-url was given")
	}
	heads, err := store.New(t.books).Heads(ctx)
	return positions(heads), err
}

// Verify implements Field.
func (t *Target) Verify(ctx context.Context) (verify.Report, error) {
	if t.books == nil {
		return verify.Report{}, unsupported("no --database-url was given")
	}
	return verify.Run(ctx, t.books, verify.Options{Ledgers: slices.Sorted(maps.Keys(t.ledgers))})
}

// Sink implements Field: nobody could reach a receiver of ours.
func (t *Target) Sink() *sim.Witness { return nil }

// Payments implements Field: the servers would have to know a provider of ours.
func (t *Target) Payments() *Payments { return nil }

// hookStep is what a hook reads.
type hookStep struct {
	Name    string   `json:"name"`
	Fault   Fault    `json:"fault"`
	On      []string `json:"on,omitempty"`
	From    []string `json:"from,omitempty"`
	To      []string `json:"to,omitempty"`
	OneWay  bool     `json:"one_way,omitempty"`
	DelayMS float64  `json:"delay_ms,omitempty"`
	JitterM float64  `json:"jitter_ms,omitempty"`
	Loss    float64  `json:"loss,omitempty"`
	Rate    int64    `json:"rate,omitempty"`
	Share   float64  `json:"share,omitempty"`
	BySec   float64  `json:"by_seconds,omitempty"`
	ForSec  float64  `json:"for_seconds,omitempty"`
	Text    string   `json:"text"`
}

// hookPatience bounds one call of a hook.
const hookPatience = 5 * time.Minute

// cannot is the exit code of a hook that can not do a step.
const cannot = 3

func (t *Target) call(ctx context.Context, verb string, step any) error {
	ctx, cancel := context.WithTimeout(ctx, hookPatience)
	defer cancel()
	input, err := json.Marshal(step)
	if err != nil {
		return fmt.Errorf("tell the hook: %w", err)
	}
	cmd := exec.CommandContext(ctx, t.aim.Hook, verb) //nolint:gosec // G204: the operator names the program
	cmd.Stdin = bytes.NewReader(append(input, '\n'))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	text := strings.TrimSpace(clipEnd(said.String()))
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == cannot {
		return unsupported("the hook says: %s", text)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", t.aim.Hook, verb, err, text)
	}
	return nil
}

// clipEnd keeps the end of what a program said.
func clipEnd(s string) string {
	const most = 2000
	if len(s) > most {
		return "…" + strings.ToValidUTF8(s[len(s)-most:], "")
	}
	return s
}

// Do implements Field.
func (t *Target) Do(ctx context.Context, s Step) (undo Undo, err error) {
	if rules[s.Fault].pays {
		return nil, unsupported("the servers of a target know no provider of the drill")
	}
	p := s.Params
	step := hookStep{
		Name: s.Name, Fault: s.Fault, On: places(s.On), From: places(s.From), To: places(s.To), OneWay: p.OneWay, DelayMS: msOf(p.Delay), JitterM: msOf(p.Jitter),
		Loss: p.Loss, Rate: p.Rate, Share: p.Share, BySec: p.By.Seconds(), ForSec: s.For.Seconds(), Text: s.Text,
	}
	if err := t.call(ctx, "begin", step); err != nil {
		return nil, err
	}
	return quietly(func(ctx context.Context) error { return t.call(ctx, "end", step) }), nil
}

func msOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Heal implements Field.
func (t *Target) Heal(ctx context.Context) error {
	if err := t.call(ctx, "heal", struct{}{}); err != nil {
		return err
	}
	for {
		_, err := t.Books(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the target: %w", errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Close implements Field.
func (t *Target) Close(bool) (logs string, err error) {
	if t.books != nil {
		t.books.Close()
	}
	t.http.CloseIdleConnections()
	return "", nil
}
