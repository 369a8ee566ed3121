package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/meridian-ledger/meridian/internal/provider"
)

// reason is why a check refused, or nothing.
func reason(t *testing.T, err error) string {
	t.Helper()
	var r *provider.Refusal
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &r):
		t.Fatalf("%v is no refusal", err)
	}
	return r.Reason
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

// The example of the specification and of the documentation of Svix, which wrote it.
func TestStandardWebhooks_KnowsThePublishedAnswer(t *testing.T) {
	const body = `{"test": 2432232314}`
	at := time.Unix(1614265330, 0)
	secret := must(base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	old := []byte("a secret from before the rotation")
	const right = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for _, row := range []struct {
		name, id, stamp, signature, body string
		now                              time.Time
		want                             string
	}{
		{"as published", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", right, body, at, ""},
		{"among others", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1a,AAAA v1,bm9ldHU= " + right, body, at, ""},
		{"another body", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", right, body + " ", at, provider.ReasonSignature},
		{"another id", "msg_p5jXN8AQM9LWM0D4loKWxJel", "1614265330", right, body, at, provider.ReasonSignature},
		{"another time", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265331", right, body, at, provider.ReasonSignature},
		{"another version", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v2" + right[2:], body, at, provider.ReasonUnsigned},
		{"no signature", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "", body, at, provider.ReasonUnsigned},
		{"within the tolerance", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", right, body, at.Add(5 * time.Minute), ""},
		{"too late", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", right, body, at.Add(301 * time.Second), provider.ReasonStale},
		{"from the future", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", right, body, at.Add(-301 * time.Second), provider.ReasonStale},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, prefix := range []string{"webhook", "svix"} {
				r := &provider.Request{Body: []byte(row.body), Header: headers(prefix+"-id", row.id, prefix+"-timestamp", row.stamp, prefix+"-signature", row.signature)}
				check := provider.StandardWebhooks(prefix, [][]byte{old, secret}, 5*time.Minute)
				if got := reason(t, check(r, row.now)); got != row.want {
					t.Errorf("%s: %q, want %q", prefix, got, row.want)
				}
			}
		})
	}
}

func TestStandardWebhooks_AgreesWithTheSpecificationsOwnLibrary(t *testing.T) {
	hook := must(standard.NewWebhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	secret := must(base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
	now := time.Now()
	h := http.Header{}
	provider.SignStandardWebhooks(h, "webhook", secret, []byte("body"), "evt_1", now)
	if err := hook.Verify([]byte("body"), h); err != nil {
		t.Errorf("the library refuses what we sign: %v", err)
	}
	theirs := must(hook.Sign("evt_1", now, []byte("body")))
	h.Set("webhook-signature", theirs)
	if err := provider.StandardWebhooks("webhook", [][]byte{secret}, time.Minute)(&provider.Request{Header: h, Body: []byte("body")}, now); err != nil {
		t.Errorf("we refuse what the library signs: %v", err)
	}
}

// Stripe publishes how it signs and no answer. These were computed by openssl: printf '1492774577.{"id":"evt_1"}' | openssl dgst -sha256 -hmac …
func TestStripe_VerifiesWhatItsDocumentationSays(t *testing.T) {
	const right = "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f"
	const body = `{"id":"evt_1"}`
	now := time.Unix(1492774577, 0)
	secrets := [][]byte{[]byte("whsec_the_new_one"), []byte("whsec_test_secret")}
	for _, row := range []struct {
		name, header, body string
		now                time.Time
		want               string
	}{
		{"as documented", "t=1492774577,v1=" + right, body, now, ""},
		{"beside another scheme", "t=1492774577,v1=" + right + ",v0=" + strings.Repeat("00", 32), body, now, ""},
		{"two, one of them ours", "t=1492774577,v1=" + strings.Repeat("00", 32) + ",v1=" + right, body, now, ""},
		{"only the test scheme", "t=1492774577,v0=" + right, body, now, provider.ReasonUnsigned},
		{"no time", "v1=" + right, body, now, provider.ReasonUnsigned},
		{"two times", "t=1492774577,t=1492774577,v1=" + right, body, now, provider.ReasonUnsigned},
		{"a time that is none", "t=1492774577x,v1=" + right, body, now, provider.ReasonSignature},
		{"cut short", "t=1492774577,v1=" + right[:62], body, now, provider.ReasonSignature},
		{"another body", "t=1492774577,v1=" + right, body + "\n", now, provider.ReasonSignature},
		{"replayed later", "t=1492774577,v1=" + right, body, now.Add(6 * time.Minute), provider.ReasonStale},
		{"nothing", "", body, now, provider.ReasonUnsigned},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &provider.Request{Header: headers("Stripe-Signature", row.header), Body: []byte(row.body)}
			if got := reason(t, provider.Stripe("Stripe-Signature", secrets, 5*time.Minute)(r, row.now)); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
	twice := &provider.Request{Header: headers("Stripe-Signature", "t=1492774577,v1="+right, "Stripe-Signature", "t=1,v1=00"), Body: []byte(body)}
	if got := reason(t, provider.Stripe("Stripe-Signature", secrets, time.Minute)(twice, now)); got != provider.ReasonUnsigned {
		t.Errorf("two headers: %q", got)
	}
}

// adyenSample is the signed notification of Adyen's documentation and libraries.
const adyenSample = `{"live":"false","notificationItems":[{"NotificationRequestItem":{
"additionalData":{"hmacSignature":"coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},"amount":{"value":1130,"currency":"EUR"},
"pspReference":"7914073381342284","eventCode":"AUTHORISATION","eventDate":"2019-05-06T17:15:34.121+02:00","merchantAccountCode":"TestMerchant",
"merchantReference":"TestPayment-1407325143704","paymentMethod":"visa","success":"true"}}]}`

const adyenKey = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"

func TestAdyen_KnowsThePublishedAnswers(t *testing.T) {
	key := must(hex.DecodeString(adyenKey))
	other := must(hex.DecodeString("DFB1EB5485895CFA84146406857104ABB4CBCABDC8AAF103A624C8F6A3EAAB00"))
	item := adyenSample[strings.Index(adyenSample, `{"Not`) : len(adyenSample)-2]
	for _, row := range []struct {
		name, body string
		keys       [][]byte
		want       string
	}{
		{"as published", adyenSample, [][]byte{key}, ""},
		{"during a rotation", adyenSample, [][]byte{other, key}, ""},
		{"the other published key", strings.Replace(adyenSample, "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=", "Ny9gS2veKo5E4w8/OL6xz1/wvT/hYkAXy1xNc/QvO4I=", 1), [][]byte{other}, ""},
		{"a truth for a text", strings.Replace(adyenSample, `"success":"true"`, `"success":true`, 1), [][]byte{key}, ""},
		{"another key", adyenSample, [][]byte{other}, provider.ReasonSignature},
		{"another amount", strings.Replace(adyenSample, "1130", "1131", 1), [][]byte{key}, provider.ReasonSignature},
		{"a name in other letters", strings.Replace(adyenSample, `"pspReference":"7914073381342284"`, `"pspReference":"1","PSPREFERENCE":"7914073381342284"`, 1), [][]byte{key}, provider.ReasonSignature},
		{"two items, one forged", `{"notificationItems":[` + item + "," + strings.Replace(item, "1130", "1", 1) + `]}`, [][]byte{key}, provider.ReasonSignature},
		{"no signature", strings.Replace(adyenSample, "hmacSignature", "other", 1), [][]byte{key}, provider.ReasonUnsigned},
		{"no items", `{"notificationItems":[]}`, [][]byte{key}, provider.ReasonUnsigned},
		{"an item that is none", `{"notificationItems":[{"NotificationRequestItem":5}]}`, [][]byte{key}, provider.ReasonUnsigned},
		{"no JSON", `<xml/>`, [][]byte{key}, provider.ReasonUnsigned},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := reason(t, provider.Adyen(row.keys)(&provider.Request{Body: []byte(row.body)}, time.Now())); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestAllowed_TrustsAHeaderOnlyBehindAProxy(t *testing.T) {
	check := provider.Allowed([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		[]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "X-Forwarded-For")
	for _, row := range []struct{ name, from, header, want string }{
		{"directly", "203.0.113.9", "", ""},
		{"directly, IPv6", "2001:db8::1", "", ""},
		{"mapped into IPv6", "::ffff:203.0.113.9", "", ""},
		{"from elsewhere", "198.51.100.1", "", provider.ReasonAddress},
		{"from elsewhere, with a header", "198.51.100.1", "203.0.113.9", provider.ReasonAddress},
		{"through a proxy", "10.0.0.5", "203.0.113.9", ""},
		{"through two", "10.0.0.5", "203.0.113.9, 10.1.1.1", ""},
		{"the first hop is forged", "10.0.0.5", "203.0.113.9, 198.51.100.1", provider.ReasonAddress},
		{"the proxy says nothing", "10.0.0.5", "", provider.ReasonAddress},
		{"the proxy says nonsense", "10.0.0.5", "203.0.113.9, unknown", provider.ReasonAddress},
		{"only proxies", "10.0.0.5", "10.1.1.1", provider.ReasonAddress},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := &provider.Request{Remote: netip.MustParseAddr(row.from), Header: http.Header{}}
			if row.header != "" {
				r.Header.Set("X-Forwarded-For", row.header)
			}
			if got := reason(t, check(r, time.Now())); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

// issue makes an authority and a certificate of it.
func issue(t *testing.T, subject string, use x509.ExtKeyUsage) (*x509.CertPool, *x509.Certificate) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "acme root"}, NotBefore: time.Unix(1000, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, root, root, &key.PublicKey, key))))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: subject, Organization: []string{"Acme"}}, NotBefore: time.Unix(2000, 0), NotAfter: time.Unix(3000, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	leaf = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, key))))
	pool := x509.NewCertPool()
	pool.AddCert(root)
	return pool, leaf
}

func TestCertificate_WantsTheRightOneOfTheRightAuthorityInTime(t *testing.T) {
	pool, leaf := issue(t, "callbacks", x509.ExtKeyUsageClientAuth)
	strangers, forged := issue(t, "callbacks", x509.ExtKeyUsageClientAuth)
	servers, server := issue(t, "callbacks", x509.ExtKeyUsageServerAuth)
	now := time.Unix(2500, 0)
	for _, row := range []struct {
		name            string
		pool            *x509.CertPool
		subject, issuer string
		peer            []*x509.Certificate
		now             time.Time
		want            string
	}{
		{"subject", pool, "CN=callbacks,O=Acme", "", []*x509.Certificate{leaf}, now, ""},
		{"issuer", pool, "", "CN=acme root", []*x509.Certificate{leaf}, now, ""},
		{"another subject", pool, "CN=callback,O=Acme", "", []*x509.Certificate{leaf}, now, provider.ReasonCertificate},
		{"another issuer", pool, "", "CN=root", []*x509.Certificate{leaf}, now, provider.ReasonCertificate},
		{"none", pool, "CN=callbacks,O=Acme", "", nil, now, provider.ReasonCertificate},
		{"another authority of the same name", pool, "CN=callbacks,O=Acme", "CN=acme root", []*x509.Certificate{forged}, now, provider.ReasonCertificate},
		{"over", pool, "CN=callbacks,O=Acme", "", []*x509.Certificate{leaf}, time.Unix(3001, 0), provider.ReasonCertificate},
		{"not yet", pool, "CN=callbacks,O=Acme", "", []*x509.Certificate{leaf}, time.Unix(1999, 0), provider.ReasonCertificate},
		{"for servers", servers, "CN=callbacks,O=Acme", "", []*x509.Certificate{server}, now, provider.ReasonCertificate},
		{"of strangers who are trusted", strangers, "CN=callbacks,O=Acme", "", []*x509.Certificate{forged}, now, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := reason(t, provider.Certificate(row.pool, row.subject, row.issuer)(&provider.Request{Peer: row.peer}, row.now)); got != row.want {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

// Whatever comes, a check answers with a refusal, and lets through only what is signed.
func FuzzChecks(f *testing.F) {
	f.Add("t=1492774577,v1=00", "msg", "1614265330", "v1,AAAA", []byte(adyenSample))
	f.Add("t=,v1=", "", "-1", "v1,", []byte(`{"notificationItems":[{"NotificationRequestItem":{"additionalData":null}}]}`))
	f.Add(",,==,t=9999999999999999999", "a", "9999999999999999999999", "v1,,v1", []byte(`[[[[`))
	secret := []byte("nobody knows this secret of ours")
	checks := []provider.Check{
		provider.Stripe("Stripe-Signature", [][]byte{secret}, time.Minute), provider.StandardWebhooks("webhook", [][]byte{secret}, time.Minute),
		provider.Adyen([][]byte{secret}),
		provider.Allowed([]netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, "Webhook-Id"),
		provider.Certificate(x509.NewCertPool(), "CN=a", ""),
	}
	f.Fuzz(func(t *testing.T, stripe, message, stamp, signature string, body []byte) {
		r := &provider.Request{Body: body, Remote: netip.MustParseAddr("198.51.100.1"), Header: headers(
			"Stripe-Signature", stripe, "webhook-id", message, "webhook-timestamp", stamp, "webhook-signature", signature,
		)}
		for i, check := range checks {
			err := check(r, time.Unix(1614265330, 0))
			if reason(t, err) == "" {
				t.Errorf("check %d let it through", i)
			}
			if strings.Contains(err.Error(), string(secret)) {
				t.Errorf("check %d tells the secret", i)
			}
		}
	})
}
