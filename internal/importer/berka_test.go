package importer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/store"
)

// berkaFile returns the real transactions, which are no part of the repository.
func berkaFile(t testing.TB) []byte {
	t.Helper()
	path := os.Getenv("MERIDIAN_TEST_BERKA")
	if path == "" {
		path = "../../../shared/data/berka/trans.asc"
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("SKIPPED, the real transactions are not there: %v; name the file in MERIDIAN_TEST_BERKA", err)
	}
	return data
}

// runningSums adds up the signed amounts of each account from the raw lines: no code of this repository takes part.
func runningSums(t testing.TB, data []byte) (sums map[string]*big.Int, rows int) {
	t.Helper()
	sums = map[string]*big.Int{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Scan() // the header
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ";")
		amount, ok := new(big.Int).SetString(strings.Replace(fields[5], ".", "", 1), 10)
		if !ok || !strings.Contains(fields[5], ".") || len(fields[5])-strings.Index(fields[5], ".") != 3 {
			t.Fatalf("%q is no amount with two decimals", fields[5])
		}
		switch fields[3] {
		case `"PRIJEM"`:
		case `"VYDAJ"`, `"VYBER"`:
			amount.Neg(amount)
		default:
			t.Fatalf("type %s", fields[3])
		}
		if sums[fields[1]] == nil {
			sums[fields[1]] = new(big.Int)
		}
		sums[fields[1]].Add(sums[fields[1]], amount)
		rows++
	}
	return sums, rows
}

// holds compares the books with the sums of the file, account by account.
func holds(t *testing.T, balances map[id.Account]money.Amount, sums map[string]*big.Int) {
	t.Helper()
	total := new(big.Int)
	for account, sum := range sums {
		balance, found := balances[id.Account("berka:"+account)]
		if !found || balance.String() != sum.String() {
			t.Errorf("account %s has %s in the books and %s in the file", account, balance, sum)
		}
		total.Add(total, sum)
	}
	if len(balances) != len(sums) {
		t.Errorf("%d customers in the books, %d in the file", len(balances), len(sums))
	}
	t.Logf("%d customers have %s CZK", len(balances), crown.Format(money.MustParse(total.String())))
}

const (
	berkaRows     = 39_333
	berkaAccounts = 989
	berkaTotal    = "3140255420" // hellers
)

func checkBerkaSums(t *testing.T, sums map[string]*big.Int, rows int) {
	t.Helper()
	total := new(big.Int)
	for _, sum := range sums {
		total.Add(total, sum)
	}
	if rows != berkaRows || len(sums) != berkaAccounts || total.String() != berkaTotal {
		t.Fatalf("the file has %d rows, %d accounts and %s hellers: it is another one", rows, len(sums), total)
	}
}

func TestBerka_EveryAccountHasTheRunningSumOfTheFile(t *testing.T) {
	data := berkaFile(t)
	sums, rows := runningSums(t, data)
	checkBerkaSums(t, sums, rows)
	books := newShelf()
	first, err := Run(t.Context(), books, berka(t), bytes.NewReader(data), Options{Ledger: bank})
	if err != nil || first.Posted != berkaRows || first.Rows != berkaRows || first.Line != berkaRows+1 || first.Bytes != int64(len(data)) {
		t.Fatalf("%+v, %v", first, err)
	}
	holds(t, books.balances("berka:"), sums)
	if got, want := len(books.accounts), berkaAccounts+13+5; got != want || first.Opened != int64(want) {
		t.Errorf("%d accounts, %d opened by the import; want %d: customers, 13 banks, cash, cards, interest, penalties, fees", got, first.Opened, want)
	}
	entries, batches := len(books.order), books.batches
	second, err := Run(t.Context(), books, berka(t), bytes.NewReader(data), Options{Ledger: bank})
	if err != nil || second.Posted != 0 || second.Replayed != berkaRows || second.Opened != 0 || len(books.order) != entries {
		t.Fatalf("the second run: %+v, %v; the journal grew from %d to %d", second, err, entries, len(books.order))
	}
	holds(t, books.balances("berka:"), sums)
	t.Logf("first run %.0f rows/s in %d batches, second run %.0f rows/s", first.Rate(), batches, second.Rate())
}

