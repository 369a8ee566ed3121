package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// NodeOptions say which server node is wanted.
type NodeOptions struct {
	Binary      string // of meridian
	Dir         string // for its log
	Region      string
	Name        string   // of its log, where a region has several; empty: node-<region>
	DatabaseURL string   // goes through the environment: arguments are for everybody to read
	Port        int      // on 127.0.0.1; 0 takes a free one
	Args        []string // more flags of `meridian serve`
}

// Node is a server node, as a process of its own. Its methods may be called concurrently with the calls of its clients, not with each
// other.
type Node struct {
	URL    string // http://127.0.0.1:port
	Region string
	Log    string // file with what it wrote
	o      NodeOptions
	proc   *process
}

// StartNode starts a server node and returns when it is ready. The process can not outlive us.
func StartNode(ctx context.Context, o NodeOptions) (*Node, error) {
	for attempt := 1; ; attempt++ {
		n, err := startNode(ctx, o)
		if err == nil || o.Port != 0 || attempt == 5 || !portTaken(err) {
			return n, err
		}
	}
}

func startNode(ctx context.Context, o NodeOptions) (*Node, error) {
	port := o.Port
	if port == 0 {
		var err error
		if port, err = freePort(); err != nil {
			return nil, err
		}
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	name := "node-" + o.Region
	if o.Name != "" {
		name = o.Name
	}
	n := &Node{URL: "http://" + address, Region: o.Region, Log: filepath.Join(o.Dir, name+".log"), o: o}
	c := command{
		name: "the server node of " + o.Region, path: o.Binary, dir: o.Dir,
		args: append([]string{"serve", "--listen", address, "--region", o.Region}, o.Args...),
		env:  []string{"MERIDIAN_DATABASE_URL=" + o.DatabaseURL},
	}
	var err error
	if n.proc, err = spawn(c, n.Log, syscall.SIGTERM); err != nil {
		return nil, err
	}
	if err := untilReady(ctx, []*process{n.proc}, n.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the server node of %s: %w", o.Region, err), n.proc.kill())
	}
	return n, nil
}

// ready asks the node whether it wants traffic.
func (n *Node) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/readyz: %s", n.URL, response.Status)
	}
	return nil
}

// PID returns the process id.
func (n *Node) PID() int { return n.proc.cmd.Process.Pid }

// Kill ends the node with SIGKILL, as a crash would.
func (n *Node) Kill() error { return n.proc.kill() }

// drainWait is longer than a node takes to drain by default.
const drainWait = 25 * time.Second

// Stop lets the node drain. A node that is gone already is not an error.
func (n *Node) Stop() error { return n.proc.stop(step{syscall.SIGTERM, drainWait}) }
