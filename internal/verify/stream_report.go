package verify

import (
	"strings"
	"time"

	"github.com/meridian-ledger/meridian/internal/event"
	"github.com/meridian-ledger/meridian/internal/id"
)

// Stream says how far the change stream of one home is.
type Stream struct {
	Home          id.Home        `json:"home"`
	Head          event.Position `json:"head"`
	Due           int64          `json:"due"`                 // journal rows that are not in the stream yet
	Oldest        time.Time      `json:"oldest_due,omitzero"` // when the first of them was recorded
	Searchable    event.Position `json:"searchable"`          // up to where the search model is complete
	Generation    int64          `json:"search_generation"`   // that serves; 0: none
	Subscriptions []Subscription `json:"subscriptions"`
}

// Subscription says how far one is in a home.
type Subscription struct {
	ID        string         `json:"id"`
	Position  event.Position `json:"position"`
	Delivered int64          `json:"delivered"` // of what it wanted after Since
	Since     event.Position `json:"since"`
	Due       int64          `json:"due"`
	Dead      int64          `json:"dead"`
	Discarded int64          `json:"discarded"`
}

func (r *run) streams() []Stream {
	all := []Stream{}
	if r.scope != nil {
		return all
	}
	for _, h := range r.homes {
		s := Stream{
			Home: h.name, Head: h.head, Due: h.due, Searchable: h.search.position, Generation: h.search.generation, Subscriptions: []Subscription{},
		}
		if h.due > 0 {
			s.Oldest = h.oldest.UTC()
		}
		for _, by := range h.subscribers {
			s.Subscriptions = append(s.Subscriptions, Subscription{
				ID: by.id, Position: by.position, Delivered: by.delivered, Since: by.since,
				Due: by.states[string(event.Due)], Dead: by.states[string(event.Dead)], Discarded: by.states[string(event.Discarded)],
			})
		}
		all = append(all, s)
	}
	return all
}

func (r Report) writeStreams(b *strings.Builder) {
	if len(r.Streams) == 0 {
		return
	}
	table := [][]string{{"home", "head", "not left", "searchable", "subscription", "position", "delivered", "due", "dead", "discarded"}}
	for _, s := range r.Streams {
		line := []string{string(s.Home), count(int64(s.Head)), count(s.Due), count(int64(s.Searchable)), "", "", "", "", "", ""}
		for _, by := range s.Subscriptions {
			copy(line[4:], []string{by.ID, count(int64(by.Position)), count(by.Delivered), count(by.Due), count(by.Dead), count(by.Discarded)})
			table = append(table, line)
			line = make([]string, len(line))
		}
		if len(s.Subscriptions) == 0 {
			table = append(table, line)
		}
	}
	writeTable(b, table, "lrrrlrrrrr")
	b.WriteString("\n")
}
