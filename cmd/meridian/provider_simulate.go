package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-ledger/meridian/internal/provider"
	"github.com/meridian-ledger/meridian/internal/provider/simulate"
)

type simulateFlags struct {
	server   string
	caFile   string
	cert     string
	key      string
	scheme   string
	secret   string
	secretEn string
	parallel int
	status   string
	dryRun   bool
	hold     bool
	profile  simulate.Profile
}

func simulateCommand() *cobra.Command {
	f := simulateFlags{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "simulate PROVIDER",
		Short: "Be a payment provider that misbehaves",
		Long: `It posts what happens to made-up payments to a server, signed as the scheme says: late, twice, out of order, never, against itself, or all at
once. What is not answered 2xx it posts again. The same seed makes the same script. examples/providers.yaml configures a server for its bodies.

With --status it also answers GET /status/REFERENCE with the truth, until it ends. There it takes orders as well: POST /orders, GET and DELETE /orders/KEY,
which are what orders in a file of providers asks for; --hold keeps it there when the script is over.`,
		Example: `  meridian provider simulate acme --scheme stripe --secret-file acme.secret --payments 100 --duplicate 0.2 --reorder 0.3
  meridian provider simulate acme --scheme standard-webhooks --secret-env ACME_SECRET --payments 4000 --callbacks 10000 --flood
  meridian provider simulate acme --scheme none --payments 3 --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := provider.ParseName(args[0])
			if err != nil {
				return err
			}
			return f.run(cmd.Context(), cmd.OutOrStdout(), name, asJSON)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.server, "server", "http://127.0.0.1:7070", "base URL of the server node to post to")
	flags.StringVar(&f.caFile, "ca-file", "", "PEM file with the authority of the server's certificate, where the system does not know it")
	flags.StringVar(&f.cert, "cert", "", "PEM file with a client certificate to show; with --key")
	flags.StringVar(&f.key, "key", "", "PEM file with the key of the client certificate")
	flags.StringVar(&f.scheme, "scheme", "stripe", "how to sign: stripe, standard-webhooks, adyen, or none")
	flags.StringVar(&f.secret, "secret-file", "", "file with the secret, as the file of providers names it")
	flags.StringVar(&f.secretEn, "secret-env", "", "environment variable with the secret, instead of a file")
	flags.IntVar(&f.parallel, "parallel", 64, "requests at once")
	flags.StringVar(&f.status, "status", "", "address to answer questions about payments at, as in 127.0.0.1:7171; left out: nowhere")
	flags.BoolVar(&f.hold, "hold", false, "go on answering at --status until it is interrupted")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the script, and post nothing")
	p := &f.profile
	flags.Uint64Var(&p.Seed, "seed", 1, "the same seed and profile make the same script")
	flags.IntVar(&p.Payments, "payments", 10, "how many payments there are")
	flags.IntVar(&p.Callbacks, "callbacks", 0, "most callbacks, without those that are posted again; 0: as many as the payments make")
	flags.DurationVar(&p.Spread, "spread", 5*time.Second, "in which the payments begin")
	flags.DurationVar(&p.Step, "step", time.Second, "time between two events of a payment")
	flags.DurationVar(&p.Delay, "delay", time.Second, "most from an event to its callback")
	flags.Float64Var(&p.Duplicate, "duplicate", 0, "share of events that are posted twice or three times")
	flags.Float64Var(&p.Reorder, "reorder", 0, "share of events that are posted after those that follow")
	flags.Float64Var(&p.Lose, "lose", 0, "share of events that are never posted")
	flags.Float64Var(&p.Contradict, "contradict", 0, "share of events that are followed by one that says something else")
	flags.BoolVar(&p.Flood, "flood", false, "post everything at one moment, in any order")
	flags.IntVar(&p.Batch, "batch", 1, "most events in one request, where the scheme has a form for several")
	flags.DurationVar(&p.RetryFor, "retry-for", time.Minute, "how long to post again what is not taken")
	flags.DurationVar(&p.RetryFirst, "retry-first", time.Second, "the first pause before that; it doubles")
	flags.DurationVar(&p.RetryLast, "retry-last", time.Minute, "the longest pause before that")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (f *simulateFlags) run(ctx context.Context, out io.Writer, name provider.Name, asJSON bool) error {
	if err := f.profile.Validate(); err != nil {
		return fmt.Errorf("--%w", err)
	}
	form, err := f.form()
	if err != nil {
		return err
	}
	if f.profile.Batch > 1 && !form.Many {
		return fmt.Errorf("--batch: a body of the scheme %s holds one event", form.Name)
	}
	script := simulate.Write(f.profile, nil)
	if f.dryRun {
		return printScript(out, script, asJSON)
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	if f.status != "" {
		listener, err := net.Listen("tcp", f.status)
		if err != nil {
			return fmt.Errorf("--status: %w", err)
		}
		answers, orders := http.NewServeMux(), &simulate.Orders{}
		answers.Handle("/status/", simulate.NewDesk(script, time.Now(), time.Now))
		answers.Handle("/orders", orders)
		answers.Handle("/orders/", orders)
		desk := &http.Server{Handler: answers, ReadHeaderTimeout: 5 * time.Second}
		go func() { _ = desk.Serve(listener) }() // until it is closed
		defer func() { _ = desk.Close() }()
	}
	url := strings.TrimSuffix(f.server, "/") + provider.Prefix + string(name) + provider.Suffix
	report, err := simulate.Play(ctx, script, simulate.Options{
		Profile: f.profile, Form: form, Parallel: f.parallel, Post: func(ctx context.Context, r simulate.Request) (int, error) { return post(ctx, client, url, r) },
	})
	if err != nil {
		return err
	}
	if err := printReport(out, script, report, asJSON); err != nil || !f.hold || f.status == "" {
		return err
	}
	<-ctx.Done()
	return nil
}

func post(ctx context.Context, client *http.Client, url string, r simulate.Request) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(r.Body))
	if err != nil {
		return 0, err
	}
	request.Header = r.Header
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body) // so that the connection can be used again
	return answer.StatusCode, err
}

// form reads the secret as the file of providers would.
func (f *simulateFlags) form() (simulate.Form, error) {
	if f.scheme == "none" {
		return simulate.Forms(nil)["none"], nil
	}
	if (f.secret == "") == (f.secretEn == "") {
		return simulate.Form{}, errors.New("name the secret with --secret-file or --secret-env, or sign nothing with --scheme none")
	}
	text, err := provider.System(provider.Source{File: f.secret, Env: f.secretEn})
	if err != nil {
		return simulate.Form{}, err
	}
	secret := text
	switch f.scheme {
	case "standard-webhooks":
		secret, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(string(text), "whsec_"))
	case "adyen":
		secret, err = hex.DecodeString(string(text))
	}
	if err != nil {
		return simulate.Form{}, fmt.Errorf("the secret is not of the kind that %s has", f.scheme)
	}
	form, known := simulate.Forms(secret)[f.scheme]
	if !known {
		return simulate.Form{}, fmt.Errorf("--scheme: %q is none; name stripe, standard-webhooks, adyen or none", f.scheme)
	}
	return form, nil
}

func (f *simulateFlags) client() (*http.Client, error) {
	config, err := trusting(f.server, f.caFile)
	if err != nil {
		return nil, err
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("load the client certificate: %w", err)
		}
		if config == nil {
			return nil, errors.New("--cert: a certificate is shown over https alone")
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: config, MaxIdleConns: f.parallel, MaxIdleConnsPerHost: f.parallel, MaxConnsPerHost: f.parallel},
	}, nil
}

func printScript(w io.Writer, s simulate.Script, asJSON bool) error {
	if asJSON {
		return printJSON(w, s)
	}
	for _, p := range s.Postings {
		for _, e := range p.Events {
			fmt.Fprintf(w, "%10s  %-13s  %-22s  %-20s  %s  %d %s\n", p.At.Round(time.Millisecond), p.Why, e.ID, e.Type, e.Payment, e.Amount, e.Currency)
		}
	}
	for _, e := range s.Lost {
		fmt.Fprintf(w, "%10s  %-13s  %-22s  %-20s  %s\n", "never", "lost", e.ID, e.Type, e.Payment)
	}
	return nil
}

func printReport(w io.Writer, s simulate.Script, r simulate.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			simulate.Report
			Events int `json:"events"`
			Lost   int `json:"lost"`
		}{r, len(s.Events), len(s.Lost)})
	}
	fmt.Fprintf(w, "%d events, %d of them lost on purpose\n%d requests in %s, %.0f taken a second: %d taken, %d not, %d given up\n",
		len(s.Events), len(s.Lost), r.Requests, r.Took.Round(time.Millisecond), r.Rate(), r.Taken, r.Refused, r.GivenUp)
	_, err := fmt.Fprintf(w, "answers took %s at the median, %s at p99\n", r.Median.Round(10*time.Microsecond), r.P99.Round(10*time.Microsecond))
	return err
}
