package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

func transactionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "transaction", Short: "Look transactions up",
		Long: "Look transactions up, posted and declined.",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(transactionSearchCommand())
	return cmd
}

// searchFlags are what a search may name.
type searchFlags struct {
	client      clientFlags
	from, to    string
	kinds       []string
	status      string
	reasons     []string
	reference   string
	correlation string
	account     string
	metadata    map[string]string
	oldestFirst bool
	limit       int
	atLeast     string
	wait        time.Duration
	asJSON      bool
}

func transactionSearchCommand() *cobra.Command {
	var f searchFlags
	cmd := &cobra.Command{
		Use:   "search",
		Short: "Find transactions by time, kind, outcome, reference, account or metadata",
		Long: `Find transactions of a ledger that match everything that is named, the newest first.

Searches read a model that follows the journal, mostly within a second: --at-least takes the position that a command or an earlier search
answered with, and waits for it. With --json each line is a transaction as the API has it.`,
		Example: `  meridian transaction search --ledger brand-eu --account acc_42 --status declined --from 2026-11-20T00:00:00Z
  meridian transaction search --ledger brand-eu --kind step --status declined --reason gate_closed
  meridian transaction search --ledger brand-eu --metadata channel=card --kind debit,credit --limit 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	f.client.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "recorded at this time or later, as in 2026-11-20T00:00:00Z")
	flags.StringVar(&f.to, "to", "", "recorded before this time")
	flags.StringSliceVar(&f.kinds, "kind", nil, "debit, credit, transfer, post, hold, commit, rollback, expire, reverse, open, update, freeze, close, step, player")
	flags.StringVar(&f.status, "status", "", "posted or declined; left out: both")
	flags.StringSliceVar(&f.reasons, "reason", nil, "of declines, as in insufficient_funds")
	flags.StringVar(&f.reference, "reference", "", "the provider's or your own reference")
	flags.StringVar(&f.correlation, "correlation", "", "the correlation id")
	flags.StringVar(&f.account, "account", "", "an account of the ledger that it touched, or that a declined command named")
	flags.StringToStringVar(&f.metadata, "metadata", nil, "key=value that it carries; all of several")
	flags.BoolVar(&f.oldestFirst, "oldest-first", false, "the oldest first")
	flags.IntVar(&f.limit, "limit", 100, "at most so many")
	flags.StringVar(&f.atLeast, "at-least", "", "wait until this position can be searched")
	flags.DurationVar(&f.wait, "wait", 2*time.Second, "how long, at most 30s")
	jsonFlag(cmd, &f.asJSON)
	return cmd
}

func (f *searchFlags) run(ctx context.Context, w io.Writer) error {
	config, err := trusting(f.client.server, f.client.caFile)
	if err != nil {
		return err
	}
	client := rpc.NewClient(rpc.NewHTTPClient(config, false), f.client.server)
	request, err := f.request()
	if err != nil {
		return err
	}
	for left := f.limit; left > 0; {
		request.PageSize = int32(min(left, 1000)) //nolint:gosec // bounded
		page, err := client.SearchTransactions(ctx, request)
		if err != nil {
			return err
		}
		for _, t := range page.GetTransactions() {
			if err := f.print(w, t); err != nil {
				return err
			}
		}
		left -= len(page.GetTransactions())
		if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
			return nil
		}
	}
	return nil
}

func (f *searchFlags) request() (*ledgerv1.SearchTransactionsRequest, error) {
	m := &ledgerv1.SearchTransactionsRequest{
		Ledger: f.client.ledger, ReferenceId: f.reference, CorrelationId: f.correlation, AccountId: f.account, Metadata: f.metadata,
		OldestFirst: f.oldestFirst, AtLeast: f.atLeast, Wait: durationpb.New(f.wait),
	}
	if _, err := id.ParseLedger(f.client.ledger); err != nil {
		return nil, fmt.Errorf("--ledger: %w", err)
	}
	if f.limit < 1 {
		return nil, fmt.Errorf("--limit %d: want 1 or more", f.limit)
	}
	for _, bound := range []struct {
		flag, text string
		into       **timestamppb.Timestamp
	}{{"--from", f.from, &m.From}, {"--to", f.to, &m.To}} {
		at, err := parseTime(bound.flag, bound.text)
		if err != nil {
			return nil, err
		}
		if !at.IsZero() {
			*bound.into = timestamppb.New(at)
		}
	}
	if f.status != "" {
		n, known := ledgerv1.Status_value["STATUS_"+strings.ToUpper(f.status)]
		if !known || n == 0 {
			return nil, fmt.Errorf("--status %s: want posted or declined", f.status)
		}
		m.Status = ledgerv1.Status(n)
	}
	for _, kind := range f.kinds {
		n, known := ledgerv1.Kind_value["KIND_"+strings.ToUpper(kind)]
		if !known || n == 0 {
			return nil, fmt.Errorf("--kind %s: there is no such kind", kind)
		}
		m.Kinds = append(m.Kinds, ledgerv1.Kind(n))
	}
	for _, reason := range f.reasons {
		n, known := ledgerv1.Reason_value["REASON_"+strings.ToUpper(reason)]
		if !known || n == 0 {
			return nil, fmt.Errorf("--reason %s: there is no such reason", reason)
		}
		m.Reasons = append(m.Reasons, ledgerv1.Reason(n))
	}
	return m, nil
}

func (f *searchFlags) print(w io.Writer, r *ledgerv1.RecordedTransaction) error {
	t := r.GetTransaction()
	if f.asJSON {
		line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(r)
		if err != nil {
			return fmt.Errorf("print transaction %s: %w", t.GetTransactionId(), err)
		}
		return json.NewEncoder(w).Encode(json.RawMessage(line))
	}
	what := strings.ToLower(strings.TrimPrefix(t.GetStatus().String(), "STATUS_"))
	if reason := t.GetReason(); reason != ledgerv1.Reason_REASON_UNSPECIFIED {
		what += " " + strings.ToLower(strings.TrimPrefix(reason.String(), "REASON_"))
	}
	var asked ledger.Command // of steps, what a decline was asked for stands nowhere else
	if t.GetKind() == ledgerv1.Kind_KIND_STEP && json.Unmarshal([]byte(r.GetRequestJson()), &asked) == nil && asked.Step != nil {
		what = fmt.Sprintf("%s %s %s", asked.Step.Payment, asked.Step.Trigger, what)
	}
	for _, e := range t.GetEntries() {
		sign := ""
		if e.GetSide() == ledgerv1.Side_SIDE_DEBIT {
			sign = "-"
		}
		what += fmt.Sprintf("  %s %s%s", e.GetAccountId(), sign, e.GetAmount())
	}
	if r.GetReferenceId() != "" {
		what += "  reference " + r.GetReferenceId()
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-9s %s\n", t.GetRecordedAt().AsTime().Format("2006-01-02T15:04:05.000000Z"), t.GetTransactionId(),
		strings.ToLower(strings.TrimPrefix(t.GetKind().String(), "KIND_")), what)
	return err
}
