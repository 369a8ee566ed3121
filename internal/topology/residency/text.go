package residency

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/meridian-ledger/meridian/internal/topology"
)

// WriteText prints the report for a person at a terminal.
func (report Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "residency of database %s against topology %s: %s\n", report.Database, report.Topology.Name, strings.ToUpper(string(report.Verdict)))
	fmt.Fprintf(&b, "%s, cluster %s, %d ranges of %d tables\n\n", report.At.Format("2006-01-02 15:04:05 MST"), report.Cluster, report.Ranges, len(report.Tables))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOME\tREGION\tVERDICT\tLEDGERS\tRANGES\tSHARED\tCOPIES\tLEASES")
	for _, h := range report.Homes {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", h.Home, named(h.Region), h.Verdict, h.Ledgers, h.Ranges, h.Shared, counts(h.Copies), counts(h.Leases))
	}
	_ = table.Flush() // a strings.Builder takes all
	for _, h := range report.Homes {
		for _, problem := range h.Problems {
			fmt.Fprintf(&b, "\n%s: %s", h.Home, problem)
		}
	}
	b.WriteString("\nNot proven:\n")
	for _, limit := range report.Limits {
		fmt.Fprintf(&b, "  %s\n", limit)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func counts(by map[topology.Region]int) string {
	all := make([]string, 0, len(by))
	for _, region := range sortedKeys(by) {
		all = append(all, fmt.Sprintf("%s %d", named(region), by[region]))
	}
	return strings.Join(all, ", ")
}
