package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

const sqlJournal = `
SELECT id, idempotency_key, kind, outcome, coalesce(reason, ''), detail, entries, request, request_hash, coalesce(reference, ''),
    coalesce(correlation_id, ''), target, reverses, effective_at, recorded_at
FROM journal WHERE home = $1 AND ledger_id = $2 AND id >= $3
ORDER BY id LIMIT $4 OFFSET $5`

// row is a row of the journal.
type row struct {
	id               id.Transaction
	key              id.Key
	kind, outcome    string
	reason           string
	detail           []byte
	entries          []byte
	request          []byte
	hash             []byte
	reference        string
	correlation      string
	target, reverses pgtype.UUID
	effectiveAt      time.Time
	recordedAt       time.Time
}

// line is an entry as the journal writes it.
type line struct {
	Ledger         id.Ledger    `json:"ledger"` // empty: the one of the row
	Account        id.Account   `json:"account"`
	Sequence       int64        `json:"sequence"`
	Amount         money.Amount `json:"amount"`
	Balance        money.Amount `json:"balance"`
	PendingDebits  money.Amount `json:"pending_debits"`
	PendingCredits money.Amount `json:"pending_credits"`
}

func (j *row) posted() bool { return j.outcome == "posted" }

// journal reads the rows of one book, in the order of their ids.
func (r *run) journal(ctx context.Context, b book) error {
	p := &journalPass{run: r, book: b}
	j := &p.row
	began := false
	from := func() []any { return []any{b.home, b.ledger, [16]byte(j.id)} }
	into := []any{
		(*[16]byte)(&j.id), &j.key, &j.kind, &j.outcome, &j.reason, &j.detail, &j.entries, &j.request, &j.hash, &j.reference,
		&j.correlation, &j.target, &j.reverses, &j.effectiveAt, &j.recordedAt,
	}
	return r.paged(ctx, "journal", sqlJournal, &began, from, into, p.take)
}

// journalPass is the state of reading the journal of one book.
type journalPass struct {
	*run
	book    book
	row     row
	lines   []line
	scratch []byte
}

// take looks at one row.
func (p *journalPass) take() error {
	j := &p.row
	f := Finding{Ledger: p.book.ledger, Transaction: j.id, Message: "the journal row"}
	p.housed(p.book, f)
	p.looked(&p.checks.keys, &p.checks.journal)
	p.count()
	if !p.searching {
		p.identity(f)
		p.link(f)
	}
	clear(p.lines) // a field that JSON leaves out would keep what stood there before
	p.lines = p.lines[:0]
	if err := strict(j.entries, &p.lines); err != nil {
		p.lines = nil
		f.Message = fmt.Sprintf("the entries of the journal row can not be read: %v", err)
		p.find(&p.checks.journal, f)
	}
	writes := j.posted() && j.kind != string(ledger.KindPlayer) // a player is no account
	if writes == (len(p.lines) == 0) || j.posted() != (j.reason == "") {
		f.Message = fmt.Sprintf("the journal row is %s for reason %q and has %d entries", j.outcome, j.reason, len(p.lines))
		p.find(&p.checks.journal, f)
	}
	p.tellLines()
	p.tellAbroad()
	if j.posted() && setsAside(j.kind) {
		p.tellHold(f)
	}
	if j.kind == string(ledger.KindStep) {
		p.tellStep(f)
	}
	return nil
}

func (p *journalPass) count() {
	if p.searching {
		return
	}
	t := p.totals.of(p.book.ledger)
	if p.row.posted() {
		t.transactions++
	} else {
		t.declines++
	}
}

// identity holds the row against its key and its request. Rows have different ids, which the table's key guarantees; where every id is
// the one that its ledger and key make, they have different keys as well.
func (p *journalPass) identity(f Finding) {
	j := &p.row
	check := &p.checks.keys
	if want := id.TransactionOf(p.book.ledger, j.key); want != j.id {
		f.Message = fmt.Sprintf("the key %q makes transaction %s", j.key, want)
		p.find(check, f)
	}
	var c ledger.Command
	if err := strict(j.request, &c); err != nil {
		f.Message = fmt.Sprintf("the request can not be read: %v", err)
		p.find(check, f)
		return
	}
	if sum := ledger.Hash(c.Canonical()); string(sum[:]) != string(j.hash) {
		f.Message = fmt.Sprintf("the request has the hash %x, the row says %x", sum, j.hash)
		p.find(check, f)
	}
	if field := p.differs(c); field != "" {
		f.Message = "the request has another " + field + " than the row"
		p.find(check, f)
	}
}

