package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// story is a test in the words of the product: accounts are opened, money moves, a command is posted or declined, an account has so much.
// Accounts are in EUR/2, credit-normal and unlimited, commands have fresh keys and stand in one ledger in eu, unless something else is
// said. A story ends at the first sentence that is not true.
type story struct {
	t       *testing.T
	ctx     context.Context //nolint:containedctx // of the whole story
	service ledger.Service
	advance func(time.Duration)
	sweep   func(context.Context) error
	name    string
	ledger  id.Ledger   // the first one
	ledgers []id.Ledger // all of them
	keys    int
	beyond  bool // the sums of whole ledgers need more than 38 digits, so that no trial balance can tell them
}

func begin(t *testing.T, subject Subject, name string) *story {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return &story{t: t, ctx: ctx, service: subject.Service, advance: subject.Advance, sweep: subject.Sweep, name: name}
}

// books opens one more ledger.
func (s *story) books(home id.Home, assets ...string) id.Ledger {
	s.t.Helper()
	l, err := s.service.CreateLedger(s.ctx, s.newLedger(home, assets...))
	s.must(err, "create a ledger")
	s.ledgers = append(s.ledgers, l.ID)
	return l.ID
}

// newLedger names one more ledger.
func (s *story) newLedger(home id.Home, assets ...string) ledger.Ledger {
	s.t.Helper()
	s.keys++
	name := fmt.Sprintf("%.56s-%d", s.name, s.keys)
	l := ledger.Ledger{ID: id.Ledger(name), Home: home}
	for _, text := range assets {
		asset, err := money.ParseAsset(text)
		s.must(err, "read an asset")
		l.Assets = append(l.Assets, asset)
	}
	return l
}

func (s *story) must(err error, doing string) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", doing, err)
	}
}

// tick lets a moment pass, so that what is done next is recorded later. Real time passes by itself.
func (s *story) tick() {
	if s.advance != nil {
		s.advance(time.Second)
	}
}

// edit says what is special about a command.
type edit func(*ledger.Command)

func (s *story) command(c ledger.Command, edits []edit) ledger.Command {
	s.keys++
	c.Ledger, c.Key = s.ledger, id.Key(fmt.Sprintf("key-%d", s.keys))
	for _, e := range edits {
		e(&c)
	}
	return c
}

func (s *story) debit(account id.Account, n int64, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindDebit, Account: account, Amount: eur(n)}, edits)
}

func (s *story) credit(account id.Account, n int64, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindCredit, Account: account, Amount: eur(n)}, edits)
}

func (s *story) transfer(from, to id.Account, n int64, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindTransfer, Account: from, Counter: to, Amount: eur(n)}, edits)
}

func (s *story) hold(account id.Account, n int64, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindHold, Account: account, Amount: eur(n)}, edits)
}

func (s *story) post(legs ...ledger.Leg) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindPost, Legs: legs}, nil)
}

// commit of nothing in particular commits all that remains.
func (s *story) commit(hold ledger.Outcome, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindCommit, Target: hold.Transaction}, edits)
}

func (s *story) rollback(hold ledger.Outcome) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindRollback, Target: hold.Transaction}, nil)
}

func (s *story) reverse(what ledger.Outcome, edits ...edit) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindReverse, Target: what.Transaction}, edits)
}

func (s *story) openAs(account id.Account, terms ledger.Terms, edits ...edit) ledger.Command {
	if terms.Asset == "" {
		terms.Asset = "EUR"
	}
	if terms.Normal == 0 {
		terms.Normal = ledger.Credit
	}
	return s.command(ledger.Command{Kind: ledger.KindOpen, Account: account, Terms: &terms}, edits)
}

func (s *story) update(account id.Account, change ledger.Change) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindUpdate, Account: account, Change: &change}, nil)
}

// limitAt is a limit that a change sets.
func limitAt(n int64) *ledger.Limit {
	limit := atLimit(n)
	return &limit
}

func (s *story) freeze(account id.Account, status ledger.Status) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindFreeze, Account: account, Status: status}, nil)
}

func (s *story) closing(account id.Account) ledger.Command {
	return s.command(ledger.Command{Kind: ledger.KindClose, Account: account}, nil)
}

