package main

import (
	"strings"
	"testing"
)

// A comparison that can not be made is refused before an engine is started for it.
func TestBench_RefusesWhatItCanNotCompare(t *testing.T) {
	for args, want := range map[string]string{
		"--against clever":                                 `--against: "clever" is none of naive and tuned`,
		"--against naive,clever":                           `--against: "clever" is none of naive and tuned`,
		"--against tuned --scenario mixed":                 "--scenario mixed: the programs of --against know transfers alone",
		"--suite --server http://127.0.0.1:1":              "the programs of --against need the --database-url of the servers",
		"--against naive --naive-pool 0":                   "--naive-pool 0: want 1 to 150",
		"--against tuned --tuned-pool 151":                 "--tuned-pool 151: want 0 to 150",
		"--against naive --rounds 0":                       "--rounds 0: want 1 to 100",
		"--scenario cold":                                  `scenario "cold" is none of uniform zipf hot mixed`,
		"--server http://127.0.0.1:1 --protocol telepathy": "--protocol telepathy: want connect, h2 or grpc",
	} {
		r := meridian(t, append([]string{"bench"}, strings.Fields(args)...)...)
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: want %q\n%s", args, want, r)
		}
	}
}
