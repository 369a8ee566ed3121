package verify

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
)

// damage is what somebody with a database shell did to the books of the story, and what has to be found.
type damage struct {
	what string
	sql  []string

	check   string // has to name the place
	ledger  id.Ledger
	account id.Account
	tx      id.Key // of the story
	id      id.Transaction
	seq     int64
	says    string // some words of what is said of the place

	also []string // checks that break as well, because the same row carries more than one promise; no other may
}

// of quotes the id that the key of a story makes.
func of(key id.Key) string { return "'" + tx(key).String() + "'" }

// lines changes an entry and the line of the journal row that repeats it, so that the two agree on something wrong.
func lines(key id.Key, line, column, value string) []string {
	return []string{
		"UPDATE entry SET " + column + " = " + value + " WHERE transaction_id = " + of(key) + " AND line = " + line,
		"UPDATE journal SET entries = jsonb_set(entries, '{" + line + "," + column + `}', '"` + value + `"') WHERE id = ` + of(key),
	}
}

// recorded moves everything of a transaction to another time.
func recorded(key id.Key, at string) []string {
	return []string{
		"UPDATE entry SET recorded_at = " + at + ", effective_at = " + at + " WHERE transaction_id = " + of(key),
		"UPDATE journal SET recorded_at = " + at + ", effective_at = " + at + " WHERE id = " + of(key),
	}
}

func rows(statements ...string) []string { return statements }

const elsewhere = "'00000000-0000-8000-8000-00000000dead'"

var damages = slices.Concat(
	damagedAccounts, damagedEntries, damagedHolds, damagedRequests, damagedJournal, damagedReversals, damagedHomes,
)

