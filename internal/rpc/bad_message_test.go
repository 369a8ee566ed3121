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

// looked says that the service finds it: the books decide what their texts may be.
const looked = true

var badMessages = []struct {
	name, field string
	call        func(context.Context, clients) error
	byService   bool
}{
	{"no amount", "amount", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount = nil }), false},
	{"empty amount", "amount.minor_units", amountOf(""), false},
	{"zero", "amount.minor_units", amountOf("0"), false},
	{"minus zero", "amount.minor_units", amountOf("-0"), false},
	{"negative", "amount.minor_units", amountOf("-5"), false},
	{"plus", "amount.minor_units", amountOf("+5"), false},
	{"39 digits", "amount.minor_units", amountOf("1" + strings.Repeat("0", 38)), false},
	{"a million digits", "amount.minor_units", amountOf(strings.Repeat("9", 1_000_000)), false},
	{"fraction", "amount.minor_units", amountOf("50.5"), false},
	{"exponent", "amount.minor_units", amountOf("5e3"), false},
	{"hex", "amount.minor_units", amountOf("0x10"), false},
	{"spaces", "amount.minor_units", amountOf(" 5"), false},
	{"arabic digits", "amount.minor_units", amountOf(strings.Repeat("٥", 40)), false},
	{"wrong scale", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/3" }), false},
	{"broken scale", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/x" }), false},
	{"scale beyond all", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "EUR/99999999999999999999" }), false},
	{"no currency", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "" }), false},
	{"broken currency", "amount.currency", debitOf(func(m *ledgerv1.DebitRequest) { m.Amount.Currency = "€" }), false},
	{"no key", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "" }), false},
	{"key with control character", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "a\x00b" }), false},
	{"key with space", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = "a b" }), false},
	{"long key", "terms.idempotency_key", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.IdempotencyKey = strings.Repeat("k", 256) }), false},
	{"no ledger", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "" }), false},
	{"ledger with control character", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "shop\neu" }), false},
	{"ledger in capitals", "terms.ledger", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Ledger = "SHOP" }), false},
	{"no account", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "" }), false},
	{"account with control character", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "acc\x1b[31m" }), false},
	{"account with quotes", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "a'; drop table entry; --" }), false},
	{"long account, cut inside a character", "account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.AccountId = "a" + strings.Repeat("é", 200) }), false},
	{"counter with control character", "counter_account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.CounterAccountId = "a\x7f" }), false},
	{"to itself", "counter_account_id", debitOf(func(m *ledgerv1.DebitRequest) { m.CounterAccountId = "acc_42" }), looked},
	{"reason with control character", "reason", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Reason = "a\nb" }), false},
	{"long reason", "reason", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Reason = strings.Repeat("r", 65) }), false},
	{"long reference", "reference", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.ReferenceId = strings.Repeat("r", 256) }), looked},
	{"reference with control character", "reference", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.ReferenceId = "a\x00" }), looked},
	{"long correlation", "correlation_id", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.CorrelationId = strings.Repeat("r", 256) }), looked},
	{"long metadata", "metadata.k", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.Metadata = map[string]string{"k": strings.Repeat("v", 256)} }), looked},
	{"future", "effective_at", debitOf(func(m *ledgerv1.DebitRequest) {
		m.Terms.EffectiveAt = timestamppb.New(time.Date(2525, 1, 1, 0, 0, 0, 0, time.UTC))
	}), looked},
	{"time of negative nanoseconds", "terms.effective_at", debitOf(func(m *ledgerv1.DebitRequest) { m.Terms.EffectiveAt = &timestamppb.Timestamp{Nanos: -1} }), false},
	{"1,001 commands", "commands", batchOf(1001, func(*ledgerv1.PostBatchRequest) {}), false},
	{"no commands", "commands", batchOf(0, func(*ledgerv1.PostBatchRequest) {}), false},
	{"command of nothing", "commands[1].command", batchOf(2, func(m *ledgerv1.PostBatchRequest) { m.Commands[1] = &ledgerv1.Command{} }), false},
	{"third command without account", "commands[2].account_id", batchOf(3, func(m *ledgerv1.PostBatchRequest) { m.Commands[2].GetDebit().AccountId = "" }), false},
	{"1,001 legs", "entries", postOf(1001, func(*ledgerv1.PostRequest) {}), false},
	{"leg without side", "entries[1].side", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[1].Side = 0 }), false},
	{"leg of unknown side", "entries[1].side", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[1].Side = 77 }), false},
	{"leg of nothing", "entries[0].amount", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[0].Amount = nil }), false},
	{"leg of broken ledger", "entries[0].ledger", postOf(2, func(m *ledgerv1.PostRequest) { m.Entries[0].Ledger = "\x01" }), false},
	{"one leg", "entries", postOf(1, func(*ledgerv1.PostRequest) {}), looked},
	{"hold of no UUID", "hold_id", func(ctx context.Context, c clients) error {
		_, err := c.Commit(ctx, connect.NewRequest(&ledgerv1.CommitRequest{Terms: keyed("k"), HoldId: "050b0c82-502a-89b9-8178-b6102169a7eX"}))
		return err
	}, false},
	{"transaction of no UUID", "transaction_id", func(ctx context.Context, c clients) error {
		_, err := c.Reverse(ctx, connect.NewRequest(&ledgerv1.ReverseRequest{Terms: keyed("k"), TransactionId: "\x00"}))
		return err
	}, false},
	{"hold of no time", "expires_in", func(ctx context.Context, c clients) error {
		_, err := c.Hold(ctx, connect.NewRequest(&ledgerv1.HoldRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5"), ExpiresIn: durationpb.New(-1)}))
		return err
	}, false},
	{"hold of impossible time", "expires_in", func(ctx context.Context, c clients) error {
		_, err := c.Hold(ctx, connect.NewRequest(&ledgerv1.HoldRequest{Terms: keyed("k"), AccountId: "acc_42", Amount: eur("5"), ExpiresIn: &durationpb.Duration{Seconds: 315_576_000_000}}))
		return err
	}, looked},
	{"negative page", "page_size", entriesOf(&ledgerv1.ListEntriesRequest{PageSize: -1}), false},
	{"page of 1,001", "page_size", entriesOf(&ledgerv1.ListEntriesRequest{PageSize: 1001}), false},
	{"bad cursor", "page_token", entriesOf(&ledgerv1.ListEntriesRequest{PageToken: "!"}), false},
	{"short cursor", "page_token", entriesOf(&ledgerv1.ListEntriesRequest{PageToken: "AAAA"}), false},
	{"negative sequence", "sequence", entriesOf(&ledgerv1.ListEntriesRequest{Sequence: -1}), false},
	{"impossible time", "from", entriesOf(&ledgerv1.ListEntriesRequest{From: &timestamppb.Timestamp{Nanos: 2_000_000_000}}), false},
	{"bad name cursor", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListAccounts(ctx, connect.NewRequest(&ledgerv1.ListAccountsRequest{Ledger: "shop-eu", PageToken: "%%%"}))
		return err
	}, false},
	{"name cursor of something else", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListAccounts(ctx, connect.NewRequest(&ledgerv1.ListAccountsRequest{Ledger: "shop-eu", PageToken: nameToken("a\x00\xff")}))
		return err
	}, false},
	{"ledger cursor of something else", "page_token", func(ctx context.Context, c clients) error {
		_, err := c.ListLedgers(ctx, connect.NewRequest(&ledgerv1.ListLedgersRequest{PageToken: nameToken("a\x00\xff")}))
		return err
	}, false},
	{"reading by nothing", "transaction_id", func(ctx context.Context, c clients) error {
		_, err := c.GetTransaction(ctx, connect.NewRequest(&ledgerv1.GetTransactionRequest{Ledger: "shop-eu"}))
		return err
	}, false},
	{"reading by long reference", "reference_id", func(ctx context.Context, c clients) error {
		_, err := c.GetTransaction(ctx, connect.NewRequest(&ledgerv1.GetTransactionRequest{Ledger: "shop-eu", By: &ledgerv1.GetTransactionRequest_ReferenceId{ReferenceId: strings.Repeat("x", 256)}}))
		return err
	}, false},
	{"floor of no number", "min_available", openOf(func(m *ledgerv1.OpenAccountRequest) { m.MinAvailable = "lots" }), false},
	{"ceiling of 39 digits", "max_balance", openOf(func(m *ledgerv1.OpenAccountRequest) { m.MaxBalance = strings.Repeat("9", 39) }), false},
	{"open without side", "normal_side", openOf(func(m *ledgerv1.OpenAccountRequest) { m.NormalSide = 0 }), false},
	{"open with long id", "account_id", openOf(func(m *ledgerv1.OpenAccountRequest) { m.AccountId = strings.Repeat("a", 129) }), false},
	{"freeze as closed", "status", func(ctx context.Context, c clients) error {
		_, err := c.FreezeAccount(ctx, connect.NewRequest(&ledgerv1.FreezeAccountRequest{Ledger: "shop-eu", AccountId: "acc_42", Status: ledgerv1.AccountStatus_ACCOUNT_STATUS_CLOSED}))
		return err
	}, false},
	{"ledger of no asset", "assets", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "eu"}))
		return err
	}, looked},
	{"ledger of broken asset", "assets[1]", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "eu", Assets: []string{"EUR/2", "EUR/-1"}}))
		return err
	}, false},
	{"ledger of broken home", "home", func(ctx context.Context, c clients) error {
		_, err := c.CreateLedger(ctx, connect.NewRequest(&ledgerv1.CreateLedgerRequest{Ledger: "x", Home: "E U", Assets: []string{"EUR/2"}}))
		return err
	}, false},
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
				e := errs.Of(fromWire(err))
				if e.Reason != errs.ReasonInvalidArgument || e.Fields["field"] != bad.field {
					t.Errorf("%.300v names %q, wanted %q", err, e.Fields["field"], bad.field)
				}
				if e.Message == wire.Message() {
					t.Errorf("%.300v has no field violation", err)
				}
				saysNothingOfGo(t, wire.Message())
				if reached := svc.executed.Load() != before; reached && !bad.byService {
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
