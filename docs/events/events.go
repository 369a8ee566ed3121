// Package events carries the JSON Schemas of the change stream, embedded in the binary. README.md beside it says what each event means.
// The schemas are made from the Go types in internal/event, by go generate there.
package events

import "embed"

// FS holds <type>.v1.json, the schema of the data of each type, cloudevent.v1.json, that of the envelope, and released/, where the forms stand
// that consumers rely on.
//
//go:embed *.json released/*.json
var FS embed.FS