func in(l id.Ledger) edit { return func(c *ledger.Command) { c.Ledger = l } }

func to(account id.Account) edit { return func(c *ledger.Command) { c.Counter = account } }

func of(m *ledger.Money) edit { return func(c *ledger.Command) { c.Amount = m } }

func because(r id.Reason) edit { return func(c *ledger.Command) { c.Reason = r } }

func under(key id.Key) edit { return func(c *ledger.Command) { c.Key = key } }

func lasting(d time.Duration) edit { return func(c *ledger.Command) { c.ExpiresIn = d } }

func referring(reference string) edit { return func(c *ledger.Command) { c.Reference = reference } }

func keepingRest(c *ledger.Command) { c.KeepRest = true }

func eur(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "EUR"} }

func usd(n int64) *ledger.Money { return &ledger.Money{Minor: money.FromInt64(n), Asset: "USD"} }

func debited(account id.Account, m *ledger.Money) ledger.Leg {
	return ledger.Leg{Side: ledger.Debit, Account: account, Amount: *m}
}

func credited(account id.Account, m *ledger.Money) ledger.Leg {
	return ledger.Leg{Side: ledger.Credit, Account: account, Amount: *m}
}

func at(l id.Ledger, leg ledger.Leg) ledger.Leg {
	leg.Ledger = l
	return leg
}

// result executes one command.
func (s *story) result(c ledger.Command) (ledger.Outcome, error) {
	s.t.Helper()
	s.tick()
	o, err := ledger.Do(s.ctx, s.service, c)
	if e := (*errs.Error)(nil); err != nil && !errors.As(err, &e) {
		s.t.Fatalf("%s: %v is no *errs.Error", c.Kind, err)
	}
	return o, err
}

// posted executes a command that the books post.
func (s *story) posted(c ledger.Command) ledger.Outcome {
	s.t.Helper()
	o, err := s.result(c)
	s.must(err, fmt.Sprintf("%s %s", c.Kind, c.Key))
	if o.Decided != ledger.Posted {
		s.t.Fatalf("%s %s: declined, %s %v", c.Kind, c.Key, o.Reason, o.Detail)
	}
	if o.Transaction != c.ID() || o.Ledger != c.Ledger || o.Key != c.Key || o.Kind != c.Kind || o.RecordedAt.IsZero() || o.Reason != "" {
		s.t.Fatalf("%s %s: an outcome of something else: %s", c.Kind, c.Key, show(o))
	}
	return o
}

// declined executes a command that the books decline; facts are pairs that must be among the details.
func (s *story) declined(reason errs.Reason, c ledger.Command, facts ...string) ledger.Outcome {
	s.t.Helper()
	o, err := s.result(c)
	s.must(err, fmt.Sprintf("%s %s", c.Kind, c.Key))
	s.isDecline(o, reason, facts...)
	return o
}

func (s *story) isDecline(o ledger.Outcome, reason errs.Reason, facts ...string) {
	s.t.Helper()
	if o.Decided != ledger.Declined || o.Reason != reason {
		s.t.Fatalf("%s %s: %s %s %v, wanted a decline for %s", o.Kind, o.Key, o.Decided, o.Reason, o.Detail, reason)
	}
	if len(o.Entries) > 0 || o.Hold != nil || o.Account != nil {
		s.t.Fatalf("%s %s: a decline changes nothing, and this one says %s", o.Kind, o.Key, show(o))
	}
	for i := 0; i+1 < len(facts); i += 2 {
		if o.Detail[facts[i]] != facts[i+1] {
			s.t.Fatalf("%s %s: %s with %s=%q, wanted %q, in %v", o.Kind, o.Key, reason, facts[i], o.Detail[facts[i]], facts[i+1], o.Detail)
		}
	}
}

// refused executes a command that has no outcome, nothing is stored, and returns the facts that go with the error.
func (s *story) refused(want error, c ledger.Command) facts {
	s.t.Helper()
	o, err := s.result(c)
	if !errors.Is(err, want) {
		s.t.Fatalf("%s %s: %s %v, wanted the error %v", c.Kind, c.Key, show(o), err, want)
	}
	return errs.Of(err).Fields
}
