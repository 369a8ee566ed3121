package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const dialWithin = 5 * time.Second

// link is one connection. When it breaks it is over: the relay knows when to try again, and the client's own way back would publish in another
// order than that of the calls.
type link struct {
	conn   *client.Conn
	stream jetstream.JetStream
	gone   chan struct{} // closed with the connection
	denied chan error    // a publish that the server refused: it tells so beside the answers
}

// connect returns the connection, or makes one.
func (s *Sink) connect(ctx context.Context) (*link, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, client.ErrConnectionClosed
	}
	if s.link != nil && s.link.conn.IsConnected() {
		return s.link, nil
	}
	if s.link != nil {
		s.link.conn.Close()
	}
	gone, denied := make(chan struct{}), make(chan error, 1)
	dialer := &dialer{ctx: ctx}
	options := append([]client.Option{
		client.Name("meridian"), client.NoReconnect(), client.Timeout(dialWithin), client.SetCustomDialer(dialer), client.NoEcho(),
		client.ClosedHandler(func(*client.Conn) { close(gone) }),
		client.ErrorHandler(func(_ *client.Conn, _ *client.Subscription, err error) {
			if errors.Is(err, client.ErrPermissionViolation) {
				select {
				case denied <- err:
				default:
				}
			}
		}),
	}, s.options...)
	if s.settings.Secure {
		options = append(options, client.Secure(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.settings.Authorities}))
	}
	conn, err := client.Connect(strings.Join(s.settings.Servers, ","), options...)
	if err != nil {
		return nil, dialer.explain(err)
	}
	stream, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(4*batch))
	if err != nil {
		conn.Close()
		return nil, err
	}
	s.link = &link{conn: conn, stream: stream, gone: gone, denied: denied}
	return s.link, nil
}

// dialer dials for as long as the call lasts, and keeps what the client would not tell.
type dialer struct {
	ctx  context.Context //nolint:containedctx // the client has no other way to hand it on
	last error
}

// Dial implements client.CustomDialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, dialWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	d.last = err
	return conn, err
}

// explain returns why no server could be dialled, where the client says only that none was there.
func (d *dialer) explain(err error) error {
	if d.last != nil {
		return d.last
	}
	return err
}
