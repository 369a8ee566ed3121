package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/payment"
)

var update = flag.Bool("update", false, "write the golden files again")

// by says whose connections run a statement: they differ in how PostgreSQL plans.
type by uint8

const (
	writer by = iota
	reader
)

// plannedStatement is one on rows, the index that its rows are to be found by, and the columns that are to bound the search.
type plannedStatement struct {
	sql     string
	by      by
	index   string
	columns string
	args    []any
}

// planned is every statement on rows.
func planned(e db.Engine) map[string]plannedStatement {
	const (
		key     = "home ledger_id id"
		line    = "home ledger_id account_id sequence"
		account = "account_pkey"
		hold    = "hold_pkey"
		journal = "journal_pkey"
		entry   = "entry_pkey"
	)
	const (
		searched = "search_transaction_pkey"
		part     = "home ledger_id generation"
	)
	scan := []any{
		"eu", "brand", 1, someTimes[0], 0, someTimes[0].AddDate(5000, 0, 0), 0, 10, 7, someTexts, "posted", someTexts, "po_1", "c_1", `{"a": "b"}`,
	}
	names, ids := []any{someTexts, someTexts, someTexts}, []any{someTexts, someTexts, someIDs}
	and := func(key []any, more ...any) []any { return append(slices.Clone(key), more...) }
	return map[string]plannedStatement{
		"sqlLookupRecords":   {sqlLookupRecords, writer, journal, key, ids},
		"sqlLookupReversals": {sqlLookupReversals, writer, "journal_reverses", "home ledger_id reverses", ids},
		"lockAccounts":       {lockAccounts(e), writer, account, key, names},
		"lockHolds":          {lockHolds(e), writer, hold, key, ids},
		"sqlUpdateBalances":  {sqlUpdateBalances, writer, account, key, and(names, someTexts, someTexts, someTexts, someTexts, someNumbers, someTimes)},
		"sqlUpdateTerms":     {sqlUpdateTerms, writer, account, key, and(names, someTexts, someTexts, someTexts, []string{"{}"})},
		"sqlUpdateHolds":     {sqlUpdateHolds, writer, hold, key, and(ids, someTexts, someTexts)},
		"sqlInsertRecords": {sqlInsertRecords, writer, "", "", and(ids, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts,
			[][]byte{{1}}, someTexts, someTexts, someTexts, someIDs, someIDs, someTimes, someTimes)},
		"sqlInsertEntries": {sqlInsertEntries, writer, "", "", and(names, someNumbers, someTexts, someIDs, someNumbers, someTexts,
			someTexts, someTexts, someTexts, someTexts, someTimes, someTimes)},
		"sqlInsertAccounts": {sqlInsertAccounts, writer, "", "", and(names, someTexts, someNumbers, someTexts, someTexts, someTexts, someTexts, someTexts,
			someNumbers, someTexts, someTexts, someTexts, someTexts, someTimes, someTimes)},
		"sqlInsertHolds": {sqlInsertHolds, writer, "", "", and(ids, someTexts, someTexts, someTexts, someNumbers, someTexts, someTexts, someTexts, someTimes)},

		"sqlLookupAccounts":      {sqlLookupAccounts, reader, account, key, names},
		"sqlLookupHolds":         {sqlLookupHolds, reader, hold, key, ids},
		"sqlLookupHoldAccounts":  {sqlLookupHoldAccounts, reader, hold, key, ids},
		"sqlLookupEntries":       {sqlLookupEntries, reader, journal, key, ids},
		"sqlSelectAccount":       {sqlSelectAccount, reader, account, key, []any{"eu", "brand", "a"}},
		"sqlListAccounts":        {sqlListAccounts, reader, account, key, []any{"eu", "brand", "a", 10}},
		"sqlSumEntries":          {sqlSumEntries, reader, entry, line, []any{"eu", "brand", "a", 7}},
		"sqlSelectEntryState":    {sqlSelectEntryState, reader, entry, line, []any{"eu", "brand", "a", 7}},
		"sqlSelectRecordedAt":    {sqlSelectRecordedAt, reader, entry, line, []any{"eu", "brand", "a", 7}},
		"sqlListEntries":         {sqlListEntries, reader, entry, line, []any{"eu", "brand", "a", 1, 1000, 10}},
		"sqlListEntriesBackward": {sqlListEntriesBackward, reader, entry, line, []any{"eu", "brand", "a", 1, 1000, 10}},
		"sqlSelectRecord":        {sqlSelectRecord, reader, journal, key, []any{"eu", "brand", someIDs[0]}},
		"sqlSelectByReference":   {sqlSelectByReference, reader, "journal_reference", "home ledger_id reference", []any{"eu", "brand", "po_1", 10}},
		"sqlTrialBalance":        {sqlTrialBalance, reader, account, "home ledger_id", []any{"eu", "brand"}},
		"sqlExpiredHolds":        {sqlExpiredHolds, reader, "hold_expiry", "home expires_at", []any{"eu", 10}},

		"lockPayments":             {lockPayments(e), writer, "payment_pkey", key, ids},
		"lockPlayers":              {lockPlayers(e), writer, "player_pkey", key, names},
		"sqlLookupPayments":        {sqlLookupPayments, reader, "payment_pkey", key, ids},
		"sqlLookupPlayers":         {sqlLookupPlayers, reader, "player_pkey", key, names},
		"sqlUpdatePayments":        {sqlUpdatePayments, writer, "payment_pkey", key, and(ids, someTexts, someNumbers, someNumbers, someTexts, someTexts, []string{"{}"}, someTimes)},
		"sqlUpdatePlayers":         {sqlUpdatePlayers, writer, "player_pkey", key, and(names, someNumbers, []string{"{}"}, []string{"[]"}, someTimes)},
		"sqlInsertPayments":        {sqlInsertPayments, writer, "", "", and(ids, someTexts, someTexts, someNumbers, someNumbers, someTexts, someIDs, someTexts, someNumbers, someTexts, someTexts, []string{"{}"}, someTimes, someTimes)},
		"sqlInsertSteps":           {sqlInsertSteps, writer, "", "", and(ids, someNumbers, someIDs, someTexts, someTexts, someTexts, someTexts, someTexts, someTimes)},
		"sqlInsertPlayers":         {sqlInsertPlayers, writer, "", "", and(names, someNumbers, []string{"{}"}, []string{"[]"}, someTimes)},
		"sqlSelectPayment":         {sqlSelectPayment, reader, "payment_pkey", key, []any{"eu", "brand", someIDs[0]}},
		"sqlSelectPlayer":          {sqlSelectPlayer, reader, "player_pkey", key, []any{"eu", "brand", "p"}},
		"sqlPaymentsOfPlayer":      {sqlPaymentsOfPlayer, reader, "payment_player", "player home ledger_id", []any{"eu", "brand", "p", someTimes[0], someIDs[0], 10}},
		"sqlPaymentsInStateOldest": {sqlPaymentsInStateOldest, reader, "payment_standing", "state home ledger_id kind", []any{"eu", "brand", "bet", "accepted", someTimes[0], someIDs[0], 10}},
		"sqlPaymentsInState":       {sqlPaymentsInState, reader, "payment_standing", "state home ledger_id kind", []any{"eu", "brand", "bet", "accepted", someTimes[0], someIDs[0], 10}},
		"sqlTallyPayments":         {sqlTallyPayments, reader, "payment_standing", "state home ledger_id kind", []any{"eu", "brand", "bet", "accepted"}},
		"sqlPaymentsByReference":   {sqlPaymentsByReference, reader, "payment_reference", "home ledger_id provider_reference provider", []any{"eu", "brand", "psp", "r", 10}},
		"sqlListSteps":             {sqlListSteps, reader, "payment_step_pkey", "home ledger_id payment_id number", []any{"eu", "brand", someIDs[0], 0, 10}},
		"sqlExpiringPayments":      {sqlExpiringPayments, reader, "payment_expiry", "home kind", []any{"eu", "deposit", someTimes[0], someTimes[0], [16]byte{}, 10}},

		"sqlLookupAppended": {sqlLookupAppended, reader, "stream_transaction", "home ledger_id transaction_id", ids},
		"sqlAppend":         {sqlAppend, writer, "stream_pkey", "home position", []any{"eu", 1, someTexts, someIDs, "x"}},
		"sqlSelectEvents":   {sqlSelectEvents, reader, "stream_pkey", "home position", []any{"eu", 7, 10}},
		"sqlPositionOf":     {sqlPositionOf, reader, "stream_transaction", "home ledger_id transaction_id", []any{"eu", "brand", someIDs[0]}},
		"sqlAppendedAt":     {sqlAppendedAt, reader, "stream_pkey", "home position", []any{"eu", 7}},

		"sqlScanTime":                 {sqlScanTime, reader, searched, part, scan},
		"sqlScanTimeBackward":         {sqlScanTimeBackward, reader, searched, part, scan},
		"sqlScanReference":            {sqlScanReference, reader, "search_transaction_reference", part + " reference", scan},
		"sqlScanReferenceBackward":    {sqlScanReferenceBackward, reader, "search_transaction_reference", part + " reference", scan},
		"sqlScanAccount":              {sqlScanAccount, reader, "search_account_pkey", part + " account_id", and(scan, "a")},
		"sqlScanAccountBackward":      {sqlScanAccountBackward, reader, "search_account_pkey", part + " account_id", and(scan, "a")},
		"sqlRecordsAt":                {sqlRecordsAt, reader, journal, key, ids},
		"sqlInsertSearchTransactions": {sqlInsertSearchTransactions, writer, "", "", []any{"eu", 1, someTexts, someTimes, someNumbers, someIDs, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, []string{"{}"}}},
		"sqlInsertSearchAccounts":     {sqlInsertSearchAccounts, writer, "", "", []any{"eu", 1, someTexts, someTexts, someTimes, someNumbers}},
		"sqlKeepAccount":              {sqlKeepAccount, writer, "search_account_pkey", part, []any{"eu", "brand", 1, 10}},
		"sqlPurgeAccounts":            {sqlPurgeAccounts, writer, "search_account_pkey", part, []any{"eu", "brand", 1, "a", someTimes[0], 1}},
		"sqlPurgeLastAccounts":        {sqlPurgeLastAccounts, writer, "search_account_pkey", part, []any{"eu", "brand", 1}},
		"sqlKeepTransaction":          {sqlKeepTransaction, writer, searched, part, []any{"eu", "brand", 1, 10}},
		"sqlPurgeTransactions":        {sqlPurgeTransactions, writer, searched, part, []any{"eu", "brand", 1, someTimes[0], 1}},
		"sqlPurgeLastTransactions":    {sqlPurgeLastTransactions, writer, searched, part, []any{"eu", "brand", 1}},

		"sqlSelectDelivery": {sqlSelectDelivery, reader, "delivery_pkey", "home subscription_id position", []any{"eu", "s", 7}},
		"sqlInsertCallbacks": {sqlInsertCallbacks, writer, "", "", []any{
			"eu", someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someTimes, someTimes,
			[][]byte{{1}},
			someTexts, someTexts,
			[][]byte{{1}},
			someTexts, someTexts, someTexts,
		}},
		"sqlLookupMeanings": {sqlLookupMeanings, writer, "callback_pkey", "home ledger_id provider provider_event_id", []any{someTexts, someTexts, someTexts, someTexts}},
		"sqlSettleCallbacks": {sqlSettleCallbacks, writer, "callback_pkey", "home ledger_id provider provider_event_id", []any{
			someTexts, someTexts, someTexts, someTexts, someTexts, someTexts, someNumbers, someTimes, someTexts, someTexts, someTimes,
		}},
		"sqlSelectCallback": {sqlSelectCallback, reader, "callback_pkey", "home ledger_id provider provider_event_id", []any{"eu", "brand", "acme", "e"}},
		"sqlListCallbacks":  {sqlListCallbacks, reader, "callback_pkey", "home ledger_id provider", []any{"eu", "brand", "acme", "e", "", 10}},

		"sqlExplainReference":        {sqlExplainReference, reader, "journal_reference", "home ledger_id reference", and(names, 10)},
		"sqlExplainPaymentReference": {sqlExplainPaymentReference, reader, "payment_reference", "home ledger_id provider_reference", and(names, 10)},
		"sqlExplainTrace": {
			sqlExplainTrace, reader, "search_transaction_trace", part + " trace_id", []any{someTexts, someTexts, someNumbers, someTexts, 10},
		},
		"sqlExplainTargets":     {sqlExplainTargets, reader, "journal_target", "home ledger_id target", and(ids, 10)},
		"sqlExplainCallbacks":   {sqlExplainCallbacks, reader, "callback_payment", "home ledger_id order_key", and(names, 10)},
		"sqlExplainCallbacksAt": {sqlExplainCallbacksAt, reader, "callback_pkey", "home ledger_id provider provider_event_id", and(names, someTexts)},
		"sqlExplainCompared":    {sqlExplainCompared, reader, "recon_result_transaction", "home ledger_id transaction_id", and(ids, 10)},
		"sqlExplainLines":       {sqlExplainLines, reader, "recon_result_line", "home ledger_id reference", []any{"eu", "brand", "po_1", 10}},
		"sqlExplainPositions":   {sqlExplainPositions, reader, "stream_transaction", "home ledger_id transaction_id", ids},
		"sqlExplainDeliveries":  {sqlExplainDeliveries, reader, "delivery_pkey", "home subscription_id position", []any{someTexts, someTexts, someNumbers}},
		"sqlExplainProgress":    {sqlExplainProgress, reader, "progress_pkey", "home subscription_id", []any{someTexts, someTexts}},

		"sqlSelectStatement": {sqlSelectStatement, reader, "statement_pkey", key, []any{"eu", "brand", someIDs[0]}},
		"sqlSelectRun":       {sqlSelectRun, reader, "recon_run_pkey", key, []any{"eu", "brand", someIDs[0]}},
		"sqlListResults":     {sqlListResults, reader, "recon_result_pkey", "home ledger_id run_id attempt number", []any{"eu", "brand", someIDs[0], 1, 0, 10}},
		"sqlListResultsOf":   {sqlListResultsOf, reader, "recon_result_open", "home ledger_id run_id attempt verdict number", []any{"eu", "brand", someIDs[0], 1, 0, 10, "late"}},
		"sqlSelectDecided":   {sqlSelectDecided, reader, "recon_decision_once", "home ledger_id resolution_id", []any{"eu", "brand", someIDs[0]}},

		"sqlInsertSaga": {sqlInsertSaga, writer, "", "", []any{
			"eu", "brand", [16]byte{1}, "k", "f", "{}", "running", "s", 1, 0, "{}", "", "", "", someTimes[0], someTimes[0], someTimes[0], someTimes[0],
		}},
		"sqlInsertSagaLine": {sqlInsertSagaLine, writer, "", "", []any{"eu", "brand", [16]byte{1}, 1, "s", false, "e", "", "", "a", "", someTimes[0]}},
		"sqlSelectSaga":     {sqlSelectSaga, reader, "saga_pkey", "home ledger_id id", []any{"eu", "brand", [16]byte{1}}},
		"sqlAllSagas":       {sqlAllSagas, reader, "saga_pkey", "home ledger_id", []any{"eu", "brand", [16]byte{1}, 10}},
		"sqlListSagaLines":  {sqlListSagaLines, reader, "saga_step_pkey", "home ledger_id saga_id number", []any{"eu", "brand", [16]byte{1}, 0, 10}},
		"sqlPutDeliveries": {sqlPutDeliveries, writer, "", "", []any{
			"eu", "s", someNumbers, someTexts, someIDs, someTexts, someTexts, someNumbers, someTimes,
			someTexts, someTexts, someTimes,
		}},
	}
}

