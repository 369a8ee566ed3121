package webhook

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// block is a range of addresses that are not public, and what they are.
type block struct {
	prefix netip.Prefix
	what   string
}

// metadata are the services from which machines in clouds get their credentials. One of them, Azure's, is a public address.
var metadata = blocks("a metadata service", "169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "168.63.129.16/32",
	"192.0.0.192/32", "fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128")

// special are the registries of IANA, "IPv4 and IPv6 Special-Purpose Address Space", as far as no public service can be there. IPv6 outside
// 2000::/3 needs no lines of its own but for the message.
var special = slices.Concat(
	blocks("an unspecified address", "0.0.0.0/8", "::/128"),
	blocks("a loopback address", "127.0.0.0/8", "::1/128"),
	blocks("a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
	blocks("a shared address (CGNAT)", "100.64.0.0/10"),
	blocks("a link-local address", "169.254.0.0/16", "fe80::/10"),
	blocks("a multicast address", "224.0.0.0/4", "ff00::/8"),
	blocks("an address of documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
	blocks("an address of benchmarks", "198.18.0.0/15"),
	blocks("a reserved address", "192.0.0.0/24", "240.0.0.0/4", "2001::/23"),
	blocks("an address of a tunnel", "192.88.99.0/24", "2002::/16"),
	blocks("a translated address (NAT64)", "64:ff9b::/96", "64:ff9b:1::/48"),
)

var (
	public6 = netip.MustParsePrefix("2000::/3")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func blocks(what string, prefixes ...string) []block {
	all := make([]block, len(prefixes))
	for i, p := range prefixes {
		all[i] = block{netip.MustParsePrefix(p), what}
	}
	return all
}

// guard decides which addresses are called.
type guard struct{ allowed []netip.Prefix }

func newGuard(o Options) guard {
	g := guard{allowed: make([]netip.Prefix, 0, len(o.AllowPrivate))}
	for _, p := range o.AllowPrivate {
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		g.allowed = append(g.allowed, p)
	}
	return g
}

// forbiddenAddress is one that is not called. Its text names the address: it is for logs, because it tells how the network is built inside.
type forbiddenAddress struct {
	address netip.Addr
	what    string
}

func (e *forbiddenAddress) Error() string { return fmt.Sprintf("%v is %s", e.address, e.what) }

// check returns nil where an address may be called.
func (g guard) check(a netip.Addr) *forbiddenAddress {
	a = a.Unmap() // ::ffff:127.0.0.1 dials 127.0.0.1
	if a.Zone() != "" {
		return &forbiddenAddress{a, "an address with a zone"}
	}
	what := describe(a)
	switch {
	case what == "":
		return nil
	case !g.allows(a):
		return &forbiddenAddress{a, what}
	case nat64.Contains(a): // allowing the translator does not allow what is behind it
		b := a.As16()
		return g.check(netip.AddrFrom4([4]byte(b[12:])))
	}
	return nil
}

func (g guard) allows(a netip.Addr) bool {
	return slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool {
		return p.Contains(a) && (p.IsSingleIP() || within(metadata, a) == "")
	})
}

// describe says why an address is not public, or nothing where it is.
func describe(a netip.Addr) string {
	for _, table := range [][]block{metadata, special} {
		if what := within(table, a); what != "" {
			return what
		}
	}
	if !a.IsValid() || a.Is6() && !public6.Contains(a) {
		return "a reserved address"
	}
	return ""
}

func within(table []block, a netip.Addr) string {
	for _, b := range table {
		if b.prefix.Contains(a) {
			return b.what
		}
	}
	return ""
}

// control is called with the address that a connection is about to be made to, after all names are resolved.
func (g guard) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return &forbiddenAddress{what: "no address of IP"}
	}
	if forbidden := g.check(to.Addr()); forbidden != nil {
		return forbidden
	}
	return nil
}
