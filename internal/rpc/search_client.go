package rpc

import (
	"context"

	ledgerv1 "github.com/meridian-ledger/meridian/proto/meridian/ledger/v1"
)

// SearchTransactions searches, in the words of the wire: what a person or a script reads of the answer are its messages.
func (c *Client) SearchTransactions(ctx context.Context, m *ledgerv1.SearchTransactionsRequest) (*ledgerv1.SearchTransactionsResponse, error) {
	return call(ctx, c.queries.SearchTransactions, m)
}
