package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/recon"
	"github.com/meridian-ledger/meridian/internal/recon/statement"
)

// sqlSeedJournal writes movements of the provider into the journal, as the owner and without the groups that would take their time.
const sqlSeedJournal = `
INSERT INTO journal (home, ledger_id, id, idempotency_key, kind, outcome, entries, request, request_hash, reference, effective_at, recorded_at)
SELECT 'eu', 'brand', ('00000000-0000-8000-8000-' || lpad(i::text, 12, '0'))::uuid, 'k' || i::text, 'debit', 'posted',
    ('[{"account":"psp:clearing","sequence":1,"amount":"-' || (100 + i % 10000)::text || '","balance":"0"},{"account":"suspense","sequence":1,"amount":"' ||
        (100 + i % 10000)::text || '","balance":"0"}]')::jsonb,
    ('{"kind":"debit","amount":{"minor_units":"' || (100 + i % 10000)::text || '","currency":"EUR"},"reference":"ref-' || (i * 7919 % 1000003)::text || '"}')::jsonb,
    'x', 'ref-' || (i * 7919 % 1000003)::text, $1::timestamptz + (i % 8) * INTERVAL '1 day', $1::timestamptz
FROM generate_series($2::int8, $3::int8) AS i`

// sqlSeedPayments writes deposits of the provider that were authorized, captured and settled, likewise: of each three rows of the journal, three lines of
// history, and the payment.
var sqlSeedPayments = []string{`
INSERT INTO journal (home, ledger_id, id, idempotency_key, kind, outcome, entries, request, request_hash, target, detail, effective_at, recorded_at)
SELECT 'eu', 'brand', (s.prefix || lpad(i::text, 12, '0'))::uuid, s."on" || i::text, 'step', 'posted',
    CASE s."on" WHEN 'authorize' THEN '[]' ELSE '[{"account":"psp:clearing","sequence":1,"amount":"-' || (100 + i % 10000)::text ||
        '","balance":"0"},{"account":"suspense","sequence":1,"amount":"' || (100 + i % 10000)::text || '","balance":"0"}]' END::jsonb,
    '{"kind":"step"}'::jsonb, 'x', CASE s."on" WHEN 'authorize' THEN NULL ELSE ('00000000-0000-8000-8000-' || lpad(i::text, 12, '0'))::uuid END,
    ('{"step":{"provider_reference":"ref-' || (i * 7919 % 1000003)::text || '"}}')::jsonb, $1::timestamptz + (i % 8) * INTERVAL '1 day', $1::timestamptz
FROM generate_series($2::int8, $3::int8) AS i,
    (VALUES ('authorize', '00000000-0000-8000-8000-'), ('capture', '00000001-0000-8000-8000-'), ('settle', '00000002-0000-8000-8000-')) AS s ("on", prefix)`, `
INSERT INTO payment_step (home, ledger_id, payment_id, number, transaction_id, trigger_name, from_state, to_state, outcome, reason, recorded_at)
SELECT 'eu', 'brand', ('00000000-0000-8000-8000-' || lpad(i::text, 12, '0'))::uuid, s.number, (s.prefix || lpad(i::text, 12, '0'))::uuid, s."on", s.before, s.after,
    'posted', '', $1::timestamptz
FROM generate_series($2::int8, $3::int8) AS i,
    (VALUES (1, 'authorize', '00000000-0000-8000-8000-', '', 'authorized'), (2, 'capture', '00000001-0000-8000-8000-', 'authorized', 'captured'),
        (3, 'settle', '00000002-0000-8000-8000-', 'captured', 'settled')) AS s (number, "on", prefix, before, after)`, `
INSERT INTO payment (home, ledger_id, id, kind, state, version, attempts, player, asset, scale, provider, provider_reference, data, opened_at, changed_at)
SELECT 'eu', 'brand', ('00000000-0000-8000-8000-' || lpad(i::text, 12, '0'))::uuid, 'deposit', 'settled', 3, 3, 'p' || (i % 10000)::text, 'EUR', 2, 'psp',
    'ref-' || (i * 7919 % 1000003)::text, '{}'::jsonb, $1::timestamptz, $1::timestamptz
FROM generate_series($2::int8, $3::int8) AS i`}

