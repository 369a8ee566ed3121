package explain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Service answers questions from tables. It is safe for concurrent use.
type Service struct{ store Store }

// NewService returns one over tables.
func NewService(s Store) *Service { return &Service{s} }

// subject is what a story is about: a journal row that begins it, or callbacks that belong to none.
type subject struct {
	ledger ledger.Ledger
	root   ledger.Record // zero where there are callbacks alone
	order  string
	how    []How
	at     provider.Callback // the newest of those callbacks
}

func (s subject) name() string {
	if s.order != "" {
		return string(s.ledger.ID) + " " + s.order
	}
	return string(s.ledger.ID) + " " + s.root.Outcome.Transaction.String()
}

// Explain answers. A text that leads nowhere is errs.ErrTransactionNotFound, whose message says what was looked for and where. Every error is an
// *errs.Error.
func (s *Service) Explain(ctx context.Context, q Query) (Answer, error) {
	if q.Text == "" || len(q.Text) > maxText || ledger.ValidateText("text", q.Text) != nil {
		return Answer{}, errs.Invalid("text", fmt.Sprintf("name what to explain, in 1 to %d bytes of text", maxText))
	}
	ledgers, all, err := s.ledgers(ctx, q.Ledger)
	if err != nil {
		return Answer{}, err
	}
	found, err := s.find(ctx, ledgers, q.Text)
	if err != nil {
		return Answer{}, err
	}
	switch len(found) {
	case 0:
		return Answer{}, nothing(q, len(ledgers), all)
	case 1:
		story, err := s.story(ctx, found[0])
		return Answer{Asked: q.Text, Story: story}, err
	}
	a := Answer{Asked: q.Text}
	for _, one := range found {
		a.Matches = append(a.Matches, one.match())
	}
	slices.SortStableFunc(a.Matches, func(a, b Match) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.ID, b.ID))
	})
	return a, nil
}

func nothing(q Query, n int, all bool) error {
	where := "ledger " + string(q.Ledger)
	if q.Ledger == "" {
		where = counted(n, "ledger")
		if !all {
			where = fmt.Sprintf("the first %d ledgers (name one to look elsewhere)", n)
		}
	}
	return errs.New(errs.NotFound, errs.ReasonTransactionNotFound, "nothing is stored under this text in "+where+
		": it was looked for as the id of a transaction or payment, an idempotency key, a reference, a provider's reference, a trace id (the search model has those, "+
		"moments after the fact) and, as PROVIDER/ID, among the callbacks of providers").With("text", q.Text)
}

func (s *Service) ledgers(ctx context.Context, named id.Ledger) (found []ledger.Ledger, all bool, err error) {
	if named != "" {
		l, err := s.store.Ledger(ctx, named)
		return []ledger.Ledger{l}, true, err
	}
	found, err = s.store.Ledgers(ctx, "", maxLedgers+1)
	all = len(found) <= maxLedgers
	return found[:min(len(found), maxLedgers)], all, err
}

// finding collects subjects, each once.
type finding struct {
	*Service
	byName  map[id.Ledger]ledger.Ledger
	found   []subject
	at      map[string]int
	records map[Key]ledger.Record // that were read
}

// find resolves a text. Several rows of one story are one subject.
func (s *Service) find(ctx context.Context, ledgers []ledger.Ledger, text string) ([]subject, error) {
	f := &finding{Service: s, byName: map[id.Ledger]ledger.Ledger{}, at: map[string]int{}, records: map[Key]ledger.Record{}}
	var keys []Key
	how := map[Key]How{}
	for _, l := range ledgers {
		f.byName[l.ID] = l
		if t, err := id.ParseTransaction(text); err == nil {
			k := Key{l.Home, l.ID, t}
			keys, how[k] = append(keys, k), ByID
		}
		if key, err := id.ParseKey(text); err == nil {
			k := Key{l.Home, l.ID, id.TransactionOf(l.ID, key)}
			keys, how[k] = append(keys, k), ByKey
		}
	}
	rows, err := s.store.Find(ctx, ledgers, text, maxMatches)
	if err != nil {
		return nil, err
	}
	ways := map[Key][]How{}
	for _, row := range rows {
		k := Key{f.byName[row.Ledger].Home, row.Ledger, row.Transaction}
		keys, ways[k] = append(keys, k), append(ways[k], row.How)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), slices.Compare(a.Transaction[:], b.Transaction[:]))
	})
	records, err := s.store.Records(ctx, slices.Compact(keys))
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		f.records[keyOf(r)] = r
	}
	for _, r := range records {
		by := ways[keyOf(r)]
		if way, known := how[keyOf(r)]; known {
			by = append([]How{way}, by...)
		}
		if err := f.add(ctx, r, by); err != nil {
			return nil, err
		}
	}
	return f.found, f.callbacks(ctx, ledgers, text)
}

