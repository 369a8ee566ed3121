package topology

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

func planned(t interface{ Fatal(...any) }, topology Topology, c *cluster) Plan {
	version, err := ServerVersion(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ReadState(context.Background(), c, "meridian", version)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Plan("meridian", s)
}

// The plan of a database that nobody has laid out is the overlay, statement by statement: the golden files are the plans.
func TestPlan_OfANewDatabaseIsTheOverlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t)
		version := rapid.SampledFrom(Supported[:]).Draw(t, "version")
		p := topology.Plan("meridian", State{Version: version})
		if !slices.Equal(p.Steps, topology.OverlaySQL("meridian", version)) || len(p.Refused) > 0 {
			t.Fatalf("refused %q, steps %+v", p.Refused, p.Steps)
		}
	})
}

// From any layout to any other, interrupted anywhere: making a new plan and going on ends where the topology says, or refuses at the start.
func TestPlan_InterruptedAnywhereGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawTopology(t), drawTopology(t)
		c := newCluster()
		c.homes = nil // homes without ledgers may go anywhere
		for _, region := range slices.Concat(first.Regions, second.Regions) {
			if !slices.Contains(c.regions, string(region.Name)) {
				c.regions = append(c.regions, string(region.Name))
			}
		}
		if rapid.Bool().Draw(t, "old") {
			c.version = "CockroachDB CCL v24.3.12 (linux)"
		}
		for _, topology := range []Topology{first, second} {
			for round := 0; ; round++ {
				c.ran, c.dies = nil, rapid.IntRange(0, 12).Draw(t, "dies after")
				if round > 30 {
					c.dies = 0
				}
				if c.broken = ""; c.dies == 0 && round < 3 {
					c.broken = rapid.SampledFrom([]string{"RENAME", "SET LOCALITY", "DROP COLUMN", "schema_locked = true", "SUPER"}).Draw(t, "breaks at")
				}
				err := topology.Apply(t.Context(), c, "meridian", nil)
				if err == nil {
					break
				}
				if !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
			}
			c.broken, c.dies = "", 0
			if p := planned(t, topology, c); len(p.Steps) > 0 || len(p.Refused) > 0 {
				t.Fatalf("after the last run there is still to do: %+v", p)
			}
			requireLaidOut(t, topology, c)
		}
	})
}

func requireLaidOut(t *rapid.T, topology Topology, c *cluster) {
	if c.primary != string(topology.Primary()) || c.goal != string(topology.Survive) || len(c.database) != len(topology.Regions) ||
		len(c.supers) != len(topology.SuperRegions) || (c.placement == "restricted") != (topology.Placement == PlacementRestricted) {
		t.Fatalf("the database is %+v\nthe topology %+v", c, topology)
	}
	for _, table := range homeTables {
		if len(c.columns[table]) != 1 || !maps.Equal(mappingOf(c.columns[table][regionColumn]), topology.Homes) || !byRow(c.locality[table]) || c.unlocked[table] {
			t.Fatalf("table %s: %v, locality %s, unlocked %v", table, c.columns[table], c.locality[table], c.unlocked[table])
		}
	}
}

// laidOut is a cluster that five-regions was applied to, with ledgers in all homes.
func laidOut(t *testing.T, topology Topology) *cluster {
	t.Helper()
	c := newCluster("us-east1", "us-central1", "us-west1", "europe-west1", "asia-northeast1", "europe-west3")
	c.homes = []string{"apac", "eu", "us"}
	if err := topology.Apply(t.Context(), c, "meridian", nil); err != nil {
		t.Fatal(err)
	}
	c.ran = nil
	return c
}

