package feed

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/meridian-ledger/meridian/internal/db"
	"github.com/meridian-ledger/meridian/internal/id"
)

// The entry right before a sequence, and whether it has left. Full keys alone, all in one statement.
const sqlEntryBefore = `
SELECT k.n, e.sequence, s.position IS NOT NULL
FROM unnest($2::text[], $3::text[], $4::int8[]) WITH ORDINALITY AS k (ledger_id, account_id, sequence, n)
JOIN entry e ON e.home = $1 AND e.ledger_id = k.ledger_id AND e.account_id = k.account_id AND e.sequence = k.sequence
LEFT JOIN stream s ON s.home = $1 AND s.ledger_id = e.origin_ledger_id AND s.transaction_id = e.transaction_id`

// predecessor is the answer to a question.
type predecessor struct {
	question
	sequence int64 // 0: none was found
	left     bool
}

// predecessors answers questions about accounts of the home, in one round trip: every entry of these leaves through its stream.
func predecessors(ctx context.Context, conn *pgx.Conn, home id.Home, asked []question) ([]predecessor, error) {
	ledgers, accounts, sequences := make([]string, len(asked)), make([]string, len(asked)), make([]int64, len(asked))
	answers := make([]predecessor, len(asked))
	for i, q := range asked {
		ledgers[i], accounts[i], sequences[i] = string(q.ref.Ledger), string(q.ref.Account), q.before-1
		answers[i].question = q
	}
	rows, _ := conn.Query(ctx, sqlEntryBefore, home, ledgers, accounts, sequences) // the error comes back from the loop
	var n, sequence int64
	var left bool
	_, err := pgx.ForEachRow(rows, []any{&n, &sequence, &left}, func() error {
		answers[n-1].sequence, answers[n-1].left = sequence, left
		return nil
	})
	if err != nil {
		return nil, db.Classify(fmt.Errorf("ask for earlier entries: %w", err))
	}
	return answers, nil
}

// answer teaches the sequencer what was found.
func (s *sequencer) answer(p predecessor) {
	last, known := s.last.get(p.ref)
	if p.left || p.sequence > 0 && known && last >= p.sequence {
		s.learn(p.ref, p.before)
	}
}
