package sim

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
)

// Check holds the books against what the clients were told: every answered command is there with the answer that was given, a repeat of
// it changes nothing, and the balance of every player is what Open found and the entries of the answers, to the unit. It returns what is
// wrong, and the number of commands and accounts it looked at. Since Open, the accounts must have been moved by this history alone.
func (h *History) Check(ctx context.Context, w Workload, svc ledger.Service, repeats int) (problems []string, commands, accounts int, err error) {
	problems = slices.Clone(h.Lost)
	found, err := h.checkBalances(ctx, w, svc)
	if err != nil {
		return problems, 0, 0, err
	}
	problems = append(problems, found...)
	found, err = h.checkRepeats(ctx, svc, repeats)
	return append(problems, found...), min(repeats, len(h.Answers)), len(w.Ledgers) * w.Accounts, err
}

func (h *History) checkBalances(ctx context.Context, w Workload, svc ledger.Service) ([]string, error) {
	expected := map[ledger.Ref]money.Amount{}
	for _, o := range h.Answers {
		for _, e := range o.Entries {
			sum, err := expected[e.Ref].Add(e.Amount)
			if err != nil {
				return nil, fmt.Errorf("add up the answers: %w", err)
			}
			expected[e.Ref] = sum
		}
	}
	now, err := w.balances(ctx, svc)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, name := range w.Ledgers {
		for i := range w.Accounts {
			ref := ledger.Ref{Ledger: name, Account: w.account(i)}
			want, err := expected[ref].Add(w.before[ref])
			if err != nil {
				return nil, fmt.Errorf("add up the answers: %w", err)
			}
			if got, found := now[ref]; !found {
				problems = append(problems, fmt.Sprintf("%s is not there", ref))
			} else if got != want {
				problems = append(problems, fmt.Sprintf("%s has %s, its clients were told %s", ref, got, want))
			}
		}
	}
	return problems, nil
}

// checkRepeats sends some of the commands once more. Each has to be known, and answered as before.
func (h *History) checkRepeats(ctx context.Context, svc ledger.Service, repeats int) ([]string, error) {
	keys := make([]id.Transaction, 0, len(h.Answers))
	for k := range h.Answers {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b id.Transaction) int { return slices.Compare(a[:], b[:]) })
	rand.New(rand.NewPCG(h.Seed, 0)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	keys = keys[:min(repeats, len(keys))]
	var problems []string
	for part := range slices.Chunk(keys, 200) {
		var batch ledger.Batch
		for _, k := range part {
			batch.Commands = append(batch.Commands, h.Commands[k])
		}
		results, err := svc.Execute(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("repeat commands: %w", err)
		}
		for i, r := range results {
			o := h.Answers[part[i]]
			switch {
			case r.Err != nil:
				problems = append(problems, fmt.Sprintf("%s %s: a repeat failed: %v", o.Kind, o.Key, r.Err))
			case !r.Outcome.Replayed:
				problems = append(problems, fmt.Sprintf("%s %s was answered, and is not there", o.Kind, o.Key))
			case difference(o, r.Outcome) != "":
				problems = append(problems, fmt.Sprintf("%s %s: a repeat got another answer: %s", o.Kind, o.Key, difference(o, r.Outcome)))
			}
		}
	}
	return problems, nil
}

// difference says in what two answers to one command differ, or "".
func difference(a, b ledger.Outcome) string {
	switch {
	case a.Transaction != b.Transaction:
		return "transaction"
	case a.Decided != b.Decided || a.Reason != b.Reason:
		return fmt.Sprintf("%s %s, then %s %s", a.Decided, a.Reason, b.Decided, b.Reason)
	case !a.RecordedAt.Equal(b.RecordedAt) || !a.EffectiveAt.Equal(b.EffectiveAt):
		return "time"
	case !slices.Equal(a.Entries, b.Entries):
		return "entries"
	case !maps.Equal(a.Detail, b.Detail):
		return fmt.Sprintf("detail %v, then %v", a.Detail, b.Detail)
	case holdText(a.Hold) != holdText(b.Hold):
		return fmt.Sprintf("hold %s, then %s", holdText(a.Hold), holdText(b.Hold))
	}
	return ""
}

func holdText(h *ledger.Hold) string {
	if h == nil {
		return "none"
	}
	at := *h
	at.ExpiresAt = at.ExpiresAt.UTC() // the same instant, whatever way it came
	return fmt.Sprintf("%+v", at)
}
