package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// sampleHolds keep the engine from letting go of samples on the bus that
// somebody still forwards. Each ends by itself where it is not asked for again,
// and all give way before the stream is full: forwarding holds back nobody.
type sampleHolds struct {
	mu   sync.Mutex
	held map[string]sampleHold
}

type sampleHold struct {
	From  uint64    `json:"from"`  // the first batch that is still needed
	Until time.Time `json:"until"` // when it ends
}

// maxHeldSamples bounds what is held in bytes of the stream.
const maxHeldSamples = 256 << 20

// set makes a hold, or renews it.
func (h *sampleHolds) set(who string, x sampleHold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[string]sampleHold{}
	}
	h.held[who] = x
}

// floor is up to where batches may go, of those that are settled.
func (h *sampleHolds) floor(settled uint64, streamBytes uint64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	for who, x := range h.held {
		if time.Now().After(x.Until) {
			delete(h.held, who)
			continue
		}
		if streamBytes < maxHeldSamples {
			settled = min(settled, x.From)
		}
	}
	return settled
}

type sampleHoldQuestion struct {
	Who  string        `json:"who"`
	From uint64        `json:"from"`
	For  time.Duration `json:"for"`
}

func (e *Engine) sampleHoldHandlers(mux *http.ServeMux) {
	mux.HandleFunc("POST /hold-samples", func(w http.ResponseWriter, r *http.Request) {
		var q sampleHoldQuestion
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.sampleHolds.set(q.Who, sampleHold{From: q.From, Until: time.Now().Add(min(q.For, maxHold))})
		w.WriteHeader(http.StatusNoContent)
	})
}

// HoldSamples keeps the engine from letting go of samples on the bus from a
// batch on, for d; who tells holds apart.
func (c *Client) HoldSamples(ctx context.Context, who string, from uint64, d time.Duration) error {
	resp, err := c.post(ctx, "hold-samples", sampleHoldQuestion{who, from, d})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("engine: hold samples: status %d", resp.StatusCode)
	}
	return nil
}