const (
	oneRow         = "one row a home, by its key"
	fewGenerations = "a row or two a home, by its key"
)

// harmless is how the table of leases, which has one row a home, is read inside other statements, and how arguments are held to the predicate of an index.
var harmless = regexp.MustCompile(`Seq Scan on relay|Filter: \(epoch = .*\)|filter: epoch = .*|table: relay@relay_pkey\n.*spans: FULL SCAN|` +
	`filter: unnest (!= ''|IS NOT NULL)\n`)

// unplanned are those that have no plan worth keeping, and why.
var unplanned = map[string]string{
	"sqlBeginLookup": "no rows", "sqlBegin": "no rows", "sqlCommit": "no rows", "sqlRollback": "no rows", "sqlNow": "no rows",
	"sqlAllWritten":   "a part of others",
	"sqlInsertLedger": "once a ledger", "sqlInsertAssets": "once a ledger",
	"sqlSelectLedger": "a small table", "sqlListLedgers": "a small table", "sqlHomes": "a small table",
	"sqlHolding": oneRow, "sqlInsertRelay": oneRow, "sqlLockFree": oneRow, "sqlTakeLease": oneRow, "sqlRenewLease": oneRow, "sqlReleaseLease": oneRow,
	"sqlServing": fewGenerations, "sqlSelectGenerations": fewGenerations, "sqlInsertGeneration": fewGenerations, "sqlServeGeneration": fewGenerations,
	"sqlAdvanceGeneration": fewGenerations, "sqlDeleteGeneration": fewGenerations, "sqlSelectServing": fewGenerations, "sqlLedgersOf": "a small table",
	"sqlFence": oneRow, "sqlHead": oneRow, "sqlHeads": oneRow,

	"sqlSelectSubscription": fewRows, "sqlSubscribed": fewRows, "sqlListSubscriptions": fewRows, "sqlSelectRevision": fewRows, "sqlSetHealth": fewRows,
	"sqlReviseSubscription": fewRows, "sqlTouchSubscription": fewRows, "sqlSelectSecrets": fewRows, "sqlSelectSecretIDs": fewRows,
	"sqlLockProgress": fewRows, "sqlUpdateProgress": fewRows, "sqlRecount": fewRows, "sqlInsertSubscription": fewRows, "sqlInsertSecrets": fewRows,
	"sqlInsertProgress": fewRows, "sqlDeleteSecrets": fewRows,
	"sqlInsertReplay": fewRows, "sqlSelectReplay": fewRows, "sqlRunningReplays": fewRows, "sqlListReplays": fewRows, "sqlAdvanceReplay": fewRows,
	"sqlCancelReplay": fewRows,
	"sqlSelectDue":    ofOne, "sqlDeleteDeliveries": ofOne, "sqlEventsAt": ofOne,
	"sqlSelectStanding": byOperators, "sqlListDeliveries": byOperators, "sqlCountDue": byOperators, "sqlRetryDeliveries": byOperators,
	"sqlOpenCallbacks": "two partial indexes of what is open, which is little", "sqlTallyOpenCallbacks": byOperators, "sqlTallyDeadCallbacks": byOperators,
	"sqlUpdateSaga": "one row by its key, where its version is the one that was read",
	"sqlDueSagas":   "a partial index of what is open, which is little", "sqlStandingSagas": byOperators, "sqlTallySagas": byOperators,
	"sqlListDeadCallbacks": byOperators, "sqlReplayCallbacks": byOperators, "sqlDiscardCallbacks": byOperators,
	"sqlScanLines": wholeReading, "sqlScanBooks": wholeReading,
	"sqlListStatements": byOperators, "sqlListRuns": byOperators, "sqlLatestRuns": byOperators,
	"sqlListMatched": byOperators, "sqlSelectResolution": byOperators, "sqlListResolutions": byOperators,
	"sqlInsertLines": wholeReading, "sqlInsertStatement": byOperators, "sqlInsertRun": byOperators, "sqlAttemptRun": byOperators, "sqlInsertResults": wholeReading,
	"sqlEndRun": byOperators, "sqlInsertResolution": byOperators, "sqlInsertDecision": byOperators,
	"sqlDiscardDeliveries": byOperators, "sqlTallyDeliveries": byOperators, "sqlForgetAhead": byOperators,
}

