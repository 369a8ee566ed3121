package webhook_test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/relay/webhook"
)

// example returns the block of the page that holds a mark, in a language.
func example(t *testing.T, language, mark string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/events/webhooks.md")
	must(t, err)
	for _, block := range strings.Split(string(page), "\n```"+language+"\n")[1:] {
		text, _, closed := strings.Cut(block, "\n```\n")
		if closed && strings.Contains(text, mark) {
			return text
		}
	}
	t.Fatalf("the page has no %s example with %q", language, mark)
	return ""
}

// shell runs a script of the page and returns what it prints; ok is how it ends.
func shell(t *testing.T, mark, dir string, env ...string) (out string, ok bool) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", example(t, "sh", "# "+mark))
	c.Dir, c.Env = dir, append(os.Environ(), env...)
	printed, err := c.CombinedOutput()
	return strings.TrimSpace(string(printed)), err == nil
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not there: the examples of the page that need it are not run", p)
		}
	}
}

// receiver builds and starts the program of the page, and returns its address and what it prints from then on.
func receiver(t *testing.T, secrets string) (address string, printed *bufio.Scanner) {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "receiver.go"), []byte(example(t, "go", "package main")), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-o", "receiver", "receiver.go")
	build.Dir, build.Env = dir, append(os.Environ(), "GO111MODULE=off", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	run := exec.Command(filepath.Join(dir, "receiver")) //nolint:noctx // it is killed below, and waited for
	run.Env = append(os.Environ(), "LISTEN=127.0.0.1:0", "WEBHOOK_SECRETS="+secrets)
	out, err := run.StdoutPipe()
	must(t, err)
	must(t, run.Start())
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
	printed = bufio.NewScanner(out)
	if !printed.Scan() {
		t.Fatal("the example says nothing")
	}
	return strings.TrimPrefix(printed.Text(), "listening on "), printed
}

func TestDocs_TheReceiverTakesWhatTheSinkSends(t *testing.T) {
	needs(t, "go", "sh", "openssl", "curl")
	dir := t.TempDir()
	if out, ok := shell(t, "make-ed25519.sh", dir); !ok {
		t.Fatalf("make a key pair: %s", out)
	}
	private, err := os.ReadFile(filepath.Join(dir, "secret"))
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "public"))
	must(t, err)
	shared, stranger := webhook.MakeSecret(), webhook.MakeSecret()
	address, printed := receiver(t, string(shared)+" "+string(public))
	url := "http://" + strings.Replace(address, "127.0.0.1", host, 1)

	for _, row := range []struct {
		name    string
		secrets [][]byte
		taken   bool
	}{
		{"HMAC", [][]byte{shared}, true},
		{"Ed25519", [][]byte{private}, true},
		{"rotation", [][]byte{stranger, shared}, true},
		{"a stranger", [][]byte{stranger}, false},
	} {
		var secrets []event.Secret
		for _, value := range row.secrets {
			secrets = append(secrets, event.Secret{ID: row.name, Value: value})
		}
		s := open(t, given{secrets: secrets, settings: map[string]any{"url": url}, options: webhook.Options{AllowHTTP: true}})
		m := message(1, aBody)
		e := deliver(t, s, m)
		if (e == nil) != row.taken {
			t.Errorf("%s: %v", row.name, e)
		}
		if e == nil && (!printed.Scan() || printed.Text() != "event "+m.ID()+": "+aBody) {
			t.Errorf("%s: the receiver says %q", row.name, printed.Text())
		}
	}

	for secret, want := range map[string]string{string(shared): "204", string(stranger): "401"} {
		if out, ok := shell(t, "post.sh", dir, "URL=http://"+address, "SECRET="+secret); !ok || out != want {
			t.Errorf("post.sh: %s, want %s", out, want)
		}
	}
}

func TestDocs_OpensslVerifiesWhatTheSinkSends(t *testing.T) {
	needs(t, "sh", "openssl")
	dir := t.TempDir()
	if out, ok := shell(t, "make-ed25519.sh", dir); !ok {
		t.Fatalf("make a key pair: %s", out)
	}
	private, err := os.ReadFile(filepath.Join(dir, "secret"))
	must(t, err)
	public, err := os.ReadFile(filepath.Join(dir, "public"))
	must(t, err)
	shared := webhook.MakeSecret()
	ca := newAuthority(t)
	port, got := record(t, ca, false)
	s := open(t, given{port: port, ca: ca, secrets: []event.Secret{{ID: "a", Value: private}, {ID: "b", Value: shared}}})
	if e := deliver(t, s, message(1, aBody)); e != nil {
		t.Fatal(e)
	}
	r := <-got
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	must(t, os.WriteFile(good, r.body, 0o600))
	must(t, os.WriteFile(bad, []byte(strings.Replace(string(r.body), "5000", "9000", 1)), 0o600))
	env := func(h http.Header, body string) []string {
		return []string{
			"SECRET=" + string(shared), "PUBLIC=" + string(public), "BODY=" + body, "ID=" + h.Get("webhook-id"),
			"TIMESTAMP=" + h.Get("webhook-timestamp"), "SIGNATURE=" + h.Get("webhook-signature"),
		}
	}
	for _, script := range []string{"verify-hmac.sh", "verify-ed25519.sh"} {
		if out, ok := shell(t, script, dir, env(r.Header, good)...); !ok || out != "verified" {
			t.Errorf("%s: %s", script, out)
		}
		if out, ok := shell(t, script, dir, env(r.Header, bad)...); ok || out != "refused" {
			t.Errorf("%s, of a body that was changed: %s", script, out)
		}
	}
}