var damagedAccounts = []damage{
	{
		what: "an account has more debits", sql: rows("UPDATE account SET posted_debits = posted_debits + 1 WHERE id = 'acc_b'"),
		check: "balances", account: "acc_b", also: []string{"balanced"},
	}, {
		what: "an account has more debits and credits", sql: rows("UPDATE account SET posted_debits = posted_debits + 7, posted_credits = posted_credits + 7 WHERE id = 'acc_b'"),
		check: "balances", account: "acc_b",
	}, {
		what: "an account has no number for a total that is zero", sql: rows("UPDATE account SET pending_debits = 'NaN' WHERE id = 'acc_0'"),
		check: "balances", account: "acc_0",
	}, {
		what: "credits moved from one ledger's account to another's", sql: rows(
			"UPDATE account SET posted_credits = posted_credits - 1 WHERE id = 'acc_b'",
			"UPDATE account SET posted_credits = posted_credits + 1 WHERE id = 'us_1'"),
		check: "balanced", ledger: usBooks, also: []string{"balances"},
	}, {
		what: "an account has more pending debits", sql: rows("UPDATE account SET pending_debits = pending_debits + 1 WHERE id = 'acc_a'"),
		check: "holds", account: "acc_a", also: []string{"balances"},
	}, {
		what: "an account has fewer pending credits", sql: rows("UPDATE account SET pending_credits = pending_credits - 1 WHERE id = 'acc_b'"),
		check: "balances", account: "acc_b", also: []string{"holds"},
	}, {
		what: "an account counts an entry more", sql: rows("UPDATE account SET sequence = sequence + 1 WHERE id = 'acc_a'"),
		check: "sequences", account: "acc_a",
	}, {
		what: "an account was changed later", sql: rows("UPDATE account SET changed_at = changed_at + INTERVAL '1 second' WHERE id = 'acc_a'"),
		check: "chain", account: "acc_a",
	}, {
		what: "an account was opened earlier", sql: rows("UPDATE account SET opened_at = opened_at - INTERVAL '1 second' WHERE id = 'acc_a'"),
		check: "chain", account: "acc_a", seq: 1,
	}, {
		what: "an account is gone", sql: rows("DELETE FROM account WHERE id = 'acc_0'"),
		check: "sequences", account: "acc_0", tx: "open_acc_0", seq: 1,
	}, {
		what: "the last account is gone", sql: rows("DELETE FROM account WHERE id = 'vostro'", "DELETE FROM account WHERE id = 'us_1'"),
		check: "sequences", ledger: usBooks, account: "vostro", also: []string{"balanced"},
	}, {
		what: "an account came from nowhere", sql: rows("UPDATE account SET id = 'acc_n' WHERE id = 'acc_0'", "INSERT INTO account SELECT * FROM copy_account WHERE id = 'acc_0'"),
		check: "sequences", account: "acc_n",
	}, {
		what: "an account is closed with money on it", sql: rows("UPDATE account SET status = 'closed' WHERE id = 'acc_h'"),
		check: "closed", account: "acc_h", also: []string{"terms"},
	}, {
		what: "an account is closed with money held", sql: rows("UPDATE account SET status = 'closed' WHERE id = 'counter:bet:EUR'"),
		check: "closed", account: "counter:bet:EUR", also: []string{"terms"},
	}, {
		what: "an account has another scale", sql: rows("UPDATE account SET scale = 3 WHERE id = 'acc_a'"),
		check: "homes", account: "acc_a", also: []string{"terms"},
	}, {
		what: "an account has an asset that its ledger has not", sql: rows("UPDATE account SET asset = 'GBP' WHERE id = 'acc_0'"),
		check: "homes", account: "acc_0", also: []string{"terms"},
	}, {
		what: "an account has another asset of its ledger", sql: rows("UPDATE account SET asset = 'ETH', scale = 18 WHERE id = 'acc_a'"),
		check: "balanced", tx: "transfer", also: []string{"terms"},
	}, {
		what: "an account that nobody uses has another asset of its ledger", sql: rows("UPDATE account SET asset = 'ETH', scale = 18 WHERE id = 'acc_0'"),
		check: "terms", account: "acc_0", tx: "open_acc_0",
	}, {
		what: "an account has another normal side", sql: rows("UPDATE account SET normal_side = 'debit' WHERE id = 'acc_b'"),
		check: "terms", account: "acc_b", tx: "thaw",
	}, {
		what: "an account has no floor any more", sql: rows("UPDATE account SET min_available = NULL WHERE id = 'acc_a'"),
		check: "terms", account: "acc_a", tx: "limit",
	}, {
		what: "an account has another ceiling", sql: rows("UPDATE account SET max_balance = max_balance + 1 WHERE id = 'acc_a'"),
		check: "terms", account: "acc_a", tx: "limit",
	}, {
		what: "a closed account is open", sql: rows("UPDATE account SET status = 'open' WHERE id = 'acc_x'"),
		check: "terms", account: "acc_x", tx: "close",
	}, {
		what: "an account has another name", sql: rows(`UPDATE account SET metadata = '{"name": "me"}' WHERE id = 'acc_0'`),
		check: "terms", account: "acc_0", tx: "open_acc_0",
	}, {
		what: "an account that a movement opened has a ceiling", sql: rows("UPDATE account SET max_balance = 5 WHERE id = 'counter:bet:EUR'"),
		check: "terms", account: "counter:bet:EUR",
	}, {
		what: "a command on an account tells of no account", sql: rows("UPDATE journal SET detail = NULL WHERE id = " + of("limit")),
		check: "terms", account: "acc_a", tx: "limit",
	},
}