const (
	fewRows      = "a row a subscription, or a few"
	ofOne        = "on a table without statistics an engine reads all that the subscription, or the stream of the home, has"
	byOperators  = "asked by people, and twice a minute"
	wholeReading = "of a reconciliation, which reads and writes all that there is, sorted and in batches, off the pools of money"
)

var (
	someTexts   = []string{"a"}
	someIDs     = [][16]byte{{1}}
	someNumbers = []int64{1}
	someTimes   = []time.Time{{}}
)

func TestStatements_AreAllPlanned(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := planned(db.PostgreSQL)
	found := 4 // functions that make statements
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			for i := 0; ok && i < len(spec.Names); i++ {
				name := spec.Names[i].Name
				if !strings.HasPrefix(name, "sql") {
					continue
				}
				found++
				if _, known := all[name]; !known && unplanned[name] == "" {
					t.Errorf("%s: %s has no golden plan", file, name)
				}
			}
			return true
		})
	}
	if want := len(all) + len(unplanned); found != want {
		t.Errorf("%d statements in the code, %d in the lists", found, want)
	}
}

func TestStatements_ArePlannedByKeyOnAFreshDatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		write, err := d.DB.Writer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer write.Release()
		read, err := d.DB.Reader().Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer read.Release()
		explain, check := explainPostgreSQL, boundPostgreSQL
		if d.Engine == "cockroachdb" {
			explain, check = explainCockroachDB, boundCockroachDB
		}
		version := major(d.DB.Version)
		for name, p := range planned(d.DB.Engine) {
			conn := map[by]*pgx.Conn{writer: write.Conn(), reader: read.Conn()}[p.by]
			plan, err := explain(t.Context(), conn, p.sql, p.args)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if problem := check(plan, p.index, strings.Fields(p.columns)); problem != "" {
				t.Errorf("%s: %s\n%s", name, problem, plan)
			}
			golden(t, filepath.Join("testdata", "plans", d.Engine, name+".txt"), version, plan)
		}
	})
}

