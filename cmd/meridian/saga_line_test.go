package main

import (
	"bytes"
	encoding "encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// checkpoint is where everything that somebody does outside of a server goes by: before it has its effect, and after it and before the answer. At
// one of these points whoever does it stops, until it is known to be dead. It is safe for concurrent use.
type checkpoint struct {
	mu      sync.Mutex
	at      int // the point to stop at, from 0
	passed  int
	arrived chan struct{} // closed when somebody stands there
	dead    chan struct{} // closed when who stands there has died; nil: nobody is to stop
}

// arm makes the n-th point from now the one to stop at.
func (c *checkpoint) arm(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.passed, c.arrived, c.dead = n, 0, make(chan struct{}), make(chan struct{})
}

// disarm lets everybody pass, and tells how many points there were. Who has stopped is dead.
func (c *checkpoint) disarm() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.dead)
	c.dead = nil
	return c.passed
}

// pass returns whether who comes by lives on.
func (c *checkpoint) pass() bool {
	c.mu.Lock()
	dead, n := c.dead, c.passed
	if dead == nil {
		c.mu.Unlock()
		return true
	}
	c.passed++
	if n == c.at {
		close(c.arrived)
	}
	c.mu.Unlock()
	if n < c.at {
		return true
	}
	<-dead
	return false
}

// databaseLine is a line to a database on which the commits of some transactions go by a checkpoint.
type databaseLine struct {
	url      string
	listener net.Listener
	network  string
	target   string
	of       func(written []byte) *checkpoint // whose transaction it is that binds this to a statement that writes; nil: nobody's
	running  sync.WaitGroup
}

// newDatabaseLine starts a line in front of the database of a URL; it ends with the test.
func newDatabaseLine(t *testing.T, rawURL string, of func(written []byte) *checkpoint) *databaseLine {
	t.Helper()
	config, err := pgconn.ParseConfig(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	l := &databaseLine{of: of}
	l.network, l.target = pgconn.NetworkAddress(config.Host, config.Port)
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = l.listener.Addr().String()
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	l.url = u.String()
	l.running.Go(l.accept)
	t.Cleanup(func() {
		_ = l.listener.Close()
		l.running.Wait() // for connections too: whoever had them is dead by then
	})
	return l
}

func (l *databaseLine) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial(l.network, l.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w := &wire{line: l, client: client, server: server, statements: map[string]string{}}
		l.running.Go(w.up)
		l.running.Go(w.down)
	}
}

// wire is one connection.
type wire struct {
	line           *databaseLine
	client, server net.Conn
	statements     map[string]string // prepared, by name; of up alone
	whose          *checkpoint       // of the transaction that is open; of up alone

	mu      sync.Mutex
	commits *checkpoint // whose commit is on its way
}

func (w *wire) hangUp() {
	_ = w.client.Close()
	_ = w.server.Close()
}

// up brings what the client says to the database, as much at once as it has to say before it waits.
func (w *wire) up() {
	defer w.hangUp()
	head := make([]byte, 4)
	if _, err := io.ReadFull(w.client, head); err != nil {
		return
	}
	hello := make([]byte, encoding.BigEndian.Uint32(head))
	copy(hello, head)
	if _, err := io.ReadFull(w.client, hello[4:]); err != nil {
		return
	}
	if _, err := w.server.Write(hello); err != nil {
		return
	}
	var said []byte
	for {
		kind, message, err := readMessage(w.client)
		if err != nil {
			return
		}
		if said = append(said, message...); w.hears(kind, message[5:]) && !w.commit() {
			return
		}
		if strings.IndexByte("SQHXp", kind) >= 0 { // it waits for an answer now
			if _, err := w.server.Write(said); err != nil {
				return
			}
			said = nil
		}
	}
}

// commit stops in front of one.
func (w *wire) commit() bool {
	w.mu.Lock()
	w.commits = w.whose
	w.mu.Unlock()
	whose := w.whose
	w.whose = nil
	return whose == nil || whose.pass()
}

// hears follows the transactions of the client, and tells whether this commits one.
func (w *wire) hears(kind byte, body []byte) (commits bool) {
	word := func() (text string) {
		before, after, _ := bytes.Cut(body, []byte{0})
		body = after
		return string(before)
	}
	sql := ""
	switch kind {
	case 'Q':
		sql = word()
	case 'P':
		name := word()
		w.statements[name] = word()
	case 'B':
		_ = word() // the portal
		sql = w.statements[word()]
	}
	switch first, _, _ := strings.Cut(strings.ToUpper(strings.Trim(sql, "; \n")), " "); {
	case first == "COMMIT":
		return true
	case first == "BEGIN", first == "ROLLBACK":
		w.whose = nil
	case strings.Contains(sql, "INSERT INTO journal"), strings.Contains(sql, "UPDATE saga "):
		w.whose = w.line.of(body)
	}
	return false
}

// down brings what the database says to the client. The answer to a commit stops.
func (w *wire) down() {
	defer w.hangUp()
	for {
		kind, message, err := readMessage(w.server)
		if err != nil {
			return
		}
		if tag, _, _ := bytes.Cut(message[5:], []byte{0}); kind == 'C' && string(tag) == "COMMIT" {
			w.mu.Lock()
			whose := w.commits
			w.commits = nil
			w.mu.Unlock()
			if whose != nil && !whose.pass() {
				return
			}
		}
		if _, err := w.client.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a message of the PostgreSQL protocol: its kind, its length, and the rest.
func readMessage(from io.Reader) (kind byte, message []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(from, head); err != nil {
		return 0, nil, err
	}
	size := encoding.BigEndian.Uint32(head[1:])
	if size < 4 || size > 64<<20 {
		return 0, nil, errors.New("no PostgreSQL is spoken here")
	}
	message = make([]byte, 1+size)
	copy(message, head)
	_, err = io.ReadFull(from, message[5:])
	return head[0], message, err
}

// providerLine makes requests to a provider go by the checkpoint of the saga whose order they are about.
func providerLine(orders http.Handler, of func(key string) *checkpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if key == "" {
			key = strings.TrimPrefix(r.URL.Path, "/orders/")
		}
		whose := of(key)
		if whose == nil {
			http.Error(w, "nobody knows "+key, http.StatusTeapot)
			return
		}
		if !whose.pass() {
			panic(http.ErrAbortHandler) // nothing of it arrived
		}
		answer := httptest.NewRecorder()
		orders.ServeHTTP(answer, r)
		if !whose.pass() {
			panic(http.ErrAbortHandler)
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes()) // the caller went away
	})
}
