package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/saga"
)

func sagaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "saga",
		Short: "Start payments of several steps, and help those that are stuck",
		Long: `A saga is a withdrawal through a provider, a deposit with a bonus, or a refund: several steps, each of which is done once or taken back. Servers work
on sagas; these commands write down what is to be done, and return at once. They ask a server, or work on the database itself where --database-url
names it.`,
		Example: `  meridian payment saga start withdrawal --ledger brand-eu --key w-1 --player p7 --amount 1000 --asset EUR --provider acme --actor alice
  meridian payment saga stuck --ledger brand-eu`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(
		startSagaCommand(), listSagasCommand(), stuckSagasCommand(), showSagaCommand(), chooseSagaCommand("retry"),
		chooseSagaCommand("compensate"), handOverSagaCommand(), chooseSagaCommand("approve"), chooseSagaCommand("reject"),
	)
	return cmd
}

// sagaFlags are how these commands reach sagas: by a server, or by the tables themselves where a database is named.
type sagaFlags struct {
	clientFlags
	url    string
	asJSON bool
}

func (f *sagaFlags) register(cmd *cobra.Command) {
	f.clientFlags.register(cmd)
	cmd.Flags().StringVar(&f.url, "database-url", "", "work on this database itself instead of asking a server")
	jsonFlag(cmd, &f.asJSON)
}

// with has a service for as long as fn runs.
func (f *sagaFlags) with(ctx context.Context, fn func(s saga.Service, l id.Ledger) error) error {
	client, name, err := reach(&f.clientFlags, rpc.NewSagaClient)
	if err != nil {
		return err
	}
	if f.url == "" {
		return fn(client, name)
	}
	return withService(ctx, f.url, prometheus.NewRegistry(), func(svc service) error {
		return fn(&saga.Operators{Store: svc.Store, Ledger: svc.Ledger}, name)
	})
}

