package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	mentionedMetric  = regexp.MustCompile(`meridian_[a-z_]+[a-z]`)
	mentionedCommand = regexp.MustCompile("(?m)(?:`|^)meridian ([a-z][a-z -]*[a-z])")
	histogramPart    = regexp.MustCompile(`_(count|sum|bucket)$`)
)

// What a runbook names has to be there in the night in which it is needed.
func TestRunbooks_NameMetricsAndCommandsThatAreThere(t *testing.T) {
	known := servers()
	for _, page := range []string{"docs/gameday.md", "docs/operations.md"} {
		text, err := os.ReadFile("../../" + page)
		if err != nil {
			t.Fatal(err)
		}
		metrics, commands := 0, 0
		for _, name := range mentionedMetric.FindAllString(string(text), -1) {
			metrics++
			if _, there := known[histogramPart.ReplaceAllString(name, "")]; !there {
				t.Errorf("%s names the metric %s, which no server has", page, name)
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
				t.Errorf("%s names the command meridian %s, which is not there (%v)", page, strings.Join(parts, " "), err)
			}
		}
		if metrics < 15 || commands < 7 {
			t.Errorf("%s: only %d metrics and %d commands were looked at", page, metrics, commands)
		}
	}
}
