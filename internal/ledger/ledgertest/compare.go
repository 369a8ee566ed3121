package ledgertest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// CheckAgainstModel plays a stream on an implementation and on the model and compares each answer, and at the end all accounts, statements,
// transactions and trial balances; it ends with an Audit. The world has been created in both. In a timed world both tell the time by
// one clock, which subject.Advance moves, and times are compared too; elsewhere only their order is.
//
// What a run fails with is short and the same each time, which is what rapid needs to make a stream shorter; the log has the details.
func CheckAgainstModel(t *rapid.T, w World, subject Subject, model *Model, steps []Step) {
	d := &duel{world: w, subject: subject, model: model, answers: map[id.Transaction]ledger.Outcome{}, newest: map[ledger.Ref]time.Time{}}
	ctx := context.Background()
	for i, step := range steps {
		if err := d.step(ctx, step); err != nil {
			t.Logf("%v\n%s", err, step)
			t.Fatalf("step %d of %d: %s disagrees with the model", i+1, len(steps), subject.Engine)
		}
	}
	if err := d.compareBooks(ctx); err != nil {
		t.Logf("%v", err)
		t.Fatalf("after %d steps: what %s has written disagrees with the model", len(steps), subject.Engine)
	}
	var all []id.Ledger
	for _, l := range w.Ledgers {
		if _, err := model.TrialBalance(ctx, l.ID); err == nil { // whose sums can be written down: streams go to the end of the numbers
			all = append(all, l.ID)
		}
	}
	if err := Audit(ctx, subject.Service, all...); err != nil {
		t.Logf("%v", err)
		t.Fatalf("after %d steps: the books of %s are broken", len(steps), subject.Engine)
	}
}

type duel struct {
	world   World
	subject Subject
	model   *Model
	answers map[id.Transaction]ledger.Outcome // that the subject gave first
	newest  map[ledger.Ref]time.Time          // recorded time of each account
}

func (d *duel) step(ctx context.Context, s Step) error {
	if s.Wait != 0 && d.subject.Advance != nil {
		d.subject.Advance(s.Wait)
	}
	want, wantErr := d.model.Execute(ctx, s.Batch)
	got, err := d.subject.Service.Execute(ctx, s.Batch)
	if !sameReason(wantErr, err) {
		return disagree(err, wantErr)
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d results, and the model gives %d", len(got), len(want))
	}
	for i, c := range s.Batch.Commands {
		if err != nil {
			break
		}
		if err := d.result(c, got[i], want[i]); err != nil {
			return fmt.Errorf("command %d (%s %s): %w", i, c.Kind, c.Key, err)
		}
	}
	return nil
}

func (d *duel) result(c ledger.Command, got, want ledger.Result) error {
	if !sameReason(want.Err, got.Err) {
		return disagree(got.Err, want.Err)
	}
	if got.Err != nil {
		return nil
	}
	o := got.Outcome
	if err := same("outcome", d.shown(c, o), d.shown(c, want.Outcome)); err != nil {
		return err
	}
	if first, again := d.answers[o.Transaction]; again {
		return same("replay and first answer", stored(o), stored(first))
	}
	if o.DryRun {
		return nil
	}
	d.answers[o.Transaction] = o
	for _, e := range o.Entries {
		if o.RecordedAt.Before(d.newest[e.Ref]) {
			return fmt.Errorf("recorded at %s, and account %s has seen %s", o.RecordedAt, e.Ref, d.newest[e.Ref])
		}
		d.newest[e.Ref] = o.RecordedAt
	}
	return nil
}

// stored is an outcome without what depends on who asks when.
func stored(o ledger.Outcome) ledger.Outcome {
	o.Replayed, o.DryRun = false, false
	return clean(o)
}

// shown is an outcome without what implementations may differ in: times, where the clocks are two.
func (d *duel) shown(c ledger.Command, o ledger.Outcome) ledger.Outcome {
	o = clean(o)
	if o.Hold != nil {
		o.Hold.Home = "" // follows from the ledger, and not every form of a hold repeats it
	}
	if d.world.Timed {
		return o
	}
	o.RecordedAt = time.Time{}
	if c.EffectiveAt.IsZero() {
		o.EffectiveAt = time.Time{}
	}
	if o.Hold != nil {
		o.Hold.ExpiresAt = time.Time{}
	}
	if o.Account != nil {
		o.Account.OpenedAt, o.Account.ChangedAt = time.Time{}, time.Time{}
	}
	if _, found := o.Detail["expired_at"]; found {
		o.Detail["expired_at"] = ""
	}
	return o
}

