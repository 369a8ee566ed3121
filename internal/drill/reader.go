package drill

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// engines are those that a story may name.
var engines = []string{cluster.CockroachDB, cluster.PostgreSQL}

// reader turns the tree of one file into a story.
type reader struct{ *yamltree.Reader }

func (r reader) story(root ast.Node) Story {
	s := Story{Engines: engines, Topology: "three-continents", Databases: 1, Servers: 1}
	if root == nil {
		return s
	}
	f, _ := r.Fields(root, "a drill", []string{"name", "title", "why", "load", "timeline"},
		[]string{"engines", "quick", "topology", "databases", "servers", "server_flags", "sink", "small_disk_mib", "fake_clock", "relay_alone", "payments", "recovery", "rpo"})
	s.Name, s.Title, s.Why = r.name(f["name"]), r.sentence(f["title"], "title", 100), r.sentence(f["why"], "why", 1000)
	if n := f["engines"]; n != nil {
		s.Engines = r.oneOf(n, "engines", engines)
	}
	if n := f["quick"]; n != nil {
		s.Quick = r.oneOf(n, "quick", s.Engines)
	}
	s.Sink, s.FakeClock, s.RelayAlone = r.truth(f["sink"], "sink"), r.truth(f["fake_clock"], "fake_clock"), r.truth(f["relay_alone"], "relay_alone")
	if n := f["topology"]; n != nil {
		s.Topology = r.sentence(n, "topology", 200)
	}
	s.Databases, s.Servers = r.count(f["databases"], "databases", 1, maxMembers, 1), r.count(f["servers"], "servers", 1, maxMembers, 1)
	s.SmallDisk, s.RPO = r.count(f["small_disk_mib"], "small_disk_mib", 64, 1<<20, 0), r.count(f["rpo"], "rpo", 0, 1_000_000_000, 0)
	if n := f["server_flags"]; n != nil {
		for _, item := range r.List(n, "server_flags") {
			s.Flags = append(s.Flags, r.sentence(item, "a flag", 200))
		}
	}
	s.Load = r.load(f["load"], s.Engines)
	s.Steps = r.timeline(f["timeline"], s.Load.Duration)
	if n := f["payments"]; n != nil {
		s.Paying = r.payments(n, s.Engines)
	}
	for _, step := range s.Steps {
		needs, there := "deposits", len(s.Paying.Deposits) > 0
		if step.Fault != FaultCallbacks {
			needs, there = "withdrawals", len(s.Paying.Withdrawals) > 0
		}
		if rules[step.Fault].pays && !there {
			r.Complain(f["timeline"], "%s is about %s, and there are none; add payments: {%s: 10}", step.Fault, needs, needs)
		}
	}
	s.Recovery = r.recovery(f["recovery"], s.Steps, s.Engines)
	return s
}

func (r reader) name(n ast.Node) string {
	name, ok := yamltree.Text(n)
	if !ok || name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		r.Complain(n, "name is %s; write 1 to 63 of a-z 0-9 _", yamltree.Describe(n))
		return ""
	}
	return name
}

func (r reader) sentence(n ast.Node, what string, most int) string {
	text, ok := yamltree.Scalar(n)
	text = strings.Join(strings.Fields(text), " ")
	if !ok || text == "" || len(text) > most {
		r.Complain(n, "%s is %s; write a text of 1 to %d characters", what, yamltree.Describe(n), most)
		return ""
	}
	return text
}

func (r reader) truth(n ast.Node, what string) bool {
	if n == nil {
		return false
	}
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.Complain(n, "%s is %s; write true or false", what, yamltree.Describe(n))
		return false
	}
	return b.Value
}

func (r reader) count(n ast.Node, what string, low, high, otherwise int) int {
	if n == nil {
		return otherwise
	}
	digits, ok := yamltree.Number(n)
	v, err := strconv.Atoi(digits)
	if !ok || err != nil || v < low || v > high {
		r.Complain(n, "%s is %s; write a whole number from %d to %d", what, yamltree.Describe(n), low, high)
		return otherwise
	}
	return v
}

// share reads a percentage as a part of one.
func (r reader) share(n ast.Node, what string) float64 {
	if n == nil {
		return 0
	}
	text, _ := yamltree.Scalar(n)
	digits, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if !percent || err != nil || v < 0 || v > 100 {
		r.Complain(n, "%s is %s; write a percentage, as in 20%%", what, yamltree.Describe(n))
		return 0
	}
	return v / 100
}

