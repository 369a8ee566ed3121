package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/cluster"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/money"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// patience bounds every wait for another process; the tests may share their cores with others.
const patience = time.Minute

// binary is the program under test, as a person would have it.
var binary string

func TestMain(m *testing.M) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(filepath.Dir(self), "meridian") // go test removes that directory with all that is in it
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build meridian:", err)
		os.Exit(1)
	}
	dbtest.Main(m)
}

// environment is ours without what a person has set for meridian, and with more.
func environment(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, envPrefix) {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\n--- stdout\n%s\n--- stderr\n%s", r.code, r.stdout, r.stderr)
}

// meridian runs a command to its end.
func meridian(t *testing.T, args ...string) result {
	t.Helper()
	return meridianWith(t, nil, args...)
}

func meridianWith(t *testing.T, env []string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(env...), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("meridian %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("meridian %s: not at its end after %s\n%s\n%s", strings.Join(args, " "), patience, &stdout, &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// ok wants exit code 0 and returns what the command printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	r := meridian(t, args...)
	if r.code != 0 {
		t.Fatalf("meridian %s: %s", strings.Join(args, " "), r)
	}
	return r.stdout
}

// refused wants exit code 1, nothing on standard output, and one line that has all the words.
func refused(t *testing.T, r result, words ...string) {
	t.Helper()
	if r.code != 1 || r.stdout != "" {
		t.Errorf("want exit code 1 and no output: %s", r)
	}
	for _, word := range append(words, "meridian: ") {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("want %q on stderr: %s", word, r)
		}
	}
}

// transcript keeps what a process wrote, and tells who waits for a line.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed when there is more
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

// Write implements io.Writer.
func (l *transcript) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(b)
}

func (l *transcript) read() (string, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String(), l.changed
}

func (l *transcript) String() string {
	text, _ := l.read()
	return text
}

// find returns the first JSON line with a message.
func (l *transcript) find(message string) (map[string]any, <-chan struct{}) {
	text, changed := l.read()
	for line := range strings.Lines(text) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			return fields, changed
		}
	}
	return nil, changed
}

// server is `meridian serve` as a process of its own.
type server struct {
	URL    string
	cmd    *exec.Cmd
	log    *transcript // standard output
	errors *transcript
	ended  chan struct{}
}

// serving starts a server on a free port and returns when it says that it serves.
func serving(t *testing.T, databaseURL string, args ...string) *server {
	t.Helper()
	s := &server{log: newTranscript(), errors: newTranscript(), ended: make(chan struct{})}
	s.cmd = exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--region", "here", "--default-ledger", "brand-eu"}, args...)...)
	s.cmd.Env = environment("MERIDIAN_DATABASE_URL=" + databaseURL)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.errors
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // the exit code is in ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		if t.Failed() {
			t.Logf("the server's log:\n%s%s", s.log, s.errors)
		}
	})
	line := s.logged(t, "serving")
	s.URL = "http://" + line["address"].(string)
	if line["tls"] == true {
		s.URL = "https://" + line["address"].(string)
	}
	return s
}

// logged waits for a line of the log.
func (s *server) logged(t *testing.T, message string) map[string]any {
	t.Helper()
	late := time.After(patience)
	for {
		line, changed := s.log.find(message)
		if line != nil {
			return line
		}
		select {
		case <-changed:
		case <-s.ended:
			if line, _ := s.log.find(message); line != nil {
				return line
			}
			t.Fatalf("the server ended and never logged %q\n%s%s", message, s.log, s.errors)
		case <-late:
			t.Fatalf("the server did not log %q in %s\n%s%s", message, patience, s.log, s.errors)
		}
	}
}

// terminate sends SIGTERM.
func (s *server) terminate(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit code.
func (s *server) exit(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("the server is still there after %s\n%s%s", within, s.log, s.errors)
		return 0
	}
}

func (s *server) client() *rpc.Client { return rpc.NewClient(rpc.NewHTTPClient(nil, false), s.URL) }

// furnish creates the default ledger and opens accounts with 1,000.00 EUR each.
func (s *server) furnish(t *testing.T, accounts ...string) *rpc.Client {
	t.Helper()
	svc := s.client()
	if _, err := svc.CreateLedger(t.Context(), ledger.Ledger{ID: "brand-eu", Home: "eu", Assets: []money.Asset{{Code: "EUR", Scale: 2}}}); err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		open, err := openingOf("brand-eu", a, "EUR", "credit", "0", "none")
		if err != nil {
			t.Fatal(err)
		}
		posted(t, svc, open)
		deposit, err := transferOf("brand-eu", []string{a, a, "100000", "EUR"}, "deposit:"+a)
		if err != nil {
			t.Fatal(err)
		}
		deposit.Kind, deposit.Counter, deposit.Reason = ledger.KindCredit, "", "deposit"
		posted(t, svc, deposit)
	}
	return svc
}

func posted(t *testing.T, svc ledger.Service, c ledger.Command) ledger.Outcome {
	t.Helper()
	o, err := ledger.Do(t.Context(), svc, c)
	if err != nil || o.Decided != ledger.Posted {
		t.Fatalf("%s: %s %s %v: %v", c.Canonical(), o.Decided, o.Reason, o.Detail, err)
	}
	return o
}

// answer is what came back over HTTP.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request; headers are "Name: value".
func ask(t *testing.T, client *http.Client, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := tryAsk(t.Context(), client, method, url, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func tryAsk(ctx context.Context, client *http.Client, method, url, body string, headers ...string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, maps.Clone(response.Header), string(text)}, err
}

// postgres is a database of the test, migrated; it is skipped where there is no PostgreSQL.
func postgres(t *testing.T) dbtest.Database {
	t.Helper()
	return dbtest.New(t, cluster.PostgreSQL)
}

var (
	uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	times = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`)
)

// steady takes out of a text what differs from run to run.
func steady(text string) string {
	return times.ReplaceAllString(uuids.ReplaceAllString(text, "UUID"), "TIME")
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got := strings.TrimSpace(steady(got)); got != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}
