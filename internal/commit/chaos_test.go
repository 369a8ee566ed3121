package commit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

// vandal breaks what stands between servers and their database, until its context ends.
type vandal struct {
	t       *testing.T
	servers []server
	admin   *pgx.Conn
	kill    string
	random  *rand.Rand
	acts    map[string]int
}

// underAttack is how the sessions of the servers are called.
const underAttack = "meridian under attack"

// sqlKill ends the session of one of the servers, from the side of the database.
var sqlKill = map[string]string{
	"postgresql": `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = '` + underAttack + `' ORDER BY random() LIMIT 1`,
	"cockroachdb": `CANCEL SESSIONS IF EXISTS (
		SELECT session_id FROM [SHOW CLUSTER SESSIONS] WHERE application_name = '` + underAttack + `' ORDER BY random() LIMIT 1)`,
}

func newVandal(t *testing.T, d dbtest.Database, servers []server, seed uint64) *vandal {
	t.Helper()
	admin, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	return &vandal{t: t, servers: servers, admin: admin, kill: sqlKill[d.Engine], random: rand.New(rand.NewPCG(seed, 1)), acts: map[string]int{}}
}

func (v *vandal) run(ctx context.Context) {
	every := time.NewTicker(60 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, s := range v.servers {
				s.proxy.Heal()
			}
			return
		case <-every.C:
		}
		v.act(ctx, v.servers[v.random.IntN(len(v.servers))])
	}
}

// fault loses one commit in twenty, before the database or after it.
func (v *vandal) fault() dbtest.Fault {
	return dbtest.Fault{At: cuts[v.random.IntN(2)], Probability: 0.05, Seed: v.random.Uint64()}
}

// act does something to a server; what was done to it before is over, but for commits that are lost now and then.
func (v *vandal) act(ctx context.Context, s server) {
	s.proxy.Heal()
	s.proxy.Inject(v.fault())
	switch v.random.IntN(4) {
	case 0:
		s.proxy.CutAll()
		v.acts["cut all"]++
	case 1:
		s.proxy.Away()
		v.acts["away"]++
	case 2:
		if _, err := v.admin.Exec(ctx, v.kill); err != nil && ctx.Err() == nil {
			v.t.Errorf("end a session: %v", err)
		}
		v.acts["session ended"]++
	}
}

func (v *vandal) String() string {
	lost := 0
	for _, s := range v.servers {
		lost += s.proxy.Cuts()
	}
	return fmt.Sprintf("%d commits lost, %v", lost, v.acts)
}
