package commit_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/meridian-ledger/meridian/internal/commit"
	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/db/dbtest"
	"github.com/meridian-ledger/meridian/internal/id"
	"github.com/meridian-ledger/meridian/internal/ledger"
	"github.com/meridian-ledger/meridian/internal/payment"
)

var update = flag.Bool("update", false, "write the golden files again")

// trip is a batch that is sent twice with different keys: the first prepares its statements.
type trip struct {
	name  string
	batch func(key func(string) id.Key) ledger.Batch
}

func one(c ledger.Command) ledger.Batch { return ledger.Batch{Commands: []ledger.Command{c}} }

// trips are in an order in which each finds what it needs.
var trips = []trip{
	{"open", func(key func(string) id.Key) ledger.Batch {
		c := open(brand, id.Account(key("opened")))
		c.Key = key("open")
		return one(c)
	}},
	{"transfer", func(key func(string) id.Key) ledger.Batch { return one(transfer(key("transfer"), "a", "b", 5)) }},
	{"transfer, declined", func(key func(string) id.Key) ledger.Batch { return one(transfer(key("declined"), "a", "nobody", 5)) }},
	{"debit on the default counter account", func(key func(string) id.Key) ledger.Batch {
		return one(move(ledger.KindDebit, key("debit"), "a", "", 5))
	}},
	{"debit that opens the counter account", func(key func(string) id.Key) ledger.Batch {
		c := move(ledger.KindDebit, key("debit that opens"), "a", "", 5)
		c.Reason = id.Reason(key("reason"))
		return one(c)
	}},
	{"post over two ledgers", func(key func(string) id.Key) ledger.Batch { return one(across(key("post"), "a", 5)) }},
	{"hold", func(key func(string) id.Key) ledger.Batch {
		return one(move(ledger.KindHold, key("hold"), "a", "b", 5))
	}},
	{"hold again", func(key func(string) id.Key) ledger.Batch {
		return one(move(ledger.KindHold, key("hold2"), "a", "b", 5))
	}},
	{"commit", func(key func(string) id.Key) ledger.Batch {
		return one(aim(ledger.KindCommit, key("commit"), key("hold")))
	}},
	{"hold for another node", func(key func(string) id.Key) ledger.Batch {
		return one(move(ledger.KindHold, key("hold3"), "a", "b", 5))
	}},
	{"commit at another node", func(key func(string) id.Key) ledger.Batch {
		return one(aim(ledger.KindCommit, key("commit3"), key("hold3")))
	}},
	{"rollback", func(key func(string) id.Key) ledger.Batch {
		return one(aim(ledger.KindRollback, key("rollback"), key("hold2")))
	}},
	{"reverse", func(key func(string) id.Key) ledger.Batch {
		return one(aim(ledger.KindReverse, key("reverse"), key("transfer")))
	}},
	{"first step of a payment", func(key func(string) id.Key) ledger.Batch {
		return one(ledger.Command{Kind: ledger.KindStep, Ledger: brand, Key: key("bet"), Amount: eur(5), Account: "a", Step: &ledger.Step{
			Payment: payment.Bet, Trigger: "accept", Player: "p",
		}})
	}},
	{"next step of a payment", func(key func(string) id.Key) ledger.Batch {
		c := aim(ledger.KindStep, key("win"), key("bet"))
		c.Amount, c.Step = eur(7), &ledger.Step{Payment: payment.Bet, Trigger: "win"}
		return one(c)
	}},
	{"step, declined", func(key func(string) id.Key) ledger.Batch {
		c := aim(ledger.KindStep, key("again"), key("bet"))
		c.Step = &ledger.Step{Payment: payment.Bet, Trigger: "lose"}
		return one(c)
	}},
	{"change of a player", func(key func(string) id.Key) ledger.Batch {
		return one(ledger.Command{Kind: ledger.KindPlayer, Ledger: brand, Key: key("player"), Player: &ledger.PlayerChange{Player: "p", KYC: ledger.KYCVerified}})
	}},
	{"replay of the transfer", func(key func(string) id.Key) ledger.Batch { return one(transfer(key("transfer"), "a", "b", 5)) }},
	{"replay of the commit", func(key func(string) id.Key) ledger.Batch {
		return one(aim(ledger.KindCommit, key("commit"), key("hold")))
	}},
	{"another request under the key", func(key func(string) id.Key) ledger.Batch { return one(transfer(key("transfer"), "a", "b", 6)) }},
	{"dry run of a transfer", func(key func(string) id.Key) ledger.Batch {
		return ledger.Batch{DryRun: true, Commands: one(transfer(key("dry"), "a", "b", 5)).Commands}
	}},
	{"batch of 100 holds", func(key func(string) id.Key) ledger.Batch {
		return many(func(i string) ledger.Command { return move(ledger.KindHold, key("h"+i), "a", "b", 5) })
	}},
	{"batch of 100 commits", func(key func(string) id.Key) ledger.Batch {
		return many(func(i string) ledger.Command { return aim(ledger.KindCommit, key("c"+i), key("h"+i)) })
	}},
	{"atomic batch of 100 transfers", func(key func(string) id.Key) ledger.Batch {
		b := many(func(i string) ledger.Command { return transfer(key("t"+i), "a", "b", 5) })
		b.Atomic = true
		return b
	}},
}

func many(command func(i string) ledger.Command) (b ledger.Batch) {
	for i := range 100 {
		b.Commands = append(b.Commands, command(fmt.Sprint(i)))
	}
	return b
}

// Between regions a round trip costs what everything else on a node costs together, so this is the budget of a command.
func TestRoundTrips_StayWithinTheirBudget(t *testing.T) {
	const golden = "testdata/round_trips.txt"
	want, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	dbtest.Each(t, func(t *testing.T, d dbtest.Database) {
		s := newServer(t, d, commit.Options{Lifecycle: payment.Default().Lifecycle()}, db.Options{Writers: 1, Readers: 1})
		openBooks(t, s)
		other := commit.New(s.Store, commit.Options{}) // it remembers no targets
		var table strings.Builder
		for _, round := range []string{"first/", "second/"} {
			table.Reset()
			for _, trip := range trips {
				before := s.proxy.RoundTrips()
				batch := trip.batch(func(name string) id.Key { return id.Key(round + name) })
				at := s.Committer
				if strings.HasSuffix(trip.name, "at another node") {
					at = other
				}
				results, err := at.Execute(t.Context(), batch)
				if err != nil {
					t.Fatalf("%s: %v", trip.name, err)
				}
				if decided := results[0].Outcome.Decided; decided != ledger.Posted && results[0].Err == nil && !strings.Contains(trip.name, "declined") {
					t.Fatalf("%s: %s %s", trip.name, decided, results[0].Outcome.Reason)
				}
				fmt.Fprintf(&table, "%-36s %d\n", trip.name, s.proxy.RoundTrips()-before)
			}
		}
		if *update {
			want = []byte(table.String()) // of both engines the same, or the next run says so
			if err := os.WriteFile(golden, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if table.String() != string(want) {
			t.Errorf("round trips\n%swanted\n%s", table.String(), want)
		}
	})
}
