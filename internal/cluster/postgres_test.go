package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestStart_PostgreSQLAnswersWithTheSettingsAskedFor(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	tests := []struct {
		durable                                bool
		fsync, commit, pages, buffers, maximum string
	}{
		{true, "on", "on", "on", "256MB", "4GB"},
		{false, "off", "off", "off", "64MB", "1GB"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("durable=%t", tt.durable), func(t *testing.T) {
			e := started(t, Options{Engine: PostgreSQL, Durable: tt.durable, Regions: []string{"eu", "us", "apac"}})
			conn := connect(t, e.URL)
			for setting, want := range map[string]string{
				"fsync": tt.fsync, "synchronous_commit": tt.commit, "full_page_writes": tt.pages,
				"shared_buffers": tt.buffers, "max_wal_size": tt.maximum,
				"max_connections": "200", "max_pred_locks_per_transaction": "256", "jit": "off", "TimeZone": "UTC",
				"server_encoding": "UTF8", "lc_collate": "C", "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
			} {
				if got := text(t, conn, "SHOW "+setting); got != want {
					t.Errorf("%s = %q, want %q", setting, got, want)
				}
			}
			if got := text(t, conn, "SELECT current_database()"); got != database {
				t.Errorf("database %q, want %q", got, database)
			}
			if got := text(t, conn, "SHOW server_version"); !strings.HasPrefix(got, e.Version) || e.Name != PostgreSQL {
				t.Errorf("engine %s %s, the server says %s", e.Name, e.Version, got)
			}
			if len(e.URLs) != 3 || e.URLs[0] != e.URL || e.URLs[2] != e.URL {
				t.Errorf("%d URLs, want the same one for each region", len(e.URLs))
			}
		})
	}
}

func TestStart_AsksForThePasswordAndNeverLogsIt(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	var said bytes.Buffer
	e := started(t, Options{
		Engine: PostgreSQL, Log: slog.New(slog.NewJSONHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Progress: func(line string) { fmt.Fprintln(&said, line) },
	})
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	if len(password) < 20 {
		t.Fatalf("a password of %d letters", len(password))
	}
	if strings.Contains(said.String()+e.Why, password) || !strings.Contains(said.String(), "engine started") {
		t.Error("the password was logged, or nothing was")
	}
	u.User = url.UserPassword(postgresUser, "wrong")
	if conn, err := pgx.Connect(t.Context(), u.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a wrong password is accepted")
	}
}

func TestStop_LeavesNoProcessAndNoDirectory(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	for _, before := range []string{"running", "connected", "killed"} {
		t.Run(before, func(t *testing.T) {
			e := started(t, Options{Engine: PostgreSQL})
			dir := e.home.dir
			if len(mentioning(t, dir)) == 0 {
				t.Fatal("a running engine is not seen")
			}
			switch before {
			case "connected":
				conn := connect(t, e.URL)
				exec1(t, conn, "BEGIN", "CREATE TABLE t (a int)")
			case "killed":
				if err := e.server.kill(); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := e.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if left := mentioning(t, dir); len(left) > 0 {
				t.Errorf("left running: %s", left)
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left on disk: %s (%v)", dir, err)
			}
		})
	}
}

func TestKill_EndsBackendsAndRestartKeepsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	e := started(t, Options{Engine: PostgreSQL, Durable: true})
	conn, busy := connect(t, e.URL), connect(t, e.URL)
	exec1(t, conn, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (42)", "BEGIN", "INSERT INTO t VALUES (43)")
	// A backend that computes would outlive a postmaster that was killed alone.
	failed := make(chan error, 1)
	go func() {
		_, err := busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1000000000000)")
		failed <- err
	}()
	watcher := connect(t, e.URL)
	eventually(t, "the busy query runs", func() bool {
		return text(t, watcher, "SELECT count(*)::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()") == "1"
	})

	if err := e.server.kill(); err != nil {
		t.Fatal(err)
	}
	if left := mentioning(t, e.home.dir); len(left) > 0 {
		t.Errorf("left running: %s", left)
	}
	if err := <-failed; err == nil {
		t.Error("a query survived the kill")
	}
	if _, err := e.server.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text(t, connect(t, e.URL), "SELECT string_agg(a::text, ',') FROM t"); got != "42" {
		t.Errorf("after the restart the table holds %s, want 42", got)
	}
}

func TestStart_KeepsADirectoryThatWasNamed(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	dir := openDir(t)
	first := started(t, Options{Engine: PostgreSQL, Dir: dir, Durable: true})
	exec1(t, connect(t, first.URL), "CREATE TABLE t (a int)", "INSERT INTO t VALUES (42)")

	if _, err := Start(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("a second engine in the same directory: %v, want a refusal that names the process", err)
	}
	if first.server.(*postgres).proc.hasEnded() {
		t.Error("the refusal cost the first engine its life")
	}
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{Dir: dir, Engine: CockroachDB}); err == nil || !strings.Contains(err.Error(), "holds data of another engine") {
		t.Errorf("CockroachDB over PostgreSQL's data: %v, want a refusal", err)
	}
	second := started(t, Options{Dir: dir, Durable: true}) // chosen by the data, even where there is a CockroachDB
	if got := text(t, connect(t, second.URL), "SELECT a::text FROM t"); got != "42" {
		t.Errorf("got %s, want 42", got)
	}
}

