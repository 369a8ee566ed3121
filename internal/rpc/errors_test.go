package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

func allReasons() []errs.Reason {
	return slices.Concat(errs.Declines, errs.StepDeclines, errs.Failures)
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

func TestErrors_WhatIsWorthARepeatSaysWhen(t *testing.T) {
	for _, c := range []struct {
		err  error
		http int
		wait time.Duration // zero: it does not say
	}{
		{errs.ErrOverloaded, 429, time.Second},
		{errs.ErrUnavailable, 503, time.Second},
		{errs.ErrDraining, 503, time.Second},
		{errs.ErrOutcomeUnknown, 503, time.Second},
		{errs.ErrContended, 409, 0},
		{errs.ErrInternal, 500, 0},
	} {
		t.Run(string(errs.Of(c.err).Reason), func(t *testing.T) {
			seconds := ""
			if c.wait > 0 {
				seconds = "1"
			}
			base := serve(t, failing{fail: func() error { return c.err }}, Options{DefaultLedger: "shop-eu"})
			r := send(t, "POST", base+"/v1/wallet/debit", []byte(contract), "Idempotency-Key", "k")
			if got := r.refusal(t); r.status != c.http || got.reason != string(errs.Of(c.err).Reason) || r.header.Get("Retry-After") != seconds || got.wait != c.wait {
				t.Errorf("wallet: %d %+v, Retry-After %q", r.status, got, r.header.Get("Retry-After"))
			}
			onEach(t, func(t *testing.T, s surface) {
				_, err := s.client(t, base).Ledger(t.Context(), "shop-eu")
				wire := new(connect.Error)
				if !errors.As(err, &wire) || !errors.Is(err, c.err) {
					t.Fatalf("%v", err)
				}
				if got := retryInfo(t, wire); wire.Meta().Get("Retry-After") != seconds || got != c.wait {
					t.Errorf("Retry-After %q, RetryInfo %s", wire.Meta().Get("Retry-After"), got)
				}
			})
		})
	}
}

// retryInfo is how long the details of an error say to wait.
func retryInfo(t *testing.T, wire *connect.Error) (wait time.Duration) {
	t.Helper()
	for _, d := range wire.Details() {
		value, err := d.Value()
		if err != nil {
			t.Fatal(err)
		}
		if info, ok := value.(*errdetails.RetryInfo); ok {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	return wait
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
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	timeout := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	for _, c := range []struct {
		ctx  context.Context //nolint:containedctx // of the row
		err  error
		want error
	}{
		{t.Context(), errors.New("dial tcp: refused"), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeUnavailable, errors.New("proxy")), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeUnknown, errors.New("bad gateway")), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeDeadlineExceeded, timeout), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeCanceled, syscall.ECONNRESET), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeInternal, errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer")), errs.ErrUnavailable},
		{t.Context(), connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("incomplete envelope: %w", io.ErrUnexpectedEOF)), errs.ErrUnavailable},
		{t.Context(), connect.NewWireError(connect.CodeCanceled, errors.New("said a proxy")), errs.ErrUnavailable},
		{t.Context(), connect.NewWireError(connect.CodeDeadlineExceeded, errors.New("said a proxy")), errs.ErrDeadlineExceeded},
		{t.Context(), connect.NewError(connect.CodeResourceExhausted, errors.New("quota")), errs.ErrOverloaded},
		{t.Context(), connect.NewError(connect.CodeInternal, errors.New("marshal message")), errs.ErrInternal},
		{t.Context(), connect.NewWireError(connect.CodeInvalidArgument, io.ErrUnexpectedEOF), errs.New(errs.InvalidArgument, errs.ReasonInvalidArgument, "")},
		{canceled, connect.NewError(connect.CodeCanceled, context.Canceled), errs.ErrCanceled},
		{canceled, errors.New("dial tcp: operation was canceled"), errs.ErrCanceled},
		{late, connect.NewError(connect.CodeDeadlineExceeded, context.DeadlineExceeded), errs.ErrDeadlineExceeded},
		{late, connect.NewError(connect.CodeCanceled, syscall.EPIPE), errs.ErrDeadlineExceeded},
		{passed{t.Context()}, connect.NewError(connect.CodeDeadlineExceeded, errors.New("stream error: CANCEL")), errs.ErrDeadlineExceeded},
	} {
		if got := fromWire(c.ctx, c.err); !errors.Is(got, c.want) || errs.Of(got).Code != errs.Of(c.want).Code {
			t.Errorf("%v became %v, want %v", c.err, got, c.want)
		}
	}
	if fromWire(t.Context(), nil) != nil {
		t.Error("no error became one")
	}
}

// passed has a deadline that is over before its timer has noticed.
type passed struct{ context.Context } //nolint:containedctx // it is one

func (passed) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

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
