package rpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

// spy counts the commands that reach the service.
type spy struct {
	ledger.Service
	executed atomic.Int64
}

func (s *spy) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	s.executed.Add(1)
	return s.Service.Execute(ctx, b)
}

// clients are all services over one surface.
type clients struct {
	ledgerv1connect.LedgerServiceClient
	ledgerv1connect.TransactionServiceClient
	ledgerv1connect.QueryServiceClient
}

func (s surface) clients(t testing.TB, base string) clients {
	h := httpClient(t, s.http2)
	return clients{
		ledgerv1connect.NewLedgerServiceClient(h, base, s.options...), ledgerv1connect.NewTransactionServiceClient(h, base, s.options...),
		ledgerv1connect.NewQueryServiceClient(h, base, s.options...),
	}
}

func eur(minor string) *ledgerv1.Amount { return &ledgerv1.Amount{MinorUnits: minor, Currency: "EUR"} }

func keyed(key string) *ledgerv1.Terms {
	return &ledgerv1.Terms{Ledger: "shop-eu", IdempotencyKey: key}
}

// debitOf is a good debit, changed.
func debitOf(change func(*ledgerv1.DebitRequest)) func(context.Context, clients) error {
	m := &ledgerv1.DebitRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5")}
	change(m)
	return func(ctx context.Context, c clients) error {
		_, err := c.Debit(ctx, connect.NewRequest(m))
		return err
	}
}

func amountOf(minor string) func(context.Context, clients) error {
	return debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.MinorUnits = minor })
}

func batchOf(n int, change func(*ledgerv1.PostBatchRequest)) func(context.Context, clients) error {
	m := &ledgerv1.PostBatchRequest{}
	for i := range n {
		m.Commands = append(m.Commands, &ledgerv1.Command{Command: &ledgerv1.Command_Debit{Debit: &ledgerv1.DebitRequest{
			Terms: keyed(fmt.Sprint("k", i)), AccountId: "acc_42", Amount: eur("5"),
		}}})
	}
	change(m)
	return func(ctx context.Context, c clients) error {
		_, err := c.PostBatch(ctx, connect.NewRequest(m))
		return err
	}
}

func postOf(n int, change func(*ledgerv1.PostRequest)) func(context.Context, clients) error {
	m := &ledgerv1.PostRequest{Terms: keyed("k")}
	for i := range n {
		m.Entries = append(m.Entries, &ledgerv1.Leg{AccountId: fmt.Sprint("a", i), Side: ledgerv1.Side(1 + i%2), Amount: eur("5")})
	}
	change(m)
	return func(ctx context.Context, c clients) error {
		_, err := c.Post(ctx, connect.NewRequest(m))
		return err
	}
}

func entriesOf(m *ledgerv1.ListEntriesRequest) func(context.Context, clients) error {
	m.Ledger, m.AccountId = "shop-eu", "acc_42"
	return func(ctx context.Context, c clients) error {
		_, err := c.ListEntries(ctx, connect.NewRequest(m))
		return err
	}
}

func openOf(change func(*ledgerv1.OpenAccountRequest)) func(context.Context, clients) error {
	m := &ledgerv1.OpenAccountRequest{Ledger: "shop-eu", AccountId: "new", Asset: "EUR", NormalSide: ledgerv1.Side_SIDE_CREDIT}
	change(m)
	return func(ctx context.Context, c clients) error {
		_, err := c.OpenAccount(ctx, connect.NewRequest(m))
		return err
	}
}

