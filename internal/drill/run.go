package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// Options of a run.
type Options struct {
	Seed    uint64
	Command string       // that repeats the drill
	Version string       // of meridian
	Say     func(string) // one line of what happens; nil: silent
}

// Result is what a drill leaves behind.
type Result struct {
	Report evidence.Report
	// Picture is an HTML page of the first account whose history nothing explains, or nil.
	Picture []byte
}

// bucket is the width of a column in the charts of a report.
const bucket = 250 * time.Millisecond

// Bounds of what comes after the load.
const (
	healPatience   = 3 * time.Minute
	settlePatience = 2 * time.Minute
	payPatience    = 3 * time.Minute
	streamPatience = 3 * time.Minute
	stillness      = 20 * time.Second // longer than a takeover of a relay, and than the pause of a sink between two attempts
)

// drill is one run on its way.
type drill struct {
	story  Story
	field  Field
	o      Options
	began  time.Time
	start  time.Time // of the load
	report evidence.Report

	mu       sync.Mutex
	timeline *timeline
	history  *sim.History
	workload sim.Workload
	witness  *sim.Witness
	picture  []byte
}

// Run takes a story from its start to its report. The error is set where there is no report to be had: the field broke, or the context ended.
// A drill that failed is a report that has not passed.
func Run(ctx context.Context, s Story, field Field, o Options) (Result, error) {
	d := &drill{story: s, field: field, o: o, began: time.Now()}
	d.start = d.began
	d.report = evidence.Report{
		Format: evidence.Format, Drill: s.Name, Title: s.Title, Why: s.Why, Started: d.began.UTC(), Seed: o.Seed, Command: o.Command, Story: s.Text,
		Bucket: bucket.Seconds(), Environment: field.Environment(), Log: []evidence.Line{}, Verdicts: []evidence.Verdict{},
	}
	d.report.Environment.Meridian = o.Version
	if err := d.load(ctx); err != nil {
		return Result{}, err
	}
	if err := d.judge(ctx); err != nil {
		return Result{}, err
	}
	d.finish()
	return Result{Report: d.report, Picture: d.picture}, nil
}

// say tells a person, and the log of the report.
func (d *drill) say(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := evidence.Line{At: time.Since(d.start).Seconds(), Text: fmt.Sprintf(format, args...)}
	d.report.Log = append(d.report.Log, line)
	if d.o.Say != nil {
		d.o.Say(fmt.Sprintf("%7.2fs  %s", line.At, line.Text))
	}
}

// load lets clients work while the steps of the story are done.
func (d *drill) load(ctx context.Context) error {
	l := d.story.Load
	ledgers := d.field.Ledgers()
	d.workload = sim.Workload{Ledgers: slices.Sorted(maps.Keys(ledgers)), Accounts: l.Accounts, Hot: l.Hot, Seed: d.o.Seed}
	books, err := d.field.Books(ctx)
	if err != nil {
		return err
	}
	if err := d.workload.Open(ctx, books); err != nil {
		return err
	}
	pays := d.field.Payments()
	if pays != nil {
		d.say("payments: %d deposits and %d withdrawals are made ready", len(pays.deposits), len(pays.withdrawals))
		if err := pays.open(ctx, books, d.o.Seed); err != nil {
			return err
		}
	}
	regions := d.field.Regions()
	d.witness = sim.NewWitness("subscriber", ledgers, nil)
	var listeners sync.WaitGroup
	defer listeners.Wait()
	listening, hangUp := context.WithCancel(ctx)
	defer hangUp()
	homes := slices.Sorted(maps.Values(ledgers))
	for i, home := range slices.Compact(homes) {
		sources := d.field.Sources(regions[i%len(regions)].Name)
		listeners.Go(func() { d.witness.Listen(listening, home, sources, 0) })
	}

	d.start = time.Now()
	clients := l.Clients * len(regions)
	d.say("load: %d clients in %d regions for %s, seed %d", clients, len(regions), l.Duration, d.o.Seed)
	d.timeline = newTimeline(d.story, d.field, d.start, d.say)
	watched, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { d.timeline.run(watched) })
	if pays != nil {
		running.Go(func() { pays.withdraw(watched, l.Duration/2) })
		running.Go(func() { pays.watch(watched) })
	}
	d.history = sim.Run(ctx, d.workload, regions, sim.Options{
		Clients: clients, Start: d.start, Duration: l.Duration, Attempt: l.Attempt, Patience: l.Patience, Think: l.Think[d.field.Engine()], Storm: l.Storm, Reads: l.Reads,
	})
	stop() // a step that was to come has missed the load; one that lasts is undone now
	running.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	d.say("load: over; %d commands, %d calls", len(d.history.Calls), len(d.history.Attempts))
	return d.settle(ctx)
}

