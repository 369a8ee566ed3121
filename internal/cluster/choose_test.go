package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// bareMachine hides every engine of this machine from the test.
func bareMachine(t *testing.T) (bin string) {
	t.Helper()
	bin = t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv(envBinary, "")
	t.Setenv(envDownload, "0")
	places := postgresPlaces
	t.Cleanup(func() { postgresPlaces = places })
	postgresPlaces = []string{filepath.Join(bin, "postgresql", "*", "bin")}
	return bin
}

// program puts a shell script where the code under test looks for a program.
func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestStart_WithoutAnyEngineSaysWhatToInstall(t *testing.T) {
	bareMachine(t)
	_, err := Start(t.Context(), Options{Durable: true})
	if err == nil {
		t.Fatal("an engine was found")
	}
	for _, want := range []string{
		"CockroachDB: no cockroach on the PATH", "CockroachDB download: MERIDIAN_DOWNLOAD_COCKROACH is 0",
		"CockroachDB in Docker: docker", "PostgreSQL: no initdb", "Install one", "install postgresql", "--database-url",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*", "lock.new")); len(left) > 0 {
		t.Errorf("left on disk: %s", left)
	}
}

func TestStart_RefusesABinaryThatIsNamedButNotThere(t *testing.T) {
	bareMachine(t)
	missing := filepath.Join(t.TempDir(), "cockroach")
	t.Setenv(envBinary, missing)
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), missing) || strings.Contains(err.Error(), "PostgreSQL:") {
		t.Errorf("got %v, want a refusal that names %s and tries nothing else", err, missing)
	}
}

func TestStart_AnInstalledEngineThatFailsIsNotReplacedByAnother(t *testing.T) {
	program(t, filepath.Join(bareMachine(t), "cockroach"), "echo this machine is too small >&2; exit 7")
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "this machine is too small") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v, want the end of its log and its exit status", err)
	}
}

func TestStart_GoesOnWhenATentativeWayFails(t *testing.T) {
	needs(t, PostgreSQL)
	o, err := Options{Dir: openDir(t), Progress: func(line string) { t.Log(line) }}.complete()
	if err != nil {
		t.Fatal(err)
	}
	ways := sources(o)
	broken := errors.New("the image is broken")
	ways[2].find = func(context.Context) (server, string, error) { return brokenServer{broken}, "an image", nil }
	e, err := choose(t.Context(), o, ways[2:])
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.server.stop(false); err != nil {
			t.Error(err)
		}
	}()
	if e.Name != PostgreSQL || !strings.Contains(e.Why, "CockroachDB in Docker: an image: "+broken.Error()) {
		t.Errorf("took %s, because: %s", e.Name, e.Why)
	}
}

type brokenServer struct{ error }

func (s brokenServer) start(context.Context) ([]string, error) { return nil, s.error }
func (brokenServer) kill() error                               { return nil }
func (brokenServer) stop(bool) error                           { return nil }

func TestStart_TakesTheDatabaseThatIsGivenAndLeavesItAlone(t *testing.T) {
	needs(t, PostgreSQL)
	theirs := started(t, Options{Engine: PostgreSQL})
	e, err := Start(t.Context(), Options{DatabaseURL: theirs.URL, Regions: []string{"eu", "us"}})
	if err != nil {
		t.Fatal(err)
	}
	if e.Name != PostgreSQL || e.Version != theirs.Version || len(e.URLs) != 2 {
		t.Errorf("took %s %s with %d URLs", e.Name, e.Version, len(e.URLs))
	}
	if err := errors.Join(e.Stop(), e.Stop()); err != nil {
		t.Error(err)
	}
	connect(t, theirs.URL)
	if _, err := Start(t.Context(), Options{DatabaseURL: theirs.URL, Engine: CockroachDB}); err == nil {
		t.Error("PostgreSQL was taken for CockroachDB")
	}
}

