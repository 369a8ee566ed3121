package rpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// parser turns one request into typed values. The first thing that is wrong is its error; what is parsed after that is worthless but
// harmless, so that a handler looks at the error once, at the end.
type parser struct {
	ctx    context.Context //nolint:containedctx // lives as long as the call
	svc    ledger.Service
	header http.Header
	// fallback is the ledger of requests that name none.
	fallback id.Ledger
	at       string // prefix of field names: commands[3].
	err      error
}

func (p *parser) fail(field, message string) {
	if p.err == nil {
		p.err = errs.Invalid(p.at+field, message)
	}
}

func (p *parser) check(field string, err error) {
	if err != nil {
		p.fail(field, strings.TrimPrefix(err.Error(), id.Err.Error()+": "))
	}
}

// The headers that may stand for a field. Two that differ are refused: a retry that carried only one of them could miss its first answer.
var (
	keyHeaders    = []string{"Idempotency-Key", "X-Idempotency-Key"}
	ledgerHeaders = []string{"Meridian-Ledger", "X-Ledger"}
)

func (p *parser) ofHeader(names []string) string {
	found := ""
	for _, name := range names {
		for _, v := range p.header.Values(name) {
			if found != "" && v != found {
				p.fail(names[0], "the header is there twice, with different values")
			}
			found = v
		}
	}
	return found
}

func (p *parser) ledger(field, text string) id.Ledger {
	if text == "" {
		text = p.ofHeader(ledgerHeaders)
	}
	if text == "" && p.fallback != "" {
		return p.fallback
	}
	if text == "" {
		p.fail(field, "name the ledger, in the field or in the Meridian-Ledger header")
		return ""
	}
	l, err := id.ParseLedger(text)
	p.check(field, err)
	return l
}

func (p *parser) key(field, text string) id.Key {
	header := p.ofHeader(keyHeaders)
	if header != "" && text != "" && header != text {
		p.fail(field, "the field and the Idempotency-Key header differ")
		return ""
	}
	if text == "" {
		text = header
	}
	if text == "" {
		p.fail(field, "give an idempotency key, in the field or in the Idempotency-Key header")
		return ""
	}
	k, err := id.ParseKey(text)
	p.check(field, err)
	return k
}

// optionalKey falls back to a key of our own.
func (p *parser) optionalKey(text string, otherwise func() string) id.Key {
	if text == "" && p.ofHeader(keyHeaders) == "" {
		return id.Key(otherwise())
	}
	return p.key("idempotency_key", text)
}

func randomKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "auto:" + hex.EncodeToString(b[:])
}

func (p *parser) account(field, text string) id.Account {
	if text == "" {
		p.fail(field, "name the account")
		return ""
	}
	return p.optionalAccount(field, text)
}

func (p *parser) optionalAccount(field, text string) id.Account {
	if text == "" {
		return ""
	}
	a, err := id.ParseAccount(text)
	p.check(field, err)
	return a
}

func (p *parser) transaction(field, text string) id.Transaction {
	t, err := id.ParseTransaction(text)
	p.check(field, err)
	return t
}

func (p *parser) reason(text string) id.Reason {
	if text == "" {
		return ""
	}
	r, err := id.ParseReason(text)
	p.check("reason", err)
	return r
}

// asset reads CODE or CODE/SCALE; a scale has to be the ledger's.
func (p *parser) asset(field string, in id.Ledger, text string) money.Code {
	if !strings.Contains(text, "/") {
		code, err := money.ParseCode(text)
		p.check(field, err)
		return code
	}
	wanted, err := money.ParseAsset(text)
	p.check(field, err)
	if p.err != nil {
		return wanted.Code
	}
	l, err := p.svc.Ledger(p.ctx, in)
	if err != nil {
		p.err = err
		return wanted.Code
	}
	if known, found := l.Asset(wanted.Code); found && known.Scale != wanted.Scale {
		p.fail(field, fmt.Sprintf("wrong scale: ledger %s counts %s as %s", in, wanted.Code, known))
	}
	return wanted.Code
}

func (p *parser) money(field string, in id.Ledger, a *ledgerv1.Amount) *ledger.Money {
	if a == nil {
		p.fail(field, "give an amount, as in {\"minor_units\": \"5000\", \"currency\": \"EUR\"}")
		return &ledger.Money{}
	}
	minor, err := money.Parse(a.GetMinorUnits())
	p.check(field+".minor_units", err)
	if err == nil && minor.Sign() <= 0 {
		p.fail(field+".minor_units", "an amount is greater than zero")
	}
	return &ledger.Money{Minor: minor, Asset: p.asset(field+".currency", in, a.GetCurrency())}
}

func (p *parser) optionalMoney(field string, in id.Ledger, a *ledgerv1.Amount) *ledger.Money {
	if a == nil {
		return nil
	}
	return p.money(field, in, a)
}

