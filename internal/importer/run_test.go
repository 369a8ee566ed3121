package importer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

const (
	deposit    = `1;7;930101;"PRIJEM";"VKLAD";700.00;700.00;"";;`
	withdrawal = `2;7;930102;"VYDAJ";"VYBER";200.50;499.50;"";;`
	standing   = `3;7;930103;"VYDAJ";"PREVOD NA UCET";99.50;400.00;"SIPO";"QR";"12345678"`
)

func TestRun_RowBecomesACommandWithAllThatTheMappingSays(t *testing.T) {
	var sent []ledger.Command
	svc := through{Service: newShelf(), execute: func(_ context.Context, b ledger.Batch) ([]ledger.Result, error) {
		sent = append(sent, b.Commands...)
		return forgetful().execute(t.Context(), b)
	}}
	load(t, svc, berka(t), file(standing), Options{})
	want := []ledger.Command{{
		Kind: ledger.KindOpen, Ledger: bank, Key: "import:berka:open:berka:7", Account: "berka:7",
		Terms: &ledger.Terms{Asset: "CZK", Normal: ledger.Credit, Metadata: ledger.Metadata{"number": "7"}},
	}, {
		Kind: ledger.KindOpen, Ledger: bank, Key: "import:berka:open:bank:qr", Account: "bank:qr",
		Terms: &ledger.Terms{Asset: "CZK", Normal: ledger.Debit, Metadata: ledger.Metadata{"code": "QR"}},
	}, {
		Kind: ledger.KindDebit, Ledger: bank, Key: "import:berka:row:3", Account: "berka:7", Counter: "bank:qr",
		Amount: &ledger.Money{Minor: money.FromInt64(9950), Asset: "CZK"}, Reason: "household", Reference: "3",
		Metadata:    ledger.Metadata{"operation": "PREVOD NA UCET", "partner_bank": "QR", "partner_account": "12345678"},
		EffectiveAt: time.Date(1993, time.January, 3, 0, 0, 0, 0, time.UTC),
	}}
	if len(sent) != len(want) {
		t.Fatalf("%d commands, want %d", len(sent), len(want))
	}
	for i := range want {
		if got, want := string(sent[i].Canonical()), string(want[i].Canonical()); got != want {
			t.Errorf("command %d\n got %s\nwant %s", i, got, want)
		}
	}
}

func TestRun_OpensEachAccountOnceAndKeepsTheOneThatIsThere(t *testing.T) {
	svc := newShelf()
	o, err := ledger.Do(t.Context(), svc, ledger.Command{
		Kind: ledger.KindOpen, Ledger: bank, Key: "by hand", Account: "desk:cash", Terms: &ledger.Terms{Asset: "CZK", Normal: ledger.Debit},
	})
	if err != nil || o.Decided != ledger.Posted {
		t.Fatal(o, err)
	}
	s, report := load(t, svc, berka(t), file(deposit, withdrawal, standing), Options{})
	if s.Posted != 3 || s.Opened != 2 || len(report) != 0 || len(svc.accounts) != 3 {
		t.Errorf("%+v, %v; want the customer and the bank opened", s, report)
	}
}

