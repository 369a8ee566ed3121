package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// dockerLog in a directory says that its data are in a volume of Docker's.
	dockerLog   = "docker.log"
	dockerImage = "cockroachdb/cockroach:latest-v25.4"
	// dockerPatience is how long a daemon may take to answer before there is none.
	dockerPatience = 2 * time.Second
	pullTimeout    = 5 * time.Minute
)

// container is the nodes of a CockroachDB cluster inside of one Docker container, so that they reach each other on
// 127.0.0.1 as local ones do, and end together. The docker client stays in the foreground as a process of ours: it
// passes SIGTERM on, and the container removes itself when it ends.
type container struct {
	dir     string
	durable bool

	proc *process
}

// name is the container's and its volume's, the same for the same directory.
func (c *container) name() string {
	return fmt.Sprintf("meridian-%x", sha256.Sum256([]byte(c.dir)))[:21]
}

// docker keeps the whole environment: the client finds its daemon by DOCKER_HOST or by a context under HOME.
func (c *container) docker(args ...string) command {
	return command{name: "docker " + args[0], path: "docker", args: args, dir: c.dir, env: os.Environ()}
}

func (c *container) command(args ...string) command {
	return c.docker(append([]string{"exec", c.name(), "/cockroach/cockroach"}, args...)...)
}

func (c *container) processes() []*process { return []*process{c.proc} }

func (c *container) launch(ctx context.Context, nodes []node) error {
	// One that a crash left behind would hold the name; the directory is locked, so it is ours.
	if out, err := c.docker("rm", "--force", c.name()).run(ctx); err != nil && !strings.Contains(out, "No such container") {
		return fmt.Errorf("remove an earlier container: %w", err)
	}
	args := []string{"run", "--rm", "--name=" + c.name(), "--volume=" + c.name() + ":/data", "--entrypoint=/bin/sh"}
	for _, env := range cockroachEnv {
		args = append(args, "--env="+env)
	}
	for _, n := range nodes {
		args = append(args, "--publish="+n.address()+":"+strconv.Itoa(n.port))
	}
	args = append(args, dockerImage, "-c", c.script(nodes))
	run := c.docker(args...)
	run.name = "CockroachDB's container"
	var err error
	c.proc, err = spawn(run, filepath.Join(c.dir, dockerLog), syscall.SIGTERM)
	return err
}

// script runs the nodes and ends when it is told to or when one of them ends. It is process 1 of the container, so the
// kernel kills all others with it; CockroachDB's data can take that.
func (c *container) script(nodes []node) string {
	lines := []string{"trap 'exit 0' TERM INT"}
	for _, n := range nodes {
		store := "type=mem,size=1GiB"
		if c.durable {
			store = fmt.Sprintf("path=/data/node%d", n.index)
		}
		args := append(n.arguments(nodes, store, "0.0.0.0"), fmt.Sprintf("--log-dir=/data/log%d", n.index))
		lines = append(lines, "(/cockroach/cockroach "+strings.Join(args, " ")+"; kill -TERM 1) &")
	}
	return strings.Join(append(lines, "wait"), "\n")
}

func (c *container) kill() error {
	if c.proc == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), killWait)
	defer cancel()
	// The daemon's child, not ours: killing the client alone would leave it running.
	out, err := c.docker("rm", "--force", c.name()).run(ctx)
	if strings.Contains(out, "No such container") || strings.Contains(out, "already in progress") {
		err = nil
	}
	return errors.Join(err, c.proc.kill())
}

func (c *container) stop(keep bool) error {
	if c.proc == nil {
		return nil
	}
	if err := c.kill(); err != nil || keep {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), killWait)
	defer cancel()
	if _, err := c.docker("volume", "rm", "--force", c.name()).run(ctx); err != nil {
		return fmt.Errorf("remove the container's volume: %w", err)
	}
	return nil
}

// findDocker says why Docker cannot be used; pull allows it to fetch the image.
func findDocker(ctx context.Context, pull bool, progress func(string)) error {
	c := &container{}
	asked, cancel := context.WithTimeoutCause(ctx, dockerPatience, fmt.Errorf("no daemon answered within %s", dockerPatience))
	defer cancel()
	if _, err := c.docker("version", "--format={{.Server.Version}}").run(asked); err != nil {
		return err
	}
	if _, err := c.docker("image", "inspect", dockerImage).run(asked); err == nil {
		return nil
	}
	if !pull {
		return fmt.Errorf("the image %s is not here, and tests download nothing", dockerImage)
	}
	progress("CockroachDB: docker pull " + dockerImage)
	pulling, cancel := context.WithTimeoutCause(ctx, pullTimeout, fmt.Errorf("took longer than %s", pullTimeout))
	defer cancel()
	_, err := c.docker("pull", "--quiet", dockerImage).run(pulling)
	return err
}
