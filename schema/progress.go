package schema

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"strings"
)

// progress turns the log of goose into lines for a person.
type progress func(string)

// Enabled reports true: goose logs at one level only.
func (progress) Enabled(context.Context, slog.Level) bool { return true }

// Handle tells the two records that matter by what they carry: a statement that is about to run, or how long a file took.
func (p progress) Handle(_ context.Context, r slog.Record) error {
	var source, statement, took string
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "source":
			source = sourceOf(a.Value.String())
		case "statement":
			statement = a.Value.String()
		case "duration_seconds":
			took = fmt.Sprintf("done in %.3f s", a.Value.Float64())
		}
		return true
	})
	if statement != "" {
		first, _, _ := strings.Cut(statement, "\n")
		took = strings.TrimRight(first, " (;")
	}
	if took != "" {
		p(source + ": " + took)
	}
	return nil
}

// sourceOf is the name of a file as it begins each line about it.
func sourceOf(file string) string { return strings.TrimSuffix(path.Base(file), ".sql") }

// WithAttrs returns the handler itself: goose adds none.
func (p progress) WithAttrs([]slog.Attr) slog.Handler { return p }

// WithGroup returns the handler itself: goose opens none.
func (p progress) WithGroup(string) slog.Handler { return p }
