package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/yamltree"
)

// setting is how a field of a sink is written in a file, and under which name and in which form its settings have it.
type setting struct {
	name string // in the settings; empty: as in the file
	read func(*subscriptionReader, ast.Node, string) any
}

// sinkSettings are the fields of each kind of sink, as the proto file has them.
var sinkSettings = map[string]map[string]setting{
	"webhook": {
		"url": {read: textSetting}, "timeout": {read: durationSetting}, "parallel": {read: numberSetting}, "headers": {read: pairsSetting},
		"ca_file": {name: "ca_pem", read: fileSetting},
	},
	"kafka": {
		"brokers": {read: listSetting}, "topic": {read: textSetting}, "tls": {read: truthSetting}, "ca_file": {name: "ca_pem", read: fileSetting},
		"sasl": {read: textSetting}, "user": {read: textSetting},
	},
	"nats": {
		"servers": {read: listSetting}, "subject_prefix": {read: textSetting}, "ca_file": {name: "ca_pem", read: fileSetting}, "user": {read: textSetting},
	},
	"file": {
		"directory": {read: textSetting}, "format": {read: formatSetting}, "batch": {read: numberSetting}, "linger": {read: durationSetting},
	},
}

func (r *subscriptionReader) sink(n ast.Node) event.SinkSpec {
	fields, _ := r.Fields(n, "sink", nil, append([]string{"region"}, event.SinkKinds...))
	s := event.SinkSpec{}
	if node, there := fields["region"]; there {
		s.Region = r.text(node, "sink.region")
	}
	for _, kind := range event.SinkKinds {
		node, there := fields[kind]
		switch {
		case !there:
		case s.Kind != "":
			r.Complain(node, "a sink is of one kind; make a subscription for each")
		default:
			s.Kind, s.Settings = kind, r.settings(node, kind)
		}
	}
	if s.Kind == "" {
		r.Complain(n, "sink does not say where events go; add %s", strings.Join(event.SinkKinds, ", or "))
	}
	return s
}

func (r *subscriptionReader) settings(n ast.Node, kind string) json.RawMessage {
	known := sinkSettings[kind]
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	fields, _ := r.Fields(n, kind, nil, names)
	settings := map[string]any{}
	for name, node := range fields {
		as := known[name].name
		if as == "" {
			as = name
		}
		settings[as] = known[name].read(r, node, kind+"."+name)
	}
	text, err := json.Marshal(settings)
	if err != nil {
		r.Complain(n, "%s can not be written as JSON", kind)
	}
	return text
}

func textSetting(r *subscriptionReader, n ast.Node, what string) any { return r.text(n, what) }

func listSetting(r *subscriptionReader, n ast.Node, what string) any { return r.texts(n, what) }

func pairsSetting(r *subscriptionReader, n ast.Node, what string) any { return r.pairs(n, what) }

func numberSetting(r *subscriptionReader, n ast.Node, what string) any {
	digits, ok := yamltree.Number(n)
	if !ok || strings.Contains(digits, ".") || len(digits) > 9 {
		r.Complain(n, "%s is %s; write a whole number", what, yamltree.Describe(n))
		return 0
	}
	return json.Number(digits)
}

func truthSetting(r *subscriptionReader, n ast.Node, what string) any {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.Complain(n, "%s is %s; write true or false", what, yamltree.Describe(n))
		return false
	}
	return b.Value
}

// durationSetting writes seconds, which is the only unit that the settings have.
func durationSetting(r *subscriptionReader, n ast.Node, what string) any {
	text := r.text(n, what)
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		r.Complain(n, "%s is %s; write a time with its unit, as in 10s", what, yamltree.Describe(n))
		return "0s"
	}
	return fmt.Sprintf("%d.%09ds", d/time.Second, d%time.Second)
}

func formatSetting(r *subscriptionReader, n ast.Node, what string) any {
	switch text := r.text(n, what); text {
	case "ndjson", "parquet":
		return "FILE_FORMAT_" + strings.ToUpper(text)
	default:
		r.Complain(n, "%s is %s; write ndjson or parquet", what, yamltree.Describe(n))
		return ""
	}
}

// fileSetting reads a file of certificates, which are no secret.
func fileSetting(r *subscriptionReader, n ast.Node, what string) any {
	path := r.beside(r.text(n, what))
	info, err := os.Stat(path)
	if err != nil || info.Size() > event.MaxSettings {
		r.Complain(n, "%s names no file of certificates that can be read", what)
		return ""
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		r.Complain(n, "%s: %v", what, err)
	}
	return string(text)
}
