package db

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const ms = time.Millisecond

func TestOrder_OwnRegionThenTheNearestThenWhoDoesNotAnswer(t *testing.T) {
	eu, us, apac := "europe-west1", "us-east1", "asia-east1"
	for name, c := range map[string]struct {
		own      string
		regional bool
		hosts    []Host
		want     []int
	}{
		"own region first, the others by their round trips": {eu, true, []Host{
			{Region: apac, State: Answers, RoundTrip: 220 * ms}, {Region: us, State: Answers, RoundTrip: 80 * ms}, {Region: eu, State: Answers, RoundTrip: 90 * ms},
		}, []int{2, 1, 0}},
		"the hosts of a region stay together": {eu, true, []Host{
			{Region: us, State: Answers, RoundTrip: 85 * ms}, {Region: apac, State: Answers, RoundTrip: 84 * ms}, {Region: us, State: Answers, RoundTrip: 80 * ms},
		}, []int{0, 2, 1}},
		"who does not answer comes last, who says so first": {eu, true, []Host{
			{Region: eu, State: Silent}, {Region: eu, State: Refuses}, {Region: us, State: Answers, RoundTrip: 80 * ms},
		}, []int{2, 1, 0}},
		"within a region, who has the fewest connections": {eu, true, []Host{
			{Region: eu, State: Answers, Connections: 3}, {Region: eu, State: Answers, Connections: 1}, {Region: eu, State: Answers, Connections: 2},
		}, []int{1, 2, 0}},
		"nobody is in our region: the nearest": {"local", true, []Host{
			{Region: us, State: Answers, RoundTrip: 80 * ms}, {Region: eu, State: Answers, RoundTrip: 1 * ms},
		}, []int{1, 0}},
		"nothing answers: ours first": {eu, true, []Host{{Region: us, State: Silent}, {Region: eu, State: Silent}}, []int{1, 0}},
		"without regions, as given": {eu, false, []Host{
			{State: Answers, RoundTrip: 9 * ms, Connections: 8}, {State: Answers, RoundTrip: 1 * ms}, {State: Answers},
		}, []int{0, 1, 2}},
		"without regions, a standby and the dead last": {eu, false, []Host{{State: Silent}, {State: ReadOnly}, {State: Answers}}, []int{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := order(c.hosts, c.own, c.regional, []int{0, 1, 2}); !slices.Equal(got, c.want) {
				t.Errorf("order %v, want %v", got, c.want)
			}
		})
	}
}

func TestOrder_SpreadsOverTheHostsOfARegion(t *testing.T) {
	hosts := []Host{{Region: "eu", State: Answers}, {Region: "eu", State: Answers, RoundTrip: ms}, {Region: "us", State: Answers}}
	if got := order(hosts, "eu", true, []int{1, 0, 2}); !slices.Equal(got, []int{1, 0, 2}) {
		t.Errorf("order %v, want it to follow the turn within the region alone", got)
	}
}

func TestWhere_SaysItForAPerson(t *testing.T) {
	for _, c := range []struct {
		want  string
		hosts []Host
	}{
		{"", nil},
		{"", []Host{{Region: "eu"}}},
		{"", []Host{{Connections: 8}}}, // without regions
		{"own region", []Host{{Region: "eu", Connections: 8}, {Region: "us"}}},
		{"fallback: us", []Host{{Region: "eu"}, {Region: "us", Connections: 8}}},
		{"fallback: us, apac", []Host{{Region: "eu", Connections: 9}, {Region: "apac", Connections: 1}, {Region: "us", Connections: 2}}},
	} {
		if got := Where(c.hosts, "eu"); got != c.want {
			t.Errorf("%v: %q, want %q", c.hosts, got, c.want)
		}
	}
}

