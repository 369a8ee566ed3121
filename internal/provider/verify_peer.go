package provider

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Allowed checks the address that a request comes from. Behind a proxy that is trusted, and only there, that is what the proxy says in a
// header: of the addresses in it the last one that is not a trusted proxy itself, because whatever stands before was written by somebody else.
func Allowed(allow, proxies []netip.Prefix, header string) Check {
	return func(r *Request, _ time.Time) error {
		from := r.Remote.Unmap()
		if header != "" && within(proxies, from) {
			var known bool
			if from, known = forwarded(r.Header, header, proxies); !known {
				return refusal(ReasonAddress, "the proxy does not say in "+header+" who called it")
			}
		}
		if !within(allow, from) {
			return refusal(ReasonAddress, "the address "+from.String()+" is not allowed")
		}
		return nil
	}
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a.WithZone("")) })
}

func forwarded(h http.Header, name string, proxies []netip.Prefix) (netip.Addr, bool) {
	hops := strings.Split(strings.Join(h.Values(name), ","), ",")
	for _, hop := range slices.Backward(hops) {
		a, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return netip.Addr{}, false
		}
		if a = a.Unmap(); !within(proxies, a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// Certificate checks the client certificate: that an authority of the pool issued it for clients, that it is valid now, and that its subject and
// issuer are those named, as RFC 2253 writes them; an empty one is not looked at.
func Certificate(authorities *x509.CertPool, subject, issuer string) Check {
	return func(r *Request, now time.Time) error {
		if len(r.Peer) == 0 {
			return refusal(ReasonCertificate, "there is no client certificate")
		}
		between := x509.NewCertPool()
		for _, c := range r.Peer[1:] {
			between.AddCert(c)
		}
		leaf := r.Peer[0]
		_, err := leaf.Verify(x509.VerifyOptions{
			Roots: authorities, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		switch {
		case err != nil:
			return refusal(ReasonCertificate, "the client certificate is not valid, or not of an authority that is trusted here")
		case subject != "" && leaf.Subject.String() != subject:
			return refusal(ReasonCertificate, "the client certificate is for another subject")
		case issuer != "" && leaf.Issuer.String() != issuer:
			return refusal(ReasonCertificate, "the client certificate is by another issuer")
		}
		return nil
	}
}
