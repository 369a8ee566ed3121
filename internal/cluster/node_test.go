package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// nodeRole makes the test binary play a server node: package cluster knows of one only how it is started, asked and ended.
const nodeRole = "MERIDIAN_CLUSTER_TEST_NODE"

func init() {
	if os.Getenv(nodeRole) != "" {
		playNode(os.Args[1:])
	}
}

// playNode takes the arguments of `meridian serve`, and a word more that says how it behaves.
func playNode(args []string) {
	value := func(flag string) string { return args[slices.Index(args, flag)+1] }
	fmt.Println("node of", value("--region"), "starts")
	if slices.Contains(args, "--broken") {
		fmt.Println("the database has no schema")
		os.Exit(1)
	}
	listener, err := net.Listen("tcp", value("--listen"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGTERM)
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if slices.Contains(args, "--never-ready") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/database", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, os.Getenv("MERIDIAN_DATABASE_URL"))
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("hanging")
		<-r.Context().Done()
	})
	go func() { _ = http.Serve(listener, mux) }()
	<-over
	fmt.Println("drained")
	os.Exit(0)
}

// nodeBinary is a program that plays a node. The environment of a node is minimal, so the role is in the program.
func nodeBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "meridian")
	script := "#!/bin/sh\n" + nodeRole + "=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func tryNode(t *testing.T, o NodeOptions) (*Node, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if o.Binary == "" {
		o.Binary = nodeBinary(t)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Region == "" {
		o.Region = "europe-west1"
	}
	n, err := StartNode(ctx, o)
	if err == nil {
		t.Cleanup(func() { _ = n.Kill() })
	}
	return n, err
}

func startedNode(t *testing.T, o NodeOptions) *Node {
	t.Helper()
	n, err := tryNode(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}

// wantGone: no process has the id, not even a dead one that nobody has reaped.
func wantGone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func logOf(t *testing.T, n *Node) string {
	t.Helper()
	text, err := os.ReadFile(n.Log)
	if err != nil {
		t.Fatalf("the log is not kept: %v", err)
	}
	return string(text)
}

func TestNode_StopLetsItDrain(t *testing.T) {
	n := startedNode(t, NodeOptions{})
	get(t, n.URL+"/readyz")
	pid := n.PID()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, pid)
	if log := logOf(t, n); log != "node of europe-west1 starts\ndrained\n" {
		t.Errorf("the log says %q", log)
	}
	if err := errors.Join(n.Stop(), n.Kill()); err != nil {
		t.Errorf("a node that is gone is no error: %v", err)
	}
}

func TestNode_KillIsACrash(t *testing.T) {
	n := startedNode(t, NodeOptions{})
	pid, cut := n.PID(), make(chan error, 1)
	go func() {
		response, err := http.Get(n.URL + "/hang")
		if err == nil {
			response.Body.Close()
		}
		cut <- err
	}()
	eventually(t, "a call is in flight", func() bool { return strings.Contains(logOf(t, n), "hanging") })
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, pid)
	if err := <-cut; err == nil {
		t.Error("a call in flight was answered by a node that was killed")
	}
	if log := logOf(t, n); strings.Contains(log, "drained") || !strings.Contains(log, "starts") {
		t.Errorf("the log says %q", log)
	}
	if err := errors.Join(n.Kill(), n.Stop()); err != nil {
		t.Errorf("a node that is gone is no error: %v", err)
	}
}

func TestNode_TheDatabaseURLIsForTheNodeAlone(t *testing.T) {
	const url = "postgresql://meridian:s3cret-of-the-node@127.0.0.1:1/ledger"
	n := startedNode(t, NodeOptions{DatabaseURL: url})
	if got := get(t, n.URL+"/database"); got != url {
		t.Errorf("the node got %q", got)
	}
	if found := mentioning(t, "s3cret-of-the-node"); len(found) > 0 {
		t.Errorf("everybody can read it: %q", found)
	}
	if strings.Contains(logOf(t, n), "s3cret") {
		t.Error("the log shows it")
	}
}

func TestStartNode_SaysWhyANodeDied(t *testing.T) {
	started := time.Now()
	_, err := tryNode(t, NodeOptions{Args: []string{"--broken"}})
	if err == nil {
		t.Fatal("a node that died was ready")
	}
	for _, want := range []string{"the server node of europe-west1", "exit status 1", "the database has no schema"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q in it", err, want)
		}
	}
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("it took %s: a death has to end the wait", took)
	}
}

func TestStartNode_LeavesNothingBehindWhenItGivesUp(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := StartNode(ctx, NodeOptions{Binary: nodeBinary(t), Dir: dir, Region: "asia", Args: []string{"--never-ready"}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v: want the deadline and the last answer", err)
	}
	if found := mentioning(t, dir); len(found) > 0 {
		t.Errorf("still there: %q", found)
	}
}

func TestStartNode_APortThatIsTakenIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	number, _ := strconv.Atoi(port)
	// Who listens there accepts and never answers, as a program that is no node might.
	if _, err := tryNode(t, NodeOptions{Port: number}); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v: want the reason", err)
	}
}

func TestStartNode_SeveralAtOnceOnPortsOfTheirOwn(t *testing.T) {
	binary, dir := nodeBinary(t), t.TempDir()
	var mu sync.Mutex
	urls := map[string]string{}
	var starting sync.WaitGroup
	for _, region := range []string{"eu", "us", "apac"} {
		starting.Go(func() {
			n, err := tryNode(t, NodeOptions{Binary: binary, Dir: dir, Region: region})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			urls[n.URL] = n.Log
		})
	}
	starting.Wait()
	if len(urls) != 3 {
		t.Errorf("three nodes share addresses: %v", urls)
	}
	for _, log := range urls {
		if filepath.Dir(log) != dir {
			t.Errorf("log %s is not in %s", log, dir)
		}
	}
}

func TestNode_ALogIsContinuedByTheNextRun(t *testing.T) {
	o := NodeOptions{Binary: nodeBinary(t), Dir: t.TempDir()}
	first := startedNode(t, o)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	second := startedNode(t, o)
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	if log := logOf(t, second); strings.Count(log, "drained") != 2 {
		t.Errorf("the log of both runs says %q", log)
	}
}