// limit reads minor units or "none".
func (p *parser) limit(field, text, otherwise string) ledger.Limit {
	if text == "" {
		text = otherwise
	}
	if text == none {
		return ledger.Limit{}
	}
	a, err := money.Parse(text)
	if err != nil {
		p.fail(field, err.Error()+`; give minor units or "none"`)
	}
	return ledger.AtLimit(a)
}

const none = "none"

func (p *parser) side(field string, s ledgerv1.Side) ledger.Side {
	switch s {
	case ledgerv1.Side_SIDE_DEBIT:
		return ledger.Debit
	case ledgerv1.Side_SIDE_CREDIT:
		return ledger.Credit
	default:
		p.fail(field, "SIDE_DEBIT or SIDE_CREDIT")
		return 0
	}
}

func (p *parser) time(field string, t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	if err := t.CheckValid(); err != nil {
		p.fail(field, plain(err))
	}
	at := t.AsTime().Truncate(time.Microsecond) // what both engines store
	if at.Year() < 1 {
		p.fail(field, "before the year 1")
	}
	return at
}

func (p *parser) duration(field string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	if err := d.CheckValid(); err != nil {
		p.fail(field, plain(err))
	}
	if d.AsDuration() <= 0 {
		p.fail(field, "longer than nothing")
	}
	return d.AsDuration()
}

// terms starts a command with what all of them may carry.
func (p *parser) terms(kind ledger.Kind, t *ledgerv1.Terms) ledger.Command {
	return ledger.Command{
		Kind: kind, Ledger: p.ledger("terms.ledger", t.GetLedger()), Key: p.key("terms.idempotency_key", t.GetIdempotencyKey()),
		Reason: p.reason(t.GetReason()), Reference: t.GetReferenceId(), Correlation: t.GetCorrelationId(), Metadata: t.GetMetadata(),
		EffectiveAt: p.time("terms.effective_at", t.GetEffectiveAt()), TraceID: traceOf(p.ctx),
	}
}

func (p *parser) debit(r *ledgerv1.DebitRequest) ledger.Command {
	c := p.terms(ledger.KindDebit, r.GetTerms())
	c.Account, c.Counter = p.account("account_id", r.GetAccountId()), p.optionalAccount("counter_account_id", r.GetCounterAccountId())
	c.Amount = p.money("amount", c.Ledger, r.GetAmount())
	return c
}

func (p *parser) credit(r *ledgerv1.CreditRequest) ledger.Command {
	c := p.terms(ledger.KindCredit, r.GetTerms())
	c.Account, c.Counter = p.account("account_id", r.GetAccountId()), p.optionalAccount("counter_account_id", r.GetCounterAccountId())
	c.Amount = p.money("amount", c.Ledger, r.GetAmount())
	return c
}

func (p *parser) transfer(r *ledgerv1.TransferRequest) ledger.Command {
	c := p.terms(ledger.KindTransfer, r.GetTerms())
	c.Account, c.Counter = p.account("from_account_id", r.GetFromAccountId()), p.account("to_account_id", r.GetToAccountId())
	c.Amount = p.money("amount", c.Ledger, r.GetAmount())
	return c
}

func (p *parser) post(r *ledgerv1.PostRequest) ledger.Command {
	c := p.terms(ledger.KindPost, r.GetTerms())
	if n := len(r.GetEntries()); n > ledger.MaxLegs {
		p.fail("entries", fmt.Sprintf("a post has 2 to %d entries", ledger.MaxLegs))
		return c
	}
	for i, l := range r.GetEntries() {
		at := fmt.Sprintf("entries[%d].", i)
		in := c.Ledger
		leg := ledger.Leg{Account: p.account(at+"account_id", l.GetAccountId()), Side: p.side(at+"side", l.GetSide())}
		if l.GetLedger() != "" {
			parsed, err := id.ParseLedger(l.GetLedger())
			p.check(at+"ledger", err)
			leg.Ledger, in = parsed, parsed
		}
		leg.Amount = *p.money(at+"amount", in, l.GetAmount())
		c.Legs = append(c.Legs, leg)
	}
	return c
}

func (p *parser) hold(r *ledgerv1.HoldRequest) ledger.Command {
	c := p.terms(ledger.KindHold, r.GetTerms())
	c.Account, c.Counter = p.account("account_id", r.GetAccountId()), p.optionalAccount("to_account_id", r.GetToAccountId())
	c.Amount, c.ExpiresIn = p.money("amount", c.Ledger, r.GetAmount()), p.duration("expires_in", r.GetExpiresIn())
	return c
}

func (p *parser) commit(r *ledgerv1.CommitRequest) ledger.Command {
	c := p.terms(ledger.KindCommit, r.GetTerms())
	c.Target, c.KeepRest = p.transaction("hold_id", r.GetHoldId()), r.GetKeepRest()
	c.Amount = p.optionalMoney("amount", c.Ledger, r.GetAmount())
	return c
}

