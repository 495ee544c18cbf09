package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"icewatch/soc/intake"
	"icewatch/soc/pipeline/processing"
)

// TopicProcessing carries the processing rules, a JSON list of processing.Rule.
const TopicProcessing = "processing"

// A batch that is read again after a crash must be folded as it was the first
// time, or repeats would count twice or not at all. So which rules were in
// force from which batch on is kept beside the checkpoint, and each batch is
// processed by those that were in force when it came first.

const processingFile = "processing.json"

// treatment is the processing rules in force.
type treatment struct {
	next atomic.Pointer[[]processing.Rule] // came and is not in force yet

	history history // of the parsing stage
	set     *processing.Set
	until   uint64 // batches before it are processed by set; 0: all further ones

	mu     sync.Mutex
	counts map[string]uint64 // of sets that were in force
	now    *processing.Set   // as set, for Counts
}

// history is the rules by the batch from which on they are in force.
type history struct {
	Epoch    string    `json:"epoch"`
	Versions []version `json:"versions"`
}

type version struct {
	From  uint64            `json:"from"`
	Rules []processing.Rule `json:"rules"`
}

// takeProcessing keeps rules for the next batch.
func (e *Engine) takeProcessing(data []byte) error {
	var rules []processing.Rule
	if err := json.Unmarshal(data, &rules); err != nil {
		return err
	}
	e.treat.next.Store(&rules)
	return nil
}

// openProcessing reads which rules were in force when.
func (e *Engine) openProcessing() {
	h := &e.treat.history
	if e.trusted(processingFile, h, "日志加工规则的历史文件损坏，已隔离；最近一个归并窗口内的重复次数可能不准", "the history of processing rules is damaged and set aside; counts of repeats within the last window may be wrong") != nil {
		*h = history{}
	}
	if h.Epoch != e.epoch {
		if n := len(h.Versions); n > 0 {
			h.Versions = []version{{Rules: h.Versions[n-1].Rules}}
		}
		h.Epoch = e.epoch
	}
}

// processBy puts the rules in force by which the batch seq is to be processed.
// New ones come into force with a batch of which the lake can have nothing yet.
func (e *Engine) processBy(seq uint64) {
	t := &e.treat
	if next := t.next.Load(); next != nil && seq > t.history.last(max(e.begun.Stored, e.through)) {
		if e.renewProcessing(seq, *next) {
			t.next.CompareAndSwap(next, nil)
		}
	}
	if t.set != nil && (t.until == 0 || seq < t.until) {
		return
	}
	var rules []processing.Rule
	t.until = 0
	for _, v := range t.history.Versions {
		if v.From > seq {
			t.until = v.From
			break
		}
		rules = v.Rules
	}
	set, problems := processing.Compile(rules, e.reg)
	for id, err := range problems {
		e.log.Error("engine: a processing rule is not in force", "rule", id, "error", err)
	}
	t.mu.Lock()
	for id, n := range t.set.Counts() {
		if t.counts == nil {
			t.counts = map[string]uint64{}
		}
		t.counts[id] += n
	}
	t.now = set
	t.mu.Unlock()
	t.set = set
}

// last is the batch from which on the newest rules are in force.
func (h *history) last(least uint64) uint64 {
	if n := len(h.Versions); n > 0 {
		return max(h.Versions[n-1].From, least)
	}
	return least
}

// renewProcessing notes that rules are in force from the batch seq on, and
// tells whether they are; where the note cannot be saved those before stay.
func (e *Engine) renewProcessing(seq uint64, rules []processing.Rule) bool {
	h := &e.treat.history
	if n := len(h.Versions); n > 0 {
		before, _ := json.Marshal(h.Versions[n-1].Rules) // rules always encode
		if now, _ := json.Marshal(rules); string(before) == string(now) {
			return true
		}
	}
	fresh := history{Epoch: h.Epoch}
	for i, v := range h.Versions {
		if i+1 == len(h.Versions) || h.Versions[i+1].From > e.settled.Load() {
			fresh.Versions = append(fresh.Versions, v)
		}
	}
	fresh.Versions = append(fresh.Versions, version{From: seq, Rules: rules})
	if err := e.saved(processingFile, writeJSON(e.path(processingFile), fresh)); err != nil {
		e.log.Error("engine: new processing rules wait until their history can be saved", "error", err)
		return false
	}
	*h = fresh
	e.treat.until = seq
	return true
}

// A window ends with the first batch after it. Where none comes for so long an
// empty one is made.
const (
	windowWaits = 2 * time.Second
	windowTries = 5 * time.Second
)

// tickWindows makes an empty batch, which ends the windows that are over.
func (e *Engine) tickWindows(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, windowTries)
	defer cancel()
	if err := e.client.PublishRaw(ctx, intake.AppendBatch(nil, nil)); err != nil && ctx.Err() == nil {
		e.log.Warn("engine: repeats wait for the next event to be told", "error", err)
	}
}

// ProcessingCounts are how many events processing rules were applied to since
// the engine started.
type ProcessingCounts struct {
	Rules   map[string]uint64 `json:"rules"` // by the rule's id
	Folded  uint64            `json:"folded"`
	Dropped uint64            `json:"dropped"`
}

func (e *Engine) processingHandlers(mux *http.ServeMux) {
	mux.HandleFunc("GET /processing", func(w http.ResponseWriter, _ *http.Request) {
		t := &e.treat
		t.mu.Lock()
		out := ProcessingCounts{Rules: t.now.Counts(), Folded: e.folded.Load(), Dropped: e.dropped.Load()}
		for id, n := range t.counts {
			out.Rules[id] += n
		}
		t.mu.Unlock()
		_ = json.NewEncoder(w).Encode(out)
	})
}

// Processing asks the engine how often processing rules were applied.
func (c *Client) Processing(ctx context.Context) (out ProcessingCounts, err error) {
	err = c.get(ctx, "processing", &out)
	return out, err
}
