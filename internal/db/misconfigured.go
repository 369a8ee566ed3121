package db

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrConfiguration says that a database answers and does not let us in as the URL has it. Whoever configures it has to act: waiting does
// not help.
var ErrConfiguration = errors.New("the database can not be used as it is configured")

// Misconfigured returns ErrConfiguration with a sentence for whoever wrote the URL, where that is why a connection could not be made, and
// nil otherwise. It says nothing of the password.
func Misconfigured(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return nil
	}
	user, database := connect.Config.User, connect.Config.Database
	switch misfit(err) {
	case misfitPassword:
		return fmt.Errorf("%w: it refuses the password of user %q; mend the user or the password in --database-url", ErrConfiguration, user)
	case misfitLogin:
		return fmt.Errorf("%w: it refuses user %q from this machine; the user may be missing or not allowed to log in, or has to come with TLS (sslmode=verify-full)",
			ErrConfiguration, user)
	case misfitDatabase:
		return fmt.Errorf("%w: there is no database %q, or user %q may not connect to it; create it, or mend the name in --database-url", ErrConfiguration, database, user)
	case misfitNoTLS:
		return fmt.Errorf("%w: it does not speak TLS, and sslmode in --database-url asks for it; turn TLS on there, or give sslmode=disable on a network that is trusted",
			ErrConfiguration)
	case misfitTLS:
		return fmt.Errorf("%w: it takes connections with TLS only; give sslmode=verify-full in --database-url", ErrConfiguration)
	case misfitCertificate:
		return fmt.Errorf("%w: its TLS certificate does not hold; sslrootcert has to name its authority, and the host in --database-url has to be one of the certificate's",
			ErrConfiguration)
	default:
		return nil
	}
}

// What may not fit, as the cause of ErrUnavailable has it: to a client, a node that can not log in is a node without a database.
const (
	misfitPassword    = "password"
	misfitLogin       = "login"
	misfitDatabase    = "database"
	misfitNoTLS       = "no_tls"
	misfitTLS         = "tls"
	misfitCertificate = "certificate"
)

// misfit says what of the configuration does not fit, or "". Only what the driver says of TLS before it speaks to a server has no code.
func misfit(err error) string {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		switch {
		case server.Code == "28P01":
			return misfitPassword
		case strings.HasPrefix(server.Code, "28"):
			return misfitLogin
		case server.Code == "3D000", server.Code == "42501" && errors.As(err, new(*pgconn.ConnectError)):
			return misfitDatabase
		case server.Code == "08P01" && strings.Contains(server.Message, "SSL connection required"): // CockroachDB
			return misfitTLS
		}
		return ""
	}
	switch {
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return misfitCertificate
	case errors.As(err, new(*pgconn.ConnectError)) && strings.Contains(err.Error(), "server refused TLS connection"):
		return misfitNoTLS
	}
	return ""
}
