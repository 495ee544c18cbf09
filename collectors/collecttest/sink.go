// Package collecttest holds the stand-ins that the collectors' tests share: a
// sink and an aside store in memory, which can be made to refuse.
package collecttest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"icewatch/soc/intake"
)

// Sink keeps what it is given. Its zero value is ready.
type Sink struct {
	mu      sync.Mutex
	records []intake.Record
	calls   int
	refuse  error
	delay   time.Duration
}

var _ intake.Sink = (*Sink)(nil)

// Append keeps copies of recs, or answers what Refuse set.
func (s *Sink) Append(ctx context.Context, recs []intake.Record) error {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.calls++
	for _, r := range recs {
		if len(r.Data) > intake.MaxData {
			return errors.New("a record is longer than intake.MaxData")
		}
		r.Data = bytes.Clone(r.Data)
		r.Marks = slices.Clone(r.Marks)
		r.Attrs = slices.Clone(r.Attrs)
		s.records = append(s.records, r)
	}
	return nil
}

// Refuse makes Append answer err from now on; nil ends it.
func (s *Sink) Refuse(err error) {
	s.mu.Lock()
	s.refuse = err
	s.mu.Unlock()
}

// Delay makes each Append take that long.
func (s *Sink) Delay(d time.Duration) {
	s.mu.Lock()
	s.delay = d
	s.mu.Unlock()
}

// Records returns what has been kept so far.
func (s *Sink) Records() []intake.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Texts returns the data of the records.
func (s *Sink) Texts() []string {
	var texts []string
	for _, r := range s.Records() {
		texts = append(texts, string(r.Data))
	}
	return texts
}

// Calls tells how many times Append kept something.
func (s *Sink) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Wait waits until there are n records.
func (s *Sink) Wait(t testing.TB, n int) []intake.Record {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		if r := s.Records(); len(r) >= n {
			return r
		}
		if time.Now().After(end) {
			t.Fatalf("%d records came, %d were expected", len(s.Records()), n)
		}
	}
}

// Aside keeps texts in memory. Its zero value is ready.
type Aside struct {
	mu    sync.Mutex
	texts map[string][]byte
	Err   error // what Put answers, where set
}

var _ intake.AsideStore = (*Aside)(nil)

// Put keeps a copy of text.
func (a *Aside) Put(tenant string, text []byte) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Err != nil {
		return "", a.Err
	}
	h := sha256.Sum256(text)
	sum := hex.EncodeToString(h[:])
	if a.texts == nil {
		a.texts = make(map[string][]byte)
	}
	a.texts[tenant+"/"+sum] = bytes.Clone(text)
	return sum, nil
}

// Get returns what Put kept.
func (a *Aside) Get(tenant, sum string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text, ok := a.texts[tenant+"/"+sum]
	if !ok {
		return nil, os.ErrNotExist
	}
	return text, nil
}
