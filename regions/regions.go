// Package regions carries the topology files that ship with Meridian, embedded in the binary. README.md beside it is the reference of
// their format; package internal/topology reads them and promises that each of them parses.
package regions

import "embed"

// FS holds the shipped topology files, <name>.yaml each, at its root.
//
//go:embed *.yaml
var FS embed.FS
