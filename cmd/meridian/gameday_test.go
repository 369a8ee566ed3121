package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/feed"
	"github.com/meridian-ledger/meridian/internal/ledger/ledgertest"
	"github.com/meridian-ledger/meridian/internal/relay"
	"github.com/meridian-ledger/meridian/internal/rpc"
	"github.com/meridian-ledger/meridian/internal/search"
)

// descriptions is a registry that keeps what collectors say of themselves: a vector without children is in no scrape.
type descriptions struct{ text strings.Builder }

func (d *descriptions) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc, 100)
	c.Describe(all)
	close(all)
	for one := range all {
		d.text.WriteString(one.String() + "\n")
	}
	return nil
}

func (d *descriptions) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = d.Register(c)
	}
}

func (*descriptions) Unregister(prometheus.Collector) bool { return false }

var (
	mentionedMetric  = regexp.MustCompile(`meridian_[a-z_]+[a-z]`)
	mentionedCommand = regexp.MustCompile("(?m)(?:`|^)meridian ([a-z][a-z -]*[a-z])")
	histogramPart    = regexp.MustCompile(`_(count|sum|bucket)$`)
)

// What a runbook names has to be there in the night in which it is needed.
func TestGameDay_NamesMetricsAndCommandsThatAreThere(t *testing.T) {
	var known descriptions
	commit.NewMetrics(&known)
	relay.NewMetrics(&known)
	relay.NewDeliveryMetrics(&known)
	search.NewMetrics(&known)
	feed.NewMetrics(&known)
	rpc.NewHandler(ledgertest.NewModel(nil), rpc.Options{Registerer: &known})
	text, err := os.ReadFile("../../docs/gameday.md")
	if err != nil {
		t.Fatal(err)
	}
	metrics, commands := 0, 0
	for _, name := range mentionedMetric.FindAllString(string(text), -1) {
		metrics++
		if name = histogramPart.ReplaceAllString(name, ""); !strings.Contains(known.text.String(), `"`+name+`"`) {
			t.Errorf("docs/gameday.md names the metric %s, which no server has", name)
		}
	}
	for _, words := range mentionedCommand.FindAllStringSubmatch(string(text), -1) {
		commands++
		parts := strings.Fields(words[1])
		for i, word := range parts {
			if strings.HasPrefix(word, "-") {
				parts = parts[:i]
				break
			}
		}
		c, rest, err := rootCommand().Find(parts)
		if err != nil || c == rootCommand() || c.HasSubCommands() && len(rest) > 0 {
			t.Errorf("docs/gameday.md names the command meridian %s, which is not there (%v)", strings.Join(parts, " "), err)
		}
	}
	if metrics < 15 || commands < 10 {
		t.Errorf("only %d metrics and %d commands were looked at", metrics, commands)
	}
}