// major is the version that plans may differ by.
func major(version string) string {
	return regexp.MustCompile(`PostgreSQL \d+|CockroachDB.*? v\d+\.\d+`).FindString(version)
}

// golden holds a plan against the file, where that was written by the same version.
func golden(t *testing.T, file, version, plan string) {
	t.Helper()
	text := version + "\n" + plan + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Errorf("%v: run with -update", err)
		return
	}
	if before, _, _ := strings.Cut(string(want), "\n"); before != version {
		t.Logf("%s is of %s, and this is %s: only the use of keys is checked", file, before, version)
		return
	}
	if string(want) != text {
		t.Errorf("%s is stale: look whether the new plan is as good, then run with -update\n--- was\n%s--- is\n%s", file, want, text)
	}
}

func lines(ctx context.Context, conn *pgx.Conn, sql string, args ...any) (string, error) {
	rows, _ := conn.Query(ctx, sql, args...) // the error comes back from the collection
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	return strings.Join(all, "\n"), nil
}

// explainPostgreSQL plans as the connection does: writers once for all arguments, readers for those at hand.
func explainPostgreSQL(ctx context.Context, conn *pgx.Conn, sql string, args []any) (string, error) {
	var generic bool
	if err := conn.QueryRow(ctx, `SELECT current_setting('plan_cache_mode') = 'force_generic_plan'`).Scan(&generic); err != nil {
		return "", err
	}
	if !generic {
		return lines(ctx, conn, `EXPLAIN (COSTS OFF) `+sql, append([]any{pgx.QueryExecModeDescribeExec}, args...)...)
	}
	if _, err := conn.Exec(ctx, `PREPARE planned AS `+sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return "", err
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(args)), ", ")
	plan, err := lines(ctx, conn, `EXPLAIN (COSTS OFF) EXECUTE planned(`+nulls+`)`, pgx.QueryExecModeSimpleProtocol)
	_, _ = conn.Exec(ctx, `DEALLOCATE planned`, pgx.QueryExecModeSimpleProtocol)
	return plan, err
}

