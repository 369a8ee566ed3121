package residency

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"counts": counts, "named": named}).Parse(pageText))

// The signed report stands in the page between these, in JSON whose <, > and & are escaped.
var (
	embedBegin = []byte(`<script type="application/json" id="signed-report">`)
	embedEnd   = []byte(`</script>`)
)

// WritePage renders a report as one HTML page that needs nothing else: no script, no font, no picture from anywhere. The same signed report
// gives the same bytes.
func WritePage(w io.Writer, s Signed) error {
	var report Report
	if err := json.Unmarshal(s.Report, &report); err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	dots, arcs := report.drawing()
	err = page.Execute(w, map[string]any{
		"Report": report, "Dots": dots, "Arcs": arcs, "Width": mapWidth, "Height": mapHeight, "Signed": len(s.Signature) > 0, "Key": s.PublicKey,
		"Embedded": template.HTML(string(embedBegin) + string(text) + string(embedEnd)), //nolint:gosec // json.Marshal escapes <, > and &
	})
	if err != nil {
		return fmt.Errorf("render the report: %w", err)
	}
	return nil
}

// embedded returns the signed report out of a page, or what it was given.
func embedded(data []byte) (text []byte, isPage bool) {
	_, after, found := bytes.Cut(data, embedBegin)
	if !found {
		return data, false
	}
	text, _, _ = bytes.Cut(after, embedEnd)
	return text, true
}
