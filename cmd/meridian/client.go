package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

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
func (f *clientFlags) open() (ledger.Service, id.Ledger, error) {
	name, err := id.ParseLedger(f.ledger)
	if err != nil {
		return nil, "", fmt.Errorf("--ledger: %w", err)
	}
	svc, err := f.service()
	return svc, name, err
}

func (f *clientFlags) service() (ledger.Service, error) {
	config, err := trusting(f.server, f.caFile)
	if err != nil {
		return nil, err
	}
	return rpc.NewClient(rpc.NewHTTPClient(config, false), f.server), nil
}

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
