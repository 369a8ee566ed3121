package provider

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// Defaults and bounds of what a file may leave out.
const (
	defaultPatience  = 24 * time.Hour
	maxPatience      = 90 * 24 * time.Hour
	defaultTolerance = 5 * time.Minute
	maxTolerance     = time.Hour
	maxSecrets       = 8
)

// reader turns the tree of one file into accounts.
type reader struct {
	*yamltree.Reader
	reveal Reveal
}

func (r reader) document(root ast.Node) Config {
	c := Config{Accounts: map[Name]*Account{}}
	if root == nil {
		return c
	}
	f, ok := r.Fields(root, "a file of providers", []string{"providers"}, nil)
	if !ok {
		return c
	}
	pairs, ok := yamltree.Pairs(f["providers"])
	if !ok || len(pairs) == 0 {
		r.Complain(f["providers"], "providers is %s; write an account under the name of each provider", yamltree.Describe(f["providers"]))
		return c
	}
	for _, pair := range pairs {
		text, _ := yamltree.Text(pair.Key)
		name, err := ParseName(text)
		switch {
		case err != nil:
			r.Complain(pair.Key, "a provider is %s; write 1 to 32 of a-z 0-9 -, starting with a letter", yamltree.Describe(pair.Key))
		case c.Accounts[name] != nil:
			r.Complain(pair.Key, "provider %s is there twice; keep one", name)
		default:
			c.Accounts[name] = r.account(name, pair.Value)
		}
	}
	return c
}

func (r reader) account(name Name, n ast.Node) *Account {
	a := &Account{Name: name, Format: JSON, Keep: RawNone, Patience: defaultPatience, vault: NewVault()}
	f, _ := r.Fields(n, "provider "+string(name), []string{"ledger", "verify", "fields", "triggers"}, []string{"format", "items", "raw", "patience", "answer", "orders"})
	if f == nil {
		return a
	}
	if node, there := f["ledger"]; there {
		text, _ := yamltree.Text(node)
		ledger, err := id.ParseLedger(text)
		if err != nil {
			r.Complain(node, "ledger is %s; write the id of the ledger that the payments are in", yamltree.Describe(node))
		}
		a.Ledger = ledger
	}
	if node, there := f["format"]; there {
		switch text, _ := yamltree.Text(node); Format(text) {
		case JSON, Form:
			a.Format = Format(text)
		default:
			r.Complain(node, "format is %s; write json or form", yamltree.Describe(node))
		}
	}
	if node, there := f["items"]; there {
		if a.Items = r.path(node, "items"); a.Items != nil && !a.Items.list() {
			r.Complain(node, "items names no list; write [] behind the name of the list, as in notificationItems[]")
		}
	}
	if node, there := f["verify"]; there {
		for _, item := range r.List(node, "verify") {
			r.check(a, item)
		}
	}
	if node, there := f["fields"]; there {
		r.fields(a, node)
	}
	if node, there := f["triggers"]; there {
		a.Triggers = r.triggers(node)
	}
	if node, there := f["raw"]; there {
		r.raw(a, node)
	}
	if node, there := f["patience"]; there {
		a.Patience = r.Duration(node, "patience", time.Second, maxPatience)
	}
	if node, there := f["answer"]; there {
		if text, isText := yamltree.Text(node); isText && text != "" && len(text) <= maxText {
			a.Answer = text
		} else {
			r.Complain(node, "answer is %s; write the text that the provider wants to read, of at most %d bytes", yamltree.Describe(node), maxText)
		}
	}
	if node, there := f["orders"]; there {
		a.Orders = r.desk(node)
	}
	return a
}

// desk reads where orders are given to a provider.
func (r reader) desk(n ast.Node) *DeskConfig {
	f, ok := r.Fields(n, "orders", []string{"url"}, []string{"timeout", "token", "authorities"})
	if !ok {
		return nil
	}
	c := &DeskConfig{Timeout: defaultDeskWait}
	c.URL, _ = yamltree.Text(f["url"])
	if wrong := checkDeskURL(c.URL); wrong != "" {
		r.Complain(f["url"], "url is %s; %s", yamltree.Describe(f["url"]), wrong)
	}
	if node, there := f["timeout"]; there {
		c.Timeout = r.Duration(node, "timeout", time.Second, mostDeskWait)
	}
	if node, there := f["token"]; there {
		if token, ok := r.source(node); ok {
			if c.token = token; bytes.ContainsAny(token, "\r\n") {
				r.Complain(node, "the token can not be used: it has several lines")
			}
		}
	}
	if node, there := f["authorities"]; there {
		if pem, ok := r.source(node); ok {
			if c.trust = x509.NewCertPool(); !c.trust.AppendCertsFromPEM(pem) {
				r.Complain(node, "there is no PEM certificate in it")
			}
		}
	}
	return c
}

