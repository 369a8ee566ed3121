package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func paymentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "payment",
		Short: "Take payments through their lifecycles, and see where they stand",
		Example: `  meridian payment create deposit authorize 5000 EUR --ledger brand-eu --player p7 --provider acme --provider-reference ch_81
  meridian payment step 0d8f3b5e-7b1a-8c3d-9e4f-0123456789ab deposit capture --ledger brand-eu
  meridian payment show 0d8f3b5e-7b1a-8c3d-9e4f-0123456789ab --ledger brand-eu
  meridian payment stuck --ledger brand-eu --older-than 1h`,
	}
	cmd.AddCommand(createPaymentCommand(), stepPaymentCommand(), showPaymentCommand(), listPaymentsCommand(), stuckCommand(), sagaCommand())
	return cmd
}

// keyOf reads a key, or makes one up.
func keyOf(text string) (id.Key, error) {
	if text == "" {
		text = "cli:" + rand.Text()
	}
	key, err := id.ParseKey(text)
	if err != nil {
		return "", fmt.Errorf("--key: %w", err)
	}
	return key, nil
}

// moneyOf reads minor units and an asset.
func moneyOf(minor, asset string) (*ledger.Money, error) {
	n, err := money.Parse(minor)
	if err != nil {
		return nil, err
	}
	code, err := money.ParseCode(asset)
	return &ledger.Money{Minor: n, Asset: code}, err
}

// stepFlags are what both the first step and later ones may say.
type stepFlags struct {
	clientFlags
	key, provider, reference, evidence, actor string
	dryRun, asJSON                            bool
}

func (f *stepFlags) register(cmd *cobra.Command) {
	f.clientFlags.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "idempotency key; made up where it is left out")
	flags.StringVar(&f.provider, "provider", "", "who moves the money outside")
	flags.StringVar(&f.reference, "provider-reference", "", "what the provider calls the payment")
	flags.StringVar(&f.evidence, "evidence", "", "what proves the step: a case, a ticket")
	flags.StringVar(&f.actor, "actor", "", "who causes it; some steps have to be taken by another one than the first")
	flags.BoolVar(&f.dryRun, "dry-run", false, "say what would happen, and write nothing")
	jsonFlag(cmd, &f.asJSON)
}

func (f *stepFlags) do(cmd *cobra.Command, c ledger.Command) error {
	client, name, err := reach(&f.clientFlags, rpc.NewPaymentClient)
	if err != nil {
		return err
	}
	c.Kind, c.Ledger = ledger.KindStep, name
	if c.Key, err = keyOf(f.key); err != nil {
		return err
	}
	c.Step.Provider, c.Step.ProviderReference, c.Step.Evidence, c.Step.Actor = f.provider, f.reference, f.evidence, f.actor
	o, err := client.Do(cmd.Context(), c, f.dryRun)
	if err != nil {
		return err
	}
	return printStep(cmd.OutOrStdout(), o, f.asJSON)
}

func createPaymentCommand() *cobra.Command {
	var f stepFlags
	var player, parent, account, counter string
	cmd := &cobra.Command{
		Use:   "create KIND TRIGGER AMOUNT ASSET",
		Short: "Take the first step of a payment",
		Long: `Take the first step of a payment, as docs/payments has them for each kind. The amount is in minor units (5000 is 50.00 EUR). The payment's id is that
of the transaction.

A repeat with the same --key gets the same answer and makes no second payment.

Exit code 0: posted; 2: declined by the books; 1: anything else.`,
		Example: `  meridian payment create deposit authorize 5000 EUR --ledger brand-eu --player p7 --provider acme --provider-reference ch_81 --key order-77
  meridian payment create withdrawal request 2000 EUR --ledger brand-eu --player p7 --provider acme`,
		Args: cobra.ExactArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := ledger.Command{Account: id.Account(account), Counter: id.Account(counter)}
			c.Step = &ledger.Step{Payment: ledger.PaymentKind(args[0]), Trigger: ledger.Trigger(args[1]), Player: id.Player(player)}
			var err error
			if c.Amount, err = moneyOf(args[2], args[3]); err != nil {
				return err
			}
			if parent != "" {
				if c.Step.Parent, err = id.ParseTransaction(parent); err != nil {
					return fmt.Errorf("--parent: %w", err)
				}
			}
			return f.do(cmd, c)
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&player, "player", "", "whose payment it is")
	cmd.Flags().StringVar(&parent, "parent", "", "the payment that this one takes back, as a refund or a chargeback does")
	cmd.Flags().StringVar(&account, "account", "", "an account for the chart to use in place of the player's")
	cmd.Flags().StringVar(&counter, "counter-account", "", "another one, as the chart says")
	return cmd
}

