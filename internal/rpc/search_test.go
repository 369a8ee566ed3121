package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/search"
	"github.com/meridian-ledger/meridian/internal/store"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// searchable is a server with a ledger, shop-eu, that can be searched, and what lets its journal leave.
func searchable(t *testing.T, d dbtest.Database) (c *Client, leave func()) {
	t.Helper()
	s := store.New(d.DB)
	committer := commit.New(s, commit.Options{})
	t.Cleanup(func() { _ = committer.Drain(context.WithoutCancel(t.Context())) })
	svc := struct {
		*store.Store
		*commit.Committer
	}{s, committer}
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: "shop-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	tails := relay.NewTails(s, nil, 10*time.Millisecond, log)
	progress := relay.NewTails(search.Heads{Store: s}, nil, 10*time.Millisecond, log)
	url := serve(t, svc, Options{Search: search.NewService(s, tails, progress), DefaultLedger: "shop-eu"})
	return surfaces[0].client(t, url), func() {
		r := relay.New(relay.Options{
			Store: s, Source: feed.New(d.DB, feed.Options{Log: log}), Tails: tails, Owner: "test",
			Runners: []relay.Runner{search.NewProjector(s, tails, progress, nil, log)},
		})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		t.Cleanup(func() { stop(); <-done })
	}
}

func TestSearchTransactions_OverTheWire(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		c, leave := searchable(t, d)
		var written []string
		var last *ledgerv1.Transaction
		credit := func() {
			resp, err := c.commands.Credit(t.Context(), connect.NewRequest(&ledgerv1.CreditRequest{
				Terms:     &ledgerv1.Terms{IdempotencyKey: fmt.Sprint("c", len(written)), ReferenceId: "po_1", Metadata: map[string]string{"till": "7"}},
				AccountId: "counter:acc:EUR", Amount: eur("5"),
			}))
			if err != nil {
				t.Fatal(err)
			}
			last = resp.Msg.GetTransaction()
			written = append(written, last.GetTransactionId())
		}
		for range 7 {
			credit()
		}
		ask := &ledgerv1.SearchTransactionsRequest{
			OldestFirst: true, PageSize: 3, AtLeast: last.GetPosition(), Wait: durationpb.New(time.Millisecond), Metadata: map[string]string{"till": "7"},
			Kinds: []ledgerv1.Kind{ledgerv1.Kind_KIND_CREDIT}, Status: last.GetStatus(), ReferenceId: "po_1", To: timestamppb.New(time.Now().Add(time.Hour)),
		}
		if _, err := c.SearchTransactions(t.Context(), ask); !errors.Is(err, errs.ErrNotYetSearchable) {
			t.Fatalf("nobody works on the model: %v", err)
		}
		leave()
		ask.Wait = durationpb.New(30 * time.Second)
		var found []string
		for {
			page, err := c.SearchTransactions(t.Context(), ask)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.GetTransactions() {
				found = append(found, r.GetTransaction().GetTransactionId())
				if r.GetTransaction().GetPosition() == "" || r.GetReferenceId() != "po_1" {
					t.Errorf("%v", r)
				}
			}
			if len(found) == 3 {
				credit() // what comes after the first page is not in the answer
			}
			ask.AtLeast = page.GetPosition()
			if ask.PageToken = page.GetNextPageToken(); ask.GetPageToken() == "" {
				break
			}
		}
		if !reflect.DeepEqual(found, written[:7]) {
			t.Errorf("found %q, want %q", found, written[:7])
		}
	})
}

