package commit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

var cuts = []dbtest.Moment{dbtest.BeforeServer, dbtest.AfterServer}

func TestAmbiguous_OneCommandIsAnsweredAsIfNothingHappened(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, at := range cuts {
			t.Run(at.String(), func(t *testing.T) {
				s := newServer(t, d, commit.Options{}, db.Options{})
				openBooks(t, s)
				key := id.Key("k" + at.String())
				before, err := s.Account(t.Context(), ledger.Ref{Ledger: brand, Account: "b"}, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				s.proxy.Inject(dbtest.Fault{At: at, Times: 1})
				o := do(t, s, transfer(key, "a", "b", 5))
				if o.Decided != ledger.Posted || o.Replayed || len(o.Entries) != 2 || s.proxy.Cuts() != 1 {
					t.Errorf("after %d cuts the caller was told %+v, want what is told where nothing happened", s.proxy.Cuts(), o)
				}
				if again := do(t, s, transfer(key, "a", "b", 5)); !again.Replayed || again.RecordedAt != o.RecordedAt || !slices.Equal(again.Entries, o.Entries) {
					t.Errorf("a retry is told %+v, want the same again", again)
				}
				wantBooks(t, s, "b", int(before.Sequence), mustInt(t, before.Posted())+5)
				resolved := 0.0
				if at == dbtest.AfterServer {
					resolved = 1
				}
				if got := metric(t, s.metrics, "meridian_ambiguous_commits_resolved_total"); got != resolved {
					t.Errorf("%v ambiguous commits resolved, want %v", got, resolved)
				}
			})
		}
	})
}

func TestAmbiguous_GroupsOfManyAndBatchesAreAnsweredAsIfNothingHappened(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, at := range cuts {
			t.Run(at.String(), func(t *testing.T) {
				s := newServer(t, d, commit.Options{Lanes: 1}, db.Options{})
				openBooks(t, s)
				prefix := at.String() + "/"
				before, err := s.Account(t.Context(), ledger.Ref{Ledger: brand, Account: "d"}, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				old := do(t, s, transfer(id.Key(prefix+"old"), "c", "d", 1))
				f := dbtest.Fault{At: at, Seed: 7}
				if at == dbtest.BeforeServer {
					f.Probability = 0.6 // a commit that never arrives is sent again for ever
				}
				s.proxy.Inject(f)

				const alone, together = 60, 100
				answers := make(chan error, alone+2)
				for _, k := range keys(prefix+"k", alone) {
					go func() { answers <- first(s, ledger.Batch{Commands: []ledger.Command{transfer(k, "c", "d", 1)}}) }()
				}
				for _, atomic := range []bool{false, true} {
					batch := ledger.Batch{Atomic: atomic}
					for _, k := range keys(prefix+map[bool]string{false: "each", true: "atomic"}[atomic], together) {
						batch.Commands = append(batch.Commands, transfer(k, "c", "d", 1))
					}
					go func() { answers <- first(s, batch) }()
				}
				for range alone + 2 {
					if err := <-answers; err != nil {
						t.Error(err)
					}
				}
				// an old key among new ones keeps its flag
				results, err := s.Execute(t.Context(), ledger.Batch{Commands: []ledger.Command{
					transfer(id.Key(prefix+"old"), "c", "d", 1), transfer(id.Key(prefix+"new"), "c", "d", 1), transfer(id.Key(prefix+"new"), "c", "d", 1),
				}})
				if err != nil {
					t.Fatal(err)
				}
				if !results[0].Outcome.Replayed || !results[0].Outcome.RecordedAt.Equal(old.RecordedAt) || results[1].Outcome.Replayed || !results[2].Outcome.Replayed {
					t.Errorf("replayed: %t %t %t, want the old key and the second time of the new one",
						results[0].Outcome.Replayed, results[1].Outcome.Replayed, results[2].Outcome.Replayed)
				}
				const all = alone + 2*together + 2
				wantBooks(t, s, "d", int(before.Sequence)-1+all, mustInt(t, before.Posted())+all)
				resolved := metric(t, s.metrics, "meridian_ambiguous_commits_resolved_total")
				if at == dbtest.AfterServer && resolved != all-1 || at == dbtest.BeforeServer && resolved != 0 || s.proxy.Cuts() < 2 {
					t.Errorf("%v commands resolved in %d cuts", resolved, s.proxy.Cuts())
				}
			})
		}
	})
}

