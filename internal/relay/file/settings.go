package file

import (
	"fmt"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/relay/sink"
)

// Bounds and defaults of settings.
const (
	DefaultBatch  = 10_000
	MaxBatch      = 100_000
	DefaultLinger = 10 * time.Second
	MaxLinger     = 10 * time.Minute
	maxDirectory  = 255 // bytes
)

// Format is how events are written; it is the ending of the file's name as well.
type Format string

// The formats.
const (
	NDJSON  Format = "ndjson"
	Parquet Format = "parquet"
)

// formats are the names that protojson gives them.
var formats = map[string]Format{"FILE_FORMAT_NDJSON": NDJSON, "FILE_FORMAT_PARQUET": Parquet}

// Settings say what files are written, and where.
type Settings struct {
	Directory string // below the root, with slashes
	Format    Format
	Batch     int           // most events in a file
	Linger    time.Duration // the longest that an event waits for its file to fill
}

// form is the JSON of settings, as protojson writes a FileSink under its proto names.
type form struct {
	Directory string `json:"directory"`
	Format    string `json:"format"`
	Batch     int    `json:"batch"`
	Linger    string `json:"linger"` // with its unit: "10s"
}

// Parse reads settings and refuses what can not work. Errors are *errs.Error of a field.
func Parse(settings []byte) (Settings, error) {
	var f form
	if err := sink.Decode(settings, "sink.file", &f); err != nil {
		return Settings{}, err
	}
	s := Settings{Directory: f.Directory, Format: formats[f.Format], Batch: DefaultBatch, Linger: DefaultLinger}
	if !isDirectory(f.Directory) {
		return Settings{}, invalid("directory", fmt.Sprintf(
			"a directory is names of a-z A-Z 0-9 . _ - with slashes between, none of which begins with a dot, at most %d bytes", maxDirectory))
	}
	if s.Format == "" {
		return Settings{}, invalid("format", "a format is FILE_FORMAT_NDJSON or FILE_FORMAT_PARQUET")
	}
	if f.Batch != 0 {
		s.Batch = f.Batch
	}
	if s.Batch < 1 || s.Batch > MaxBatch {
		return Settings{}, invalid("batch", fmt.Sprintf("1 to %d events in a file", MaxBatch))
	}
	if f.Linger != "" {
		var err error
		if s.Linger, err = time.ParseDuration(f.Linger); err != nil || s.Linger < 0 || s.Linger > MaxLinger {
			return Settings{}, invalid("linger", fmt.Sprintf("0s to %v, with its unit, as in \"10s\"", MaxLinger))
		}
	}
	return s, nil
}

// isDirectory is stricter than a file system: no name is hidden, and none looks like the directories that are made below.
func isDirectory(s string) bool {
	if len(s) > maxDirectory {
		return false
	}
	for name := range strings.SplitSeq(s, "/") {
		if name == "" || name[0] == '.' || strings.ContainsFunc(name, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r)
		}) {
			return false
		}
	}
	return true
}

func invalid(field, message string) error { return errs.Invalid("sink.file."+field, message) }
