package db_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/errs"
)

func state(code, message string) error {
	return fmt.Errorf("write a group: %w", &pgconn.PgError{Severity: "ERROR", Code: code, Message: message})
}

func TestClassify_BySQLState(t *testing.T) {
	for _, c := range []struct {
		code, message string
		statement     error // in the midst of a transaction
		commit        error // in answer to COMMIT
		cause         string
	}{
		{"40001", "restart transaction: TransactionRetryWithProtoRefreshError", errs.ErrContended, errs.ErrContended, "serialization"},
		{"CR000", "restart transaction", errs.ErrContended, errs.ErrContended, "serialization"},
		{"40P01", "deadlock detected", errs.ErrContended, errs.ErrContended, "deadlock"},
		{"40003", "result is ambiguous", errs.ErrOutcomeUnknown, errs.ErrOutcomeUnknown, "ambiguous"},
		{"23505", "duplicate key value", errs.ErrContended, errs.ErrContended, "unique"},
		{"23503", "violates foreign key constraint", errs.ErrInternal, errs.ErrInternal, ""},
		{"23514", "violates check constraint", errs.ErrInternal, errs.ErrInternal, ""},
		{"23502", "null value in column", errs.ErrInternal, errs.ErrInternal, ""},
		{"55P03", "canceling statement due to lock timeout", errs.ErrContended, errs.ErrContended, "lock_timeout"},
		{"57014", "query execution canceled due to statement timeout", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "statement_timeout"},
		{"25P02", "current transaction is aborted", errs.ErrInternal, errs.ErrInternal, ""},
		{"25P03", "terminating connection due to idle-in-transaction timeout", errs.ErrUnavailable, errs.ErrUnavailable, "transaction_timeout"},
		{"25P04", "terminating connection due to transaction timeout", errs.ErrUnavailable, errs.ErrUnavailable, "transaction_timeout"},
		{"57P01", "server is shutting down", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "57P01"},
		{"57P02", "terminating connection because of crash of another server process", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "57P02"},
		{"57P03", "the database system is starting up", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "57P03"},
		{"53300", "sorry, too many clients already", errs.ErrUnavailable, errs.ErrUnavailable, "53300"},
		{"53100", "could not extend file: No space left on device", errs.ErrUnavailable, errs.ErrUnavailable, "53100"},
		{"58C00", "replica unavailable", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "58C00"},
		{"58C01", "rpc error", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "58C01"},
		{"08006", "connection failure", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "08006"},
		{"XXA00", "transaction committed but schema change aborted", errs.ErrInternal, errs.ErrOutcomeUnknown, ""},
		{"XX000", "internal error", errs.ErrInternal, errs.ErrOutcomeUnknown, ""},
		{"XXUUU", "context canceled", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "canceled"}, // CANCEL SESSION on CockroachDB
		{"XXUUU", "rpc error: code = Unavailable desc = keepalive ping failed", errs.ErrUnavailable, errs.ErrOutcomeUnknown, "node"},
		{"XXUUU", "cannot specify timestamp in the future", errs.ErrContended, errs.ErrContended, "clock"},
		{"XXUUU", "something else", errs.ErrInternal, errs.ErrOutcomeUnknown, ""},
		{"0A000", "cached plan must not change result type", errs.ErrContended, errs.ErrContended, "stale_plan"},
		{"0A000", "unimplemented: this syntax", errs.ErrInternal, errs.ErrInternal, ""},
		{"42501", "permission denied for table entry", errs.ErrInternal, errs.ErrInternal, ""},
		{"28P01", "password authentication failed for user", errs.ErrUnavailable, errs.ErrUnavailable, "password"},
		{"28000", "no pg_hba.conf entry for host", errs.ErrUnavailable, errs.ErrUnavailable, "login"},
		{"3D000", "database does not exist", errs.ErrUnavailable, errs.ErrUnavailable, "database"},
		{"08P01", "node is running secure mode, SSL connection required", errs.ErrUnavailable, errs.ErrUnavailable, "tls"},
		{"08P01", "invalid message format", errs.ErrUnavailable, errs.ErrUnavailable, "08P01"},
		{"42P01", `relation "journal" does not exist`, errs.ErrInternal, errs.ErrInternal, ""},
		{"XCUBS", "bounded staleness read could not be satisfied", errs.ErrInternal, errs.ErrInternal, ""},
		{"XCHR1", "Query is not running in its home region", errs.ErrInternal, errs.ErrInternal, ""},
		{"XCHR2", "Query has no home region", errs.ErrInternal, errs.ErrInternal, ""},
		{"", "a server that forgets the code", errs.ErrInternal, errs.ErrInternal, ""},
	} {
		err := state(c.code, c.message)
		got := db.Classify(err)
		if !errors.Is(got, c.statement) || errs.Of(got).Fields["cause"] != c.cause {
			t.Errorf("Classify(%s %s) = %v, want %v because of %q", c.code, c.message, got, c.statement, c.cause)
		}
		if !errors.Is(got, err) {
			t.Errorf("Classify(%s) lost the driver's error", c.code)
		}
		if got := db.ClassifyCommit(err); !errors.Is(got, c.commit) {
			t.Errorf("ClassifyCommit(%s %s) = %v, want %v", c.code, c.message, got, c.commit)
		}
	}
}

