package recon

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Resolution is a proposal to close the difference of a result by an adjustment: a movement between an account of the provider and another one,
// of exactly that difference. It never changes; what was decided about it stands beside it.
type Resolution struct {
	ID         ResolutionID
	Run        RunID
	Result     int64
	Proposer   string
	Reason     string
	Attachment [32]byte   // SHA-256 of the document that supports it
	Account    id.Account // of the provider
	Counter    id.Account
	Asset      money.Code
	Difference money.Amount // signed, as in the result
	Side       ledger.Side  // of the entry on Account
	Reference  string       // the provider's
	Gap        string       // what tells this difference from any other, in every run that finds it
	Effective  time.Time    // of the adjustment: the date of what it closes, so that the next comparison finds it there
	ProposedAt time.Time
	Decisions  []Decision // the oldest first, refused attempts among them
}

// Decided is what somebody did about a proposal.
type Decided string

// What can be done. Whoever may not is refused, and that stays as well.
const (
	Approved Decided = "approved"
	Rejected Decided = "rejected"
	Refused  Decided = "refused"
)

// Decision is one of them.
type Decision struct {
	Actor       string
	Decided     Decided
	Why         string         // of a rejection or a refusal
	Key         id.Key         // of the adjustment, where it was approved
	Transaction id.Transaction // that it makes
	At          time.Time
}

// Proposal is what a person proposes.
type Proposal struct {
	Ledger     id.Ledger
	Run        RunID
	Result     int64
	Actor      string
	Reason     string
	Attachment [32]byte
	Account    id.Account
	Counter    id.Account
}

// ParseActor reads the name of a person or a program. Case and white space around it do not count, or somebody could be two.
func ParseActor(s string) (string, error) {
	folded := strings.ToLower(strings.TrimSpace(s))
	if _, err := id.ParseAccount(folded); err != nil {
		return "", errs.Invalid("actor", "write 1 to 128 letters, digits and _.:/@+~=-, starting with a letter or a digit")
	}
	return folded, nil
}

// Propose writes a proposal down. The same one twice is one.
func (s *Service) Propose(ctx context.Context, p Proposal) (Resolution, error) {
	l, err := s.store.Ledger(ctx, p.Ledger)
	if err != nil {
		return Resolution{}, err
	}
	if p.Actor, err = ParseActor(p.Actor); err != nil {
		return Resolution{}, err
	}
	switch {
	case strings.TrimSpace(p.Reason) == "":
		return Resolution{}, errs.Invalid("reason", "say why")
	case ledger.ValidateText("reason", p.Reason) != nil:
		return Resolution{}, ledger.ValidateText("reason", p.Reason)
	case p.Attachment == [32]byte{}:
		return Resolution{}, errs.Invalid("attachment_sha256", "give the SHA-256 of the document that supports it")
	case p.Counter == "" || p.Counter == p.Account:
		return Resolution{}, errs.Invalid("counter_account_id", "name the other account")
	}
	run, err := s.store.Run(ctx, l, p.Run)
	if err != nil {
		return Resolution{}, err
	}
	if !run.Done {
		return Resolution{}, errs.Invalid("run_id", "the run is not done")
	}
	if !run.Rules.Ours(p.Account) {
		return Resolution{}, errs.Invalid("account_id", "name an account of the provider, as the rules of the run have them")
	}
	found, err := s.store.Results(ctx, l, run, "", p.Result-1, 1)
	if err != nil {
		return Resolution{}, err
	}
	if len(found) == 0 || found[0].Number != p.Result {
		return Resolution{}, errs.ErrReconNotFound.With("run_id", p.Run).With("result", p.Result)
	}
	one := found[0]
	switch {
	case one.Difference.IsZero():
		return Resolution{}, errs.Invalid("result", "there is no difference to close")
	case one.Reason == ReasonAsset:
		return Resolution{}, errs.Invalid("result", "the assets differ; no movement of one of them closes that")
	}
	r := Resolution{
		Run: p.Run, Result: p.Result, Proposer: p.Actor, Reason: p.Reason, Attachment: p.Attachment, Account: p.Account, Counter: p.Counter,
		Asset: one.Asset, Difference: one.Difference, Reference: one.Reference, Gap: gap(run.Provider, one), Effective: one.date(), ProposedAt: s.now().UTC().Truncate(time.Microsecond),
	}
	if r.Side = run.Rules.positive; r.Difference.Sign() < 0 {
		r.Side = ledger.Debit + ledger.Credit - r.Side
	}
	r.ID = ResolutionID{derive("resolution", string(l.ID), r.Run.String(), strconv.FormatInt(r.Result, 10), r.Proposer, r.Reason,
		hex.EncodeToString(r.Attachment[:]), string(r.Account), string(r.Counter))}
	if err := s.store.Propose(ctx, l, r); err != nil {
		return Resolution{}, err
	}
	return s.store.Resolution(ctx, l, r.ID)
}

// gap names a difference by both of its sides.
func gap(provider string, r Result) string {
	line, book := "", ""
	if r.Line != nil {
		line = r.Line.Statement.String() + "." + strconv.FormatInt(r.Line.Number, 10)
	}
	if r.Book != nil {
		book = r.Book.Transaction.String()
	}
	return derive("gap", provider, r.Reference, string(r.Asset), line, book, r.Difference.String()).String()
}

