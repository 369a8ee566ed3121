package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

// tailing is `meridian events tail --json` as a process of its own.
type tailing struct {
	*server // its log is what it prints
}

func startTail(t *testing.T, args ...string) tailing {
	t.Helper()
	s := tailing{&server{log: newTranscript(), errors: newTranscript(), ended: make(chan struct{})}}
	s.cmd = exec.Command(binary, append([]string{"events", "tail", "--home", "eu"}, args...)...)
	s.cmd.Env = environment()
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
	})
	return s
}

// lines waits until so many lines are printed.
func (s tailing) lines(t *testing.T, n int) []string {
	t.Helper()
	late := time.After(patience)
	for {
		text, changed := s.log.read()
		if lines := strings.Split(strings.TrimRight(text, "\n"), "\n"); text != "" && len(lines) >= n {
			return lines
		}
		select {
		case <-changed:
		case <-s.ended:
			t.Fatalf("the tail ended with %d\n%s", s.cmd.ProcessState.ExitCode(), s.errors)
		case <-late:
			t.Fatalf("not %d lines in %s: %d\n%s", n, patience, strings.Count(text, "\n"), s.errors)
		}
	}
}

// interrupt is ctrl-C; it returns what was said at the end.
func (s tailing) interrupt(t *testing.T) string {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := s.exit(t, patience); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.errors)
	}
	return s.errors.String()
}

// A node is killed, another one drains, while commands run; whoever tails has everything, once and in order.
func TestEventsTail_LosesNothingWhenServersEnd(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, books dbtest.Database) {
		first := serving(t, books.URL)
		second := serving(t, books.URL)
		third := serving(t, books.URL)
		first.furnish(t, fourAccounts...)
		tail := startTail(t, "--json", "--from", "beginning", "--server", strings.Join([]string{first.URL, second.URL, third.URL}, ","))
		tail.lines(t, 8)
		load := drive(t.Context(), third.client(), 4)
		load.more(t, 40)
		tail.lines(t, 20)
		if err := first.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		load.more(t, 40)
		so := len(tail.lines(t, 1))
		tail.lines(t, so+20)
		second.terminate(t)
		if code := second.exit(t, patience); code != 0 {
			t.Errorf("the second server ended with %d", code)
		}
		load.more(t, 40)
		third.terminate(t) // which ends the load, and drains
		load.running.Wait()
		third.exit(t, patience)
		last := serving(t, books.URL) // nobody listens where the tail looks, so that it has to begin anew from what it said
		text := tail.interrupt(t)
		at := regexp.MustCompile(`stopped after position (\d+) of home eu; --from (\d+) goes on`).FindStringSubmatch(text)
		if at == nil {
			t.Fatalf("the tail says %s", text)
		}
		answered, _ := load.hold(t, books)
		seen := strings.Split(strings.TrimSpace(tail.log.String()), "\n")
		rest := startTail(t, "--json", "--from", at[1], "--server", last.URL)
		want := answered + 8 // what the accounts were opened and filled with
		if want > len(seen) {
			seen = append(seen, rest.lines(t, want-len(seen))...)
		}
		rest.interrupt(t)
		sequences := map[string]string{}
		for i, line := range seen {
			var e struct{ Position, Account, Sequence string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Position != fmt.Sprint(i+1) || e.Sequence <= sequences[e.Account] {
				t.Fatalf("line %d is %s: %v", i+1, line, err)
			}
			sequences[e.Account] = e.Sequence
		}
		if len(seen) < want {
			t.Errorf("%d events of %d", len(seen), want)
		}
	})
}

func TestEventsTail_WhatAPersonReads(t *testing.T) {
	s := serving(t, postgres(t).URL)
	svc := s.furnish(t, "acc_42", "acc_43")
	c, err := transferOf("brand-eu", []string{"acc_42", "acc_43", "5000", "EUR"}, "t1")
	if err != nil {
		t.Fatal(err)
	}
	posted(t, svc, c)
	if c, err = transferOf("brand-eu", []string{"acc_42", "acc_43", "999999999", "EUR"}, "t2"); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Do(t.Context(), svc, c); err != nil {
		t.Fatal(err)
	}
	tail := startTail(t, "--from", "beginning", "--server", s.URL)
	wantText(t, strings.Join(tail.lines(t, 6), "\n"), `
1  TIME  account.opened            brand-eu/acc_42                   -  UUID
       2  TIME  wallet.credit.committed   brand-eu/acc_42                   100000 EUR  UUID
       3  TIME  account.opened            brand-eu/acc_43                   -  UUID
       4  TIME  wallet.credit.committed   brand-eu/acc_43                   100000 EUR  UUID
       5  TIME  transaction.posted        brand-eu/acc_42                   5000 EUR  UUID
       6  TIME  transaction.declined      brand-eu/acc_42                   999999999 EUR transfer INSUFFICIENT_FUNDS  UUID`)
	if said := tail.interrupt(t); said != "stopped after position 6 of home eu; --from 6 goes on\n" {
		t.Errorf("it says %q", said)
	}
	some := startTail(t, "--from", "4", "--types", "transaction.*", "--accounts", "acc_43", "--ledgers", "brand-eu", "--server", s.URL)
	if lines := some.lines(t, 1); !strings.Contains(lines[0], "transaction.posted") {
		t.Errorf("%q", lines)
	}
	some.interrupt(t)
	for args, words := range map[string][]string{
		"--home eu --from yesterday": {"--from", "yesterday"}, "--home mars": {"HOME_NOT_FOUND"}, "--home EU": {"--home"}, "--home eu --from 99": {"after"},
		"--home eu --types no.such": {"filter.types[0]", "no.such"},
	} {
		refused(t, meridian(t, append(strings.Fields("events tail --server "+s.URL), strings.Fields(args)...)...), words...)
	}
}

