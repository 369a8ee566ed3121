package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const page = `# HELP process_cpu_seconds_total Total user and system CPU time spent in seconds.
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
process_resident_memory_bytes 6.7108864e+07
meridian_group_commands_sum{region="here"} 640
meridian_group_commands_count{region="here"} 10
meridian_group_retries_total{cause="serialization",region="here"} 3
meridian_group_retries_total{cause="deadlock",region="here"} 1
meridian_group_stage_seconds_sum{region="here",stage="load"} 0.02
meridian_group_stage_seconds_count{region="here",stage="load"} 10
meridian_group_stage_seconds_sum{region="here",stage="write"} 0.05
meridian_group_stage_seconds_count{region="here",stage="write"} 10
`

func TestReadMetrics_AddsUpLabelsAndKeepsStagesApart(t *testing.T) {
	got := map[string]float64{}
	rss, err := readMetrics(strings.NewReader(page), got)
	if err != nil || rss != 64<<20 {
		t.Fatalf("%v, %v", rss, err)
	}
	for name, want := range map[string]float64{
		"process_cpu_seconds_total": 12.5, "meridian_group_commands_count": 10, "meridian_group_retries_total": 4,
		"meridian_group_stage_seconds_sum/load": 0.02, "meridian_group_stage_seconds_sum/write": 0.05,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if _, err := readMetrics(strings.NewReader("half a line x\n"), got); err == nil {
		t.Error("a page that is none was accepted")
	}
}

func TestMeter_AddsUpServersAndTakesTheLargestMemory(t *testing.T) {
	grown := strings.NewReplacer("e+07", "e+08", "12.5", "14.5", " 640", " 1280", " 10\n", " 20\n")
	var pages []string
	for range 2 {
		asked := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := page
			if asked++; asked > 1 {
				text = grown.Replace(page)
			}
			_, _ = io.WriteString(w, text)
		}))
		t.Cleanup(s.Close)
		pages = append(pages, s.URL)
	}
	m := NewMeter(http.DefaultClient, pages...)
	var s Slice
	if err := m.watch(t.Context(), time.Now(), time.Now().Add(time.Millisecond))(&s); err != nil {
		t.Fatal(err)
	}
	if s.Server == nil || s.Server.GroupCommands != 64 || s.Server.PeakRSS != 671088640 || s.Server.LoadMS != 0 || s.Server.GroupRetries != 0 {
		t.Errorf("%+v, want groups of 64 and the memory of one server", s.Server)
	}
	if s.Server.Cores <= 0 {
		t.Error("the servers used nothing")
	}
}

func TestMeter_SaysWhichServerDoesNotAnswer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	err := NewMeter(http.DefaultClient, s.URL).watch(t.Context(), time.Now(), time.Now())(&Slice{})
	if err == nil || !strings.Contains(err.Error(), s.URL+"/metrics") {
		t.Errorf("%v, want the page named", err)
	}
}