// Fields of the schemes, besides scheme itself.
var schemeFields = map[string][]string{
	"stripe":            {"secrets", "header", "tolerance"},
	"standard-webhooks": {"secrets", "prefix", "tolerance"},
	"adyen":             {"secrets"},
	"mtls":              {"authorities", "subject", "issuer"},
	"ip":                {"allow", "trusted_proxies", "header"},
}

const schemes = "stripe, standard-webhooks, adyen, mtls or ip"

func (r reader) check(a *Account, n ast.Node) {
	every := []string{}
	for _, fields := range schemeFields {
		for _, f := range fields {
			if !slices.Contains(every, f) {
				every = append(every, f)
			}
		}
	}
	slices.Sort(every)
	f, ok := r.Fields(n, "a check", []string{"scheme"}, every)
	if !ok {
		return
	}
	scheme, _ := yamltree.Text(f["scheme"])
	known, there := schemeFields[scheme]
	if !there {
		r.Complain(f["scheme"], "scheme is %s; write %s", yamltree.Describe(f["scheme"]), schemes)
		return
	}
	for name, value := range f {
		if name != "scheme" && !slices.Contains(known, name) {
			r.Complain(value, "the scheme %s has no %s; its fields are %s", scheme, name, strings.Join(known, ", "))
		}
	}
	tolerance := defaultTolerance
	if node, there := f["tolerance"]; there {
		tolerance = r.Duration(node, "tolerance", time.Second, maxTolerance)
	}
	switch scheme {
	case "stripe":
		a.Checks = append(a.Checks, Stripe(r.header(f, "Stripe-Signature"), r.secrets(n, f, plainSecret), tolerance))
	case "standard-webhooks":
		prefix := "webhook"
		if node, there := f["prefix"]; there {
			prefix, _ = yamltree.Text(node)
			if !isHeader(prefix) {
				r.Complain(node, "prefix is %s; write what the names of the headers begin with, as in webhook or svix", yamltree.Describe(node))
			}
		}
		a.Checks = append(a.Checks, StandardWebhooks(prefix, r.secrets(n, f, standardSecret), tolerance))
	case "adyen":
		a.Checks = append(a.Checks, Adyen(r.secrets(n, f, hexSecret)))
	case "mtls":
		r.mtls(a, n, f)
	case "ip":
		r.addresses(a, n, f)
	}
}

// How secrets are written: each function says whether it can be one.
func plainSecret(text []byte) ([]byte, string) {
	const least = 16
	if len(text) < least {
		return nil, "it has fewer than 16 bytes"
	}
	return text, ""
}

func standardSecret(text []byte) ([]byte, string) {
	const least, most = 24, 64
	key, err := base64.StdEncoding.DecodeString(string(bytes.TrimPrefix(text, []byte("whsec_"))))
	if err != nil || len(key) < least || len(key) > most {
		return nil, "it is not whsec_ and the base64 of 24 to 64 bytes"
	}
	return key, ""
}

func hexSecret(text []byte) ([]byte, string) {
	const least = 16
	key, err := hex.DecodeString(string(text))
	if err != nil || len(key) < least {
		return nil, "it is not the hexadecimal form of a key"
	}
	return key, ""
}

func (r reader) secrets(check ast.Node, f map[string]ast.Node, read func([]byte) ([]byte, string)) [][]byte {
	node, there := f["secrets"]
	if !there {
		r.Complain(check, "a check has no secrets; add the field secrets with a list of {file: …} or {env: …}, the new one and the old one during a rotation")
		return nil
	}
	var all [][]byte
	for i, item := range r.List(node, "secrets") {
		if i == maxSecrets {
			r.Complain(item, "more than %d secrets are active; remove old ones", maxSecrets)
			break
		}
		text, ok := r.source(item)
		if !ok {
			continue
		}
		secret, wrong := read(text)
		if wrong != "" {
			r.Complain(item, "the secret can not be used: %s", wrong)
			continue
		}
		all = append(all, secret)
	}
	return all
}

