package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

func accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Create ledgers, open accounts, and read balances and statements",
		Example: `  meridian account create-ledger --ledger brand-eu --home eu --asset EUR/2 --asset USD/2
  meridian account open acc_42 --ledger brand-eu --asset EUR
  meridian account balance acc_42 --ledger brand-eu
  meridian account statement acc_42 --ledger brand-eu --limit 20`,
	}
	cmd.AddCommand(createLedgerCommand(), openCommand(), balanceCommand(), statementCommand(), listAccountsCommand())
	return cmd
}

func createLedgerCommand() *cobra.Command {
	var f clientFlags
	var home string
	var assets []string
	cmd := &cobra.Command{
		Use:     "create-ledger",
		Short:   "Create a set of books; a repeat with the same content does nothing",
		Long:    `Create a set of books. Its home decides where its money lives, for ever; its assets are all that its accounts may hold.`,
		Example: "  meridian account create-ledger --ledger brand-eu --home eu --asset EUR/2 --asset USD/2",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			wanted := ledger.Ledger{ID: name}
			if wanted.Home, err = id.ParseHome(home); err != nil {
				return fmt.Errorf("--home: %w", err)
			}
			for _, text := range assets {
				a, err := money.ParseAsset(text)
				if err != nil {
					return fmt.Errorf("--asset: %w", err)
				}
				wanted.Assets = append(wanted.Assets, a)
			}
			l, err := svc.CreateLedger(cmd.Context(), wanted)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ledger %s lives in %s and holds %v\n", l.ID, l.Home, l.Assets)
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&home, "home", "", "where its money lives, as in eu")
	cmd.Flags().StringSliceVar(&assets, "asset", nil, "CODE/SCALE, as in EUR/2; may be given several times")
	return cmd
}

func openCommand() *cobra.Command {
	var f clientFlags
	var asset, side, floor, ceiling string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "open ACCOUNT",
		Short: "Open an account; a repeat with the same terms does nothing",
		Long: `Open an account. A movement that would leave less than --min-available or more than --max-balance is declined.

Exit code 0: open; 2: declined by the books; 1: anything else.`,
		Example: `  meridian account open acc_42 --ledger brand-eu --asset EUR
  meridian account open cash --ledger brand-eu --asset EUR --normal-side debit --min-available none`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			command, err := openingOf(name, args[0], asset, side, floor, ceiling)
			if err != nil {
				return err
			}
			o, err := ledger.Do(cmd.Context(), svc, command)
			if err != nil {
				return err
			}
			return printOutcome(cmd.OutOrStdout(), o, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&asset, "asset", "", "code of its asset, as in EUR")
	cmd.Flags().StringVar(&side, "normal-side", "credit", "credit for what is owed to a customer, debit for what is owned")
	cmd.Flags().StringVar(&floor, "min-available", "0", "least available balance that a movement may leave, in minor units, or none")
	cmd.Flags().StringVar(&ceiling, "max-balance", "none", "greatest balance that a movement may leave, in minor units, or none")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func openingOf(name id.Ledger, account, asset, side, floor, ceiling string) (ledger.Command, error) {
	c := ledger.Command{Kind: ledger.KindOpen, Ledger: name, Key: id.Key("open:" + account), Terms: &ledger.Terms{}}
	var err error
	if c.Account, err = id.ParseAccount(account); err != nil {
		return c, err
	}
	if c.Terms.Asset, err = money.ParseCode(asset); err != nil {
		return c, fmt.Errorf("--asset: %w", err)
	}
	if err := c.Terms.Normal.UnmarshalText([]byte(side)); err != nil {
		return c, fmt.Errorf("--normal-side: %w", err)
	}
	if c.Terms.Floor, err = limitOf(floor); err != nil {
		return c, fmt.Errorf("--min-available: %w", err)
	}
	if c.Terms.Ceiling, err = limitOf(ceiling); err != nil {
		return c, fmt.Errorf("--max-balance: %w", err)
	}
	return c, nil
}

func limitOf(text string) (ledger.Limit, error) {
	if text == "none" {
		return ledger.Limit{}, nil
	}
	a, err := money.Parse(text)
	return ledger.AtLimit(a), err
}

func balanceCommand() *cobra.Command {
	var f clientFlags
	var asOf string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "balance ACCOUNT",
		Short:   "Show what an account has, what is held, and what is available",
		Example: "  meridian account balance acc_42 --ledger brand-eu\n  meridian account balance acc_42 --ledger brand-eu --as-of 2026-01-31T23:59:59Z --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			account, err := id.ParseAccount(args[0])
			if err != nil {
				return err
			}
			var at time.Time
			if asOf != "" {
				if at, err = time.Parse(time.RFC3339Nano, asOf); err != nil {
					return fmt.Errorf("--as-of is a time like 2026-01-31T23:59:59Z: %w", err)
				}
			}
			a, err := svc.Account(cmd.Context(), ledger.Ref{Ledger: name, Account: account}, at)
			if err != nil {
				return err
			}
			return printBalance(cmd.OutOrStdout(), a, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&asOf, "as-of", "", "balance as it was recorded then, as in 2026-01-31T23:59:59Z")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// balanceView is what a person or a script reads of an account.
type balanceView struct {
	Account    string    `json:"account_id"`
	Asset      string    `json:"asset"`
	Status     string    `json:"status"`
	Posted     string    `json:"posted"`
	PendingIn  string    `json:"pending_in"`
	PendingOut string    `json:"pending_out"`
	Available  string    `json:"available"`
	Sequence   int64     `json:"sequence"`
	ChangedAt  time.Time `json:"changed_at"`
}

func viewOf(a ledger.Account) (balanceView, error) {
	available, err := a.Available()
	if err != nil {
		return balanceView{}, err
	}
	return balanceView{
		Account: string(a.Ref.Account), Asset: a.Asset.String(), Status: string(a.Status), Posted: a.Posted().String(),
		PendingIn: a.Incoming().String(), PendingOut: a.Outgoing().String(), Available: available.String(), Sequence: a.Sequence,
		ChangedAt: a.ChangedAt,
	}, nil
}

func printBalance(w io.Writer, a ledger.Account, asJSON bool) error {
	view, err := viewOf(a)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, view)
	}
	available, _ := a.Available() // viewOf has looked at it
	fmt.Fprintf(w, "%s  %s  %s\n", a.Ref, a.Asset.Code, a.Status)
	fmt.Fprintf(w, "  posted     %24s\n  coming in  %24s\n  going out  %24s\n  available  %24s\n",
		a.Asset.Format(a.Posted()), a.Asset.Format(a.Incoming()), a.Asset.Format(a.Outgoing()), a.Asset.Format(available))
	return nil
}

