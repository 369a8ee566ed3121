package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-ledger/meridian/internal/telemetry"
)

func TestLogger_WritesOneJSONObjectALine(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.Logger(&out, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("hidden")
	log.Info("serving", "address", "127.0.0.1:7070", "note", "two\nlines")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%q is not one JSON object: %v", out.String(), err)
	}
	if line["msg"] != "serving" || line["level"] != "INFO" || line["address"] != "127.0.0.1:7070" || line["time"] == nil {
		t.Errorf("logged %v", line)
	}
}

func TestLogger_Levels(t *testing.T) {
	for level, want := range map[string]string{"debug": "dbg inf wrn err", "INFO": "inf wrn err", "warn": "wrn err", "error": "err"} {
		var out bytes.Buffer
		log, err := telemetry.Logger(&out, "TEXT", level)
		if err != nil {
			t.Fatalf("%s: %v", level, err)
		}
		log.Debug("dbg")
		log.Info("inf")
		log.Warn("wrn")
		log.Error("err")
		var got []string
		for line := range strings.Lines(out.String()) {
			_, message, _ := strings.Cut(line, "msg=")
			got = append(got, strings.TrimSpace(message))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("level %s lets through %v, want %s", level, got, want)
		}
	}
}

func TestLogger_SaysWhichWordsItKnows(t *testing.T) {
	for _, row := range []struct{ format, level, want string }{
		{"json", "loud", `log level "loud" is none of debug, info, warn, error`},
		{"xml", "info", `log format "xml" is neither json nor text`},
		{"", "info", `log format "" is neither json nor text`},
	} {
		if _, err := telemetry.Logger(&bytes.Buffer{}, row.format, row.level); err == nil || err.Error() != row.want {
			t.Errorf("Logger(%q, %q): %v, want %s", row.format, row.level, err, row.want)
		}
	}
}

func TestRegistry_LabelsWhatIsRegisteredAndSharesNothing(t *testing.T) {
	gatherer, registerer := telemetry.Registry(map[string]string{"region": "here"})
	_, other := telemetry.Registry(map[string]string{"region": "there"})
	for _, r := range []prometheus.Registerer{registerer, other} { // twice the same name: no global state
		count := prometheus.NewCounter(prometheus.CounterOpts{Name: "meridian_test_total", Help: "Of the test."})
		r.MustRegister(count)
		count.Inc()
	}
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, f := range families {
		found[f.GetName()] = ""
		for _, label := range f.GetMetric()[0].GetLabel() {
			found[f.GetName()] += label.GetName() + "=" + label.GetValue() + " "
		}
	}
	if found["meridian_test_total"] != "region=here " {
		t.Errorf("meridian_test_total has the labels %q", found["meridian_test_total"])
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if _, there := found[name]; !there {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestTracing_OffCostsNothingAndNeedsNoCare(t *testing.T) {
	var off *telemetry.Tracing
	if calls, err := off.Calls(); calls != nil || err != nil {
		t.Errorf("Calls: %v, %v", calls, err)
	}
	if q := off.Query(); q != nil {
		t.Errorf("Query: %v: a tracer that is not nil makes pgx call it", q)
	}
	if err := off.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestTrace_IsSetUpByTheStandardEnvironment(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "none")
	tracing, err := telemetry.Trace(t.Context(), "meridian", "v1", "here")
	if err != nil {
		t.Fatal(err)
	}
	if calls, err := tracing.Calls(); calls == nil || err != nil {
		t.Errorf("Calls: %v, %v", calls, err)
	}
	if tracing.Query() == nil {
		t.Error("Query is nil where tracing is on")
	}
	if err := tracing.Close(context.Background()); err != nil {
		t.Errorf("Close: %v", err)
	}
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	if _, err := telemetry.Trace(t.Context(), "meridian", "v1", "here"); err == nil {
		t.Error("an exporter that nobody knows was taken")
	}
}
