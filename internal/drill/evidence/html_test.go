package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestHTML_Golden(t *testing.T) {
	for name, r := range map[string]Report{"passed": given(), "failed": broken()} {
		golden(t, "testdata/"+name+".html", rendered(t, r))
	}
}

// hostile is a report in which everything that is text is the given text.
func hostile(s string) Report {
	r := given()
	r.Drill, r.Title, r.Why, r.Command, r.Story = s, s, s, s, s
	r.Environment.Meridian, r.Environment.Go, r.Environment.OS, r.Environment.CPU = s, s, s, s
	r.Environment.Engine, r.Environment.EngineVersion, r.Environment.Topology = s, s, s
	for i := range r.Environment.Regions {
		g := &r.Environment.Regions[i]
		g.Name, g.Zones, g.Homes = s, []string{s}, []string{s}
	}
	for i := range r.Environment.RTTs {
		r.Environment.RTTs[i].Between = [2]string{s, s}
	}
	for i := range r.Steps {
		r.Steps[i].Kind, r.Steps[i].Target, r.Steps[i].Text = s, s, s
	}
	r.Steps[1].Skipped = s + "!"
	for i := range r.Series {
		r.Series[i].Region = s
	}
	for i := range r.Phases {
		r.Phases[i].Region = s
	}
	for i := range r.Recovery {
		r.Recovery[i].Region, r.Recovery[i].Step, r.Recovery[i].Text = s, s, s
	}
	for i := range r.Verdicts {
		r.Verdicts[i].Name, r.Verdicts[i].Detail = s, []string{s}
	}
	for i := range r.Log {
		r.Log[i].Text = s
	}
	return r
}

var (
	tags     = regexp.MustCompile(`<[!/a-zA-Z][^<>\s/]*`)
	openings = regexp.MustCompile(`(?s)<[a-zA-Z][^>]*>`)
)

// skeleton is the order of the tags of a page.
func skeleton(page []byte) string { return strings.Join(tags.FindAllString(string(page), -1), " ") }

func TestHTML_HostileNamesCannotInject(t *testing.T) {
	harmless := skeleton(rendered(t, short(hostile("harmless"))))
	for _, s := range []string{
		`<script>alert(1)</script>`, `"><svg onload=alert(1)>`, `' onmouseover='alert(1)`, `</title><script>`, `</script><script>alert(1)</script>`,
		`</pre></table><iframe src=//evil>`, `<!--`, `-->`, `]]>`, "\u2028</style>", `{{.Report.Seed}}`, `javascript:alert(1)`, "`${alert(1)}`", "<\x00script>", "\xff<b>",
	} {
		got := rendered(t, short(hostile(s)))
		if skeleton(got) != harmless {
			t.Errorf("%q changes the elements of the page", s)
		}
		compared, err := Compare(hostile(s), hostile(s)).HTML()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := Compare(hostile("harmless"), hostile("harmless")).HTML()
		if err != nil {
			t.Fatal(err)
		}
		if skeleton(compared) != skeleton(plain) {
			t.Errorf("%q changes the elements of the comparison", s)
		}
	}
}

func FuzzHTML_NamesCannotInject(f *testing.F) {
	f.Add(`"><img src=x onerror=alert(1)>`)
	f.Add(`</script><script>`)
	f.Add(`<!--<script>`)
	harmless := []byte(nil)
	f.Fuzz(func(t *testing.T, s string) {
		if strings.TrimSpace(s) == "" {
			return // what is empty leaves lines out
		}
		if harmless == nil {
			harmless = []byte(skeleton(rendered(t, short(hostile("harmless")))))
		}
		got := rendered(t, short(hostile(s)))
		if skeleton(got) != string(harmless) {
			t.Errorf("%q changes the elements of the page", s)
		}
		for _, tag := range openings.FindAllString(string(got), -1) {
			if strings.Contains(strings.ToLower(tag), " on") && !strings.Contains(s, " on") {
				t.Errorf("%q: %q", s, tag)
			}
		}
	})
}

func TestHTML_PolicyAllowsThisStyleAndThisScriptAlone(t *testing.T) {
	got := string(rendered(t, given()))
	policy := html.UnescapeString(between(t, got, `http-equiv="Content-Security-Policy" content="`, `"`))
	for directive, text := range map[string]string{"style-src": between(t, got, "<style>", "</style>"), "script-src": between(t, got, "<script>", "</script>")} {
		sum := sha256.Sum256([]byte(text))
		if want := directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	for _, outside := range []string{"http://", "https://", "src=", "@import", "url(//"} {
		if strings.Contains(got, outside) {
			t.Errorf("the page holds %q", outside)
		}
	}
}

func between(t *testing.T, s, before, after string) string {
	t.Helper()
	_, s, ok := strings.Cut(s, before)
	s, _, found := strings.Cut(s, after)
	if !ok || !found {
		t.Fatalf("nothing between %q and %q", before, after)
	}
	return s
}

func TestHTML_NamesTheDigestOfTheJSON(t *testing.T) {
	var text bytes.Buffer
	if err := given().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text.Bytes())
	if got := rendered(t, given()); !bytes.Contains(got, []byte(hex.EncodeToString(sum[:]))) {
		t.Error("the page does not name the digest of report.json")
	}
}

// Evidence that is damaged or thin is shown as far as it goes.
func TestHTML_ShowsWhateverThereIs(t *testing.T) {
	ragged := given()
	ragged.Series[0].P50, ragged.Series[1].OK, ragged.Series[2].Failed = nil, ragged.Series[1].OK[:7], nil
	odd := given()
	odd.Bucket = 0.001
	odd.Steps = append(odd.Steps, Step{At: -5, Until: ptr(-1)}, Step{At: 1e9}, Step{At: 5, Until: ptr(1e9)}, Step{At: -3, Until: ptr(0.1)})
	for range 30 {
		odd.Steps = append(odd.Steps, Step{At: 0.2, Until: ptr(0.3), Kind: "kill", Target: strings.Repeat("long ", 30)})
	}
	idle := given()
	for i := range idle.Series {
		s := &idle.Series[i]
		for j := range s.OK {
			s.OK[j], s.Failed[j], s.P50[j], s.P99[j], s.Max[j] = 0, 0, -1, -1, -1
		}
	}
	long := given()
	long.Series[0].OK, long.Series[0].P99 = make([]int, 50_000), make([]float64, 50_000)
	for name, r := range map[string]Report{
		"nothing": {}, "ragged": ragged, "odd": odd, "idle": idle, "long": long, "no bucket": {Series: given().Series},
		"old": {Started: time.Time{}, Seconds: -1, Bucket: 1e300, Series: given().Series},
	} {
		got := rendered(t, r)
		if bytes.Contains(got, []byte("NaN")) || bytes.Contains(got, []byte("Inf")) {
			t.Errorf("%s: a number is none", name)
		}
		if len(got) > 1<<20 {
			t.Errorf("%s: the page has %d bytes", name, len(got))
		}
		if err := r.Text(&bytes.Buffer{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := JUnit(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Compare(r, given()).HTML(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	wrong := given()
	wrong.Phases[0].P50 = math.NaN()
	if _, err := HTML(wrong); err == nil {
		t.Error("a report that has no JSON has a page that names the digest of its JSON")
	}
}
