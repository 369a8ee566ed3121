package changefeed

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/regions"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var update = flag.Bool("update", false, "write the golden files anew")

const (
	kafkaURI   = "kafka://b1:9092,b2:9092?topic_name=meridian.journal&tls_enabled=true&sasl_enabled=true&sasl_mechanism=SCRAM-SHA-512&sasl_user=m&sasl_password=hunter2"
	webhookURI = "webhook-https://ledger.example.com:8443/cdc/v1/webhook?ca_cert=TFMwdEhVTlRFUjI"
	header     = "Bearer hunter2hunter2"
)

func sink(t testing.TB, uri string) Sink {
	t.Helper()
	s, err := ParseSink(uri)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func optionsOf(t testing.TB, topologyName, uri string, v topology.Version) Options {
	t.Helper()
	o := Options{Sink: sink(t, uri), Version: v, Database: "ledger", Role: "meridian_cdc"}
	top, err := topology.Load(regions.FS, topologyName)
	if err != nil {
		t.Fatal(err)
	}
	for _, home := range top.HomeNames() {
		region, _ := top.RegionOf(home)
		o.Targets = append(o.Targets, Target{home, region})
	}
	if o.Sink.Kind == Webhook {
		o.Header = header
	}
	return o
}

func TestPlan_Golden(t *testing.T) {
	names, err := fs.Glob(regions.FS, "*.yaml")
	if err != nil || len(names) < 3 {
		t.Fatalf("%v %v", names, err)
	}
	for _, name := range names {
		name = strings.TrimSuffix(name, ".yaml")
		for _, v := range topology.Supported {
			for kind, uri := range map[string]string{"kafka": kafkaURI, "webhook": webhookURI} {
				file := fmt.Sprintf("%s-%s-%s.sql", name, v, kind)
				t.Run(file, func(t *testing.T) {
					p, err := New(optionsOf(t, name, uri, v))
					if err != nil {
						t.Fatal(err)
					}
					var b bytes.Buffer
					if err := p.Write(&b); err != nil {
						t.Fatal(err)
					}
					golden(t, filepath.Join("testdata", file), b.Bytes())
				})
			}
		}
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./internal/changefeed -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; after a look at the change, go test ./internal/changefeed -update writes it anew\ngot:\n%s", path, got)
	}
}

func TestPlan_ShowsNoSecretUnlessAsked(t *testing.T) {
	for _, uri := range []string{kafkaURI, webhookURI} {
		for _, inline := range []bool{false, true} {
			o := optionsOf(t, "laptop", uri, topology.Supported[0])
			o.Inline = inline
			p, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			if err := p.Write(&text); err != nil {
				t.Fatal(err)
			}
			form, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			for _, shown := range []string{text.String(), string(form), fmt.Sprintf("%v %+v %#v", o.Sink, o.Sink, o.Sink)} {
				if strings.Contains(shown, "hunter2") || strings.Contains(shown, "TFMwdEhVTlRFUjI") {
					t.Errorf("a secret is shown: %s", shown)
				}
			}
			form, _ = json.Marshal(p.WithSecrets())
			if !strings.Contains(string(form), "hunter2") {
				t.Errorf("asked for, no secret is shown: %s", form)
			}
		}
	}
}

func TestPlan_WithoutHomesIsOneChangefeedOfTheTable(t *testing.T) {
	p, err := New(Options{Sink: sink(t, kafkaURI), Version: topology.Supported[2]})
	if err != nil || len(p.Steps) != 2 || !strings.HasPrefix(p.Steps[1].SQL, "CREATE CHANGEFEED FOR TABLE journal INTO 'external://meridian_journal'\nWITH ") {
		t.Errorf("%+v %v", p.Steps, err)
	}
}

func TestPlan_Reuse(t *testing.T) {
	o := optionsOf(t, "laptop", kafkaURI, topology.Supported[2])
	o.Reuse = true
	p, err := New(o)
	if err != nil || len(p.Steps) != len(o.Targets) || !strings.Contains(p.Steps[0].SQL, "INTO 'external://meridian_journal'\n") {
		t.Errorf("%+v %v", p.Steps, err)
	}
}

func TestPlan_Refuses(t *testing.T) {
	good := optionsOf(t, "laptop", kafkaURI, topology.Supported[0])
	for name, spoil := range map[string]func(*Options){
		"a home that is none":       func(o *Options) { o.Targets = []Target{{"eu' OR true", ""}} },
		"a home twice":              func(o *Options) { o.Targets = []Target{{"eu", ""}, {"eu", ""}} },
		"a region that is none":     func(o *Options) { o.Targets = []Target{{"eu", "x y"}} },
		"a line in the database":    func(o *Options) { o.Database = "a\nb" },
		"a connection of a URI":     func(o *Options) { o.Connection = "a?b" },
		"a header for Kafka":        func(o *Options) { o.Header = header },
		"a header of several lines": func(o *Options) { o.Sink, o.Header = sink(t, webhookURI), "a\r\nb" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestParseSink_Refuses(t *testing.T) {
	for _, uri := range []string{
		"", "kafka", "kafka://", "http://x/", "webhook-http://x/", "kafka://b:9092/topic", "kafka://u:p@b:9092", "kafka://b:9092?topic_name=%zz",
		"kafka://b?sasl_enabled=true&sasl_password=hunter2", "webhook-https://x/?webhook_auth_header=hunter2", "external://x?y=z", "external://x/y",
		"kafka://b 1", "kafka://b\n", "webhook-https://x/#hunter2", "kafka://b'", "kafka://" + strings.Repeat("b", maxURI),
	} {
		if _, err := ParseSink(uri); err == nil {
			t.Errorf("%q was taken", uri)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error repeats it: %v", uri, err)
		}
	}
}

// tokens reads SQL as the server does, as far as it matters here: words, "names" and 'literals', with a doubled quote for one.
func tokens(sql string) (shape string, quoted []string, ok bool) {
	var b, q strings.Builder
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		if c != '\'' && c != '"' {
			b.WriteByte(c)
			continue
		}
		q.Reset()
		for i++; ; i++ {
			if i >= len(sql) {
				return "", nil, false
			}
			if sql[i] == c {
				if i+1 == len(sql) || sql[i+1] != c {
					break
				}
				i++
			}
			q.WriteByte(sql[i])
		}
		b.WriteByte(c)
		quoted = append(quoted, q.String())
	}
	return b.String(), quoted, true
}

// Whatever stands in names, URIs and headers: the shape of the statements is that of harmless ones, and what was given comes back whole.
func FuzzPlan_NothingGetsOutOfItsQuotes(f *testing.F) {
	for _, uri := range []string{kafkaURI, webhookURI, "external://x", `kafka://b?topic_name='); DROP TABLE journal; --`, `webhook-https://x/';--\'?a="`} {
		f.Add(uri, "ledger", "role", "eu", header)
		f.Add(uri, `le"dger'`, `"; DROP TABLE journal; --`, "eu' OR true --", `Bearer ' || "`)
	}
	f.Fuzz(func(t *testing.T, uri, database, role, home, auth string) {
		s, err := ParseSink(uri)
		if err != nil {
			return
		}
		o := Options{Sink: s, Version: topology.Supported[2], Database: database, Role: role, Targets: []Target{{id.Home(home), ""}}, Header: auth, Inline: true}
		p, err := New(o)
		if err != nil {
			return
		}
		calm := o
		calm.Targets = []Target{{"eu", ""}}
		if calm.Sink.uri = "kafka://b"; database != "" {
			calm.Database = "d"
		}
		if calm.Role = "r"; auth != "" {
			calm.Header = "h"
		}
		q, err := New(calm)
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range p.WithSecrets().Steps {
			got, quoted, ok := tokens(step.SQL)
			want, _, _ := tokens(q.WithSecrets().Steps[i].SQL)
			if !ok || got != want {
				t.Errorf("%q\nhas another shape than\n%q", got, want)
			}
			if all := strings.Join(quoted, "\x00"); !strings.Contains(all, uri) || !strings.HasSuffix(all, home) || !strings.Contains(all, auth) {
				t.Errorf("%q lost something", quoted)
			}
		}
		for i, step := range p.Preconditions {
			got, _, ok := tokens(step.SQL)
			want, _, _ := tokens(q.Preconditions[i].SQL)
			if !ok || got != want {
				t.Errorf("%q has another shape than %q", got, want)
			}
		}
	})
}