// boundPostgreSQL wants the rows to be reached by the index, with every column in its condition, and nothing to be read in another way.
func boundPostgreSQL(plan, index string, columns []string) string {
	if rest := harmless.ReplaceAllString(plan, ""); strings.Contains(rest, "Seq Scan") || strings.Contains(rest, "Filter:") {
		return "rows are read that are not wanted"
	}
	return inCondition(regexp.MustCompile(`using `+index+` on .*\n\s*Index Cond: .*`).FindString(plan), index, columns, `\("?%s"? [=<>]`)
}

func explainCockroachDB(ctx context.Context, conn *pgx.Conn, sql string, args []any) (string, error) {
	if _, err := conn.Exec(ctx, `SET index_recommendations_enabled = false`); err != nil {
		var unknown *pgconn.PgError
		if !errors.As(err, &unknown) {
			return "", err
		}
	} // a version that knows no recommendations makes none
	plan, err := lines(ctx, conn, `EXPLAIN `+sql, args...)
	return regexp.MustCompile(`'\d{4}-\d\d-\d\d [^']*'`).ReplaceAllString(plan, "now()"), err
}

// boundCockroachDB wants a look-up join by all columns of the index, or spans of it that name a value for each.
func boundCockroachDB(plan, index string, columns []string) string {
	if rest := harmless.ReplaceAllString(plan, ""); strings.Contains(rest, "FULL SCAN") || strings.Contains(rest, "filter:") {
		return "rows are read that are not wanted"
	}
	if join := regexp.MustCompile(`table: \w+@` + index + `\b.*\n.*equality: .*`).FindString(plan); join != "" {
		return inCondition(join, index, columns, `[(,]%s[,)]`)
	}
	spans := regexp.MustCompile(`(?:table: \w+@` + index + `\b.*|• delete range\n.*from: \w+)\n.*spans: \[([^ ]*) - ([^ ]*)\]`).FindStringSubmatch(plan)
	if len(columns) > 0 && (len(spans) == 0 || max(strings.Count(spans[1], "/"), strings.Count(spans[2], "/")) < len(columns)) {
		return "the search in " + index + " is not bounded by " + strings.Join(columns, ", ")
	}
	return ""
}

