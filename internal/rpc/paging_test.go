package rpc

import (
	"fmt"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// walk follows tokens from a page to the end, and returns the sequences that it saw.
func walk(t *rapid.T, c clients, newest bool, size func() int32, token string, next func(*ledgerv1.ListEntriesResponse) string) (pages [][]int64, last *ledgerv1.ListEntriesResponse) {
	for range 1000 {
		r, err := c.ListEntries(t.Context(), connect.NewRequest(&ledgerv1.ListEntriesRequest{
			Ledger: "shop-eu", AccountId: "acc_42", PageSize: size(), PageToken: token, NewestFirst: newest,
		}))
		if err != nil {
			t.Fatal(err)
		}
		var page []int64
		for _, l := range r.Msg.GetLines() {
			page = append(page, l.GetEntry().GetSequence())
		}
		pages, last, token = append(pages, page), r.Msg, next(r.Msg)
		if token == "" {
			return pages, last
		}
	}
	t.Fatal("no end")
	return nil, nil
}

func TestListEntries_PagesVisitEveryLineOnceBothWays(t *testing.T) {
	model, _ := wallets(t)
	const lines = 57
	for i := range lines - 2 { // opening and filling are two
		c := ledger.Command{Kind: ledger.KindCredit, Ledger: "shop-eu", Key: id.Key(fmt.Sprint("p", i)), Account: "acc_42", Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"}}
		if _, err := ledger.Do(t.Context(), model, c); err != nil {
			t.Fatal(err)
		}
	}
	c := surfaces[0].clients(t, serve(t, model, Options{}))
	forward := func(r *ledgerv1.ListEntriesResponse) string { return r.GetNextPageToken() }
	back := func(r *ledgerv1.ListEntriesResponse) string { return r.GetPreviousPageToken() }
	rapid.Check(t, func(t *rapid.T) {
		newest := rapid.Bool().Draw(t, "newest first")
		size := func() int32 { return rapid.Int32Range(1, lines+5).Draw(t, "page size") }
		want := make([]int64, lines)
		for i := range want {
			want[i] = int64(i + 1)
		}
		if newest {
			slices.Reverse(want)
		}
		pages, last := walk(t, c, newest, size, "", forward)
		if got := slices.Concat(pages...); !slices.Equal(got, want) {
			t.Fatalf("forward: %v", got)
		}
		if last.GetPreviousPageToken() == "" {
			if len(pages) != 1 {
				t.Fatal("no way back")
			}
			return
		}
		end := pages[len(pages)-1]
		pages, last = walk(t, c, newest, size, last.GetPreviousPageToken(), back)
		slices.Reverse(pages)
		if got := append(slices.Concat(pages...), end...); !slices.Equal(got, want) {
			t.Fatalf("back: %v", got)
		}
		if last.GetNextPageToken() == "" { // turning round once more
			t.Fatal("no way forward from the first page")
		}
		first := pages[0]
		pages, _ = walk(t, c, newest, size, last.GetNextPageToken(), forward)
		if got := append(slices.Clone(first), slices.Concat(pages...)...); !slices.Equal(got, want) {
			t.Fatalf("forward again: %v", got)
		}
	})
}

func TestListAccounts_PagesVisitEveryAccountOnce(t *testing.T) {
	model, _ := wallets(t)
	c := surfaces[0].clients(t, serve(t, model, Options{}))
	all, err := model.Accounts(t.Context(), "shop-eu", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for size := range int32(len(all) + 2) {
		var got []string
		for token, more := "", true; more; more = token != "" {
			r, err := c.ListAccounts(t.Context(), connect.NewRequest(&ledgerv1.ListAccountsRequest{Ledger: "shop-eu", PageSize: size, PageToken: token}))
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range r.Msg.GetAccounts() {
				got = append(got, a.GetAccountId())
			}
			token = r.Msg.GetNextPageToken()
		}
		if len(got) != len(all) || !slices.IsSorted(got) {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
}
