package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func providerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "provider",
		Short: "Look after the callbacks of payment providers, and simulate one",
		Long: `A provider posts what happened to a payment to /v1/providers/NAME/callbacks of any server that was started with --providers. It is verified,
stored once by the provider's own id, and answered; its effect follows. What can not have one is a dead letter, which waits for somebody to
replay or discard it.`,
		Example: `  meridian provider check --file providers.yaml
  meridian provider callbacks list acme --ledger brand-eu --state dead
  meridian provider callbacks replay acme --ledger brand-eu --cause unknown_type`,
	}
	cmd.AddCommand(checkProvidersCommand(), callbacksCommand(), simulateCommand())
	return cmd
}

func checkProvidersCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Read a file of providers as a server would, and say what is wrong with it",
		Example: "  meridian provider check --file providers.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := provider.Load(file)
			if err != nil {
				return err
			}
			if err := knownTriggers(config); err != nil {
				return err
			}
			for _, name := range config.Names() {
				a := config.Accounts[name]
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ledger %s, %d checks, %d types, bodies %s\n", name, a.Ledger, len(a.Checks), len(a.Triggers), a.Keep)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "the file of providers")
	return cmd
}

func callbacksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "callbacks",
		Short:   "List, show, replay and discard callbacks",
		Long:    `A callback is received, waiting (it was attempted, or came before what it builds on), applied, dead or discarded.`,
		Example: "  meridian provider callbacks list acme --ledger brand-eu --state dead\n  meridian provider callbacks show acme evt_1 --ledger brand-eu",
	}
	cmd.AddCommand(listCallbacksCommand(), showCallbackCommand(), replayCallbacksCommand(), discardCallbacksCommand())
	return cmd
}

// providerFlags are how a tool asks about the callbacks of one ledger.
type providerFlags struct {
	eventFlags
	ledger string
}

func (f *providerFlags) register(cmd *cobra.Command) {
	f.eventFlags.register(cmd)
	cmd.Flags().StringVar(&f.ledger, "ledger", "", "the ledger that the provider's account belongs to")
}

// asking reads the ledger and the provider, which is the first argument, and asks a server.
func (f *providerFlags) asking(
	ask func(ctx context.Context, cmd *cobra.Command, node *rpc.ProviderClient, ledger id.Ledger, name provider.Name, args []string) error,
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ledger, err := id.ParseLedger(f.ledger)
		if err != nil {
			return fmt.Errorf("--ledger: %w", err)
		}
		name, err := provider.ParseName(args[0])
		if err != nil {
			return err
		}
		all, err := openEach(&f.eventFlags, rpc.NewProviderClient)
		if err != nil {
			return err
		}
		return askEach(all, func(node *rpc.ProviderClient) error { return ask(cmd.Context(), cmd, node, ledger, name, args[1:]) })
	}
}

var callbackStates = []provider.State{provider.Received, provider.Waiting, provider.Applied, provider.Dead, provider.Discarded}

func listCallbacksCommand() *cobra.Command {
	var f providerFlags
	var state string
	var page provider.Page
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list PROVIDER", Short: "List callbacks of a provider, by event id",
		Example: "  meridian provider callbacks list acme --ledger brand-eu --state dead", Args: cobra.ExactArgs(1),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.ProviderClient, ledger id.Ledger, name provider.Name, _ []string) error {
		page.Ledger, page.Provider, page.State = ledger, name, ""
		for _, s := range callbackStates {
			if string(s) == state {
				page.State = s
			}
		}
		if page.State == "" && state != "all" {
			return fmt.Errorf("--state: %q is none; name received, waiting, applied, dead, discarded or all", state)
		}
		found, err := node.List(ctx, page)
		if err != nil {
			return err
		}
		return printCallbacks(cmd.OutOrStdout(), found, asJSON)
	})
	f.register(cmd)
	cmd.Flags().StringVar(&state, "state", "all", "received, waiting, applied, dead, discarded or all")
	cmd.Flags().StringVar(&page.After, "after", "", "only those after this event id")
	cmd.Flags().IntVar(&page.Limit, "limit", 100, "at most so many, up to 1000")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// callbackView is a callback as JSON.