// first executes a batch and wants first answers.
func first(s ledger.Service, batch ledger.Batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	results, err := s.Execute(ctx, batch)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil || r.Outcome.Replayed || r.Outcome.Decided != ledger.Posted || r.Outcome.Key != batch.Commands[i].Key {
			return errors.Join(errors.New("no first answer to "+string(batch.Commands[i].Key)), r.Err)
		}
	}
	return nil
}

func TestAmbiguous_WhereTheDatabaseStaysAwayARetryLearnsTheOneAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		for _, at := range cuts {
			t.Run(at.String(), func(t *testing.T) {
				s := newServer(t, d, commit.Options{Patience: 300 * time.Millisecond}, db.Options{})
				openBooks(t, s)
				key := id.Key("k" + at.String())
				before, err := s.Account(t.Context(), ledger.Ref{Ledger: brand, Account: "f"}, time.Time{})
				if err != nil {
					t.Fatal(err)
				}
				s.proxy.Inject(dbtest.Fault{At: at, Times: 1, Away: true})
				if _, err := ledger.Do(t.Context(), s, transfer(key, "e", "f", 5)); !errors.Is(err, errs.ErrOutcomeUnknown) {
					t.Fatalf("the caller was told %v, want OUTCOME_UNKNOWN", err)
				}
				if _, err := ledger.Do(t.Context(), s, transfer(key, "e", "f", 5)); !errors.Is(err, errs.ErrUnavailable) {
					t.Errorf("a retry while it is away was told %v, want UNAVAILABLE", err)
				}
				s.proxy.Heal()
				o := do(t, s, transfer(key, "e", "f", 5))
				if o.Decided != ledger.Posted || o.Replayed != (at == dbtest.AfterServer) {
					t.Errorf("a retry is told %s, replayed=%t", o.Decided, o.Replayed)
				}
				if again := do(t, s, transfer(key, "e", "f", 5)); !again.Replayed || !again.RecordedAt.Equal(o.RecordedAt) {
					t.Errorf("and another one %+v", again)
				}
				wantBooks(t, s, "f", int(before.Sequence), mustInt(t, before.Posted())+5)
			})
		}
	})
}

// On CockroachDB whoever waits for a row goes on with it; on PostgreSQL, under SERIALIZABLE, the wait ends in 40001.
func TestRetry_WhoeverLosesARaceRunsAgainAndIsCounted(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	s := newServer(t, d, commit.Options{}, db.Options{Name: "meridian in a race"})
	openBooks(t, s)
	rival, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rival.Close(context.WithoutCancel(t.Context())) }()
	exec := func(sql string) {
		if _, err := rival.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`BEGIN`)
	exec(`UPDATE account SET metadata = '{}' WHERE ledger_id = 'brand' AND id = 'a'`)
	told := make(chan error, 1)
	go func() { told <- first(s, ledger.Batch{Commands: []ledger.Command{transfer("k", "a", "b", 1)}}) }()
	const sqlWaits = `SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'meridian in a race' AND wait_event_type = 'Lock'`
	for waits := false; !waits; {
		if err := rival.QueryRow(t.Context(), sqlWaits).Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	exec(`COMMIT`)
	if err := <-told; err != nil {
		t.Error(err)
	}
	if got := metricOf(t, s.metrics, "meridian_group_retries_total", "serialization"); got != 1 {
		t.Errorf("%v serialization failures counted, want the one", got)
	}
	wantBooks(t, s, "b", 1, 1)
}
