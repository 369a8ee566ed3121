package rpc_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/store"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// node is what a server runs: commands go to the committer, reads to the store.
type node struct {
	*store.Store
	*commit.Committer
}

var _ ledger.Service = node{}

func TestClient_ConformsOnDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		books := store.New(d.DB)
		n := node{books, commit.New(books, commit.Options{})}
		t.Cleanup(func() {
			if err := n.Drain(context.Background()); err != nil {
				t.Errorf("drain: %v", err)
			}
		})
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := rpc.NewServer(rpc.NewHandler(n, rpc.Options{}), nil)
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		t.Cleanup(func() {
			_ = server.Close()
			<-ended
		})
		httpClient := rpc.NewHTTPClient(nil, false)
		t.Cleanup(httpClient.CloseIdleConnections)
		ledgertest.Conformance(t, func(*testing.T) ledgertest.Subject {
			return ledgertest.Subject{Service: rpc.NewClient(httpClient, "http://"+listener.Addr().String()), Engine: d.Engine, Sweep: n.sweep}
		})
	})
}

// sweep releases the holds whose time is over, once, as a server does from time to time.
func (n node) sweep(ctx context.Context) error {
	holds, err := n.ExpiredHolds(ctx, 1000)
	for _, h := range holds {
		_, failed := ledger.Do(ctx, n, ledger.ExpireCommand(h))
		err = errors.Join(err, failed)
	}
	return err
}
