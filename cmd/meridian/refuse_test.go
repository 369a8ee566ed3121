package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

const nobodyThere = "postgresql://meridian:hunter2-secret@127.0.0.1:1/ledger"

func TestServe_RefusesADatabaseWithoutItsSchema(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		refused(t, meridian(t, "serve", "--listen", "127.0.0.1:0", "--database-url", d.URL), "run `meridian migrate up`")
	})
}

func TestServe_RefusesWhatItCanNotStartWith(t *testing.T) {
	there := postgres(t).URL
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no database", nil, "name the database with --database-url or MERIDIAN_DATABASE_URL"},
		{"nobody there", []string{"--database-url", nobodyThere}, "the database can not be reached"},
		{"a database that is missing", []string{"--database-url", elsewhere(t, there)}, `there is no database "nowhere"`},
		{"no URL", []string{"--database-url", "postgresql://u:hunter2-secret@db1:5x/l"}, "read the database URL"},
		{"a flag that is none", []string{"--listne", ":0"}, "unknown flag: --listne"},
		{"an argument", []string{"now"}, `unknown command "now" for "meridian serve"`},
		{"a level that is none", []string{"--log-level", "loud"}, `log level "loud"`},
		{"a format that is none", []string{"--log-format", "xml"}, `log format "xml"`},
		{"a duration that is none", []string{"--drain-delay", "soon"}, "--drain-delay"},
		{"a ledger that is none", []string{"--default-ledger", "brand eu"}, "brand eu"},
		{"a topology that is none", []string{"--topology", "mars"}, `there is no topology "mars"; there are: five-regions`},
		{"an address that is none", []string{"--database-url", there, "--listen", "127.0.0.1:seven"}, "listen on 127.0.0.1:seven"},
		{"a certificate without its key", []string{"--database-url", there, "--tls-cert", "server.crt"}, "load the TLS certificate"},
		{"profiles for everybody", []string{"--database-url", there, "--pprof", "0.0.0.0:0"}, "want an address of this machine alone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := meridian(t, append([]string{"serve"}, row.args...)...)
			refused(t, r, row.want)
			wantNoSecret(t, r)
		})
	}
}

// elsewhere names another database of the same server.
func elsewhere(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/nowhere"
	return u.String()
}

func wantNoSecret(t *testing.T, r result) {
	t.Helper()
	if strings.Contains(r.stdout+r.stderr, "hunter2") {
		t.Errorf("the password shows: %s", r)
	}
}

// Everything that takes a database URL, with a database that is not there.
func TestEveryCommand_KeepsThePasswordWhereItFails(t *testing.T) {
	config := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(config, []byte("database-url: "+nobodyThere+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{
		"serve --listen 127.0.0.1:0", "serve --log-level debug", "migrate up", "migrate status", "migrate grants --apply", "verify", "demo --json",
		"dev", "bench",
	} {
		args := strings.Fields(command)
		for name, r := range map[string]result{
			"flag": meridian(t, append(args, "--database-url", nobodyThere)...),
			"file": meridian(t, append(args, "--config", config)...),
			"env":  meridianWith(t, []string{"MERIDIAN_DATABASE_URL=" + nobodyThere}, args...),
			"pair": meridian(t, append(args, "--database-url", "host=127.0.0.1 port=1 user=meridian password=hunter2-secret dbname=ledger")...),
			"odd":  meridian(t, append(args, "--database-url", "postgresql://meridian:hunter2-secret@127.0.0.1:1/ledger?sslmode=odd")...),
		} {
			if r.code != 1 {
				t.Errorf("%s (%s): exit code %d, want 1: %s", command, name, r.code, r)
			}
			wantNoSecret(t, r)
		}
	}
	wantNoSecret(t, meridianWith(t, []string{"MERIDIAN_DATABASE_URL=" + nobodyThere}, "serve", "--help"))
}

func TestEveryCommand_KeepsThePasswordWhereItWorks(t *testing.T) {
	d := postgres(t)
	secrets := map[string]bool{}
	withPassword := func(raw string) (string, string) {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		secret, has := u.User.Password()
		if !has {
			secret = "hunter2-secret" // this server asks nobody for one
			u.User = url.UserPassword(u.User.Username(), secret)
		}
		secrets[secret] = true
		return u.String(), secret
	}
	as, password := withPassword(d.URL)
	owner, _ := withPassword(d.AdminURL)
	s := serving(t, as, "--log-level", "debug")
	s.furnish(t, "acc_42")
	outputs := map[string]string{
		"/metrics": ask(t, http.DefaultClient, http.MethodGet, s.URL+"/metrics", "").body,
		"/readyz":  ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "").body,
	}
	for _, command := range []string{"migrate up", "migrate status", "migrate status --json", "verify", "verify --json"} {
		r := meridian(t, append(strings.Fields(command), "--database-url", owner)...)
		if r.code != 0 {
			t.Errorf("%s: %s", command, r)
		}
		outputs[command] = r.stdout + r.stderr
	}
	s.terminate(t)
	s.exit(t, patience)
	outputs["serve"] = s.log.String() + s.errors.String()

	// The other form of an address: what is no URL must not be shown as if it were one.
	u, err := url.Parse(as)
	if err != nil {
		t.Fatal(err)
	}
	pairs := "host=" + u.Hostname() + " port=" + u.Port() + " user=" + u.User.Username() + " password=" + password + " dbname=" + strings.TrimPrefix(u.Path, "/") + " sslmode=disable"
	paired := serving(t, pairs)
	if line := paired.logged(t, "serving"); line["database"] != u.Host+u.Path {
		t.Errorf("the log says %v, want %s", line["database"], u.Host+u.Path)
	}
	paired.terminate(t)
	paired.exit(t, patience)
	outputs["serve with pairs"] = paired.log.String() + paired.errors.String()
	for name, text := range outputs {
		for secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows the password:\n%s", name, text)
			}
		}
	}
}

func TestMeridian_RefusesWhatItDoesNotKnow(t *testing.T) {
	refused(t, meridian(t, "sevre"), `unknown command "sevre"`)
	refused(t, meridian(t, "account", "open"), "accepts 1 arg(s), received 0")
	refused(t, meridian(t, "import", "export.csv"), `required flag(s) "map" not set`)
	refused(t, meridian(t, "verify"), "--database-url")
	refused(t, meridian(t, "migrate", "up"), "--database-url")
	refused(t, meridian(t, "account", "balance", "acc_42"), "--ledger")
	refused(t, meridian(t, "account", "balance", "acc_42", "--ledger", "brand-eu", "--server", "http://127.0.0.1:1"), "there is no answer from the node")
}