// statementOf writes the statement of the same movements with known damages: of a thousand lines one is missing, one is there twice, one has another
// amount, and one is new.
func statementOf(t *testing.T, n int, day time.Time) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "month.csv")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(file)
	fmt.Fprintln(w, "id,reference,day,currency,amount,status")
	for i := 1; i <= n; i++ {
		minor, date := 100+i%10000, day.AddDate(0, 0, i%8).Format(time.DateOnly)
		line := func(id, reference string, minor int) {
			fmt.Fprintf(w, "%s,%s,%s,EUR,%d.%02d,\n", id, reference, date, minor/100, minor%100)
		}
		reference := fmt.Sprintf("ref-%d", i*7919%1000003)
		switch i % 1000 {
		case 1:
		case 2:
			line(fmt.Sprintf("l%d", i), reference, minor)
			line(fmt.Sprintf("l%db", i), reference, minor)
		case 3:
			line(fmt.Sprintf("l%d", i), reference, minor+50)
		case 4:
			line(fmt.Sprintf("l%d", i), reference, minor)
			line(fmt.Sprintf("l%db", i), "new-"+reference, minor)
		default:
			line(fmt.Sprintf("l%d", i), reference, minor)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// watermark returns the most bytes that the heap had in use while fn ran, as often as it was looked at.
func watermark(fn func()) uint64 {
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		peak := uint64(0)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-done:
				most <- peak
				return
			case <-ticker.C:
			}
		}
	}()
	fn()
	close(done)
	return <-most
}

// MERIDIAN_RECON_LINES=1000000 makes it the measurement of docs/benchmarks.md; otherwise it is a small one of the same kind.
func TestRecon_AtScaleInBoundedMemory(t *testing.T) {
	n := 6000
	if text := os.Getenv("MERIDIAN_RECON_LINES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1000 || n > 1_000_000 || n%1000 != 0 {
			t.Fatalf("MERIDIAN_RECON_LINES is %q; want thousands, up to 1000000", text)
		}
	}
	for name, seeds := range map[string][]string{"movements": {sqlSeedJournal}, "payments": sqlSeedPayments} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d dbtest.Database) { atScale(t, d, n, name, seeds) })
		})
	}
}

// atScale makes so many movements or payments, their statement, and compares the two.
func atScale(t *testing.T, d dbtest.Database, n int, what string, seeds []string) {
	r := newReconciling(t, d)
	owner, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(context.Background())
	began := time.Now()
	const chunk = 5000
	for i := 1; i <= n; i += chunk {
		for _, sql := range seeds {
			if _, err := owner.Exec(t.Context(), sql, r.day, i, min(n, i+chunk-1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	path := statementOf(t, n, r.day)
	t.Logf("made %d %s and their statement in %s", n, what, time.Since(began).Round(time.Millisecond))

	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := statement.File{Ledger: "brand", Provider: "psp", Name: path, Format: statement.CSV, Mapping: []byte(reconMapping), MapName: "map.yaml"}
	began = time.Now()
	var st recon.Statement
	peak := watermark(func() { st, _, err = r.service.Import(t.Context(), source(t, f), file, nil) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("imported %d lines in %s, %d KiB of heap at most", st.Lines, time.Since(began).Round(time.Millisecond), peak>>10)

	cut := time.Now()
	var run recon.Run
	peak = max(peak, watermark(func() { run, _, err = r.service.Run(t.Context(), r.request(t, cut), nil) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("compared %d movements, %d results, in %s, %d KiB of heap at most", run.Books, run.Results, run.EndedAt.Sub(run.StartedAt).Round(time.Millisecond), peak>>10)
	if len(run.Totals) != 1 {
		t.Fatalf("totals: %+v", run.Totals)
	}
	thousands := int64(n / 1000)
	want := map[recon.Verdict]int64{
		recon.Matched: int64(n) - 2*thousands, recon.AmountDiffers: thousands, recon.MissingHere: thousands, recon.MissingThere: thousands,
		recon.Duplicate: thousands,
	}
	if got := run.Totals[0].Verdicts; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("verdicts: %v, want %v", got, want)
	}
	// A line and a movement take some 500 bytes, so that a million of either side would be more than 400 MiB: there this says something.
	if peak > 128<<20 {
		t.Errorf("the heap had %d KiB in use", peak>>10)
	}
	began = time.Now()
	if _, again, err := r.service.Run(t.Context(), r.request(t, cut), nil); err != nil || !again {
		t.Errorf("again: %t, %v", again, err)
	}
	t.Logf("compared again in %s", time.Since(began).Round(time.Millisecond))
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "VmHWM") {
				t.Logf("the process has had at most %s resident", strings.TrimSpace(strings.TrimPrefix(line, "VmHWM:")))
			}
		}
	}
}
