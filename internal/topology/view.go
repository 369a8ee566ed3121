package topology

import "github.com/meridian-ledger/meridian/internal/id"

// View is a topology as JSON shows it, with what follows from it.
type View struct {
	Name         string             `json:"name"`
	Survive      Survival           `json:"survive"`
	Placement    string             `json:"placement"`
	Regions      []RegionView       `json:"regions"`
	Homes        map[id.Home]Region `json:"homes"`
	SuperRegions []SuperRegion      `json:"super_regions"`
	Latencies    []LatencyView      `json:"latencies"`
}

// RegionView is one region.
type RegionView struct {
	Name          Region    `json:"name"`
	Primary       bool      `json:"primary"`
	Zones         []Zone    `json:"zones"`
	Nodes         int       `json:"nodes"`
	Homes         []id.Home `json:"homes"`
	CopiesIn      []Region  `json:"copies_in"`       // where copies of its homes may stand
	CommitFloorMS float64   `json:"commit_floor_ms"` // the least that a commit spends between regions
}

// LatencyView is one pair.
type LatencyView struct {
	Between [2]Region `json:"between"`
	RTTMS   float64   `json:"rtt_ms"`
}

// View returns what JSON shows; no list in it is null.
func (t Topology) View() View {
	v := View{Name: t.Name, Survive: t.Survive, Placement: "default", Homes: t.Homes, SuperRegions: append([]SuperRegion{}, t.SuperRegions...), Latencies: []LatencyView{}}
	if t.Placement != PlacementDefault {
		v.Placement = string(t.Placement)
	}
	for i, r := range t.Regions {
		v.Regions = append(v.Regions, RegionView{
			Name: r.Name, Primary: i == 0, Zones: r.Zones, Nodes: r.Nodes, Homes: append([]id.Home{}, t.HomesIn(r.Name)...),
			CopiesIn: t.RegionsFor(r.Name), CommitFloorMS: float64(t.CommitFloor(r.Name).Microseconds()) / 1000,
		})
	}
	for _, l := range t.Latencies {
		v.Latencies = append(v.Latencies, LatencyView{Between: l.Between, RTTMS: float64(l.RTT.Microseconds()) / 1000})
	}
	return v
}
