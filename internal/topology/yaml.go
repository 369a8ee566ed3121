package topology

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// YAML renders the topology in the format of the files, without comments. Parsing it gives the same topology.
func (t Topology) YAML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\nsurvive: %s\n\nregions:\n", scalar(t.Name), t.Survive)
	for _, r := range t.Regions {
		zones := make([]string, len(r.Zones))
		for i, z := range r.Zones {
			zones[i] = scalar(string(z))
		}
		fmt.Fprintf(&b, "  - name: %s\n    zones: [%s]\n    nodes: %d\n", scalar(string(r.Name)), strings.Join(zones, ", "), r.Nodes)
	}
	b.WriteString("\nhomes:\n")
	for _, home := range t.HomeNames() {
		fmt.Fprintf(&b, "  %s: %s\n", scalar(string(home)), scalar(string(t.Homes[home])))
	}
	if t.Placement != PlacementDefault {
		fmt.Fprintf(&b, "\nplacement: %s\n", t.Placement)
	}
	if len(t.SuperRegions) > 0 {
		b.WriteString("\nsuper_regions:\n")
	}
	for _, s := range t.SuperRegions {
		members := make([]string, len(s.Regions))
		for i, region := range s.Regions {
			members[i] = scalar(string(region))
		}
		fmt.Fprintf(&b, "  - {name: %s, regions: [%s]}\n", scalar(s.Name), strings.Join(members, ", "))
	}
	if len(t.Latencies) == 0 {
		return []byte(b.String())
	}
	b.WriteString("\nlatencies:\n")
	for _, l := range t.Latencies {
		fmt.Fprintf(&b, "  - {between: [%s, %s], rtt_ms: %s}\n", scalar(string(l.Between[0])), scalar(string(l.Between[1])), millis(l.RTT))
	}
	return []byte(b.String())
}

// words are names that YAML, or an older reader of it, takes for something else than text.
var words = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

func scalar(s string) string {
	if slices.Contains(words, s) {
		return strconv.Quote(s)
	}
	return s
}

// millis writes a duration in milliseconds, with as many decimals as it needs; Parse reads whole microseconds.
func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
}
