package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

const planned = "kafka://b1:9092?topic_name=journal&tls_enabled=true&sasl_enabled=true&sasl_user=m&sasl_password=hunter2"

func TestChangefeedPlan_ShowsSecretsToWhoAsks(t *testing.T) {
	args := []string{"events", "changefeed", "plan", "--topology", "three-continents", "--cluster-version", "26.2", "--sink", planned}
	text := ok(t, args...)
	if strings.Contains(text, "hunter2") || strings.Count(text, "\nCREATE CHANGEFEED ") != 3 || !strings.Contains(text, "kv.rangefeed.enabled") {
		t.Errorf("plan:\n%s", text)
	}
	if clear := ok(t, append(args, "--show-secrets")...); !strings.Contains(clear, "sasl_password=hunter2") {
		t.Errorf("plan --show-secrets:\n%s", clear)
	}
	var form struct {
		Steps []struct {
			SQL  string `json:"sql"`
			Home string `json:"home"`
		} `json:"steps"`
	}
	out := ok(t, append(args, "--home", "eu", "--json")...)
	if err := json.Unmarshal([]byte(out), &form); err != nil || len(form.Steps) != 2 || form.Steps[1].Home != "eu" || strings.Contains(out, "hunter2") {
		t.Errorf("%v: %s", err, out)
	}
	if got := strings.Count(text, "execution_locality = 'region="); got != 3 {
		t.Errorf("%d changefeeds say where they run", got)
	}
}

func TestChangefeed_Refuses(t *testing.T) {
	for _, row := range [][]string{
		{"--cluster-version", "26.2"},
		{"--sink", planned},
		{"--sink", planned, "--cluster-version", "23.1"},
		{"--sink", planned, "--cluster-version", "26.2", "--home", "EU"},
		{"--sink", planned, "--cluster-version", "26.2", "--topology", "laptop", "--home", "mars"},
		{"--sink", "postgres://x/hunter2", "--cluster-version", "26.2"},
	} {
		if r := meridian(t, append([]string{"events", "changefeed", "plan"}, row...)...); r.code == 0 || r.stdout != "" || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%v: %s", row, r)
		}
	}
}

// What the engines at hand say: PostgreSQL has no changefeeds, and this build of CockroachDB is too old for the statements.
func TestChangefeedApply_IsRefusedReadably(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		r := meridian(t, "events", "changefeed", "apply", "--sink", planned, "--home", "eu", "--cluster-version", "24.3", "--database-url", d.AdminURL)
		want := "PostgreSQL, which has no changefeeds"
		if d.Engine == "cockroachdb" {
			want = "version"
		}
		if r.code == 0 && d.Engine == "cockroachdb" {
			t.Skip("this build of CockroachDB takes changefeeds with a sink")
		}
		if r.code != 1 || !strings.Contains(r.stderr, want) || strings.Contains(r.stderr, "hunter2") || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s", r)
		}
	})
}

func TestServe_RefusesHalfAWebhook(t *testing.T) {
	short := filepath.Join(t.TempDir(), "short")
	if err := os.WriteFile(short, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, row := range [][]string{{"--feed", "webhook"}, {"--feed", "smoke"}, {"--cdc-webhook-token-file", short}} {
			r := meridian(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--database-url", d.URL}, row...)...)
			if r.code != 1 || strings.Contains(r.stderr, "hunter2") {
				t.Errorf("%v: %s", row, r)
			}
		}
	})
}