func TestRun_OtherTermsForAnOpenAccountChangeNothing(t *testing.T) {
	svc := newShelf()
	load(t, svc, berka(t), file(deposit), Options{})
	stricter, err := ParseMapping("berka.yaml", []byte(strings.Replace(berkaYAML(t), "  normal: credit\n", "  normal: credit\n  floor: -100.00\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s, report := load(t, svc, stricter, file(deposit, withdrawal), Options{})
	if s.Posted != 1 || s.Replayed != 1 || len(report) != 0 || svc.accounts[ledger.Ref{Ledger: bank, Account: "berka:7"}].Floor.Set {
		t.Errorf("%+v, %v; want the second row posted on the account as it was opened", s, report)
	}
}

func TestRun_SameIdWithOtherContentIsRejectedWithItsLine(t *testing.T) {
	svc := newShelf()
	conflict := strings.Replace(deposit, "700.00;7", "700.01;7", 1)
	s, report := load(t, svc, berka(t), file(deposit, withdrawal, conflict, deposit), Options{})
	want := []string{"line 4: IDEMPOTENCY_MISMATCH: line 2 has the same id and another amount; an id names one row"}
	if s.Posted != 2 || s.Replayed != 1 || !slices.Equal(report, want) {
		t.Errorf("%+v\n%v, want\n%v", s, report, want)
	}
	_, report = load(t, svc, berka(t), file(strings.Replace(withdrawal, "930102", "930103", 1)), Options{})
	want = []string{"line 2: IDEMPOTENCY_MISMATCH: its id came earlier with another effective_at; an id names one row"}
	if !slices.Equal(report, want) {
		t.Errorf("%v, want\n%v", report, want)
	}
}

func TestRun_StrictStopsAtTheFirstWithEverythingBeforeItIntact(t *testing.T) {
	floored, err := ParseMapping("berka.yaml", []byte(strings.Replace(berkaYAML(t), "  normal: credit\n", "  normal: credit\n  floor: 0\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, bad, mended, code string
	}{
		{"malformed", `5;7;930102;"VYDAJ"`, withdrawal, "INVALID_ARGUMENT"},
		{"bad amount", `5;7;930102;"VYDAJ";"VYBER";1,5;499.50;"";;`, withdrawal, "INVALID_ARGUMENT"},
		{"declined", `5;7;930102;"VYDAJ";"VYBER";999.00;499.50;"";;`, `5;7;930102;"VYDAJ";"VYBER";99.00;499.50;"";;`, "INSUFFICIENT_FUNDS"},
		{"mismatch", `1;7;930102;"VYDAJ";"VYBER";1.00;499.50;"";;`, withdrawal, "IDEMPOTENCY_MISMATCH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := newShelf()
			var told []Rejected
			s, err := Run(t.Context(), svc, floored, file(deposit, c.bad, standing), Options{
				Ledger: bank, Strict: true, Reject: func(r Rejected) { told = append(told, r) },
			})
			if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "line 3: "+c.code) {
				t.Errorf("%v", err)
			}
			if s.Posted != 1 || s.Rejected != 1 || s.Rows != 2 || len(told) != 1 || told[0].Line != 3 || string(told[0].Code) != c.code {
				t.Errorf("%+v, told %+v", s, told)
			}
			if got := svc.balances("berka:")["berka:7"]; got != money.FromInt64(70000) {
				t.Errorf("the balance is %s, want the deposit alone", got)
			}
			s, err = Run(t.Context(), svc, floored, file(deposit, c.mended, standing), Options{Ledger: bank, Strict: true})
			if err != nil || s.Posted != 2 || s.Replayed != 1 {
				t.Errorf("mended: %+v, %v; want the rest posted", s, err)
			}
		})
	}
}

func TestRun_CommandThatTheServiceFindsInvalidIsRejectedAlone(t *testing.T) {
	for _, strict := range []bool{false, true} {
		svc := newShelf()
		picky := through{Service: svc, execute: func(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
			for i, c := range b.Commands {
				if c.Key == "import:berka:row:2" {
					return nil, errs.Invalid(fmt.Sprintf("commands[%d].effective_at", i), "the effective time lies in the future").With("index", i)
				}
			}
			return svc.Execute(ctx, b)
		}}
		var report []string
		s, err := Run(t.Context(), picky, berka(t), file(deposit, withdrawal, standing), Options{
			Ledger: bank, Strict: strict, Reject: func(r Rejected) { report = append(report, r.String()) },
		})
		posted := map[bool]int64{false: 2, true: 1}[strict]
		if s.Posted != posted || s.Rejected != 1 || len(report) != 1 || !strings.HasPrefix(report[0], "line 3: INVALID_ARGUMENT: ") || errors.Is(err, ErrRejected) != strict {
			t.Errorf("strict %t: %+v, %v, %v", strict, s, report, err)
		}
	}
}

func TestRun_RefusesAFileOrALedgerThatDoesNotFit(t *testing.T) {
	euros := newShelf(money.Asset{Code: "EUR", Scale: 2})
	tenths := newShelf(money.Asset{Code: "CZK", Scale: 1})
	yaml := "../../examples/berka.yaml"
	for _, c := range []struct {
		name string
		svc  ledger.Service
		in   string
		want string
	}{
		{"no header", newShelf(), "", "the file has no header line; if it has none by intention, name its columns under csv.columns"},
		{"a broken header", newShelf(), "\n\"trans\"id\n", "line 2: header: csv: a quote that is neither doubled nor at the end of its field, or one that is never closed, at line 2 column 7"},
		{"another file", newShelf(), "a;b\n1;2\n", yaml + `:9:5: the file has no column "trans_id"; it has "a", "b"`},
		{"a column twice", newShelf(), "trans_id;trans_id\n1;2\n", yaml + `:9:5: the file has several columns "trans_id"; name them apart with csv.columns, and skip the header with csv.skip_lines: 1`},
		{"UTF-16", newShelf(), "\xff\xfet\x00", "line 1: the file is UTF-16; convert it first: iconv -f UTF-16 -t UTF-8"},
		{"a ledger without the asset", euros, BerkaHeader, "ledger cz-bank has no asset CZK/2; it has EUR/2"},
		{"another scale", tenths, BerkaHeader, "ledger cz-bank has CZK/1 where mapping berka has CZK/2; let the mapping say the same"},
	} {
		_, err := Run(t.Context(), c.svc, berka(t), strings.NewReader(c.in), Options{Ledger: bank})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.name, err, c.want)
		}
	}
	_, err := Run(t.Context(), newShelf(), berka(t), file(), Options{Ledger: "elsewhere"})
	if !errors.Is(err, errs.ErrLedgerNotFound) {
		t.Errorf("a ledger that is not there: %v", err)
	}
}

func TestRun_ReadErrorLeavesTheRowsBeforeItIntact(t *testing.T) {
	broken := errors.New("the disk is gone")
	s, err := Run(t.Context(), newShelf(), berka(t), io.MultiReader(file(deposit, withdrawal), strings.NewReader(standing), readFunc(func([]byte) (int, error) { return 0, broken })), Options{Ledger: bank})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "read line 4") || s.Posted != 2 || s.Line != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestRun_ProgressGrowsToTheWholeFile(t *testing.T) {
	data := generated(t, 1000)
	var all []Progress
	s, err := Run(t.Context(), newShelf(), berka(t), bytes.NewReader(data), Options{
		Ledger: bank, Batch: 100, TotalBytes: int64(len(data)), Progress: func(p Progress) { all = append(all, p) },
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%+v, %v, %d reports", s, err, len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].Rows < all[i-1].Rows || all[i].Bytes < all[i-1].Bytes || all[i].Rate <= 0 {
			t.Errorf("%+v after %+v", all[i], all[i-1])
		}
	}
	if last := all[len(all)-1]; last.Rows != 1000 || last.Posted != 1000 || last.Bytes != int64(len(data)) || last.TotalBytes != last.Bytes {
		t.Errorf("it ends with %+v", last)
	}
}