// source reads {file: …} or {env: …} and what is there.
func (r reader) source(n ast.Node) ([]byte, bool) {
	if _, isMapping := yamltree.Pairs(n); !isMapping { // it may be the secret itself, which no error is to show
		r.Complain(n, "%s", errNoSource)
		return nil, false
	}
	f, ok := r.Fields(n, "a secret", nil, []string{"file", "env"})
	if !ok {
		return nil, false
	}
	var s Source
	if node, there := f["file"]; there {
		s.File, _ = yamltree.Text(node)
	}
	if node, there := f["env"]; there {
		s.Env, _ = yamltree.Text(node)
	}
	if (s.File == "") == (s.Env == "") {
		r.Complain(n, "%s", errNoSource)
		return nil, false
	}
	text, err := r.reveal(s)
	if err != nil {
		r.Complain(n, "%s", err)
		return nil, false
	}
	return text, true
}

func isHeader(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	})
}

func (r reader) header(f map[string]ast.Node, otherwise string) string {
	node, there := f["header"]
	if !there {
		return otherwise
	}
	name, _ := yamltree.Text(node)
	if !isHeader(name) {
		r.Complain(node, "header is %s; write the name of a header", yamltree.Describe(node))
	}
	return http.CanonicalHeaderKey(name)
}

func (r reader) mtls(a *Account, n ast.Node, f map[string]ast.Node) {
	node, there := f["authorities"]
	if !there {
		r.Complain(n, "a check by mtls has no authorities; add the field authorities with the {file: …} of the PEM certificates that sign the provider's")
		return
	}
	pem, ok := r.source(node)
	if !ok {
		return
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		r.Complain(node, "there is no PEM certificate in it")
		return
	}
	subject, issuer := "", ""
	if s, there := f["subject"]; there {
		subject, _ = yamltree.Text(s)
	}
	if i, there := f["issuer"]; there {
		issuer, _ = yamltree.Text(i)
	}
	if subject == "" && issuer == "" {
		r.Complain(n, "a check by mtls names neither a subject nor an issuer, so that any certificate of the authority would do; add subject, as in CN=callbacks.acme.example")
		return
	}
	a.TLS = true
	a.Checks = append(a.Checks, Certificate(pool, subject, issuer))
}

func (r reader) addresses(a *Account, n ast.Node, f map[string]ast.Node) {
	allow, there := f["allow"]
	if !there {
		r.Complain(n, "a check by ip has no allow; add a list of addresses or prefixes")
		return
	}
	proxies, hasProxies := f["trusted_proxies"]
	_, hasHeader := f["header"]
	if hasProxies != hasHeader {
		r.Complain(n, "trusted_proxies and header belong together: the header counts where a trusted proxy wrote it, and nowhere else")
		return
	}
	trusted := []netip.Prefix(nil)
	if hasProxies {
		trusted = r.prefixes(proxies, "trusted_proxies")
	}
	a.Checks = append(a.Checks, Allowed(r.prefixes(allow, "allow"), trusted, r.header(f, "")))
}

func (r reader) prefixes(n ast.Node, what string) []netip.Prefix {
	var all []netip.Prefix
	for _, item := range r.List(n, what) {
		text, _ := yamltree.Text(item)
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, bad := netip.ParseAddr(text)
			if err = bad; bad == nil {
				prefix = netip.PrefixFrom(address, address.BitLen())
			}
		}
		if err != nil || prefix.Addr().Is4In6() || prefix != prefix.Masked() {
			r.Complain(item, "%s is no address and no prefix; write it as in 203.0.113.0/24, with zeros behind the prefix", yamltree.Describe(item))
			continue
		}
		all = append(all, prefix)
	}
	return all
}

func (r reader) fields(a *Account, n ast.Node) {
	f, ok := r.Fields(n, "fields", []string{"event_id", "type"}, []string{"payment", "reference", "amount", "decimals", "currency", "occurred_at"})
	if !ok {
		return
	}
	a.EventID, a.Type = r.places(f["event_id"], "event_id"), r.places(f["type"], "type")
	for name, into := range map[string]*Path{
		"payment": &a.Payment, "reference": &a.Reference, "amount": &a.Amount, "currency": &a.Currency, "occurred_at": &a.OccurredAt,
	} {
		if node, there := f[name]; there {
			if *into = r.path(node, name); into.list() {
				r.Complain(node, "%s names a list; name one value", name)
			}
		}
	}
	if a.Payment == nil && a.Reference == nil {
		r.Complain(n, "fields has neither payment nor reference, so that nothing says which payment is meant; add one of them")
	}
	if node, there := f["decimals"]; there {
		digits, isNumber := yamltree.Number(node)
		scale, err := strconv.ParseUint(digits, 10, 8)
		if !isNumber || err != nil || scale > money.MaxScale {
			r.Complain(node, "decimals is %s; write how many decimal places an amount is written with, 0 to %d", yamltree.Describe(node), money.MaxScale)
			return
		}
		a.Decimals = uint8(scale)
	}
}

