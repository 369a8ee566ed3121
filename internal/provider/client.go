package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/attempt"
)

// Bounds on what a provider answers.
const (
	maxAnswer         = 64 << 10
	maxReference      = 200
	defaultDeskWait   = 10 * time.Second
	mostDeskWait      = time.Minute
	deskConnections   = 32
	pathOrders        = "/orders"
	headerIdempotency = "Idempotency-Key"
)

// DeskConfig says where orders are given to a provider.
type DeskConfig struct {
	URL     string        // orders go to URL/orders; https, or http to this machine
	Timeout time.Duration // of one question, from dialing to the last byte

	token []byte         // a bearer token; nil: none
	trust *x509.CertPool // who signs the provider's certificate; nil: whom the system trusts
}

// Client is a Desk over HTTP. It believes what is said in the provider's own words alone: an answer without a state, of a proxy or after a
// redirect, is an error, and so leaves open what happened. It is safe for concurrent use.
type Client struct {
	config DeskConfig
	http   *http.Client
}

var _ Desk = (*Client)(nil)

// NewClient returns a client.
func NewClient(c DeskConfig) *Client {
	return &Client{config: c, http: &http.Client{
		Timeout:       c.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: c.trust, MinVersion: tls.VersionTLS12}, MaxConnsPerHost: deskConnections, MaxIdleConnsPerHost: deskConnections,
			ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: c.Timeout, MaxResponseHeaderBytes: maxAnswer,
		},
	}}
}

// Submit implements Desk.
func (c *Client) Submit(ctx context.Context, key string, o Order) (OrderStatus, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return OrderStatus{}, fmt.Errorf("write an order down: %w", err)
	}
	return c.ask(ctx, http.MethodPost, pathOrders, key, body)
}

// Status implements Desk.
func (c *Client) Status(ctx context.Context, key string) (OrderStatus, error) {
	return c.ask(ctx, http.MethodGet, pathOrders+"/"+url.PathEscape(key), key, nil)
}

// Cancel implements Desk.
func (c *Client) Cancel(ctx context.Context, key string) (OrderStatus, error) {
	return c.ask(ctx, http.MethodDelete, pathOrders+"/"+url.PathEscape(key), key, nil)
}

func (c *Client) ask(ctx context.Context, method, path, key string, body []byte) (OrderStatus, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.config.URL+path, bytes.NewReader(body))
	if err != nil {
		return OrderStatus{}, fmt.Errorf("ask a provider: %w", err)
	}
	if body != nil {
		request.GetBody = nil // net/http repeats what has an idempotency key by itself where a connection breaks; we ask for the status first
	}
	request.Header.Set(headerIdempotency, key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	if c.config.token != nil {
		request.Header.Set("Authorization", "Bearer "+string(c.config.token))
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return OrderStatus{}, fmt.Errorf("ask a provider: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return OrderStatus{}, fmt.Errorf("read the answer of a provider: %w", err)
	}
	return readAnswer(answer.StatusCode, text)
}

// readAnswer takes from an answer what a provider says of an order. Statuses that also proxies send count only with a state that goes with them.
func readAnswer(status int, text []byte) (OrderStatus, error) {
	var s OrderStatus
	if len(text) > maxAnswer || json.Unmarshal(text, &s) != nil || !orderStates[s.State] {
		return OrderStatus{}, fmt.Errorf("a provider answered %d and no state of an order: %s", status, attempt.Brief(string(text)))
	}
	fits := false
	switch status {
	case http.StatusOK, http.StatusCreated, http.StatusAccepted:
		fits = s.State != OrderMissing
	case http.StatusNotFound:
		fits = s.State == OrderMissing
	case http.StatusPaymentRequired, http.StatusUnprocessableEntity:
		fits = s.State == OrderDeclined
	case http.StatusConflict:
		fits = s.State == OrderDone || s.State == OrderCancelled
	}
	if !fits || len(s.Reference) > maxReference || s.Reference != attempt.Brief(s.Reference) {
		return OrderStatus{}, fmt.Errorf("a provider answered %d, which does not go with the state %s", status, s.State)
	}
	if s.Cause != "" {
		s.Cause = attempt.Word(s.Cause)
	}
	return s, nil
}

// checkDeskURL says what is wrong with the place of orders, or "". Over http, everybody on the way could say that money has moved.
func checkDeskURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(text, "/"):
		return "write a base URL without a slash at its end, as in https://api.acme.example/v1"
	case u.User != nil:
		return "write the secret as token, not into the URL"
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	}
	return "write https; http is for this machine alone"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Desks returns where orders are given, by provider: a client for each account that has a place for them.
func (c Config) Desks() map[Name]Desk {
	desks := map[Name]Desk{}
	for name, a := range c.Accounts {
		if a.Orders != nil {
			desks[name] = NewClient(*a.Orders)
		}
	}
	return desks
}
