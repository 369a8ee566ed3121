package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// halfWay answers the first command of a batch and fails the others.
type halfWay struct {
	ledger.Service
	fail error
}

func (h halfWay) Execute(ctx context.Context, b ledger.Batch) ([]ledger.Result, error) {
	results := make([]ledger.Result, len(b.Commands))
	first, err := h.Service.Execute(ctx, ledger.Batch{Commands: b.Commands[:1]})
	if err != nil {
		return nil, err
	}
	results[0] = first[0]
	for i := range results[1:] {
		results[1+i].Err = h.fail
	}
	return results, nil
}

func TestPostBatch_AnsweredInPartSaysOfEachCommandWhatBecameOfIt(t *testing.T) {
	books, _ := wallets(t)
	transfer := func(key string) ledger.Command {
		return ledger.Command{
			Kind: ledger.KindCredit, Ledger: "shop-eu", Key: id.Key(key), Account: "acc_42", Amount: &ledger.Money{Minor: money.FromInt64(1), Asset: "EUR"},
		}
	}
	for _, failure := range []*errs.Error{
		errs.ErrUnavailable.With("cause", "connection"), errs.ErrOutcomeUnknown, errs.ErrContended, errs.ErrDeadlineExceeded, errs.ErrIdempotencyMismatch,
		errs.ErrInternal.With("table", "entry"),
	} {
		base := serve(t, halfWay{Service: books, fail: failure.Because(errors.New("pgx: secret"))}, Options{})
		onEach(t, func(t *testing.T, s surface) {
			results, err := s.client(t, base).Execute(t.Context(), ledger.Batch{Commands: []ledger.Command{transfer("a"), transfer("b"), transfer("c")}})
			if err != nil || len(results) != 3 || results[0].Err != nil || results[0].Outcome.Key != "a" {
				t.Fatalf("%s: %v %v", failure.Reason, results, err)
			}
			for _, r := range results[1:] {
				got := errs.Of(r.Err)
				if !errors.Is(r.Err, failure) || got.Code != failure.Code || errs.Transient(r.Err) != errs.Transient(failure) {
					t.Errorf("%s of code %d came as %v of code %d", failure.Reason, failure.Code, r.Err, got.Code)
				}
				if got.Fields["table"] != "" || got.Fields["cause"] != failure.Fields["cause"] {
					t.Errorf("%s came with the facts %v", failure.Reason, got.Fields)
				}
			}
		})
	}
}

func TestCodeOf_KnowsEveryReasonOfAnError(t *testing.T) {
	for _, r := range errs.Failures {
		if code := errs.CodeOf(r); code == errs.Internal && r != errs.ReasonInternal {
			t.Errorf("the code of %s is that of an internal error", r)
		}
	}
}
