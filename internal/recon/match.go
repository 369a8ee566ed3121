package recon

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Verdict is what became of a line, of a movement here, or of both.
type Verdict string

// The verdicts.
const (
	Matched       Verdict = "matched"
	AmountDiffers Verdict = "amount_differs"
	MissingHere   Verdict = "missing_here"  // a line without a movement
	MissingThere  Verdict = "missing_there" // a movement without a line
	Duplicate     Verdict = "duplicate"     // a line, or a movement, that is there once more than on the other side
	Late          Verdict = "late"          // the same amount, outside of the window
)

// Verdicts are all of them.
var Verdicts = []Verdict{Matched, AmountDiffers, MissingHere, MissingThere, Duplicate, Late}

// Reason says why a verdict was given.
type Reason string

// The reasons.
const (
	ReasonExact         Reason = "exact"          // matched
	ReasonTolerated     Reason = "tolerated"      // matched: the difference is within the tolerance
	ReasonSum           Reason = "sum"            // matched: several on one side add up to the other
	ReasonAmount        Reason = "amount"         // amount_differs
	ReasonAsset         Reason = "asset"          // amount_differs: not even the assets are the same
	ReasonNoReference   Reason = "no_reference"   // missing_here: the line names none
	ReasonNotInBooks    Reason = "not_in_books"   // missing_here
	ReasonDeclinedHere  Reason = "declined_here"  // missing_here: the evidence names the transaction
	ReasonReversedHere  Reason = "reversed_here"  // missing_here: the evidence names the transaction
	ReasonTooMany       Reason = "too_many"       // missing on either side: more than MaxGroup rows share the reference
	ReasonNotInLines    Reason = "not_in_lines"   // missing_there
	ReasonMayStillCome  Reason = "may_still_come" // missing_there: the window goes beyond the end of the period
	ReasonRepeatedLine  Reason = "repeated_line"  // duplicate: the provider's id of the line was there before
	ReasonSecondLine    Reason = "second_line"    // duplicate: a line like it was matched
	ReasonBookedTwice   Reason = "booked_twice"   // duplicate: a movement like it was matched
	ReasonOutsideWindow Reason = "outside_window" // late
)

// MaxGroup is how many lines, and how many movements, with one reference are held against each other.
const MaxGroup = 1000

// Result is one row of what a comparison found.
type Result struct {
	Number     int64 // from 1
	Match      int64 // number of the first result of what belongs together
	Verdict    Verdict
	Reason     Reason
	Way        Way // of a match
	Reference  string
	Asset      money.Code
	Line       *LineSide
	Book       *BookSide
	Difference money.Amount // what the line, or all lines together, say beyond what the books do
	Evidence   json.RawMessage
}

// LineSide is what a result says of a line.
type LineSide struct {
	Statement StatementID
	Number    int64
	Amount    money.Amount
	Date      time.Time
}

// BookSide is what a result says of a movement here.
type BookSide struct {
	Transaction id.Transaction
	Payment     id.Transaction // unset: it belongs to none
	Amount      money.Amount
	Date        time.Time
}

// Open tells whether somebody has to look at the result.
func (r Result) Open() bool { return r.Verdict != Matched && r.Verdict != Late }

// Match holds two streams against each other, both in the order of the bytes of their references, and yields results in that order. It is pure:
// the same streams and rules give the same results. An error of a stream, and one that is out of order, ends it.
func Match(lines iter.Seq2[Line, error], books iter.Seq2[Book, error], s Snapshot) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		l, b := newSide(lines, func(l Line) string { return l.Reference }), newSide(books, func(b Book) string { return b.Reference })
		defer l.stop()
		defer b.stop()
		m := matcher{Snapshot: s, yield: yield}
		for m.more(l, b) {
		}
		if err := cmp.Or(l.err, b.err); err != nil && !m.stopped {
			yield(Result{}, err)
		}
	}
}

// side is one stream with the row in hand.
type side[T any] struct {
	next func() (T, error, bool)
	stop func()
	key  func(T) string
	row  T
	ok   bool
	err  error
}

func newSide[T any](seq iter.Seq2[T, error], key func(T) string) *side[T] {
	s := &side[T]{key: key}
	s.next, s.stop = iter.Pull2(seq)
	s.advance()
	return s
}

func (s *side[T]) advance() {
	before, had := "", s.ok
	if had {
		before = s.key(s.row)
	}
	s.row, s.err, s.ok = s.next()
	if s.err != nil {
		s.ok = false
		return
	}
	if s.ok && had && s.key(s.row) < before {
		s.ok, s.err = false, fmt.Errorf("a stream is out of order: %q comes after %q", clip(s.key(s.row)), clip(before))
	}
}

