package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
)

// examples are the first events of each type in the story.
func examples(t *testing.T) map[Type]Rendered {
	first := map[Type]Rendered{}
	for _, e := range story(t) {
		r := shown(t, e)
		eventtest.Validate(t, r.Body)
		if _, seen := first[Type(e.Type().form())]; !seen {
			first[Type(e.Type().form())] = r
		}
	}
	return first
}

func TestExamples_ShowEachType(t *testing.T) {
	all := examples(t)
	for _, kind := range formed() {
		if all[kind].Body == nil {
			t.Errorf("the story has no %s", kind)
			continue
		}
		var b bytes.Buffer
		if err := json.Indent(&b, all[kind].Body, "", "  "); err != nil {
			t.Fatal(err)
		}
		upToDate(t, filepath.Join("examples", string(kind)+".json"), append(b.Bytes(), '\n'))
	}
}

const begin, end = "<!-- begin: made by go generate ./internal/event -->\n", "<!-- end -->\n"

func TestReadme_ListsEachType(t *testing.T) {
	old, err := os.ReadFile(filepath.Join(docs, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has lost the marks %q and %q", begin, end)
	}
	var table strings.Builder
	table.WriteString("| type | from | what happened | data | example |\n|---|---|---|---|---|\n")
	for _, kind := range formed() {
		from := "a posted"
		switch kind {
		case TransactionDeclined:
			from = "any declined command that is no step"
		case TransitionRefused, GateClosed:
			from = "a declined step"
		case Test:
			from = "TestSubscription"
		default:
			for i, k := range kindsOf(kind) {
				from += strings.Repeat(" or", min(i, 1)) + " " + string(k)
			}
		}
		name := string(kind)
		shown := name
		if kind == payments {
			shown = "payment.<kind>.<state>"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | [schema](%s.%s.json) | [event](examples/%s.json) |\n", shown, from, meanings[kind], name, major, name)
	}
	upToDate(t, "README.md", []byte(head+begin+table.String()+end+tail))
}
