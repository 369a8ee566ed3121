package bench

import (
	"context"
	"fmt"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Books are the accounts that a load works on.
type Books struct {
	Ledger   id.Ledger
	Accounts []id.Account
}

var asset = money.Asset{Code: "EUR", Scale: 2}

const (
	// funds is what each account starts with, in minor units: a load of hours does not use it up.
	funds = 1_000_000_000_000
	// opening is how many accounts are opened with one call.
	opening = 500
	// source is where the funds come from.
	source id.Account = "bench:source"
)

// Names are the books of n accounts in a ledger, whether they are open or not.
func Names(name id.Ledger, n int) Books {
	b := Books{Ledger: name, Accounts: make([]id.Account, n)}
	for i := range b.Accounts {
		b.Accounts[i] = id.Account(fmt.Sprintf("acc_%06d", i))
	}
	return b
}

// Open creates the ledger at a home, opens its accounts with a floor of zero, and funds them. It may run again.
func (b Books) Open(ctx context.Context, svc ledger.Service, home id.Home) error {
	if _, err := svc.CreateLedger(ctx, ledger.Ledger{ID: b.Ledger, Home: home, Assets: []money.Asset{asset}}); err != nil {
		return fmt.Errorf("create the ledger of the load: %w", err)
	}
	unlimited := ledger.Command{
		Kind: ledger.KindOpen, Ledger: b.Ledger, Key: "open:" + id.Key(source), Account: source,
		Terms: &ledger.Terms{Asset: asset.Code, Normal: ledger.Debit},
	}
	if err := posted(ctx, svc, unlimited); err != nil {
		return fmt.Errorf("open the source of funds: %w", err)
	}
	for start := 0; start < len(b.Accounts); start += opening {
		if err := b.open(ctx, svc, b.Accounts[start:min(start+opening, len(b.Accounts))]); err != nil {
			return fmt.Errorf("open the accounts of the load: %w", err)
		}
	}
	return nil
}

func (b Books) open(ctx context.Context, svc ledger.Service, names []id.Account) error {
	commands := make([]ledger.Command, 0, len(names)+1)
	fund := ledger.Command{Kind: ledger.KindPost, Ledger: b.Ledger, Key: "fund:" + id.Key(names[0])}
	for _, name := range names {
		commands = append(commands, ledger.Command{
			Kind: ledger.KindOpen, Ledger: b.Ledger, Key: "open:" + id.Key(name), Account: name,
			Terms: &ledger.Terms{Asset: asset.Code, Normal: ledger.Credit, Floor: ledger.AtLimit(money.Amount{})},
		})
		fund.Legs = append(fund.Legs, ledger.Leg{Account: name, Side: ledger.Credit, Amount: *amount(funds)})
	}
	fund.Legs = append(fund.Legs, ledger.Leg{Account: source, Side: ledger.Debit, Amount: *amount(funds * int64(len(names)))})
	return posted(ctx, svc, append(commands, fund)...)
}

// posted executes commands that can not be declined.
func posted(ctx context.Context, svc ledger.Service, commands ...ledger.Command) error {
	results, err := svc.Execute(ctx, ledger.Batch{Commands: commands})
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Err != nil {
			return r.Err
		}
		if r.Outcome.Decided != ledger.Posted {
			return fmt.Errorf("%s %s was declined: %s", commands[i].Kind, commands[i].Key, r.Outcome.Reason)
		}
	}
	return nil
}
