package rpc

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meridian-ledger/meridian/internal/errs"
	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
	"github.com/meridian-ledger/meridian/proto/meridian/ledger/v1/ledgerv1connect"
)

func TestListEvents_PagesAndSaysHowFarItLooked(t *testing.T) {
	stream := newMemoryStream(t)
	for range 250 {
		stream.credit("acc_42")
	}
	stream.credit("acc_43")
	base := serveEvents(t, stream, nil)
	onEach(t, func(t *testing.T, s surface) {
		c := s.events(t, base)
		var seen []event.Position
		for after := event.Position(0); ; {
			page, next, head, err := c.Events(t.Context(), "eu", event.Filter{}, after, 120)
			if err != nil || head != 251 || len(page) > 120 {
				t.Fatalf("%d events, head %d: %v", len(page), head, err)
			}
			for _, e := range page {
				seen = append(seen, e.Position)
			}
			if next == after {
				break
			}
			after = next
		}
		for i, p := range seen {
			if p != event.Position(i+1) {
				t.Fatalf("the %d-th is at %d", i+1, p)
			}
		}
		page, next, _, err := c.Events(t.Context(), "eu", event.Filter{AccountPrefixes: []string{"acc_43"}}, 0, 10)
		if err != nil || len(seen) != 251 || len(page) != 1 || page[0].Position != 251 || next != 251 {
			t.Errorf("%d seen; of acc_43 %v, next %d: %v", len(seen), page, next, err)
		}
	})
}

func TestListEvents_ReadsABoundedRangeForAFilterThatWantsLittle(t *testing.T) {
	stream := newMemoryStream(t)
	record := stream.credit("acc_42").Record
	for range listScan + 500 {
		stream.append(record)
	}
	c := surfaces[0].events(t, serveEvents(t, stream, nil))
	page, next, head, err := c.Events(t.Context(), "eu", event.Filter{AccountPrefixes: []string{"nobody"}}, 0, 10)
	if err != nil || len(page) != 0 || next != listScan || head != listScan+501 {
		t.Errorf("%v, next %d, head %d: %v", page, next, head, err)
	}
	large, next, _, err := c.Events(t.Context(), "eu", event.Filter{}, 0, 1000)
	if err != nil || len(large) != 1000 || next != 1000 {
		t.Errorf("%d events, next %d: %v", len(large), next, err)
	}
}

func TestEvents_RefuseWhatTheyDoNotKnow(t *testing.T) {
	stream := newMemoryStream(t)
	stream.credit("acc_42")
	base := serveEvents(t, stream, func(o *Options) { o.Homes = []id.Home{"eu", "new"} })
	onStreams(t, func(t *testing.T, s surface) {
		c := s.events(t, base)
		for home, want := range map[id.Home]error{"eu": nil, "us": nil, "new": nil, "mars": errs.ErrHomeNotFound} { // with events, with a ledger, in the topology
			_, _, _, err := c.Events(t.Context(), home, event.Filter{}, 0, 1)
			if !errors.Is(err, want) {
				t.Errorf("the events of %s: %v", home, err)
			}
			l := listenTo(t, c, Subscriber{Home: home, Now: true})
			if _, err, _ := l.next(); !errors.Is(err, want) {
				t.Errorf("subscribe to %s: %v", home, err)
			}
		}
		if err := listenTo(t, c, Subscriber{Home: "eu", After: 2}).end(); errs.Of(err).Fields["field"] != "after" || errs.Of(err).Code != errs.InvalidArgument {
			t.Errorf("beyond the head: %v", err)
		}
		if _, _, _, err := c.Events(t.Context(), "eu", event.Filter{}, 2, 1); errs.Of(err).Fields["field"] != "after" {
			t.Errorf("the list beyond the head: %v", err)
		}
		_, _, err := c.Create(t.Context(), event.NewSubscription{ID: "s", Homes: []id.Home{"mars"}, Sink: webhookTo("https://x.example")})
		if !errors.Is(err, errs.ErrHomeNotFound) {
			t.Errorf("a subscription to no home: %v", err)
		}
	})
}

func webhookTo(url string) event.SinkSpec {
	return event.SinkSpec{Kind: "webhook", Settings: []byte(`{"url":"` + url + `","timeout":"2.500s","parallel":3,"headers":{"X-A":"b"}}`)}
}