// receiver is a webhook that refuses when told so.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	refuse bool
	ids    []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		r.ids = append(r.ids, q.Header.Get("Webhook-Id"))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(refuse bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = refuse
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %s: %s", patience, what)
		}
	}
}

// A subscription by the tools of a terminal, from its file to its end.
func TestEventsSubscriptions_WhatAPersonAndAScriptDo(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, books dbtest.Database) {
		const key = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
		web := newReceiver(t)
		s := serving(t, books.URL, "--webhook-allow-http", "--webhook-allow-private", "127.0.0.1/32", "--log-level", "debug")
		svc := s.furnish(t, "acc_42", "acc_43")
		path := filepath.Join(t.TempDir(), "payouts.yaml")
		write := func(types string) {
			text := "id: payouts\nhomes: [eu]\nfrom: beginning\nfilter: {types: [" + types + "]}\nsink:\n  webhook: {url: " + web.URL + "/hook, parallel: 2}\n" +
				"secrets: [{id: first, value_from_env: HOOK_SECRET}]\nmetadata: {team: treasury}\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("wallet.*")
		env := []string{"HOOK_SECRET=" + key}
		events := func(args ...string) result {
			return meridianWith(t, env, append(append([]string{"events"}, args...), "--server", s.URL)...)
		}
		good := func(args ...string) string {
			t.Helper()
			r := events(args...)
			if r.code != 0 {
				t.Fatalf("%v: %s", args, r)
			}
			if strings.Contains(r.stdout+r.stderr, key) {
				t.Errorf("%v prints a secret: %s", args, r)
			}
			return strings.ReplaceAll(r.stdout, web.URL, "URL")
		}
		good("subscriptions", "create", "-f", path)
		waitFor(t, "two events are delivered", func() bool { return web.count() == 2 })
		show := func() string { return good("subscriptions", "show", "payouts") }
		waitFor(t, "the delivery is written down", func() bool { return strings.Contains(show(), "  eu    4         0       2 ") })
		wantText(t, good("subscriptions", "create", "-f", path), `
payouts is active
  sink      webhook {"url":"URL/hook","parallel":2}
  filter    types wallet.*
  secrets   first
  metadata  team=treasury

  home  position  behind  delivered  due  dead  oldest undelivered
  eu    4         0       2          0    0     -`)
		wantText(t, good("subscriptions", "list"), "id       state   sink     home  position  behind  due  dead\npayouts  active  webhook  eu    4         0       0    0")
		if out := good("subscriptions", "test", "payouts"); !regexp.MustCompile(`^payouts: delivered in \S+\n$`).MatchString(out) {
			t.Errorf("test: %s", out)
		}
		web.set(true)
		if r := events("subscriptions", "test", "payouts"); r.code != 2 || !strings.Contains(r.stdout, "not delivered: ") {
			t.Errorf("test a receiver that refuses: %s", r)
		}

		c, err := transferOf("brand-eu", []string{"acc_42", "acc_42", "1", "EUR"}, "credit-1")
		if err != nil {
			t.Fatal(err)
		}
		c.Kind, c.Counter = ledger.KindCredit, ""
		posted(t, svc, c)
		waitFor(t, "the event met an obstacle", func() bool { return strings.Contains(good("deliveries", "list", "payouts"), "eu    5 ") })
		if out := good("deliveries", "list", "payouts", "--home", "eu", "--state", "all"); !strings.HasPrefix(out, "home  position  state") {
			t.Errorf("deliveries: %s", out)
		}
		shown := good("deliveries", "show", "payouts", "eu", "5", "--json")
		var d deliveryView
		if err := json.Unmarshal([]byte(shown), &d); err != nil || d.Position != 5 || !strings.Contains(string(d.Event), "wallet.credit.committed") {
			t.Errorf("show: %s %v", shown, err)
		}
		web.set(false)
		good("subscriptions", "resume", "payouts")

		write("wallet.*, transaction.*")
		if out := good("subscriptions", "update", "-f", path); !strings.Contains(out, "types wallet.*, transaction.*") || !strings.Contains(out, "secrets   first\n") {
			t.Errorf("update: %s", out)
		}
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := good("subscriptions", "update", "payouts", "--secret-file", "second="+secret, "--remove-secret", "first"); !strings.Contains(out, "secrets   second\n") {
			t.Errorf("rotate: %s", out)
		}
		if out := good("subscriptions", "pause", "payouts", "--reason", "a-drill"); !strings.HasPrefix(out, "payouts is paused (a-drill)\n") {
			t.Errorf("pause: %s", out)
		}
		good("subscriptions", "resume", "payouts")

		replay := []string{"replay", "start", "payouts", "--home", "eu", "--id", "again", "--first", "1", "--last", "4", "--reason", "a-drill"}
		before := web.count()
		if out := good(replay...); !strings.Contains(out, "positions 1 to 4 of home eu") {
			t.Errorf("replay: %s", out)
		}
		waitFor(t, "the replay delivers two events again", func() bool { return web.count() >= before+2 })
		waitFor(t, "the replay is done", func() bool {
			return strings.Contains(good("replay", "list", "payouts"), "again  eu    done   1      4     4         100       a-drill")
		})
		if out := good("replay", "cancel", "again", "--home", "eu"); !strings.Contains(out, "is done") {
			t.Errorf("cancel: %s", out)
		}

		refused(t, events("dead-letters", "retry", "payouts", "--home", "eu"), "--position", "--all")
		refused(t, events("dead-letters", "discard", "payouts", "--home", "eu", "--all"), "reason")
		if out := good("dead-letters", "retry", "payouts", "--home", "eu", "--all"); !regexp.MustCompile(`^[01] due again\n$`).MatchString(out) {
			t.Errorf("retry: %s", out)
		}
		if out := good("dead-letters", "discard", "payouts", "--home", "eu", "--all", "--reason", "a-drill", "--json"); !strings.Contains(out, `"count": `) {
			t.Errorf("discard: %s", out)
		}
		good("dead-letters", "list", "payouts")
		refused(t, events("subscriptions", "update", "payouts", "--secret-file", key), "--secret-file: write the id")
		good("subscriptions", "delete", "payouts")
		refused(t, events("subscriptions", "show", "payouts"), "SUBSCRIPTION_NOT_FOUND")
		if log := s.log.String(); strings.Contains(log, key) || strings.Contains(log, strings.TrimPrefix(key, "whsec_")) {
			t.Error("the log of the server has the secret")
		}
	})
}