// differs names the first column that does not repeat what the request says.
func (p *journalPass) differs(c ledger.Command) string {
	j := &p.row
	effective := j.recordedAt
	if !c.EffectiveAt.IsZero() {
		effective = micros(c.EffectiveAt)
	}
	for _, field := range [...]struct {
		name string
		same bool
	}{
		{"kind", string(c.Kind) == j.kind},
		{"ledger", c.Ledger == p.book.ledger},
		{"key", c.Key == j.key},
		{"reference", c.Reference == j.reference},
		{"correlation", c.Correlation == j.correlation},
		{"target", c.Target == j.target.Bytes},
		{"effective time", effective.Equal(j.effectiveAt)},
	} {
		if !field.same {
			return field.name
		}
	}
	return ""
}

// link judges the column that says what the row reverses.
func (p *journalPass) link(f Finding) {
	j := &p.row
	reversal := j.posted() && j.kind == string(ledger.KindReverse)
	if reversal {
		p.looked(&p.checks.reversals)
	}
	switch {
	case reversal && (!j.reverses.Valid || j.reverses != j.target):
		f.Message = "the reversal does not say that it reverses its target"
	case !reversal && j.reverses.Valid:
		f.Message = fmt.Sprintf("a %s %s says that it reverses %s", j.outcome, j.kind, id.Transaction(j.reverses.Bytes))
	default:
		return
	}
	p.find(&p.checks.reversals, f)
}

// tellLines says what the row says of accounts.
func (p *journalPass) tellLines() {
	j := &p.row
	for i, l := range p.lines {
		owner := cmp.Or(l.Ledger, p.book.ledger)
		if !p.inScope(owner) {
			continue
		}
		e := entry{
			ledger: owner, account: l.Account, sequence: l.Sequence, kind: j.kind, amount: digits{Amount: l.Amount}, balance: digits{Amount: l.Balance},
			pendingDebits: digits{Amount: l.PendingDebits}, pendingCredits: digits{Amount: l.PendingCredits},
			effectiveAt: j.effectiveAt, recordedAt: j.recordedAt,
		}
		p.scratch = e.words(p.scratch[:0])
		about := subject{ledger: p.book.ledger, transaction: j.id, line: int64(i)}
		p.run.lines.say(told, about, place{owner, l.Account, l.Sequence}, p.scratch, one)
	}
}

// tellHold says what the row says of a hold.
func (p *journalPass) tellHold(f Finding) {
	j := &p.row
	var detail struct {
		Hold *struct {
			ID        id.Transaction `json:"id"`
			From      id.Account     `json:"from"`
			To        id.Account     `json:"to"`
			Amount    money.Amount   `json:"amount"`
			Status    string         `json:"status"`
			Asset     money.Asset    `json:"asset"`
			ExpiresAt time.Time      `json:"expires_at"`
		} `json:"hold"`
	}
	if err := json.Unmarshal(j.detail, &detail); err != nil || detail.Hold == nil {
		f.Message = fmt.Sprintf("the journal row does not tell its hold: %s", clip(j.detail))
		p.find(&p.checks.holds, f)
		return
	}
	h := detail.Hold
	about, at := subject{ledger: p.book.ledger, transaction: h.ID}, place{ledger: p.book.ledger, account: h.From}
	if j.kind == string(ledger.KindHold) {
		about.matter = made
		row := hold{from: h.From, to: h.To, asset: h.Asset, amount: digits{Amount: h.Amount}, expiresAt: micros(h.ExpiresAt)}
		p.lives.say(told, about, at, row.making(nil), one)
	} else if j.target.Bytes != h.ID {
		f.Message = fmt.Sprintf("the journal row acts on hold %s and tells of hold %s", id.Transaction(j.target.Bytes), h.ID)
		p.find(&p.checks.holds, f)
	}
	if h.Status != string(ledger.Held) {
		about.matter = ended
		p.lives.say(told, about, at, ending(h.Status), one)
	}
	about.matter = ""
	for _, l := range p.lines {
		if l.Amount.Sign() > 0 {
			p.captured.say(told, about, at, nil, l.Amount)
		}
	}
}

func clip(text []byte) string {
	if len(text) > 120 {
		return string(text[:120]) + "…"
	}
	return string(text)
}

// strayLine words a line that the journal and the accounts do not tell alike.
func strayLine(m mismatch) Finding {
	at := m.at[kept]
	if m.kept == "" {
		at = m.at[told]
	}
	f := Finding{Ledger: at.ledger, Account: at.account, Transaction: m.transaction, Sequence: at.sequence}
	switch {
	case m.kept == "":
		f.Message = fmt.Sprintf("the journal has line %d as %q, no entry has", m.line, m.told)
	case m.told == "":
		f.Message = fmt.Sprintf("an entry says line %d is %q, the journal has no such line", m.line, m.kept)
	default:
		f.Message = fmt.Sprintf("the journal has line %d as %q, the entry as %q", m.line, m.told, m.kept)
	}
	return f
}