var damagedEntries = []damage{
	{
		what: "an entry is gone", sql: rows("DELETE FROM entry WHERE transaction_id = " + of("transfer") + " AND line = 1"),
		check: "sequences", account: "acc_b", seq: 3, also: []string{"balanced", "balances", "journal"},
	}, {
		what: "an entry without money is gone", sql: rows("DELETE FROM entry WHERE transaction_id = " + of("freeze")),
		check: "sequences", account: "acc_b", tx: "thaw", also: []string{"journal"},
	}, {
		what: "the newest entry is gone", sql: rows("DELETE FROM entry WHERE transaction_id = " + of("close")),
		check: "sequences", account: "acc_x", seq: 3, also: []string{"journal"},
	}, {
		what: "the first entry is gone", sql: rows("DELETE FROM entry WHERE transaction_id = " + of("open_acc_a")),
		check: "sequences", account: "acc_a", tx: "deposit", seq: 2, also: []string{"journal"},
	}, {
		what: "an entry stands twice", sql: rows("UPDATE entry SET sequence = 5000 WHERE transaction_id = "+of("close"), "INSERT INTO entry SELECT * FROM copy_entry WHERE transaction_id = "+of("close")),
		check: "sequences", account: "acc_x", tx: "close", seq: 5000, also: []string{"journal"},
	}, {
		what: "an entry stands under another account", sql: rows("UPDATE entry SET account_id = 'acc_z' WHERE transaction_id = " + of("close")),
		check: "sequences", account: "acc_z", tx: "close", also: []string{"journal"},
	}, {
		what: "an entry behind all accounts", sql: rows("UPDATE entry SET account_id = 'zzz' WHERE transaction_id = " + of("close")),
		check: "sequences", account: "zzz", tx: "close", also: []string{"journal"},
	}, {
		what: "an entry before all accounts", sql: rows("UPDATE entry SET account_id = '' WHERE transaction_id = " + of("close")),
		check: "sequences", tx: "close", also: []string{"journal"},
	}, {
		what: "an entry has another amount", sql: rows("UPDATE entry SET amount = amount + 1 WHERE transaction_id = " + of("transfer") + " AND line = 1"),
		check: "journal", account: "acc_b", tx: "transfer", also: []string{"balanced", "balances", "chain"},
	}, {
		what: "an entry without money has no number for it", sql: rows("UPDATE entry SET amount = 'NaN' WHERE transaction_id = " + of("freeze")),
		check: "journal", account: "acc_b", tx: "freeze", also: []string{"chain"},
	}, {
		what: "one side of a transfer was forged everywhere", sql: slices.Concat(
			lines("after", "1", "amount", "2"), lines("after", "1", "balance", "812"),
			rows("UPDATE account SET posted_credits = posted_credits + 1 WHERE id = 'acc_b'")),
		check: "balanced", tx: "after",
	}, {
		what: "money moved between two transactions that cancel out", sql: slices.Concat(
			lines("x_in", "1", "amount", "8"), lines("x_in", "1", "balance", "8"), lines("x_out", "0", "amount", "-8"),
			rows("UPDATE account SET posted_credits = 8, posted_debits = 8 WHERE id = 'acc_x'")),
		check: "balanced", tx: "x_out",
	}, {
		what: "a balance is wrong on both sides", sql: lines("transfer_2", "1", "balance", "1201"),
		check: "chain", account: "acc_b", tx: "transfer_2",
	}, {
		what: "a balance is wrong in the entry", sql: rows("UPDATE entry SET balance = balance - 1 WHERE transaction_id = " + of("transfer_2") + " AND line = 0"),
		check: "journal", account: "acc_a", tx: "transfer_2", also: []string{"chain"},
	}, {
		what: "something became pending without a hold", sql: lines("transfer_2", "1", "pending_debits", "5"),
		check: "chain", account: "acc_b", tx: "transfer_2",
	}, {
		what: "time ran backwards", sql: recorded("transfer_2", "'2020-01-01T00:00:00Z'"),
		check: "chain", account: "acc_b", tx: "transfer_2",
	}, {
		what: "the newest entry was recorded later", sql: recorded("close", "'2100-01-01T00:00:00Z'"),
		check: "chain", account: "acc_x", seq: 4,
	}, {
		what: "an entry has another kind", sql: rows("UPDATE entry SET kind = 'credit' WHERE transaction_id = " + of("transfer") + " AND line = 1"),
		check: "journal", account: "acc_b", tx: "transfer",
	}, {
		what: "an entry has another effective time", sql: rows("UPDATE entry SET effective_at = '2020-01-01T00:00:00Z' WHERE transaction_id = " + of("across") + " AND line = 3"),
		check: "journal", ledger: usBooks, account: "us_1", tx: "across",
	}, {
		what: "an entry names another transaction", sql: rows("UPDATE entry SET transaction_id = " + elsewhere + " WHERE transaction_id = " + of("thaw")),
		check: "journal", account: "acc_b", tx: "thaw",
	}, {
		what: "an entry names another ledger as its origin", sql: rows("UPDATE entry SET origin_ledger_id = 'brand-us' WHERE transaction_id = " + of("thaw")),
		check: "journal", account: "acc_b", tx: "thaw",
	}, {
		what: "an entry names another line", sql: rows("UPDATE entry SET line = 7 WHERE transaction_id = " + of("transfer") + " AND line = 1"),
		check: "journal", account: "acc_b", tx: "transfer",
	}, {
		what: "two entries of one account changed places", sql: rows(
			"UPDATE entry SET line = 2 - line WHERE transaction_id = " + of("split") + " AND line IN (0, 2)"),
		check: "journal", account: "acc_a", tx: "split",
	},
}

