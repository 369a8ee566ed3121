package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
)

// paid is all that is known of the payments of a drill when it is over: what clients and the provider did, what servers say, and what the provider
// has in its own record. The checkers are functions of it.
type paid struct {
	told   bool            // the provider told of the deposits
	failed string          // why it could not tell everything; empty: it did
	posted simulate.Report // what came of that
	broken bool            // servers were broken in the story, so that a callback may have no answer at first
	rows   map[id.Home][]provider.Callback

	deposits    []paidDeposit
	withdrawals []paidOut
	record      map[string]payout // the provider's own, by our id of the payment
	accounts    map[ledger.Ref]ledger.Account

	most, open  int64 // of what was not applied or ended: at the worst, and in the end
	took        time.Duration
	within      time.Duration // that it may take; 0: no limit
	early       int           // callbacks that were seen to wait
	wasExpected int           // that were to be
}

// paidDeposit is a deposit as the books have it.
type paidDeposit struct {
	*deposit
	ledger.Payment
	steps []ledger.PaymentStep
}

// paidOut is a withdrawal as the books have it. Without a payment its ID is zero.
type paidOut struct {
	*withdrawal
	saga saga.Saga
	ledger.Payment
	steps []ledger.PaymentStep
}

// reading is how many questions are asked at once.
const reading = 8

// read asks servers and the provider for all that there is to know.
func (p *Payments) read(ctx context.Context, broken bool) (paid, error) {
	all := paid{
		broken: broken, rows: map[id.Home][]provider.Callback{}, record: p.psp.paid(), accounts: map[ledger.Ref]ledger.Account{}, within: p.paying.Within[p.engine],
		deposits: make([]paidDeposit, len(p.deposits)), withdrawals: make([]paidOut, len(p.withdrawals)),
	}
	p.mu.Lock()
	all.told, all.posted, all.early, all.most = len(p.posted) > 0, several(p.posted), p.early, p.most
	all.failed = p.trouble
	all.took = max(0, p.busy.Sub(p.since))
	p.mu.Unlock()
	for _, d := range p.deposits {
		if all.told && d.plot == early {
			all.wasExpected += 2 // settled, and captured
		}
	}
	var err error
	if all.open, err = p.look(ctx); err != nil {
		return all, fmt.Errorf("count what is open: %w", err)
	}
	for _, home := range p.homes() {
		if all.rows[home], err = p.callbacks(ctx, home); err != nil {
			return all, fmt.Errorf("read the callbacks of %s: %w", home, err)
		}
		if err := p.accounts(ctx, paymentsLedger(home), all.accounts); err != nil {
			return all, fmt.Errorf("read the accounts of %s: %w", paymentsLedger(home), err)
		}
	}
	numbers := make([]int, max(len(p.deposits), len(p.withdrawals)))
	for n := range numbers {
		numbers[n] = n
	}
	return all, severally(ctx, reading, numbers, func(ctx context.Context, n int) (err error) {
		if n < len(p.deposits) {
			d := p.deposits[n]
			one := paidDeposit{deposit: d}
			if one.Payment, one.steps, err = p.payment(ctx, d.ledger(), d.id()); err != nil {
				return err
			}
			all.deposits[n] = one
		}
		if n < len(p.withdrawals) {
			w := p.withdrawals[n]
			one := paidOut{withdrawal: w}
			if one.saga, err = p.store.Saga(ctx, w.home, w.ledger(), saga.IDOf(w.ledger(), w.key)); err != nil && !errors.Is(err, saga.ErrNotFound) {
				return err
			}
			if made := one.saga.Progress.Payments[saga.Main]; !made.IsZero() {
				if one.Payment, one.steps, err = p.payment(ctx, w.ledger(), made); err != nil {
					return err
				}
			}
			all.withdrawals[n] = one
		}
		return nil
	})
}

// payment reads a payment with its history; one that is not there is zero.
func (p *Payments) payment(ctx context.Context, name id.Ledger, which id.Transaction) (found ledger.Payment, steps []ledger.PaymentStep, err error) {
	found, err = asked(ctx, p, func(ctx context.Context, url string) (ledger.Payment, error) {
		return rpc.NewPaymentClient(p.servers.http, url).Payment(ctx, name, which)
	})
	if errors.Is(err, errs.ErrPaymentNotFound) {
		return ledger.Payment{}, nil, nil
	}
	if err != nil {
		return found, nil, fmt.Errorf("read payment %s: %w", which, err)
	}
	steps, err = asked(ctx, p, func(ctx context.Context, url string) ([]ledger.PaymentStep, error) {
		return rpc.NewPaymentClient(p.servers.http, url).PaymentSteps(ctx, name, which, 0, 100)
	})
	if err != nil {
		return found, nil, fmt.Errorf("read the history of payment %s: %w", which, err)
	}
	return found, steps, nil
}

// callbacks are all that servers have stored of a home's account at the provider.
func (p *Payments) callbacks(ctx context.Context, home id.Home) (all []provider.Callback, err error) {
	page := provider.Page{Ledger: paymentsLedger(home), Provider: accountAt(home), Limit: 500}
	for {
		part, err := asked(ctx, p, func(ctx context.Context, url string) ([]provider.Callback, error) {
			return rpc.NewProviderClient(p.servers.http, url).List(ctx, page)
		})
		if err != nil {
			return nil, err
		}
		if all = append(all, part...); len(part) < page.Limit {
			return all, nil
		}
		page.After = part[len(part)-1].ID
	}
}

func (p *Payments) accounts(ctx context.Context, name id.Ledger, into map[ledger.Ref]ledger.Account) error {
	const page = 1000
	for after := id.Account(""); ; {
		part, err := asked(ctx, p, func(ctx context.Context, url string) ([]ledger.Account, error) {
			return rpc.NewClient(p.servers.http, url).Accounts(ctx, name, after, page)
		})
		if err != nil {
			return err
		}
		for _, a := range part {
			after, into[a.Ref] = a.Ref.Account, a
		}
		if len(part) < page {
			return nil
		}
	}
}
