package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
)

func TestTogether_PutsTheOwnHostFirst(t *testing.T) {
	three := []string{"postgresql://root@a:1/m?sslmode=disable", "postgresql://root@b:2/m?sslmode=disable", "postgresql://root@c:3/m?sslmode=disable"}
	socket := "host=/var/run/postgresql dbname=m"
	for _, c := range []struct {
		urls  []string
		first int
		want  string
	}{
		{three, 0, "postgresql://root@a:1,b:2,c:3/m?sslmode=disable"},
		{three, 1, "postgresql://root@b:2,a:1,c:3/m?sslmode=disable"},
		{three, 5, "postgresql://root@c:3,a:1,b:2/m?sslmode=disable"},
		{three[:1], 2, three[0]},
		{[]string{socket, socket}, 1, socket},
	} {
		if got, err := together(c.urls, c.first); err != nil || got != c.want {
			t.Errorf("%d: %q, %v; want %q", c.first, got, err, c.want)
		}
	}
}

// readyz is what /readyz says.
type readyz struct {
	Status   string `json:"status"`
	Region   string `json:"region"`
	Database struct {
		Engine      string `json:"engine"`
		Connections string `json:"connections"`
		Hosts       []struct {
			Host, Region, State string
			Connections         int
		} `json:"hosts"`
	} `json:"database"`
}

func TestServe_ReadyzSaysWhichHostsAnswer(t *testing.T) {
	d := postgres(t)
	a, b := dbtest.NewProxy(t, d.URL), dbtest.NewProxy(t, d.URL)
	both, err := together([]string{a.URL(), b.URL()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := serving(t, both, "--topology", "three-continents") // brand-eu lives in a home that it has
	s.furnish(t, "acc_42")
	ready := func(what string, is func(readyz) bool) {
		t.Helper()
		waitFor(t, what, func() bool {
			got := ask(t, http.DefaultClient, http.MethodGet, s.URL+"/readyz", "")
			var r readyz
			if err := json.Unmarshal([]byte(got.body), &r); err != nil {
				t.Fatalf("%s: %v", got.body, err)
			}
			if strings.Contains(got.body, "@") {
				t.Fatalf("a user is shown: %s", got.body)
			}
			return got.code == http.StatusOK && r.Status == "ready" && r.Region == "here" && len(r.Database.Hosts) == 2 && is(r)
		})
	}
	at := func(r readyz, host int, states ...string) bool {
		h := r.Database.Hosts
		return h[host].Connections == 16 && h[1-host].Connections == 0 && h[0].State == states[0] && h[1].State == states[1]
	}
	ready("the first host has all", func(r readyz) bool { return at(r, 0, "answers", "answers") })
	a.Silence()
	if a := ask(t, http.DefaultClient, http.MethodPost, s.URL+"/v1/wallet/debit", debit.body, debit.headers...); a.code != http.StatusOK {
		t.Errorf("a command beside a silent host: %d %s", a.code, a.body)
	}
	ready("the second host has all", func(r readyz) bool { return at(r, 1, "silent", "answers") })
	s.logged(t, "a database host does not serve")
	a.Heal()
	ready("the first host has all again", func(r readyz) bool { return at(r, 0, "answers", "answers") })
	s.logged(t, "a database host answers again")
}
