package attempt

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// Other stands for what is no word, or one word too many.
const Other = "other"

// Word returns a cause where it is 1 to 32 of a-z 0-9 _, which is what metrics and tables are to hold.
func Word(cause string) string {
	if cause == "" || len(cause) > 32 || strings.Trim(cause, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return Other
	}
	return cause
}

// Causes are the words seen so far. There are a few dozen; who makes up words must not make labels without end. The zero value is ready, and
// safe for concurrent use.
type Causes struct {
	mu   sync.Mutex
	seen map[string]struct{}
}

const maxCauses = 64

// Label returns a cause as a label of a metric: Other where it is one word too many, and nothing for nothing.
func (c *Causes) Label(cause string) string {
	if cause == "" {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.seen[cause]; !known {
		if len(c.seen) >= maxCauses {
			return Other
		}
		if c.seen == nil {
			c.seen = map[string]struct{}{}
		}
		c.seen[cause] = struct{}{}
	}
	return cause
}

// Brief bounds a text that came from elsewhere to 500 bytes and a sign, and drops what a table does not take.
func Brief(text string) string {
	const most = 500
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "")
	if len(text) <= most {
		return text
	}
	cut := most
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
