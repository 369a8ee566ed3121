// Package residency proves where the money of each home lies: which regions hold copies of its rows, which serve them, and whether that
// is what the topology says.
//
// It promises that a home is called proven only if every range that can hold a row of it, in every index, was looked at and stands where
// the topology allows. A range that it cannot read for certain counts for all homes, so that doubt speaks against the proof. A report is
// signed with Ed25519 over its exact bytes, domain-separated, and the page for a person is rendered from those bytes alone, so that
// Check finds a change in either.
//
// It relies on SHOW RANGES, which says what the cluster believes at that moment, and on the localities that nodes were started with, which
// CockroachDB believes untested. Copies outside of ranges (backups, logs, indexed values in the cluster's own meta ranges) are not looked
// at. judge.go has the verdict, read.go the questions, sign.go the signature, page.go the page.
package residency

import (
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
)

// Verdict on a home, or on all of them: the worst counts.
type Verdict string

// The verdicts, from good to bad.
const (
	Proven    Verdict = "proven"    // every copy where it may be, served from the region of the home, a quorum that survives what it should
	Misplaced Verdict = "misplaced" // every copy where it may be, but served from elsewhere, or too few to survive what they should
	Broken    Verdict = "broken"    // a copy stands where it may not
)

// Report is what was found.
type Report struct {
	Format   string        `json:"format"` // meridian-residency-1
	At       time.Time     `json:"at"`
	Engine   string        `json:"engine"` // as the server says
	Cluster  string        `json:"cluster"`
	Database string        `json:"database"`
	Topology topology.View `json:"topology"`
	Verdict  Verdict       `json:"verdict"`
	Homes    []Home        `json:"homes"` // in alphabetical order
	Ranges   int           `json:"ranges"`
	Tables   []string      `json:"tables"` // whose every index was looked at
	Limits   []string      `json:"limits"` // what is not proven
}

// Home is the finding on one of them.
type Home struct {
	Home     id.Home                 `json:"home"`
	Region   topology.Region         `json:"region"`
	Allowed  []topology.Region       `json:"allowed"` // where copies may stand
	Ledgers  int64                   `json:"ledgers"`
	Ranges   int                     `json:"ranges"` // that can hold rows of it
	Shared   int                     `json:"shared"` // of these, ranges that can hold rows of other homes as well
	Copies   map[topology.Region]int `json:"copies"` // replicas of these ranges by region
	Leases   map[topology.Region]int `json:"leases"` // leaseholders of these ranges by region
	Verdict  Verdict                 `json:"verdict"`
	Problems []string                `json:"problems"` // the first of each kind
}

const format = "meridian-residency-1"

// limits are what no report of this package proves.
var limits = []string{
	"localities are those that the nodes were started with; CockroachDB does not test them",
	"this is one moment; replicas move when nodes come, go or are configured otherwise",
	"backups, logs, changefeeds and the cluster's own meta ranges, which hold indexed values, are not covered",
	"global tables (ledger, asset) are everywhere by design; they hold names and settings, no balances",
}