func startSagaCommand() *cobra.Command {
	var f sagaFlags
	var q saga.Request
	var key, player, amount, asset, bonus, name, parent string
	cmd := &cobra.Command{
		Use:   "start withdrawal|deposit|refund",
		Short: "Start a withdrawal, a deposit with a bonus, or a refund",
		Long: `Start a saga. The same command with the same key is the saga that is there already. Amounts are in minor units. With --four-eyes somebody other than
--actor has to approve before money leaves.`,
		Example: `  meridian payment saga start withdrawal --ledger brand-eu --key w-1 --player p7 --amount 1000 --asset EUR --provider acme --actor alice
  meridian payment saga start deposit --ledger brand-eu --key d-1 --player p7 --amount 1000 --bonus 300 --asset EUR --provider acme --actor alice`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			minor, err := money.Parse(amount)
			if err != nil {
				return fmt.Errorf("--amount: %w", err)
			}
			q.Amount, q.Player, q.Provider = ledger.Money{Minor: minor, Asset: money.Code(asset)}, id.Player(player), provider.Name(name)
			if bonus != "" {
				if minor, err = money.Parse(bonus); err != nil {
					return fmt.Errorf("--bonus: %w", err)
				}
				q.Bonus = &ledger.Money{Minor: minor, Asset: money.Code(asset)}
			}
			if parent != "" {
				if q.Parent, err = id.ParseTransaction(parent); err != nil {
					return fmt.Errorf("--parent: %w", err)
				}
			}
			return f.with(cmd.Context(), func(o saga.Service, l id.Ledger) error {
				s, there, err := o.Start(cmd.Context(), l, saga.Name(args[0]), id.Key(key), q)
				if err != nil {
					return err
				}
				if there && !f.asJSON {
					fmt.Fprintln(cmd.ErrOrStderr(), "it was started before")
				}
				return printSagas(cmd.OutOrStdout(), []saga.Saga{s}, f.asJSON)
			})
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&key, "key", "", "idempotency key of the saga")
	flags.StringVar(&player, "player", "", "whose payment it is")
	flags.StringVar(&amount, "amount", "", "in minor units")
	flags.StringVar(&asset, "asset", "", "as in EUR")
	flags.StringVar(&bonus, "bonus", "", "of a deposit, in minor units")
	flags.StringVar(&name, "provider", "", "who moves the money, as the file of providers names it")
	flags.StringVar(&parent, "parent", "", "of a refund: the id of the deposit")
	flags.BoolVar(&q.FourEyes, "four-eyes", false, "somebody else has to approve")
	flags.StringVar(&q.Actor, "actor", "", "who asks for it")
	for _, name := range []string{"key", "player", "amount", "asset", "provider", "actor"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

func stuckSagasCommand() *cobra.Command {
	return sagasCommand(&cobra.Command{
		Use:     "stuck",
		Short:   "List the sagas that wait for somebody, with the reason",
		Long:    "List sagas that are stuck, that wait for approval by somebody else, or whose payment is under review; the oldest first.",
		Example: "  meridian payment saga stuck --ledger brand-eu",
	}, saga.Service.Standing)
}

func listSagasCommand() *cobra.Command {
	return sagasCommand(&cobra.Command{
		Use:     "list",
		Short:   "List all sagas of a ledger, by id",
		Long:    "List all sagas of a ledger by id, those that have ended among them; go on with --after and the last one.",
		Example: "  meridian payment saga list --ledger brand-eu --limit 1000",
	}, saga.Service.All)
}

// sagasCommand makes a command that lists sagas.
func sagasCommand(cmd *cobra.Command, list func(saga.Service, context.Context, id.Ledger, saga.Page) ([]saga.Saga, error)) *cobra.Command {
	var f sagaFlags
	var limit int
	var after string
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return f.with(cmd.Context(), func(o saga.Service, l id.Ledger) error {
			page, err := pageAfter(cmd.Context(), o, l, after)
			if err != nil {
				return err
			}
			page.Limit = limit
			found, err := list(o, cmd.Context(), l, page)
			if err != nil {
				return err
			}
			return printSagas(cmd.OutOrStdout(), found, f.asJSON)
		})
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	cmd.Flags().StringVar(&after, "after", "", "only those after this saga")
	return cmd
}

// pageAfter is the page behind a saga; the first one where none is named.
func pageAfter(ctx context.Context, o saga.Service, l id.Ledger, after string) (saga.Page, error) {
	if after == "" {
		return saga.Page{}, nil
	}
	key, err := id.ParseTransaction(after)
	if err != nil {
		return saga.Page{}, fmt.Errorf("--after: %w", err)
	}
	last, err := o.Explain(ctx, l, key)
	return saga.Page{OpenedAt: last.OpenedAt, ID: key}, err
}

// sagaView is a saga as JSON.
type sagaView struct {
	ID       string       `json:"saga_id"`
	Flow     saga.Name    `json:"flow"`
	State    saga.State   `json:"state"`
	Step     string       `json:"step"`
	Cause    string       `json:"cause,omitempty"`
	Detail   string       `json:"detail,omitempty"`
	Awaits   string       `json:"awaits,omitempty"`
	Payment  string       `json:"payment_id,omitempty"`
	Player   id.Player    `json:"player"`
	Amount   ledger.Money `json:"amount"`
	Attempts int          `json:"attempts"`
	Since    time.Time    `json:"since"`
	DueAt    time.Time    `json:"due_at"`
	OpenedAt time.Time    `json:"opened_at"`
}

func viewOfSaga(s saga.Saga) sagaView {
	v := sagaView{
		ID: s.ID.String(), Flow: s.Flow, State: s.State, Step: s.Step, Cause: s.Cause, Detail: s.Detail, Awaits: s.Awaits, Player: s.Request.Player,
		Amount: s.Request.Amount, Attempts: s.Attempts, Since: s.Since, DueAt: s.DueAt, OpenedAt: s.OpenedAt,
	}
	if made := s.Progress.Payments[saga.Main]; !made.IsZero() {
		v.Payment = made.String()
	}
	return v
}

func printSagas(w io.Writer, all []saga.Saga, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(all, viewOfSaga))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SAGA\tFLOW\tSTATE\tSTEP\tCAUSE\tAWAITS\tPLAYER\tAMOUNT\tSINCE")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s %s\t%s\n", s.ID, s.Flow, s.State, s.Step, s.Cause, s.Awaits, s.Request.Player, s.Request.Amount.Minor,
			s.Request.Amount.Asset, s.Since.Format(time.RFC3339))
	}
	return t.Flush()
}

func showSagaCommand() *cobra.Command {
	var f sagaFlags
	cmd := &cobra.Command{
		Use:     "show SAGA",
		Short:   "Explain a saga: its steps, its history, what is awaited and who acts",
		Example: "  meridian payment saga show --ledger brand-eu 0b9c6a3e-5d5e-8a51-9d0a-3c5d1b6f2a11",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := id.ParseTransaction(args[0])
			if err != nil {
				return err
			}
			return f.with(cmd.Context(), func(o saga.Service, l id.Ledger) error {
				e, err := o.Explain(cmd.Context(), l, key)
				if err != nil {
					return err
				}
				return printExplanation(cmd.OutOrStdout(), e, f.asJSON)
			})
		},
	}
	f.register(cmd)
	return cmd
}

