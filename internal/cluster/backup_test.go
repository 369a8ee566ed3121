package cluster

import (
	"testing"
	"time"
)

func TestNetwork_BringsBackWhatItsBackupHolds(t *testing.T) {
	for _, engine := range []string{PostgreSQL, CockroachDB} {
		t.Run(engine, func(t *testing.T) {
			if engine == CockroachDB && testing.Short() {
				t.Skip("SKIPPED: it restores a cluster, and -short is set")
			}
			needs(t, engine)
			n := startedNetwork(t, NetworkOptions{Engine: engine, Regions: []NetworkRegion{{Name: "eu", Zones: []string{"eu-a"}}}, Durable: true})
			dir := t.TempDir()
			conn := connect(t, n.AdminURL())
			for _, sql := range []string{"CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"} {
				if _, err := conn.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			if err := n.Backup(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES (3)"); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a backup may be restored again
				if err := n.Restore(t.Context(), dir); err != nil {
					t.Fatal(err)
				}
				answersWithin(t, n.AdminURL(), "SELECT a FROM t", 10*time.Second)
				var rows int
				if err := connect(t, n.AdminURL()).QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil || rows != 2 {
					t.Errorf("%d rows came back (%v), and the backup has 2", rows, err)
				}
			}
		})
	}
}
