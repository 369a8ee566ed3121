package fault

import "errors"

var errUnbuilt = errors.New("not built yet")

// Link is a listener in front of a target.
type Link struct{}

// Listen opens a link on 127.0.0.1 in front of target.
func Listen(target string) (*Link, error) { return nil, errUnbuilt }

// Addr is host:port.
func (l *Link) Addr() string { return "" }

// SetTarget changes where new connections go.
func (l *Link) SetTarget(target string) {}

// Set changes the shape.
func (l *Link) Set(s Shape) {}

// Shape returns what was set last.
func (l *Link) Shape() Shape { return Shape{} }

// ResetAll resets live connections.
func (l *Link) ResetAll() {}

// Freeze stops live connections.
func (l *Link) Freeze() {}

// Thaw ends Freeze.
func (l *Link) Thaw() {}

// InjectCommits begins a fault.
func (l *Link) InjectCommits(f CommitFault) {}

// Stats returns counts.
func (l *Link) Stats() Stats { return Stats{} }

// Close ends it.
func (l *Link) Close() error { return nil }
