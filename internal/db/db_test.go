package db_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
)

func TestSnapshot_SeesOneInstantWhileAWriterRuns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		open(t, d, "a", "b")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		committed, ended := make(chan struct{}), make(chan error, 1)
		go func() { // moves one unit at a time: together they always hold 200
			for {
				err := d.DB.Write(ctx, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, sqlDebit, "a", 1); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, sqlCredit, "b", 1)
					return err
				})
				if err != nil {
					ended <- err
					return
				}
				select {
				case committed <- struct{}{}:
				case <-ctx.Done():
				}
			}
		}()
		for range 5 {
			err := d.DB.Snapshot(t.Context(), func(conn *pgx.Conn) error {
				a, err := balance(t.Context(), conn, "a")
				if err != nil {
					return err
				}
				for range 3 { // the writer is not held up, and what it writes is not seen
					select {
					case <-committed:
					case err := <-ended:
						return fmt.Errorf("the writer ended: %w", err)
					case <-time.After(time.Minute):
						return errors.New("the writer stands still")
					}
				}
				b, err := balance(t.Context(), conn, "b")
				if err == nil && a+b != 200 {
					err = fmt.Errorf("a holds %d and b holds %d, want 200 together", a, b)
				}
				return err
			})
			if err != nil {
				t.Fatalf("Snapshot: %v", err)
			}
		}
	})
}

func TestSnapshot_SeesWhatWasCommittedBefore(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		open(t, d, "a")
		for i := range int64(100) {
			err := d.DB.Write(t.Context(), func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), sqlSet, "a", i)
				return err
			})
			if err != nil {
				t.Fatalf("Write: %v", err)
			}
			err = d.DB.Snapshot(t.Context(), func(conn *pgx.Conn) error {
				b, err := balance(t.Context(), conn, "a")
				if err == nil && b != i {
					err = fmt.Errorf("it holds %d, want the %d that was acknowledged", b, i)
				}
				return err
			})
			if err != nil {
				t.Fatalf("Snapshot: %v", err)
			}
		}
	})
}

func TestSnapshot_WritesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		open(t, d, "a")
		err := d.DB.Snapshot(t.Context(), func(conn *pgx.Conn) error {
			_, err := conn.Exec(t.Context(), sqlSet, "a", 1)
			return err
		})
		if err == nil || mustBalance(t, d.DB.Reader(), "a") != 100 {
			t.Errorf("a write in a snapshot = %v, want a refusal", err)
		}
		if err := d.DB.Ping(t.Context()); err != nil {
			t.Errorf("Ping after it = %v, want the pool to be whole", err)
		}
	})
}

func TestReader_DoesNotWaitForWriters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		open(t, d, "a")
		small, err := db.Open(t.Context(), db.Options{URL: d.URL, Writers: 1, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer small.Close()
		writer, err := small.Writer(t.Context())
		if err != nil {
			t.Fatal(err)
		}

		if b := mustBalance(t, small.Reader(), "a"); b != 100 {
			t.Errorf("balance = %d, want 100", b)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := small.Write(ctx, func(pgx.Tx) error { return nil }); !errors.Is(err, errs.ErrDeadlineExceeded) {
			t.Errorf("Write without a free connection = %v, want %v", err, errs.ErrDeadlineExceeded)
		}

		writer.Release()
		if err := small.Write(t.Context(), func(pgx.Tx) error { return nil }); err != nil {
			t.Errorf("Write with a free connection = %v, want nil", err)
		}
	})
}

func TestOpen_TellsTheEngine(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		want := map[string]string{"postgresql": "PostgreSQL", "cockroachdb": "CockroachDB"}[d.Engine]
		if d.DB.Engine.Name != d.Engine || !strings.Contains(d.DB.Version, want) {
			t.Errorf("engine %s, version %s; want %s", d.DB.Engine.Name, d.DB.Version, d.Engine)
		}
	})
}

func TestWriter_IsSerializableOnBothEngines(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		err := d.DB.Write(t.Context(), func(tx pgx.Tx) error {
			var level string
			if err := tx.QueryRow(t.Context(), `SHOW transaction_isolation`).Scan(&level); err != nil {
				return err
			}
			if level != "serializable" {
				t.Errorf("isolation level %s, want serializable", level)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
