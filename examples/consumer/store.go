package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// store keeps the events that were taken: a line each, in a file that only grows, and all ids in memory. That is enough for a reference. A real
// consumer keeps the id in the database that it acts on, in the same transaction, and forgets ids after the longest time in which
// a replay may send them again.
//
// It is safe for concurrent use by one process.
type store struct {
	mu     sync.Mutex
	file   *os.File
	ledger *ledger
	at     map[string]int64 // by home
	broken error
}

// openStore reads what is there. A last line without its end is from a crash, before anybody was told that it was taken, and is cut off.
func openStore(path string, patience time.Duration) (*store, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	s := &store{file: f, ledger: newLedger(patience), at: map[string]int64{}}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	return s, nil
}

func (s *store) load() error {
	all, err := io.ReadAll(s.file)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(all, '\n') + 1
	for n, line := range bytes.Split(bytes.TrimSuffix(all[:whole], []byte("\n")), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		e, err := parseEvent(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		s.keep(e)
	}
	if err := s.file.Truncate(int64(whole)); err != nil {
		return err
	}
	_, err = s.file.Seek(int64(whole), io.SeekStart)
	return err
}

// take writes an event down and acts on it, or does nothing where it was taken before. When it returns without an error, the event survives a
// crash. After an error of the disk nothing more is taken: how much was written is not known.
func (s *store) take(e event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	if s.ledger.knows(e.ID) {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err = s.file.Write(append(line, '\n')); err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		s.broken = fmt.Errorf("write an event down: %w", err)
		return s.broken
	}
	s.keep(e)
	return nil
}

// keep is for who holds the lock.
func (s *store) keep(e event) {
	s.ledger.take(e, time.Now())
	s.at[e.Home] = max(s.at[e.Home], e.place())
}

// watch ends the waiting of events whose patience is over, until the context ends.
func (s *store) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.mu.Lock()
			s.ledger.expire(now)
			s.mu.Unlock()
		}
	}
}

// position is the newest of a home. Who subscribes takes a home in order, so that everything up to it was taken.
func (s *store) position(home string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at[home]
}

func (s *store) summary() summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.expire(time.Now())
	all := s.ledger.summary()
	all.Positions = map[string]int64{}
	for home, at := range s.at {
		all.Positions[home] = at
	}
	return all
}

func (s *store) close() error { return s.file.Close() }