func keyOf(r ledger.Record) Key { return Key{r.Home, r.Outcome.Ledger, r.Outcome.Transaction} }

// add takes the subject of a row in.
func (f *finding) add(ctx context.Context, r ledger.Record, how []How) error {
	root, err := f.root(ctx, r)
	if err != nil {
		return err
	}
	f.put(subject{ledger: f.byName[root.Outcome.Ledger], root: root, how: how})
	return nil
}

func (f *finding) put(s subject) {
	at, known := f.at[s.name()]
	if !known {
		f.at[s.name()], f.found = len(f.found), append(f.found, s)
		return
	}
	for _, how := range s.how {
		if !slices.Contains(f.found[at].how, how) {
			f.found[at].how = append(f.found[at].how, how)
		}
	}
}

// root follows what a row acted on, to the row that begins the story: the first step of a payment, the hold of a commit.
func (f *finding) root(ctx context.Context, r ledger.Record) (ledger.Record, error) {
	for range 4 { // a reversal, of a commit, of a hold
		if r.Target.IsZero() {
			return r, nil
		}
		k := Key{r.Home, r.Outcome.Ledger, r.Target}
		target, known := f.records[k]
		if !known {
			found, err := f.store.Records(ctx, []Key{k})
			if err != nil || len(found) == 0 { // refused, because there is none
				return r, err
			}
			target = found[0]
			f.records[k] = target
		}
		r = target
	}
	return r, nil
}

// callbacks finds what a provider sent, by the payment or reference that it is about or by its own id, and the payment that it belongs to.
func (f *finding) callbacks(ctx context.Context, ledgers []ledger.Ledger, text string) error {
	orders := make([]string, len(ledgers))
	for i, l := range ledgers {
		orders[i] = string(l.ID) + "/" + text
	}
	all, err := f.store.CallbacksOf(ctx, ledgers, orders, maxMatches)
	if err != nil {
		return err
	}
	name, sent, parted := strings.Cut(text, "/")
	if account, err := provider.ParseName(name); parted && err == nil && sent != "" {
		names, events := make([]provider.Name, len(ledgers)), make([]string, len(ledgers))
		for i := range ledgers {
			names[i], events[i] = account, sent
		}
		more, err := f.store.CallbacksAt(ctx, ledgers, names, events)
		if err != nil {
			return err
		}
		all = append(all, more...)
	}
	slices.SortFunc(all, compareCallbacks)
	for _, c := range all {
		l := f.byName[c.Ledger]
		belongs, err := f.belongs(ctx, l, c)
		if err != nil {
			return err
		}
		if len(belongs) == 0 {
			f.put(subject{ledger: l, order: c.Order(), how: []How{ByCallback}, at: c})
		}
		for _, r := range belongs {
			if err := f.add(ctx, r, []How{ByCallback}); err != nil {
				return err
			}
		}
	}
	return nil
}

// belongs returns the rows that a callback is about: the step that it became, or the payment that it names.
func (f *finding) belongs(ctx context.Context, l ledger.Ledger, c provider.Callback) ([]ledger.Record, error) {
	keys := []Key{{l.Home, l.ID, id.TransactionOf(l.ID, c.Key())}}
	if payment, err := id.ParseTransaction(c.Payment); err == nil {
		keys = append(keys, Key{l.Home, l.ID, payment})
	}
	found, err := f.store.Records(ctx, keys)
	if err != nil || len(found) > 0 || c.Reference == "" {
		return found, err
	}
	rows, err := f.store.Find(ctx, []ledger.Ledger{l}, c.Reference, maxMatches)
	if err != nil {
		return nil, err
	}
	keys = nil
	for _, row := range rows {
		if row.How != ByProviderReference {
			continue
		}
		p, err := f.store.Payment(ctx, l.ID, row.Transaction)
		if err != nil {
			return nil, err
		}
		if p.Provider == string(c.Provider) {
			keys = append(keys, Key{l.Home, l.ID, row.Transaction})
		}
	}
	return f.store.Records(ctx, keys)
}

