package file

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
)

func TestParse_ReadsSettings(t *testing.T) {
	got, err := Parse([]byte(`{"directory":"lake/events","format":"FILE_FORMAT_PARQUET","batch":500,"linger":"2.5s"}`))
	if want := (Settings{Directory: "lake/events", Format: Parquet, Batch: 500, Linger: 2500 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = Parse([]byte(`{"directory":"a","format":"FILE_FORMAT_NDJSON"}`))
	if want := (Settings{Directory: "a", Format: NDJSON, Batch: DefaultBatch, Linger: DefaultLinger}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParse_Refuses(t *testing.T) {
	for settings, field := range map[string]string{
		``:                       "sink.file",
		`{"path":"a"}`:           "sink.file",
		`{"directory":1}`:        "sink.file.directory",
		`{"directory":""}`:       "sink.file.directory",
		`{"directory":"/a"}`:     "sink.file.directory",
		`{"directory":"a//b"}`:   "sink.file.directory",
		`{"directory":"a/../b"}`: "sink.file.directory",
		`{"directory":".a"}`:     "sink.file.directory",
		`{"directory":"home=x"}`: "sink.file.directory",
		`{"directory":"a\\b"}`:   "sink.file.directory",
		`{"directory":"` + strings.Repeat("a", 256) + `"}`: "sink.file.directory",
		`{"directory":"a"}`:                                                      "sink.file.format",
		`{"directory":"a","format":"csv"}`:                                       "sink.file.format",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","batch":-1}`:             "sink.file.batch",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","batch":100001}`:         "sink.file.batch",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","linger":"10"}`:          "sink.file.linger",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","linger":"-1s"}`:         "sink.file.linger",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","linger":"1h"}`:          "sink.file.linger",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON"} {}`:                     "sink.file",
		`{"directory":"a","format":"FILE_FORMAT_NDJSON","x":"` + "\xff" + `"} {`: "sink.file",
	} {
		_, err := Parse([]byte(settings))
		if field == "" || err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v, want one of %s", settings, err, field)
		}
	}
}

func TestNew_NeedsARoot(t *testing.T) {
	good := json.RawMessage(`{"directory":"a","format":"FILE_FORMAT_NDJSON"}`)
	if _, err := New(event.SinkSpec{Kind: Kind, Settings: good}, nil, Options{}); err == nil {
		t.Error("a server without a directory for files writes some")
	}
	if _, err := New(event.SinkSpec{Kind: "nats", Settings: good}, nil, Options{Root: "/"}); err == nil {
		t.Error("settings of another kind are taken")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"directory":"lake/events","format":"FILE_FORMAT_PARQUET","batch":500,"linger":"2.5s"}`))
	f.Add([]byte(`{"directory":"../x","format":"FILE_FORMAT_NDJSON"}`))
	f.Fuzz(func(t *testing.T, settings []byte) {
		s, err := Parse(settings)
		if err != nil {
			return
		}
		if s.Batch < 1 || s.Batch > MaxBatch || s.Linger < 0 || s.Linger > MaxLinger || s.Format != NDJSON && s.Format != Parquet {
			t.Errorf("%+v", s)
		}
		if path.Clean("/"+s.Directory) != "/"+s.Directory || strings.ContainsAny(s.Directory, "=\\\x00") || strings.HasPrefix(s.Directory, ".") {
			t.Errorf("directory %q leaves the root or hides", s.Directory)
		}
	})
}

func FuzzParseName(f *testing.F) {
	f.Add("00000000000000000001-00000000000000000005.parquet")
	f.Add(".00000000000000000001-00000000000000000005.ndjson.tmp")
	f.Add("+0000000000000000001-09223372036854775807.ndjson")
	f.Add("00000000000000000002-00000000000000000001.ndjson")
	f.Fuzz(func(t *testing.T, name string) {
		for _, format := range bothFormats {
			s, ok := parseName(name, format)
			if ok && (s.name(format) != name || s.first < 1 || s.last < s.first) {
				t.Errorf("%q is read as %+v", name, s)
			}
			if ok && (isHidden(name) || !isHidden(hidden(name))) {
				t.Errorf("%q is and is not hidden", name)
			}
		}
	})
}