// take returns the rows of a reference, up to MaxGroup; each of the others goes to beyond.
func (s *side[T]) take(reference string, beyond func(T)) []T {
	var rows []T
	for s.ok && s.key(s.row) == reference {
		if len(rows) < MaxGroup && reference != "" {
			rows = append(rows, s.row)
		} else {
			beyond(s.row)
		}
		s.advance()
	}
	return rows
}

type matcher struct {
	Snapshot
	yield   func(Result, error) bool
	stopped bool
	number  int64
}

// more judges the next reference.
func (m *matcher) more(l *side[Line], b *side[Book]) bool {
	if l.err != nil || b.err != nil || m.stopped || !l.ok && !b.ok {
		return false
	}
	reference := ""
	switch {
	case !b.ok || l.ok && l.row.Reference < b.row.Reference:
		reference = l.row.Reference
	default:
		reference = b.row.Reference
	}
	g := &group{matcher: m, reference: reference}
	g.lines = l.take(reference, func(line Line) {
		reason := ReasonTooMany
		if reference == "" {
			reason = ReasonNoReference
		}
		m.put(g.missingHere(line, reason, nil))
	})
	books := b.take(reference, func(book Book) {
		if book.State == Posted && m.inPeriod(book.Date) {
			m.put(g.missingThere(book, ReasonTooMany))
		}
	})
	if l.err != nil || b.err != nil { // the group may not be whole
		return false
	}
	for _, book := range books {
		if book.State == Posted {
			g.books = append(g.books, book)
		} else {
			g.failed = append(g.failed, book)
		}
	}
	g.judge()
	return !m.stopped
}

// put numbers results that belong together and hands them over.
func (m *matcher) put(results ...Result) {
	first := m.number + 1
	for _, r := range results {
		if m.stopped {
			return
		}
		m.number++
		r.Number, r.Match = m.number, first
		m.stopped = !m.yield(r, nil)
	}
}

func (m *matcher) inPeriod(t time.Time) bool { return !t.Before(m.From) && t.Before(m.To) }

// group is what shares a reference. What is judged leaves lines and books.
type group struct {
	*matcher
	reference string
	lines     []Line
	books     []Book
	failed    []Book // declined and reversed: never matched, but evidence
	met       []pairing
}

// pairing is a line that met a movement of the same amount.
type pairing struct {
	line Line
	book Book
}

func (g *group) judge() {
	slices.SortStableFunc(g.lines, func(a, b Line) int {
		return cmp.Or(a.Date.Compare(b.Date), slices.Compare(a.Statement.Transaction[:], b.Statement.Transaction[:]), cmp.Compare(a.Number, b.Number))
	})
	slices.SortStableFunc(g.books, func(a, b Book) int {
		return cmp.Or(a.Date.Compare(b.Date), slices.Compare(a.Transaction[:], b.Transaction[:]), cmp.Compare(a.Asset, b.Asset))
	})
	if len(g.lines) > 1 {
		g.repeated()
	}
	for _, way := range g.Rules.ways {
		switch way {
		case OneToOne:
			g.oneToOne(ReasonExact, way, func(l Line, b Book) bool { return l.Amount == b.Amount && g.Rules.within(l.Date, b.Date) })
		case Tolerance:
			g.oneToOne(ReasonTolerated, way, func(l Line, b Book) bool {
				difference, err := l.Amount.Sub(b.Amount)
				return err == nil && g.Rules.within(l.Date, b.Date) && l.Amount.Sign() == b.Amount.Sign() && g.Rules.tolerates(difference, b.Amount)
			})
		case OneToMany:
			g.oneToMany()
		case ManyToOne:
			g.manyToOne()
		}
	}
	g.oneToOne(ReasonOutsideWindow, "", func(l Line, b Book) bool { return l.Amount == b.Amount && !g.Rules.within(l.Date, b.Date) })
	g.twice()
	g.differing(ReasonAmount, func(l Line, b Book) bool { return l.Asset.Code == b.Asset })
	g.differing(ReasonAsset, func(Line, Book) bool { return true })
	g.rest()
}

// repeated finds lines that are in a statement again, or in another one: daily and monthly ones overlap.
func (g *group) repeated() {
	seen := map[string]Line{}
	g.lines = slices.DeleteFunc(g.lines, func(l Line) bool {
		if l.ID == "" {
			return false
		}
		key := l.ID + "\x00" + string(l.Asset.Code) + "\x00" + l.Amount.String()
		first, again := seen[key]
		if !again {
			seen[key] = l
			return false
		}
		r := g.lineResult(Duplicate, ReasonRepeatedLine, l)
		r.Evidence = evidence("line_id", l.ID, "first_statement", first.Statement.String(), "first_number", first.Number)
		g.put(r)
		return true
	})
}