func (r reader) duration(n ast.Node, what string, low, high, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	text, _ := yamltree.Scalar(n)
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high {
		r.Complain(n, "%s is %s; write a time from %s to %s, as in 1.5s", what, yamltree.Describe(n), low, high)
		return otherwise
	}
	return d
}

func (r reader) oneOf(n ast.Node, what string, allowed []string) []string {
	var found []string
	for _, item := range r.List(n, what) {
		text, _ := yamltree.Text(item)
		if !slices.Contains(allowed, text) {
			r.Complain(item, "%s has %s; write %s", what, yamltree.Describe(item), strings.Join(allowed, " or "))
			continue
		}
		if slices.Contains(found, text) {
			r.Complain(item, "%s has %s twice", what, text)
			continue
		}
		found = append(found, text)
	}
	return found
}

func (r reader) load(n ast.Node, on []string) Load {
	l := Load{}
	if n == nil {
		return l
	}
	f, _ := r.Fields(n, "load", []string{"clients", "accounts", "duration"},
		[]string{"hot", "think", "attempt", "patience", "slow", "reads", "storm"})
	l.Clients, l.Accounts = r.count(f["clients"], "clients", 1, maxClients, 1), r.count(f["accounts"], "accounts", 2, maxAccounts, 2)
	l.Hot = r.count(f["hot"], "hot", 0, l.Accounts, 0)
	l.Duration = r.duration(f["duration"], "duration", time.Second, maxDuration, time.Second)
	l.Think = r.times(f["think"], "think", on)
	l.Attempt = r.duration(f["attempt"], "attempt", 10*time.Millisecond, time.Minute, 3*time.Second)
	l.Patience = r.duration(f["patience"], "patience", time.Second, time.Hour, time.Minute)
	l.Slow = r.duration(f["slow"], "slow", time.Millisecond, time.Minute, time.Second)
	l.Reads, l.Storm = r.share(f["reads"], "reads"), r.count(f["storm"], "storm", 0, 20, 0)
	return l
}

func (r reader) payments(n ast.Node, on []string) Paying {
	f, _ := r.Fields(n, "payments", nil, []string{"deposits", "conflicts", "withdrawals", "within"})
	p := Paying{
		Deposits: r.counts(f["deposits"], "deposits", on), Conflicts: r.truth(f["conflicts"], "conflicts"),
		Withdrawals: r.counts(f["withdrawals"], "withdrawals", on), Within: r.times(f["within"], "within", on),
	}
	if !p.any() {
		r.Complain(n, "payments has nothing to pay; add deposits, withdrawals or both")
	}
	return p
}

func (r reader) timeline(n ast.Node, lasts time.Duration) []Step {
	if n == nil {
		return nil
	}
	items := r.List(n, "timeline")
	steps := make([]Step, 0, len(items))
	for _, item := range items {
		s, ok := r.step(item, lasts)
		if !ok {
			continue
		}
		if slices.ContainsFunc(steps, func(other Step) bool { return other.Name == s.Name }) {
			s.Name = fmt.Sprintf("%s_%d", s.Name, len(steps)+1)
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return int(a.At - b.At) })
	return steps
}

func (r reader) step(n ast.Node, lasts time.Duration) (Step, bool) {
	pairs, ok := yamltree.Pairs(n)
	if !ok {
		r.Complain(n, "a step is %s; write the fields at, do and what the fault takes", yamltree.Describe(n))
		return Step{}, false
	}
	var fault ast.Node
	for _, p := range pairs {
		if key, _ := yamltree.Text(p.Key); key == "do" {
			fault = p.Value
		}
	}
	name, _ := yamltree.Text(fault)
	rule, found := rules[Fault(name)]
	if !found {
		r.Complain(cmp.Or(fault, n), "do is %s; the faults are %s", yamltree.Describe(fault), strings.Join(known(), ", "))
		return Step{}, false
	}
	required, optional := []string{"at", "do"}, []string{"name"}
	if rule.members {
		required = append(required, "on")
	}
	if rule.links {
		required = append(required, "from", "to")
	}
	if rule.undone {
		optional = append(optional, "for")
	}
	f, ok := r.Fields(n, "the step "+name, append(required, rule.params...), append(optional, rule.also...))
	s := Step{Name: name, Fault: Fault(name)}
	if f["name"] != nil {
		s.Name = r.name(f["name"])
	}
	s.At = r.duration(f["at"], "at", 0, maxDuration, 0)
	s.For = r.duration(f["for"], "for", 10*time.Millisecond, maxDuration, 0)
	if lasts > 0 && s.At >= lasts {
		r.Complain(f["at"], "at is %s, when the load of %s is over; let it begin earlier", s.At, lasts)
	}
	s.On, s.From, s.To = r.places(f["on"], "on", rule.roles), r.places(f["from"], "from", rule.roles), r.places(f["to"], "to", rule.roles)
	s.Params = Params{
		OneWay: r.truth(f["one_way"], "one_way"),
		Delay:  r.duration(f["delay"], "delay", time.Millisecond, time.Minute, 0), Jitter: r.duration(f["jitter"], "jitter", 0, time.Minute, 0),
		Loss: r.share(f["loss"], "loss"), Rate: int64(r.count(f["rate"], "rate", 1, 1<<40, 0)), Share: r.share(f["share"], "share"),
		By: r.duration(f["by"], "by", -maxDuration, maxDuration, 0), Copies: r.count(f["copies"], "copies", 1, 100, 1),
	}
	if ok {
		s.Text = rule.say(s)
	}
	return s, ok
}

