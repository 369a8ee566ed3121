package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURL = 2048

// parseURL reads the address of an endpoint. Errors do not repeat it: it may hold a password or a token.
func parseURL(text string, o Options) (*url.URL, error) {
	if text == "" {
		return nil, errors.New("give the URL of the endpoint")
	}
	if len(text) > maxURL {
		return nil, fmt.Errorf("a URL has at most %d bytes", maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	switch {
	case u.Scheme == "http" && !o.AllowHTTP:
		return nil, errors.New("use https: this server does not send events in clear")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("a webhook has an https URL")
	case u.Opaque != "" || u.Host == "":
		return nil, errors.New("the URL names no host")
	case u.User != nil:
		return nil, errors.New("a URL with user or password is refused: receivers know this server by its signature")
	case u.Fragment != "" || strings.Contains(text, "#"):
		return nil, errors.New("a fragment is never sent: leave out the # and what follows")
	}
	if err := checkPort(u); err != nil {
		return nil, err
	}
	return u, checkHost(u.Hostname(), o)
}

// checkPort refuses ports that other protocols own, so that nobody can make this server speak to a mail server.
func checkPort(u *url.URL) error {
	text := u.Port()
	if text == "" {
		if strings.HasSuffix(u.Host, ":") {
			return errors.New("the colon after the host wants a port")
		}
		return nil
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return errors.New("a port is 1 to 65535")
	}
	if port < 1024 && port != 443 && port != 80 {
		return errors.New("of the ports below 1024 only 443 and 80 are for webhooks")
	}
	return nil
}

func checkHost(host string, o Options) error {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return errors.New("an address with a zone is not public")
		}
		if forbidden := newGuard(o).check(a); forbidden != nil {
			return errors.New("the host is " + forbidden.what + ", which this server does not call")
		}
		return nil
	}
	if len(host) > 253 {
		return errors.New("the name of a host has at most 253 bytes")
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if !isLabel(label) {
			return errors.New("the host is no name of DNS: labels of 1 to 63 letters, digits and -, international names in their xn-- form, no dot at the end")
		}
	}
	// Some resolvers read 2130706433, 127.1 or 0x7f.1 as addresses.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return errors.New("the host is neither a name nor an address in its usual form")
	}
	return nil
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