var damagedHolds = []damage{
	{
		what: "an open hold has another amount", sql: rows("UPDATE hold SET amount = amount + 1 WHERE id = " + of("hold_open")),
		check: "holds", account: "acc_a", tx: "hold_open",
	}, {
		what: "an open hold goes to another account", sql: rows("UPDATE hold SET to_account = 'acc_h' WHERE id = " + of("hold_open")),
		check: "holds", account: "acc_h",
	}, {
		what: "an open hold has captured more", sql: rows("UPDATE hold SET captured = captured + 1 WHERE id = " + of("hold_part")),
		check: "holds", account: "acc_a", tx: "hold_part",
	}, {
		what: "an open hold has ended", sql: rows("UPDATE hold SET status = 'rolled_back' WHERE id = " + of("hold_open")),
		check: "holds", account: "acc_a", tx: "hold_open",
	}, {
		what: "an open hold is gone", sql: rows("DELETE FROM hold WHERE id = " + of("hold_open")),
		check: "holds", tx: "hold_open",
	}, {
		what: "an ended hold is open", sql: rows("UPDATE hold SET status = 'held' WHERE id = " + of("hold_back")),
		check: "holds", account: "acc_h", tx: "hold_back",
	}, {
		what: "an ended hold is gone", sql: rows("DELETE FROM hold WHERE id = " + of("hold_back")),
		check: "holds", tx: "hold_back",
	}, {
		what: "an ended hold ended otherwise", sql: rows("UPDATE hold SET status = 'expired' WHERE id = " + of("hold_back")),
		check: "holds", account: "acc_h", tx: "hold_back",
	}, {
		what: "an ended hold has captured less", sql: rows("UPDATE hold SET captured = captured - 1 WHERE id = " + of("hold_twice")),
		check: "holds", account: "acc_h", tx: "hold_twice",
	}, {
		what: "a hold expires later", sql: rows("UPDATE hold SET expires_at = expires_at + INTERVAL '1 day' WHERE id = " + of("hold_open")),
		check: "holds", account: "acc_a", tx: "hold_open",
	}, {
		what: "a hold captured more than it had", sql: rows("UPDATE hold SET captured = amount + 1 WHERE id = " + of("hold_whole")),
		check: "holds", account: "acc_h", tx: "hold_whole",
	}, {
		what: "a hold has no number for what it captured", sql: rows("UPDATE hold SET captured = 'NaN' WHERE id = " + of("hold_back")),
		check: "holds", account: "acc_h", tx: "hold_back",
	}, {
		what: "a hold was committed without a capture", sql: rows("UPDATE hold SET status = 'committed' WHERE id = " + of("hold_back")),
		check: "holds", account: "acc_h", tx: "hold_back",
	}, {
		what: "a hold has a state of its own", sql: rows("UPDATE hold SET status = 'lost' WHERE id = " + of("hold_open")),
		check: "holds", account: "acc_a", tx: "hold_open",
	}, {
		what: "the journal tells of another hold", sql: rows("UPDATE journal SET detail = jsonb_set(detail, '{hold,id}', '\"" + tx("hold_open").String() + "\"') WHERE id = " + of("rollback")),
		check: "holds", tx: "rollback",
	}, {
		what: "the journal tells of no hold", sql: rows("UPDATE journal SET detail = NULL WHERE id = " + of("rollback")),
		check: "holds", tx: "rollback",
	}, {
		what: "a hold has another scale", sql: rows("UPDATE hold SET scale = 3 WHERE id = " + of("hold_back")),
		check: "homes", tx: "hold_back", also: []string{"holds"},
	},
}

