package topology

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Show draws the topology for a person: what it survives, who lives where, how far apart the regions are.
func (t Topology) Show(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s, survives the loss of %s\n\n", t.Name, t.survives())
	t.showRegions(&b)
	t.showResidency(&b)
	if len(t.Regions) > 1 {
		b.WriteString("\n")
		t.showMatrix(&b)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("show topology %s: %w", t.Name, err)
	}
	return nil
}

// survives says what the goal is worth with the zones there are: a region of fewer than three zones does not outlive one of them.
func (t Topology) survives() string {
	if t.Survive == SurviveRegion {
		return "any one region"
	}
	var thin []string
	for _, region := range t.Regions {
		if len(region.Zones) < minZonesToSurviveOne {
			thin = append(thin, string(region.Name))
		}
	}
	if len(thin) == 0 {
		return "any one zone"
	}
	return fmt.Sprintf("any one zone, except in %s with fewer than %d zones", strings.Join(thin, ", "), minZonesToSurviveOne)
}

// minZonesToSurviveOne is the number of zones a quorum inside one region needs so that one of them can go.
const minZonesToSurviveOne = 3

func (t Topology) showRegions(b *bytes.Buffer) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REGION\tHOMES\tNODES\tCOMMIT\tZONES")
	for i, region := range t.Regions {
		name := string(region.Name)
		if i == 0 {
			name += " (primary)"
		}
		homes := make([]string, 0, len(t.Homes))
		for _, home := range t.HomesIn(region.Name) {
			homes = append(homes, string(home))
		}
		zones := make([]string, len(region.Zones))
		for j, zone := range region.Zones {
			zones[j] = string(zone)
		}
		commit := "local"
		if floor := t.CommitFloor(region.Name); floor > 0 {
			commit = "≥ " + millis(floor) + " ms"
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", name, orDash(strings.Join(homes, " ")), region.Nodes, commit, strings.Join(zones, " "))
	}
	table.Flush() // a bytes.Buffer takes all
}

// showResidency says what confines copies, where something does.
func (t Topology) showResidency(b *bytes.Buffer) {
	if t.Placement == PlacementRestricted {
		b.WriteString("\nplacement restricted: copies stay in the region of their home\n")
	}
	for i, s := range t.SuperRegions {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "super region %s: copies stay in %s\n", s.Name, joined(s.Regions))
	}
}

func joined[T ~string](all []T) string {
	text := make([]string, len(all))
	for i, s := range all {
		text[i] = string(s)
	}
	return strings.Join(text, ", ")
}

func (t Topology) showMatrix(b *bytes.Buffer) {
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "ROUND TRIP (ms)\t")
	for _, region := range t.Regions {
		fmt.Fprintf(table, "%s\t", region.Name)
	}
	fmt.Fprintln(table)
	for _, from := range t.Regions {
		fmt.Fprintf(table, "%s\t", from.Name)
		for _, to := range t.Regions {
			cell := "·"
			if rtt, ok := t.RTT(from.Name, to.Name); ok && from.Name != to.Name {
				cell = millis(rtt)
			}
			fmt.Fprintf(table, "%s\t", cell)
		}
		fmt.Fprintln(table)
	}
	table.Flush() // a bytes.Buffer takes all
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