// settle heals what is broken, and finds out what became of the commands that nobody heard the end of.
func (d *drill) settle(ctx context.Context) error {
	healing, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	if err := d.field.Heal(healing); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	books, err := d.field.Books(ctx)
	if err != nil {
		return err
	}
	if pays := d.field.Payments(); pays != nil {
		ending, enough := context.WithTimeout(ctx, payPatience)
		defer enough()
		pays.settle(ending)
	}
	asking, enough := context.WithTimeout(ctx, settlePatience)
	defer enough()
	d.history.Settle(asking, books)
	if _, was := d.restored(); !was {
		d.hear(ctx)
	}
	return ctx.Err()
}

// hear waits until all that was committed was heard of. It gives up where nothing has moved for a while: neither a stream nor anybody who
// listens. What was not heard is for the verdicts to say.
func (d *drill) hear(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, streamPatience)
	defer cancel()
	listeners := []*sim.Witness{d.witness}
	if sink := d.field.Sink(); sink != nil {
		listeners = append(listeners, sink)
	}
	var last []int64
	var newest map[id.Home]int64 // of which the load's commands are not all
	if d.field.Payments() != nil {
		newest = d.resting(ctx)
	}
	for moved := time.Now(); ctx.Err() == nil && time.Since(moved) < stillness; {
		waiting, done := context.WithTimeout(ctx, time.Second)
		missing := slices.DeleteFunc(listeners, func(w *sim.Witness) bool {
			return w.AwaitCalls(waiting, d.history) == nil && w.AwaitHeads(waiting, newest) == nil
		})
		done()
		if listeners = missing; len(listeners) == 0 {
			return
		}
		now := d.standing(ctx, listeners)
		if !slices.Equal(now, last) {
			moved, last = time.Now(), now
		}
	}
}

// resting are the positions of streams when they have not moved for a while. What payments did last may still be on its way to its stream.
func (d *drill) resting(ctx context.Context) (heads map[id.Home]int64) {
	for ctx.Err() == nil {
		now, err := d.field.Heads(ctx)
		if err == nil && maps.Equal(now, heads) {
			break
		}
		heads = now
		rest(ctx, 3*time.Second)
	}
	return heads
}

// standing is how far streams and listeners are, to be compared.
func (d *drill) standing(ctx context.Context, listeners []*sim.Witness) []int64 {
	var all []int64
	heads, _ := d.field.Heads(ctx) // without them, what is heard tells
	for _, home := range slices.Sorted(maps.Keys(heads)) {
		all = append(all, heads[home])
	}
	for _, w := range listeners {
		events, repeats, _ := w.Heard()
		all = append(all, int64(events), int64(repeats))
	}
	return all
}

// judge asks all who can tell whether the promises were kept.
func (d *drill) judge(ctx context.Context) error {
	d.say("judging")
	books, err := d.field.Books(ctx)
	if err != nil {
		return err
	}
	if backup, was := d.restored(); was {
		d.judgeRestored(ctx, books, backup)
		return d.verify(ctx)
	}
	verdicts, picture := d.history.Judge(ctx, d.workload, books, sim.Judging{})
	d.picture = picture
	for _, v := range verdicts {
		d.verdict(v)
	}
	if err := d.judgePayments(ctx); err != nil {
		return err
	}
	heads, err := d.field.Heads(ctx)
	if _, none := unsupportedReason(err); err != nil && !none {
		return err
	}
	d.verdict(d.witness.Verdict(d.history, heads))
	if sink := d.field.Sink(); sink != nil {
		v := sink.Verdict(d.history, nil)
		v.Checker, v.Name = "sink", "the webhook receiver heard of every command, once after deduplication, in order on each account"
		d.verdict(v)
	}
	return d.verify(ctx)
}