func TestWanted_AsksForTwoAnswersInARow(t *testing.T) {
	at := func(region string, state State, streak int) *host {
		return &host{address: region, region: region, state: state, streak: streak}
	}
	for name, c := range map[string]struct {
		regional bool
		hosts    []*host
		want     string
	}{
		"ours are back":                {true, []*host{at("us", Answers, 9), at("eu", Answers, 2)}, "eu"},
		"ours answered once":           {true, []*host{at("us", Answers, 9), at("eu", Answers, 1)}, ""},
		"ours are gone":                {true, []*host{at("us", Answers, 9), at("eu", Silent, 0)}, ""},
		"all of ours":                  {true, []*host{at("eu", Answers, 2), at("eu", Silent, 0), at("eu", Answers, 3)}, "eu eu"},
		"the first is back":            {false, []*host{at("1", Answers, 2), at("2", Answers, 9)}, "1"},
		"the first answered once":      {false, []*host{at("1", Answers, 1), at("2", Answers, 9)}, ""},
		"the first is a standby":       {false, []*host{at("1", ReadOnly, 0), at("2", Answers, 9)}, "2"},
		"nobody answers where nobody":  {false, []*host{at("1", Silent, 0)}, ""},
		"a region without a name here": {true, []*host{at("", Answers, 9)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &nearest{region: "eu", regional: c.regional, hosts: c.hosts}
			var got []string
			for _, h := range n.wanted() {
				got = append(got, h.address)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("wanted %q, want %q", got, c.want)
			}
		})
	}
}

func TestStanding_ReadsWhatTheEnginesSay(t *testing.T) {
	for _, c := range []struct {
		engine Engine
		answer string
		state  State
		region string
	}{
		{CockroachDB, "region=europe-west1,zone=b", Answers, "europe-west1"},
		{CockroachDB, "cloud=gce,region=us-east1", Answers, "us-east1"},
		{CockroachDB, "", Answers, ""},
		{PostgreSQL, "off", Answers, ""},
		{PostgreSQL, "on", ReadOnly, ""},
	} {
		if state, region := c.engine.standing(c.answer); state != c.state || region != c.region {
			t.Errorf("%s says %q: %s, %q; want %s, %q", c.engine.Name, c.answer, state, region, c.state, c.region)
		}
	}
}

func TestStateOf_TellsANoFromSilence(t *testing.T) {
	for want, all := range map[State][]error{
		Refuses: {io.EOF, io.ErrUnexpectedEOF, &pgconn.PgError{Code: "57P03"}, &net.OpError{Err: syscall.ECONNREFUSED}, fmt.Errorf("x: %w", syscall.ECONNRESET)},
		Silent:  {errors.New("whatever"), &net.OpError{Err: syscall.EHOSTUNREACH}, &net.DNSError{}, syscall.ETIMEDOUT},
	} {
		for _, err := range all {
			if got := stateOf(err); got != want {
				t.Errorf("%v is %s, want %s", err, got, want)
			}
		}
	}
}

func TestDirect_KeepsBothEntriesOfAHostTogether(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	config, err := pgx.ParseConfig("postgresql://u:secret@db1:26257,db2,db1:26257/ledger?sslmode=prefer")
	if err != nil {
		t.Fatal(err)
	}
	n := newNearest(config.Copy(), "eu", slog.New(slog.DiscardHandler))
	if len(n.hosts) != 2 || n.hosts[0].address != "db1:26257" || n.hosts[1].address != "db2:5432" {
		t.Fatalf("%d hosts: %v", len(n.hosts), n.hosts)
	}
	n.hosts[0].state, n.hosts[1].state = Silent, Answers
	n.direct(config, true)
	got := []string{fmt.Sprint(config.Host, config.TLSConfig != nil)}
	for _, f := range config.Fallbacks {
		got = append(got, fmt.Sprint(f.Host, f.TLSConfig != nil))
	}
	want := "db2true db2false db1true db1false db1true db1false"
	if strings.Join(got, " ") != want {
		t.Errorf("entries %q", got)
	}
	if config.ValidateConnect == nil {
		t.Error("without regions a standby would do")
	}
}