// places reads one place or a list of them.
func (r reader) places(n ast.Node, what string, allowed []Role) []Place {
	if n == nil {
		return nil
	}
	items := []ast.Node{n}
	if _, one := yamltree.Text(n); !one {
		items = r.List(n, what)
	}
	var all []Place
	for _, item := range items {
		text, _ := yamltree.Text(item)
		p, err := ParsePlace(text)
		if err != nil {
			r.Complain(item, "%s: %s", what, err)
			continue
		}
		if allowed != nil && !slices.Contains(allowed, p.Role) {
			r.Complain(item, "%s is %s; this fault befalls %v", what, p, allowed)
			continue
		}
		all = append(all, p)
	}
	return all
}

func (r reader) recovery(n ast.Node, steps []Step, on []string) []Recovery {
	if n == nil {
		return nil
	}
	var all []Recovery
	for _, item := range r.List(n, "recovery") {
		f, ok := r.Fields(item, "a recovery", []string{"after", "within"}, []string{"regions", "from"})
		if !ok {
			continue
		}
		var one Recovery
		one.Step, _ = yamltree.Text(f["after"])
		at := slices.IndexFunc(steps, func(s Step) bool { return s.Name == one.Step })
		if at < 0 {
			r.Complain(f["after"], "after is %s; name a step of the timeline", yamltree.Describe(f["after"]))
			continue
		}
		if n := f["regions"]; n != nil {
			for _, item := range r.List(n, "regions") {
				one.Regions = append(one.Regions, r.sentence(item, "a region", 63))
			}
		}
		if n := f["from"]; n != nil {
			moment, _ := yamltree.Text(n)
			one.FromEnd = moment == "end"
			if moment != "begin" && (moment != "end" || steps[at].For == 0) {
				r.Complain(n, "from is %s; write begin, or end where the step has for", yamltree.Describe(n))
			}
		}
		one.Within = r.times(f["within"], "within", on)
		all = append(all, one)
	}
	return all
}

// times reads a time for all engines, or one for each.
func (r reader) times(n ast.Node, what string, on []string) map[string]time.Duration {
	return byEngine(r, n, what, on, func(n ast.Node) time.Duration { return r.duration(n, what, time.Millisecond, maxDuration, 0) })
}

// counts reads how many there are on all engines, or on each.
func (r reader) counts(n ast.Node, what string, on []string) map[string]int {
	const most = 10_000
	return byEngine(r, n, what, on, func(n ast.Node) int { return r.count(n, what, 1, most, 0) })
}

// byEngine reads a value for all engines, or one for each; nothing where nothing is said.
func byEngine[T any](r reader, n ast.Node, what string, on []string, read func(ast.Node) T) map[string]T {
	if n == nil {
		return nil
	}
	values := map[string]T{}
	pairs, each := yamltree.Pairs(n)
	if !each {
		v := read(n)
		for _, engine := range on {
			values[engine] = v
		}
		return values
	}
	for _, p := range pairs {
		engine, _ := yamltree.Text(p.Key)
		if !slices.Contains(on, engine) {
			r.Complain(p.Key, "%s has %s; the drill runs on %s", what, yamltree.Describe(p.Key), strings.Join(on, " and "))
			continue
		}
		values[engine] = read(p.Value)
	}
	return values
}
