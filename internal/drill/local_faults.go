package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/fault"
)

// Do implements Field.
func (f *Local) Do(ctx context.Context, s Step) (undo Undo, err error) {
	switch s.Fault {
	case FaultSinkOutage:
		f.sink.down()
		return ended(f.sink.up), nil
	case FaultCallbacks:
		f.pays.tell(ctx, s.Params.Copies)
		return nil, nil
	case FaultProviderSilent, FaultProviderErrors:
		f.psp.fail(s.Fault)
		return func(context.Context) (string, error) {
			defer f.pays.mark()
			return fmt.Sprintf("the provider was asked %d times while it failed", f.psp.up()), nil
		}, nil
	case FaultCollectHistory:
		return nil, f.collectHistory(ctx)
	case FaultBackup, FaultLoseAll:
		return nil, f.restore(ctx, s.Fault)
	case FaultPartition, FaultRefuse, FaultReset, FaultLatency, FaultLoss, FaultBandwidth:
		return f.disturb(s)
	default:
	}
	if f.relay != nil && slices.ContainsFunc(s.On, func(p Place) bool { return p.Role == RoleRelay }) {
		return f.loneRelay(s)
	}
	members, err := f.members(ctx, s.On)
	if err != nil {
		return nil, err
	}
	switch s.Fault {
	case FaultCutCommits:
		return f.cutCommits(members, s.Params.Share), nil
	case FaultMove:
		return nil, f.move(members)
	case FaultDiskFull, FaultSlowDisk, FaultClockJump:
		return f.hurt(members, s)
	default:
		return f.process(ctx, members, s.Fault)
	}
}

// process does what befalls processes.
func (f *Local) process(ctx context.Context, members []*cluster.Member, fault Fault) (undo Undo, err error) {
	start := quietly(func(ctx context.Context) error { return f.start(ctx, members) })
	switch fault {
	case FaultKill:
		return start, each(members, func(m *cluster.Member) error { return m.Kill(ctx) })
	case FaultStop:
		return start, each(members, func(m *cluster.Member) error { return m.Stop(ctx) })
	case FaultPause:
		resume := quietly(func(context.Context) error { return each(members, (*cluster.Member).Resume) })
		return resume, each(members, (*cluster.Member).Pause)
	case FaultRestart:
		if err := each(members, func(m *cluster.Member) error { return m.Kill(ctx) }); err != nil {
			return nil, err
		}
		return nil, f.start(ctx, members)
	case FaultRollingRestart:
		for _, m := range members {
			if err := errors.Join(m.Stop(ctx), m.Start(ctx)); err != nil {
				return nil, fmt.Errorf("restart %s: %w", m.Name, err)
			}
		}
		return nil, nil
	default:
		return nil, unsupported("nobody knows how to %s a process", fault)
	}
}