var damagedRequests = []damage{
	{
		what: "a row has another key", sql: rows("UPDATE journal SET idempotency_key = 'other' WHERE id = " + of("transfer")),
		check: "keys", tx: "transfer",
	}, {
		what: "a key stands twice", sql: rows("UPDATE journal SET id = "+elsewhere+" WHERE id = "+of("too_much"), "INSERT INTO journal SELECT * FROM copy_journal WHERE id = "+of("too_much")),
		check: "keys", id: must("00000000-0000-8000-8000-00000000dead"),
	}, {
		what: "a declined row has another id", sql: rows("UPDATE journal SET id = '00000000-0000-0000-0000-000000000000' WHERE id = " + of("too_much")),
		check: "keys",
	}, {
		what: "a request was changed", sql: rows(`UPDATE journal SET request = jsonb_set(request, '{amount,minor_units}', '"501"') WHERE id = ` + of("transfer")),
		check: "keys", tx: "transfer",
	}, {
		what: "a request has a field more", sql: rows(`UPDATE journal SET request = jsonb_set(request, '{note}', '"paid twice"') WHERE id = ` + of("transfer")),
		check: "keys", tx: "transfer",
	}, {
		what: "a request is no command", sql: rows(`UPDATE journal SET request = '[]' WHERE id = ` + of("transfer")),
		check: "keys", tx: "transfer",
	}, {
		what: "a request has another hash", sql: rows(`UPDATE journal SET request_hash = '\x00' WHERE id = ` + of("too_much")),
		check: "keys", tx: "too_much",
	}, {
		what: "a row has another reference", sql: rows(`UPDATE journal SET reference = 'po_2' WHERE id = ` + of("transfer")),
		check: "keys", tx: "transfer",
	}, {
		what: "a row has another correlation", sql: rows(`UPDATE journal SET correlation_id = NULL WHERE id = ` + of("deposit")),
		check: "keys", tx: "deposit",
	}, {
		what: "a declined row has another kind", sql: rows(`UPDATE journal SET kind = 'credit' WHERE id = ` + of("too_much")),
		check: "keys", tx: "too_much",
	}, {
		what: "a declined row has another target", sql: rows(`UPDATE journal SET target = NULL WHERE id = ` + of("again")),
		check: "keys", tx: "again",
	}, {
		what: "a row has another effective time", sql: rows(
			"UPDATE journal SET effective_at = '2020-01-01T00:00:00Z' WHERE id = "+of("payout"),
			"UPDATE entry SET effective_at = '2020-01-01T00:00:00Z' WHERE transaction_id = "+of("payout")),
		check: "keys", tx: "payout",
	},
}

var damagedJournal = []damage{
	{
		what: "a journal row is gone", sql: rows("DELETE FROM journal WHERE id = " + of("transfer")),
		check: "journal", account: "acc_a", tx: "transfer", also: []string{"reversals"},
	}, {
		what: "a journal row without money is gone", sql: rows("DELETE FROM journal WHERE id = " + of("limit")),
		check: "journal", account: "acc_a", tx: "limit",
	}, {
		what: "a journal row has a line less", sql: rows("UPDATE journal SET entries = entries - 1 WHERE id = " + of("transfer_2")),
		check: "journal", account: "acc_b", tx: "transfer_2", seq: 3,
	}, {
		what: "a journal row has no lines", sql: rows("UPDATE journal SET entries = '[]' WHERE id = " + of("thaw")),
		check: "journal", tx: "thaw",
	}, {
		what: "a journal row has other lines", sql: rows(`UPDATE journal SET entries = '{"account": "acc_a"}' WHERE id = ` + of("thaw")),
		check: "journal", tx: "thaw",
	}, {
		what: "a line has another balance", sql: rows(`UPDATE journal SET entries = jsonb_set(entries, '{2,balance}', '"1"') WHERE id = ` + of("across")),
		check: "journal", ledger: usBooks, account: "vostro", tx: "across",
	}, {
		what: "a line has a field more", sql: rows(`UPDATE journal SET entries = jsonb_set(entries, '{0,note}', '"1"') WHERE id = ` + of("thaw")),
		check: "journal", tx: "thaw",
	}, {
		what: "a declined row has an entry", sql: rows("UPDATE journal SET entries = (SELECT entries FROM copy_journal WHERE id = " + of("transfer_2") + ") WHERE id = " + of("too_much")),
		check: "journal", account: "acc_b", tx: "too_much",
	}, {
		what: "a posted row is declined", sql: rows("UPDATE journal SET outcome = 'declined', reason = 'INSUFFICIENT_FUNDS' WHERE id = " + of("transfer_2")),
		check: "journal", tx: "transfer_2",
	}, {
		what: "a declined row is posted", sql: rows("UPDATE journal SET outcome = 'posted', reason = NULL WHERE id = " + of("too_much")),
		check: "journal", tx: "too_much",
	},
}

