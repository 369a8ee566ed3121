package explain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/meridian-ledger/meridian/internal/recon"
)

// comparisons tells what statements of providers say, and how differences were closed.
func (t *teller) comparisons() {
	all := t.Rows.Compared
	slices.SortFunc(all, func(a, b Compared) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Run.ID.String(), b.Run.ID.String()), cmp.Compare(a.Result.Number, b.Result.Number))
	})
	t.Story.Compared = "no statement has been compared with it"
	if len(all) == 0 {
		return
	}
	newest, differences, closed := all[len(all)-1].Run, 0, 0
	for _, c := range all {
		approved := slices.ContainsFunc(c.Resolutions, approvedOne)
		t.compared(c, approved)
		if c.Run.ID != newest.ID || !c.Result.Open() {
			continue
		}
		if differences++; approved {
			closed++
			continue
		}
		t.open = append(t.open, fmt.Sprintf("run %s of %s: result %d is %s, a difference of %s, which two people close (meridian recon)",
			c.Run.ID, c.Run.Provider, c.Result.Number, c.Result.Verdict, t.money(c.Result.Difference, c.Result.Asset)))
	}
	switch {
	case differences == 0:
		t.Story.Compared = "agrees with the statement of " + newest.Provider
	case closed == differences:
		t.Story.Compared = fmt.Sprintf("%s with the statement of %s, closed by adjustments", counted(differences, "difference"), newest.Provider)
	default:
		t.Story.Compared = fmt.Sprintf("%s with the statement of %s, %d closed", counted(differences, "difference"), newest.Provider, closed)
	}
}

func approvedOne(r recon.Resolution) bool {
	return slices.ContainsFunc(r.Decisions, func(d recon.Decision) bool { return d.Decided == recon.Approved })
}

func (t *teller) compared(c Compared, approved bool) {
	r := c.Result
	e := Event{
		At: c.At, Source: FromReconciliation, Outcome: Accepted, Reason: string(r.Reason), Meaning: verdicts[r.Verdict],
		What:    fmt.Sprintf("the statement of %s was compared: %s", c.Run.Provider, r.Verdict),
		Details: told(Fact{"run", c.Run.ID.String()}, Fact{"reference", r.Reference}),
	}
	if r.Line != nil {
		e.Details = append(e.Details, Fact{"statement says", t.signed(r.Line.Amount, r.Asset)})
	}
	if r.Book != nil {
		e.Details = append(e.Details, Fact{"books say", t.signed(r.Book.Amount, r.Asset)})
	}
	if !r.Difference.IsZero() {
		e.Details = append(e.Details, Fact{"difference", t.signed(r.Difference, r.Asset)})
	}
	switch {
	case r.Open() && approved:
		e.Outcome = Noted
	case r.Open():
		e.Outcome = Refused
	case r.Verdict == recon.Late:
		e.Outcome = Noted
	}
	t.event(e)
	for _, p := range c.Resolutions {
		proposal := Event{
			At: p.ProposedAt, Source: FromReconciliation, Outcome: Awaited, What: fmt.Sprintf("%s proposed to close the difference of %s", p.Proposer, t.signed(p.Difference, p.Asset)),
			Details: told(Fact{"because", p.Reason}, Fact{"resolution", p.ID.String()}),
		}
		decided := false
		for _, d := range p.Decisions {
			decided = decided || d.Decided != recon.Refused
			e := Event{
				At: d.At, Source: FromReconciliation, Outcome: Refused, What: fmt.Sprintf("%s by %s", d.Decided, d.Actor), Meaning: d.Why,
				Details: told(Fact{"adjustment", idText(d.Transaction)}),
			}
			if d.Decided == recon.Approved {
				e.Outcome = Accepted
			}
			t.event(e)
		}
		if decided {
			proposal.Outcome = Noted
		}
		t.event(proposal)
	}
}

// verdicts say what a comparison found, for a person.
var verdicts = map[recon.Verdict]string{
	recon.Matched:       "the statement and the books say the same",
	recon.AmountDiffers: "the statement and the books name different amounts",
	recon.MissingHere:   "the statement has it, the books do not",
	recon.MissingThere:  "the books have it, the statement does not",
	recon.Duplicate:     "it is there once more on one side than on the other",
	recon.Late:          "the same amount, outside of the window",
}