// Every row is one thing that is wrong with a request that is right otherwise.
func TestEvents_InvalidInputEndsAtTheEdge(t *testing.T) {
	stream := newMemoryStream(t)
	c := ledgerv1connect.NewEventServiceClient(httpClient(t, false), serveEvents(t, stream, nil))
	ctx := t.Context()
	create := func(change func(*ledgerv1.CreateSubscriptionRequest)) error {
		m := &ledgerv1.CreateSubscriptionRequest{
			Id: "payouts", Homes: []string{"eu"}, Sink: &ledgerv1.Sink{Kind: &ledgerv1.Sink_Webhook{Webhook: &ledgerv1.WebhookSink{Url: "https://x.example"}}},
		}
		change(m)
		_, err := c.CreateSubscription(ctx, connect.NewRequest(m))
		return err
	}
	update := func(m *ledgerv1.UpdateSubscriptionRequest) error {
		_, err := c.UpdateSubscription(ctx, connect.NewRequest(m))
		return err
	}
	subscribe := func(change func(*ledgerv1.SubscribeRequest)) error {
		m := &ledgerv1.SubscribeRequest{Home: "eu", From: &ledgerv1.SubscribeRequest_Now{Now: true}}
		change(m)
		out, err := c.Subscribe(ctx, connect.NewRequest(m))
		if err != nil {
			return err
		}
		defer out.Close()
		if out.Receive() {
			return nil
		}
		return out.Err()
	}
	list := func(m *ledgerv1.ListDeliveriesRequest) error {
		_, err := c.ListDeliveries(ctx, connect.NewRequest(m))
		return err
	}
	retry := func(m *ledgerv1.DeliverySelection) error {
		_, err := c.RetryDeliveries(ctx, connect.NewRequest(&ledgerv1.RetryDeliveriesRequest{Selection: m}))
		return err
	}
	replay := func(m *ledgerv1.StartReplayRequest) error {
		_, err := c.StartReplay(ctx, connect.NewRequest(m))
		return err
	}
	nine := make([]*ledgerv1.Secret, 9)
	for i := range nine {
		nine[i] = &ledgerv1.Secret{Id: fmt.Sprint(i), Value: "x"}
	}
	for _, row := range []struct {
		field string
		err   error
	}{
		{"home", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Home = "" })},
		{"home", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Home = "EU" })},
		{"from", subscribe(func(m *ledgerv1.SubscribeRequest) { m.From = nil })},
		{"now", subscribe(func(m *ledgerv1.SubscribeRequest) { m.From = &ledgerv1.SubscribeRequest_Now{} })},
		{"after", subscribe(func(m *ledgerv1.SubscribeRequest) { m.From = &ledgerv1.SubscribeRequest_After{After: -1} })},
		{"since", subscribe(func(m *ledgerv1.SubscribeRequest) {
			m.From = &ledgerv1.SubscribeRequest_Since{Since: &timestamppb.Timestamp{Nanos: -1}}
		})},
		{"heartbeat", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Heartbeat = durationpb.New(time.Millisecond) })},
		{"heartbeat", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Heartbeat = durationpb.New(time.Hour) })},
		{"filter.types[0]", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Filter = &ledgerv1.EventFilter{Types: []string{"no.such"}} })},
		{"filter.ledgers[1]", subscribe(func(m *ledgerv1.SubscribeRequest) { m.Filter = &ledgerv1.EventFilter{Ledgers: []string{"a", "B"}} })},
		{"id", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Id = "Payouts" })},
		{"homes", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Homes = nil })},
		{"homes[1]", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Homes = []string{"eu", "eu"} })},
		{"sink", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Sink = nil })},
		{"sink", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Sink = &ledgerv1.Sink{Region: "x"} })},
		{"sink.webhook", create(func(m *ledgerv1.CreateSubscriptionRequest) {
			m.Sink.GetWebhook().Timeout = &durationpb.Duration{Seconds: 1, Nanos: -1}
		})},
		{"secrets[0]", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Secrets = []*ledgerv1.Secret{{Id: "a"}} })},
		{"secrets", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Secrets = nine })},
		{"beginning", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.From = &ledgerv1.CreateSubscriptionRequest_Beginning{} })},
		{"residency_grants[0].reason", create(func(m *ledgerv1.CreateSubscriptionRequest) {
			m.ResidencyGrants = []*ledgerv1.ResidencyGrant{{Home: "eu", Region: "us-east1"}}
		})},
		{"metadata", create(func(m *ledgerv1.CreateSubscriptionRequest) { m.Metadata = map[string]string{"": "x"} })},
		{"id", update(&ledgerv1.UpdateSubscriptionRequest{Id: "payouts"})},
		{"sink", update(&ledgerv1.UpdateSubscriptionRequest{Id: "payouts", Sink: &ledgerv1.Sink{}})},
		{"add_secrets[0]", update(&ledgerv1.UpdateSubscriptionRequest{Id: "payouts", AddSecrets: []*ledgerv1.Secret{{Value: "x"}}})},
		{"subscription_id", list(&ledgerv1.ListDeliveriesRequest{})},
		{"state", list(&ledgerv1.ListDeliveriesRequest{SubscriptionId: "payouts", State: 77})},
		{"page_size", list(&ledgerv1.ListDeliveriesRequest{SubscriptionId: "payouts", PageSize: 1001})},
		{"page_token", list(&ledgerv1.ListDeliveriesRequest{SubscriptionId: "payouts", PageToken: "!"})},
		{"page_token", list(&ledgerv1.ListDeliveriesRequest{SubscriptionId: "payouts", PageToken: nameToken("eu/0")})},
		{"selection.subscription_id", retry(nil)},
		{"selection.home", retry(&ledgerv1.DeliverySelection{SubscriptionId: "payouts"})},
		{"selection.positions[0]", retry(&ledgerv1.DeliverySelection{SubscriptionId: "payouts", Home: "eu", Positions: []int64{0}})},
		{"selection.positions", retry(&ledgerv1.DeliverySelection{SubscriptionId: "payouts", Home: "eu", Positions: make([]int64, 1001)})},
		{"selection.cause", retry(&ledgerv1.DeliverySelection{SubscriptionId: "payouts", Home: "eu", Positions: []int64{1}, Cause: "timeout"})},
		{"id", replay(&ledgerv1.StartReplayRequest{})},
		{"first", replay(&ledgerv1.StartReplayRequest{Id: "a", SubscriptionId: "payouts", Home: "eu", First: -1})},
		{"per_second", replay(&ledgerv1.StartReplayRequest{Id: "a", SubscriptionId: "payouts", Home: "eu", PerSecond: -1})},
	} {
		field := errs.Of(fromWire(ctx, row.err)).Fields["field"]
		if connect.CodeOf(row.err) != connect.CodeInvalidArgument || field != row.field && !strings.HasPrefix(field, row.field+".") && !strings.HasPrefix(field, row.field+"[") {
			t.Errorf("%s: %v (field %s)", row.field, row.err, field)
		}
	}
	if err := create(func(*ledgerv1.CreateSubscriptionRequest) {}); err != nil {
		t.Errorf("what is right: %v", err)
	}
}

