package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/cluster"
)

// collectHistory makes the engine forget what was: on CockroachDB the time that history is kept is set to a second, each node is told to
// collect garbage of the journal's ranges, and when a read of the past is refused the time is set back: a changefeed that starts before then is
// refused, as after a weekend, and a proof of the books gets its snapshot. PostgreSQL keeps no history that its feed depends on, which is one of
// the things that the drill shows there: a VACUUM removes what there is.
func (f *Local) collectHistory(ctx context.Context) (err error) {
	if f.engine != cluster.CockroachDB {
		_, err := f.books.Reader().Exec(ctx, `VACUUM journal`)
		return err
	}
	const sqlForget, sqlKeep = `ALTER TABLE journal CONFIGURE ZONE USING gc.ttlseconds = 1`, `ALTER TABLE journal CONFIGURE ZONE USING gc.ttlseconds = 90000`
	if _, err := f.books.Reader().Exec(ctx, sqlForget); err != nil {
		return fmt.Errorf("shorten the history: %w", err)
	}
	defer func() {
		if _, kept := f.books.Reader().Exec(context.WithoutCancel(ctx), sqlKeep); kept != nil {
			err = errors.Join(err, fmt.Errorf("keep history again: %w", kept))
		}
	}()
	const sqlRanges = `SELECT range_id FROM crdb_internal.ranges_no_leases WHERE table_name = 'journal'`
	rows, err := f.books.Reader().Query(ctx, sqlRanges)
	if err != nil {
		return fmt.Errorf("look for the ranges of the journal: %w", err)
	}
	ranges, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("look for the ranges of the journal: %w", err)
	}
	pages, err := f.adminPages()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, forgetting)
	defer cancel()
	// The new time reaches the nodes within seconds, and history goes only then: so they are asked until a read of the past is refused.
	for {
		for _, r := range ranges {
			if err := collect(ctx, pages, r); err != nil {
				return err
			}
		}
		gone, err := f.forgotten(ctx)
		if gone || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the history is gone: %w", ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// forgetting bounds the wait: a span configuration and a pass of the collector take seconds.
const forgetting = time.Minute

// forgotten tells whether a read of five seconds ago is refused.
func (f *Local) forgotten(ctx context.Context) (bool, error) {
	const sqlPast = `SELECT count(*) FROM journal AS OF SYSTEM TIME '-5s'`
	var n int64
	err := f.books.Reader().QueryRow(ctx, sqlPast).Scan(&n)
	if err == nil {
		return false, nil
	}
	if bytes.Contains([]byte(err.Error()), []byte("GC threshold")) {
		return true, nil
	}
	return false, fmt.Errorf("read the past: %w", err)
}

// collect has every node run the garbage collector on a range; where it leads the range it does.
func collect(ctx context.Context, pages map[string]string, r int64) error {
	for name, at := range pages {
		body, err := json.Marshal(map[string]any{"queue": "gc", "range_id": r, "skip_should_queue": true})
		if err != nil {
			return fmt.Errorf("ask %s to collect garbage: %w", name, err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/_admin/v1/enqueue_range", bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("ask %s to collect garbage: %w", name, err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("ask %s to collect garbage: %w", name, err)
		}
		said, _ := io.ReadAll(io.LimitReader(response.Body, 200))
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return unsupported("%s does not collect garbage when asked: %s: %s", name, response.Status, bytes.TrimSpace(said))
		}
	}
	return nil
}

var webUI = regexp.MustCompile(`(?m)^webui:\s+(http://\S+)$`)

// adminPages are where the database nodes that live have their own pages, by their names: each tells in its log.
func (f *Local) adminPages() (map[string]string, error) {
	pages := map[string]string{}
	for _, m := range f.databases() {
		if !m.Alive() {
			continue
		}
		text, err := os.ReadFile(m.Log())
		if err != nil {
			return nil, fmt.Errorf("find the pages of %s: %w", m.Name, err)
		}
		found := webUI.FindAllSubmatch(text, -1)
		if len(found) == 0 {
			return nil, unsupported("%s does not tell where its pages are", m.Name)
		}
		pages[m.Name] = string(found[len(found)-1][1]) // of the newest start
	}
	return pages, nil
}

// startRelay starts the server that works on the change stream where the others do not. Clients do not know it.
func (f *Local) startRelay(ctx context.Context) (err error) {
	if f.relayDir == "" {
		if f.relayDir, err = os.MkdirTemp("", "meridian-relay-"); err != nil {
			return fmt.Errorf("make a place for the relay: %w", err)
		}
	}
	f.relay, err = cluster.StartNode(ctx, cluster.NodeOptions{
		Binary: f.o.Binary, Dir: f.relayDir, Region: "relay", DatabaseURL: f.net.AdminURL(), Args: f.serverFlags(),
	})
	return err
}

// awaitRelay waits until every home that has ledgers is worked on: a drill that stops the relay before it ran shows nothing.
func (f *Local) awaitRelay(ctx context.Context) error {
	const sqlOwners = `SELECT count(*) FROM relay WHERE expires_at > now()`
	for {
		var owners int
		if err := f.books.Reader().QueryRow(ctx, sqlOwners).Scan(&owners); err != nil {
			return fmt.Errorf("wait for relays: %w", err)
		}
		if owners >= len(f.ledgers) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for relays: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// loneRelay does what befalls the server that works on the change stream alone.
func (f *Local) loneRelay(s Step) (undo Undo, err error) {
	again := quietly(f.startRelay)
	switch s.Fault {
	case FaultKill:
		return again, f.relay.Kill()
	case FaultStop:
		return again, f.relay.Stop()
	default:
		return nil, unsupported("a relay that is alone is killed or stopped, nothing else")
	}
}