func (p *parser) rollback(r *ledgerv1.RollbackRequest) ledger.Command {
	c := p.terms(ledger.KindRollback, r.GetTerms())
	c.Target = p.transaction("hold_id", r.GetHoldId())
	return c
}

func (p *parser) reverse(r *ledgerv1.ReverseRequest) ledger.Command {
	c := p.terms(ledger.KindReverse, r.GetTerms())
	c.Target = p.transaction("transaction_id", r.GetTransactionId())
	return c
}

func (p *parser) open(r *ledgerv1.OpenAccountRequest) ledger.Command {
	c := ledger.Command{Kind: ledger.KindOpen, Ledger: p.ledger("ledger", r.GetLedger()), TraceID: traceOf(p.ctx)}
	c.Account = p.account("account_id", r.GetAccountId())
	c.Key = p.optionalKey(r.GetIdempotencyKey(), func() string { return "open:" + r.GetAccountId() })
	c.Terms = &ledger.Terms{
		Asset: p.asset("asset", c.Ledger, r.GetAsset()), Normal: p.side("normal_side", r.GetNormalSide()),
		Floor: p.limit("min_available", r.GetMinAvailable(), "0"), Ceiling: p.limit("max_balance", r.GetMaxBalance(), none),
		Metadata: r.GetMetadata(),
	}
	return c
}

func (p *parser) update(r *ledgerv1.UpdateAccountRequest) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindUpdate, Ledger: p.ledger("ledger", r.GetLedger()), Account: p.account("account_id", r.GetAccountId()),
		Key: p.optionalKey(r.GetIdempotencyKey(), randomKey), TraceID: traceOf(p.ctx),
		Change: p.change(r),
	}
}

// change reads what is there; the rest of the account's terms stays.
func (p *parser) change(r *ledgerv1.UpdateAccountRequest) *ledger.Change {
	var c ledger.Change
	if r.MinAvailable != nil {
		floor := p.limit("min_available", r.GetMinAvailable(), "")
		c.Floor = &floor
	}
	if r.MaxBalance != nil {
		ceiling := p.limit("max_balance", r.GetMaxBalance(), "")
		c.Ceiling = &ceiling
	}
	switch {
	case r.GetClearMetadata() && len(r.GetMetadata()) > 0:
		p.fail("clear_metadata", "either new metadata, or none")
	case r.GetClearMetadata():
		c.Metadata = ledger.Metadata{}
	case len(r.GetMetadata()) > 0:
		c.Metadata = r.GetMetadata()
	}
	return &c
}

func (p *parser) freeze(r *ledgerv1.FreezeAccountRequest) ledger.Command {
	status, known := statusBack[r.GetStatus()]
	if !known || status == ledger.Closed {
		p.fail("status", "ACCOUNT_STATUS_OPEN, _DEBITS_FROZEN, _CREDITS_FROZEN or _FROZEN")
	}
	return ledger.Command{
		Kind: ledger.KindFreeze, Ledger: p.ledger("ledger", r.GetLedger()), Account: p.account("account_id", r.GetAccountId()),
		Key: p.optionalKey(r.GetIdempotencyKey(), randomKey), Status: status, TraceID: traceOf(p.ctx),
	}
}

func (p *parser) close(r *ledgerv1.CloseAccountRequest) ledger.Command {
	return ledger.Command{
		Kind: ledger.KindClose, Ledger: p.ledger("ledger", r.GetLedger()), Account: p.account("account_id", r.GetAccountId()),
		Key: p.optionalKey(r.GetIdempotencyKey(), randomKey), TraceID: traceOf(p.ctx),
	}
}

// command reads one command of a batch.
func (p *parser) command(c *ledgerv1.Command) ledger.Command {
	switch v := c.GetCommand().(type) {
	case *ledgerv1.Command_Debit:
		return p.debit(v.Debit)
	case *ledgerv1.Command_Credit:
		return p.credit(v.Credit)
	case *ledgerv1.Command_Transfer:
		return p.transfer(v.Transfer)
	case *ledgerv1.Command_Post:
		return p.post(v.Post)
	case *ledgerv1.Command_Hold:
		return p.hold(v.Hold)
	case *ledgerv1.Command_Commit:
		return p.commit(v.Commit)
	case *ledgerv1.Command_Rollback:
		return p.rollback(v.Rollback)
	case *ledgerv1.Command_Reverse:
		return p.reverse(v.Reverse)
	case *ledgerv1.Command_OpenAccount:
		return p.open(v.OpenAccount)
	case *ledgerv1.Command_UpdateAccount:
		return p.update(v.UpdateAccount)
	case *ledgerv1.Command_FreezeAccount:
		return p.freeze(v.FreezeAccount)
	case *ledgerv1.Command_CloseAccount:
		return p.close(v.CloseAccount)
	}
	p.fail("command", "say what to do: debit, credit, transfer, post, hold, commit, rollback, reverse …")
	return ledger.Command{}
}
