package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func playerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "player",
		Short: "See and change what gates know of a player",
		Example: `  meridian player show p7 --ledger brand-eu
  meridian player update p7 --ledger brand-eu --kyc verified --actor alice`,
	}
	cmd.AddCommand(showPlayerCommand(), updatePlayerCommand())
	return cmd
}

func showPlayerCommand() *cobra.Command {
	var f clientFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show PLAYER",
		Short:   "Show KYC, AML, status, self-exclusion, limits and what was used of them",
		Example: "  meridian player show p7 --ledger brand-eu --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, name, err := reach(&f, rpc.NewPaymentClient)
			if err != nil {
				return err
			}
			p, err := client.Player(cmd.Context(), name, id.Player(args[0]))
			if err != nil {
				return err
			}
			return printPlayer(cmd.OutOrStdout(), p, asJSON)
		},
	}
	f.register(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func printPlayer(w io.Writer, p ledger.Player, asJSON bool) error {
	if asJSON {
		return printJSON(w, p)
	}
	fmt.Fprintf(w, "%s  kyc %s  aml %s  %s\n", p.ID, cmp.Or(string(p.KYC), "unknown"), cmp.Or(string(p.AML), "clear"), cmp.Or(string(p.Status), "active"))
	if !p.ExcludedUntil.IsZero() {
		fmt.Fprintf(w, "  excluded until %s\n", p.ExcludedUntil.UTC().Format(time.RFC3339))
	}
	for _, l := range p.Limits {
		fmt.Fprintf(w, "  limit  %-10s %-5s %20s %s\n", l.Measure, l.Period, l.Amount, l.Asset)
	}
	for _, u := range p.Usage {
		fmt.Fprintf(w, "  used   %-10s %-5s %20s %s since %s\n", u.Measure, u.Period, u.Amount, u.Asset, u.Since.UTC().Format("2006-01-02"))
	}
	return nil
}

func updatePlayerCommand() *cobra.Command {
	var f clientFlags
	var change ledger.PlayerChange
	var key, kyc, aml, status, excluded string
	var limits []string
	var noLimits, asJSON bool
	cmd := &cobra.Command{
		Use:   "update PLAYER",
		Short: "Change KYC, AML, status, self-exclusion or limits of a player",
		Long: `Change what gates know of a player. What is left out stays; --limit, which may be given several times, replaces all limits. A self-exclusion that lasts
can be made longer and not shorter.

Exit code 0: posted; 2: declined by the books; 1: anything else.`,
		Example: `  meridian player update p7 --ledger brand-eu --kyc verified --cause case-12 --actor alice
  meridian player update p7 --ledger brand-eu --limit deposit/day/100000/EUR --limit loss/month/500000/EUR
  meridian player update p7 --ledger brand-eu --excluded-until 2027-05-31T00:00:00Z`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, name, err := reach(&f, rpc.NewPaymentClient)
			if err != nil {
				return err
			}
			change.Player, change.KYC, change.AML, change.Status = id.Player(args[0]), ledger.KYC(kyc), ledger.AML(aml), ledger.PlayerStatus(status)
			if excluded != "" {
				until, err := time.Parse(time.RFC3339Nano, excluded)
				if err != nil {
					return fmt.Errorf("--excluded-until is a time like 2027-05-31T00:00:00Z: %w", err)
				}
				change.ExcludedUntil = &until
			}
			if change.Limits, err = playerLimits(limits, noLimits); err != nil {
				return err
			}
			c := ledger.Command{Kind: ledger.KindPlayer, Ledger: name, Player: &change}
			if c.Key, err = keyOf(key); err != nil {
				return err
			}
			o, err := client.Do(cmd.Context(), c, false)
			if err != nil {
				return err
			}
			return printOutcome(cmd.OutOrStdout(), o, asJSON)
		},
	}
	f.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&key, "key", "", "idempotency key; made up where it is left out")
	flags.StringVar(&kyc, "kyc", "", "pending, verified or rejected")
	flags.StringVar(&aml, "aml", "", "clear, flagged or blocked")
	flags.StringVar(&status, "status", "", "active, suspended or closed")
	flags.StringVar(&excluded, "excluded-until", "", "self-exclusion, as in 2027-05-31T00:00:00Z")
	flags.StringArrayVar(&limits, "limit", nil, "MEASURE/PERIOD/MINOR/ASSET, as in deposit/day/100000/EUR; may be given several times")
	flags.BoolVar(&noLimits, "no-limits", false, "take all limits away")
	flags.StringVar(&change.Cause, "cause", "", "why, as in a case")
	flags.StringVar(&change.Actor, "actor", "", "who says so")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func playerLimits(texts []string, none bool) ([]ledger.PlayerLimit, error) {
	if none && len(texts) > 0 {
		return nil, fmt.Errorf("--no-limits takes all limits away; leave --limit out")
	}
	if none {
		return []ledger.PlayerLimit{}, nil
	}
	var all []ledger.PlayerLimit
	for _, text := range texts {
		parts := strings.Split(text, "/")
		if len(parts) != 4 {
			return nil, fmt.Errorf("--limit is MEASURE/PERIOD/MINOR/ASSET, as in deposit/day/100000/EUR, and not %q", text)
		}
		amount, err := money.Parse(parts[2])
		if err != nil {
			return nil, fmt.Errorf("--limit %s: %w", text, err)
		}
		code, err := money.ParseCode(parts[3])
		if err != nil {
			return nil, fmt.Errorf("--limit %s: %w", text, err)
		}
		all = append(all, ledger.PlayerLimit{Measure: ledger.Measure(parts[0]), Period: ledger.Period(parts[1]), Amount: amount, Asset: code})
	}
	return all, nil
}
