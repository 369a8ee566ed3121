package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// A subscription as a person writes it: examples/subscription.yaml has every field. Secrets and certificates are named by where they are.

var subscriptionKind = yamltree.Kind{Noun: "subscription", Fields: "id, homes and sink"}

// readSubscription reads the file at path. Variables of the environment are looked up with env.
func readSubscription(path string, env func(string) (string, bool)) (event.NewSubscription, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return event.NewSubscription{}, fmt.Errorf("read the subscription: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, yamltree.MaxBytes+1)) // one byte more than Parse takes: an endless file is refused by its size
	if err != nil {
		return event.NewSubscription{}, fmt.Errorf("read the subscription %s: %w", path, err)
	}
	return parseSubscription(path, data, env)
}

func parseSubscription(path string, data []byte, env func(string) (string, bool)) (event.NewSubscription, error) {
	tree, root, err := yamltree.Parse(filepath.Base(path), data, subscriptionKind)
	if err != nil {
		return event.NewSubscription{}, err
	}
	r := &subscriptionReader{Reader: tree, dir: filepath.Dir(path), env: env}
	if root == nil {
		return event.NewSubscription{}, r.Err()
	}
	n := r.subscription(root)
	return n, r.Err()
}

// subscriptionReader turns the tree of a file into a subscription.
type subscriptionReader struct {
	*yamltree.Reader
	dir string // of the file: what it names is beside it
	env func(string) (string, bool)
}

func (r *subscriptionReader) subscription(root ast.Node) event.NewSubscription {
	fields, _ := r.Fields(root, "a subscription", []string{"id", "homes", "sink"}, []string{"from", "filter", "secrets", "residency_grants", "metadata"})
	n := event.NewSubscription{}
	for name, node := range fields {
		switch name {
		case "id":
			n.ID = r.text(node, "id")
		case "homes":
			for _, home := range r.texts(node, "homes") {
				n.Homes = append(n.Homes, id.Home(home))
			}
		case "sink":
			n.Sink = r.sink(node)
		case "from":
			n.Start = r.start(node)
		case "filter":
			n.Filter = r.filter(node)
		case "secrets":
			n.Secrets = r.secrets(node)
		case "residency_grants":
			n.Grants = r.grants(node)
		case "metadata":
			n.Metadata = ledger.Metadata(r.pairs(node, "metadata"))
		}
	}
	return n
}

func (r *subscriptionReader) text(n ast.Node, what string) string {
	s, ok := yamltree.Scalar(n)
	_, isMapping := yamltree.Pairs(n)
	switch {
	case isMapping:
		r.Complain(n, "%s is a mapping to YAML; put it in quotes", what)
	case !ok || s == "":
		r.Complain(n, "%s is %s; write a text", what, yamltree.Describe(n))
	}
	return s
}

func (r *subscriptionReader) texts(n ast.Node, what string) []string {
	var all []string
	for i, node := range r.List(n, what) {
		all = append(all, r.text(node, fmt.Sprintf("%s[%d]", what, i)))
	}
	return all
}

func (r *subscriptionReader) pairs(n ast.Node, what string) map[string]string {
	pairs, ok := yamltree.Pairs(n)
	if !ok {
		r.Complain(n, "%s is %s; write names and values", what, yamltree.Describe(n))
		return nil
	}
	all := map[string]string{}
	for _, pair := range pairs {
		name, isText := yamltree.Scalar(pair.Key)
		if _, twice := all[name]; !isText || twice {
			r.Complain(pair.Key, "%s has %s twice, or it is no text", what, yamltree.Describe(pair.Key))
			continue
		}
		value, isText := yamltree.Scalar(pair.Value)
		if !isText {
			r.Complain(pair.Value, "a value of %s is %s; write a text", what, yamltree.Describe(pair.Value))
		}
		all[name] = value
	}
	return all
}

func (r *subscriptionReader) start(n ast.Node) event.Start {
	text := r.text(n, "from")
	switch text {
	case "now":
		return event.Start{}
	case "beginning":
		return event.Start{Beginning: true}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.Complain(n, "from is %s; write now, beginning, or a time such as 2026-11-20T10:00:00Z", yamltree.Describe(n))
	}
	return event.Start{Since: at}
}

func (r *subscriptionReader) filter(n ast.Node) event.Filter {
	fields, _ := r.Fields(n, "filter", nil, []string{"ledgers", "account_prefixes", "types"})
	f := filterFlags{}
	for name, into := range map[string]*[]string{"ledgers": &f.ledgers, "account_prefixes": &f.accounts, "types": &f.types} {
		if node, there := fields[name]; there {
			*into = r.texts(node, "filter."+name)
		}
	}
	return f.filter()
}

func (r *subscriptionReader) grants(n ast.Node) []event.Grant {
	var all []event.Grant
	for _, node := range r.List(n, "residency_grants") {
		if fields, ok := r.Fields(node, "a residency grant", []string{"home", "region", "reason"}, nil); ok {
			all = append(all, event.Grant{
				Home: id.Home(r.text(fields["home"], "home")), Region: r.text(fields["region"], "region"), Reason: r.text(fields["reason"], "reason"),
			})
		}
	}
	return all
}

// secrets reads where secrets are: a value in the file itself would end in a repository.
func (r *subscriptionReader) secrets(n ast.Node) []event.Secret {
	var all []event.Secret
	for _, node := range r.List(n, "secrets") {
		fields, ok := r.Fields(node, "a secret", []string{"id"}, []string{"value_from_env", "value_from_file"})
		if !ok {
			continue
		}
		variable, fromEnv := fields["value_from_env"]
		path, fromFile := fields["value_from_file"]
		if fromEnv == fromFile {
			r.Complain(node, "a secret has either value_from_env, the name of a variable, or value_from_file, a path")
			continue
		}
		s := event.Secret{ID: r.text(fields["id"], "id")}
		if fromEnv {
			name := r.text(variable, "value_from_env")
			value, set := r.env(name)
			if !set || value == "" {
				r.Complain(variable, "the variable %s is not set; set it to the secret", yamltree.Describe(variable))
			}
			s.Value = []byte(value)
		} else {
			value, err := readSecret(r.beside(r.text(path, "value_from_file")))
			if err != nil {
				r.Complain(path, "%v", err)
			}
			s.Value = value
		}
		all = append(all, s)
	}
	return all
}

func (r *subscriptionReader) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

// maxSecretFile is more than a secret may have.
const maxSecretFile = 8 << 10

// readSecret reads a file that holds a secret and nothing else; the line end that editors add is not part of it.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	defer f.Close()
	value, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, fmt.Errorf("read a secret: %w", err)
	}
	if value = []byte(strings.TrimRight(string(value), "\r\n")); len(value) == 0 || len(value) > maxSecretFile {
		return nil, fmt.Errorf("%s is empty or too large for a secret", path)
	}
	return value, nil
}
