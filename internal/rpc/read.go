package rpc

import (
	"encoding/base64"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// The inverse of render.go: what a server said, as values of the domain. A server that says something unreadable is broken, and the error
// is internal.

func readAll[M, T any](all []M, read func(M) (T, error)) ([]T, error) {
	out := make([]T, 0, len(all))
	for _, m := range all {
		t, err := read(m)
		if err != nil {
			return nil, errs.ErrInternal.Because(fmt.Errorf("read the server's answer: %w", err))
		}
		out = append(out, t)
	}
	return out, nil
}

func pageOf(limit int) int32 { return int32(min(limit, maxPage)) } //nolint:gosec // bounded

func readMoney(m *ledgerv1.Amount) (ledger.Money, error) {
	minor, err := money.Parse(m.GetMinorUnits())
	return ledger.Money{Minor: minor, Asset: money.Code(m.GetCurrency())}, err
}

func nameToken(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

func at(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// amounts parses several at once.
func amounts(pairs map[*money.Amount]string) error {
	for into, text := range pairs {
		a, err := money.Parse(text)
		if err != nil {
			return err
		}
		*into = a
	}
	return nil
}

func readLedger(m *ledgerv1.Ledger) (ledger.Ledger, error) {
	l := ledger.Ledger{ID: id.Ledger(m.GetId()), Home: id.Home(m.GetHome()), Metadata: m.GetMetadata(), CreatedAt: at(m.GetCreatedAt())}
	for _, text := range m.GetAssets() {
		a, err := money.ParseAsset(text)
		if err != nil {
			return l, err
		}
		l.Assets = append(l.Assets, a)
	}
	return l, nil
}

func readLimit(text string) (ledger.Limit, error) {
	if text == none {
		return ledger.Limit{}, nil
	}
	a, err := money.Parse(text)
	return ledger.AtLimit(a), err
}

func readAccount(m *ledgerv1.Account) (ledger.Account, error) {
	a := ledger.Account{
		Home: id.Home(m.GetHome()), Ref: ledger.Ref{Ledger: id.Ledger(m.GetLedger()), Account: id.Account(m.GetAccountId())},
		Normal: sideBack[m.GetNormalSide()], Status: statusBack[m.GetStatus()], Metadata: m.GetMetadata(), OpenedAt: at(m.GetOpenedAt()),
	}
	var err error
	if a.Asset, err = money.ParseAsset(m.GetAsset()); err != nil {
		return a, err
	}
	if a.Floor, err = readLimit(m.GetMinAvailable()); err != nil {
		return a, err
	}
	if a.Ceiling, err = readLimit(m.GetMaxBalance()); err != nil {
		return a, err
	}
	return withBalance(a, m.GetBalance())
}

func withBalance(a ledger.Account, m *ledgerv1.Balance) (ledger.Account, error) {
	a.Sequence, a.ChangedAt = m.GetSequence(), at(m.GetChangedAt())
	var err error
	a.Balances, err = readTotals(m.GetTotals())
	return a, err
}

func readTotals(m *ledgerv1.Totals) (ledger.Balances, error) {
	var b ledger.Balances
	err := amounts(map[*money.Amount]string{
		&b.PostedDebits: m.GetPostedDebits(), &b.PostedCredits: m.GetPostedCredits(),
		&b.PendingDebits: m.GetPendingDebits(), &b.PendingCredits: m.GetPendingCredits(),
	})
	return b, err
}

func readEntry(m *ledgerv1.Entry) (ledger.Entry, error) {
	e := ledger.Entry{Ref: ledger.Ref{Ledger: id.Ledger(m.GetLedger()), Account: id.Account(m.GetAccountId())}, Sequence: m.GetSequence()}
	err := amounts(map[*money.Amount]string{
		&e.Amount: m.GetAmount(), &e.Balance: m.GetCreditBalance(), &e.PendingDebits: m.GetPendingDebits(), &e.PendingCredits: m.GetPendingCredits(),
	})
	if m.GetSide() == ledgerv1.Side_SIDE_DEBIT {
		e.Amount = e.Amount.Neg()
	}
	return e, err
}

func readOutcome(m *ledgerv1.Transaction) (ledger.Outcome, error) {
	o := ledger.Outcome{
		Ledger: id.Ledger(m.GetLedger()), Key: id.Key(m.GetIdempotencyKey()), Kind: kindBack[m.GetKind()], Decided: ledger.Posted,
		Reason: reasonBack(m.GetReason()), Detail: m.GetDetail(), EffectiveAt: at(m.GetEffectiveAt()), RecordedAt: at(m.GetRecordedAt()),
		Replayed: m.GetReplayed(), DryRun: m.GetDryRun(),
	}
	if m.GetStatus() == ledgerv1.Status_STATUS_DECLINED {
		o.Decided = ledger.Declined
	}
	var err error
	if o.Transaction, err = id.ParseTransaction(m.GetTransactionId()); err != nil {
		return o, err
	}
	for _, e := range m.GetEntries() {
		entry, err := readEntry(e)
		if err != nil {
			return o, err
		}
		o.Entries = append(o.Entries, entry)
	}
	if m.GetAccount() != nil {
		a, err := readAccount(m.GetAccount())
		if err != nil {
			return o, err
		}
		o.Account = &a
	}
	if m.GetHold() != nil {
		o.Hold, err = readHold(m.GetHold(), o.Ledger)
	}
	return o, err
}

func readHold(m *ledgerv1.Hold, in id.Ledger) (*ledger.Hold, error) {
	h := &ledger.Hold{
		Ledger: in, From: id.Account(m.GetFromAccountId()), To: id.Account(m.GetToAccountId()), Status: holdStatusBack[m.GetStatus()],
		ExpiresAt: at(m.GetExpiresAt()),
	}
	var err error
	if h.ID, err = id.ParseTransaction(m.GetHoldId()); err != nil {
		return nil, err
	}
	if h.Asset, err = money.ParseAsset(m.GetAsset()); err != nil {
		return nil, err
	}
	return h, amounts(map[*money.Amount]string{&h.Amount: m.GetAmount(), &h.Captured: m.GetCaptured()})
}

func readRecord(m *ledgerv1.RecordedTransaction) (ledger.Record, error) {
	o, err := readOutcome(m.GetTransaction())
	if err != nil {
		return ledger.Record{}, err
	}
	r := ledger.Record{
		Request: []byte(m.GetRequestJson()), Reference: m.GetReferenceId(), Correlation: m.GetCorrelationId(), TraceID: m.GetTraceId(), Outcome: o,
	}
	if m.GetTargetId() != "" {
		if r.Target, err = id.ParseTransaction(m.GetTargetId()); err != nil {
			return ledger.Record{}, err
		}
	}
	if o.Kind == ledger.KindReverse && o.Decided == ledger.Posted {
		r.Reverses = r.Target
	}
	return r, nil
}

func readLine(m *ledgerv1.StatementLine) (ledger.StatementLine, error) {
	l := ledger.StatementLine{
		Origin: id.Ledger(m.GetOriginLedger()), Line: int(m.GetLine()), Kind: kindBack[m.GetKind()], EffectiveAt: at(m.GetEffectiveAt()),
		RecordedAt: at(m.GetRecordedAt()),
	}
	var err error
	if l.Transaction, err = id.ParseTransaction(m.GetTransactionId()); err != nil {
		return l, err
	}
	l.Entry, err = readEntry(m.GetEntry())
	return l, err
}

func readTrialLine(m *ledgerv1.TrialLine) (ledger.TrialLine, error) {
	t := ledger.TrialLine{Accounts: m.GetAccounts()}
	var err error
	if t.Asset, err = money.ParseAsset(m.GetAsset()); err != nil {
		return t, err
	}
	t.Balances, err = readTotals(m.GetTotals())
	return t, err
}

func readResult(m *ledgerv1.CommandResult) (ledger.Result, error) {
	if e := m.GetError(); e != nil {
		reason := reasonBack(e.GetReason())
		failed := errs.New(errs.CodeOf(reason), reason, e.GetMessage())
		for k, fact := range e.GetDetail() {
			failed = failed.With(k, fact)
		}
		return ledger.Result{Err: failed}, nil
	}
	o, err := readOutcome(m.GetTransaction())
	return ledger.Result{Outcome: o}, err
}

// renderTerms is the inverse of parser.terms.
func renderTerms(c ledger.Command) *ledgerv1.Terms {
	return &ledgerv1.Terms{
		Ledger: string(c.Ledger), IdempotencyKey: string(c.Key), Reason: string(c.Reason), ReferenceId: c.Reference, CorrelationId: c.Correlation,
		Metadata: c.Metadata, EffectiveAt: stamp(c.EffectiveAt),
	}
}

// renderCommand is the inverse of parser.command.
func renderCommand(c ledger.Command) *ledgerv1.Command {
	t := renderTerms(c)
	account, counter, amount := string(c.Account), string(c.Counter), renderMoney(c.Amount)
	switch c.Kind {
	case ledger.KindDebit:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Debit{Debit: &ledgerv1.DebitRequest{
			Terms: t, AccountId: account, CounterAccountId: counter, Amount: amount,
		}}}
	case ledger.KindCredit:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Credit{Credit: &ledgerv1.CreditRequest{
			Terms: t, AccountId: account, CounterAccountId: counter, Amount: amount,
		}}}
	case ledger.KindTransfer:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Transfer{Transfer: &ledgerv1.TransferRequest{
			Terms: t, FromAccountId: account, ToAccountId: counter, Amount: amount,
		}}}
	case ledger.KindPost:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Post{Post: &ledgerv1.PostRequest{Terms: t, Entries: renderLegs(c.Legs)}}}
	case ledger.KindHold:
		hold := &ledgerv1.HoldRequest{Terms: t, AccountId: account, ToAccountId: counter, Amount: amount}
		if c.ExpiresIn != 0 {
			hold.ExpiresIn = durationpb.New(c.ExpiresIn)
		}
		return &ledgerv1.Command{Command: &ledgerv1.Command_Hold{Hold: hold}}
	case ledger.KindCommit:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Commit{Commit: &ledgerv1.CommitRequest{
			Terms: t, HoldId: c.Target.String(), Amount: amount, KeepRest: c.KeepRest,
		}}}
	case ledger.KindRollback:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Rollback{Rollback: &ledgerv1.RollbackRequest{Terms: t, HoldId: c.Target.String()}}}
	case ledger.KindReverse:
		return &ledgerv1.Command{Command: &ledgerv1.Command_Reverse{Reverse: &ledgerv1.ReverseRequest{Terms: t, TransactionId: c.Target.String()}}}
	default: // on accounts
		return renderAccountCommand(c)
	}
}

