package main

import (
	"crypto/sha256"
	"encoding/json"
	"sync"

	"github.com/meridian-ledger/meridian/internal/event/eventtest"
)

// forms holds each different body against what is published about events, once: most come to several consumers, and again.
type forms struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]error
}

func (f *forms) check(body []byte) error {
	sum := sha256.Sum256(body)
	f.mu.Lock()
	defer f.mu.Unlock()
	err, known := f.known[sum]
	if !known {
		err = eventtest.Check(body)
		f.known[sum] = err
	}
	return err
}

// structured puts together again what came in the binary mode: attributes beside, and the data.
func structured(attributes map[string]string, data []byte) ([]byte, error) {
	all := map[string]any{"data": json.RawMessage(data)}
	for name, value := range attributes {
		all[name] = value
	}
	return json.Marshal(all)
}
