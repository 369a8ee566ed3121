package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
)

func TestRun_StreamsOfEveryKindOfEventAreRight(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := streamStory(t, d)
		r := verified(t, d.DB, Options{})
		wantClean(t, r)
		for _, c := range r.Checks {
			if c.Rows == 0 && c.Name != "payments" && c.Name != "holdings" { // TestPayments has those
				t.Errorf("%s looked at nothing", c.Name)
			}
		}
		for _, page := range []int64{1, 2, 7} {
			small := verified(t, d.DB, Options{page: page})
			wantClean(t, small)
			wantSame(t, small, r)
		}
		eu := r.Streams[slices.IndexFunc(r.Streams, func(s Stream) bool { return s.Home == "eu" })]
		if eu.Head < 40 || eu.Due != 0 || eu.Searchable != eu.Head || eu.Generation != 1 || len(eu.Subscriptions) != 2 {
			t.Errorf("the stream of eu is %+v", eu)
		}
		for _, s := range eu.Subscriptions {
			if s.Delivered < 2 || s.Dead < 1 || s.Due < 1 || s.Discarded+s.Dead+s.Due < 3 {
				t.Errorf("the subscription is %+v", s)
			}
		}
		w.late()
		r = verified(t, d.DB, Options{})
		wantClean(t, r) // what has not left is no damage
		if eu := r.Streams[slices.IndexFunc(r.Streams, func(s Stream) bool { return s.Home == "eu" })]; eu.Due != 1 || time.Since(eu.Oldest) > time.Minute {
			t.Errorf("the stream of eu is %+v", eu)
		}
		var text strings.Builder
		if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "wallets") {
			t.Errorf("%v: %s", err, text.String())
		}
		wantClean(t, verified(t, d.DB, Options{Ledgers: []id.Ledger{euBooks}}))
	})
}

// streamDamage is what somebody did to the stream and what lives of it.
type streamDamage struct {
	what, sql string
	check     string
	names     func(f Finding) bool
	also      []string
}

func at(position int64) func(Finding) bool {
	return func(f Finding) bool { return f.Home == "eu" && f.Position == position }
}

func subscribed(name string) func(Finding) bool {
	return func(f Finding) bool { return f.Home == "eu" && f.Subscription == name }
}

func about(key id.Key) func(Finding) bool {
	return func(f Finding) bool { return f.Transaction == tx(key) }
}

const (
	ofKey        = "home = 'eu' AND transaction_id = "
	someDelivery = "home = 'eu' AND subscription_id = 'all' AND position = 3"
)

