package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/meridian-ledger/meridian/internal/fault"
)

// NetworkRegion is one region of a Network.
type NetworkRegion struct {
	Name string
	// Zones are those of its database nodes, one node an element. PostgreSQL has one server, in the first zone of the primary region.
	Zones   []string
	Servers int // server nodes
}

// NetworkOptions say which network is wanted.
type NetworkOptions struct {
	// Engine insists on CockroachDB or PostgreSQL. Empty: the best this machine has.
	Engine  string
	Regions []NetworkRegion
	// RTT is the round trip between two regions, asked once for each pair. Inside of a region there is no delay. Nil: none anywhere.
	RTT func(a, b string) time.Duration
	// Primary is the region in which PostgreSQL stands. Empty: the first.
	Primary string
	// Binary is meridian; needed where a region has servers.
	Binary     string
	ServerArgs []string // more flags of `meridian serve`
	// Prepare runs once, after the engine answers and before servers start, with the URL of its administrator: it migrates the schema.
	Prepare func(ctx context.Context, databaseURL string) error
	// Dir holds data and logs, and is left alone by Stop. It must not hold data yet. Empty: a temporary directory, removed by Stop.
	Dir string
	// Durable is as in Options. A node that is not durable comes back empty after Kill.
	Durable bool
	// Log and Progress are as in Options; Progress is called from StartNetwork only.
	Log      *slog.Logger
	Progress func(string)
	// SmallDisk, if positive, gives the data of each database node a file system of so many bytes, so that FillDisk can fill it. It takes
	// root on Linux: elsewhere StartNetwork returns ErrNoSmallDisk.
	SmallDisk int64
}

// Errors of what not every machine can do. The text of what wraps them says why.
var (
	ErrNoSmallDisk = errors.New("no small disk")
	ErrUnsupported = errors.New("not supported")
)

// Kind says what a member or an end of a link is.
type Kind string

// The kinds. Clients are no members: they are whoever uses ClientURL.
const (
	Database Kind = "database"
	Server   Kind = "server"
	Clients  Kind = "clients"
)

// Endpoint is one end of a link.
type Endpoint struct {
	Name         string // of the member, or clients/<region>
	Kind         Kind
	Region, Zone string // servers and clients have no zone
}

// Network is a database cluster and servers in several regions on this machine, with a link between each two of them.
type Network struct{}

// Member is one process of a Network.
type Member struct{ Endpoint }

var errUnbuilt = errors.New("not built yet")

// StartNetwork starts it.
func StartNetwork(ctx context.Context, o NetworkOptions) (*Network, error) { return nil, errUnbuilt }

// Engine returns name and version, as in Engine.
func (n *Network) Engine() (name, version string) { return "", "" }

// Why says in one sentence which engine was taken, and what was passed over.
func (n *Network) Why() string { return "" }

// Members returns all, databases first.
func (n *Network) Members() []*Member { return nil }

// Member returns the one of that name, or nil.
func (n *Network) Member(name string) *Member { return nil }

// ClientURL is how clients of a region reach a server.
func (n *Network) ClientURL(region string, server *Member) string { return "" }

// AdminURL is the first live database node, directly.
func (n *Network) AdminURL() string { return "" }

// AdminURLs are those of all database nodes, directly.
func (n *Network) AdminURLs() []string { return nil }

// Link returns one, or nil.
func (n *Network) Link(from, to string) *fault.Link { return nil }

// Links returns those that the function picks.
func (n *Network) Links(pick func(from, to Endpoint) bool) []*fault.Link { return nil }

// Disturb adds a shape; end takes this one away again.
func (n *Network) Disturb(links []*fault.Link, s fault.Shape) (end func()) { return func() {} }

// Partition drops what members and clients of the first set send to the second, and what the second sends to the first unless oneWay.
func (n *Network) Partition(from, to func(Endpoint) bool, oneWay bool) (end func()) {
	return func() {}
}

// Heal takes away all additions of these links; without any, of all links.
func (n *Network) Heal(links ...*fault.Link) {}

// KeepLogs copies the logs of all members to a directory.
func (n *Network) KeepLogs(dir string) error { return errUnbuilt }

// Stop ends everything.
func (n *Network) Stop() error { return errUnbuilt }

// Alive says whether its process runs, paused or not.
func (m *Member) Alive() bool { return false }

// Log is the file with what it wrote.
func (m *Member) Log() string { return "" }

// Kill ends it with SIGKILL.
func (m *Member) Kill(ctx context.Context) error { return errUnbuilt }

// Stop ends it gracefully.
func (m *Member) Stop(ctx context.Context) error { return errUnbuilt }

// Start brings it back.
func (m *Member) Start(ctx context.Context) error { return errUnbuilt }

// Pause stops it with SIGSTOP.
func (m *Member) Pause() error { return errUnbuilt }

// Resume ends Pause.
func (m *Member) Resume() error { return errUnbuilt }

// FillDisk writes until there is no space left.
func (m *Member) FillDisk() (free func() error, err error) { return nil, ErrNoSmallDisk }

// SlowDisk is not supported.
func (m *Member) SlowDisk(d time.Duration) error { return ErrUnsupported }

// JumpClock is not supported.
func (m *Member) JumpClock(d time.Duration) error { return ErrUnsupported }