func TestSearchTransactions_RefusesWhatItCanNotMean(t *testing.T) {
	model := ledgertest.NewModel(time.Now)
	c := surfaces[0].client(t, serve(t, model, Options{DefaultLedger: "shop-eu", Search: search.NewService(nil, nil, nil)}))
	token := pageToken(search.Query{Ledger: "shop-eu"}, search.Page{Until: 1})
	for _, row := range []struct {
		field string
		ask   *ledgerv1.SearchTransactionsRequest
	}{
		{"ledger", &ledgerv1.SearchTransactionsRequest{Ledger: "Shop"}},
		{"page_size", &ledgerv1.SearchTransactionsRequest{PageSize: 1001}},
		{"page_token", &ledgerv1.SearchTransactionsRequest{PageToken: "?"}},
		{"page_token", &ledgerv1.SearchTransactionsRequest{PageToken: token, ReferenceId: "another"}},
		{"page_token", &ledgerv1.SearchTransactionsRequest{PageToken: token, Ledger: "brand"}},
		{"at_least", &ledgerv1.SearchTransactionsRequest{AtLeast: token}},
		{"wait", &ledgerv1.SearchTransactionsRequest{Wait: durationpb.New(31 * time.Second)}},
		{"wait", &ledgerv1.SearchTransactionsRequest{Wait: durationpb.New(-1)}},
		{"kinds", &ledgerv1.SearchTransactionsRequest{Kinds: []ledgerv1.Kind{0}}},
		{"kinds", &ledgerv1.SearchTransactionsRequest{Kinds: make([]ledgerv1.Kind, maxSearchKinds+1)}},
		{"status", &ledgerv1.SearchTransactionsRequest{Status: 9}},
		{"reasons", &ledgerv1.SearchTransactionsRequest{Reasons: []ledgerv1.Reason{9999}}},
		{"account_id", &ledgerv1.SearchTransactionsRequest{AccountId: "a b"}},
		{"reference_id", &ledgerv1.SearchTransactionsRequest{ReferenceId: "a\x00"}},
		{"correlation_id", &ledgerv1.SearchTransactionsRequest{CorrelationId: "a\n"}},
		{"metadata", &ledgerv1.SearchTransactionsRequest{Metadata: map[string]string{"": "x"}}},
		{"from", &ledgerv1.SearchTransactionsRequest{From: &timestamppb.Timestamp{Nanos: -1}, PageToken: token}},
	} {
		_, err := c.SearchTransactions(t.Context(), row.ask)
		if e := errs.Of(err); e.Code != errs.InvalidArgument || e.Fields["field"] != row.field {
			t.Errorf("%v: %v", row.ask, err)
		}
	}
	without := surfaces[0].client(t, serve(t, model, Options{}))
	if _, err := without.SearchTransactions(t.Context(), &ledgerv1.SearchTransactionsRequest{Ledger: "shop-eu"}); connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("without a model: %v", err)
	}
}

func TestPosition_IsOfWhatWasWritten(t *testing.T) {
	o := ledger.Outcome{Ledger: "shop-eu", Transaction: id.TransactionOf("shop-eu", "k")}
	if p, ok := readPoint(PositionToken(o)); !ok || p != (search.Point{Ledger: "shop-eu", Transaction: o.Transaction}) {
		t.Errorf("%+v %t", p, ok)
	}
	if o.DryRun = true; PositionToken(o) != "" {
		t.Errorf("a dry run stands at %q", PositionToken(o))
	}
}

func FuzzSearchPoint(f *testing.F) {
	for _, p := range []search.Point{
		{Ledger: "shop-eu", Transaction: id.TransactionOf("shop-eu", "k")}, {Home: "eu", Position: 7}, {Home: "eu", Position: 1<<63 - 1},
	} {
		f.Add(pointToken(p))
	}
	f.Add("")
	f.Add("!!!")
	f.Fuzz(func(t *testing.T, token string) {
		p, ok := readPoint(token)
		if !ok {
			return
		}
		if again, ok := readPoint(pointToken(p)); !ok || again != p || p.Position < 0 || (p.Home == "") == (p.Ledger == "") {
			t.Fatalf("%q is %+v and then %+v", token, p, again)
		}
	})
}

func FuzzSearchPageToken(f *testing.F) {
	q := search.Query{Ledger: "shop-eu", Metadata: ledger.Metadata{"a": "b", "c": "d"}}
	f.Add(pageToken(q, search.Page{After: search.Place{At: time.Now(), Position: 3}, Until: 9}))
	f.Add(pageToken(q, search.Page{Until: event.Position(1<<63 - 1)}))
	f.Add("AA")
	f.Fuzz(func(t *testing.T, token string) {
		p := &parser{}
		page := p.searchPage(q, 10, token)
		if p.err != nil || token == "" {
			return
		}
		if page.Until < 1 || page.After.Position < 0 || page.After.At.Year() < 1 || page.After.At.Year() > 9999 {
			t.Fatalf("%q lets %+v through to the database", token, page)
		}
		if again := (&parser{}).searchPage(q, 10, pageToken(q, page)); !reflect.DeepEqual(again, page) {
			t.Fatalf("%q is %+v and then %+v", token, page, again)
		}
	})
}