var streamDamages = []streamDamage{
	{what: "a position is gone", sql: "DELETE FROM stream WHERE home = 'eu' AND position = 2", check: "stream", names: at(3), also: []string{"order", "deliveries", "search"}},
	{
		what: "the newest position is gone", sql: "DELETE FROM stream WHERE home = 'eu' AND position = (SELECT head FROM relay WHERE home = 'eu')",
		check: "stream", names: func(f Finding) bool { return strings.Contains(f.Message, "newest") }, also: []string{"search"},
	},
	{what: "the relay says another head", sql: "UPDATE relay SET head = head + 1 WHERE home = 'eu'", check: "stream", names: func(f Finding) bool { return f.Home == "eu" }},
	{
		what: "a position is of no journal row", sql: "UPDATE stream SET transaction_id = " + elsewhere + " WHERE home = 'eu' AND position = 35",
		check: "stream", names: at(35), also: []string{"order", "deliveries", "search"},
	},
	{
		what: "a position is of another home's business", sql: "UPDATE stream SET ledger_id = 'brand-us', transaction_id = (SELECT id FROM journal WHERE home = 'us' AND kind = 'credit') WHERE home = 'eu' AND position = 35",
		check: "stream", names: at(35), also: []string{"order", "deliveries", "search"},
	},
	{
		what: "a journal row was passed over", sql: "UPDATE journal SET recorded_at = recorded_at - INTERVAL '2 minutes', effective_at = effective_at - INTERVAL '2 minutes' WHERE idempotency_key = 'passed'",
		check: "stream", names: about("passed"),
	},
	{what: "two positions are exchanged", sql: "EXCHANGE", check: "order", names: func(f Finding) bool { return f.Account == "acc_a" }, also: []string{"deliveries", "search"}},
	{what: "a subscription counts one more", sql: "UPDATE progress SET delivered = delivered + 1 WHERE subscription_id = 'all'", check: "deliveries", names: subscribed("all")},
	{what: "a subscription has another digest", sql: "UPDATE progress SET digest = digest + 1 WHERE subscription_id = 'wallets'", check: "deliveries", names: subscribed("wallets")},
	{what: "a subscription is further than it is", sql: "UPDATE progress SET position = position + 1 WHERE subscription_id = 'all'", check: "deliveries", names: subscribed("all")},
	{
		what: "a subscription is past the end", sql: "UPDATE progress SET position = 100000, since = 100000, delivered = 0, digest = 0 WHERE subscription_id = 'all'",
		check: "deliveries", names: subscribed("all"),
	},
	{what: "a subscription wants something else", sql: `UPDATE subscription SET filter = '{"types": ["account.*"]}' WHERE id = 'all'`, check: "deliveries", names: subscribed("all")},
	{what: "a subscription is gone", sql: "DELETE FROM subscription WHERE id = 'wallets'", check: "deliveries", names: subscribed("wallets")},
	{what: "a dead delivery is gone", sql: "DELETE FROM delivery WHERE " + someDelivery, check: "deliveries", names: subscribed("all")},
	{what: "a delivery moved to another position", sql: "UPDATE delivery SET position = 4 WHERE " + someDelivery, check: "deliveries", names: at(4)},
	{what: "a delivery stands past the end", sql: "UPDATE delivery SET position = 100000 WHERE " + someDelivery, check: "deliveries", names: at(100000)},
	{what: "a delivery is of no subscription", sql: "UPDATE delivery SET subscription_id = 'nobody' WHERE " + someDelivery, check: "deliveries", names: at(3)},
	{what: "a delivery that nobody wants", sql: "WANTED", check: "deliveries", names: subscribed("wallets")},
	{what: "the model lost a transaction", sql: "DELETE FROM search_transaction WHERE " + ofKey + of("transfer"), check: "search", names: about("transfer")},
	{what: "the model has another reference", sql: "UPDATE search_transaction SET reference = 'x' WHERE " + ofKey + of("transfer"), check: "search", names: about("transfer")},
	{what: "the model has other metadata", sql: `UPDATE search_transaction SET metadata = '{"channel": "cash"}' WHERE ` + ofKey + of("deposit"), check: "search", names: about("deposit")},
	{
		what: "the model lost an account", sql: "DELETE FROM search_account WHERE home = 'eu' AND account_id = 'acc_x'", check: "search",
		names: func(f Finding) bool { return f.Account == "acc_x" && f.Position > 0 },
	},
	{what: "the model is not as far as it says", sql: "UPDATE search_state SET position = position + 1 WHERE home = 'eu'", check: "search", names: func(f Finding) bool { return f.Home == "eu" }},
	{what: "the model is further than it says", sql: "UPDATE search_state SET position = position - 1 WHERE home = 'eu'", check: "search", names: func(f Finding) bool { return f.Position > 0 }},
	{what: "two generations serve", sql: "INSERT INTO search_state VALUES ('eu', 0, 0, true, now())", check: "search", names: func(f Finding) bool { return f.Home == "eu" }},
}

// streamTables can be changed by the damage.
var streamTables = []string{"journal", "relay", "stream", "subscription", "progress", "delivery", "search_state", "search_transaction", "search_account"}

func TestRun_FindsDamageOfTheStream(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := streamStory(t, d)
		w.declines(passed, "INSUFFICIENT_FUNDS")
		v := openVandal(t, d)
		for _, table := range streamTables {
			if table != "journal" {
				v.exec(t, "CREATE TABLE copy_"+table+" AS SELECT * FROM "+table)
			}
		}
		before := tables
		tables = streamTables
		defer func() { tables = before }()
		for _, c := range streamDamages {
			t.Run(c.what, func(t *testing.T) {
				defer v.mend(t)
				v.exec(t, v.statements(t, c.sql)...)
				c.wantFound(t, verified(t, d.DB, Options{}))
			})
		}
		wantClean(t, verified(t, d.DB, Options{}))
	})
}

