// Package chaos carries the drills that ship with Meridian, embedded in the binary. README.md beside it is the reference of their format;
// package internal/drill reads and runs them.
package chaos

import "embed"

// FS holds the shipped drills, <name>.yaml each, at its root.
//
//go:embed *.yaml
var FS embed.FS