func printExplanation(w io.Writer, e saga.Explanation, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			sagaView
			Next    string           `json:"next"`
			Can     []saga.Choice    `json:"can"`
			Steps   []saga.Explained `json:"steps"`
			History []saga.Line      `json:"history"`
		}{viewOfSaga(e.Saga), e.Next, e.Can, e.Steps, e.History})
	}
	v := viewOfSaga(e.Saga)
	fmt.Fprintf(w, "%s %s of %s %s for %s, started by %s at %s\nstate    %s\npayment  %s\nnext     %s\n", e.Flow, v.ID, v.Amount.Minor, v.Amount.Asset, v.Player,
		e.Request.Actor, v.OpenedAt.Format(time.RFC3339), v.State, v.Payment, e.Next)
	if v.Detail != "" {
		fmt.Fprintf(w, "because  %s\n", v.Detail)
	}
	if len(e.Can) > 0 {
		fmt.Fprintf(w, "can      %s\n", strings.Join(names(e.Can), ", "))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSTEP\tSTANDING\tDEADLINE")
	for _, s := range e.Steps {
		deadline := ""
		if !s.Deadline.IsZero() {
			deadline = s.Deadline.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", s.Name, s.Standing, deadline)
	}
	fmt.Fprintln(t, "\nTIME\tSTEP\tEVENT\tCAUSE\tBY\tDETAIL")
	for _, l := range e.History {
		step := l.Step
		if l.Back {
			step += " (back)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.At.Format(time.RFC3339), step, l.Event, l.Cause, l.Actor, l.Detail)
	}
	return t.Flush()
}

// chooseSagaCommand makes one of the commands by which a person says how a saga goes on.
func chooseSagaCommand(choice string) *cobra.Command {
	var f sagaFlags
	var actor, reason string
	short := map[string]string{
		"retry":      "Let a stuck saga try its step again",
		"compensate": "Let a saga take back what it did",
		"approve":    "Approve what somebody else asked for or proposed",
		"reject":     "Refuse what somebody else asked for or proposed",
	}[choice]
	cmd := &cobra.Command{
		Use: choice + " SAGA", Short: short, Args: cobra.ExactArgs(1),
		Example: "  meridian payment saga " + choice + " --ledger brand-eu --actor bob 0b9c6a3e-5d5e-8a51-9d0a-3c5d1b6f2a11",
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := id.ParseTransaction(args[0])
			if err != nil {
				return err
			}
			return f.with(cmd.Context(), func(o saga.Service, l id.Ledger) error {
				var s saga.Saga
				var err error
				switch ctx := cmd.Context(); choice {
				case "retry":
					s, err = o.Retry(ctx, l, key, actor, reason)
				case "compensate":
					s, err = o.Compensate(ctx, l, key, actor, reason)
				case "approve":
					s, err = o.Approve(ctx, l, key, actor)
				default:
					s, err = o.Reject(ctx, l, key, actor, reason)
				}
				if err != nil {
					return err
				}
				return printSagas(cmd.OutOrStdout(), []saga.Saga{s}, f.asJSON)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&actor, "actor", "", "who decides")
	if choice != "approve" {
		cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	}
	_ = cmd.MarkFlagRequired("actor")
	return cmd
}

func handOverSagaCommand() *cobra.Command {
	var f sagaFlags
	var actor, reason, choice string
	cmd := &cobra.Command{
		Use:   "hand-over SAGA",
		Short: "Propose how a stuck saga goes on; somebody else has to approve",
		Long: `Propose how a stuck saga is to go on: retry, compensate, or done or failed, which say what became of an order that the provider itself has no answer
about. Somebody other than --actor approves or rejects it.`,
		Example: "  meridian payment saga hand-over --ledger brand-eu --actor alice --choice done --reason ticket-42 0b9c6a3e-5d5e-8a51-9d0a-3c5d1b6f2a11",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := id.ParseTransaction(args[0])
			if err != nil {
				return err
			}
			if !slices.Contains(saga.Choices, saga.Choice(choice)) {
				return fmt.Errorf("--choice %s: want one of %s", choice, strings.Join(names(saga.Choices), ", "))
			}
			return f.with(cmd.Context(), func(o saga.Service, l id.Ledger) error {
				s, err := o.Handover(cmd.Context(), l, key, actor, saga.Choice(choice), reason)
				if err != nil {
					return err
				}
				return printSagas(cmd.OutOrStdout(), []saga.Saga{s}, f.asJSON)
			})
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&actor, "actor", "", "who proposes")
	cmd.Flags().StringVar(&choice, "choice", "", "retry, compensate, done or failed")
	cmd.Flags().StringVar(&reason, "reason", "", "why; it is kept")
	for _, name := range []string{"actor", "choice", "reason"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}
