package db_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
)

// contended is a loss that never ends.
func contended(attempts *int) func(pgx.Tx) error {
	return func(pgx.Tx) error {
		*attempts++
		return &pgconn.PgError{Severity: "ERROR", Code: "55P03", Message: "lock timeout"}
	}
}

// deadline is a context whose time runs out when the test says so.
type deadline struct {
	context.Context //nolint:containedctx // it is one
	over            chan struct{}
}

func (d deadline) Done() <-chan struct{} { return d.over }

func (d deadline) Err() error {
	select {
	case <-d.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestWrite_EndsWithTheCallersDeadline(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		ctx := deadline{t.Context(), make(chan struct{})}
		attempts := 0
		again := contended(&attempts)
		err := d.DB.Write(ctx, func(tx pgx.Tx) error {
			err := again(tx)
			if attempts == 3 {
				close(ctx.over)
			}
			return err
		})
		if !errors.Is(err, errs.ErrDeadlineExceeded) || attempts != 3 {
			t.Errorf("Write = %v after %d attempts, want %v after 3", err, attempts, errs.ErrDeadlineExceeded)
		}
		if err := d.DB.Write(t.Context(), func(pgx.Tx) error { return nil }); err != nil {
			t.Errorf("the next Write = %v, want the pool to be whole", err)
		}
	})
}

func TestWrite_EndsWithItsBudget(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		t.Parallel() // it pauses for four seconds
		attempts := 0
		err := d.DB.Write(t.Context(), contended(&attempts))
		if !errors.Is(err, errs.ErrContended) || attempts != db.Budget {
			t.Errorf("Write = %v after %d attempts, want %v after %d", err, attempts, errs.ErrContended, db.Budget)
		}
	})
}

func TestWrite_RefusalsAreNotRepeated(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, refusal := range []error{errs.ErrLedgerExists, &pgconn.PgError{Code: "23514"}} {
			attempts := 0
			err := d.DB.Write(t.Context(), func(pgx.Tx) error {
				attempts++
				return refusal
			})
			if !errors.Is(err, refusal) || attempts != 1 {
				t.Errorf("Write = %v after %d attempts, want %v at once", err, attempts, refusal)
			}
		}
	})
}

func TestWrite_ARefusalAtCommitIsARefusal(t *testing.T) {
	d := dbtest.New(t, "postgresql") // CockroachDB defers no constraint
	admin, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	const sqlDeferred = `ALTER TABLE account ADD CONSTRAINT of_ledger FOREIGN KEY (ledger_id) REFERENCES ledger (id) INITIALLY DEFERRED`
	if _, err := admin.Exec(t.Context(), sqlDeferred); err != nil {
		t.Fatal(err)
	}
	err = d.DB.Write(t.Context(), func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), sqlOpen, []string{"orphan"})
		return err
	})
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.Code != "23503" || errors.Is(err, errs.ErrOutcomeUnknown) {
		t.Errorf("Write = %v, want the violation that COMMIT reported", err)
	}
}

func TestWrite_AConnectionThatWasCutIsUnavailable(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	admin, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	const sqlGone = `SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)`
	gone := func(pid uint32) {
		t.Helper()
		for is := false; !is; {
			if err := admin.QueryRow(t.Context(), sqlGone, pid).Scan(&is); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, cut := range map[string]func(tx pgx.Tx, pid uint32) error{
		"terminated": func(_ pgx.Tx, pid uint32) error {
			_, err := admin.Exec(t.Context(), `SELECT pg_terminate_backend($1)`, pid)
			return err
		},
		"idle for too long": func(tx pgx.Tx, _ uint32) error {
			_, err := tx.Exec(t.Context(), `SET idle_in_transaction_session_timeout = '20ms'`)
			return err
		},
	} {
		attempts := 0
		err := d.DB.Write(t.Context(), func(tx pgx.Tx) error {
			attempts++
			pid := tx.Conn().PgConn().PID()
			if err := cut(tx, pid); err != nil {
				return err
			}
			gone(pid)
			_, err := tx.Exec(t.Context(), `SELECT 1`)
			return err
		})
		if !errors.Is(err, errs.ErrUnavailable) || attempts != 1 {
			t.Errorf("%s: Write = %v after %d attempts, want %v at once", name, err, attempts, errs.ErrUnavailable)
		}
	}
}
