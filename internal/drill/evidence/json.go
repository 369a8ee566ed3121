package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// maxBytes bounds what Read takes: a drill of an hour in five regions is some 2 MiB.
const maxBytes = 64 << 20

// WriteJSON writes the report for programs, and for keeping. What is not there is an empty list, never null, so that a reader may loop
// without asking. A report that contradicts itself is written all the same, because it is evidence; the error then says what Read will refuse.
func (r Report) WriteJSON(w io.Writer) error {
	text, err := r.encode()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := r.check(); err != nil {
		return fmt.Errorf("the report is written, but nobody will be able to read it: %w", err)
	}
	return nil
}

// encode gives the bytes of report.json.
func (r Report) encode() ([]byte, error) {
	text, err := indented(r.withLists())
	if err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return text, nil
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // it stands in no page, and people read YAML and logs in it
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// withLists is the report with an empty list wherever there was nil. It leaves what r shares with others as it was.
func (r Report) withLists() Report {
	r.Environment.Regions = slices.Clone(list(r.Environment.Regions))
	for i := range r.Environment.Regions {
		g := &r.Environment.Regions[i]
		g.Zones, g.Homes = list(g.Zones), list(g.Homes)
	}
	r.Series = slices.Clone(list(r.Series))
	for i := range r.Series {
		s := &r.Series[i]
		s.OK, s.Failed, s.P50, s.P99, s.Max = list(s.OK), list(s.Failed), list(s.P50), list(s.P99), list(s.Max)
	}
	r.Verdicts = slices.Clone(list(r.Verdicts))
	for i := range r.Verdicts {
		r.Verdicts[i].Detail = list(r.Verdicts[i].Detail)
	}
	r.Environment.RTTs, r.Steps, r.Phases, r.Recovery, r.Log = list(r.Environment.RTTs), list(r.Steps), list(r.Phases), list(r.Recovery), list(r.Log)
	return r
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Read reads what WriteJSON wrote, up to 64 MiB, and takes nothing else: a field that is unknown, missing or there twice, a format other than
// Format, a second document, and a report that contradicts itself are errors that say which and where.
func Read(from io.Reader) (Report, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxBytes+1))
	if err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	if len(text) > maxBytes {
		return Report{}, fmt.Errorf("read the report: it is longer than %d MiB", maxBytes>>20)
	}
	r, err := decode(text)
	if err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	return r, nil
}

func decode(text []byte) (Report, error) {
	var form struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return Report{}, placed(text, err)
	}
	if form.Format == nil {
		return Report{}, errors.New(`it has no field "format": this is no report of a drill`)
	}
	if *form.Format != Format {
		return Report{}, fmt.Errorf("it has format %d, and this version of meridian reads format %d", *form.Format, Format)
	}
	if err := unambiguous(text); err != nil {
		return Report{}, err
	}
	var r Report
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&r); err != nil {
		return Report{}, placed(text, err)
	}
	if err := complete(text, r); err != nil {
		return Report{}, err
	}
	return r, r.check()
}

// placed adds the line to what encoding/json complains of.
func placed(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	offset := int64(-1)
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset < 0 || offset > int64(len(text)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:offset], []byte("\n")), err)
}

// unambiguous refuses what encoding/json would take: fields there twice, of which it keeps the last, and fields written in other letters.
// Either lets one document say two things to two readers.
func unambiguous(text []byte) error {
	type level struct {
		seen  map[string]bool // nil in a list
		value bool            // the next token is the value of a field
	}
	var levels []*level
	tokens := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return placed(text, err)
		}
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			levels = levels[:len(levels)-1]
			continue
		}
		if len(levels) > 0 {
			at := levels[len(levels)-1]
			if name, ok := token.(string); ok && at.seen != nil && !at.value {
				if at.seen[name] {
					return fmt.Errorf("field %q is there twice", name)
				}
				if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
					return fmt.Errorf("unknown field %q", name)
				}
				at.seen[name], at.value = true, true
				continue
			}
			at.value = false
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, &level{seen: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, &level{})
		}
	}
}

// complete refuses a report in which a field is missing: a report without lost_writes must not read as one in which nothing was lost.
func complete(text []byte, r Report) error {
	var have, want any
	if err := json.Unmarshal(text, &have); err != nil {
		return placed(text, err)
	}
	whole, err := r.encode()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(whole, &want); err != nil {
		return err
	}
	return lacks("", have, want)
}

