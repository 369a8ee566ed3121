package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// event is what this consumer needs of a CloudEvent. Amounts are decimal strings and stay that: no float holds them.
type event struct {
	ID       string `json:"id"`
	Type     string `json:"type"`
	Home     string `json:"home"`
	Position string `json:"position"`
	Data     struct {
		Status  string  `json:"status"`
		Entries []entry `json:"entries"`
	} `json:"data"`
}

// entry is a line of an account's statement. On a default counter account, which everybody touches, events may come in another order than the
// sequence.
type entry struct {
	Ledger   string `json:"ledger"`
	Account  string `json:"account_id"`
	Sequence int64  `json:"sequence"`
	Counter  bool   `json:"counter,omitempty"`
	Balance  string `json:"balance"`
}

var errEvent = errors.New("not an event of the change stream")

// parseEvent reads a CloudEvent in JSON. Unknown fields are ignored: minor versions add some.
func parseEvent(body []byte) (event, error) {
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return event{}, fmt.Errorf("%w: %w", errEvent, err)
	}
	if e.ID == "" || e.Type == "" {
		return event{}, fmt.Errorf("%w: it has no id or no type", errEvent)
	}
	for _, l := range e.Data.Entries {
		if l.Ledger == "" || l.Account == "" || l.Sequence < 1 {
			return event{}, fmt.Errorf("%w: an entry without account or sequence", errEvent)
		}
	}
	return e, nil
}

// place is the position in the stream of the home; 0 for what has none.
func (e event) place() int64 {
	n, err := strconv.ParseInt(e.Position, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