var damagedReversals = []damage{
	{
		what: "a transfer is reversed twice", sql: rows("UPDATE journal SET reverses = " + of("transfer") + ", target = " + of("transfer") + " WHERE id = " + of("undo_split")),
		check: "reversals", tx: "undo_split", also: []string{"keys"},
	}, {
		what: "a reversal is not the opposite", sql: rows("UPDATE journal SET reverses = " + of("transfer_2") + ", target = " + of("transfer_2") + " WHERE id = " + of("undo_transfer")),
		check: "reversals", tx: "undo_transfer", also: []string{"keys"},
	}, {
		what: "a reversal has no target", sql: rows("UPDATE journal SET reverses = " + elsewhere + ", target = " + elsewhere + " WHERE id = " + of("undo_transfer")),
		check: "reversals", tx: "undo_transfer", also: []string{"keys"},
	}, {
		what: "a reversal aims at a decline", sql: rows("UPDATE journal SET reverses = " + of("too_much") + ", target = " + of("too_much") + " WHERE id = " + of("undo_transfer")),
		check: "reversals", tx: "undo_transfer", also: []string{"keys"},
	}, {
		what: "a reversal does not say what it reverses", sql: rows("UPDATE journal SET reverses = NULL WHERE id = " + of("undo_transfer")),
		check: "reversals", tx: "undo_transfer",
	}, {
		what: "a transfer says that it reverses", sql: rows("UPDATE journal SET reverses = " + of("transfer_2") + " WHERE id = " + of("after")),
		check: "reversals", tx: "after",
	}, {
		what: "what was reversed has lost a line", sql: rows("UPDATE journal SET entries = entries - 1 WHERE id = " + of("transfer")),
		check: "reversals", tx: "undo_transfer", also: []string{"journal"},
	},
}

var damagedHomes = []damage{
	{
		what: "an account and its entries moved away", sql: rows(
			"UPDATE account SET home = 'us' WHERE id = 'acc_0'", "UPDATE entry SET home = 'us' WHERE account_id = 'acc_0'"),
		check: "homes", account: "acc_0",
	}, {
		what: "an entry moved away", sql: rows("UPDATE entry SET home = 'us' WHERE transaction_id = " + of("close")),
		check: "homes", account: "acc_x", tx: "close", seq: 4, also: []string{"sequences"},
	}, {
		what: "a journal row moved away", sql: rows("UPDATE journal SET home = 'us' WHERE id = " + of("transfer_2")),
		check: "homes", tx: "transfer_2",
	}, {
		what: "a hold moved away", sql: rows("UPDATE hold SET home = 'us' WHERE id = " + of("hold_open")),
		check: "homes", account: "acc_a", tx: "hold_open",
	}, {
		what: "rows moved to a ledger that does not exist", sql: rows(
			"UPDATE account SET ledger_id = 'nobody' WHERE id = 'acc_0'", "UPDATE entry SET ledger_id = 'nobody' WHERE account_id = 'acc_0'"),
		check: "homes", ledger: "nobody", account: "acc_0", also: []string{"journal"},
	}, {
		what: "an asset is gone", sql: rows("DELETE FROM asset WHERE code = 'ETH'"),
		check: "homes", account: "eth_1",
	}, {
		what: "a ledger is gone", sql: rows("DELETE FROM asset WHERE ledger_id = 'brand-us'", "DELETE FROM ledger WHERE id = 'brand-us'"),
		check: "homes", ledger: usBooks, account: "vostro",
	}, {
		what: "a ledger has another home", sql: rows("UPDATE ledger SET home = 'apac' WHERE id = 'brand-us'"),
		check: "homes", ledger: usBooks, account: "us_1",
	},
}

