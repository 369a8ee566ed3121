// Package examples holds mapping files to start from, and gives them to the demo.
package examples

import "embed"

// FS holds the mapping files.
//
//go:embed *.yaml
var FS embed.FS