// inCondition wants each column in the condition of the index.
func inCondition(condition, index string, columns []string, form string) string {
	for _, column := range columns {
		if !regexp.MustCompile(fmt.Sprintf(form, column)).MatchString(condition) {
			return column + " does not bound the search in " + index
		}
	}
	return ""
}

// The timer of expiries finds payments in the states that its trigger leads out of, as the tables of payments have them, by an index of just these.
func TestExpiringPayments_AreInTheStatesOfTheTables(t *testing.T) {
	var want []string
	for _, table := range payment.Tables {
		for _, r := range table.Rules {
			for _, from := range r.From {
				if r.On == payment.Expire && !slices.Contains(want, string(from)) {
					want = append(want, string(from))
				}
			}
		}
	}
	slices.Sort(want)
	migration, err := os.ReadFile("../../schema/migrations/00009_expiry.sql")
	if err != nil {
		t.Fatal(err)
	}
	for name, sql := range map[string]string{"the statement": sqlExpiringPayments, "the index": string(migration)} {
		_, list, _ := strings.Cut(sql, "state IN (")
		list, _, _ = strings.Cut(list, ")")
		states := strings.Split(strings.ReplaceAll(list, "'", ""), ", ")
		if slices.Sort(states); !slices.Equal(states, want) {
			t.Errorf("%s has %v, and the tables %v", name, states, want)
		}
	}
}