// Reject closes a proposal without an adjustment. Whoever proposed it may not.
func (s *Service) Reject(ctx context.Context, key id.Ledger, resolution ResolutionID, actor, why string) (Resolution, error) {
	l, r, actor, err := s.attempt(ctx, key, resolution, actor)
	if err != nil {
		return Resolution{}, err
	}
	if err := ledger.ValidateText("reason", why); err != nil || strings.TrimSpace(why) == "" {
		return Resolution{}, errs.Invalid("reason", "say why, in at most 255 printable characters")
	}
	if err := s.mayDecide(ctx, l, r, actor); err != nil {
		return Resolution{}, err
	}
	if err := s.decide(ctx, l, r, Decision{Actor: actor, Decided: Rejected, Why: why}); err != nil {
		return Resolution{}, err
	}
	return s.store.Resolution(ctx, l, r.ID)
}

// Approve posts the adjustment of a proposal. Whoever proposed it may not: the attempt is written down, and the error is errs.ErrFourEyes. A second
// approval by the same person posts what the first could not, and otherwise changes nothing. Two adjustments of one difference are never posted,
// whichever runs found it: the error is errs.ErrDecided then. The outcome may be a decline, which leaves the difference open for another proposal.
func (s *Service) Approve(ctx context.Context, key id.Ledger, resolution ResolutionID, actor string) (Resolution, ledger.Outcome, error) {
	l, r, actor, err := s.attempt(ctx, key, resolution, actor)
	if err != nil {
		return Resolution{}, ledger.Outcome{}, err
	}
	d, decided := r.decision()
	if !decided || d.Decided != Approved || d.Actor != actor {
		if err := s.mayDecide(ctx, l, r, actor); err != nil {
			return Resolution{}, ledger.Outcome{}, err
		}
		if d, err = s.approve(ctx, l, r, actor); err != nil {
			return Resolution{}, ledger.Outcome{}, err
		}
	}
	outcome, err := ledger.Do(ctx, s.books, r.command(l, d))
	if err != nil {
		return Resolution{}, ledger.Outcome{}, err
	}
	r, err = s.store.Resolution(ctx, l, r.ID)
	return r, outcome, err
}

// approve finds the key of the adjustment, and writes the approval down.
func (s *Service) approve(ctx context.Context, l ledger.Ledger, r Resolution, actor string) (Decision, error) {
	for attempt := 0; ; attempt++ {
		d := Decision{Actor: actor, Decided: Approved, Key: id.Key("recon/" + r.Gap + "/" + strconv.Itoa(attempt))}
		d.Transaction = id.TransactionOf(l.ID, d.Key)
		record, err := s.books.Transaction(ctx, l.ID, d.Transaction)
		switch {
		case err == nil && record.Outcome.Decided == ledger.Declined:
			continue
		case err == nil:
			return d, s.refuse(ctx, l, r, actor, "the difference was adjusted by transaction "+d.Transaction.String(), errs.ErrDecided.With("transaction_id", d.Transaction))
		case !errors.Is(err, errs.ErrTransactionNotFound):
			return d, err
		}
		return d, s.decide(ctx, l, r, d)
	}
}

// command is the adjustment. Of two proposals for one difference the second has the same key and differs, and so the books refuse it.
func (r Resolution) command(l ledger.Ledger, d Decision) ledger.Command {
	c := ledger.Command{
		Kind: ledger.KindDebit, Ledger: l.ID, Key: d.Key, Account: r.Account, Counter: r.Counter, Reason: "adjustment", Reference: r.Reference,
		Amount: &ledger.Money{Minor: r.Difference.Abs(), Asset: r.Asset}, EffectiveAt: r.Effective,
		Metadata: ledger.Metadata{
			"recon_resolution": r.ID.String(), "recon_run": r.Run.String(), "recon_result": strconv.FormatInt(r.Result, 10), "proposer": r.Proposer,
			"approver": d.Actor, "reason": r.Reason, "attachment_sha256": hex.EncodeToString(r.Attachment[:]),
		},
	}
	if r.Side == ledger.Credit {
		c.Kind = ledger.KindCredit
	}
	return c
}

// decision returns what closed the proposal, if something did.
func (r Resolution) decision() (Decision, bool) {
	i := slices.IndexFunc(r.Decisions, func(d Decision) bool { return d.Decided != Refused })
	if i < 0 {
		return Decision{}, false
	}
	return r.Decisions[i], true
}

func (s *Service) attempt(ctx context.Context, key id.Ledger, resolution ResolutionID, actor string) (ledger.Ledger, Resolution, string, error) {
	actor, err := ParseActor(actor)
	if err != nil {
		return ledger.Ledger{}, Resolution{}, "", err
	}
	l, err := s.store.Ledger(ctx, key)
	if err != nil {
		return ledger.Ledger{}, Resolution{}, "", err
	}
	r, err := s.store.Resolution(ctx, l, resolution)
	return l, r, actor, err
}

// mayDecide refuses whoever proposed, and whatever is decided.
func (s *Service) mayDecide(ctx context.Context, l ledger.Ledger, r Resolution, actor string) error {
	if !id.OtherActor(r.Proposer, actor) {
		return s.refuse(ctx, l, r, actor, "proposer and approver are the same", errs.ErrFourEyes.With("actor", actor))
	}
	if d, decided := r.decision(); decided {
		return s.refuse(ctx, l, r, actor, fmt.Sprintf("%s by %s before", d.Decided, d.Actor), errs.ErrDecided.With("by", d.Actor))
	}
	return nil
}

// refuse writes the attempt down and returns why it was none.
func (s *Service) refuse(ctx context.Context, l ledger.Ledger, r Resolution, actor, why string, err error) error {
	if stored := s.decide(ctx, l, r, Decision{Actor: actor, Decided: Refused, Why: why}); stored != nil {
		return stored
	}
	s.metrics.refused.WithLabelValues(string(l.ID)).Inc()
	return err
}

func (s *Service) decide(ctx context.Context, l ledger.Ledger, r Resolution, d Decision) error {
	d.At = s.now().UTC().Truncate(time.Microsecond)
	return s.store.Decide(ctx, l, r, d)
}
