package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

func stuckCommand() *cobra.Command {
	var f clientFlags
	var older time.Duration
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "stuck",
		Short: "List payments that have stood still for long, with who acts next",
		Long: `List payments that are under review, or in a state that is not their last, and have not moved for longer than --older-than, the longest first. Of one
under review the gate says who acts next; of another one it is whoever pulls one of the triggers that its state lets through. A refused step moves nothing.`,
		Example: "  meridian payment stuck --ledger brand-eu --older-than 24h --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, name, err := reach(&f, rpc.NewPaymentClient)
			if err != nil {
				return err
			}
			found, err := stuck(cmd.Context(), client, name, time.Now().Add(-older), limit)
			if err != nil {
				return err
			}
			view := func(p ledger.Payment) paymentView {
				v := paymentViewOf(p)
				v.Next = nextOf(p)
				return v
			}
			return printPayments(cmd.OutOrStdout(), found, view, asJSON)
		},
	}
	f.register(cmd)
	cmd.Flags().DurationVar(&older, "older-than", time.Hour, "how long they have stood still")
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// stuck finds payments that have not changed since a time and have somewhere to go.
func stuck(ctx context.Context, payments ledger.Payments, name id.Ledger, since time.Time, limit int) ([]ledger.Payment, error) {
	var found []ledger.Payment
	for _, at := range payment.Open() {
		page := ledger.PaymentPage{OldestFirst: true}
		for left := limit; left > 0; left -= page.Limit {
			page.Limit = min(left, 1000)
			all, err := payments.PaymentsInState(ctx, name, at.Kind, at.State, page)
			if err != nil {
				return nil, fmt.Errorf("list payments that are %s: %w", at.State, err)
			}
			moved := slices.IndexFunc(all, func(p ledger.Payment) bool { return !p.ChangedAt.Before(since) })
			if moved >= 0 {
				all = all[:moved]
			}
			found = append(found, all...)
			if len(all) < page.Limit {
				break
			}
			page.At, page.ID = all[len(all)-1].ChangedAt, all[len(all)-1].ID
		}
	}
	slices.SortFunc(found, func(a, b ledger.Payment) int {
		return cmp.Or(a.ChangedAt.Compare(b.ChangedAt), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return found[:min(len(found), limit)], nil
}

// nextOf says who acts next.
func nextOf(p ledger.Payment) string {
	if p.Review != nil {
		return fmt.Sprintf("%s (%s: %s)", p.Review.Next, p.Review.Gate, p.Review.Cause)
	}
	table, _ := payment.TableOf(p.Kind)
	var triggers []string
	for _, r := range table.Rules {
		if slices.Contains(r.From, p.State) && !slices.Contains(triggers, string(r.On)) {
			triggers = append(triggers, string(r.On))
		}
	}
	return "who may " + strings.Join(triggers, ", ")
}
