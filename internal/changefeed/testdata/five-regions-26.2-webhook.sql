-- Changefeeds of the journal for CockroachDB v26.2, to webhook-https://ledger.example.com:8443/cdc/v1/webhook?ca_cert=redacted.
-- Where it says redacted, apply puts what was given; --show-secrets shows it.

-- Before: an administrator runs what is missing of these.
-- changefeeds need rangefeeds, which are off in a new cluster of one's own; they cost 5 to 10 % of write latency.
--   SET CLUSTER SETTING kv.rangefeed.enabled = true;
-- may read the journal and make changefeeds of it.
--   GRANT SELECT, CHANGEFEED ON TABLE "ledger"."public"."journal" TO "meridian_cdc";
-- may make the external connection, and use those that it made.
--   GRANT SYSTEM EXTERNALCONNECTION TO "meridian_cdc";
-- gc.ttlseconds is how long a changefeed without protection may be away (14400 = 4 h); the job protects what it has not sent, except in its first moments.
--   SHOW ZONE CONFIGURATION FROM TABLE "ledger"."public"."journal";

-- What the options are for:
--   envelope: the row stands in after, beside its times; a query would have bare by itself, with the columns at the top and its times in __crdb__.
--   updated: when the row was committed, the same for all rows of a transaction; in the initial scan, when the scan read it.
--   mvcc_timestamp: when the row was committed, also in scans.
--   resolved: says up to which time everything was sent, so that a consumer can put transactions together.
--   min_checkpoint_frequency: resolved can not come more often than this, and after a restart at most so much is sent again.
--   initial_scan: what is in the journal already is sent first, in no order; consumers deduplicate by id, and a changefeed made anew loses nothing.
--   schema_change_policy: a new column does not send the whole journal again.
--   on_error: what can not be retried pauses the job, which keeps its place, instead of failing it.
--   gc_protect_expires_after: a paused job is cancelled when it has kept history from being collected for so long.
--   metrics_label: its metrics stand apart (changefeed.*{scope="meridian"}).
--   webhook_client_timeout: longer than our endpoint takes at most (8s), so that what is done is not posted again.
--   webhook_sink_config: posts at most so much at once, and again until it is taken.

-- To know:
--   Delivery is at least once, in order on no account: deduplicate by id, and order by the sequences in entries.
--   How far it is: SELECT job_id, status, now() - readable_high_water_timestamptz AS behind FROM [SHOW CHANGEFEED JOBS].
--   Entries on accounts of other homes stand in the row as well: what may not leave a home, take from the server, which redacts.
--   Each home has a changefeed of its own, so that a region that is down holds up its homes alone; whether the filter also keeps it from watching other regions, prove in a drill.
--   A query fixes its columns: a new one has to be added by making the changefeed anew. A row that was deleted comes with after = null and its key alone; the journal has none.
--   This version writes down every 30s how far each range is, so that less comes again after a restart.
--   SHOW CHANGEFEED JOBS needs no crdb_internal, which is closed by default in this version.
--   A cluster of several nodes without a licence is throttled seven days after its beginning; older builds refuse changefeeds with a sink.

-- the cluster keeps the URI with its secrets; changefeeds name the connection alone.
CREATE EXTERNAL CONNECTION "meridian_journal" AS 'webhook-https://ledger.example.com:8443/cdc/v1/webhook?ca_cert=redacted';

-- sends the rows of home apac from nodes in asia-northeast1, which it fails without.
CREATE CHANGEFEED INTO 'external://meridian_journal'
WITH envelope = 'wrapped',
    updated,
    mvcc_timestamp,
    resolved = '5s',
    min_checkpoint_frequency = '5s',
    initial_scan = 'yes',
    schema_change_policy = 'nobackfill',
    on_error = 'pause',
    gc_protect_expires_after = '72h',
    metrics_label = 'meridian',
    webhook_client_timeout = '10s',
    webhook_sink_config = '{"Flush":{"Messages":100,"Bytes":1048576,"Frequency":"100ms"},"Retry":{"Max":"inf","Backoff":"500ms"}}',
    execution_locality = 'region=asia-northeast1',
    webhook_auth_header = 'redacted'
AS SELECT home, ledger_id, id, idempotency_key, kind, outcome, reason, detail, entries, request, request_hash, reference, correlation_id, trace_id, target, reverses, effective_at, recorded_at
FROM "ledger"."public"."journal"
WHERE home = 'apac';

-- sends the rows of home eu from nodes in europe-west1, which it fails without.
CREATE CHANGEFEED INTO 'external://meridian_journal'
WITH envelope = 'wrapped',
    updated,
    mvcc_timestamp,
    resolved = '5s',
    min_checkpoint_frequency = '5s',
    initial_scan = 'yes',
    schema_change_policy = 'nobackfill',
    on_error = 'pause',
    gc_protect_expires_after = '72h',
    metrics_label = 'meridian',
    webhook_client_timeout = '10s',
    webhook_sink_config = '{"Flush":{"Messages":100,"Bytes":1048576,"Frequency":"100ms"},"Retry":{"Max":"inf","Backoff":"500ms"}}',
    execution_locality = 'region=europe-west1',
    webhook_auth_header = 'redacted'
AS SELECT home, ledger_id, id, idempotency_key, kind, outcome, reason, detail, entries, request, request_hash, reference, correlation_id, trace_id, target, reverses, effective_at, recorded_at
FROM "ledger"."public"."journal"
WHERE home = 'eu';

-- sends the rows of home us from nodes in us-east1, which it fails without.
CREATE CHANGEFEED INTO 'external://meridian_journal'
WITH envelope = 'wrapped',
    updated,
    mvcc_timestamp,
    resolved = '5s',
    min_checkpoint_frequency = '5s',
    initial_scan = 'yes',
    schema_change_policy = 'nobackfill',
    on_error = 'pause',
    gc_protect_expires_after = '72h',
    metrics_label = 'meridian',
    webhook_client_timeout = '10s',
    webhook_sink_config = '{"Flush":{"Messages":100,"Bytes":1048576,"Frequency":"100ms"},"Retry":{"Max":"inf","Backoff":"500ms"}}',
    execution_locality = 'region=us-east1',
    webhook_auth_header = 'redacted'
AS SELECT home, ledger_id, id, idempotency_key, kind, outcome, reason, detail, entries, request, request_hash, reference, correlation_id, trace_id, target, reverses, effective_at, recorded_at
FROM "ledger"."public"."journal"
WHERE home = 'us';
