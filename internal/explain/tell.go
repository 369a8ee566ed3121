package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/payment"
	"github.com/meridian-ledger/meridian/internal/provider"
)

// Who acts next, besides those that package payment names.
const (
	nextProvider = "provider"
	nextClient   = "client"
	nextService  = "service"
)

// teller writes a story.
type teller struct {
	Rows
	*names
	*Story
	open []string
}

// Tell makes the story of rows. It is pure.
func Tell(rows Rows) *Story {
	t := &teller{Rows: rows, names: newNames(rows.Ledger, rows.Records), Story: &Story{Home: rows.Ledger.Home, Ledger: rows.Ledger.ID, Found: rows.Found}}
	slices.SortStableFunc(t.Records, func(a, b ledger.Record) int {
		return cmp.Or(a.Outcome.RecordedAt.Compare(b.Outcome.RecordedAt), cmp.Compare(number(a), number(b)), compareIDs(a.Outcome.Transaction, b.Outcome.Transaction))
	})
	switch {
	case len(t.Records) == 0:
		t.callbacksAlone()
	case t.Root.Outcome.Kind == ledger.KindStep:
		t.payment()
	default:
		t.transaction()
	}
	for i, r := range t.Records {
		if i == 0 {
			t.request(r)
		}
		t.record(r)
	}
	for _, c := range t.Callbacks {
		t.callback(c)
	}
	t.children()
	if len(t.Records) > 0 {
		t.stream()
		t.comparisons()
	}
	slices.SortStableFunc(t.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	t.Open = slices.Concat(t.open, t.Cut)
	return t.Story
}

// number is the line of a payment's history.
func number(r ledger.Record) int64 {
	if r.Outcome.Step == nil {
		return 0
	}
	return r.Outcome.Step.Number
}

func compareIDs(a, b id.Transaction) int { return slices.Compare(a[:], b[:]) }

func (t *teller) event(e Event) { t.Events = append(t.Events, e) }

// request tells what the first row was asked for. Metadata is the client's, and stays with whoever may read the transaction.
func (t *teller) request(r ledger.Record) {
	c := requestOf(r)
	notes := ""
	if n := len(c.Metadata); n > 0 {
		notes = counted(n, "pair") + ", which GetTransaction shows"
	}
	effective := ""
	if !r.Outcome.EffectiveAt.Equal(r.Outcome.RecordedAt) {
		effective = at(r.Outcome.EffectiveAt)
	}
	e := Event{At: r.Outcome.RecordedAt, Source: FromRequest, Outcome: Noted, What: "asked to " + asked(t.names, r), Details: told(
		Fact{"key", text(r.Outcome.Key)}, Fact{"reason", text(c.Reason)}, Fact{"reference", r.Reference}, Fact{"correlation", r.Correlation},
		Fact{"trace", r.TraceID}, Fact{"effective", effective}, Fact{"metadata", notes},
	)}
	if c.Kind == ledger.KindStep {
		e.What = "asked for a " + asked(t.names, r)
	}
	t.event(e)
}

// record tells what a row became: its entries, or why it was declined.
func (t *teller) record(r ledger.Record) {
	o := r.Outcome
	e := Event{At: o.RecordedAt, Source: FromLedger, Outcome: Accepted, What: asked(t.names, r)}
	if o.Step != nil {
		e.Source, e.What = FromPayment, t.transition(r)
	}
	if o.Decided == ledger.Declined {
		e.Outcome, e.Reason, e.Meaning = Refused, text(o.Reason), meaningOf(o.Reason, o.Detail)
		e.Details = facts(o.Detail)
	}
	if compareIDs(o.Transaction, t.Root.Outcome.Transaction) != 0 {
		e.Details = append(e.Details, told(Fact{"transaction", o.Transaction.String()}, Fact{"key", text(o.Key)}, Fact{"trace", r.TraceID})...)
	}
	e.Details = append(e.Details, t.cause(r)...)
	for _, line := range o.Entries {
		if line.Amount.IsZero() && o.Hold == nil {
			continue
		}
		code := t.asset(line.Ref)
		moved := fmt.Sprintf("%s %s, then %s", t.account(line.Ref), t.signed(line.Amount, code), t.money(line.Balance, code))
		if line.Amount.IsZero() {
			moved = fmt.Sprintf("%s pending: %s out, %s in", t.account(line.Ref), t.money(line.PendingDebits, code), t.money(line.PendingCredits, code))
		}
		e.Details = append(e.Details, Fact{"entry", moved})
	}
	t.event(e)
}

// transition says which way a step led its payment.
func (t *teller) transition(r ledger.Record) string {
	c, step := requestOf(r), r.Outcome.Step
	what := strings.TrimSpace(text(step.Trigger) + " " + t.amountOf(c))
	from := cmp.Or(text(step.From), "(new)")
	if r.Outcome.Decided == ledger.Declined {
		return fmt.Sprintf("%s: refused in %s", what, from)
	}
	if amount := t.moved(step); amount != "" && c.Amount == nil {
		what += " " + amount
	}
	if step.From == step.To {
		return fmt.Sprintf("%s: stays %s", what, step.To)
	}
	return fmt.Sprintf("%s: %s → %s", what, from, step.To)
}

// moved is what a step without an amount of its own took.
func (t *teller) moved(step *ledger.Transition) string {
	if len(step.Added) != 1 {
		return ""
	}
	for _, a := range step.Added {
		return t.money(a.Abs(), step.Asset.Code)
	}
	return ""
}

// cause says who or what made a step.
func (t *teller) cause(r ledger.Record) []Fact {
	c := requestOf(r)
	if c.Step == nil {
		return nil
	}
	review := ""
	if v := r.Outcome.Step; v != nil && v.Review != nil {
		review = fmt.Sprintf("%s: %s; next acts: %s", v.Review.Gate, v.Review.Cause, v.Review.Next)
	}
	return told(
		Fact{"actor", c.Step.Actor}, Fact{"provider", c.Step.Provider}, Fact{"provider reference", c.Step.ProviderReference},
		Fact{"evidence", c.Step.Evidence}, Fact{"review", review},
	)
}

// payment says where a payment stands.
func (t *teller) payment() {
	root, c := t.Root.Outcome, requestOf(t.Root)
	t.Subject, t.ID = "payment", root.Transaction.String()
	kind := ledger.PaymentKind("")
	if c.Step != nil {
		kind = c.Step.Payment
	}
	amount := t.amountOf(c)
	if amount != "" {
		amount = " of " + amount
	}
	if t.Payment == nil {
		t.Title = string(kind) + amount
		t.State, t.Terminal, t.Next = string(ledger.Declined), true, payment.NextNobody
		t.Standing = "it was never made: its first step was refused, " + meaningOf(root.Reason, root.Detail)
		return
	}
	p := *t.Payment
	t.Title = string(p.Kind) + amount
	if p.Player != "" {
		t.Title += " for player " + string(p.Player)
	}
	t.Facts = told(Fact{"provider", p.Provider}, Fact{"provider reference", p.ProviderReference}, Fact{"takes back", idText(p.Parent)})
	for _, name := range slices.Sorted(maps.Keys(p.Totals)) {
		t.Facts = append(t.Facts, Fact{name, t.money(p.Totals[name], p.Asset.Code)})
	}
	if t.Player != nil {
		t.Facts = append(t.Facts, Fact{"player", playerNow(*t.Player)})
	}
	for _, role := range slices.Sorted(maps.Keys(p.Holdings)) {
		t.Money = append(t.Money, t.stands(ledger.Ref{Ledger: p.Ledger, Account: p.Roles[role]}, string(role), p.Holdings[role], p.Asset.Code))
	}
	t.await(p)
}

// await says what the state of a payment waits for, by its table.
func (t *teller) await(p ledger.Payment) {
	table, known := payment.TableOf(p.Kind)
	t.State = string(p.State)
	for _, rule := range table.Rules {
		if slices.Contains(rule.From, p.State) && !slices.Contains(t.Awaits, string(rule.On)) {
			t.Awaits = append(t.Awaits, string(rule.On))
		}
	}
	switch {
	case !known:
		t.Standing, t.Next = "this binary does not know payments of this kind", payment.NextOperator
	case table.Terminal(p.State):
		t.Terminal, t.Next, t.Standing = true, payment.NextNobody, "it is over: no trigger leads out of "+t.State
	case p.Review != nil:
		t.Next = p.Review.Next
		t.Standing = fmt.Sprintf("it stands still: the gate %s was closed (%s), and %s has to act", p.Review.Gate, p.Review.Cause, p.Review.Next)
	default:
		t.Next = payment.NextOperator
		if p.Provider != "" && slices.ContainsFunc(t.Awaits, func(on string) bool { return providers[on] }) {
			t.Next = nextProvider
		}
		t.Standing = "it waits for " + either(t.Awaits)
	}
	if !t.Terminal {
		t.open = append(t.open, fmt.Sprintf("the payment is %s since %s: %s", p.State, at(p.ChangedAt), t.Standing))
	}
}

// providers are the triggers that a provider pulls.
var providers = map[string]bool{"authorize": true, "capture": true, "settle": true, "fail": true, "represent": true}

func either(all []string) string {
	if len(all) < 2 {
		return strings.Join(all, "")
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

func playerNow(p ledger.Player) string {
	now := fmt.Sprintf("KYC %s, AML %s, %s", cmp.Or(text(p.KYC), "unknown"), cmp.Or(text(p.AML), "clear"), cmp.Or(text(p.Status), "active"))
	if !p.ExcludedUntil.IsZero() {
		now += ", excluded until " + at(p.ExcludedUntil)
	}
	return now
}

func (t *teller) stands(ref ledger.Ref, role string, a money.Amount, code money.Code) Stands {
	return Stands{Account: t.account(ref), Role: role, Minor: a.String(), Asset: string(code), Text: t.signed(a, code)}
}

// transaction says where a transaction or a hold stands, with all that acted on it.
func (t *teller) transaction() {
	o := t.Root.Outcome
	t.Subject, t.ID, t.Title = "transaction", o.Transaction.String(), asked(t.names, t.Root)
	t.State, t.Terminal, t.Next = string(o.Decided), true, payment.NextNobody
	sums := map[ledger.Ref]money.Amount{}
	for _, r := range t.Records {
		for _, e := range r.Outcome.Entries {
			sums[e.Ref], _ = sums[e.Ref].Add(e.Amount)
		}
		if r.Outcome.Decided == ledger.Posted && r.Reverses == o.Transaction {
			t.State, t.Standing = "reversed", "it was undone, whole and for ever"
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(sums), compareRefs) {
		if !sums[ref].IsZero() {
			t.Money = append(t.Money, t.stands(ref, "", sums[ref], t.asset(ref)))
		}
	}
	switch {
	case o.Decided == ledger.Declined:
		t.Standing = "it was declined, for ever: " + meaningOf(o.Reason, o.Detail) + "; trying again means a new key"
	case t.Hold != nil:
		t.hold(*t.Hold)
	case t.Standing == "":
		t.Standing = "it is posted, for ever; a reversal would be another transaction"
		if !o.Kind.Reversible() {
			t.Standing = "it is done, for ever"
		}
	}
}

func compareRefs(a, b ledger.Ref) int {
	return cmp.Or(cmp.Compare(a.Ledger, b.Ledger), cmp.Compare(a.Account, b.Account))
}

func (t *teller) hold(h ledger.Hold) {
	t.Subject, t.State = "hold", string(h.Status)
	t.Facts = append(t.Facts, Fact{"held", t.money(h.Amount, h.Asset.Code)}, Fact{"committed", t.money(h.Captured, h.Asset.Code)}, Fact{"expires", at(h.ExpiresAt)})
	if h.Status != ledger.Held {
		t.Standing = "it is over: nothing of it is set aside any more"
		return
	}
	rest := h.Remaining()
	t.Terminal, t.Next, t.Awaits = false, nextClient, []string{"commit", "rollback"}
	t.Standing = fmt.Sprintf("%s of %s are set aside for %s until %s; it waits for commit or rollback, and the service releases it then",
		t.money(rest, h.Asset.Code), h.From, h.To, at(h.ExpiresAt))
	t.Money = append(t.Money, t.stands(ledger.Ref{Ledger: h.Ledger, Account: h.From}, "set aside", rest, h.Asset.Code))
	t.open = append(t.open, t.Standing)
}

// callbacksAlone tells of what a provider sent about a payment that nobody knows.
func (t *teller) callbacksAlone() {
	t.Subject, t.State, t.Next = "callbacks", "unknown", payment.NextOperator
	t.Standing = "a provider sent this, and no payment that it belongs to is stored"
	if len(t.Callbacks) == 0 {
		return
	}
	first := t.Callbacks[0]
	t.ID = strings.TrimPrefix(first.Order(), string(first.Ledger)+"/")
	t.Title = "callbacks of " + string(first.Provider)
}

// callback tells of one. Of its body it says whether it is kept.
func (t *teller) callback(c provider.Callback) {
	amount := ""
	if c.HasAmount {
		amount = " " + t.money(c.Amount, c.Currency)
	}
	e := Event{At: c.ReceivedAt, Source: FromProvider, What: fmt.Sprintf("%s sent %s: %s%s", c.Provider, c.ID, cmp.Or(c.Type, "an event without a type"), amount)}
	body := "not kept"
	switch c.Raw.Mode {
	case provider.RawRedacted:
		body = "kept, redacted"
	case provider.RawEncrypted:
		body = "kept, encrypted by key " + c.Raw.KeyID
	case provider.RawNone:
	}
	occurred := ""
	if !c.OccurredAt.IsZero() {
		occurred = at(c.OccurredAt)
	}
	e.Reason, e.Meaning = c.Cause, c.Detail
	name := string(c.Provider) + "/" + c.ID
	state := string(c.State) + " " + at(c.ChangedAt)
	switch c.State {
	case provider.Applied:
		if e.Outcome = Accepted; c.Trigger == provider.Ignored {
			e.Outcome, state = Noted, "the configuration says that this means nothing"
		}
	case provider.Dead:
		e.Outcome = Refused
		t.open = append(t.open, "callback "+name+" is a dead letter: an operator replays or discards it")
	case provider.Discarded:
		e.Outcome = Refused
	default:
		e.Outcome = Awaited
		state = string(c.State) + ", due " + at(c.DueAt)
		t.open = append(t.open, "callback "+name+" is "+string(c.State)+": it has had no effect so far")
	}
	attempts := ""
	if c.Attempts > 0 {
		attempts = strconv.Itoa(c.Attempts)
	}
	e.Details = told(Fact{"became", state}, Fact{"meant", c.Trigger}, Fact{"payment", c.Payment}, Fact{"provider reference", c.Reference},
		Fact{"occurred", occurred}, Fact{"failed attempts", attempts}, Fact{"body", body})
	t.event(e)
}

// children tells of payments that take this one back.
func (t *teller) children() {
	for _, c := range t.Children {
		t.event(Event{At: c.OpenedAt, Source: FromPayment, Outcome: Noted, What: fmt.Sprintf("%s %s takes it back, and is %s", c.Kind, c.ID, c.State)})
	}
}

// stream tells where the rows stand in the change stream, and who has not got them.
func (t *teller) stream() {
	placed := map[id.Home][]Placed{}
	in := map[id.Transaction]bool{}
	for _, p := range t.Streamed.Placed {
		placed[p.Home], in[p.Transaction] = append(placed[p.Home], p), true
	}
	for _, home := range slices.Sorted(maps.Keys(placed)) {
		all := placed[home]
		slices.SortFunc(all, func(a, b Placed) int { return cmp.Compare(a.Position, b.Position) })
		positions := make([]string, len(all))
		for i, p := range all {
			positions[i] = strconv.FormatInt(int64(p.Position), 10)
		}
		t.event(Event{
			At: all[len(all)-1].At, Source: FromStream, Outcome: Noted, What: fmt.Sprintf("the stream of %s tells of it: %s", home, counted(len(all), "event")),
			Details: append([]Fact{{"positions", strings.Join(positions, " ")}}, t.delivered(home, all)...),
		})
	}
	waiting := 0
	for _, r := range t.Records {
		if !in[r.Outcome.Transaction] {
			waiting++
		}
	}
	if waiting > 0 {
		t.open = append(t.open, fmt.Sprintf("of %s, %d not in the stream yet: the relay of %s brings what is missing", counted(len(t.Records), "transaction"), waiting, t.Rows.Ledger.Home))
	}
	deliveries := slices.SortedStableFunc(slices.Values(t.Streamed.Deliveries), func(a, b event.Delivery) int {
		return cmp.Or(a.ChangedAt.Compare(b.ChangedAt), cmp.Compare(a.Subscription, b.Subscription), cmp.Compare(a.Position, b.Position))
	})
	for _, d := range deliveries {
		t.delivery(d)
	}
}

// delivered lists the subscriptions that want the events, and how many each has.
func (t *teller) delivered(home id.Home, all []Placed) []Fact {
	var out []Fact
	for _, sub := range t.Streamed.Subscriptions {
		wanted, has := 0, 0
		for _, p := range all {
			if sub.Home != home || p.Position <= sub.Since || !t.wants(sub, p) {
				continue
			}
			if wanted++; p.Position <= sub.Position && !t.obstacle(sub, p) {
				has++
			}
		}
		if wanted == 0 {
			continue
		}
		value := fmt.Sprintf("%s (%s) has %d of %d", sub.ID, sub.State, has, wanted)
		out = append(out, Fact{"delivered", value})
	}
	return out
}

func (t *teller) wants(sub Subscribed, p Placed) bool {
	for _, r := range t.Records {
		if r.Outcome.Transaction == p.Transaction {
			return sub.Filter.Matches(event.Event{Home: p.Home, Position: p.Position, Record: r})
		}
	}
	return false
}

func (t *teller) obstacle(sub Subscribed, p Placed) bool {
	return slices.ContainsFunc(t.Streamed.Deliveries, func(d event.Delivery) bool {
		return d.Home == p.Home && d.Position == p.Position && d.Subscription == sub.ID
	})
}

func (t *teller) delivery(d event.Delivery) {
	e := Event{
		At: d.ChangedAt, Source: FromDelivery, Reason: d.Cause, Meaning: d.Detail, What: fmt.Sprintf("event %s/%d was not delivered to %s: %s", d.Home, d.Position, d.Subscription, d.State),
		Details: told(Fact{"attempts", strconv.Itoa(d.Attempts)}),
	}
	switch d.State {
	case event.Due:
		e.Outcome = Awaited
		e.Details = append(e.Details, Fact{"due", at(d.DueAt)})
		t.open = append(t.open, fmt.Sprintf("subscription %s has not got event %s/%d: it is tried again", d.Subscription, d.Home, d.Position))
	case event.Dead:
		e.Outcome = Refused
		t.open = append(t.open, fmt.Sprintf("subscription %s has not got event %s/%d: an operator retries or discards it", d.Subscription, d.Home, d.Position))
	default:
		e.Outcome = Noted
	}
	t.event(e)
}

func at(when time.Time) string { return when.UTC().Format("2006-01-02T15:04:05.000Z") }
