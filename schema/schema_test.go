package schema_test

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// lines collects what Up says about its progress.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
}

// about counts the lines with a prefix.
func (l *lines) about(prefix string) (n int) {
	for _, line := range l.all {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func mustUp(t *testing.T, url string, o schema.Options) {
	t.Helper()
	if err := schema.Up(t.Context(), url, o); err != nil {
		t.Fatalf("Up: %v", err)
	}
}

func TestUp_SeveralAtOnceApplyEachMigrationOnce(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		const migrators = 4
		var said lines
		results := make(chan error, migrators)
		for range migrators {
			go func() {
				results <- schema.UpFrom(t.Context(), d.AdminURL, schema.Files, schema.Options{Progress: said.add})
			}()
		}
		for range migrators {
			if err := <-results; err != nil {
				t.Errorf("Up: %v", err)
			}
		}
		if n := said.about("00001_books: done"); n != 1 {
			t.Errorf("00001_books was applied %d times, want once\n%s", n, strings.Join(said.all, "\n"))
		}
		if n := said.about("00001_books: CREATE TABLE IF NOT EXISTS entry"); n != 1 {
			t.Errorf("the table entry was announced %d times, want once\n%s", n, strings.Join(said.all, "\n"))
		}
		if err := schema.Check(t.Context(), connect(t, d.AdminURL)); err != nil {
			t.Errorf("Check after Up = %v", err)
		}
	})
}