func TestEventsSubscriptions_TheMadeSecretIsShownOnce(t *testing.T) {
	s := serving(t, postgres(t).URL, "--topology", "three-continents")
	s.furnish(t)
	path := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(path, []byte("id: made\nhomes: [eu]\nsink: {region: europe-west1, webhook: {url: 'https://hooks.example.com/x'}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := regexp.MustCompile(`whsec_[A-Za-z0-9+/=]{44}`)
	if out := ok(t, "events", "subscriptions", "create", "-f", path, "--server", s.URL); !made.MatchString(out) {
		t.Errorf("the secret is not shown: %s", out)
	}
	if out := ok(t, "events", "subscriptions", "create", "-f", path, "--server", s.URL, "--json"); made.MatchString(out) || !json.Valid([]byte(out)) {
		t.Errorf("again: %s", out)
	}
	if err := os.WriteFile(path, []byte("id: abroad\nhomes: [eu]\nsink: {region: us-east1, webhook: {url: 'https://hooks.example.com/x'}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, meridian(t, "events", "subscriptions", "create", "-f", path, "--server", s.URL), "RESIDENCY_REFUSED", "europe-west1")
	if made.MatchString(s.log.String()) {
		t.Error("the log has the secret")
	}
}

func TestServe_RefusesSinkFlagsThatMeanNothing(t *testing.T) {
	d := postgres(t)
	refused(t, meridian(t, "serve", "--listen", "127.0.0.1:0", "--database-url", d.URL, "--webhook-allow-private", "10.0.0.0/99"), "--webhook-allow-private", "10.0.0.0/99")
	refused(t, meridian(t, "serve", "--listen", "127.0.0.1:0", "--database-url", d.URL, "--events-dir", "/none/here"), "--events-dir", "no directory")
}