type callbackView struct {
	Provider   provider.Name   `json:"provider"`
	ID         string          `json:"event_id"`
	Type       string          `json:"type"`
	Trigger    string          `json:"trigger"`
	Payment    string          `json:"payment,omitempty"`
	Reference  string          `json:"reference,omitempty"`
	Amount     string          `json:"amount,omitempty"`
	Currency   string          `json:"currency,omitempty"`
	OccurredAt *time.Time      `json:"occurred_at,omitempty"`
	ReceivedAt time.Time       `json:"received_at"`
	State      provider.State  `json:"state"`
	Attempts   int             `json:"attempts"`
	DueAt      *time.Time      `json:"due_at,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	Detail     string          `json:"detail,omitempty"`
	ChangedAt  time.Time       `json:"changed_at"`
	Body       json.RawMessage `json:"body,omitempty"`
	BodyKey    string          `json:"body_key,omitempty"` // the body is encrypted by this key
}

func viewOfCallback(c provider.Callback, body []byte) callbackView {
	v := callbackView{
		Provider: c.Provider, ID: c.ID, Type: c.Type, Trigger: c.Trigger, Payment: c.Payment, Reference: c.Reference, Currency: string(c.Currency),
		ReceivedAt: c.ReceivedAt, State: c.State, Attempts: c.Attempts, Cause: c.Cause, Detail: c.Detail, ChangedAt: c.ChangedAt,
	}
	if c.HasAmount {
		v.Amount = c.Amount.String()
	}
	if !c.OccurredAt.IsZero() {
		v.OccurredAt = &c.OccurredAt
	}
	if c.State == provider.Received || c.State == provider.Waiting {
		v.DueAt = &c.DueAt
	}
	switch {
	case json.Valid(body):
		v.Body = body
	case len(body) > 0:
		v.Body, _ = json.Marshal(string(body)) //nolint:errchkjson // a text always can be written
	case c.Raw.Mode == provider.RawEncrypted:
		v.BodyKey = c.Raw.KeyID
	}
	return v
}

func printCallbacks(w io.Writer, all []provider.Callback, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(all, func(c provider.Callback) callbackView { return viewOfCallback(c, nil) }))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "EVENT\tTYPE\tTRIGGER\tPAYMENT\tSTATE\tATTEMPTS\tCAUSE\tRECEIVED")
	for _, c := range all {
		payment := c.Payment
		if payment == "" {
			payment = c.Reference
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", c.ID, c.Type, c.Trigger, payment, c.State, c.Attempts, c.Cause, c.ReceivedAt.Format(time.RFC3339))
	}
	return t.Flush()
}

func showCallbackCommand() *cobra.Command {
	var f providerFlags
	var keyFile string
	cmd := &cobra.Command{
		Use: "show PROVIDER EVENT", Short: "Show a callback with what is kept of its body",
		Long: `An encrypted body is opened here, by a key that never leaves this machine: name its file with --key-file. The server shows it to nobody.`,
		Example: `  meridian provider callbacks show acme evt_1 --ledger brand-eu
  meridian provider callbacks show acme evt_1 --ledger brand-eu --key-file bodies-2026.key`,
		Args: cobra.ExactArgs(2),
	}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.ProviderClient, ledger id.Ledger, name provider.Name, args []string) error {
		c, err := node.Get(ctx, ledger, name, args[0])
		if err != nil {
			return err
		}
		body := c.Raw.Bytes
		if c.Raw.Mode == provider.RawEncrypted {
			if body, err = openBody(c, keyFile); err != nil {
				return err
			}
		}
		return printJSON(cmd.OutOrStdout(), viewOfCallback(c, body))
	})
	f.register(cmd)
	cmd.Flags().StringVar(&keyFile, "key-file", "", "file with the base64 of the key that opens an encrypted body")
	return cmd
}

func openBody(c provider.Callback, keyFile string) ([]byte, error) {
	if keyFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(keyFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("--key-file: %s does not hold the base64 of a key", keyFile)
	}
	vault := provider.NewVault()
	if err := vault.Add(c.Raw.KeyID, key); err != nil {
		return nil, fmt.Errorf("--key-file: %w", err)
	}
	body, err := vault.Open(c.Envelope)
	if err != nil {
		return nil, fmt.Errorf("--key-file: the body is sealed by key %s: %w", c.Raw.KeyID, err)
	}
	return body, nil
}

// chosenFlags name dead callbacks. To mean all of them has to be said: nobody is to do so by leaving something out.
type chosenFlags struct {
	events []string
	cause  string
	all    bool
}

func (f *chosenFlags) selection(ledger id.Ledger, name provider.Name) (provider.Selection, error) {
	said := 0
	for _, given := range []bool{len(f.events) > 0, f.cause != "", f.all} {
		if given {
			said++
		}
	}
	if said != 1 {
		return provider.Selection{}, errors.New("say which are meant: by --event, or by --cause, or --all")
	}
	return provider.Selection{Ledger: ledger, Provider: name, IDs: f.events, Cause: f.cause}, nil
}

func replayCallbacksCommand() *cobra.Command {
	return choosingCommand("replay PROVIDER", "Make dead callbacks due as if they had just come",
		"  meridian provider callbacks replay acme --ledger brand-eu --event evt_1\n  meridian provider callbacks replay acme --ledger brand-eu --cause unknown_type",
		"due again", (*rpc.ProviderClient).Replay)
}

func discardCallbacksCommand() *cobra.Command {
	var reason string
	cmd := choosingCommand("discard PROVIDER", "Give dead callbacks up for ever, with a reason that is kept",
		"  meridian provider callbacks discard acme --ledger brand-eu --event evt_1 --reason booked-by-hand", "discarded",
		func(node *rpc.ProviderClient, ctx context.Context, s provider.Selection) (int64, error) {
			return node.Discard(ctx, s, reason)
		})
	cmd.Flags().StringVar(&reason, "reason", "", "who decided so, and why; it is kept for ever")
	return cmd
}

func choosingCommand(use, short, example, done string, do func(*rpc.ProviderClient, context.Context, provider.Selection) (int64, error)) *cobra.Command {
	var f providerFlags
	var chosen chosenFlags
	var asJSON bool
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1)}
	cmd.RunE = f.asking(func(ctx context.Context, cmd *cobra.Command, node *rpc.ProviderClient, ledger id.Ledger, name provider.Name, _ []string) error {
		selected, err := chosen.selection(ledger, name)
		if err != nil {
			return err
		}
		n, err := do(node, ctx, selected)
		if err != nil {
			return err
		}
		if asJSON {
			return printJSON(cmd.OutOrStdout(), struct {
				Count int64 `json:"count"`
			}{n})
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d %s\n", n, done)
		return err
	})
	f.register(cmd)
	cmd.Flags().StringSliceVar(&chosen.events, "event", nil, "those of these event ids")
	cmd.Flags().StringVar(&chosen.cause, "cause", "", "all of this cause, as the list shows it")
	cmd.Flags().BoolVar(&chosen.all, "all", false, "all of the provider")
	jsonFlag(cmd, &asJSON)
	return cmd
}