func TestPlan_RefusesWhatBreaksResidency(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Topology)
		want   string
	}{
		{"a home moves", func(n *Topology) { n.Homes["eu"] = "us-east1" }, "home eu would move from europe-west1 to us-east1, and it has ledgers (table account): "},
		{
			"the region of a home goes", func(n *Topology) { n.Homes["eu"], n.Regions = "us-east1", slices.Delete(n.Regions, 3, 4) },
			"region europe-west1 would be dropped, and the money of home eu lives in it (table account); keep the region while the home has ledgers",
		},
		{"a home goes", func(n *Topology) { delete(n.Homes, "eu") }, "database meridian has ledgers in homes that topology five-regions does not list: eu; add them under homes"},
		{
			"a super region goes", func(n *Topology) { n.SuperRegions = nil },
			"copies of home us, which has ledgers, are confined to us-east1, us-central1, us-west1 and could then stand in europe-west1, asia-northeast1 as well; ",
		},
		{
			"a super region grows", func(n *Topology) { n.SuperRegions[0].Regions = append(n.SuperRegions[0].Regions, "europe-west1") },
			"copies of home us, which has ledgers, are confined to us-east1, us-central1, us-west1 and could then stand in europe-west1 as well; ",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := laidOut(t, shipped(t, "five-regions"))
			changed := shipped(t, "five-regions") // read anew, so that nothing is shared
			row.change(&changed)
			p := planned(t, changed, c)
			if len(p.Steps) > 0 || len(p.Refused) == 0 || !strings.HasPrefix(p.Refused[0], row.want) {
				t.Errorf("steps %+v, refused %q; want %s", p.Steps, p.Refused, row.want)
			}
			if err := p.Run(t.Context(), c, nil); !errors.Is(err, ErrRefused) || len(c.ran) > 0 {
				t.Errorf("Run = %v after %q", err, c.ran)
			}
		})
	}
}

// A home more changes the mapping of every table and nothing about the homes that are there.
func TestPlan_AddsAHomeByReplacingTheColumn(t *testing.T) {
	c := laidOut(t, shipped(t, "five-regions"))
	more := shipped(t, "five-regions")
	more.Homes = maps.Clone(more.Homes)
	more.Homes["de"] = "europe-west1"
	p := planned(t, more, c)
	if len(p.Refused) > 0 || len(p.Steps) != 6*len(homeTables) {
		t.Fatalf("refused %q, %d steps", p.Refused, len(p.Steps))
	}
	var b bytes.Buffer
	if err := (Plan{Topology: p.Topology, Database: p.Database, Version: p.Version, Method: p.Method, Steps: p.Steps[:6]}).Write(&b); err != nil {
		t.Fatal(err)
	}
	requireGolden(t, "plan/add-home.sql", b.Bytes())
	if err := p.Run(t.Context(), c, nil); err != nil {
		t.Fatal(err)
	}
	if left := planned(t, more, c); len(left.Steps) > 0 {
		t.Errorf("left to do: %+v", left.Steps)
	}
}

func TestPlan_RefusesForeignZoneConfigurations(t *testing.T) {
	c := newCluster("europe-west1")
	c.homes = []string{"eu"}
	c.zones = [][]string{{"DATABASE meridian", "…"}, {"TABLE meridian.public.entry", "…"}, {"TABLE other.public.entry", "…"}, {"RANGE default", "…"}}
	p := planned(t, shipped(t, "single-region"), c)
	if len(p.Refused) != 2 || !strings.Contains(p.Refused[0], `run ALTER DATABASE "meridian" CONFIGURE ZONE DISCARD`) ||
		!strings.Contains(p.Refused[1], `run ALTER TABLE "meridian"."public"."entry" CONFIGURE ZONE DISCARD`) {
		t.Errorf("refused: %q", p.Refused)
	}
}

type unlicensed struct{ *cluster }

func (unlicensed) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, &pgconn.PgError{Code: codeUnlicensed, Message: "use of multi-region features requires an enterprise license"}
}

func TestRun_SaysWhereTheLicenceIsMissing(t *testing.T) {
	p := shipped(t, "single-region").Plan("meridian", State{Version: Supported[0]})
	if err := p.Run(t.Context(), unlicensed{newCluster()}, nil); !errors.Is(err, ErrUnlicensed) || strings.Contains(err.Error(), "enterprise") {
		t.Errorf("Run = %v", err)
	}
}