func TestClassify_StalePlanInAnyLanguage(t *testing.T) {
	err := &pgconn.PgError{Code: "0A000", Message: "gecachter Plan darf den Ergebnistyp nicht ändern", Routine: "RevalidateCachedQuery"}
	if got := db.Classify(err); !errors.Is(got, errs.ErrContended) {
		t.Errorf("Classify = %v, want %v", got, errs.ErrContended)
	}
}

// notSent is what pgconn returns where not a byte has left.
type notSent struct{ error }

func (notSent) SafeToRetry() bool { return true }
func (e notSent) Unwrap() error   { return e.error }

func TestClassify_WithoutAServer(t *testing.T) {
	lostInFlight := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for _, c := range []struct {
		name              string
		err               error
		statement, commit error
	}{
		{"deadline of the caller", fmt.Errorf("timeout: %w", context.DeadlineExceeded), errs.ErrDeadlineExceeded, errs.ErrOutcomeUnknown},
		{"caller gone", fmt.Errorf("timeout: %w", context.Canceled), errs.ErrCanceled, errs.ErrOutcomeUnknown},
		{"deadline before the first byte", notSent{context.DeadlineExceeded}, errs.ErrDeadlineExceeded, errs.ErrDeadlineExceeded},
		{"connection closed before the first byte", notSent{errors.New("conn closed")}, errs.ErrUnavailable, errs.ErrUnavailable},
		{"connection reset", lostInFlight, errs.ErrUnavailable, errs.ErrOutcomeUnknown},
		{"end of stream", fmt.Errorf("receive message: %w", io.ErrUnexpectedEOF), errs.ErrUnavailable, errs.ErrOutcomeUnknown},
		{"COMMIT answered by ROLLBACK", pgx.ErrTxCommitRollback, errs.ErrContended, errs.ErrContended},
		{"an error of ours", fmt.Errorf("open a ledger: %w", errs.ErrLedgerExists), errs.ErrLedgerExists, nil},
		{"who knows", errors.New("can't scan"), errs.ErrInternal, errs.ErrOutcomeUnknown},
	} {
		if got := db.Classify(c.err); !errors.Is(got, c.statement) {
			t.Errorf("%s: Classify = %v, want %v", c.name, got, c.statement)
		}
		if got := db.ClassifyCommit(c.err); c.commit != nil && !errors.Is(got, c.commit) {
			t.Errorf("%s: ClassifyCommit = %v, want %v", c.name, got, c.commit)
		}
	}
	if db.Classify(nil) != nil || db.ClassifyCommit(nil) != nil {
		t.Error("no error became one")
	}
}

func TestOpen_NobodyAnswersIsUnavailable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // it accepts, and never says a word
	silent := fmt.Sprintf("postgresql://u:secret@%s/x?sslmode=disable&connect_timeout=1", listener.Addr())
	for name, url := range map[string]string{"a silent server": silent, "a closed port": "postgresql://u:secret@127.0.0.1:1/x"} {
		if _, err := db.Open(t.Context(), db.Options{URL: url}); !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("Open of %s = %v, want %v", name, err, errs.ErrUnavailable)
		}
	}
}

func TestPause_GrowsWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.IntRange(1, 10_000).Draw(t, "attempts")
		bound := 250 * time.Millisecond
		if attempts < 8 {
			bound = time.Millisecond << attempts
		}
		if pause := db.Pause(attempts); pause <= 0 || pause > bound {
			t.Fatalf("Pause(%d) = %s, want more than 0 and at most %s", attempts, pause, bound)
		}
	})
}
