package evidence

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func read(t *testing.T, r Report) string {
	t.Helper()
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestText_Golden(t *testing.T) {
	golden(t, "testdata/passed.txt", []byte(read(t, given())))
	golden(t, "testdata/failed.txt", []byte(read(t, broken())))
}

func TestText_FitsATerminal(t *testing.T) {
	for line := range strings.Lines(read(t, given())) {
		if n := utf8.RuneCountInString(line); n > 150 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
}

// A name must not paint over a verdict.
func TestText_HostileNamesCannotSteerTheTerminal(t *testing.T) {
	var compared bytes.Buffer
	if err := Compare(hostile("\x1b[2J\r\u202e\x9b"), given()).Text(&compared); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{read(t, hostile("\x1b[2J\r\u202e\x9b")), compared.String()} {
		if strings.ContainsAny(text, "\x1b\r\u202e\u009b") || !utf8.ValidString(text) {
			t.Errorf("%q", text)
		}
	}
	if strings.Count(read(t, hostile("a\nb")), "\n") != strings.Count(read(t, hostile("ab")), "\n") {
		t.Error("a name begins a line of its own")
	}
}

func TestSummary_ClaimsNothingThatNobodyChecked(t *testing.T) {
	r := given()
	if s := r.Summary(); !strings.Contains(s, "RPO: 0, none of 74,310 acknowledged writes is missing.") || !strings.Contains(s, "Duplicates: 0, nothing happened twice on any of 75,001 accounts.") {
		t.Error(s)
	}
	r.Totals.RestoredLoss = 12
	if s := r.Summary(); !strings.Contains(s, "RPO: 12 acknowledged writes gone with what was restored, all of them younger than the backup.") {
		t.Error(s)
	}
	r.Totals.RestoredLoss = 0
	r.Verdicts[0].Status, r.Verdicts = Skipped, r.Verdicts[:1]
	if s := r.Summary(); !strings.Contains(s, "RPO: not checked.") || !strings.Contains(s, "Duplicates: not checked.") {
		t.Error(s)
	}
	r.Totals.LostWrites, r.Totals.DoubleEffects = 1, 3
	if s := r.Summary(); !strings.Contains(s, "RPO BROKEN: 1 acknowledged write missing.") || !strings.Contains(s, "DUPLICATES: 3 commands took effect more than once.") {
		t.Error(s)
	}
	for _, row := range []struct {
		recovery []Recovery
		want     string
	}{
		{nil, "RTO: not measured."},
		{[]Recovery{{Region: "eu", Met: true}}, "RTO: 0, no region of clients noticed."},
		{broken().Recovery, "RTO BROKEN: us-east1 was hurt by “kill region/europe-west1” and did not get well again within the limit of 20 s."},
		{broken().Recovery[:1], "RTO BROKEN: europe-west1 was well again 26.3 s after “kill region/europe-west1”, above the limit of 20 s."},
		{[]Recovery{{Region: "eu", Step: "cut", DetectSeconds: ptr(1), RTOSeconds: ptr(2), Met: true}}, "RTO: the slowest region, eu, was well again 2 s after “cut”."},
	} {
		if r.Recovery = row.recovery; !strings.Contains(r.Summary(), row.want) {
			t.Errorf("%s; want %s", r.Summary(), row.want)
		}
	}
}

func TestWords_OfNumbers(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{seconds(0), "0 s"},
		{seconds(0.034), "0.03 s"},
		{seconds(7.5), "7.5 s"},
		{seconds(143.217), "143.2 s"},
		{seconds(12_345), "12,345 s"},
		{milliseconds(-1), "–"},
		{milliseconds(4.126), "4.13 ms"},
		{milliseconds(41.26), "41.3 ms"},
		{milliseconds(412.6), "413 ms"},
		{milliseconds(4126), "4.13 s"},
		{share(0, 0), "0 %"},
		{share(1, 1_000_000), "< 0.01 %"},
		{share(99_999, 100_000), "99.99 %"},
		{share(5, 5), "100 %"},
		{grouped(-1234567), "-1,234,567"},
		{counted(1, "call"), "1 call"},
		{counted(0, "call"), "0 calls"},
		{bytesOf(0), "–"},
		{bytesOf(512 << 20), "512 MiB"},
		{bytesOf(8 << 30), "8 GiB"},
		{trimmed(-0.001, 2), "0"},
		{shortened("häuser", 4), "häu…"},
	} {
		if row.got != row.want {
			t.Errorf("%q, want %q", row.got, row.want)
		}
	}
}

// A call a second is seen beside thousands, and a failure as well.
func TestColumns_KeepWhatIsRare(t *testing.T) {
	s := Series{Region: "eu"}
	for i := range 1000 {
		failed, p99 := 0, 2.0
		if i == 501 {
			failed, p99 = 1, 900
		}
		s.OK, s.Failed = append(s.OK, 10), append(s.Failed, failed)
		s.P50, s.P99, s.Max = append(s.P50, 1), append(s.P99, p99), append(s.Max, p99)
	}
	cols := Report{Bucket: 0.25, Series: []Series{s}}.columns(60)
	if cols.count != 59 || cols.width != 4.25 {
		t.Fatalf("%d columns of %g s", cols.count, cols.width)
	}
	calls := 0
	for i, c := range cols.series[0].columns {
		calls += c.Calls
		if hit := i == 501/17; hit != (c.Failed > 0) || hit != (c.P99 == 900) {
			t.Errorf("column %d: %+v", i, c)
		}
		if c.OK != 40 {
			t.Errorf("column %d: %g calls/s, want 40 (the last column is shorter)", i, c.OK)
		}
	}
	if calls != 10_001 {
		t.Errorf("%d calls", calls)
	}
}