func must(s string) id.Transaction {
	t, err := id.ParseTransaction(s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRun_FindsDamage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		story(t, d.DB)
		v := openVandal(t, d)
		for _, c := range damages {
			t.Run(c.what, func(t *testing.T) {
				defer v.mend(t)
				v.exec(t, c.sql...)
				c.wantFound(t, verified(t, d.DB, Options{}))
			})
		}
		wantClean(t, verified(t, d.DB, Options{}))
	})
}

// wantFound wants the check to name the place, and no check to break that need not.
func (c damage) wantFound(t *testing.T, r Report) {
	t.Helper()
	if c.ledger == "" {
		c.ledger = euBooks
	}
	if c.tx != "" {
		c.id = tx(c.tx)
	}
	named := false
	for _, check := range r.Checks {
		expected := check.Name == c.check || slices.Contains(c.also, check.Name)
		if expected == check.OK() {
			t.Errorf("%s: %d findings, which is not what was expected", check.Name, check.Found)
		}
		for _, f := range check.Findings {
			if check.Name == c.check && f.Ledger == c.ledger && (c.account == "" || f.Account == c.account) &&
				(c.id.IsZero() || f.Transaction == c.id) && (c.seq == 0 || f.Sequence == c.seq) && f.Message != "" && strings.Contains(f.Message, c.says) {
				named = true
			}
		}
	}
	if !named {
		t.Errorf("%s does not name the place", c.check)
	}
	if t.Failed() {
		for _, check := range r.Checks {
			for _, f := range check.Findings {
				t.Logf("%s: %s", check.Name, f)
			}
		}
	}
}

// vandal has a shell on the database, as its owner, and puts everything back.
type vandal struct {
	conn *pgx.Conn
}

var tables = []string{"ledger", "asset", "account", "journal", "entry", "hold", "payment", "payment_step"} // referenced ones first

func connected(t *testing.T, d dbtest.Database) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func openVandal(t *testing.T, d dbtest.Database) vandal {
	t.Helper()
	v := vandal{connected(t, d)}
	for _, table := range tables {
		v.exec(t, "CREATE TABLE copy_"+table+" AS SELECT * FROM "+table)
	}
	v.exec(t, "DROP INDEX journal_reverses CASCADE") // it would stop the second reversal
	for _, table := range []string{"account", "journal", "hold"} {
		v.lift(t, table)
	}
	return v
}

const sqlChecks = `SELECT conname FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'c'`

// lift drops the constraints that would stop some of the damage.
func (v vandal) lift(t *testing.T, table string) {
	t.Helper()
	found, _ := v.conn.Query(t.Context(), sqlChecks, table) // the error comes back from the collection
	names, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		v.exec(t, "ALTER TABLE "+table+" DROP CONSTRAINT "+pgx.Identifier{name}.Sanitize())
	}
}

func (v vandal) exec(t *testing.T, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		tag, err := v.conn.Exec(t.Context(), sql)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if (tag.Update() || tag.Delete()) && tag.RowsAffected() == 0 {
			t.Fatalf("%s: no row", sql)
		}
	}
}

// mend puts all rows back, in one round trip.
func (v vandal) mend(t *testing.T) {
	t.Helper()
	batch := &pgx.Batch{}
	for _, table := range slices.Backward(tables) {
		batch.Queue("DELETE FROM " + table + " WHERE true")
	}
	for _, table := range tables {
		batch.Queue("INSERT INTO " + table + " SELECT * FROM copy_" + table)
	}
	if err := v.conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}
