package drill

import (
	"fmt"
	"slices"
	"time"
)

// Fault is what a step does.
type Fault string

// The faults.
const (
	FaultKill           Fault = "kill"            // SIGKILL; undone by a start on the same data
	FaultPause          Fault = "pause"           // SIGSTOP: the process is there and answers nothing; undone by SIGCONT
	FaultStop           Fault = "stop"            // a server drains, a database shuts down in order; undone by a start
	FaultRestart        Fault = "restart"         // kill and start at once
	FaultRollingRestart Fault = "rolling_restart" // stop and start, one after another, each ready before the next
	FaultPartition      Fault = "partition"       // bytes between two places vanish, also one way; undone by letting them pass
	FaultRefuse         Fault = "refuse"          // connections between two places are reset, new ones refused
	FaultReset          Fault = "reset"           // connections between two places are reset once
	FaultLatency        Fault = "latency"         // added to what is there, one way each
	FaultLoss           Fault = "loss"            // a share of segments is held back by retransmissions
	FaultBandwidth      Fault = "bandwidth"       // a bound in bytes a second
	FaultCutCommits     Fault = "cut_commits"     // connections are cut in the middle of COMMIT, before or after the database got it
	FaultMove           Fault = "move"            // what clients call a server stands at another address: the old one is gone
	FaultSinkOutage     Fault = "sink_outage"     // the drill's webhook receiver answers nothing
	FaultCallbacks      Fault = "callbacks"       // the drill's payment provider posts what it has to tell, all at once
	FaultProviderSilent Fault = "provider_silent" // it takes orders and questions, and answers none; every other order has its effect
	FaultProviderErrors Fault = "provider_errors" // it answers 500; every other order has its effect
	FaultDiskFull       Fault = "disk_full"
	FaultSlowDisk       Fault = "slow_disk"
	FaultClockJump      Fault = "clock_jump"
	FaultCollectHistory Fault = "collect_history" // the engine throws its history away, as after the time that it is kept
	FaultBackup         Fault = "backup"
	FaultLoseAll        Fault = "lose_everything" // the data of all database nodes are gone; what is left is the last backup, which is restored
)

// rule says what a fault takes.
type rule struct {
	members bool     // on: …
	links   bool     // from: …, to: …
	undone  bool     // for: … undoes it
	params  []string // required
	also    []string // optional
	pays    bool     // it is the provider's: payments: …
	roles   []Role   // that may be named; nil: all
	say     func(Step) string
}

var (
	processes = []Role{RoleDatabase, RoleServer, RoleRegion, RoleZone, RoleRelay}
	databases = []Role{RoleDatabase}
	ends      = []Role{RoleDatabase, RoleServer, RoleClients, RoleRegion, RoleZone}
)

func on(verb string) func(Step) string {
	return func(s Step) string { return verb + " " + sayPlaces(s.On) }
}

func between(verb string) func(Step) string {
	return func(s Step) string {
		if s.Params.OneWay {
			return verb + " from " + sayPlaces(s.From) + " to " + sayPlaces(s.To)
		}
		return verb + " between " + sayPlaces(s.From) + " and " + sayPlaces(s.To)
	}
}

// rules is the table of faults. What a story may say, and chaos/README.md, follow from it.
var rules = map[Fault]rule{
	FaultKill:           {members: true, undone: true, roles: processes, say: on("kill -9")},
	FaultPause:          {members: true, undone: true, roles: processes, say: on("freeze")},
	FaultStop:           {members: true, undone: true, roles: processes, say: on("stop")},
	FaultRestart:        {members: true, roles: processes, say: on("kill and start again")},
	FaultRollingRestart: {members: true, roles: processes, say: on("restart one after another")},
	FaultPartition:      {links: true, undone: true, also: []string{"one_way"}, roles: ends, say: between("nothing passes")},
	FaultRefuse:         {links: true, undone: true, roles: ends, say: between("connections are refused")},
	FaultReset:          {links: true, roles: ends, say: between("connections are reset")},
	FaultLatency: {links: true, undone: true, params: []string{"delay"}, also: []string{"jitter", "one_way"}, roles: ends, say: func(s Step) string {
		return between(fmt.Sprintf("%s more each way", s.Params.Delay))(s)
	}},
	FaultLoss: {links: true, undone: true, params: []string{"loss"}, also: []string{"one_way"}, roles: ends, say: func(s Step) string {
		return between(fmt.Sprintf("%.3g %% of segments are lost", 100*s.Params.Loss))(s)
	}},
	FaultBandwidth: {links: true, undone: true, params: []string{"rate"}, also: []string{"one_way"}, roles: ends, say: func(s Step) string {
		return between(fmt.Sprintf("%d bytes a second", s.Params.Rate))(s)
	}},
	FaultCutCommits: {members: true, undone: true, params: []string{"share"}, roles: []Role{RoleServer}, say: func(s Step) string {
		return fmt.Sprintf("cut %.3g %% of the commits of %s", 100*s.Params.Share, sayPlaces(s.On))
	}},
	FaultMove:       {members: true, roles: []Role{RoleServer}, say: on("move to another address")},
	FaultSinkOutage: {undone: true, say: func(Step) string { return "the webhook receiver is gone" }},
	FaultCallbacks: {pays: true, also: []string{"copies"}, say: func(s Step) string {
		if s.Params.Copies > 1 {
			return fmt.Sprintf("the provider posts its callbacks, each %d times at once", s.Params.Copies)
		}
		return "the provider posts its callbacks, all at once"
	}},
	FaultProviderSilent: {pays: true, undone: true, say: func(Step) string { return "the provider answers nothing" }},
	FaultProviderErrors: {pays: true, undone: true, say: func(Step) string { return "the provider answers 500" }},
	FaultDiskFull:       {members: true, undone: true, roles: databases, say: on("fill the disk of")},
	FaultSlowDisk:       {members: true, undone: true, roles: databases, say: on("slow the disk of")},
	FaultClockJump:      {members: true, undone: true, params: []string{"by"}, roles: databases, say: func(s Step) string { return on("move the clock by " + signed(s.Params.By) + " of")(s) }},
	FaultCollectHistory: {say: func(Step) string { return "the database forgets its history" }},
	FaultBackup:         {say: func(Step) string { return "take a backup" }},
	FaultLoseAll:        {say: func(Step) string { return "lose every database node and its data, and restore the backup" }},
}

func signed(d time.Duration) string {
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}

// known lists the faults in alphabetical order.
func known() []string {
	names := make([]string, 0, len(rules))
	for f := range rules {
		names = append(names, string(f))
	}
	slices.Sort(names)
	return names
}