func TestStart_RefusesWhatCannotBeMeant(t *testing.T) {
	for _, o := range []Options{{Engine: "mysql"}, {Regions: []string{"eu,zone=x"}}, {Regions: []string{""}}, {Regions: []string{"$(reboot)"}}} {
		if _, err := Start(t.Context(), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestFindPostgres_PrefersThePathThenTheNewestAndReadsOldDataWithItsOwn(t *testing.T) {
	bin := bareMachine(t)
	install := func(dir, version string) {
		program(t, filepath.Join(dir, "initdb"), "exit 1")
		program(t, filepath.Join(dir, "postgres"), "echo 'postgres (PostgreSQL) "+version+"'")
	}
	place := func(major string) string { return filepath.Join(bin, "postgresql", major, "bin") }
	find := func(dataOf string) string {
		dir := t.TempDir()
		if dataOf != "" {
			program(t, filepath.Join(dir, "postgresql", "x"), "")
			if err := os.WriteFile(filepath.Join(dir, "postgresql", "PG_VERSION"), []byte(dataOf+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		in, err := findPostgres(t.Context(), dir)
		if err != nil {
			return err.Error()
		}
		return in.version
	}
	wants := func(dataOf, want string) {
		t.Helper()
		if got := find(dataOf); !strings.Contains(got, want) {
			t.Errorf("data %q: got %s, want %s", dataOf, got, want)
		}
	}

	wants("", "no initdb and postgres on the PATH")
	install(place("9.6"), "9.6.24")
	wants("", "9.6.24 in "+place("9.6")+" is older than 14")
	install(place("15"), "15.13 (Debian 15.13-0+deb12u1)")
	install(place("17"), "17.2")
	wants("", "17.2")
	wants("15", "15.13")
	wants("16", "cannot read the data of PostgreSQL 16")
	install(bin, "16.1")
	wants("", "16.1")
	wants("16", "16.1")
	wants("17", "17.2")
}

func TestFindDocker_GivesUpOnASilentDaemonAndPullsNothingInTests(t *testing.T) {
	bin := bareMachine(t)
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	program(t, filepath.Join(bin, "docker"), "sleep 1000")
	begin := time.Now()
	err := findDocker(t.Context(), true, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "no daemon answered") {
		t.Errorf("got %v, want that no daemon answered", err)
	}
	if took := time.Since(begin); took > 2*dockerPatience {
		t.Errorf("it took %s to find that out", took)
	}

	log := filepath.Join(t.TempDir(), "log")
	program(t, filepath.Join(bin, "docker"), `echo "$1" >>`+log+`; [ "$1" = version ]`)
	if err := findDocker(t.Context(), false, func(string) {}); err == nil || !strings.Contains(err.Error(), dockerImage) {
		t.Errorf("got %v, want that the image is missing", err)
	}
	if said, err := os.ReadFile(log); err != nil || string(said) != "version\nimage\n" {
		t.Errorf("docker was asked for %q (%v), want no pull", said, err)
	}
}

func TestContainer_ScriptRunsEachNodeAndEndsWithAnyOfThem(t *testing.T) {
	one, two := node{index: 1, region: "eu", port: 1}, node{index: 2, region: "us", port: 2}
	script := (&container{dir: "/somewhere", durable: true}).script([]node{one, two})
	for _, want := range []string{
		"trap 'exit 0' TERM INT\n", "\n(/cockroach/cockroach start ", "--store=path=/data/node2 --listen-addr=0.0.0.0:2 ",
		"--join=127.0.0.1:1,127.0.0.1:2 --log-dir=/data/log2; kill -TERM 1) &\nwait",
	} {
		if !strings.Contains(script, want) {
			t.Errorf("no %q in\n%s", want, script)
		}
	}
}

func TestParseVersion_ReadsWhatTheServersSay(t *testing.T) {
	tests := []struct{ text, name, version string }{
		{"PostgreSQL 15.13 (Debian 15.13-0+deb12u1) on x86_64-pc-linux-gnu, compiled by gcc", PostgreSQL, "15.13"},
		{"PostgreSQL 18beta1 on aarch64", PostgreSQL, "18beta1"},
		{"CockroachDB CCL v25.4.14 (x86_64-pc-linux-gnu, built 2026/05/01, go1.24)", CockroachDB, "v25.4.14"},
		{"CockroachDB v22.1.0-alpha.1 (x86_64)", CockroachDB, "v22.1.0-alpha.1"},
		{"MySQL 8", "", ""},
	}
	for _, tt := range tests {
		name, version, err := parseVersion(tt.text)
		if name != tt.name || version != tt.version || (err == nil) != (tt.name != "") {
			t.Errorf("%q: %s %s %v, want %s %s", tt.text, name, version, err, tt.name, tt.version)
		}
	}
}