// judgePayments asks what became of the payments of the story.
func (d *drill) judgePayments(ctx context.Context) error {
	if !d.story.Paying.any() {
		return nil
	}
	pays := d.field.Payments()
	if pays == nil {
		d.report.Verdicts = append(d.report.Verdicts, evidence.Verdict{
			Name: "the payments of the story", Checker: "payments", Status: evidence.Skipped, Detail: []string{"this field has no provider of the drill"},
		})
		return nil
	}
	began := time.Now()
	broken := slices.ContainsFunc(d.story.Steps, func(s Step) bool { return !rules[s.Fault].pays })
	all, err := pays.read(ctx, broken)
	if err != nil {
		return err
	}
	for _, v := range all.verdicts() {
		v.Took, began = time.Since(began), time.Now()
		for _, note := range v.Notes {
			d.say("%s: %s", v.Checker, note)
		}
		d.verdict(v)
	}
	return nil
}

func (d *drill) verdict(v sim.Verdict) {
	detail := append([]string{}, v.Problems...)
	detail = append(detail, v.Notes...)
	d.report.Verdicts = append(d.report.Verdicts, evidence.Verdict{
		Name: v.Name, Checker: v.Checker, Status: evidence.Status(v.Status), Looked: v.Looked, Detail: detail, Seconds: v.Took.Seconds(),
	})
	switch v.Checker {
	case "lost_write":
		d.report.Totals.LostWrites = v.Found
	case "double_effect":
		d.report.Totals.DoubleEffects = v.Found
	}
}

// verify proves the books on the database.
func (d *drill) verify(ctx context.Context) error {
	v := evidence.Verdict{Name: "meridian verify finds the books whole", Checker: "verify", Status: evidence.Passed, Detail: []string{}}
	began := time.Now()
	report, err := d.field.Verify(ctx)
	v.Seconds = time.Since(began).Seconds()
	if reason, is := unsupportedReason(err); is {
		v.Status, v.Detail = evidence.Skipped, []string{reason}
		d.report.Verdicts = append(d.report.Verdicts, v)
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range report.Checks {
		v.Looked += int(c.Rows)
		if c.OK() {
			continue
		}
		v.Status = evidence.Failed
		v.Detail = append(v.Detail, fmt.Sprintf("%s: %d places where this is broken: %s", c.Name, c.Found, c.Promise))
		for _, f := range c.Findings[:min(len(c.Findings), 20)] {
			v.Detail = append(v.Detail, fmt.Sprintf("%s: %s %s: %s", c.Name, f.Ledger, f.Account, f.Message))
		}
	}
	d.report.Verdicts = append(d.report.Verdicts, v)
	return nil
}

// finish measures, counts and concludes.
func (d *drill) finish() {
	h, r := d.history, &d.report
	acts := d.timeline.done()
	r.Steps = d.timeline.steps()
	r.Recovery = recoveries(d.story, d.field.Engine(), h, acts)
	r.Phases = phases(h, acts, r.Recovery, d.story.Load.Slow)
	for _, s := range h.Series(bucket) {
		r.Series = append(r.Series, evidence.Series{Region: s.Region, OK: s.OK, Failed: s.Failed, P50: s.P50, P99: s.P99, Max: s.Max})
	}
	t := h.Totals(d.story.Load.Slow)
	events, repeats, _ := d.witness.Heard()
	judged := r.Totals
	r.Totals = evidence.Totals{
		Clients: t.Clients, Requests: t.Requests, FailedRequests: t.FailedRequests, SlowRequests: t.SlowRequests, Commands: t.Commands,
		Acknowledged: t.Acknowledged, Declined: t.Declined, Unknown: t.Unknown, Replays: t.Replays, Moved: t.Moved, Reads: t.Reads,
		LostWrites: judged.LostWrites, RestoredLoss: judged.RestoredLoss, DoubleEffects: judged.DoubleEffects, Events: events, EventRepeats: repeats,
	}
	r.Verdicts = append(r.Verdicts, d.timeline.verdict())
	r.Passed = true
	for _, v := range r.Verdicts {
		r.Passed = r.Passed && v.Status != evidence.Failed
	}
	for _, one := range r.Recovery {
		r.Passed = r.Passed && one.Met
	}
	r.Seconds = time.Since(d.began).Seconds()
	d.say("done")
}