func compareCallbacks(a, b provider.Callback) int {
	return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.ID, b.ID))
}

// Rows are all that is stored about a subject.
type Rows struct {
	Ledger    ledger.Ledger
	Found     []How
	Root      ledger.Record   // zero where there are callbacks alone
	Records   []ledger.Record // Root among them
	Payment   *ledger.Payment
	Player    *ledger.Player
	Steps     []ledger.PaymentStep
	Children  []ledger.Payment
	Hold      *ledger.Hold
	Callbacks []provider.Callback
	Compared  []Compared
	Streamed  Streamed
	Cut       []string // what there is more of than was read
}

// story reads all that belongs to a subject, and tells it.
func (s *Service) story(ctx context.Context, of subject) (*Story, error) {
	rows := Rows{Ledger: of.ledger, Found: of.how, Root: of.root}
	var err error
	switch {
	case of.order != "":
		rows.Callbacks, err = s.store.CallbacksOf(ctx, []ledger.Ledger{of.ledger}, []string{of.order}, maxEvidence)
	case of.root.Outcome.Kind == ledger.KindStep:
		err = s.payment(ctx, &rows)
	default:
		err = s.transaction(ctx, &rows)
	}
	if err == nil && of.order == "" {
		err = s.evidence(ctx, &rows)
	}
	if err != nil {
		return nil, err
	}
	return Tell(rows), nil
}

func (s *Service) payment(ctx context.Context, rows *Rows) error {
	root := rows.Root
	rows.Records = []ledger.Record{root}
	p, err := s.store.Payment(ctx, root.Outcome.Ledger, root.Outcome.Transaction)
	if errors.Is(err, errs.ErrPaymentNotFound) { // its first step was refused
		return nil
	}
	if err != nil {
		return err
	}
	rows.Payment = &p
	if rows.Steps, err = s.store.PaymentSteps(ctx, p.Ledger, p.ID, 0, maxRecords); err != nil {
		return err
	}
	if int64(len(rows.Steps)) < p.Attempts {
		rows.Cut = append(rows.Cut, fmt.Sprintf("the first %d of %d steps are told", len(rows.Steps), p.Attempts))
	}
	keys := make([]Key, len(rows.Steps))
	for i, step := range rows.Steps {
		keys[i] = Key{step.Home, step.Ledger, step.Transaction}
	}
	if rows.Records, err = s.store.Records(ctx, keys); err != nil {
		return err
	}
	if p.Player != "" {
		player, err := s.store.Player(ctx, p.Ledger, p.Player)
		if err == nil {
			rows.Player = &player
		} else if !errors.Is(err, errs.ErrPlayerNotFound) {
			return err
		}
	}
	rows.Children, err = s.store.Children(ctx, p, maxSiblings)
	return err
}

func (s *Service) transaction(ctx context.Context, rows *Rows) error {
	root := keyOf(rows.Root)
	rows.Records = []ledger.Record{rows.Root}
	if rows.Root.Outcome.Kind == ledger.KindHold {
		h, found, err := s.store.Hold(ctx, root)
		if err != nil {
			return err
		}
		if found {
			rows.Hold = &h
		}
	}
	for on := []Key{root}; len(on) > 0; { // what acted on it, and what acted on that
		acted, err := s.store.Acted(ctx, on, maxRecords)
		if err != nil {
			return err
		}
		on = nil
		for _, r := range acted {
			if len(rows.Records) == maxRecords {
				rows.Cut = append(rows.Cut, fmt.Sprintf("only %d of the transactions that acted on it are told", maxRecords-1))
				return nil
			}
			rows.Records = append(rows.Records, r)
			if r.Outcome.Decided == ledger.Posted && r.Outcome.Kind == ledger.KindCommit {
				on = append(on, keyOf(r))
			}
		}
	}
	return nil
}

