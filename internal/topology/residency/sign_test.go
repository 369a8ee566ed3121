package residency

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/topology"
	"github.com/meridian-ledger/meridian/regions"
)

// sample is a report with a home of each verdict, and names that a page has to escape.
func sample(t *testing.T) Report {
	t.Helper()
	topo, err := topology.Load(regions.FS, "five-regions")
	if err != nil {
		t.Fatal(err)
	}
	r := Report{
		Format: format, At: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Engine: "CockroachDB CCL v26.2.2 </script><b>", Cluster: "87687b9b",
		Database: "meridian", Topology: topo.View(), Tables: topology.HomeTables(), Limits: limits,
	}
	spans := []span{
		{table: "account", index: "account_pkey", byHome: true, id: 1, end: `/"us"`, lease: "region=europe-west1", copies: eachIn("europe-west1", "us-east1", "asia-northeast1")},
		{table: "account", index: "account_pkey", byHome: true, id: 2, start: `/"us"`, lease: "region=us-east1", copies: eachIn("us-east1", "us-west1", "europe-west1")},
	}
	for i := range spans {
		spans[i].voters = spans[i].copies
	}
	r.judge(topo, map[id.Home]int64{"us": 2, "eu": 1}, nil, spans)
	return r
}

func eachIn(names ...string) []string {
	var all []string
	for _, name := range names {
		all = append(all, "region="+name+",zone="+name+"-b")
	}
	return all
}

func TestCheck_TakesWhatWasSignedAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	key, other := filepath.Join(dir, "key"), filepath.Join(dir, "other")
	for _, file := range []string{key, other} {
		if err := NewKey(file); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info.Mode(), err)
	}
	if err := NewKey(key); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second key in the same file: %v", err)
	}
	private, err := ReadKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKey(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ReadPublicKey(other + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKey(key + ".pub"); err == nil {
		t.Error("a public key was read as a private one")
	}
	report := sample(t)
	signed, err := Sign(report, private)
	if err != nil {
		t.Fatal(err)
	}
	for name, render := range map[string]func(*bytes.Buffer, Signed) error{
		"json": func(b *bytes.Buffer, s Signed) error { return WriteJSON(b, s) },
		"page": func(b *bytes.Buffer, s Signed) error { return WritePage(b, s) },
	} {
		t.Run(name, func(t *testing.T) {
			var file bytes.Buffer
			if err := render(&file, signed); err != nil {
				t.Fatal(err)
			}
			got, err := Check(file.Bytes(), public)
			if err != nil || got.Verdict != report.Verdict || len(got.Homes) != 3 {
				t.Fatalf("Check = %+v, %v", got, err)
			}
			if _, err := Check(file.Bytes(), stranger); !errors.Is(err, ErrNotAuthentic) {
				t.Errorf("another key: %v", err)
			}
			requireTamperProof(t, file.Bytes(), func(data []byte) error { _, err := Check(data, public); return err })
			var bare bytes.Buffer
			unsigned, err := Sign(report, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := render(&bare, unsigned); err != nil {
				t.Fatal(err)
			}
			if _, err := Check(bare.Bytes(), public); !errors.Is(err, ErrNotAuthentic) || !strings.Contains(err.Error(), "not signed") {
				t.Errorf("no signature: %v", err)
			}
		})
	}
}

// requireTamperProof changes bytes all over the file, every one of the key and the signature at its end, and some words. In JSON, white space
// between values is nobody's business.
func requireTamperProof(t *testing.T, file []byte, check func([]byte) error) {
	t.Helper()
	for i := range file {
		if i%7 != 0 && i < len(file)-400 {
			continue
		}
		changed := bytes.Clone(file)
		changed[i] ^= 1
		if err := check(changed); err == nil && (!isSpace(file[i]) || !isSpace(changed[i])) {
			t.Fatalf("byte %d, %q in place of %q, goes unnoticed near %q", i, changed[i], file[i], file[max(0, i-30):min(len(file), i+30)])
		}
	}
	for old, fresh := range map[string]string{"broken": "proven", "us-west1": "us-east1", `"report":`: `"REPORT":{},"report":`} {
		if changed := bytes.Replace(file, []byte(old), []byte(fresh), 1); !errors.Is(check(changed), ErrNotAuthentic) {
			t.Errorf("%s for %s goes unnoticed", fresh, old)
		}
	}
	if err := check(append(bytes.Clone(file), "{}"...)); !errors.Is(err, ErrNotAuthentic) {
		t.Errorf("more behind it: %v", err)
	}
}

func isSpace(b byte) bool { return strings.ContainsRune(" \t\r\n", rune(b)) }

func TestWritePage_NeedsNothingElse(t *testing.T) {
	signed, err := Sign(sample(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := WritePage(&b, signed); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, foreign := range []string{"http://", "https://", "src=", "href=", "<b>", "@import", "url("} {
		if strings.Contains(page, foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
	for _, shown := range []string{"<svg", "us: broken", "eu: proven", "apac: misplaced", "a copy stands in europe-west1, where it may not", "Not signed", `class="broken" d="M`} {
		if !strings.Contains(page, shown) {
			t.Errorf("the page does not show %s", shown)
		}
	}
	if strings.Count(page, "</script>") != 1 {
		t.Error("what the server says of itself ends the script")
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"report":{},"signature":"AA=="}`))
	f.Add([]byte(string(embedBegin) + "{}"))
	f.Add([]byte("{"))
	dir := f.TempDir()
	if err := NewKey(filepath.Join(dir, "k")); err != nil {
		f.Fatal(err)
	}
	public, err := ReadPublicKey(filepath.Join(dir, "k.pub"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Check(data, public); !errors.Is(err, ErrNotAuthentic) {
			t.Errorf("Check = %v", err)
		}
	})
}