func lacks(path string, have, want any) error {
	switch want := want.(type) {
	case map[string]any:
		have, _ := have.(map[string]any)
		for name, value := range want {
			inner, ok := have[name]
			if !ok {
				return fmt.Errorf("field %q is missing", strings.TrimPrefix(path+"."+name, "."))
			}
			if err := lacks(path+"."+name, inner, value); err != nil {
				return err
			}
		}
	case []any:
		have, _ := have.([]any)
		if len(have) != len(want) {
			return fmt.Errorf("field %q is not a list of %d", strings.TrimPrefix(path, "."), len(want))
		}
		for i, value := range want {
			if err := lacks(fmt.Sprintf("%s[%d]", path, i), have[i], value); err != nil {
				return err
			}
		}
	case nil: // a number that may be missing
	default:
		if have == nil {
			return fmt.Errorf("field %q is null", strings.TrimPrefix(path, "."))
		}
	}
	return nil
}

// check says in what a report contradicts itself.
func (r Report) check() error {
	if r.Format != Format {
		return fmt.Errorf("format is %d, not %d", r.Format, Format)
	}
	if len(r.Series) > 0 && !(r.Bucket >= leastBucket && r.Bucket <= mostBucket) {
		return fmt.Errorf("bucket is %g: there are series, and their columns need a width of %g to %d s", r.Bucket, leastBucket, mostBucket)
	}
	for i, s := range r.Series {
		n := len(s.OK)
		if len(s.Failed) != n || len(s.P50) != n || len(s.P99) != n || len(s.Max) != n || n != len(r.Series[0].OK) {
			return fmt.Errorf("series[%d] (%s): its lists are not all as long as those of the first region", i, s.Region)
		}
		if slices.ContainsFunc(s.OK, negative) || slices.ContainsFunc(s.Failed, negative) {
			return fmt.Errorf("series[%d] (%s): a number of calls is negative", i, s.Region)
		}
	}
	for i, s := range r.Steps {
		if s.Until != nil && *s.Until < s.At {
			return fmt.Errorf("steps[%d]: it ends at %g s, before it begins at %g s", i, *s.Until, s.At)
		}
	}
	for i, p := range r.Phases {
		if p.Name != Before && p.Name != During && p.Name != After {
			return fmt.Errorf("phases[%d]: %q is no name of a phase (before, during, after)", i, p.Name)
		}
		if p.Until < p.From || p.Requests < 0 || p.Failed < 0 || p.Failed > p.Requests {
			return fmt.Errorf("phases[%d]: %d of %d calls failed from %g s until %g s", i, p.Failed, p.Requests, p.From, p.Until)
		}
	}
	return r.checkVerdicts()
}

// checkVerdicts holds the word that everybody reads to what it rests on.
func (r Report) checkVerdicts() error {
	failed := ""
	for i, v := range r.Verdicts {
		switch v.Status {
		case Passed, Skipped:
		case Failed:
			failed = v.Name
		default:
			return fmt.Errorf("verdicts[%d]: %q is no status (passed, failed, skipped)", i, v.Status)
		}
	}
	for i, c := range r.Recovery {
		if c.Met && c.LimitSeconds != nil && c.RTOSeconds != nil && *c.RTOSeconds > *c.LimitSeconds {
			return fmt.Errorf("recovery[%d] (%s): it says that the limit was met, but %g s are more than %g s", i, c.Region, *c.RTOSeconds, *c.LimitSeconds)
		}
		if c.Met && c.LimitSeconds != nil && c.never() {
			return fmt.Errorf("recovery[%d] (%s): it says that the limit was met, but the region never got well", i, c.Region)
		}
		if !c.Met {
			failed = "recovery of " + c.Region
		}
	}
	if r.Passed && failed != "" {
		return fmt.Errorf("it says that the drill passed, but %q failed", failed)
	}
	return nil
}

// never: the region was hurt and did not get well.
func (c Recovery) never() bool { return c.DetectSeconds != nil && c.RTOSeconds == nil }

func negative(n int) bool { return n < 0 }

// known: a time in milliseconds that was measured.
func known(ms float64) bool { return ms >= 0 && !math.IsInf(ms, 0) }