func TestListDeliveries_TokensLeadThroughAllOfThem(t *testing.T) {
	stream := newMemoryStream(t)
	ops := &operators{}
	c := ledgerv1connect.NewEventServiceClient(httpClient(t, false), serveEvents(t, stream, func(o *Options) { o.Events = ops }))
	for _, size := range []int32{0, 7, 999, 1000} {
		count, token := 0, ""
		for {
			m, err := c.ListDeliveries(t.Context(), connect.NewRequest(&ledgerv1.ListDeliveriesRequest{SubscriptionId: "payouts", PageSize: size, PageToken: token}))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range m.Msg.GetDeliveries() {
				if count++; d.GetPosition() != int64(count) || d.GetState() != ledgerv1.DeliveryState_DELIVERY_STATE_DEAD {
					t.Fatalf("the %d-th is %v", count, d)
				}
			}
			if ops.page.Limit > maxPage {
				t.Fatalf("a limit of %d", ops.page.Limit)
			}
			if token = m.Msg.GetNextPageToken(); token == "" {
				break
			}
		}
		if count != 2500 {
			t.Errorf("pages of %d lead through %d of 2500", size, count)
		}
	}
}

// What sinks are set to comes out as it went in, over every wire form.
func TestSinks_KeepTheirSettings(t *testing.T) {
	stream := newMemoryStream(t)
	ops := &operators{}
	base := serveEvents(t, stream, func(o *Options) { o.Events = ops })
	onEach(t, func(t *testing.T, s surface) {
		for _, sink := range []event.SinkSpec{
			webhookTo("https://x.example/a?b=<c>"),
			{Kind: "kafka", Region: "eu-1", Settings: []byte(`{"brokers":["a:9092"],"topic":"t","tls":true,"sasl":"plain","user":"u"}`)},
			{Kind: "nats", Settings: []byte(`{"servers":["nats://a:4222"],"subject_prefix":"p"}`)},
			{Kind: "file", Settings: []byte(`{"directory":"d","format":"FILE_FORMAT_PARQUET","batch":10,"linger":"1.500s"}`)},
		} {
			got, _, err := s.events(t, base).Create(t.Context(), event.NewSubscription{ID: "s", Homes: []id.Home{"eu"}, Sink: sink})
			if err != nil || string(got.Sink.Settings) != string(sink.Settings) || got.Sink.Kind != sink.Kind || got.Sink.Region != sink.Region {
				t.Errorf("%s came back as %s: %v", sink.Settings, got.Sink.Settings, err)
			}
			if string(ops.created.Sink.Settings) != string(sink.Settings) {
				t.Errorf("%s is stored as %s", sink.Settings, ops.created.Sink.Settings)
			}
		}
	})
}

