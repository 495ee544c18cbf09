package policy

import (
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Record is one decision as it is logged.
type Record struct {
	ID        string // of the request
	Time      time.Time
	Actor     string
	Operation string
	Address   string
	Decision  Decision
}

// logged is a record in the form of Open Policy Agent's decision logs, so that
// what reads those reads ours.
type logged struct {
	DecisionID string    `json:"decision_id"`
	Timestamp  time.Time `json:"timestamp"`
	Path       string    `json:"path"`
	Input      struct {
		Actor     string `json:"actor"`
		Operation string `json:"operation"`
		Address   string `json:"address"`
	} `json:"input"`
	Result Decision `json:"result"`
}

// Log writes decisions, one JSON object a line, without making anybody wait:
// where the writer cannot keep up, decisions are left out and counted.
type Log struct {
	out   io.WriteCloser
	queue chan Record
	done  chan struct{}
	log   *slog.Logger
	once  sync.Once
}

// NewLog starts a decision log on out. Close it to write what is waiting.
func NewLog(out io.WriteCloser, log *slog.Logger) *Log {
	l := &Log{out: out, queue: make(chan Record, 4096), done: make(chan struct{}), log: log}
	go l.write()
	return l
}

// Log notes one decision.
func (l *Log) Log(r Record) {
	select {
	case l.queue <- r:
	default:
		l.log.Warn("a decision is not in the decision log: its writer is behind", "operation", r.Operation, "actor", r.Actor, "allow", r.Decision.Allow)
	}
}

// Close writes what is waiting and closes the file. Nothing may be logged
// after it.
func (l *Log) Close() error {
	l.once.Do(func() { close(l.queue) })
	<-l.done
	return l.out.Close()
}

func (l *Log) write() {
	defer close(l.done)
	failed := false
	enc := json.NewEncoder(l.out)
	for r := range l.queue {
		x := logged{DecisionID: r.ID, Timestamp: r.Time.UTC(), Path: "icewatch/access/decision", Result: r.Decision}
		x.Input.Actor, x.Input.Operation, x.Input.Address = r.Actor, r.Operation, r.Address
		err := enc.Encode(x)
		if err != nil && !failed {
			l.log.Error("the decision log cannot be written", "error", err)
		}
		failed = err != nil
	}
}
