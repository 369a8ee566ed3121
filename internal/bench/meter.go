package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ClientUse is what the generator itself took, and everything on its machine: a generator that needs a machine's last core measures
// itself.
type ClientUse struct {
	Cores   float64 `json:"cores"`
	Machine float64 `json:"machine_cores_busy,omitempty"` // where the system tells (Linux)
}

// ServerUse is what the servers say of themselves over the window; several are added up, memory is that of the largest.
type ServerUse struct {
	Cores           float64 `json:"cores"`
	PeakRSS         int64   `json:"peak_rss_bytes"`
	GroupsPerSecond float64 `json:"groups_per_second"`
	GroupCommands   float64 `json:"commands_per_group"`
	GroupRetries    float64 `json:"group_retries"`
	QueueMS         float64 `json:"queue_ms"` // means of a call, and of a group
	LoadMS          float64 `json:"load_ms"`
	DecideMS        float64 `json:"decide_ms"`
	WriteMS         float64 `json:"write_ms"`
}

// Meter reads what clients and servers use. A nil Meter reads the client alone.
type Meter struct {
	pages []string // of /metrics
	http  *http.Client
}

// NewMeter watches the servers at these base URLs.
func NewMeter(client *http.Client, servers ...string) *Meter {
	m := &Meter{http: client}
	for _, s := range servers {
		m.pages = append(m.pages, strings.TrimSuffix(s, "/")+"/metrics")
	}
	return m
}

// reading is one look.
type reading struct {
	at      time.Time
	self    float64 // seconds of processors
	machine float64
	servers map[string]float64 // metrics, summed over servers and labels
	rss     float64            // of the largest
}

// memoryEvery is how often the memory of servers is looked at.
const memoryEvery = 250 * time.Millisecond

// watch reads at both ends of a window, and memory in between. The function it returns fills in a slice, once the window is over.
func (m *Meter) watch(ctx context.Context, from, end time.Time) func(*Slice) error {
	type result struct {
		first, last reading
		peak        float64
		err         error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() { done <- r }()
		sleepUntil(ctx, from)
		if r.first, r.err = m.read(ctx); r.err != nil {
			return
		}
		r.peak = r.first.rss
		for m != nil && len(m.pages) > 0 && time.Until(end) > memoryEvery && sleepUntil(ctx, time.Now().Add(memoryEvery)) {
			between, err := m.read(ctx)
			if err != nil {
				r.err = err
				return
			}
			r.peak = max(r.peak, between.rss)
		}
		sleepUntil(ctx, end)
		r.last, r.err = m.read(ctx)
		r.peak = max(r.peak, r.last.rss)
	}()
	return func(s *Slice) error {
		r := <-done
		if r.err != nil {
			return r.err
		}
		s.Client, s.Server = used(r.first, r.last, r.peak)
		return nil
	}
}

func used(first, last reading, peak float64) (ClientUse, *ServerUse) {
	seconds := last.at.Sub(first.at).Seconds()
	client := ClientUse{Cores: (last.self - first.self) / seconds, Machine: (last.machine - first.machine) / seconds}
	if last.servers == nil {
		return client, nil
	}
	grew := func(name string) float64 { return last.servers[name] - first.servers[name] }
	mean := func(name string) float64 {
		if n := grew(name + "_count"); n > 0 {
			return grew(name+"_sum") / n
		}
		return 0
	}
	stage := func(name string) float64 {
		if n := grew(`meridian_group_stage_seconds_count/` + name); n > 0 {
			return 1000 * grew(`meridian_group_stage_seconds_sum/`+name) / n
		}
		return 0
	}
	return client, &ServerUse{
		Cores: grew("process_cpu_seconds_total") / seconds, PeakRSS: int64(peak),
		GroupsPerSecond: grew("meridian_group_commands_count") / seconds, GroupCommands: mean("meridian_group_commands"),
		GroupRetries: grew("meridian_group_retries_total"), QueueMS: 1000 * mean("meridian_queue_wait_seconds"),
		LoadMS: stage("load"), DecideMS: stage("decide"), WriteMS: stage("write"),
	}
}

func (m *Meter) read(ctx context.Context) (reading, error) {
	r := reading{at: time.Now(), self: ownProcessorSeconds(), machine: machineProcessorSeconds()}
	if m == nil || len(m.pages) == 0 {
		return r, nil
	}
	r.servers = map[string]float64{}
	for _, page := range m.pages {
		rss, err := m.scrape(ctx, page, r.servers)
		if err != nil {
			return r, fmt.Errorf("read %s: %w", page, err)
		}
		r.rss = max(r.rss, rss)
	}
	return r, nil
}

func (m *Meter) scrape(ctx context.Context, page string, into map[string]float64) (rss float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Accept-Encoding", "identity") // to compress it would be work for the server that is measured
	resp, err := m.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", resp.Status)
	}
	return readMetrics(resp.Body, into)
}

// readMetrics adds up the samples of Prometheus' text format by name, and those with a stage by name/stage as well.
func readMetrics(text io.Reader, into map[string]float64) (rss float64, err error) {
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || cut < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[cut+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read %q: %w", line, err)
		}
		name, labels, _ := strings.Cut(line[:cut], "{")
		into[name] += value
		if _, stage, found := strings.Cut(labels, `stage="`); found {
			stage, _, _ = strings.Cut(stage, `"`)
			into[name+"/"+stage] += value
		}
		if name == "process_resident_memory_bytes" {
			rss = value
		}
	}
	return rss, lines.Err()
}

func ownProcessorSeconds() float64 {
	var use syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &use) != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano()).Seconds()
}

// machineProcessorSeconds is what all processors of the machine have worked since it started, or 0 where /proc does not say.
func machineProcessorSeconds() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	const ticks, idle, wait = 100, 3, 4 // USER_HZ; columns after "cpu"
	busy := 0.0
	for i, field := range strings.Fields(first)[1:] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 7 { // guest time is part of user time
			break
		}
		if i != idle && i != wait {
			busy += n
		}
	}
	return busy / ticks
}
