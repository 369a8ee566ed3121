package topology

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPlanZones_Golden(t *testing.T) {
	for _, name := range shippedNames(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := shipped(t, name).PlanZones("meridian", State{}).Write(&b); err != nil {
				t.Fatal(err)
			}
			requireGolden(t, "zones/"+name+".sql", b.Bytes())
		})
	}
}

// Whatever the topology, a plan by zone configurations that is not refused puts no copy of any home where it may not stand, and a plan
// that was carried out leaves nothing to do, also beside settings of the operator.
func TestPlanZones_KeepsResidencyOrRefuses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		topology := drawTopology(t)
		p := topology.PlanZones("meridian", State{})
		if (len(p.Refused) > 0) == (len(p.Steps) > 0) {
			t.Fatalf("refused %q with %d steps", p.Refused, len(p.Steps))
		}
		zones := map[string]string{}
		for _, s := range p.Steps {
			for _, region := range topology.Regions {
				used := strings.Contains(s.SQL, `"+region=`+string(region.Name)+`":`)
				for home, lives := range topology.Homes {
					allowed := false
					for _, r := range topology.RegionsFor(lives) {
						allowed = allowed || r == region.Name
					}
					if used && !allowed {
						t.Fatalf("home %s may not stand in %s: %s", home, region.Name, s.SQL)
					}
				}
			}
			_, table, _ := strings.Cut(s.SQL, `"public"."`)
			table, settings, _ := strings.Cut(table, `" CONFIGURE ZONE USING `)
			zones[table] = "ALTER TABLE meridian.public." + table + " CONFIGURE ZONE USING\n\tgc.ttlseconds = 600,\n\t" + strings.ReplaceAll(settings, `"`, "")
		}
		if again := topology.PlanZones("meridian", State{Zones: zones}); len(again.Steps) > 0 {
			t.Fatalf("left to do: %+v", again.Steps)
		}
	})
}

func TestPlanZones_RefusesADatabaseWithRegions(t *testing.T) {
	p := shipped(t, "single-region").PlanZones("meridian", State{Primary: "europe-west1"})
	if len(p.Refused) != 1 || !strings.Contains(p.Refused[0], "multi-region SQL owns its zone configurations") {
		t.Errorf("refused: %q", p.Refused)
	}
}
