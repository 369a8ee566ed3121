package residency

import (
	"math"
	"slices"

	"github.com/meridian-ledger/meridian/internal/topology"
)

// places are where cloud regions lie, in degrees, for the map; a region that is not here stands in a row below it.
var places = map[topology.Region][2]float64{ // latitude, longitude
	"us-east1": {33.2, -80.0}, "us-east4": {39.0, -77.5}, "us-central1": {41.3, -95.9}, "us-west1": {45.6, -121.2}, "us-west2": {34.1, -118.2},
	"northamerica-northeast1": {45.5, -73.6}, "southamerica-east1": {-23.5, -46.6},
	"europe-west1": {50.4, 3.8}, "europe-west2": {51.5, -0.1}, "europe-west3": {50.1, 8.7}, "europe-west4": {53.4, 6.8}, "europe-west6": {47.4, 8.5},
	"europe-north1": {60.6, 27.2}, "asia-northeast1": {35.7, 139.7}, "asia-east1": {24.1, 120.5}, "asia-east2": {22.3, 114.2}, "asia-south1": {19.1, 72.9},
	"asia-southeast1": {1.4, 103.7}, "australia-southeast1": {-33.9, 151.2},
}

// The drawing, in its own units.
const (
	mapWidth  = 960.0
	mapHeight = 420.0
	mapMargin = 90.0
)

// dot is one region on the map.
type dot struct {
	Region       topology.Region
	X, Y, LabelY float64
	Homes        []homeLabel
	Copies       int
	Known        bool // of the topology
}

type homeLabel struct {
	Home    string
	Verdict Verdict
	Y       float64
}

// arc leads from the region of a home to one that holds its copies.
type arc struct {
	X1, Y1, X2, Y2, CX, CY float64
	Verdict                Verdict
	Title                  string
}

// drawing is the map: north is up, and the frame is as wide as the regions lie apart.
func (report Report) drawing() (dots []dot, arcs []arc) {
	at := map[topology.Region]*dot{}
	var order []topology.Region
	add := func(region topology.Region, known bool) *dot {
		if at[region] == nil {
			at[region] = &dot{Region: region, Known: known}
			order = append(order, region)
		}
		return at[region]
	}
	for _, region := range report.Topology.Regions {
		add(region.Name, true)
	}
	for _, h := range report.Homes {
		for _, region := range sortedKeys(h.Copies) {
			add(region, false).Copies += h.Copies[region]
		}
	}
	place(order, at)
	for _, h := range report.Homes {
		from := at[h.Region]
		if from == nil {
			continue
		}
		from.Homes = append(from.Homes, homeLabel{Home: string(h.Home), Verdict: h.Verdict, Y: from.Y + 34 + 16*float64(len(from.Homes))})
		for _, region := range sortedKeys(h.Copies) {
			if to := at[region]; to != from {
				arcs = append(arcs, bend(h, from, to))
			}
		}
	}
	for _, region := range order {
		dots = append(dots, *at[region])
	}
	return dots, arcs
}

func bend(h Home, from, to *dot) arc {
	v := Proven
	if !slices.Contains(h.Allowed, to.Region) {
		v = Broken
	}
	return arc{
		X1: from.X, Y1: from.Y, X2: to.X, Y2: to.Y, CX: (from.X + to.X) / 2, CY: math.Min(from.Y, to.Y) - 60,
		Verdict: v, Title: string(h.Home) + " in " + named(to.Region),
	}
}

// place gives every region its point: by its place on earth, or in a row below.
func place(order []topology.Region, at map[topology.Region]*dot) {
	south, north, west, east := 90.0, -90.0, 180.0, -180.0
	unknown := 0
	for _, region := range order {
		p, known := places[region]
		if !known {
			unknown++
			continue
		}
		south, north, west, east = min(south, p[0]), max(north, p[0]), min(west, p[1]), max(east, p[1])
	}
	row := 0
	for _, region := range order {
		p, known := places[region]
		d := at[region]
		if !known {
			row++
			d.X, d.Y = round(mapWidth*float64(row)/float64(unknown+1)), mapHeight-mapMargin
		} else {
			d.X = round(mapMargin + (mapWidth-2*mapMargin)*share(p[1], west, east))
			d.Y = round(mapMargin + (mapHeight-3*mapMargin)*(1-share(p[0], south, north)))
		}
		d.LabelY = d.Y - 16
	}
}

// share is how far v lies between two ends; in the middle where they are one.
func share(v, from, to float64) float64 {
	if to-from < 1e-9 {
		return 0.5
	}
	return (v - from) / (to - from)
}

func round(v float64) float64 { return math.Round(v*10) / 10 }
