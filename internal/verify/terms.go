package verify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
)

// terms are what commands on an account itself decide. A command says in the journal what they were after it.
type terms struct {
	Asset    money.Asset       `json:"asset"`
	Normal   string            `json:"normal_side"`
	Floor    string            `json:"min_available"` // empty: none
	Ceiling  string            `json:"max_balance"`   // empty: none
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
}

// words says terms, the same way for both sides and for a person.
func (t terms) words() string {
	return fmt.Sprintf("%s, %s-normal, in %s, min_available %s, max_balance %s, metadata %q", t.Status, t.Normal, t.Asset,
		cmp.Or(t.Floor, "none"), cmp.Or(t.Ceiling, "none"), t.Metadata)
}

// opening is how the first step of a payment opened an account.
type opening struct {
	Asset   string `json:"asset"`
	Normal  string `json:"normal"`
	Floor   bound  `json:"floor"`
	Ceiling bound  `json:"ceiling"`
}

type bound struct {
	Set    bool   `json:"set"`
	Amount string `json:"amount"` // left out where it is zero
}

func (b bound) String() string {
	if b.Set {
		return cmp.Or(b.Amount, "0")
	}
	return ""
}

// terms are those of the opening. The asset is a code alone there: where it is the account's own, so is its scale.
func (o opening) terms(asset money.Asset) terms {
	if string(asset.Code) != o.Asset {
		asset = money.Asset{Code: money.Code(o.Asset)}
	}
	return terms{Asset: asset, Normal: o.Normal, Floor: o.Floor.String(), Ceiling: o.Ceiling.String(), Status: "open"}
}

// decides tells whether commands of that kind decide terms.
func decides(kind string) bool {
	switch kind {
	case "open", "update", "freeze", "close":
		return true
	}
	return false
}

// See sqlTargets for LIMIT 1.
const sqlTerms = `
SELECT d.id, d.detail FROM unnest($3::uuid[]) AS k (id)
CROSS JOIN LATERAL (
    SELECT id, coalesce(detail, '{}') AS detail FROM journal WHERE home = $1 AND ledger_id = $2 AND id = k.id LIMIT 1
) d`

// judgeTerms holds accounts, whose entries were all read, against the newest command that decided on each.
func (r *run) judgeTerms(ctx context.Context, b book, page []*statement) error {
	if r.searching {
		return nil
	}
	deciders := make([][16]byte, 0, len(page))
	by := make(map[id.Transaction][]*statement, len(page))
	for _, s := range page {
		if s.entries != s.sequence || s.last.sequence != s.sequence {
			continue // which was reported: the newest command may be among the missing entries
		}
		r.looked(&r.checks.terms)
		if s.decided.IsZero() { // opened by the movement that needed it
			s.hasTerms(r, b, terms{Asset: s.terms.Asset, Normal: "debit", Status: "open"})
			continue
		}
		if by[s.decided] == nil {
			deciders = append(deciders, s.decided)
		}
		by[s.decided] = append(by[s.decided], s)
	}
	var decider id.Transaction
	var detail []byte
	rows := r.query(ctx, sqlTerms, b.home, b.ledger, deciders)
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&decider), &detail}, func() error {
		var told struct {
			Account *terms `json:"account"`
			Step    struct {
				Opened map[id.Account]opening `json:"opened"`
			} `json:"step"`
		}
		if err := json.Unmarshal(detail, &told); err != nil {
			told.Account = &terms{} // which no account has
		}
		for _, s := range by[decider] {
			switch opened, found := told.Step.Opened[s.id]; {
			case told.Account != nil:
				s.hasTerms(r, b, *told.Account)
			case found:
				s.hasTerms(r, b, opened.terms(s.terms.Asset))
			default: // a movement that came first
				s.hasTerms(r, b, terms{Asset: s.terms.Asset, Normal: "debit", Status: "open"})
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the commands on accounts of %s: %w", b.ledger, err)
	}
	return nil // a command that is not there is missed by the comparison of journal and entries
}

func (s *statement) hasTerms(r *run, b book, want terms) {
	if have := s.terms.words(); have != want.words() {
		r.find(&r.checks.terms, Finding{
			Ledger: b.ledger, Account: s.id, Transaction: s.decided,
			Message: fmt.Sprintf("the account is %s; the journal made it %s", have, want.words()),
		})
	}
}