var badMessages = []struct {
	name, field string
	call        func(context.Context, clients) error
}{
	{"no amount", "amount", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount = nil })},
	{"empty amount", "amount.minor_units", amountOf("")},
	{"zero", "amount.minor_units", amountOf("0")},
	{"minus zero", "amount.minor_units", amountOf("-0")},
	{"negative", "amount.minor_units", amountOf("-5")},
	{"plus", "amount.minor_units", amountOf("+5")},
	{"39 digits", "amount.minor_units", amountOf("1" + strings.Repeat("0", 38))},
	{"a million digits", "amount.minor_units", amountOf(strings.Repeat("9", 1_000_000))},
	{"fraction", "amount.minor_units", amountOf("50.5")},
	{"exponent", "amount.minor_units", amountOf("5e3")},
	{"hex", "amount.minor_units", amountOf("0x10")},
	{"spaces", "amount.minor_units", amountOf(" 5")},
	{"arabic digits", "amount.minor_units", amountOf(strings.Repeat("٥", 40))},
	{"wrong scale", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/3" })},
	{"broken scale", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/x" })},
	{"scale beyond all", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/99999999999999999999" })},
	{"no currency", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "" })},
	{"broken currency", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "€" })},
	{"no key", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "" })},
	{"key with control character", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "a\x00b" })},
	{"key with space", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "a b" })},
	{"long key", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = strings.Repeat("k", 256) })},
	{"no ledger", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "" })},
	{"ledger with control character", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "shop\neu" })},
	{"ledger in capitals", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "SHOP" })},
	{"no account", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "" })},
	{"account with control character", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "acc\x1b[31m" })},
	{"account with quotes", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "a'; drop table entry; --" })},
	{"long account, cut inside a character", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "a" + strings.Repeat("é", 200) })},
	{"counter with control character", "counter_account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.CounterAccountId = "a\x7f" })},
	{"to itself", "counter_account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.CounterAccountId = "acc_42" })},
	{"reason with control character", "reason", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Reason = "a\nb" })},
	{"long reason", "reason", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Reason = strings.Repeat("r", 65) })},
	{"long reference", "reference_id", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.ReferenceId = strings.Repeat("r", 256) })},
	{"reference with control character", "reference_id", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.ReferenceId = "a\x00" })},
	{"long correlation", "correlation_id", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.CorrelationId = strings.Repeat("r", 256) })},
	{"long metadata", "metadata.k", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Metadata = map[string]string{"k": strings.Repeat("v", 256)} })},
	{"future", "effective_at", debitOf(func(m *ledgerv1.DebitRequest) {
		m.Terms.EffectiveAt = timestamppb.New(time.Date(2525, 1, 1, 0, 0, 0, 0, time.UTC))
	})},
	{"time of negative nanoseconds", "terms.effective_at", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.EffectiveAt = &timestamppb.Timestamp{Nanos: -1} })},
	{"1,001 commands", "commands", batchOf(1001, func(*ledgerv1.PostBatchRequest) {})},
	{"no commands", "commands", batchOf(0, func(*ledgerv1.PostBatchRequest) {})},
	{"command of nothing", "commands[1].command", batchOf(2, func(m *ledgerv1.PostBatchRequest) { m.Commands[1] = &ledgerv1.Command{} })},
	{"third command without account", "commands[2].account_id", batchOf(3, func(m *ledgerv1.PostBatchRequest) { m.Commands[2].GetDebit().AccountId = "" })},
	{"1,001 legs", "entries", postOf(1001, func(*ledgerv1.PostRequest) {})},
	{"leg without side", "entries[1].side", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[1].Side = 0 })},
	{"leg of unknown side", "entries[1].side", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[1].Side = 77 })},
	{"leg of nothing", "entries[0].amount", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[0].Amount = nil })},
	{"leg of broken ledger", "entries[0].ledger", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[0].Ledger = "\x01" })},
	{"one leg", "entries", postOf(1, func(*ledgerv1.PostRequest) {})},
	{"hold of no UUID", "hold_id", func(ctx context.Context, c clients) error {
		_, err := c.Commit(ctx, connect.NewRequest(&ledgerv1.CommitRequest{Terms: keyed("k"), HoldId: "050b0c82-502a-89b9-8178-b6102169a7eX"}))
		return err
	}},
	{"transaction of no UUID", "transaction_id", func(ctx context.Context, c clients) error {
		_, err := c.Reverse(ctx, connect.NewRequest(&ledgerv1.ReverseRequest{Terms: keyed("k"), TransactionId: "\x00"}))
		return err
	}},
	{"hold of no time", "expires_in", func(ctx context.Context, c clients) error {
		_, err := c.Hold(ctx, connect.NewRequest(&ledgerv1.HoldRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5"), ExpiresIn: durationpb.New(-1)}))
		return err
	}},
	{"hold of impossible time", "expires_in", func(ctx context.Context, c clients) error {
		_, err := c.Hold(ctx, connect.NewRequest(&ledgerv1.HoldRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5"), ExpiresIn: &durationpb.Duration{Seconds: 315_576_000_000}}))
		return err
	}},
	{"negative page", "page_size", entriesOf(&ledgerv1.ListEntriesRequest{PageSize: -1})},
	{"page of 1,001", "page_size", entriesOf(&ledgerv1.ListEntriesRequest{PageSize: 1001})},
	{"bad cursor", "page_token", entriesOf(&ledgerv1.ListEntriesRequest{PageToken: "!"})},
	{"short cursor", "page_token", entriesOf(&ledgerv1.ListEntriesRequest{PageToken: "AAAA"})},
	{"negative sequence", "sequence", entriesOf(&ledgerv1.ListEntriesRequest{Sequence: -1})},
	{"impossible time", "from", entriesOf(&ledgerv1.ListEntriesRequest{From: &timestamppb.Timestamp{Nanos: 2_000_000_000}})},
	{"bad name cursor", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListAccounts(ctx, connect.NewRequest(&ledgerv1.ListAccountsRequest{Ledger: "shop-eu", PageToken: "%%%"}))
		return err
	}},
	{"name cursor of something else", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListAccounts(ctx, connect.NewRequest(&ledgerv1.ListAccountsRequest{Ledger: "shop-eu", PageToken: nameToken("a\x00\xff")}))
		return err
	}},
	{"ledger cursor of something else", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListLedgers(ctx, connect.NewRequest(&ledgerv1.ListLedgersRequest{PageToken: nameToken("a\x00\xff")}))
		return err
	}},
	{"reading by nothing", "transaction_id", func(ctx context.Context, c clients) error {
		_, err := c.GetTransaction(ctx, connect.NewRequest(&ledgerv1.GetTransactionRequest{Ledger: "shop-eu"}))
		return err
	}},
	{"reading by long reference", "reference_id", func(ctx context.Context, c clients) error {
		_, err := c.GetTransaction(ctx, connect.NewRequest(&ledgerv1.GetTransactionRequest{Ledger: "shop-eu", By: &ledgerv1.GetTransactionRequest_ReferenceId{ReferenceId: strings.Repeat("x", 256)}}))
		return err
	}},
	{"floor of no number", "min_available", openOf(func(m *ledgerv1.OpenAccountRequest) { m.MinAvailable = "lots" })},
	{"ceiling of 39 digits", "max_balance", openOf(func(m *ledgerv1.OpenAccountRequest) { m.MaxBalance = strings.Repeat("9", 39) })},
	{"open without side", "normal_side", openOf(func(m *ledgerv1.OpenAccountRequest) { m.NormalSide = 0 })},
	{"open with long id", "account_id", openOf(func(m *ledgerv1.OpenAccountRequest) { m.AccountId = strings.Repeat("a", 129) })},
	{"freeze as closed", "status", func(ctx context.Context, c clients) error {
		_, err := c.FreezeAccount(ctx, connect.NewRequest(&ledgerv1.FreezeAccountRequest{Ledger: "shop-eu", AccountId: "acc_42", Status: ledgerv1.AccountStatus_ACCOUNT_STATUS_CLOSED}))
		return err
	}},
	{"ledger of no asset", "assets", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "eu"}))
		return err
	}},
	{"ledger of broken asset", "assets[1]", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "eu", Assets: []string{"EUR/2", "EUR/-1"}}))
		return err
	}},
	{"ledger of broken home", "home", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "E U", Assets: []string{"EUR/2"}}))
		return err
	}},
}

