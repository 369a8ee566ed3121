package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/drill/evidence"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/sim"
)

// backups are those of one drill.
type backups struct {
	dir   string
	began time.Time // the newest one: what was acknowledged before is in it
}

func (b *backups) close() error { return os.RemoveAll(b.dir) }

// restore takes a backup, or loses everything and comes back from it.
func (f *Local) restore(ctx context.Context, what Fault) (err error) {
	if what == FaultBackup {
		b := &backups{began: time.Now()}
		if b.dir, err = os.MkdirTemp("", "meridian-backup-"); err != nil {
			return fmt.Errorf("make a place for the backup: %w", err)
		}
		f.backups = b
		return f.net.Backup(ctx, b.dir)
	}
	if f.backups == nil {
		return errors.New("there is no backup to restore")
	}
	// Servers go down as well: a deployment that is restored starts anew, and nothing that a process remembers is true any more.
	servers := f.servers()
	if err := each(servers, func(m *cluster.Member) error { return m.Kill(ctx) }); err != nil {
		return err
	}
	if err := f.net.Restore(ctx, f.backups.dir); err != nil {
		return err
	}
	return f.start(ctx, servers)
}

// restored tells when the backup began that was restored, if one was: by a step, on a field that can.
func (d *drill) restored() (time.Time, bool) {
	f, is := d.field.(*Local)
	if !is || f.backups == nil || !slices.ContainsFunc(d.timeline.done(), func(a *act) bool { return a.Fault == FaultLoseAll }) {
		return time.Time{}, false
	}
	return f.backups.began, true
}

// judgeRestored holds a deployment that was restored against what clients were told before its backup began, and counts what they were told
// after it and is gone: that is the RPO of a restore, and the reason why losing a region must never need one.
func (d *drill) judgeRestored(ctx context.Context, books ledger.Service, backup time.Time) {
	since := backup.Sub(d.history.Start)
	before := *d.history
	before.Calls = slices.DeleteFunc(slices.Clone(d.history.Calls), func(c *sim.Call) bool {
		return c.State != sim.Acknowledged || c.Ended >= since
	})
	v := before.LostWrite(ctx, books, sim.Judging{})
	v.Name = "no command that was acknowledged before the backup began is missing"
	d.verdict(v)
	whole := d.history.LostWrite(ctx, books, sim.Judging{})
	status := sim.Passed
	if whole.Found > d.story.RPO {
		status = sim.Failed
	}
	oldest := d.history.Loaded - since
	d.verdict(sim.Verdict{
		Checker: "rpo", Name: fmt.Sprintf("a restore loses %d acknowledged commands at most", d.story.RPO), Status: status, Looked: whole.Looked, Found: whole.Found,
		Problems: []string{fmt.Sprintf("%d of %d acknowledged commands are gone; the backup began %.1f s before the load ended", whole.Found, whole.Looked, oldest.Seconds())},
		Took:     whole.Took,
	})
	d.report.Totals.RestoredLoss = whole.Found
	d.report.Verdicts = append(d.report.Verdicts, evidence.Verdict{
		Name: "the other promises to clients, which remember what the restored books do not", Checker: "restored", Status: evidence.Skipped,
		Detail: []string{"balances, reads, orders and events of after the backup have nothing to be held against: see rpo"},
	})
}
