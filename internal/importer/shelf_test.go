package importer

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const bank = id.Ledger("cz-bank")

var crown = money.Asset{Code: "CZK", Scale: 2}

// shelf is as much of a ledger.Service over ledger.Books as an import needs: fast enough for the whole Berka file, which ledgertest.Model
// is not meant to be.
type shelf struct {
	ledger.Service // of the methods that an import has no use for: none is called

	mu       sync.Mutex
	books    ledger.Ledger
	accounts map[ledger.Ref]ledger.Account
	journal  map[id.Transaction]ledger.Record
	entries  map[id.Account][]ledger.Entry
	order    []id.Key // of the journal
	batches  int
}

func newShelf(assets ...money.Asset) *shelf {
	if len(assets) == 0 {
		assets = []money.Asset{crown}
	}
	return &shelf{
		books:    ledger.Ledger{ID: bank, Home: "eu", Assets: assets},
		accounts: map[ledger.Ref]ledger.Account{}, journal: map[id.Transaction]ledger.Record{}, entries: map[id.Account][]ledger.Entry{},
	}
}

func (s *shelf) Ledger(_ context.Context, key id.Ledger) (ledger.Ledger, error) {
	if key != s.books.ID {
		return ledger.Ledger{}, errs.ErrLedgerNotFound
	}
	return s.books, nil
}

func (s *shelf) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	if ctx.Err() != nil {
		return nil, errs.ErrCanceled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	b := ledger.NewBooks(time.Now())
	b.Ledgers[s.books.ID] = s.books
	for _, c := range batch.Commands {
		if err := c.Validate(b.Now); err != nil {
			return nil, err
		}
		if record, found := s.journal[c.ID()]; found {
			b.Journal[c.ID()] = record
		}
		for _, ref := range c.Touches(nil) {
			if a, found := s.accounts[ref]; found {
				b.Accounts[ref] = a
			}
		}
	}
	results := b.Execute(batch)
	changes := b.Changes()
	for _, a := range slices.Concat(changes.Opened, changes.Changed) {
		s.accounts[a.Ref] = a
	}
	for _, r := range changes.Records {
		s.journal[r.Outcome.Transaction] = r
		s.order = append(s.order, r.Outcome.Key)
		for _, e := range r.Outcome.Entries {
			s.entries[e.Ref.Account] = append(s.entries[e.Ref.Account], e)
		}
	}
	return results, nil
}

// balances are the posted balances of all accounts whose name begins so.
func (s *shelf) balances(prefix string) map[id.Account]money.Amount {
	all := map[id.Account]money.Amount{}
	for ref, a := range s.accounts {
		if strings.HasPrefix(string(ref.Account), prefix) {
			all[ref.Account] = a.Posted()
		}
	}
	return all
}

// same compares everything that two imports of the same rows must have in common.
func (s *shelf) same(t *testing.T, other *shelf) {
	t.Helper()
	if !maps.EqualFunc(s.entries, other.entries, slices.Equal) {
		t.Error("the statements differ")
	}
	if !slices.Equal(s.order, other.order) {
		t.Errorf("the journals differ: %d and %d rows", len(s.order), len(other.order))
	}
}

// through is a service with something between it and the caller.
type through struct {
	ledger.Service
	execute func(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error)
}

func (s through) Execute(ctx context.Context, batch ledger.Batch) ([]ledger.Result, error) {
	return s.execute(ctx, batch)
}

func mapping(t testing.TB, path string) Mapping {
	t.Helper()
	m, err := LoadMapping(path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func berka(t testing.TB) Mapping { return mapping(t, "../../examples/berka.yaml") }

// file puts rows under the header of the Berka file.
func file(rows ...string) *strings.Reader {
	return strings.NewReader(BerkaHeader + "\n" + strings.Join(rows, "\n") + "\n")
}

// load imports and collects the report; it fails the test on an error.
func load(t *testing.T, svc ledger.Service, m Mapping, in *strings.Reader, o Options) (Summary, []string) {
	t.Helper()
	var report []string
	o.Ledger = bank
	o.Reject = func(r Rejected) { report = append(report, r.String()) }
	s, err := Run(t.Context(), svc, m, in, o)
	if err != nil {
		t.Fatal(err)
	}
	consistent(t, s, len(report))
	return s, report
}

func consistent(t *testing.T, s Summary, reported int) {
	t.Helper()
	var reasons int64
	for _, n := range s.Reasons {
		reasons += n
	}
	if s.Rows != s.Posted+s.Replayed+s.Rejected+s.Skipped || s.Rejected != reasons || s.Rejected != int64(reported) {
		t.Errorf("the summary does not add up: %+v with %d reported", s, reported)
	}
}

// berkaYAML is the text of the shipped mapping, for tests that change a line of it.
func berkaYAML(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("../../examples/berka.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
