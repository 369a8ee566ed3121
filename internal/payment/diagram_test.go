package payment_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/meridian-ledger/meridian/internal/payment"
)

var update = flag.Bool("update", false, "write docs/payments anew")

const docs = "../../docs/payments"

func TestDiagrams_AreUpToDate(t *testing.T) {
	want := map[string]string{}
	var list strings.Builder
	for _, table := range Tables {
		name := string(table.Kind) + ".md"
		want[name] = Default().Document(table)
		fmt.Fprintf(&list, "- [%s](%s): %d states, %d rules\n", strings.ReplaceAll(string(table.Kind), "_", " "), name, len(table.States()), len(table.Rules))
	}
	old, err := os.ReadFile(filepath.Join(docs, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin: made by go generate ./internal/payment -->\n", "<!-- end -->\n"
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("README.md has lost the marks %q and %q", begin, end)
	}
	want["README.md"] = head + begin + list.String() + end + tail
	for name, text := range want {
		path := filepath.Join(docs, name)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("%s is stale: run go generate ./internal/payment (%v)", path, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if want[filepath.Base(file)] == "" {
			t.Errorf("%s describes no kind", file)
		}
	}
}
