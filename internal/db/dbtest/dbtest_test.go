package dbtest_test

import (
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/schema"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestEach_GivesAMigratedDatabaseOfItsOwn(t *testing.T) {
	const sqlInsert = `INSERT INTO ledger (id, home, metadata, created_at) VALUES ('brand', 'eu', '{}', now())`
	for range 2 { // the second would meet the first one's row
		dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
			t.Parallel()
			if d.DB.Engine.Name != d.Engine {
				t.Errorf("the database is %s, want %s", d.DB.Engine.Name, d.Engine)
			}
			if err := schema.Check(t.Context(), d.DB.Reader()); err != nil {
				t.Errorf("Check = %v, want the present version", err)
			}
			if _, err := d.DB.Reader().Exec(t.Context(), sqlInsert); err != nil {
				t.Errorf("insert a ledger: %v", err)
			}
		})
	}
}
