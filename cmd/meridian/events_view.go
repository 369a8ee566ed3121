package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// standingView is what a script reads of a subscription.
type standingView struct {
	ID         string            `json:"id"`
	State      event.State       `json:"state"`
	Cause      string            `json:"cause,omitempty"`
	Homes      []id.Home         `json:"homes"`
	Filter     event.Filter      `json:"filter"`
	Sink       sinkView          `json:"sink"`
	Grants     []event.Grant     `json:"residency_grants,omitempty"`
	SecretIDs  []string          `json:"secret_ids,omitempty"`
	MadeSecret *secretView       `json:"made_secret,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Progress   []placeView       `json:"progress"`
	Revision   int64             `json:"revision"`
	CreatedAt  time.Time         `json:"created_at"`
	ChangedAt  time.Time         `json:"changed_at"`
}

type sinkView struct {
	Kind     string          `json:"kind"`
	Region   string          `json:"region,omitempty"`
	Settings json.RawMessage `json:"settings"`
}

type secretView struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

type placeView struct {
	Home      id.Home        `json:"home"`
	Position  event.Position `json:"position"`
	Head      event.Position `json:"head"`
	Behind    event.Position `json:"behind"`
	Delivered int64          `json:"delivered"`
	Due       int64          `json:"due"`
	Dead      int64          `json:"dead"`
	Oldest    *time.Time     `json:"oldest_undelivered,omitempty"`
}

func viewOfStanding(s event.Standing) standingView {
	v := standingView{
		ID: s.ID, State: s.State, Cause: s.Cause, Homes: s.Homes, Filter: s.Filter, Sink: sinkView(s.Sink), Grants: s.Grants, SecretIDs: s.SecretIDs,
		Metadata: s.Metadata, Progress: []placeView{}, Revision: s.Revision, CreatedAt: s.CreatedAt, ChangedAt: s.ChangedAt,
	}
	for _, p := range s.Places {
		place := placeView{
			Home: p.Home, Position: p.Position, Head: p.Head, Behind: max(p.Head-p.Position, 0), Delivered: p.Delivered, Due: p.Due, Dead: p.Dead,
		}
		if !p.Oldest.IsZero() {
			place.Oldest = &p.Oldest
		}
		v.Progress = append(v.Progress, place)
	}
	return v
}

func printStandings(w io.Writer, all []event.Standing, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(all, viewOfStanding))
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "id\tstate\tsink\thome\tposition\tbehind\tdue\tdead\n")
	for _, s := range all {
		for _, p := range viewOfStanding(s).Progress {
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\n", s.ID, s.State, s.Sink.Kind, p.Home, p.Position, p.Behind, p.Due, p.Dead)
		}
	}
	return out.Flush()
}

func printStanding(w io.Writer, s event.Standing, made *event.Secret, asJSON bool) error {
	v := viewOfStanding(s)
	if made != nil {
		v.MadeSecret = &secretView{made.ID, string(made.Value)}
	}
	if asJSON {
		return printJSON(w, v)
	}
	cause := ""
	if v.Cause != "" {
		cause = " (" + v.Cause + ")"
	}
	fmt.Fprintf(w, "%s is %s%s\n", v.ID, v.State, cause)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-9s %s\n", name, value)
		}
	}
	line("sink", strings.TrimSpace(v.Sink.Kind+" "+string(v.Sink.Settings)))
	line("region", v.Sink.Region)
	line("filter", filterText(v.Filter))
	for _, g := range v.Grants {
		line("grant", fmt.Sprintf("home %s for region %s: %s", g.Home, g.Region, g.Reason))
	}
	line("secrets", strings.Join(v.SecretIDs, ", "))
	for _, name := range slices.Sorted(maps.Keys(v.Metadata)) {
		line("metadata", name+"="+v.Metadata[name])
	}
	if made != nil {
		fmt.Fprintf(w, "\n  The server made the secret %q. It is shown this once; give it to the receiver:\n  %s\n", made.ID, made.Value)
	}
	fmt.Fprintln(w)
	out := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	fmt.Fprint(out, "  home\tposition\tbehind\tdelivered\tdue\tdead\toldest undelivered\n")
	for _, p := range v.Progress {
		oldest := "-"
		if p.Oldest != nil {
			oldest = p.Oldest.Format(time.RFC3339)
		}
		fmt.Fprintf(out, "  %s\t%d\t%d\t%d\t%d\t%d\t%s\n", p.Home, p.Position, p.Behind, p.Delivered, p.Due, p.Dead, oldest)
	}
	return out.Flush()
}

func filterText(f event.Filter) string {
	var parts []string
	add := func(name string, values []string) {
		if len(values) > 0 {
			parts = append(parts, name+" "+strings.Join(values, ", "))
		}
	}
	add("ledgers", texts(f.Ledgers))
	add("accounts", f.AccountPrefixes)
	add("types", texts(f.Types))
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, "; ")
}

func texts[T ~string](all []T) []string {
	out := make([]string, len(all))
	for i, t := range all {
		out[i] = string(t)
	}
	return out
}

func printTest(w io.Writer, name string, r event.TestResult, asJSON bool) error {
	switch {
	case asJSON:
		if err := printJSON(w, struct {
			Delivered bool    `json:"delivered"`
			Cause     string  `json:"cause,omitempty"`
			Detail    string  `json:"detail,omitempty"`
			Took      float64 `json:"took_ms"`
		}{r.Delivered, r.Cause, r.Detail, float64(r.Took.Microseconds()) / 1000}); err != nil {
			return err
		}
	case r.Delivered:
		fmt.Fprintf(w, "%s: delivered in %s\n", name, r.Took.Round(time.Millisecond))
	default:
		fmt.Fprintf(w, "%s: not delivered: %s: %s\n", name, r.Cause, r.Detail)
	}
	if !r.Delivered {
		return silent{code: 2}
	}
	return nil
}

// deliveryView is what a script reads of a delivery.
type deliveryView struct {
	Subscription string              `json:"subscription_id"`
	Home         id.Home             `json:"home"`
	Position     event.Position      `json:"position"`
	Ledger       id.Ledger           `json:"ledger"`
	Transaction  string              `json:"transaction_id"`
	State        event.DeliveryState `json:"state"`
	Attempts     int                 `json:"attempts"`
	DueAt        *time.Time          `json:"due_at,omitempty"`
	Cause        string              `json:"cause"`
	Detail       string              `json:"detail"`
	CreatedAt    time.Time           `json:"created_at"`
	ChangedAt    time.Time           `json:"changed_at"`
	Event        json.RawMessage     `json:"event,omitempty"`
}

func viewOfDelivery(d event.Delivery, body json.RawMessage) deliveryView {
	v := deliveryView{
		Subscription: d.Subscription, Home: d.Home, Position: d.Position, Ledger: d.Ledger, Transaction: d.Transaction.String(), State: d.State,
		Attempts: d.Attempts, Cause: d.Cause, Detail: d.Detail, CreatedAt: d.CreatedAt, ChangedAt: d.ChangedAt, Event: body,
	}
	if d.State == event.Due {
		v.DueAt = &d.DueAt
	}
	return v
}

func printDeliveries(w io.Writer, all []event.Delivery, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(all, func(d event.Delivery) deliveryView { return viewOfDelivery(d, nil) }))
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "home\tposition\tstate\tattempts\tcause\tchanged\ttransaction\tdetail\n")
	for _, d := range all {
		fmt.Fprintf(out, "%s\t%d\t%s\t%d\t%s\t%s\t%s/%s\t%s\n", d.Home, d.Position, d.State, d.Attempts, d.Cause, d.ChangedAt.UTC().Format(time.RFC3339),
			d.Ledger, d.Transaction, d.Detail)
	}
	return out.Flush()
}

// replayView is what a script reads of a replay.
type replayView struct {
	ID           string         `json:"id"`
	Subscription string         `json:"subscription_id"`
	Home         id.Home        `json:"home"`
	First        event.Position `json:"first"`
	Last         event.Position `json:"last"`
	Position     event.Position `json:"position"`
	PerSecond    int            `json:"per_second"`
	State        string         `json:"state"`
	Reason       string         `json:"reason"`
	CreatedAt    time.Time      `json:"created_at"`
	ChangedAt    time.Time      `json:"changed_at"`
}

func viewOfReplay(r event.Replay) replayView {
	return replayView{r.ID, r.Subscription, r.Home, r.First, r.Last, r.Position, r.PerSecond, r.State, r.Reason, r.CreatedAt, r.ChangedAt}
}

func printReplays(w io.Writer, all []event.Replay, asJSON bool) error {
	if asJSON {
		return printJSON(w, viewsOf(all, viewOfReplay))
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(out, "id\thome\tstate\tfirst\tlast\tposition\ta second\treason\n")
	for _, r := range all {
		fmt.Fprintf(out, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s\n", r.ID, r.Home, r.State, r.First, r.Last, r.Position, r.PerSecond, r.Reason)
	}
	return out.Flush()
}