// start brings members back: databases first, because servers are ready when they reach one.
func (f *Local) start(ctx context.Context, members []*cluster.Member) error {
	for _, kind := range []cluster.Kind{cluster.Database, cluster.Server} {
		some := slices.DeleteFunc(slices.Clone(members), func(m *cluster.Member) bool { return m.Kind != kind || m.Alive() })
		if err := each(some, func(m *cluster.Member) error { return m.Start(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// members are the processes that places name.
func (f *Local) members(ctx context.Context, places []Place) ([]*cluster.Member, error) {
	var all []*cluster.Member
	for _, p := range places {
		found := len(all)
		if p.Role == RoleRelay {
			m, err := f.relays(ctx, p.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
			continue
		}
		for _, m := range f.net.Members() {
			if p.takes(m.Endpoint) && !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
		if len(all) == found {
			return nil, unsupported("there is no %s in this deployment", p.says())
		}
	}
	return all, nil
}

// takes tells whether a place names an end of a link.
func (p Place) takes(e cluster.Endpoint) bool {
	if p.Index > 0 && !strings.HasSuffix(e.Name, strconv.Itoa(p.Index)) {
		return false
	}
	here := p.Name == "*" || e.Region == p.Name
	switch p.Role {
	case RoleDatabase:
		return here && e.Kind == cluster.Database
	case RoleServer:
		return here && e.Kind == cluster.Server
	case RoleClients:
		return here && e.Kind == cluster.Clients
	case RoleRegion:
		return here
	case RoleZone:
		return e.Kind == cluster.Database && (p.Name == "*" || e.Zone == p.Name)
	default:
		return false
	}
}

func anyOf(places []Place) func(cluster.Endpoint) bool {
	return func(e cluster.Endpoint) bool {
		return slices.ContainsFunc(places, func(p Place) bool { return p.takes(e) })
	}
}

// disturb does what befalls links. A link is one that is dialled from one side to the other, in either direction: a connection carries both.
func (f *Local) disturb(s Step) (undo Undo, err error) {
	from, to := anyOf(s.From), anyOf(s.To)
	towards := f.net.Links(func(a, b cluster.Endpoint) bool { return from(a) && to(b) && (!from(b) || !to(a)) })
	back := f.net.Links(func(a, b cluster.Endpoint) bool { return to(a) && from(b) })
	if len(towards)+len(back) == 0 {
		return nil, unsupported("nothing of this deployment goes between %s and %s", sayPlaces(s.From), sayPlaces(s.To))
	}
	var c fault.Condition
	p := s.Params
	switch s.Fault {
	case FaultPartition:
		end := f.net.Partition(from, to, p.OneWay)
		return ended(end), nil
	case FaultReset:
		for _, l := range slices.Concat(towards, back) {
			l.ResetAll()
		}
		return nil, nil
	case FaultRefuse:
		end := f.net.Disturb(slices.Concat(towards, back), fault.Shape{Refuse: true})
		return ended(end), nil
	case FaultLatency:
		c = fault.Condition{Delay: p.Delay, Jitter: p.Jitter}
	case FaultLoss:
		c = fault.Condition{Loss: p.Loss}
	default:
		c = fault.Condition{Rate: p.Rate}
	}
	there, here := fault.Shape{Forward: c}, fault.Shape{Backward: c}
	if !p.OneWay {
		there.Backward, here.Forward = c, c
	}
	ends := []func(){f.net.Disturb(towards, there), f.net.Disturb(back, here)}
	return ended(ends...), nil
}

// ended is an Undo of what ends by calls that can not fail.
func ended(ends ...func()) Undo {
	return func(context.Context) (string, error) {
		for _, end := range ends {
			end()
		}
		return "", nil
	}
}

// cutCommits cuts a share of the commits of servers: of every other one before the database got it, of the rest after it was done.
func (f *Local) cutCommits(servers []*cluster.Member, share float64) Undo {
	var links []*fault.Link
	for i, m := range servers {
		at := []fault.Moment{fault.BeforeServer, fault.AfterServer}[i%2]
		for _, l := range f.net.Links(func(a, b cluster.Endpoint) bool { return a.Name == m.Name && b.Kind == cluster.Database }) {
			l.InjectCommits(fault.CommitFault{At: at, Probability: share, Seed: uint64(len(links))})
			links = append(links, l)
		}
	}
	return func(context.Context) (string, error) {
		cut := int64(0)
		for _, l := range links {
			l.InjectCommits(fault.CommitFault{})
			cut += l.Stats().CommitsCut
		}
		return fmt.Sprintf("%d commits were cut, each of a group of commands", cut), nil
	}
}

// move lets clients find another server under the address of one: its name points elsewhere, and what stood behind it is gone for them.
func (f *Local) move(servers []*cluster.Member) error {
	for _, m := range servers {
		others := slices.DeleteFunc(f.near(m.Region), func(other *cluster.Member) bool { return other == m })
		if len(others) == 0 {
			return unsupported("there is one server only")
		}
		for _, l := range f.net.Links(func(a, b cluster.Endpoint) bool { return a.Kind == cluster.Clients && b.Name == m.Name }) {
			l.SetTarget(others[0].Address())
			l.ResetAll()
		}
	}
	return nil
}

// hurt does what takes rights that not every machine grants.
func (f *Local) hurt(members []*cluster.Member, s Step) (undo Undo, err error) {
	var undone []func() error
	free := func(context.Context) error {
		var failed []error
		for _, u := range undone {
			failed = append(failed, u())
		}
		return errors.Join(failed...)
	}
	for _, m := range members {
		switch s.Fault {
		case FaultDiskFull:
			var empty func() error
			if empty, err = m.FillDisk(); err == nil {
				undone = append(undone, empty)
			}
		case FaultSlowDisk:
			if err = m.SlowDisk(100 * time.Millisecond); err == nil {
				undone = append(undone, func() error { return m.SlowDisk(0) })
			}
		default:
			if err = m.JumpClock(s.Params.By); err == nil {
				undone = append(undone, func() error { return m.JumpClock(-s.Params.By) })
			}
		}
		if errors.Is(err, cluster.ErrUnsupported) || errors.Is(err, cluster.ErrNoSmallDisk) {
			return nil, errors.Join(unsupported("%v", err), free(context.Background()))
		}
		if err != nil {
			return nil, errors.Join(err, free(context.Background()))
		}
	}
	return quietly(free), nil
}
