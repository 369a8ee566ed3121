package event

import (
	"fmt"
	"slices"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/id"
)

// CheckResidency refuses a subscription that would carry events of a home to a sink in another region without a grant for just that. The
// error is errs.ErrResidencyRefused with the home, its region and that of the sink, and says what to do. regionOf is the topology's; nil
// means that there is no topology, and so no rule.
func CheckResidency(s Subscription, regionOf func(id.Home) (region string, ok bool)) error {
	if regionOf == nil {
		return nil
	}
	for _, home := range s.Homes {
		region, known := regionOf(home)
		switch {
		case s.granted(home) || known && region != "" && region == s.Sink.Region:
		case !known:
			return refused(home, region, s.Sink.Region, fmt.Sprintf("the topology does not list the home %s; add it there, or grant the region of the sink", home))
		case s.Sink.Region == "":
			return refused(home, region, "", fmt.Sprintf("say in which region the sink runs: events of home %s stay in %s", home, region))
		default:
			return refused(home, region, s.Sink.Region, fmt.Sprintf(
				"events of home %s stay in %s and the sink runs in %s; use a sink in %s, or add a residency grant for home %s and region %s with a reason",
				home, region, s.Sink.Region, region, home, s.Sink.Region))
		}
	}
	return nil
}

func refused(home id.Home, region, sink, message string) error {
	e := *errs.ErrResidencyRefused
	e.Message = message
	return e.With("home", home).With("region", region).With("sink_region", sink)
}

// granted tells whether events of the home may leave for the region where the sink runs.
func (s Subscription) granted(home id.Home) bool {
	return slices.ContainsFunc(s.Grants, func(g Grant) bool { return g.Home == home && g.Region != "" && g.Region == s.Sink.Region })
}

// Sees lists the homes whose entries the subscriber is shown: those it names, and those granted to the region of its sink.
func (s Subscription) Sees() []id.Home {
	homes := slices.Clone(s.Homes)
	for _, g := range s.Grants {
		if s.granted(g.Home) && !slices.Contains(homes, g.Home) {
			homes = append(homes, g.Home)
		}
	}
	return homes
}
