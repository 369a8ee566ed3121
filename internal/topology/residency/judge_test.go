package residency

import (
	"slices"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/regions"
)

func TestHolds_DoubtSpeaksForTheRange(t *testing.T) {
	for _, row := range []struct {
		start, end string
		in         string // of apac eu us
	}{
		{"", "", "apac eu us"},
		{"", `/"eu"`, "apac"},
		{`/"eu"`, `/"us"`, "eu"},
		{`…/"eu"`, `…/"us"/"brand"`, "eu us"},
		{`…/"eu"/"brand"/"a"`, `…/"eu"/"brand"/"b"`, "eu"},
		{`…/"eu"/PrefixEnd`, `<after:/Table/107/1/"amsterdam">`, "us"},
		{`…/TableMin`, `…/"eu"/PrefixEnd`, "apac eu"},
		{`<before:/Table/105>`, `…/"apac"`, ""},
		{`/1/2`, `…/!NULL`, "apac eu us"},
		{`/"\x80"`, `/"\xc0"`, ""},
	} {
		var in []string
		for _, home := range []string{"apac", "eu", "us"} {
			if holds(parseBound(row.start), parseBound(row.end), home) {
				in = append(in, home)
			}
		}
		if got := strings.Join(in, " "); got != row.in {
			t.Errorf("[%s, %s) holds %q; want %q", row.start, row.end, got, row.in)
		}
	}
}

// byRow is an index as 23.1 and later print it, partitioned by three regions.
func byRow(leases, copies map[string][]string) []span {
	enum := []struct{ value, region string }{{"@", "asia-northeast1"}, {`\x80`, "europe-west1"}, {`\xc0`, "us-east1"}}
	all := []span{{start: "…/TableMin", end: `…/"@"`, lease: "region=us-east1", copies: eachIn("us-east1", "us-east1", "us-east1")}}
	for _, e := range enum {
		all = append(all,
			span{start: `…/"` + e.value + `"`, end: `…/"` + e.value + `"/PrefixEnd`, lease: "region=" + leases[e.region][0], copies: eachIn(copies[e.region]...)},
		)
	}
	for i := range all {
		all[i].table, all[i].index, all[i].byHome, all[i].byRow, all[i].id, all[i].voters = "entry", "entry_pkey", true, true, int64(i), all[i].copies
	}
	return all
}

var enumOfThree = []topology.Region{"asia-northeast1", "europe-west1", "us-east1"}

func TestJudge_FindsHomesByThePartitionsOfTheirRegions(t *testing.T) {
	everywhere := []string{"us-east1", "europe-west1", "asia-northeast1"}
	own := map[string][]string{"asia-northeast1": {"asia-northeast1"}, "europe-west1": {"europe-west1"}, "us-east1": {"us-east1"}}
	for _, row := range []struct {
		name   string
		change func(topo *topology.Topology, spans []span, enum *[]topology.Region)
		eu     Verdict
		says   string
	}{
		{"as it should be", func(*topology.Topology, []span, *[]topology.Region) {}, Proven, ""},
		{
			"served from elsewhere", func(_ *topology.Topology, s []span, _ *[]topology.Region) { s[2].lease = "region=us-east1,zone=b" },
			Misplaced, "served from us-east1 instead of europe-west1 (range 2 of entry@entry_pkey)",
		},
		{
			"two votes in one region", func(_ *topology.Topology, s []span, _ *[]topology.Region) {
				s[2].voters = eachIn("europe-west1", "europe-west1", "us-east1")
			},
			Misplaced, "2 of 3 votes stand in one region, so that losing it stops the range (range 2 of entry@entry_pkey)",
		},
		{
			"a copy outside", func(_ *topology.Topology, s []span, _ *[]topology.Region) {
				s[2].copies = eachIn("europe-west1", "us-east1", "mars-north1")
			},
			Broken, "a copy stands in mars-north1, where it may not (range 2 of entry@entry_pkey)",
		},
		{
			"a node without a region", func(_ *topology.Topology, s []span, _ *[]topology.Region) { s[2].copies = []string{"zone=x"} },
			Broken, "a copy stands in a node without a region, where it may not (range 2 of entry@entry_pkey)",
		},
		{
			"restricted", func(topo *topology.Topology, _ []span, _ *[]topology.Region) {
				topo.Survive, topo.Placement = topology.SurviveZone, topology.PlacementRestricted
			},
			Broken, "a copy stands in us-east1, where it may not (range 2 of entry@entry_pkey)",
		},
		{
			"partitions that cannot be told", func(_ *topology.Topology, _ []span, enum *[]topology.Region) { *enum = enumOfThree[:2] },
			Misplaced, "served from us-east1 instead of europe-west1 (range 0 of entry@entry_pkey)",
		},
		{
			"the neighbour's fault", func(_ *topology.Topology, s []span, _ *[]topology.Region) { s[3].copies = eachIn("mars-north1") }, Proven, "",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			topo, err := topology.Load(regions.FS, "three-continents")
			if err != nil {
				t.Fatal(err)
			}
			spans := byRow(own, map[string][]string{"asia-northeast1": everywhere, "europe-west1": everywhere, "us-east1": everywhere})
			enum := slices.Clone(enumOfThree)
			row.change(&topo, spans, &enum)
			var r Report
			r.judge(topo, map[id.Home]int64{"eu": 1}, enum, spans)
			eu := r.Homes[slices.IndexFunc(r.Homes, func(h Home) bool { return h.Home == "eu" })]
			if eu.Verdict != row.eu || row.says != "" && !slices.Contains(eu.Problems, row.says) {
				t.Errorf("eu is %s: %q; want %s: %s", eu.Verdict, eu.Problems, row.eu, row.says)
			}
			if row.eu == Proven && (eu.Ranges != 1 || eu.Shared != 0 || eu.Copies["us-east1"] != 1) {
				t.Errorf("eu: %+v", eu)
			}
		})
	}
}

func TestJudge_AHomeThatNobodyKnowsOrSeesIsNotProven(t *testing.T) {
	topo, err := topology.Load(regions.FS, "single-region")
	if err != nil {
		t.Fatal(err)
	}
	var r Report
	r.judge(topo, map[id.Home]int64{"mars": 1}, nil, nil)
	if r.Verdict != Broken || len(r.Homes) != 2 || r.Homes[0].Verdict != Broken || r.Homes[1].Verdict != Broken {
		t.Errorf("%+v", r)
	}
}