func (r reader) path(n ast.Node, what string) Path {
	text, isText := yamltree.Text(n)
	if !isText || text == "" {
		r.Complain(n, "%s is %s; write a path, as in data.object.id", what, yamltree.Describe(n))
		return nil
	}
	p, err := ParsePath(text)
	if err != nil {
		r.Complain(n, "%s", err)
	}
	return p
}

// places reads one place, or a list of them that are put together. A header is written header:Webhook-Id.
func (r reader) places(n ast.Node, what string) []Place {
	items := []ast.Node{n}
	if _, isList := n.(*ast.SequenceNode); isList {
		items = r.List(n, what)
	}
	var all []Place
	for _, item := range items {
		if text, _ := yamltree.Text(item); strings.HasPrefix(text, "header:") {
			name := strings.TrimPrefix(text, "header:")
			if !isHeader(name) {
				r.Complain(item, "%s is %s; write header: and the name of a header", what, yamltree.Describe(item))
			}
			all = append(all, Place{Header: name})
			continue
		}
		p := r.path(item, what)
		if p.list() {
			r.Complain(item, "%s names a list; name one value", what)
		}
		all = append(all, Place{Path: p})
	}
	return all
}

// triggers reads what the provider's words mean.
func (r reader) triggers(n ast.Node) map[string]string {
	pairs, ok := yamltree.Pairs(n)
	if !ok || len(pairs) == 0 {
		r.Complain(n, "triggers is %s; write a line for each type of the provider, as in payment.captured: capture", yamltree.Describe(n))
		return nil
	}
	all := map[string]string{}
	for _, pair := range pairs {
		word, isText := yamltree.Scalar(pair.Key)
		trigger, _ := yamltree.Text(pair.Value)
		_, twice := all[word]
		switch {
		case !isText || word == "" || len(word) > MaxID:
			r.Complain(pair.Key, "a type is %s; write it as the provider does", yamltree.Describe(pair.Key))
		case twice:
			r.Complain(pair.Key, "the type %q is there twice; keep one", word)
		case trigger == "ignore":
			all[word] = Ignored
		case trigger == Unknown || trigger == Ignored || !isTrigger(trigger):
			r.Complain(pair.Value, "a trigger is %s; write 1 to 32 of a-z and _, or ignore", yamltree.Describe(pair.Value))
		default:
			all[word] = trigger
		}
	}
	return all
}

func isTrigger(text string) bool {
	return text != "" && len(text) <= 32 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz_") == ""
}

func (r reader) raw(a *Account, n ast.Node) {
	f, ok := r.Fields(n, "raw", []string{"mode"}, []string{"keys", "redact"})
	if !ok {
		return
	}
	mode, _ := yamltree.Text(f["mode"])
	keys, hasKeys := f["keys"]
	redacted, hasRedacted := f["redact"]
	switch a.Keep = RawMode(mode); {
	case a.Keep == RawNone && !hasKeys && !hasRedacted:
	case a.Keep == RawEncrypted && hasKeys && !hasRedacted:
		for _, item := range r.List(keys, "keys") {
			r.key(a, item)
		}
	case a.Keep == RawRedacted && hasRedacted && !hasKeys:
		for _, item := range r.List(redacted, "redact") {
			a.Redact = append(a.Redact, r.path(item, "a path to redact"))
		}
	default:
		r.Complain(n, "raw is mode: none, or mode: encrypted with keys, or mode: redacted with redact")
	}
}

func (r reader) key(a *Account, n ast.Node) {
	f, ok := r.Fields(n, "a key", []string{"id", "file"}, nil)
	if !ok {
		return
	}
	name, _ := yamltree.Scalar(f["id"])
	file, _ := yamltree.Text(f["file"])
	if name == "" || len(name) > 64 || file == "" {
		r.Complain(n, "a key has an id, of at most 64 bytes, and a file")
		return
	}
	if _, twice := a.vault.keys[name]; twice {
		r.Complain(f["id"], "there is a key %s already; give each an id of its own", name)
		return
	}
	text, err := r.reveal(Source{File: file})
	if err != nil {
		r.Complain(f["file"], "%s", err)
		return
	}
	key, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || a.vault.Add(name, key) != nil {
		r.Complain(f["file"], "the file does not hold the base64 of %d random bytes; make one with: openssl rand -base64 %d", KeySize, KeySize)
	}
}