func TestBadMessages_AreInvalidOnEverySurface(t *testing.T) {
	model, _ := wallets(t)
	svc := &spy{Service: model}
	base := serve(t, svc, Options{})
	onEach(t, func(t *testing.T, s surface) {
		c := s.clients(t, base)
		for _, bad := range badMessages {
			t.Run(bad.name, func(t *testing.T) {
				before := svc.executed.Load()
				err := bad.call(t.Context(), c)
				wire := new(connect.Error)
				if err != nil && strings.Contains(err.Error(), "marshal message") {
					t.Skip("JSON has no form of it")
				}
				if !errors.As(err, &wire) || wire.Code() != connect.CodeInvalidArgument {
					t.Fatalf("%.300v, wanted invalid_argument", err)
				}
				e := errs.Of(fromWire(t.Context(), err))
				if e.Reason != errs.ReasonInvalidArgument || e.Fields["field"] != bad.field {
					t.Errorf("%.300v names %q, wanted %q", err, e.Fields["field"], bad.field)
				}
				if e.Message == wire.Message() {
					t.Errorf("%.300v has no field violation", err)
				}
				saysNothingOfGo(t, wire.Message())
				if svc.executed.Load() != before {
					t.Error("the service was called")
				}
				if wire.Meta().Get(headerTrace) == "" {
					t.Error("no trace id")
				}
			})
		}
	})
}

// saysNothingOfGo finds words that only a programmer of this server understands.
func saysNothingOfGo(t testing.TB, message string) {
	t.Helper()
	if len(message) > 1000 {
		t.Errorf("a message of %d bytes", len(message))
	}
	for _, word := range []string{"proto:", "unmarshal", "strconv", "json:", "goroutine", "runtime", ".go:", "pgx", "SQLSTATE", "EOF", "ledgerv1", "%!", "<nil>", "\u00a0"} {
		if strings.Contains(message, word) {
			t.Errorf("%q is said in %q", word, message)
		}
	}
}