// oneToOne lets each line, the earliest first, meet the nearest movement that fits: by amount, then by date.
func (g *group) oneToOne(reason Reason, way Way, fits func(Line, Book) bool) {
	if len(g.lines) == 0 || len(g.books) == 0 {
		return
	}
	g.lines = slices.DeleteFunc(g.lines, func(l Line) bool {
		best := -1
		for i, b := range g.books {
			if b.Asset == l.Asset.Code && fits(l, b) && (best < 0 || nearer(l, b, g.books[best])) {
				best = i
			}
		}
		if best < 0 {
			return false
		}
		r := g.bothResult(Matched, reason, l, g.books[best])
		if r.Way = way; reason == ReasonOutsideWindow {
			r.Verdict = Late
			r.Evidence = evidence("days", int64(l.Date.Sub(g.books[best].Date)/(24*time.Hour)))
		}
		g.put(r)
		g.met = append(g.met, pairing{l, g.books[best]})
		g.books = slices.Delete(g.books, best, best+1)
		return true
	})
}

// nearer compares two movements by how far they are from a line.
func nearer(l Line, a, b Book) bool {
	toA, _ := l.Amount.Sub(a.Amount) // both fit, so that their differences exist
	toB, _ := l.Amount.Sub(b.Amount)
	if c := toA.Abs().Cmp(toB.Abs()); c != 0 {
		return c < 0
	}
	return l.Date.Sub(a.Date).Abs() < l.Date.Sub(b.Date).Abs()
}

// oneToMany: where one movement of an asset is left, all lines that are left of it may add up to it.
func (g *group) oneToMany() {
	for _, asset := range g.assets() {
		lines, books := g.of(asset)
		if len(books) != 1 || len(lines) < 2 {
			continue
		}
		sum, ok := total(lines, func(l Line) money.Amount { return l.Amount })
		if !ok || sum != books[0].Amount || slices.ContainsFunc(lines, func(l Line) bool { return !g.Rules.within(l.Date, books[0].Date) }) {
			continue
		}
		together := make([]Result, len(lines))
		for i, l := range lines {
			together[i] = g.bothResult(Matched, ReasonSum, l, books[0])
			together[i].Way, together[i].Difference, together[i].Evidence = OneToMany, money.Amount{}, evidence("lines", len(lines), "sum", sum.String())
		}
		g.put(together...)
		g.drop(asset)
	}
}

// manyToOne: where one line of an asset is left, all movements that are left of it may add up to it.
func (g *group) manyToOne() {
	for _, asset := range g.assets() {
		lines, books := g.of(asset)
		if len(lines) != 1 || len(books) < 2 {
			continue
		}
		sum, ok := total(books, func(b Book) money.Amount { return b.Amount })
		if !ok || sum != lines[0].Amount || slices.ContainsFunc(books, func(b Book) bool { return !g.Rules.within(lines[0].Date, b.Date) }) {
			continue
		}
		together := make([]Result, len(books))
		for i, b := range books {
			together[i] = g.bothResult(Matched, ReasonSum, lines[0], b)
			together[i].Way, together[i].Difference, together[i].Evidence = ManyToOne, money.Amount{}, evidence("movements", len(books), "sum", sum.String())
		}
		g.put(together...)
		g.drop(asset)
	}
}