func TestBerka_BooksTellAStory(t *testing.T) {
	books := newShelf()
	if _, err := Run(t.Context(), books, berka(t), bytes.NewReader(berkaFile(t)), Options{Ledger: bank}); err != nil {
		t.Fatal(err)
	}
	for account, want := range map[string]string{ // added up from the file by awk
		"interest:paid": "991321.60", "interest:penalty": "419.90", "fees:statement": "73673.40", "desk:cards": "-26800.00",
	} {
		a, found := books.accounts[ledger.Ref{Ledger: bank, Account: id.Account(account)}]
		if got := crown.Format(a.Posted()); !found || got != want {
			t.Errorf("%s has %s, want %s", account, got, want)
		}
	}
	reasons := map[string]int{}
	for _, record := range books.journal {
		var request struct{ Reason, Kind string }
		if err := json.Unmarshal(record.Request, &request); err != nil {
			t.Fatal(err)
		}
		if request.Kind != string(ledger.KindOpen) {
			reasons[request.Reason]++
		}
	}
	for reason, want := range map[string]int{"interest": 7515, "fee": 4363, "household": 2999, "pension": 1465, "loan-payment": 102, "card-withdrawal": 11} {
		if reasons[reason] != want {
			t.Errorf("%d rows of reason %s, want %d", reasons[reason], reason, want)
		}
	}
}

// TestBerka_OnADatabase imports the real file through commit and store. On CockroachDB it would take most of a minute; the generated rows
// of TestGenerate_OnEveryEngine take the same way there.
func TestBerka_OnADatabase(t *testing.T) {
	data := berkaFile(t)
	sums, rows := runningSums(t, data)
	checkBerkaSums(t, sums, rows)
	importTwice(t, onDatabase(t, dbtest.New(t, "postgresql")), data)
}

func TestGenerate_OnEveryEngine(t *testing.T) {
	data := generated(t, 4000)
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) { importTwice(t, onDatabase(t, d), data) })
}

// importTwice imports a file of the shape of Berka's, and proves that the second time changes nothing.
func importTwice(t *testing.T, svc ledger.Service, data []byte) {
	t.Helper()
	sums, rows := runningSums(t, data)
	createBank(t, svc)
	first, err := Run(t.Context(), svc, berka(t), bytes.NewReader(data), Options{Ledger: bank})
	if err != nil || first.Posted != int64(rows) {
		t.Fatalf("%+v, %v", first, err)
	}
	holds(t, customers(t, svc), sums)
	second, err := Run(t.Context(), svc, berka(t), bytes.NewReader(data), Options{Ledger: bank})
	if err != nil || second.Posted != 0 || second.Replayed != int64(rows) || second.Opened != 0 {
		t.Fatalf("the second run: %+v, %v", second, err)
	}
	holds(t, customers(t, svc), sums)
	lines, err := svc.TrialBalance(t.Context(), bank)
	if err != nil || len(lines) != 1 || lines[0].PostedDebits != lines[0].PostedCredits {
		t.Fatalf("trial balance %+v, %v", lines, err)
	}
	t.Logf("first run %.0f rows/s, second run %.0f rows/s", first.Rate(), second.Rate())
}

// onDatabase is the ledger as a server has it.
func onDatabase(t *testing.T, d dbtest.Database) ledger.Service {
	t.Helper()
	tables := store.New(d.DB)
	return struct {
		*store.Store
		*commit.Committer
	}{tables, commit.New(tables, commit.Options{})}
}

func createBank(t *testing.T, svc ledger.Service) {
	t.Helper()
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: bank, Home: "eu", Assets: []money.Asset{crown}}); err != nil {
		t.Fatal(err)
	}
}

// customers reads the balances of all customers, page by page.
func customers(t *testing.T, svc ledger.Service) map[id.Account]money.Amount {
	t.Helper()
	balances := map[id.Account]money.Amount{}
	for after := id.Account(""); ; {
		page, err := svc.Accounts(context.WithoutCancel(t.Context()), bank, after, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return balances
		}
		for _, a := range page {
			after = a.Ref.Account
			if strings.HasPrefix(string(after), "berka:") {
				balances[after] = a.Posted()
			}
		}
	}
}

func generated(t testing.TB, rows int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Generate(&b, rows, 1); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestGenerate_HasTheShapeOfTheRealFile(t *testing.T) {
	data := generated(t, 4000)
	if !bytes.Equal(data, generated(t, 4000)) {
		t.Error("the same seed makes another file")
	}
	sums, rows := runningSums(t, data)
	books := newShelf()
	var report []string
	s, err := Run(t.Context(), books, berka(t), bytes.NewReader(data), Options{Ledger: bank, Reject: func(r Rejected) { report = append(report, r.String()) }})
	if err != nil || s.Posted != 4000 || rows != 4000 || len(sums) != 100 {
		t.Fatalf("%+v, %v, %d rows, %d accounts, %v", s, err, rows, len(sums), report)
	}
	holds(t, books.balances("berka:"), sums)
	last := ""
	for _, line := range strings.Split(strings.TrimSpace(string(data)), "\n")[1:] {
		day := strings.Split(line, ";")[2]
		if _, err := time.Parse("060102", day); err != nil || day < last {
			t.Fatalf("day %s after %s: %v", day, last, err)
		}
		last = day
	}
	if last < "940325" {
		t.Errorf("it ends on %s", last)
	}
}