func statementCommand() *cobra.Command {
	var f clientFlags
	var limit int
	var oldest, asJSON bool
	cmd := &cobra.Command{
		Use:     "statement ACCOUNT",
		Short:   "Show the lines of an account with the running balance, newest first",
		Example: "  meridian account statement acc_42 --ledger brand-eu --limit 20\n  meridian account statement acc_42 --ledger brand-eu --oldest-first --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			account, err := id.ParseAccount(args[0])
			if err != nil {
				return err
			}
			ref := ledger.Ref{Ledger: name, Account: account}
			a, err := svc.Account(cmd.Context(), ref, time.Time{})
			if err != nil {
				return err
			}
			lines, err := svc.Entries(cmd.Context(), ref, ledger.EntryPage{Backward: !oldest, Limit: limit})
			if err != nil {
				return err
			}
			return printStatement(cmd.OutOrStdout(), a, lines, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many lines, up to 1000")
	cmd.Flags().BoolVar(&oldest, "oldest-first", false, "from the beginning")
	jsonFlag(cmd, &asJSON)
	return cmd
}

type lineView struct {
	Sequence    int64     `json:"sequence"`
	Kind        string    `json:"kind"`
	Side        string    `json:"side,omitempty"`
	Amount      string    `json:"amount"`
	Balance     string    `json:"balance"`
	Transaction string    `json:"transaction_id"`
	EffectiveAt time.Time `json:"effective_at"`
	RecordedAt  time.Time `json:"recorded_at"`
}

func printStatement(w io.Writer, a ledger.Account, lines []ledger.StatementLine, asJSON bool) error {
	views := make([]lineView, len(lines))
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(out, "no.\teffective\tkind\tamount\tbalance\t\n")
	for i, l := range lines {
		balance, amount := l.Balance, l.Amount
		if a.Normal == ledger.Debit {
			balance, amount = balance.Neg(), amount.Neg()
		}
		views[i] = lineView{
			Sequence: l.Sequence, Kind: string(l.Kind), Side: l.Side().String(), Amount: l.Amount.Abs().String(), Balance: balance.String(),
			Transaction: l.Transaction.String(), EffectiveAt: l.EffectiveAt, RecordedAt: l.RecordedAt,
		}
		fmt.Fprintf(out, "%d\t%s\t%s\t%s\t%s\t\n", l.Sequence, l.EffectiveAt.Format("2006-01-02 15:04:05"), l.Kind, a.Asset.Format(amount), a.Asset.Format(balance))
	}
	if asJSON {
		return printJSON(w, views)
	}
	return out.Flush()
}

func listAccountsCommand() *cobra.Command {
	var f clientFlags
	var limit int
	var after string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the accounts of a ledger by name",
		Example: "  meridian account list --ledger brand-eu --after acc_42 --limit 1000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			svc, name, err := f.open()
			if err != nil {
				return err
			}
			accounts, err := svc.Accounts(cmd.Context(), name, id.Account(after), limit)
			if err != nil {
				return err
			}
			views := make([]balanceView, len(accounts))
			out := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for i, a := range accounts {
				if views[i], err = viewOf(a); err != nil {
					return err
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", a.Ref.Account, a.Asset.Code, a.Asset.Format(a.Posted()), a.Status)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), views)
			}
			return out.Flush()
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	cmd.Flags().StringVar(&after, "after", "", "only accounts whose names come after this one")
	jsonFlag(cmd, &asJSON)
	return cmd
}