// clean is a deep copy in which equal values are deeply equal: times in UTC, and nil for what is empty.
func clean(o ledger.Outcome) ledger.Outcome {
	o.EffectiveAt, o.RecordedAt = utc(o.EffectiveAt), utc(o.RecordedAt)
	o.Detail = maps.Clone(o.Detail)
	if len(o.Detail) == 0 {
		o.Detail = nil
	}
	if len(o.Entries) == 0 {
		o.Entries = nil
	}
	if o.Hold != nil {
		h := *o.Hold
		h.ExpiresAt = utc(h.ExpiresAt)
		o.Hold = &h
	}
	if o.Account != nil {
		a := cleanAccount(*o.Account)
		o.Account = &a
	}
	return o
}

func cleanAccount(a ledger.Account) ledger.Account {
	a.OpenedAt, a.ChangedAt = utc(a.OpenedAt), utc(a.ChangedAt)
	if len(a.Metadata) == 0 {
		a.Metadata = nil
	}
	return a
}

func utc(t time.Time) time.Time { return t.UTC().Round(0) }

// compareBooks compares everything that can be read.
func (d *duel) compareBooks(ctx context.Context) error {
	for _, l := range d.world.Ledgers {
		accounts, err := readAccounts(ctx, d.subject.Service, l.ID, 3)
		if err != nil {
			return err
		}
		wanted, err := readAccounts(ctx, d.model, l.ID, 100)
		if err != nil {
			return err
		}
		if err := sameAll("accounts of "+string(l.ID), d.withoutTimes(accounts), d.withoutTimes(wanted)); err != nil {
			return err
		}
		for _, a := range accounts {
			if err := d.compareStatement(ctx, a.Ref); err != nil {
				return err
			}
		}
		sums, err := d.subject.Service.TrialBalance(ctx, l.ID)
		wantedSums, wantedErr := d.model.TrialBalance(ctx, l.ID)
		if (err == nil) != (wantedErr == nil) {
			return fmt.Errorf("trial balance of %s: %w", l.ID, disagree(err, wantedErr))
		}
		if err := sameAll("trial balance of "+string(l.ID), sums, wantedSums); err != nil {
			return err
		}
	}
	return d.compareJournal(ctx)
}

func (d *duel) withoutTimes(accounts []ledger.Account) []ledger.Account {
	for i := range accounts {
		accounts[i] = cleanAccount(accounts[i])
		if !d.world.Timed {
			accounts[i].OpenedAt, accounts[i].ChangedAt = time.Time{}, time.Time{}
		}
	}
	return accounts
}

func (d *duel) compareStatement(ctx context.Context, ref ledger.Ref) error {
	for _, backward := range []bool{false, true} {
		got, err := readEntries(ctx, d.subject.Service, ref, ledger.EntryPage{Backward: backward, Limit: 4})
		if err != nil {
			return err
		}
		want, err := readEntries(ctx, d.model, ref, ledger.EntryPage{Backward: backward, Limit: 1000})
		if err != nil {
			return err
		}
		for _, lines := range [][]ledger.StatementLine{got, want} {
			for i := range lines {
				lines[i].EffectiveAt, lines[i].RecordedAt = utc(lines[i].EffectiveAt), utc(lines[i].RecordedAt)
				if !d.world.Timed {
					lines[i].EffectiveAt, lines[i].RecordedAt = time.Time{}, time.Time{}
				}
			}
		}
		if err := sameAll(fmt.Sprintf("statement of %s (backward=%t)", ref, backward), got, want); err != nil {
			return err
		}
	}
	return nil
}

// compareJournal looks up every command by its id.
func (d *duel) compareJournal(ctx context.Context) error {
	for transaction, first := range d.answers {
		got, err := d.subject.Service.Transaction(ctx, first.Ledger, transaction)
		if err != nil {
			return fmt.Errorf("transaction %s of key %s: %w", transaction, first.Key, err)
		}
		want, err := d.model.Transaction(ctx, first.Ledger, transaction)
		if err != nil {
			return fmt.Errorf("the model's transaction %s of key %s: %w", transaction, first.Key, err)
		}
		if field := ledger.Differs(want.Request, got.Request); field != "" && len(got.Request) > 0 {
			return fmt.Errorf("the stored request of %s differs in %s: %s, wanted %s", first.Key, field, got.Request, want.Request)
		}
		if err := same("stored outcome of "+string(first.Key), stored(got.Outcome), stored(first)); err != nil {
			return err
		}
		if err := same("links of "+string(first.Key), links(got), links(want)); err != nil {
			return err
		}
	}
	return nil
}

func links(r ledger.Record) [4]string {
	return [4]string{r.Reference, r.Correlation, r.Target.String(), r.Reverses.String()}
}