const secretText = "whsec_c2VjcmV0LXRoYXQtbm9ib2R5LW1heS1zZWU="

func TestSecrets_ReachNeitherTheLogNorAnAnswer(t *testing.T) {
	stream := newMemoryStream(t)
	log := &records{}
	ops := &operators{}
	base := serveEvents(t, stream, func(o *Options) { o.Events, o.Log = ops, log.logger() })
	good := `{"id":"payouts","homes":["eu"],"sink":{"webhook":{"url":"https://x.example","headers":{"Authorization":"%[1]s"}}},"secrets":[{"id":"a","value":"%[1]s"}]}`
	for i, body := range []string{
		good, strings.Replace(good, `"payouts"`, `"Payouts"`, 1), // read, and refused by the parser
		`{"id":"payouts","secrets":["%s"]}`, `{"id":"payouts","secrets":"%s"}`, `{"id":"payouts","secrets":[{"id":"a","value":%s}]}`,
		`{"id":"payouts","secrets":[{"id":"a","value":{"%s":1}}]}`, `{"id":"payouts","secrets":[{"%s":"a"}]}`, `{"id":"payouts","secrets":[{"id":"a","value":"%s\q"}]}`,
		`{"id":"payouts","sink":{"webhook":{"headers":"%s"}}}`, `{"id":"payouts","sink":{"kafka":{"tls":"%s"}}}`, `%s`,
	} {
		ops.err = nil
		if i == 0 {
			ops.err = errs.ErrInternal.Because(errors.New("pgx: duplicate key"))
		}
		for _, method := range []string{"CreateSubscription", "UpdateSubscription"} {
			text := body
			if strings.Contains(body, "%") {
				text = fmt.Sprintf(body, secretText)
			}
			trace := fmt.Sprintf("secret-%d-%s", i, method)
			r := send(t, "POST", base+ours+"EventService/"+method, []byte(text), "Content-Type", "application/json", headerTrace, trace)
			if r.status == 200 {
				t.Errorf("%s: %d %s", text, r.status, r.body)
			}
			line := log.line(t, trace)
			for _, said := range []string{string(r.body), fmt.Sprint(line)} {
				if strings.Contains(said, "c2VjcmV0") {
					t.Errorf("%s is told: %s", text, said)
				}
			}
			if r.status == 400 && r.refusal(t).field == "" {
				t.Errorf("%s: no field in %s", text, r.body)
			}
		}
	}
	for _, l := range log.all() {
		if strings.Contains(l, "c2VjcmV0") {
			t.Errorf("the log says %s", l)
		}
	}
	r := send(t, "POST", base+ours+"EventService/CreateSubscription", []byte(`{"ident":"x"}`), "Content-Type", "application/json")
	if got := r.refusal(t); got.field != "body" || !strings.Contains(got.message, `unknown field "ident"`) {
		t.Errorf("a field that is misspelt: %s", r.body)
	}
}

func FuzzPlace(f *testing.F) {
	f.Add(place{"eu", 42}.String())
	f.Add("")
	f.Add("ZXUvMDE")
	f.Fuzz(func(t *testing.T, token string) {
		p := &parser{}
		l := p.place(token)
		if p.err != nil {
			return
		}
		if _, err := id.ParseHome(string(l.home)); err != nil || l.position < 1 || l.String() != token {
			t.Fatalf("%q lets %+v through", token, l)
		}
	})
}

func FuzzEvents_Never5xx(f *testing.F) {
	f.Add([]byte(`{"id":"payouts","homes":["eu"],"sink":{"webhook":{"url":"https://x.example","timeout":"1s"}},"secrets":[{"id":"a","value":"b"}]}`))
	f.Add([]byte(`{"id":"payouts","homes":["eu"],"sink":{"file":{"format":"FILE_FORMAT_PARQUET","linger":"-1s"}},"since":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"sink":null}`))
	stream := newMemoryStream(f)
	base := serveEvents(f, stream, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		if r := send(t, "POST", base+ours+"EventService/CreateSubscription", body, "Content-Type", "application/json"); r.status >= 500 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	})
}
