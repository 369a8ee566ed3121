package topology

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/yamltree"
	"github.com/meridian-ledger/meridian/regions"
)

// shipped loads one of the topologies that come with Meridian.
func shipped(t testing.TB, name string) Topology {
	t.Helper()
	topology, err := Load(regions.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

func shippedNames(t testing.TB) []string {
	t.Helper()
	names, err := Names(regions.FS)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 5 {
		t.Fatalf("the shipped topologies are %v; five belong to them", names)
	}
	return names
}

func TestLoad_ShippedTopologiesSayWhereEachHomeLives(t *testing.T) {
	for _, row := range []struct {
		topology string
		survive  Survival
		primary  Region
		homes    map[id.Home]Region
	}{
		{"three-continents", SurviveRegion, "us-east1", map[id.Home]Region{"us": "us-east1", "eu": "europe-west1", "apac": "asia-northeast1"}},
		{"laptop", SurviveRegion, "us-east1", map[id.Home]Region{"us": "us-east1", "eu": "europe-west1", "apac": "asia-northeast1"}},
		{"single-region", SurviveZone, "europe-west1", map[id.Home]Region{"eu": "europe-west1"}},
		{"three-us-regions", SurviveRegion, "us-central1", map[id.Home]Region{"us-central": "us-central1", "us-east": "us-east1", "us-west": "us-west1"}},
		{"five-regions", SurviveRegion, "us-east1", map[id.Home]Region{"us": "us-east1", "eu": "europe-west1", "apac": "asia-northeast1"}},
	} {
		topology := shipped(t, row.topology)
		if topology.Survive != row.survive || topology.Primary() != row.primary || len(topology.Homes) != len(row.homes) {
			t.Errorf("%s: survives %s, primary %s, homes %v", row.topology, topology.Survive, topology.Primary(), topology.Homes)
		}
		for home, want := range row.homes {
			if got, ok := topology.RegionOf(home); !ok || got != want {
				t.Errorf("%s: home %s lives in %q, %v; want %s", row.topology, home, got, ok, want)
			}
		}
		if region, ok := topology.RegionOf("mars"); ok {
			t.Errorf("%s: home mars lives in %s; it should live nowhere", row.topology, region)
		}
	}
}

func TestRTT_IsSymmetricAndKnowsItsRegions(t *testing.T) {
	topology := shipped(t, "three-continents")
	for _, row := range []struct {
		a, b  Region
		rtt   time.Duration
		known bool
	}{
		{"us-east1", "europe-west1", 93 * time.Millisecond, true},
		{"europe-west1", "us-east1", 93 * time.Millisecond, true},
		{"asia-northeast1", "europe-west1", 226 * time.Millisecond, true},
		{"us-east1", "us-east1", 0, true},
		{"us-east1", "mars-north1", 0, false},
		{"mars-north1", "mars-north1", 0, false},
	} {
		if rtt, known := topology.RTT(row.a, row.b); rtt != row.rtt || known != row.known {
			t.Errorf("RTT(%s, %s) = %s, %v; want %s, %v", row.a, row.b, rtt, known, row.rtt, row.known)
		}
	}
}

func TestCommitFloor_IsTheWayToTheNearestOtherRegion(t *testing.T) {
	for _, row := range []struct {
		topology string
		region   Region
		floor    time.Duration
	}{
		{"three-continents", "us-east1", 93 * time.Millisecond},
		{"three-continents", "asia-northeast1", 155 * time.Millisecond},
		{"laptop", "europe-west1", 100 * time.Microsecond},
		{"single-region", "europe-west1", 0},
		{"five-regions", "us-west1", 40 * time.Millisecond},
		{"five-regions", "asia-northeast1", 88 * time.Millisecond},
	} {
		if floor := shipped(t, row.topology).CommitFloor(row.region); floor != row.floor {
			t.Errorf("%s: a commit in %s waits at least %s; want %s", row.topology, row.region, floor, row.floor)
		}
	}
}

func TestLoad_RefusesWhatIsNotTheNamedTopology(t *testing.T) {
	laptop, err := fs.ReadFile(regions.FS, "laptop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{
		"copy.yaml":   {Data: laptop},
		"laptop.yaml": {Data: laptop},
		"huge.yaml":   {Data: []byte(strings.Repeat("#\n", yamltree.MaxBytes))},
	}
	for _, row := range []struct{ name, want string }{
		{"copy", "copy.yaml: the file says name: laptop; give the file and the topology the same name"},
		{"huge", "huge.yaml:1:1: the file is too large; a topology has at most 16384 bytes"},
		{"mars", `there is no topology "mars"; there are: copy, huge, laptop`},
		{"../laptop", `topology "../laptop" is not 1 to 63 of a-z 0-9 -, starting with a letter; there are: copy, huge, laptop`},
		{"", `topology "" is not 1 to 63`},
	} {
		if _, err := Load(files, row.name); err == nil || !strings.HasPrefix(err.Error(), row.want) {
			t.Errorf("Load(%q): %v; want %s", row.name, err, row.want)
		}
	}
	if _, err := Load(files, "laptop"); err != nil {
		t.Error(err)
	}
}

// The example in the reference of the format has to be an example of the format.
func TestParse_TakesTheExampleOfTheReference(t *testing.T) {
	readme, err := os.ReadFile("../../regions/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(readme), "```yaml\n")
	example, _, closed := strings.Cut(after, "```")
	if !found || !closed {
		t.Fatal("regions/README.md has no example in a yaml block")
	}
	if _, err := Parse("regions/README.md", []byte(example)); err != nil {
		t.Error(err)
	}
}

// A commit never waits for a region that its copies may not stand in, however near.
func TestRegionsFor_ConfinesCopies(t *testing.T) {
	topology := shipped(t, "five-regions")
	if got := joined(topology.RegionsFor("us-west1")); got != "us-east1, us-central1, us-west1" {
		t.Errorf("copies of us-west1 may stand in %s", got)
	}
	if got := topology.RegionsFor("europe-west1"); len(got) != 5 {
		t.Errorf("copies of europe-west1 may stand in %v; want all", got)
	}
	topology.Latencies = append([]Latency{{Between: [2]Region{"us-west1", "asia-northeast1"}, RTT: time.Millisecond}}, topology.Latencies...)
	if got := topology.CommitFloor("us-west1"); got != 40*time.Millisecond {
		t.Errorf("a commit in us-west1 waits at least %s; asia-northeast1 is nearer but outside the super region", got)
	}
	topology.SuperRegions, topology.Survive, topology.Placement = nil, SurviveZone, PlacementRestricted
	if got := joined(topology.RegionsFor("us-west1")); got != "us-west1" {
		t.Errorf("restricted, copies of us-west1 may stand in %s", got)
	}
}
