package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/rpc"
)

// clientFlags are how a tool reaches a server.
type clientFlags struct {
	server string
	caFile string
	ledger string
}

func (f *clientFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "http://127.0.0.1:7070", "base URL of a server node")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with the authority of the server's certificate, where the system does not know it")
	flags.StringVar(&f.ledger, "ledger", "", "the set of books")
}

// open returns a client and the ledger, which has to be named.
func (f *clientFlags) open() (ledger.Service, id.Ledger, error) { return reach(f, newService) }

// newService is rpc.NewClient for those who know the ledger as a Service only.
func newService(client connect.HTTPClient, server string, options ...connect.ClientOption) ledger.Service {
	return rpc.NewClient(client, server, options...)
}

// reach makes a client of the server, and reads the ledger, which has to be named.
func reach[T any](f *clientFlags, client clientOf[T]) (c T, name id.Ledger, err error) {
	if name, err = id.ParseLedger(f.ledger); err != nil {
		return c, "", fmt.Errorf("--ledger: %w", err)
	}
	config, err := trusting(f.server, f.caFile)
	if err != nil {
		return c, "", err
	}
	return client(rpc.NewHTTPClient(config, false), f.server), name, nil
}

// clientOf is how package rpc makes clients.
type clientOf[T any] func(client connect.HTTPClient, server string, options ...connect.ClientOption) T

// trusting returns the TLS configuration of a client of a server, or nil where the server is reached in clear.
func trusting(server, caFile string) (*tls.Config, error) {
	if !strings.HasPrefix(server, "https://") {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return config, nil
	}
	pem, err := os.ReadFile(caFile) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	return config, nil
}
