package weak

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Ledger counts attempts for each account of each service, over all runs of a
// scanner and over its restarts: an attempt is written down before it is made.
type Ledger struct {
	mu   sync.Mutex
	f    *os.File
	made map[string][]int64 // Unix seconds, by account
	now  func() time.Time
}

// kept is how long attempts are remembered: the longest window there is.
const kept = 7 * 24 * time.Hour

type entry struct {
	Key string `json:"k"`
	At  int64  `json:"t"`
}

// OpenLedger opens the ledger of a folder. Without a folder it lives in memory.
func OpenLedger(dir string) (*Ledger, error) {
	l := &Ledger{made: map[string][]int64{}, now: time.Now}
	if dir == "" {
		return l, nil
	}
	path := filepath.Join(dir, "attempts.jsonl")
	old, err := os.Open(path)
	if err == nil {
		lines := bufio.NewScanner(old)
		for lines.Scan() {
			var e entry
			if json.Unmarshal(lines.Bytes(), &e) == nil && e.At > l.now().Add(-kept).Unix() {
				l.made[e.Key] = append(l.made[e.Key], e.At)
			}
		}
		_ = old.Close()
	} else if !os.IsNotExist(err) {
		return nil, fmt.Errorf("the ledger of attempts: %w", err)
	}
	// Anew without what is over; the old one stays until the new one is whole.
	if l.f, err = os.CreateTemp(dir, ".attempts-*"); err != nil {
		return nil, fmt.Errorf("the ledger of attempts: %w", err)
	}
	w := bufio.NewWriter(l.f)
	for key, times := range l.made {
		for _, at := range times {
			line, _ := json.Marshal(entry{key, at}) // It can be.
			_, _ = w.Write(append(line, '\n'))
		}
	}
	if err := w.Flush(); err == nil {
		err = os.Rename(l.f.Name(), path)
	}
	if err != nil {
		_ = l.f.Close()
		return nil, fmt.Errorf("the ledger of attempts: %w", err)
	}
	return l, nil
}

// Take writes an attempt down, unless the account had most of them within the window.
func (l *Ledger) Take(key string, most int, window time.Duration) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	n := 0
	for _, at := range l.made[key] {
		if at > now.Add(-window).Unix() {
			n++
		}
	}
	if n >= most {
		return false, nil
	}
	if l.f != nil {
		line, err := json.Marshal(entry{key, now.Unix()})
		if err == nil {
			_, err = l.f.Write(append(line, '\n'))
		}
		if err != nil {
			return false, fmt.Errorf("the ledger of attempts: %w", err) // What cannot be counted is not tried.
		}
	}
	l.made[key] = append(l.made[key], now.Unix())
	return true, nil
}

// Close closes the ledger.
func (l *Ledger) Close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