// renderChanged leaves out what stays.
func renderChanged(l *ledger.Limit) *string {
	if l == nil {
		return nil
	}
	text := renderLimit(*l)
	return &text
}

func renderAccountCommand(c ledger.Command) *ledgerv1.Command {
	name, account, key := string(c.Ledger), string(c.Account), string(c.Key)
	terms := ledger.Terms{}
	if c.Terms != nil {
		terms = *c.Terms
	}
	switch c.Kind {
	case ledger.KindOpen:
		return &ledgerv1.Command{Command: &ledgerv1.Command_OpenAccount{OpenAccount: &ledgerv1.OpenAccountRequest{
			Ledger: name, AccountId: account, Asset: string(terms.Asset), NormalSide: sides[terms.Normal], MinAvailable: renderLimit(terms.Floor),
			MaxBalance: renderLimit(terms.Ceiling), Metadata: terms.Metadata, IdempotencyKey: key,
		}}}
	case ledger.KindUpdate:
		update := &ledgerv1.UpdateAccountRequest{Ledger: name, AccountId: account, IdempotencyKey: key}
		if c.Change != nil {
			update.MinAvailable, update.MaxBalance = renderChanged(c.Change.Floor), renderChanged(c.Change.Ceiling)
			update.Metadata, update.ClearMetadata = c.Change.Metadata, c.Change.Metadata != nil && len(c.Change.Metadata) == 0
		}
		return &ledgerv1.Command{Command: &ledgerv1.Command_UpdateAccount{UpdateAccount: update}}
	case ledger.KindFreeze:
		return &ledgerv1.Command{Command: &ledgerv1.Command_FreezeAccount{FreezeAccount: &ledgerv1.FreezeAccountRequest{
			Ledger: name, AccountId: account, Status: statuses[c.Status], IdempotencyKey: key,
		}}}
	case ledger.KindClose:
		return &ledgerv1.Command{Command: &ledgerv1.Command_CloseAccount{CloseAccount: &ledgerv1.CloseAccountRequest{
			Ledger: name, AccountId: account, IdempotencyKey: key,
		}}}
	default: // no client may ask for it
		return &ledgerv1.Command{}
	}
}

func renderLegs(legs []ledger.Leg) []*ledgerv1.Leg {
	out := make([]*ledgerv1.Leg, len(legs))
	for i, l := range legs {
		out[i] = &ledgerv1.Leg{Ledger: string(l.Ledger), AccountId: string(l.Account), Side: sides[l.Side], Amount: renderMoney(&l.Amount)}
	}
	return out
}
