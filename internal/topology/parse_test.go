package topology

import (
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/yamltree"
	"github.com/meridian-ledger/meridian/regions"
)

// sound is a file in which the rows of the table below break one line each.
const sound = `name: test
survive: region
regions:
  - name: one
    zones: [one-a, one-b]
    nodes: 2
  - name: two
    zones: [two-a]
    nodes: 1
  - name: three
    zones: [three-a]
    nodes: 4
homes:
  us: one
  eu: two
latencies:
  - {between: [one, two], rtt_ms: 10}
  - {between: [three, one], rtt_ms: 20.5}
  - {between: [two, three], rtt_ms: 0.125}
`

func TestParse_ReadsEveryField(t *testing.T) {
	got, err := Parse("test.yaml", []byte(sound))
	if err != nil {
		t.Fatal(err)
	}
	want := Topology{
		Name:    "test",
		Survive: SurviveRegion,
		Regions: []RegionSpec{
			{Name: "one", Zones: []Zone{"one-a", "one-b"}, Nodes: 2},
			{Name: "two", Zones: []Zone{"two-a"}, Nodes: 1},
			{Name: "three", Zones: []Zone{"three-a"}, Nodes: 4},
		},
		Homes: map[id.Home]Region{"us": "one", "eu": "two"},
		Latencies: []Latency{
			{Between: [2]Region{"one", "two"}, RTT: 10 * time.Millisecond},
			{Between: [2]Region{"three", "one"}, RTT: 20500 * time.Microsecond},
			{Between: [2]Region{"two", "three"}, RTT: 125 * time.Microsecond},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// columnOf finds that of an error; package yamltree proves that it is right.
var columnOf = regexp.MustCompile(`(?m)^(t\.yaml:\d+):\d+:`)

// refusals are what is wrong with a file, and what is said about it. TestSchema_AgreesWithTheParser reads them as well.
var refusals = []struct{ old, new, want string }{
	// the file as a whole
	{
		"latencies:\n  - {between: [one, two], rtt_ms: 10}\n  - {between: [three, one], rtt_ms: 20.5}\n  - {between: [two, three], rtt_ms: 0.125}\n", "",
		`4: no latency between one and three; add - {between: [one, three], rtt_ms: …} under latencies` + "\n" +
			`t.yaml:4: no latency between one and two; add - {between: [one, two], rtt_ms: …} under latencies` + "\n" +
			`t.yaml:4: no latency between three and two; add - {between: [three, two], rtt_ms: …} under latencies`,
	},
	{sound, "", `1: the file is empty; write name, survive, regions, homes and latencies`},
	{sound, "hello", `1: a topology is "hello"; write the fields name, survive, regions, homes, latencies, placement, super_regions`},
	{sound, "- a\n- b\n", `1: a topology is a list; write the fields name, survive, regions, homes, latencies, placement, super_regions`},
	{sound, "a: [", `1: this is not YAML: sequence end token ']' not found`},
	{sound, sound + "---\nname: other\n", `21: a second document starts here; keep one topology in a file`},
	{"survive: region\n", "", `1: a topology has no survive; add the field survive`},
	{"name: test\n", "name: test\nregoins: x\n", `2: a topology has no field "regoins"; the fields are name, survive, regions, homes, latencies, placement, super_regions`},
	{"name: test\n", "name: test\nname: test\n", `2: name is there twice, first with the value in line 1; keep one`},
	{"name: test\n", "name: Test\n", `1: the name of the topology is "Test"; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"name: test\n", "name:\n", `1: the name of the topology is empty; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"name: test\n", "name: &x test\n", `1: the name of the topology is an anchor, alias or tag; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	// the survival goal
	{"survive: region\n", "survive: everything\n", `2: survive is "everything"; write zone (any one zone may be lost) or region (any one region may be lost)`},
	{
		sound, "name: test\nsurvive: region\nregions:\n  - {name: one, zones: [a], nodes: 1}\n  - {name: two, zones: [b], nodes: 1}\nhomes: {us: one}\nlatencies:\n  - {between: [one, two], rtt_ms: 1}\n",
		`2: survive: region needs at least 3 regions, because a quorum must outlive one of them, and the file has 2; add regions or write survive: zone`,
	},
	// regions
	{"  - name: two\n", "  - name: one\n", `7: region one is already in line 4; name each region once`},
	{"  - name: two\n", "  - name: \"two's\"\n", `7: the name of a region is "two's"; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"  - name: two\n", "  - name: " + strings.Repeat("x", 64) + "\n", `7: the name of a region is "` + strings.Repeat("x", 64) + `"; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"  - name: two\n", "  - name: true\n", `7: the name of a region is true; write 1 to 63 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"    zones: [two-a]\n", "", `7: a region has no zones; add the field zones`},
	{"    zones: [two-a]\n", "    zones: []\n", `8: zones is an empty list; write a list with at least one entry`},
	{"    zones: [two-a]\n", "    zones: two-a\n", `8: zones is "two-a"; write a list with at least one entry`},
	{"    zones: [two-a]\n", "    zones: [one-b]\n", `8: zone one-b is already in line 5; a zone belongs to one region and is named once`},
	{"    nodes: 2\n", "    nodes: 1\n", `6: region one has 2 zones and nodes: 1; write at least one node for each zone`},
	{"    nodes: 2\n", "    nodes: 0\n", `6: nodes is 0; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: -2\n", `6: nodes is -2; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: 0x2\n", `6: nodes is 0x2; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: 02\n", `6: nodes is 02; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: 1001\n", `6: nodes is 1001; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: 99999999999999999999\n", `6: nodes is "99999999999999999999"; write the number of database nodes of the region, 1 to 1000`},
	{"    nodes: 2\n", "    nodes: two\n", `6: nodes is "two"; write the number of database nodes of the region, 1 to 1000`},
	// homes
	{"  eu: two\n", "  eu: four\n", `15: home eu lives in region four, which is not under regions; add that region or choose one of one, three, two`},
	{"  eu: two\n", "  us: two\n", `15: home us is already in line 14; a home lives in one region`},
	{"  eu: two\n", "  EU: two\n", `15: a home is "EU"; write 1 to 32 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"  eu: two\n", "  null: two\n", `15: a home is empty; write 1 to 32 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"  us: one\n  eu: two\n", "  us: one\n  <<: two\n", `15: a home is an anchor, alias or tag; write 1 to 32 of a-z 0-9 -, starting with a letter (words such as true and null in quotes)`},
	{"homes:\n  us: one\n  eu: two\n", "homes: {}\n", `13: homes is a mapping; write at least one line home: region`},
	{"homes:\n  us: one\n  eu: two\n", "homes:\n", `13: homes is empty; write at least one line home: region`},
	// latencies
	{"  - {between: [one, two], rtt_ms: 10}\n", "", `17: no latency between one and two; add - {between: [one, two], rtt_ms: …} under latencies`},
	{"[one, two], rtt_ms: 10", "[one, four], rtt_ms: 10", `17: region four is not under regions; add it there or choose one of one, three, two`},
	{"[one, two], rtt_ms: 10", "[one, one], rtt_ms: 10", `17: the latency is between one and itself; name two different regions`},
	{"[one, two], rtt_ms: 10", "[one], rtt_ms: 10", `17: between names 1 regions; write two: between: [a, b]`},
	{"[three, one], rtt_ms: 20.5", "[two, one], rtt_ms: 20.5", `18: the latency between two and one is already in line 17; write each pair once, in either order`},
	{"rtt_ms: 20.5", "rtt_ms: 0", `18: rtt_ms is 0; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", "rtt_ms: .nan", `18: rtt_ms is a nan; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", "rtt_ms: 1e2", `18: rtt_ms is "1e2"; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", "rtt_ms: 60000.001", `18: rtt_ms is 60000.001; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", "rtt_ms: 0.0005", `18: rtt_ms is 0.0005; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", `rtt_ms: "20.5"`, `18: rtt_ms is "20.5"; write the round trip in milliseconds, more than 0, at most 60000, with up to three decimals`},
	{"rtt_ms: 20.5", "rtt: 20.5", `18: a latency has no rtt_ms; add the field rtt_ms` + "\n" + `t.yaml:18: a latency has no field "rtt"; the fields are between, rtt_ms`},
	// placement and super regions
	{"survive: region\n", "survive: region\nplacement: near\n", `3: placement is "near"; write restricted (copies stay in the region of their home) or default`},
	{
		"survive: region\n", "survive: region\nplacement: restricted\n",
		`3: placement: restricted keeps every copy in one region, and survive: region needs copies in three; write survive: zone, or super_regions of three regions each`,
	},
	{
		"survive: region\n", "survive: zone\nplacement: restricted\nsuper_regions: [{name: all, regions: [one]}]\n",
		`3: placement: restricted is narrower than any of super_regions; keep one of the two`,
	},
	{"survive: region\n", "survive: region\nsuper_regions: []\n", `3: super_regions is an empty list; write a list with at least one entry`},
	{"survive: region\n", "survive: region\nsuper_regions: [{name: all}]\n", `3: a super region has no regions; add the field regions`},
	{
		"survive: region\n", "survive: region\nsuper_regions: [{name: all, regions: [one, two]}]\n",
		`3: super region all has 2 regions, and survive: region needs 3 in it, because its copies do not leave it; add regions, leave the super region out or write survive: zone`,
	},
	{
		"survive: region\n", "survive: zone\nsuper_regions: [{name: all, regions: [one, four]}]\n",
		`3: region four is not under regions; add it there or choose one of one, three, two`,
	},
	{
		"survive: region\n", "survive: zone\nsuper_regions:\n  - {name: a, regions: [one]}\n  - {name: b, regions: [two, one]}\n",
		`5: region one is already in a super region in line 4; super regions do not overlap`,
	},
	{
		"survive: region\n", "survive: zone\nsuper_regions:\n  - {name: a, regions: [one]}\n  - {name: a, regions: [two]}\n",
		`5: super region a is already in line 4; name each super region once`,
	},
}

func TestParse_NamesTheLineAndTheRemedy(t *testing.T) {
	for _, row := range refusals {
		broken := strings.Replace(sound, row.old, row.new, 1)
		_, err := Parse("t.yaml", []byte(broken))
		if want := "t.yaml:" + row.want; err == nil || columnOf.ReplaceAllString(err.Error(), "$1:") != want {
			t.Errorf("%q in place of %q:\ngot  %v\nwant %s", row.new, row.old, err, want)
		}
	}
}

func TestParse_ReportsAllProblemsAtOnceInTheOrderOfTheFile(t *testing.T) {
	broken := strings.NewReplacer("name: test", "name: Test", "nodes: 2", "nodes: none", "rtt_ms: 10}", "rtt_ms: -1}").Replace(sound)
	_, err := Parse("t.yaml", []byte(broken))
	if err == nil {
		t.Fatal("a file with three mistakes parsed")
	}
	for i, want := range []string{"t.yaml:1:7: ", "t.yaml:6:12: ", "t.yaml:17:35: "} {
		if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d of the error does not begin with %s:\n%v", i+1, want, err)
		}
	}
}

func TestParse_BoundsItsReport(t *testing.T) {
	_, err := Parse("t.yaml", []byte(sound+strings.Repeat("x: 1\n", 100)))
	if err == nil {
		t.Fatal("a file with a hundred unknown fields parsed")
	}
	lines := strings.Split(err.Error(), "\n")
	if last := lines[len(lines)-1]; len(lines) != yamltree.MaxReports+1 || last != "t.yaml: and 80 more" {
		t.Errorf("%d lines, the last %q; want %d and more", len(lines), last, yamltree.MaxReports)
	}
}

// Whatever parses is a fixed point: written out and read again it is the same topology. What does not parse ends in an error, never in
// a panic.
func FuzzParse(f *testing.F) {
	names, err := Names(regions.FS)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		data, err := fs.ReadFile(regions.FS, name+".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(sound))
	f.Add([]byte("name: \"null\"\nsurvive: zone\nregions: [{name: \"true\", zones: [\"no\"], nodes: 1}]\nhomes: {\"off\": \"true\"}\n"))
	for _, broken := range []string{
		"", "\x00", "---\n---\n", "name: [", "name: &a {b: *a}", "? : :", "!!map {}", "name: |\n  x\n", "\ufeffname: x", "a: b\r\nc: d\r",
		"homes: {<<: 1}", "regions: [[]]", "regions:\n- name: 1\n", "latencies: [{between: {}}]", "nodes: 1_0", "%YAML 1.2\n---\n",
		strings.Repeat("[", 100), strings.Repeat("{a: ", 100), strings.Repeat("- ", 100), strings.Repeat("? ", 100),
	} {
		f.Add([]byte(broken))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		topology, err := Parse("fuzz.yaml", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "fuzz.yaml:") {
				t.Errorf("the error names no line: %v", err)
			}
			return
		}
		requireFixedPoint(t, topology)
	})
}

func TestYAML_ParsesToTheSameTopology(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { requireFixedPoint(t, drawTopology(t)) })
}

func requireFixedPoint(t interface {
	Fatalf(format string, args ...any)
}, topology Topology,
) {
	again, err := Parse("again.yaml", topology.YAML())
	if err != nil {
		t.Fatalf("what was written does not parse: %v\n%s", err, topology.YAML())
	}
	if !reflect.DeepEqual(again, topology) {
		t.Fatalf("written and read again\n%+v became\n%+v", topology, again)
	}
}

// drawTopology makes up a sound topology of one to six regions.
func drawTopology(t *rapid.T) Topology {
	name := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9-]{0,62}`), rapid.SampledFrom(words))
	all := rapid.SliceOfNDistinct(name, 1, 6, rapid.ID).Draw(t, "regions")
	topology := Topology{Name: name.Draw(t, "name"), Survive: SurviveZone, Homes: map[id.Home]Region{}}
	if len(all) >= minRegionsToSurviveOne {
		topology.Survive = rapid.SampledFrom([]Survival{SurviveZone, SurviveRegion}).Draw(t, "survive")
	}
	zones := rapid.SliceOfNDistinct(name, 3*len(all), 3*len(all), rapid.ID).Draw(t, "zones")
	for i, region := range all {
		spec := RegionSpec{Name: Region(region)}
		for _, zone := range zones[3*i : 3*i+rapid.IntRange(1, 3).Draw(t, "number of zones")] {
			spec.Zones = append(spec.Zones, Zone(zone))
		}
		spec.Nodes = rapid.IntRange(len(spec.Zones), maxNodes).Draw(t, "nodes")
		for _, other := range all[:i] {
			rtt := time.Duration(rapid.Int64Range(1, maxRTT.Microseconds()).Draw(t, "rtt")) * time.Microsecond
			topology.Latencies = append(topology.Latencies, Latency{Between: [2]Region{Region(region), Region(other)}, RTT: rtt})
		}
		topology.Regions = append(topology.Regions, spec)
	}
	home := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9-]{0,31}`), rapid.SampledFrom(words))
	for _, h := range rapid.SliceOfNDistinct(home, 1, 8, rapid.ID).Draw(t, "homes") {
		topology.Homes[id.Home(h)] = Region(rapid.SampledFrom(all).Draw(t, "region of home"))
	}
	drawResidency(t, &topology)
	return topology
}

// drawResidency confines copies in one of the ways that the survival goal allows, or not at all.
func drawResidency(t *rapid.T, topology *Topology) {
	least := 1
	if topology.Survive == SurviveRegion {
		least = minRegionsToSurviveOne
	}
	switch rapid.IntRange(0, 2).Draw(t, "residency") {
	case 0:
		if topology.Survive == SurviveZone {
			topology.Placement = PlacementRestricted
		}
	case 1:
		for at := 0; at+least <= len(topology.Regions); {
			members := rapid.IntRange(least, len(topology.Regions)-at).Draw(t, "members")
			super := SuperRegion{Name: fmt.Sprintf("super-%d", at)}
			for _, region := range topology.Regions[at : at+members] {
				super.Regions = append(super.Regions, region.Name)
			}
			topology.SuperRegions = append(topology.SuperRegions, super)
			at += members
		}
	}
}