// An interrupted migration has no version row and some of its tables: Up begins it again.
func TestUp_EveryStatementRunsAgainWithoutHarm(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		mustUp(t, d.AdminURL, schema.Options{})
		conn := connect(t, d.AdminURL)
		mustExec(t, conn, `INSERT INTO ledger (id, home, metadata, created_at) VALUES ('brand', 'eu', '{}', now())`)
		mustExec(t, conn, `DELETE FROM schema_version`)

		mustUp(t, d.AdminURL, schema.Options{})
		var ledgers int
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM ledger`).Scan(&ledgers); err != nil || ledgers != 1 {
			t.Errorf("ledgers after running everything again = %d, %v; want the one that was there", ledgers, err)
		}
	})
}

func TestUp_ResumesWhereAStatementFailed(t *testing.T) {
	migration := func(second string) fs.FS {
		return fstest.MapFS{
			"migrations/00001_first.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" +
				"CREATE TABLE IF NOT EXISTS one (id INT8 PRIMARY KEY);\n" + second + ";\nCREATE TABLE IF NOT EXISTS three (id INT8 PRIMARY KEY);\n")},
			"postgres/00001_nothing.sql": {Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\n")},
		}
	}
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		err := schema.UpFrom(t.Context(), d.AdminURL, migration("INSERT INTO missing VALUES (1)"), schema.Options{})
		if err == nil || !strings.Contains(err.Error(), "missing") {
			t.Fatalf("Up over a broken statement = %v, want the server's complaint", err)
		}
		conn := connect(t, d.AdminURL)
		mustExec(t, conn, `INSERT INTO one VALUES (1)`) // what came before the failure is there
		if err := schema.Check(t.Context(), conn); !errors.Is(err, schema.ErrOlder) {
			t.Errorf("Check half-way = %v, want ErrOlder", err)
		}

		if err := schema.UpFrom(t.Context(), d.AdminURL, migration("INSERT INTO one VALUES (2)"), schema.Options{}); err != nil {
			t.Fatalf("Up after the statement was mended: %v", err)
		}
		mustExec(t, conn, `INSERT INTO three SELECT id FROM one`)
	})
}

func TestUp_WaitsForALiveMigratorAndOutlivesADeadOne(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		mustUp(t, d.AdminURL, schema.Options{}) // makes the table of the lock
		conn := connect(t, d.AdminURL)
		mustExec(t, conn, `UPDATE schema_lock SET locked = true, locked_by = 'another', lease_expires_at = now() + INTERVAL '1 hour'`)

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := schema.UpFrom(ctx, d.AdminURL, schema.Files, schema.Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Up while another holds the lock = %v, want the end of our patience", err)
		}

		mustExec(t, conn, `UPDATE schema_lock SET lease_expires_at = now() + INTERVAL '400 milliseconds'`)
		var over time.Time
		if err := conn.QueryRow(t.Context(), `SELECT lease_expires_at FROM schema_lock`).Scan(&over); err != nil {
			t.Fatal(err)
		}
		if err := schema.UpFrom(t.Context(), d.AdminURL, schema.Files, schema.Options{}); err != nil {
			t.Fatalf("Up after the other one died: %v", err)
		}
		var now time.Time
		if err := conn.QueryRow(t.Context(), `SELECT now()`).Scan(&now); err != nil {
			t.Fatal(err)
		}
		if now.Before(over) {
			t.Errorf("Up took the lock at %s, before the lease ended at %s", now, over)
		}
	})
}

func TestCheck_RefusesASchemaItDoesNotKnow(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		conn := connect(t, d.AdminURL)
		refused := func(when string, want error, advice string) {
			t.Helper()
			if err := schema.Check(t.Context(), conn); !errors.Is(err, want) || !strings.Contains(err.Error(), advice) {
				t.Errorf("Check of %s = %v, want %q", when, err, want)
			}
		}
		refused("an empty database", schema.ErrOlder, "meridian migrate up")

		mustUp(t, d.AdminURL, schema.Options{})
		if err := schema.Check(t.Context(), conn); err != nil {
			t.Errorf("Check after Up = %v, want nil", err)
		}

		mustExec(t, conn, `INSERT INTO schema_version (version) VALUES (99999)`)
		refused("a newer one", schema.ErrNewer, "upgrade the binary")
		var said lines
		if err := schema.Up(t.Context(), d.AdminURL, schema.Options{Progress: said.add}); !errors.Is(err, schema.ErrNewer) || len(said.all) > 0 {
			t.Errorf("Up on a newer schema = %v, having run %q; want ErrNewer and nothing run", err, said.all)
		}

		mustExec(t, conn, `DELETE FROM schema_version WHERE version = 1`)
		refused("one that is newer and has a hole", schema.ErrNewer, "upgrade the binary")
		mustExec(t, conn, `DELETE FROM schema_version WHERE version > 0`)
		refused("one without a migration", schema.ErrOlder, "00001_books is missing")
	})
}

func TestStatus_ListsWhatIsPendingAppliedAndUnknown(t *testing.T) {
	dbtest.EachEmpty(t, func(t *testing.T, d dbtest.Database) {
		before, err := schema.Status(t.Context(), d.AdminURL)
		if err != nil || len(before) == 0 || before[0].Name != "00001_books" || !before[0].AppliedAt.IsZero() {
			t.Errorf("Status of an empty database = %v, %v; want 00001_books pending", before, err)
		}
		mustUp(t, d.AdminURL, schema.Options{})
		mustExec(t, connect(t, d.AdminURL), `INSERT INTO schema_version (version) VALUES (99999)`)

		after, err := schema.Status(t.Context(), d.AdminURL)
		if err != nil || len(after) != len(before)+1 {
			t.Fatalf("Status = %v, %v; want %d migrations", after, err, len(before)+1)
		}
		for _, m := range after {
			if m.AppliedAt.IsZero() || (m.Name == "") != (m.Version == 99999) {
				t.Errorf("Status has %+v, want it applied, and a name if it is ours", m)
			}
		}
	})
}

func TestNewest_IsTheVersionThatUpLeadsTo(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	all, err := schema.Status(t.Context(), d.AdminURL)
	if err != nil || len(all) == 0 || all[len(all)-1].Version != schema.Newest() {
		t.Errorf("Newest = %d, and Status after Up is %v, %v", schema.Newest(), all, err)
	}
}

func TestUp_SetsWhatPostgreSQLNeedsOnTop(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	conn := connect(t, d.AdminURL)
	var account, hold string
	const sqlOptions = `SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE oid = $1::text::regclass`
	if err := conn.QueryRow(t.Context(), sqlOptions, "account").Scan(&account); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(t.Context(), sqlOptions, "hold").Scan(&hold); err != nil {
		t.Fatal(err)
	}
	const vacuum = "autovacuum_vacuum_scale_factor=0.02 autovacuum_vacuum_threshold=1000"
	if account != "fillfactor=50 "+vacuum || hold != vacuum {
		t.Errorf("account has %q, hold has %q", account, hold)
	}
}

func TestUp_SpeaksOnlyOfWhatIsNew(t *testing.T) {
	with := func(second string) fs.FS {
		file := func(sql string) *fstest.MapFile {
			return &fstest.MapFile{Data: []byte("-- +goose NO TRANSACTION\n-- +goose Up\n" + sql + ";\n")}
		}
		return fstest.MapFS{
			"migrations/00001_first.sql": file("CREATE TABLE IF NOT EXISTS one (id INT8 PRIMARY KEY)"),
			"postgres/00001_store.sql":   file("ALTER TABLE one SET (fillfactor = 50)"),
			"postgres/00002_other.sql":   file(second),
		}
	}
	d := dbtest.Empty(t, "postgresql")
	up := func(files fs.FS) *lines {
		t.Helper()
		var said lines
		if err := schema.UpFrom(t.Context(), d.AdminURL, files, schema.Options{Progress: said.add}); err != nil {
			t.Fatalf("Up: %v", err)
		}
		return &said
	}
	first := up(with("SELECT 1"))
	for _, source := range []string{"00001_first: done", "00001_store: done", "00002_other: done"} {
		if n := first.about(source); n != 1 {
			t.Errorf("%q was said %d times, want once: %q", source, n, first.all)
		}
	}
	conn := connect(t, d.AdminURL)
	mustExec(t, conn, `ALTER TABLE one RESET (fillfactor)`) // as a restore might
	if again := up(with("SELECT 1")); len(again.all) > 0 {
		t.Errorf("a second run says %q, want nothing", again.all)
	}
	var options string
	if err := conn.QueryRow(t.Context(), `SELECT array_to_string(reloptions, ' ') FROM pg_class WHERE relname = 'one'`).Scan(&options); err != nil || options != "fillfactor=50" {
		t.Errorf("after a second run the table has %q, %v; want it mended all the same", options, err)
	}
	if changed := up(with("SELECT 2")); changed.about("00002_other: ") != len(changed.all) || changed.about("00002_other: done") != 1 {
		t.Errorf("a changed file is told as %q, want it alone", changed.all)
	}
	if _, err := conn.Exec(t.Context(), `COMMENT ON TABLE schema_version IS 'it''s mine'`); err != nil {
		t.Fatal(err)
	}
	if foreign := up(with("SELECT 2")); foreign.about("00001_store: done") != 1 {
		t.Errorf("with the comment of somebody else it says %q", foreign.all)
	}
}

// A file inside a transaction would be committed half-way by CockroachDB (autocommit_before_ddl), and there is no way back from money.
func TestFiles_AreForwardOnlyAndOutsideTransactions(t *testing.T) {
	err := fs.WalkDir(schema.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(schema.Files, name)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), "\n-- +goose NO TRANSACTION\n") {
			t.Errorf("%s: want the line -- +goose NO TRANSACTION", name)
		}
		if strings.Contains(string(text), "+goose Down") {
			t.Errorf("%s goes back", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