func stepPaymentCommand() *cobra.Command {
	var f stepFlags
	cmd := &cobra.Command{
		Use:   "step PAYMENT KIND TRIGGER [AMOUNT ASSET]",
		Short: "Take a payment further",
		Long: `Take a payment further. Without an amount the step takes all that is left. A step that the payment's state does not let through is declined, and stays
in its history.

Exit code 0: posted; 2: declined by the books; 1: anything else.`,
		Example: `  meridian payment step 0d8f3b5e-7b1a-8c3d-9e4f-0123456789ab deposit capture 4000 EUR --ledger brand-eu --key order-77-part-1
  meridian payment step 0d8f3b5e-7b1a-8c3d-9e4f-0123456789ab withdrawal approve --ledger brand-eu --actor alice`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 4 {
				return fmt.Errorf("an amount comes with its asset, as in 4000 EUR")
			}
			return cobra.RangeArgs(3, 5)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c := ledger.Command{Step: &ledger.Step{Payment: ledger.PaymentKind(args[1]), Trigger: ledger.Trigger(args[2])}}
			var err error
			if c.Target, err = id.ParseTransaction(args[0]); err != nil {
				return err
			}
			if len(args) == 5 {
				if c.Amount, err = moneyOf(args[3], args[4]); err != nil {
					return err
				}
			}
			return f.do(cmd, c)
		},
	}
	f.register(cmd)
	return cmd
}

// stepView is what a person or a script reads of a step.
type stepView struct {
	outcomeView
	Payment string         `json:"payment_id"`
	Kind    string         `json:"kind"`
	Trigger string         `json:"trigger"`
	From    string         `json:"from_state,omitempty"`
	To      string         `json:"to_state,omitempty"`
	Review  *ledger.Review `json:"review,omitempty"`
}

func printStep(w io.Writer, o ledger.Outcome, asJSON bool) error {
	if !asJSON {
		if t := o.Step; t != nil && o.Decided == ledger.Posted {
			fmt.Fprintf(w, "payment %s  %s: %s → %s\n", t.Payment, t.Trigger, cmp.Or(string(t.From), "·"), t.To)
			if t.Review != nil {
				fmt.Fprintf(w, "  %s: %s; next: %s\n", t.Review.Gate, t.Review.Cause, t.Review.Next)
			}
		}
		return printOutcome(w, o, false)
	}
	view := stepView{outcomeView: outcomeView{o.Transaction.String(), string(o.Key), string(o.Decided), string(o.Reason), o.Detail, o.Replayed, o.DryRun}}
	if t := o.Step; t != nil {
		view.Payment, view.Kind, view.Trigger, view.Review = t.Payment.String(), string(t.Kind), string(t.Trigger), t.Review
		view.From, view.To = string(t.From), string(t.To)
	}
	if err := printJSON(w, view); err != nil {
		return err
	}
	if o.Decided == ledger.Declined {
		return silent{code: 2}
	}
	return nil
}

// paymentView is what a person or a script reads of a payment.
type paymentView struct {
	Payment   string            `json:"payment_id"`
	Kind      string            `json:"kind"`
	State     string            `json:"state"`
	Version   int64             `json:"version"`
	Attempts  int64             `json:"attempts"`
	Player    string            `json:"player,omitempty"`
	Parent    string            `json:"parent_payment_id,omitempty"`
	Asset     string            `json:"asset"`
	Provider  string            `json:"provider,omitempty"`
	Reference string            `json:"provider_reference,omitempty"`
	Totals    map[string]string `json:"totals,omitempty"`
	Accounts  map[string]string `json:"accounts,omitempty"`
	Review    *ledger.Review    `json:"review,omitempty"`
	OpenedAt  time.Time         `json:"opened_at"`
	ChangedAt time.Time         `json:"changed_at"`
	Next      string            `json:"next,omitempty"`
	Steps     []historyView     `json:"steps,omitempty"`
}

type historyView struct {
	Number      int64     `json:"number"`
	Transaction string    `json:"transaction_id"`
	Trigger     string    `json:"trigger"`
	From        string    `json:"from_state,omitempty"`
	To          string    `json:"to_state,omitempty"`
	Outcome     string    `json:"outcome"`
	Reason      string    `json:"reason,omitempty"`
	RecordedAt  time.Time `json:"recorded_at"`
}

func paymentViewOf(p ledger.Payment) paymentView {
	v := paymentView{
		Payment: p.ID.String(), Kind: string(p.Kind), State: string(p.State), Version: p.Version, Attempts: p.Attempts, Player: string(p.Player),
		Asset: p.Asset.String(), Provider: p.Provider, Reference: p.ProviderReference, Totals: map[string]string{}, Accounts: map[string]string{},
		Review: p.Review, OpenedAt: p.OpenedAt, ChangedAt: p.ChangedAt,
	}
	if !p.Parent.IsZero() {
		v.Parent = p.Parent.String()
	}
	for name, total := range p.Totals {
		v.Totals[name] = total.String()
	}
	for role, account := range p.Roles {
		v.Accounts[string(role)] = string(account)
	}
	return v
}

