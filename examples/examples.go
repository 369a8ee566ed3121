// Package examples holds files to start from, and gives the mapping files to the demo.
package examples

import "embed"

// FS holds the files.
//
//go:embed *.yaml
var FS embed.FS
