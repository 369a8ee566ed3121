package drill

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/meridian-ledger/meridian/chaos"
	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/regions"
)

const given = `name: given
title: A title
why: A reason
load: {clients: 2, accounts: 10, duration: 10s}
timeline:
  - {at: 1s, do: kill, on: server/us-east1, for: 2s}
  - {at: 4s, do: partition, from: region/us-east1, to: [region/europe-west1, clients/*], one_way: true, for: 1s}
recovery:
  - {after: kill, within: 2s}
  - {after: partition, from: end, regions: [us-east1], within: {postgresql: 3s}}
`

func parsed(t *testing.T, text string) Story {
	t.Helper()
	s, err := Parse("given.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse_ReadsWhatAPersonWrote(t *testing.T) {
	s := parsed(t, given)
	if s.Topology != "three-continents" || s.Databases != 1 || s.Servers != 1 || !s.Runs(cluster.CockroachDB) || !s.Runs(cluster.PostgreSQL) || s.Load.Attempt != 3*time.Second {
		t.Errorf("the defaults are not those of the reference: %+v", s)
	}
	kill, partition := s.Steps[0], s.Steps[1]
	if kill.At != time.Second || kill.For != 2*time.Second || kill.Text != "kill -9 server nodes of us-east1" {
		t.Errorf("the first step is %+v", kill)
	}
	if !partition.Params.OneWay || len(partition.To) != 2 || partition.Text != "nothing passes from region us-east1 to region europe-west1, all clients" {
		t.Errorf("the second step is %+v", partition)
	}
	if s.Recovery[0].Within[cluster.CockroachDB] != 2*time.Second || s.Recovery[1].Within[cluster.PostgreSQL] != 3*time.Second || len(s.Recovery[1].Within) != 1 || !s.Recovery[1].FromEnd {
		t.Errorf("the limits are %+v", s.Recovery)
	}
}

func TestParse_SaysWhatIsWrongWithLineAndRemedy(t *testing.T) {
	for _, c := range []struct{ replace, with, want string }{
		{"name: given", "name: Given!", `given.yaml:1:7: name is "Given!"; write 1 to 63 of a-z 0-9 _`},
		{"do: kill", "do: explode", `given.yaml:6:18: do is "explode"; the faults are backup,`},
		{"on: server/us-east1", "on: toaster/us-east1", `"toaster/us-east1" is no place; write one as in database/us-east1`},
		{"on: server/us-east1", "on: clients/us-east1", "this fault befalls"},
		{"on: server/us-east1", "on: region/us-east1/2", "a number from 1 to 9 may follow"},
		{"on: server/us-east1, ", "", "the step kill has no on; add the field on"},
		{"at: 1s", "at: 11s", "when the load of 10s is over"},
		{"at: 1s", "at: soon", `at is "soon"; write a time`},
		{"duration: 10s", "duration: 10s, reads: 0.2", "reads is 0.2; write a percentage"},
		{"clients: 2", "clients: 100000", "clients is 100000; write a whole number from 1 to 512"},
		{"after: kill", "after: murder", `after is "murder"; name a step of the timeline`},
		{"within: {postgresql: 3s}", "within: {mysql: 3s}", "the drill runs on cockroachdb and postgresql"},
		{"within: 2s}", "within: 2s, from: middle}", "from is \"middle\"; write begin, or end"},
		{"title: A title\n", "", "a drill has no title; add the field title"},
		{"do: kill, on: server/us-east1, for: 2s", "name: kill, do: callbacks", "callbacks is about deposits, and there are none; add payments: {deposits: 10}"},
		{"why: A reason\nload: {clients: 2, accounts: 10, duration: 10s}\ntimeline:", "why: A reason\npayments: {deposits: 5}\nload: {clients: 2, accounts: 10, duration: 10s}\ntimeline:\n  - {at: 1s, do: provider_silent}", "provider_silent is about withdrawals"},
		{"why: A reason", "why: A reason\npayments: {conflicts: true}", "payments has nothing to pay; add deposits, withdrawals or both"},
		{"why: A reason", "why: A reason\npayments: {deposits: 5, within: {mysql: 1s}}", "the drill runs on cockroachdb and postgresql"},
		{"one_way: true", "sideways: true", "the step partition has no field \"sideways\""},
	} {
		text := strings.Replace(given, c.replace, c.with, 1)
		if text == given {
			t.Fatalf("%q is not in the story", c.replace)
		}
		_, err := Parse("given.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.with, err, c.want)
		}
	}
}

func TestLoadStory_NamesWhatThereIsAndHoldsFilesToTheirNames(t *testing.T) {
	if _, err := LoadStory(chaos.FS, "flood"); err == nil || !strings.Contains(err.Error(), "region_loss") {
		t.Errorf("got %v, want the drills that there are", err)
	}
	if _, err := LoadStory(chaos.FS, "../chaos/region_loss"); err == nil {
		t.Error("a path was taken for a name")
	}
	copied := fstest.MapFS{"copy.yaml": {Data: []byte(given)}}
	if _, err := LoadStory(copied, "copy"); err == nil || !strings.Contains(err.Error(), "the same name") {
		t.Errorf("got %v: a copy passes for another drill", err)
	}
}

// shippedStories are all that ship.
func shippedStories(t *testing.T) []Story {
	t.Helper()
	names, err := Names(chaos.FS)
	if err != nil {
		t.Fatal(err)
	}
	var all []Story
	for _, name := range names {
		s, err := LoadStory(chaos.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestShipped_NameWhatTheirTopologyHas(t *testing.T) {
	for _, s := range shippedStories(t) {
		top, err := topology.Load(regions.FS, s.Topology)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		names := map[string]bool{"*": true}
		for _, r := range top.Regions {
			names[string(r.Name)] = true
			for _, z := range r.Zones {
				names[string(z)] = true
			}
		}
		for _, home := range top.HomeNames() {
			names[string(home)] = true
		}
		for _, step := range s.Steps {
			for _, p := range slices.Concat(step.On, step.From, step.To) {
				if !names[p.Name] {
					t.Errorf("%s: %s is not in topology %s", s.Name, p, s.Topology)
				}
			}
			if step.At+step.For >= s.Load.Duration {
				t.Errorf("%s: %s ends after the load", s.Name, step.Name)
			}
		}
		for _, r := range s.Recovery {
			for _, name := range r.Regions {
				if !names[name] {
					t.Errorf("%s: region %s is not in topology %s", s.Name, name, s.Topology)
				}
			}
		}
	}
}

// The drills that were promised, and the reference of the format names every fault.
func TestShipped_AreAllThere(t *testing.T) {
	names, err := Names(chaos.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"node_loss", "server_loss", "zone_loss", "region_loss", "region_partition", "asymmetric_partition", "rolling_upgrade", "slow_region",
		"database_restart", "commit_limbo", "retry_storm", "hot_account", "relay_failover", "sink_outage", "changefeed_gc", "backup_restore",
		"callback_storm", "provider_outage", "late_and_conflicting_callbacks", "duplicate_webhook",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
	reference, err := os.ReadFile("../../chaos/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range slices.Concat(known(), names) {
		if !strings.Contains(string(reference), "`"+word+"`") {
			t.Errorf("chaos/README.md does not tell of %s", word)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(given))
	f.Add([]byte("timeline: [{at: 1s, do: kill, on: [a, {b: c}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		if s.Name == "" || len(s.Engines) == 0 || s.Load.Clients < 1 || s.Load.Duration <= 0 {
			t.Errorf("a story that can not be run was taken: %+v", s)
		}
		for _, step := range s.Steps {
			if _, found := rules[step.Fault]; !found || step.Text == "" {
				t.Errorf("a step that can not be done was taken: %+v", step)
			}
		}
	})
}

func FuzzParseAim(f *testing.F) {
	f.Add([]byte("name: staging\nregions:\n  - {name: us-east1, servers: ['https://a'], homes: [us]}\nhook: ./break.sh\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAim("fuzz.yaml", data)
		if err == nil && (len(a.Regions) == 0 || a.Hook == "") {
			t.Errorf("a target that can not be aimed at was taken: %+v", a)
		}
	})
}
