package schema

import (
	"context"
	"database/sql"
	"errors"

	"github.com/pressly/goose/v3/database"
)

// versions is the table of applied versions. goose's own would do, but for three things: nothing keeps a version from standing there
// twice, its key comes from a sequence, and a crash between its creation and its first row is beyond repair. Version 0 stands for the
// table itself; goose looks for it to see whether the table is there.
type versions struct{}

var _ database.Store = versions{}

const sqlCreateVersions = `
CREATE TABLE IF NOT EXISTS schema_version (
    version    INT8        NOT NULL PRIMARY KEY,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)`

const sqlInsertVersion = `INSERT INTO schema_version (version) VALUES ($1) ON CONFLICT (version) DO NOTHING`

const sqlSelectVersion = `SELECT applied_at FROM schema_version WHERE version = $1`

const sqlLatestVersion = `SELECT max(version) FROM schema_version`

const sqlListVersions = `SELECT version FROM schema_version ORDER BY version DESC`

// Tablename is for goose's messages.
func (versions) Tablename() string { return "schema_version" }

// CreateVersionTable may run on a table that is there.
func (versions) CreateVersionTable(ctx context.Context, q database.DBTxConn) error {
	_, err := q.ExecContext(ctx, sqlCreateVersions)
	return err
}

// Insert records a version; a second time it changes nothing.
func (versions) Insert(ctx context.Context, q database.DBTxConn, r database.InsertRequest) error {
	_, err := q.ExecContext(ctx, sqlInsertVersion, r.Version)
	return err
}

// Delete refuses: entries are for ever, and so are the tables that hold them. A mistake is mended by the next migration.
func (versions) Delete(context.Context, database.DBTxConn, int64) error {
	return errors.New("migrations of the books do not go back")
}

// GetMigration finds one version.
func (versions) GetMigration(ctx context.Context, q database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	r := &database.GetMigrationResult{IsApplied: true}
	err := q.QueryRowContext(ctx, sqlSelectVersion, version).Scan(&r.Timestamp)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, database.ErrVersionNotFound
	case err != nil:
		return nil, err
	}
	return r, nil
}

// GetLatestVersion finds the highest.
func (versions) GetLatestVersion(ctx context.Context, q database.DBTxConn) (int64, error) {
	var version sql.NullInt64
	if err := q.QueryRowContext(ctx, sqlLatestVersion).Scan(&version); err != nil {
		return 0, err
	}
	if !version.Valid {
		return 0, database.ErrVersionNotFound
	}
	return version.Int64, nil
}

// ListMigrations lists all, the highest first.
func (versions) ListMigrations(ctx context.Context, q database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := q.QueryContext(ctx, sqlListVersions)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*database.ListMigrationsResult
	for rows.Next() {
		r := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&r.Version); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// Newest returns the version of the schema that this binary speaks.
func Newest() int64 {
	all, err := books.known()
	if err != nil || len(all) == 0 {
		panic("the migrations inside the binary are unreadable") // a test reads them
	}
	return all[len(all)-1].Version
}
