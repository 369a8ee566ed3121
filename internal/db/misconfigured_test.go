package db_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/schema"
)

const wrong = "hunter2-secret"

// wantConfiguration opens a database in every way there is, and wants the same sentence without a secret.
func wantConfiguration(t *testing.T, raw *url.URL, want string) {
	t.Helper()
	for name, open := range map[string]func() error{
		"Open": func() error { _, err := db.Open(t.Context(), db.Options{URL: raw.String()}); return err },
		"Up":   func() error { return schema.Up(t.Context(), raw.String(), schema.Options{}) },
	} {
		err := open()
		if !errors.Is(err, db.ErrConfiguration) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, want %v: %q", name, err, db.ErrConfiguration, want)
		}
		if password, _ := raw.User.Password(); err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("%s shows the password: %v", name, err)
		}
	}
}

// as changes an address. The driver's own default would fall back to no TLS.
func as(t *testing.T, raw string, change func(u *url.URL, options url.Values)) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	options := u.Query()
	change(u, options)
	u.RawQuery = options.Encode()
	return u
}

func TestOpen_SaysWhatOfTheConfigurationDoesNotFit(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	t.Run("the password", func(t *testing.T) {
		u := as(t, d.URL, func(u *url.URL, _ url.Values) {
			if _, asked := u.User.Password(); !asked {
				t.Skip("this server asks nobody for a password")
			}
			u.User = url.UserPassword(u.User.Username(), wrong)
		})
		wantConfiguration(t, u, `it refuses the password of user "`+u.User.Username()+`"`)
		u.User = url.User(u.User.Username())
		wantConfiguration(t, u, `it refuses the password of user "`+u.User.Username()+`"`)
	})
	t.Run("the database", func(t *testing.T) {
		wantConfiguration(t, as(t, d.URL, func(u *url.URL, _ url.Values) { u.Path = "/nowhere" }), `there is no database "nowhere"`)
	})
	t.Run("a user who may not log in", func(t *testing.T) {
		owner := pgx.Identifier{"meridian_nologin"}.Sanitize()
		exec(t, d.AdminURL, `DROP ROLE IF EXISTS `+owner, `CREATE ROLE `+owner+` NOLOGIN PASSWORD '`+wrong+`'`)
		t.Cleanup(func() { exec(t, d.AdminURL, `DROP ROLE `+owner) })
		u := as(t, d.URL, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("meridian_nologin", wrong) })
		wantConfiguration(t, u, `it refuses user "meridian_nologin"`)
	})
	t.Run("a server without TLS", func(t *testing.T) {
		wantConfiguration(t, as(t, d.URL, func(_ *url.URL, o url.Values) { o.Set("sslmode", "require") }), "it does not speak TLS")
	})
	t.Run("a certificate of nobody", func(t *testing.T) {
		u := as(t, d.URL, func(u *url.URL, o url.Values) {
			u.Host = impostor(t)
			o.Set("sslmode", "verify-full")
		})
		wantConfiguration(t, u, "its TLS certificate does not hold")
	})
}

func exec(t *testing.T, raw string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), raw)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// impostor speaks TLS as a PostgreSQL server would, with a certificate that no authority has signed.
func impostor(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.CopyN(io.Discard, conn, 8) // SSLRequest
				_, _ = conn.Write([]byte{'S'})
				_ = tls.Server(conn, config).Handshake()
			}()
		}
	}()
	return listener.Addr().String()
}

// A password that is changed under a server that runs: its clients hear that this node has no database, and go to another.
func TestClassify_ALoginThatIsTakenAwayIsUnavailable(t *testing.T) {
	d := dbtest.New(t, "postgresql")
	u := as(t, d.AdminURL, func(u *url.URL, _ url.Values) { u.User = url.UserPassword("meridian_nobody", wrong) })
	_, err := pgx.Connect(t.Context(), u.String())
	if got := errs.Of(db.Classify(err)); got.Code != errs.Unavailable || got.Reason != errs.ReasonUnavailable || got.Fields["cause"] == "" {
		t.Errorf("Classify(%v) = %v, want %v with its cause", err, got, errs.ErrUnavailable)
	}
	if strings.Contains(db.Classify(err).Error(), wrong) {
		t.Errorf("the password shows: %v", db.Classify(err))
	}
}

func TestMisconfigured_IsNothingElse(t *testing.T) {
	for name, err := range map[string]error{
		"no error": nil, "a statement": state("28P01", "x"), "nobody there": errors.New("connection refused"),
	} {
		if got := db.Misconfigured(err); got != nil {
			t.Errorf("%s: %v, want nil", name, got)
		}
	}
	if _, err := db.Open(t.Context(), db.Options{URL: "postgresql://u:" + wrong + "@127.0.0.1:1/x"}); errors.Is(err, db.ErrConfiguration) {
		t.Errorf("nobody there: %v", err)
	}
}