func showPaymentCommand() *cobra.Command {
	var f clientFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show PAYMENT",
		Short:   "Show a payment with its history, refused steps among it",
		Example: "  meridian payment show 0d8f3b5e-7b1a-8c3d-9e4f-0123456789ab --ledger brand-eu",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, name, err := reach(&f, rpc.NewPaymentClient)
			if err != nil {
				return err
			}
			key, err := id.ParseTransaction(args[0])
			if err != nil {
				return err
			}
			p, err := client.Payment(cmd.Context(), name, key)
			if err != nil {
				return err
			}
			view := paymentViewOf(p)
			const page = 1000
			for after := int64(0); ; {
				steps, err := client.PaymentSteps(cmd.Context(), name, key, after, page)
				if err != nil {
					return err
				}
				for _, s := range steps {
					after = s.Number
					view.Steps = append(view.Steps, historyView{
						s.Number, s.Transaction.String(), string(s.Trigger), string(s.From), string(s.To), string(s.Decided), string(s.Reason), s.RecordedAt,
					})
				}
				if len(steps) < page {
					break
				}
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), view)
			}
			return printPayment(cmd.OutOrStdout(), p, view)
		},
	}
	f.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printPayment(w io.Writer, p ledger.Payment, v paymentView) error {
	fmt.Fprintf(w, "%s %s is %s  player %s  provider %s %s\n", v.Kind, v.Payment, v.State, cmp.Or(v.Player, "·"), cmp.Or(v.Provider, "·"), v.Reference)
	if r := p.Review; r != nil {
		fmt.Fprintf(w, "  %s: %s; next: %s\n", r.Gate, r.Cause, r.Next)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Totals)) {
		fmt.Fprintf(w, "  %-12s %24s %s\n", name, p.Asset.Format(p.Totals[name]), p.Asset.Code)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range v.Steps {
		fmt.Fprintf(out, "%d\t%s\t%s\t%s → %s\t%s\t%s\n", s.Number, s.RecordedAt.Format("2006-01-02 15:04:05.000"), s.Trigger, cmp.Or(s.From, "·"), cmp.Or(s.To, "·"), s.Outcome, s.Reason)
	}
	return out.Flush()
}

func listPaymentsCommand() *cobra.Command {
	var f clientFlags
	var player, kind, state, provider, reference string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List payments of a player, of a kind in a state, or of a reference, the newest first",
		Example: `  meridian payment list --ledger brand-eu --player p7
  meridian payment list --ledger brand-eu --kind withdrawal --state under_review --json
  meridian payment list --ledger brand-eu --provider acme --provider-reference ch_81`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, name, err := reach(&f, rpc.NewPaymentClient)
			if err != nil {
				return err
			}
			var found []ledger.Payment
			page := ledger.PaymentPage{Limit: limit}
			switch {
			case player != "":
				found, err = client.PaymentsOfPlayer(cmd.Context(), name, id.Player(player), page)
			case reference != "":
				found, err = client.PaymentsByReference(cmd.Context(), name, provider, reference, limit)
			case kind != "" && state != "":
				found, err = client.PaymentsInState(cmd.Context(), name, ledger.PaymentKind(kind), ledger.PaymentState(state), page)
			default:
				err = fmt.Errorf("name a player with --player, a state with --kind and --state, or a reference with --provider and --provider-reference")
			}
			if err != nil {
				return err
			}
			return printPayments(cmd.OutOrStdout(), found, paymentViewOf, asJSON)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&player, "player", "", "whose payments")
	flags.StringVar(&kind, "kind", "", "deposit, withdrawal, bet …")
	flags.StringVar(&state, "state", "", "authorized, under_review …")
	flags.StringVar(&provider, "provider", "", "who knows the reference")
	flags.StringVar(&reference, "provider-reference", "", "what the provider calls the payment")
	flags.IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printPayments(w io.Writer, found []ledger.Payment, view func(ledger.Payment) paymentView, asJSON bool) error {
	views := viewsOf(found, view)
	if asJSON {
		return printJSON(w, views)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, p := range found {
		var totals []string
		for _, name := range slices.Sorted(maps.Keys(p.Totals)) {
			totals = append(totals, name+" "+p.Asset.Format(p.Totals[name]))
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s %s\t%s\t%s\n", p.ID, p.Kind, p.State, cmp.Or(string(p.Player), "·"), strings.Join(totals, ", "), p.Asset.Code,
			p.ChangedAt.Format("2006-01-02 15:04:05"), views[i].Next)
	}
	return out.Flush()
}