func TestStart_TwoEnginesAtOnce(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	a, b := started(t, Options{Engine: PostgreSQL}), started(t, Options{Engine: PostgreSQL})
	exec1(t, connect(t, a.URL), "CREATE TABLE t (a int)")
	exec1(t, connect(t, b.URL), "CREATE TABLE t (a int)") // fails if it is the same one
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	exec1(t, connect(t, b.URL), "SELECT * FROM t")
}

func TestStart_FailureCarriesTheEndOfTheLogAndLeavesNothing(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	dir := openDir(t)
	if err := started(t, Options{Engine: PostgreSQL, Dir: dir}).Stop(); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "postgresql", "postgresql.conf")
	if err := os.WriteFile(conf, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{Engine: PostgreSQL, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v, want the line of the log that names no_such_setting", err)
	}
	if left := mentioning(t, dir); len(left) > 0 {
		t.Errorf("left running: %s", left)
	}
}

func TestStart_NamesTheDirectoryItCannotUse(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(openDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, dir, named string }{
		{"below a file", filepath.Join(file, "sub"), file},
		{"where the engine's user may not pass", filepath.Join(closed, "sub"), closed + " "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dir != filepath.Join(file, "sub") && os.Geteuid() != 0 {
				t.Skip("SKIPPED: only root runs the engine as another user")
			}
			_, err := Start(t.Context(), Options{Engine: PostgreSQL, Dir: tt.dir})
			if err == nil || !strings.Contains(err.Error(), tt.named) {
				t.Errorf("got %v, want an error that names %s", err, tt.named)
			}
		})
	}
}

func TestStart_StopsAtTheCallersDeadline(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	ctx, cancel := context.WithCancel(t.Context())
	var dir string
	_, err := Start(ctx, Options{Engine: PostgreSQL, Progress: func(line string) {
		if found, ok := strings.CutPrefix(line, "PostgreSQL: initdb in "); ok {
			dir = found
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want %v", err, context.Canceled)
	}
	if _, err := os.Stat(dir); dir == "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left on disk: %q (%v)", dir, err)
	}
}

func TestPostgres_MovesToAnotherPortWhenSomebodyTookItsOwn(t *testing.T) {
	t.Parallel()
	needs(t, PostgreSQL)
	e := started(t, Options{Engine: PostgreSQL})
	p := e.server.(*postgres)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if err := p.kill(); err != nil {
		t.Fatal(err)
	}
	var ports []int
	err = onFreePorts(true, func() error {
		if len(ports) == 0 {
			p.port = taken.Addr().(*net.TCPAddr).Port
		} else if p.port, err = freePort(); err != nil {
			return err
		}
		ports = append(ports, p.port)
		return p.launch(t.Context())
	}, func() { p.port = 0 })
	if err != nil || len(ports) != 2 {
		t.Errorf("after the ports %v: %v, want success on the second", ports, err)
	}
}