// assets lists those of the movements that are left, in order.
func (g *group) assets() []money.Code {
	var all []money.Code
	for _, b := range g.books {
		all = append(all, b.Asset)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (g *group) of(asset money.Code) (lines []Line, books []Book) {
	for _, l := range g.lines {
		if l.Asset.Code == asset {
			lines = append(lines, l)
		}
	}
	for _, b := range g.books {
		if b.Asset == asset {
			books = append(books, b)
		}
	}
	return lines, books
}

func (g *group) drop(asset money.Code) {
	g.lines = slices.DeleteFunc(g.lines, func(l Line) bool { return l.Asset.Code == asset })
	g.books = slices.DeleteFunc(g.books, func(b Book) bool { return b.Asset == asset })
}

func total[T any](all []T, of func(T) money.Amount) (sum money.Amount, ok bool) {
	for _, one := range all {
		var err error
		if sum, err = sum.Add(of(one)); err != nil {
			return sum, false
		}
	}
	return sum, true
}

// twice finds what is like a pair that met, and has no partner of its own.
func (g *group) twice() {
	if len(g.met) == 0 {
		return
	}
	g.lines = slices.DeleteFunc(g.lines, func(l Line) bool {
		i := slices.IndexFunc(g.met, func(p pairing) bool { return p.line.Asset == l.Asset && p.line.Amount == l.Amount })
		if i < 0 {
			return false
		}
		r := g.lineResult(Duplicate, ReasonSecondLine, l)
		r.Evidence = evidence("first_statement", g.met[i].line.Statement.String(), "first_number", g.met[i].line.Number,
			"transaction", g.met[i].book.Transaction.String())
		g.put(r)
		return true
	})
	g.books = slices.DeleteFunc(g.books, func(b Book) bool {
		i := slices.IndexFunc(g.met, func(p pairing) bool { return p.book.Asset == b.Asset && p.book.Amount == b.Amount })
		if i < 0 {
			return false
		}
		if g.inPeriod(b.Date) {
			r := g.bookResult(Duplicate, ReasonBookedTwice, b)
			r.Evidence = evidence("first_transaction", g.met[i].book.Transaction.String())
			g.put(r)
		}
		return true
	})
}

// differing pairs what is left, in order.
func (g *group) differing(reason Reason, pairs func(Line, Book) bool) {
	g.lines = slices.DeleteFunc(g.lines, func(l Line) bool {
		i := slices.IndexFunc(g.books, func(b Book) bool { return pairs(l, b) })
		if i < 0 {
			return false
		}
		r := g.bothResult(AmountDiffers, reason, l, g.books[i])
		if reason == ReasonAsset {
			r.Difference = l.Amount
			r.Evidence = evidence("asset_here", string(g.books[i].Asset), "asset_there", string(l.Asset.Code))
		}
		g.put(r)
		g.books = slices.Delete(g.books, i, i+1)
		return true
	})
}

// rest is what has no partner at all.
func (g *group) rest() {
	for _, l := range g.lines {
		reason, because := ReasonNotInBooks, json.RawMessage(nil)
		if len(g.failed) > 0 {
			f := g.failed[0]
			if reason = ReasonDeclinedHere; f.State == Reversed {
				reason = ReasonReversedHere
			}
			because = evidence("transaction", f.Transaction.String(), "kind", f.Kind, "state", string(f.State), "reason", f.Reason)
		}
		g.put(g.missingHere(l, reason, because))
	}
	for _, b := range g.books {
		if !g.inPeriod(b.Date) {
			continue // it belongs to another period
		}
		reason := ReasonNotInLines
		if b.Date.Add(g.Rules.later).After(g.To) || b.Date.Add(g.Rules.later).Equal(g.To) {
			reason = ReasonMayStillCome
		}
		g.put(g.missingThere(b, reason))
	}
}

func (g *group) missingHere(l Line, reason Reason, because json.RawMessage) Result {
	r := g.lineResult(MissingHere, reason, l)
	r.Evidence = because
	return r
}

func (g *group) missingThere(b Book, reason Reason) Result {
	r := g.bookResult(MissingThere, reason, b)
	r.Evidence = evidence("kind", b.Kind)
	return r
}

func (g *group) lineResult(v Verdict, reason Reason, l Line) Result {
	return Result{
		Verdict: v, Reason: reason, Reference: g.reference, Asset: l.Asset.Code, Difference: l.Amount,
		Line: &LineSide{Statement: l.Statement, Number: l.Number, Amount: l.Amount, Date: l.Date},
	}
}

func (g *group) bookResult(v Verdict, reason Reason, b Book) Result {
	return Result{
		Verdict: v, Reason: reason, Reference: g.reference, Asset: b.Asset, Difference: b.Amount.Neg(),
		Book: &BookSide{Transaction: b.Transaction, Payment: b.Payment, Amount: b.Amount, Date: b.Date},
	}
}

func (g *group) bothResult(v Verdict, reason Reason, l Line, b Book) Result {
	r := g.lineResult(v, reason, l)
	r.Book = g.bookResult(v, reason, b).Book
	if l.Amount != b.Amount {
		r.Difference, _ = l.Amount.Sub(b.Amount) // beyond 38 digits it stays what the line says, and open
		return r
	}
	r.Difference = money.Amount{}
	return r
}

// evidence writes facts as JSON, in the order of their names.
func evidence(facts ...any) json.RawMessage {
	m := make(map[string]any, len(facts)/2)
	for i := 0; i < len(facts); i += 2 {
		m[fmt.Sprint(facts[i])] = facts[i+1]
	}
	b, _ := json.Marshal(m) // texts and integers always marshal
	return b
}

// clip keeps a hostile text out of an error in full length.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
