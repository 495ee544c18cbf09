package audit

import (
	"fmt"
	"io"
	"sync"
)

// kinds and results are those of records, as their figures name them.
var (
	kinds   = []string{KindSignIn, KindSignOut, KindChange, KindRead, KindAccess, KindSystem}
	results = []string{OK, Failed, Denied}
)

// counts are the records since the start, by kind and result.
type counts struct {
	mu sync.Mutex
	n  map[[2]string]uint64
}

func (c *counts) add(rec Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[[2]string]uint64{}
	}
	c.n[[2]string{rec.Kind, rec.Result}]++
}

// WriteMetrics writes how many records came since the start, repetitions that
// were merged into one too, in Prometheus' text format.
func (l *Log) WriteMetrics(w io.Writer) error {
	l.counts.mu.Lock()
	defer l.counts.mu.Unlock()
	for _, kind := range kinds {
		for _, result := range results {
			if _, err := fmt.Fprintf(w, "icewatch_audit_events_total{kind=%q,result=%q} %d\n", kind, result, l.counts.n[[2]string{kind, result}]); err != nil {
				return err
			}
		}
	}
	return nil
}
