package rpc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

func allReasons() []errs.Reason {
	return append(append([]errs.Reason{}, errs.Declines...), errs.Failures...)
}

// failing answers every command as it is told.
type failing struct {
	ledger.Service
	fail func() error
}

func (f failing) Execute(context.Context, ledger.Batch) ([]ledger.Result, error) {
	return nil, f.fail()
}

func (f failing) Ledger(context.Context, id.Ledger) (ledger.Ledger, error) {
	return ledger.Ledger{}, f.fail()
}

func TestCodes_ThereAndBack(t *testing.T) {
	for code := errs.Internal; code <= errs.PermissionDenied; code++ {
		wire, known := codes[code]
		if !known {
			t.Errorf("code %d has no place on the wire", code)
			continue
		}
		if codesBack[wire] != code {
			t.Errorf("code %d goes out as %s and comes back as %d", code, wire, codesBack[wire])
		}
	}
	if len(codes) != int(errs.PermissionDenied)+1 || len(codesBack) != len(codes) {
		t.Errorf("%d codes, %d back", len(codes), len(codesBack))
	}
}

func TestReasons_HaveANumberOfTheirOwnAndComeBack(t *testing.T) {
	seen := map[ledgerv1.Reason]errs.Reason{}
	for i, r := range allReasons() {
		n := reasonOf(r)
		if n == ledgerv1.Reason_REASON_UNSPECIFIED || seen[n] != "" {
			t.Errorf("%s is %d, as %q is", r, n, seen[n])
		}
		seen[n] = r
		if reasonBack(n) != r {
			t.Errorf("%s comes back as %s", r, reasonBack(n))
		}
		if i < len(errs.Declines) && int(n) != i+1 {
			t.Errorf("%s is looked for at place %d and has number %d", r, i+1, n)
		}
	}
	if len(seen) != len(ledgerv1.Reason_name)-1 {
		t.Errorf("the proto file has %d reasons, the domain %d", len(ledgerv1.Reason_name)-1, len(seen))
	}
}

func TestErrors_KeepReasonCodeAndFactsOnEverySurface(t *testing.T) {
	var current error
	base := serve(t, failing{fail: func() error { return current }}, Options{})
	onEach(t, func(t *testing.T, s surface) {
		c := s.client(t, base)
		for _, r := range allReasons() {
			for code := range codes {
				sent := errs.New(code, r, "a sentence").With("available", 5).With("field", "a.b").Because(errors.New("pgx: secret"))
				current = fmt.Errorf("execute: %w", sent)
				_, err := c.Ledger(t.Context(), "shop-eu")
				got := errs.Of(err)
				if !errors.Is(err, sent) || got.Code != code {
					t.Fatalf("%s %d came as %v", r, code, err)
				}
				if strings.Contains(err.Error(), "pgx") || strings.Contains(err.Error(), "execute") {
					t.Fatalf("a cause went out: %v", err)
				}
				if code != errs.Internal && (got.Fields["available"] != "5" || got.Message != "a sentence") {
					t.Fatalf("%s %d came as %q with %v", r, code, got.Message, got.Fields)
				}
			}
		}
	})
}

func TestErrors_InternalOnesLeakNothing(t *testing.T) {
	log := &records{}
	svc := failing{fail: func() error {
		return fmt.Errorf("insert entry: %w", errors.New(`ERROR: relation "entry" does not exist (SQLSTATE 42P01)`))
	}}
	base := serve(t, svc, Options{DefaultLedger: "shop-eu", Log: log.logger()})
	r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k", "X-Trace-Id", "t-internal")
	got := r.refusal(t)
	if r.status != 500 || got.code != "internal" || got.reason != "INTERNAL" || got.message != errs.ErrInternal.Message {
		t.Errorf("%d %s", r.status, r.body)
	}
	saysNothingOfGo(t, string(r.body))
	line := log.line(t, "t-internal")
	if line["level"] != "ERROR" || !strings.Contains(fmt.Sprint(line["error"]), "SQLSTATE 42P01") || line["idempotency_key"] != "k" {
		t.Errorf("the log says %v", line)
	}
}

func TestErrors_OverloadSaysWhenToComeBack(t *testing.T) {
	base := serve(t, failing{fail: func() error { return errs.ErrOverloaded }}, Options{DefaultLedger: "shop-eu"})
	r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k")
	if got := r.refusal(t); r.status != 429 || got.reason != "OVERLOADED" || r.header.Get("Retry-After") != "1" {
		t.Errorf("%d %+v Retry-After %q", r.status, got, r.header.Get("Retry-After"))
	}
	onEach(t, func(t *testing.T, s surface) {
		_, err := s.client(t, base).Ledger(t.Context(), "shop-eu")
		if wire := new(connect.Error); !errors.As(err, &wire) || wire.Meta().Get("Retry-After") != "1" {
			t.Errorf("%v", err)
		}
	})
}

func TestPanics_AreInternalAndTheServerLivesOn(t *testing.T) {
	log, registry := &records{}, prometheus.NewRegistry()
	model, _ := wallets(t)
	svc := &panicking{Service: model, when: "boom"}
	base := serve(t, svc, Options{DefaultLedger: "shop-eu", Log: log.logger(), Registerer: registry})
	r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "boom", "X-Trace-Id", "t-panic")
	if got := r.refusal(t); r.status != 500 || got.reason != "INTERNAL" || strings.Contains(string(r.body), "kaboom") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if line := log.line(t, "t-panic"); line["msg"] != "panic" || !strings.Contains(fmt.Sprint(line["stack"]), "errors_test.go") || line["panic"] != "kaboom" {
		t.Errorf("the log says %v", line)
	}
	if r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k"); r.status != 200 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
	if got := calls(t, registry); got["ok"] != 1 || got["internal"] != 1 {
		t.Errorf("%v calls", got)
	}
}

type panicking struct {
	ledger.Service
	when id.Key
}

func (p *panicking) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	if b.Commands[0].Key == p.when {
		panic("kaboom")
	}
	return p.Service.Execute(ctx, b)
}

func TestClient_MakesReasonsOfWhatIsNoLedger(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{errors.New("dial tcp: refused"), errs.ErrUnavailable},
		{connect.NewError(connect.CodeUnavailable, errors.New("proxy")), errs.ErrUnavailable},
		{connect.NewError(connect.CodeUnknown, errors.New("bad gateway")), errs.ErrUnavailable},
		{connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded), errs.ErrDeadlineExceeded},
		{connect.NewError(connect.CodeCanceled, context.Canceled), errs.ErrCanceled},
		{connect.NewError(connect.CodeResourceExhausted, errors.New("quota")), errs.ErrOverloaded},
		{connect.NewError(connect.CodeInternal, errors.New("x")), errs.ErrInternal},
	} {
		if got := fromWire(c.err); !errors.Is(got, c.want) || errs.Of(got).Code != errs.Of(c.want).Code {
			t.Errorf("%v became %v", c.err, got)
		}
	}
	if fromWire(nil) != nil {
		t.Error("no error became one")
	}
}

func TestDocs_ListEveryReasonAndTheDeclinesInOrder(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for i, r := range allReasons() {
		at := strings.Index(string(text), "| `"+string(r)+"` |")
		if at < 0 {
			t.Errorf("docs/api.md has no row for %s", r)
			continue
		}
		if i < len(errs.Declines) && at < last {
			t.Errorf("docs/api.md has %s in another order than the books look", r)
		}
		last = at
	}
	for _, path := range services() {
		if !strings.Contains(string(text), path[strings.LastIndex(path, ".")+1:]) {
			t.Errorf("docs/api.md does not name %s", path)
		}
	}
}
