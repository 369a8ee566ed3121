package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/cockroachdb"
)

const cockroachImage = "cockroachdb/cockroach:latest-v25.4"

// startContainer runs CockroachDB in Docker, pulling the image if it has to. The module's own reaper removes the container if this
// process dies.
func startContainer(ctx context.Context) (string, func() error, error) {
	container, err := cockroachdb.Run(ctx, cockroachImage, cockroachdb.WithInsecure())
	stop := func() error { return testcontainers.TerminateContainer(container) }
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("run CockroachDB in Docker: %w", err), stop())
	}
	raw, err := prepareContainer(ctx, container)
	if err != nil {
		return "", nil, errors.Join(fmt.Errorf("reach CockroachDB in Docker: %w", err), stop())
	}
	return raw, stop, nil
}

func prepareContainer(ctx context.Context, container *cockroachdb.CockroachDBContainer) (string, error) {
	config, err := container.ConnectionConfig(ctx)
	if err != nil {
		return "", err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `SET CLUSTER SETTING kv.rangefeed.enabled = true`); err != nil { // changefeeds want it
		return "", err
	}
	u := url.URL{
		Scheme: "postgresql", User: url.User(config.User), Host: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))),
		Path: "/" + config.Database, RawQuery: "sslmode=disable",
	}
	return u.String(), nil
}
