package db_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
)

func TestListen_TellsOfNoticesUntilTheLineBreaks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		if !d.DB.Engine.Notifies {
			if err := d.DB.Listen(t.Context(), "stream", func() {}); !errors.Is(err, errs.ErrInternal) {
				t.Errorf("an engine without notices: %v, want %v", err, errs.ErrInternal)
			}
			return
		}
		proxy := dbtest.NewProxy(t, d.URL)
		through, err := db.Open(t.Context(), db.Options{URL: proxy.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(through.Close)
		before := goleak.IgnoreCurrent()
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		told, ended := make(chan struct{}), make(chan error, 1)
		listen := func() { ended <- through.Listen(ctx, "stream", func() { told <- struct{}{} }) }
		hears := func(what string) {
			t.Helper()
			select {
			case <-told:
			case err := <-ended:
				t.Fatalf("%s: it ended with %v", what, err)
			case <-time.After(10 * time.Second):
				t.Fatalf("%s: not a word", what)
			}
		}
		go listen()
		hears("the beginning")
		for range 3 {
			if _, err := d.DB.Reader().Exec(t.Context(), `NOTIFY stream`); err != nil {
				t.Fatal(err)
			}
			hears("a notice")
		}
		proxy.CutAll()
		if err := <-ended; !errors.Is(err, errs.ErrUnavailable) {
			t.Errorf("the line was cut: %v, want %v", err, errs.ErrUnavailable)
		}
		go listen()
		hears("the beginning again")
		stop()
		if err := <-ended; !errors.Is(err, errs.ErrCanceled) {
			t.Errorf("the context ended: %v, want %v", err, errs.ErrCanceled)
		}
		through.Close() // its pool has connected again
		proxy.Close()
		goleak.VerifyNone(t, before)
	})
}