// cursorOf is a position of a relay behind all that there is, or before it.
func cursorOf(d dbtest.Database, all bool) string {
	when, number := time.Now().Add(-time.Hour), 3
	if all {
		when, number = time.Now().Add(time.Hour), 9_000_000_000_000
	}
	if d.DB.Engine.Changefeeds {
		return fmt.Sprintf("crdb1:cluster:106:%d.0000000000", when.UnixNano())
	}
	return fmt.Sprintf("pg1:cluster:%d:0", number)
}

// A transaction of eu is the last on its accounts in us, and is taken out of the stream there so that no position is missing.
func TestRun_FindsWhatNeverReachedAnotherHome(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		w := story(t, d.DB)
		w.streamed(t, d)
		v := vandal{conn: connected(t, d)}
		covers := func(all bool) { // says the relay of us
			v.exec(t, "UPDATE relay SET cursor = '"+cursorOf(d, all)+"' WHERE home = 'us'")
		}
		o := Options{grace: time.Microsecond}
		covers(true)
		wantClean(t, verified(t, d.DB, o))

		last := "(SELECT max(position) FROM stream WHERE home = 'us' AND ledger_id = 'brand-eu')"
		var moved int64
		err := v.conn.QueryRow(t.Context(), "SELECT head - "+last+" FROM relay WHERE home = 'us'").Scan(&moved)
		if err != nil || moved != 0 {
			t.Fatalf("%d positions are behind the last of eu (%v): the check of the order would see it as well", moved, err)
		}
		v.exec(t, "DELETE FROM stream WHERE home = 'us' AND position = "+last, "UPDATE relay SET head = head - 1 WHERE home = 'us'",
			"UPDATE search_state SET position = position - 1 WHERE home = 'us'")
		covers(false)
		wantClean(t, verified(t, d.DB, o)) // it may be on its way
		covers(true)
		for _, page := range []int64{0, 1, 7} {
			o.page = page
			damage{check: "stream", tx: "undo_across"}.wantFound(t, verified(t, d.DB, o))
		}
		wantClean(t, verified(t, d.DB, Options{})) // what was recorded just now may have been on its way
		wantClean(t, verified(t, d.DB, Options{grace: time.Microsecond, Ledgers: []id.Ledger{euBooks, usBooks}}))
	})
}

// passed is declined when the relay has gone.
var passed = ledger.Command{Kind: ledger.KindTransfer, Key: "passed", Account: "acc_a", Counter: "acc_b", Amount: eur(1 << 40)}

// statements writes those out that depend on where things stand.
func (v vandal) statements(t *testing.T, sql string) []string {
	t.Helper()
	switch sql {
	case "EXCHANGE": // of two transfers of one account
		set := "UPDATE stream SET transaction_id = %s WHERE home = 'eu' AND transaction_id = %s"
		return rows(fmt.Sprintf(set, elsewhere, of("transfer")), fmt.Sprintf(set, of("transfer"), of("transfer_2")), fmt.Sprintf(set, of("transfer_2"), elsewhere))
	case "WANTED": // the freeze is none of its types
		return rows(`INSERT INTO delivery SELECT home, 'wallets', position, ledger_id, transaction_id, '[]', 'dead', 1, now(), '', '', now(), now()
			FROM stream WHERE home = 'eu' AND transaction_id = ` + of("open_acc_0"))
	}
	return rows(sql)
}

// wantFound wants the check to name the place, and no check to break that need not.
func (c streamDamage) wantFound(t *testing.T, r Report) {
	t.Helper()
	named := false
	for _, check := range r.Checks {
		if expected := check.Name == c.check || slices.Contains(c.also, check.Name); expected == check.OK() {
			t.Errorf("%s: %d findings, which is not what was expected", check.Name, check.Found)
		}
		named = named || check.Name == c.check && slices.ContainsFunc(check.Findings, c.names)
	}
	if !named {
		t.Errorf("%s does not name the place", c.check)
	}
	for _, check := range r.Checks {
		for _, f := range check.Findings {
			t.Logf("%s: %s", check.Name, f)
		}
	}
}
