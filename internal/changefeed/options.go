package changefeed

import (
	"strings"

	"github.com/meridian-ledger/meridian/internal/topology"
)

// options are those of every changefeed of a plan, except for where it runs and its secret.
func options(o Options) []Option {
	all := []Option{
		{"envelope", "wrapped", "the row stands in after, beside its times; a query would have bare by itself, with the columns at the top and its times in __crdb__"},
		{"updated", "", "when the row was committed, the same for all rows of a transaction; in the initial scan, when the scan read it"},
		{"mvcc_timestamp", "", "when the row was committed, also in scans"},
		{"resolved", "5s", "says up to which time everything was sent, so that a consumer can put transactions together"},
		{"min_checkpoint_frequency", "5s", "resolved can not come more often than this, and after a restart at most so much is sent again"},
		{"initial_scan", "yes", "what is in the journal already is sent first, in no order; consumers deduplicate by id, and a changefeed made anew loses nothing"},
		{"schema_change_policy", "nobackfill", "a new column does not send the whole journal again"},
		{"on_error", "pause", "what can not be retried pauses the job, which keeps its place, instead of failing it"},
		{"gc_protect_expires_after", "72h", "a paused job is cancelled when it has kept history from being collected for so long"},
		{"metrics_label", "meridian", "its metrics stand apart (changefeed.*{scope=\"meridian\"})"},
	}
	switch o.Sink.Kind {
	case Kafka:
		all = append(all,
			Option{"key_in_value", "", "the primary key is in the message as well, also of a row that was deleted"},
			Option{"kafka_sink_config", `{"RequiredAcks":"ALL","Flush":{"MaxMessages":1000,"Frequency":"100ms"}}`, "a message counts when all replicas have it; the default asks one"},
		)
	case Webhook:
		all = append(all,
			Option{"webhook_client_timeout", "10s", "longer than our endpoint takes at most (8s), so that what is done is not posted again"},
			Option{"webhook_sink_config", `{"Flush":{"Messages":100,"Bytes":1048576,"Frequency":"100ms"},"Retry":{"Max":"inf","Backoff":"500ms"}}`, "posts at most so much at once, and again until it is taken"},
		)
	case External: // what is behind it is not known, and a sink refuses options of another
	}
	return all
}

// with renders the options of one changefeed.
func with(o Options, region topology.Region, header string) string {
	all := options(o)
	if region != "" {
		all = append(all, Option{Name: "execution_locality", Value: "region=" + string(region)})
	}
	if header != "" {
		all = append(all, Option{Name: "webhook_auth_header", Value: header})
	}
	texts := make([]string, len(all))
	for i, option := range all {
		texts[i] = option.Name
		if option.Value != "" {
			texts[i] += " = " + topology.Literal(option.Value)
		}
	}
	return strings.Join(texts, ",\n    ")
}

func preconditions(o Options) []Step {
	role := o.Role
	if role == "" {
		role = "meridian_cdc"
	}
	to := topology.Ident(role)
	all := []Step{
		{SQL: "SET CLUSTER SETTING kv.rangefeed.enabled = true", Why: "changefeeds need rangefeeds, which are off in a new cluster of one's own; they cost 5 to 10 % of write latency"},
		{SQL: "GRANT SELECT, CHANGEFEED ON TABLE " + table(o.Database) + " TO " + to, Why: "may read the journal and make changefeeds of it"},
	}
	switch {
	case o.Sink.Kind == External:
		all = append(all, Step{SQL: "GRANT USAGE ON EXTERNAL CONNECTION " + topology.Ident(o.Sink.hosts) + " TO " + to, Why: "may send to what the connection names"})
	case !o.Inline:
		all = append(all, Step{SQL: "GRANT SYSTEM EXTERNALCONNECTION TO " + to, Why: "may make the external connection, and use those that it made"})
	}
	return append(all, Step{
		SQL: "SHOW ZONE CONFIGURATION FROM TABLE " + table(o.Database),
		Why: "gc.ttlseconds is how long a changefeed without protection may be away (14400 = 4 h); the job protects what it has not sent, except in its first moments",
	})
}

var (
	readableHighWater = topology.Version{Year: 25, Release: 1}
	persistsFrontier  = topology.Version{Year: 25, Release: 4}
	strictInternals   = topology.Version{Year: 26, Release: 1}
	shortBackoff      = topology.Version{Year: 26, Release: 2}
)

func atLeast(v, than topology.Version) bool {
	return v.Year > than.Year || v.Year == than.Year && v.Release >= than.Release
}

// notes say what an operator of a version has to know.
func notes(o Options) []string {
	lag := "SELECT job_id, status, high_water_timestamp FROM [SHOW CHANGEFEED JOBS]"
	if atLeast(o.Version, readableHighWater) {
		lag = "SELECT job_id, status, now() - readable_high_water_timestamptz AS behind FROM [SHOW CHANGEFEED JOBS]"
	}
	all := []string{
		"Delivery is at least once, in order on no account: deduplicate by id, and order by the sequences in entries.",
		"How far it is: " + lag + ".",
		"Entries on accounts of other homes stand in the row as well: what may not leave a home, take from the server, which redacts.",
	}
	if len(o.Targets) > 0 {
		all = append(all, "Each home has a changefeed of its own, so that a region that is down holds up its homes alone; whether the filter also keeps it from "+
			"watching other regions, prove in a drill.",
			"A query fixes its columns: a new one has to be added by making the changefeed anew. A row that was deleted comes with after = null and its key alone; "+
				"the journal has none.")
	}
	if atLeast(o.Version, persistsFrontier) {
		all = append(all, "This version writes down every 30s how far each range is, so that less comes again after a restart.")
	} else {
		all = append(all, "Pause changefeeds before a rolling restart: this version sends again what came since the last checkpoint.")
	}
	if atLeast(o.Version, persistsFrontier) && !atLeast(o.Version, shortBackoff) {
		all = append(all, "Leave min_checkpoint_frequency above 0: in this version 0 stops resolved times.")
	}
	if atLeast(o.Version, strictInternals) {
		all = append(all, "SHOW CHANGEFEED JOBS needs no crdb_internal, which is closed by default in this version.")
	}
	if !atLeast(o.Version, shortBackoff) {
		all = append(all, "After an outage of the sink the job may wait up to 10 min before it tries again (changefeed.max_retry_backoff).")
	}
	if o.Sink.Kind == External {
		all = append(all, "What is behind the connection is not known here: options of its kind (kafka_sink_config, webhook_sink_config) are left out.")
	}
	return append(all, "A cluster of several nodes without a licence is throttled seven days after its beginning; older builds refuse changefeeds with a sink.")
}