// evidence reads what others say of the rows: providers, statements, the stream.
func (s *Service) evidence(ctx context.Context, rows *Rows) error {
	ids := make([]id.Transaction, len(rows.Records))
	var references, orders []string
	for i, r := range rows.Records {
		ids[i] = r.Outcome.Transaction
		references = append(references, r.Reference)
		if t := r.Outcome.Step; t != nil {
			orders, references = append(orders, t.ProviderReference), append(references, t.ProviderReference)
		}
	}
	if err := s.sent(ctx, rows, orders); err != nil {
		return err
	}
	var err error
	if rows.Compared, err = s.store.Compared(ctx, rows.Ledger, ids, distinct(references), maxEvidence); err != nil {
		return err
	}
	if len(rows.Compared) >= maxEvidence {
		rows.Cut = append(rows.Cut, fmt.Sprintf("only %d results of comparisons are told", len(rows.Compared)))
	}
	rows.Streamed, err = s.store.Streamed(ctx, rows.Ledger.ID, ids)
	return err
}

// sent reads the callbacks of the rows: those that became one of them, those that name the payment, and those that name a reference of it.
func (s *Service) sent(ctx context.Context, rows *Rows, references []string) error {
	var names []provider.Name
	var events []string
	for _, r := range rows.Records {
		rest, is := strings.CutPrefix(string(r.Outcome.Key), "provider/")
		if name, event, parted := strings.Cut(rest, "/"); is && parted {
			names, events = append(names, provider.Name(name)), append(events, event)
		}
	}
	var err error
	if rows.Callbacks, err = s.store.CallbacksAt(ctx, slices.Repeat([]ledger.Ledger{rows.Ledger}, len(names)), names, events); err != nil {
		return err
	}
	orders := []string{string(rows.Ledger.ID) + "/" + rows.Root.Outcome.Transaction.String()}
	if p := rows.Payment; p != nil && p.Provider != "" {
		for _, reference := range distinct(append(references, p.ProviderReference)) {
			orders = append(orders, string(rows.Ledger.ID)+"/"+p.Provider+"/"+reference)
		}
	}
	more, err := s.store.CallbacksOf(ctx, slices.Repeat([]ledger.Ledger{rows.Ledger}, len(orders)), orders, maxEvidence)
	if err != nil {
		return err
	}
	if len(more) == maxEvidence {
		rows.Cut = append(rows.Cut, fmt.Sprintf("only %d callbacks are told", maxEvidence))
	}
	rows.Callbacks = append(rows.Callbacks, more...)
	slices.SortFunc(rows.Callbacks, compareCallbacks)
	rows.Callbacks = slices.CompactFunc(rows.Callbacks, func(a, b provider.Callback) bool { return compareCallbacks(a, b) == 0 })
	return nil
}

// distinct sorts texts, and leaves repeats and empty ones out.
func distinct(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

// match is a line about a subject.
func (s subject) match() Match {
	if s.order != "" {
		what := fmt.Sprintf("callbacks of %s about no payment that is known, the first one %s", s.at.Provider, s.at.State)
		return Match{Ledger: s.ledger.ID, ID: strings.TrimPrefix(s.order, string(s.ledger.ID)+"/"), How: ByCallback, What: what, At: s.at.ReceivedAt}
	}
	o := s.root.Outcome
	what := asked(newNames(s.ledger, []ledger.Record{s.root}), s.root) + ", " + string(o.Decided)
	if o.Reason != "" {
		what += " " + string(o.Reason)
	}
	m := Match{Ledger: s.ledger.ID, ID: o.Transaction.String(), What: what, At: o.RecordedAt}
	if len(s.how) > 0 {
		m.How = s.how[0]
	}
	return m
}

// requestOf reads what a row was asked for. What can not be read is shown as nothing: a story is told all the same.
func requestOf(r ledger.Record) ledger.Command {
	var c ledger.Command
	if json.Unmarshal(r.Request, &c) != nil {
		return ledger.Command{Kind: r.Outcome.Kind, Ledger: r.Outcome.Ledger, Key: r.Outcome.Key, Target: r.Target}
	}
	return c
}
