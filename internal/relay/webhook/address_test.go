package webhook_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meridian-ledger/meridian/internal/relay/sink"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

// Every range that is not public, by an address of it, each behind a name: what is dialled decides.
var notPublic = []struct{ address, what string }{
	{"0.0.0.0", "unspecified"},
	{"0.1.2.3", "unspecified"},
	{"127.0.0.1", "loopback"},
	{"127.255.255.254", "loopback"},
	{"10.0.0.1", "private"},
	{"172.16.0.1", "private"},
	{"172.31.255.255", "private"},
	{"192.168.1.1", "private"},
	{"100.64.0.1", "CGNAT"},
	{"100.127.255.255", "CGNAT"},
	{"169.254.1.1", "link-local"},
	{"169.254.169.254", "metadata"},
	{"169.254.170.2", "metadata"},
	{"100.100.100.200", "metadata"},
	{"168.63.129.16", "metadata"},
	{"192.0.0.192", "metadata"},
	{"fd00:ec2::254", "metadata"},
	{"192.0.0.1", "reserved"},
	{"192.0.2.1", "documentation"},
	{"198.51.100.7", "documentation"},
	{"203.0.113.9", "documentation"},
	{"198.18.0.1", "benchmarks"},
	{"198.19.255.255", "benchmarks"},
	{"192.88.99.1", "tunnel"},
	{"224.0.0.1", "multicast"},
	{"239.255.255.255", "multicast"},
	{"240.0.0.1", "reserved"},
	{"255.255.255.255", "reserved"},
	{"::", "unspecified"},
	{"::1", "loopback"},
	{"::ffff:127.0.0.1", "loopback"},
	{"::ffff:10.1.2.3", "private"},
	{"::ffff:169.254.169.254", "metadata"},
	{"::7f00:1", "reserved"},
	{"64:ff9b::7f00:1", "NAT64"},
	{"64:ff9b::808:808", "NAT64"},
	{"64:ff9b:1::1", "NAT64"},
	{"100::1", "reserved"},
	{"2001::1", "reserved"},
	{"2001:db8::1", "documentation"},
	{"3fff::1", "documentation"},
	{"2002:7f00:1::", "tunnel"},
	{"fc00::1", "private"},
	{"fd12:3456::1", "private"},
	{"fe80::1", "link-local"},
	{"fec0::1", "private"},
	{"ff02::1", "multicast"},
	{"4000::1", "reserved"},
	{"5f00::1", "reserved"},
}

func TestDeliver_DialsNoAddressThatIsNotPublic(t *testing.T) {
	for _, row := range notPublic {
		var logged bytes.Buffer
		g := given{port: "443", names: names{host: always(row.address)}, options: webhook.Options{AllowPrivate: []netip.Prefix{}}}
		g.options.Log = slog.New(slog.NewTextHandler(&logged, nil))
		e := deliver(t, open(t, g), message(1, aBody))
		expect(t, e, sink.Down, "forbidden_address", row.what)
		if e != nil && strings.Contains(e.Detail, row.address+" ") {
			t.Errorf("the detail shows what is inside: %s", e.Detail)
		}
		if !strings.Contains(logged.String(), netip.MustParseAddr(row.address).Unmap().String()) {
			t.Errorf("the log does not name %s: %s", row.address, logged.String())
		}
	}
}

// As the host itself such an address is refused before anything is stored.
func TestParse_RefusesAddressesThatAreNotPublic(t *testing.T) {
	for _, row := range notPublic {
		address := row.address
		if strings.Contains(address, ":") {
			address = "[" + address + "]"
		}
		_, err := webhook.Parse([]byte(`{"url":"https://`+address+`/"}`), webhook.Options{})
		if err == nil || !strings.Contains(err.Error(), row.what) {
			t.Errorf("%s: %v, want …%s…", row.address, err, row.what)
		}
	}
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "192.167.1.1", "169.253.1.1", "198.17.1.1",
		"198.20.0.1", "223.255.255.255", "[2606:4700::1111]", "[2a00:1450::1]", "[::ffff:8.8.8.8]",
	} {
		if _, err := webhook.Parse([]byte(`{"url":"https://`+address+`/"}`), webhook.Options{}); err != nil {
			t.Errorf("%s is public: %v", address, err)
		}
	}
}

func TestParse_AllowsWhatTheOperatorNames(t *testing.T) {
	for _, row := range []struct {
		allowed, address string
		ok               bool
	}{
		{"10.0.0.0/8", "10.1.2.3", true},
		{"10.0.0.0/8", "[::ffff:10.1.2.3]", true},
		{"::ffff:10.0.0.0/104", "10.1.2.3", true},
		{"10.0.0.0/24", "10.0.1.1", false},
		{"fd12::/16", "[fd12::1]", true},
		{"0.0.0.0/0", "192.168.1.1", true},
		{"0.0.0.0/0", "169.254.169.254", false}, // a metadata service takes its own prefix
		{"169.254.0.0/16", "169.254.169.254", false},
		{"169.254.169.254/32", "169.254.169.254", true},
		{"64:ff9b::/96", "[64:ff9b::808:808]", true},
		{"64:ff9b::/96", "[64:ff9b::a00:1]", false}, // 10.0.0.1 behind the translator
	} {
		o := webhook.Options{AllowPrivate: []netip.Prefix{netip.MustParsePrefix(row.allowed)}}
		if _, err := webhook.Parse([]byte(`{"url":"https://`+row.address+`/"}`), o); (err == nil) != row.ok {
			t.Errorf("%s where %s is allowed: %v", row.address, row.allowed, err)
		}
	}
}

// A name that changes its address after it was accepted, and called, opens nothing; nor does one among several.
func TestDeliver_IsNotFooledByRebinding(t *testing.T) {
	ca := newAuthority(t)
	var calls atomic.Int32
	port := serve(t, ca.config(t), false, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Connection", "close")
	})
	answers := make(chan []netip.Addr, 1)
	current := func() []netip.Addr { a := <-answers; answers <- a; return a }
	answers <- []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	s := open(t, given{port: port, ca: ca, names: names{host: current}})
	if e := deliver(t, s, message(1, aBody)); e != nil {
		t.Fatal(e)
	}
	<-answers
	answers <- []netip.Addr{netip.MustParseAddr("127.0.0.2")} // not allowed, and the same server
	expect(t, deliver(t, s, message(2, aBody)), sink.Down, "forbidden_address", "loopback")
	<-answers
	answers <- []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")}
	if e := deliver(t, s, message(3, aBody)); e != nil { // goes to the one that is allowed
		t.Fatal(e)
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls, want 2", calls.Load())
	}
}
