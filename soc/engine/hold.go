package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"icewatch/soc/search"
)

// maxHold is the longest a hold lasts without being asked for again.
const maxHold = 5 * time.Minute

// hold keeps the engine from letting go of batches on the bus, while a backup
// is taken that needs them. It ends by itself where nobody asks for it again.
type hold struct {
	mu    sync.Mutex
	since time.Time // when the present hold began
	until time.Time
}

// extend holds for d from now and returns since when it is held without a gap.
func (h *hold) extend(d time.Duration) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if now.After(h.until) {
		h.since = now
	}
	h.until = now.Add(min(d, maxHold))
	return h.since
}

func (h *hold) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.until = time.Time{}
}

// unlessHeld calls f where nothing is held. A hold that is asked for meanwhile
// begins when f is done.
func (h *hold) unlessHeld(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if time.Now().After(h.until) {
		f()
	}
}

// holdHandlers answers on the private socket: POST /hold?seconds=60 holds or
// goes on holding, DELETE /hold ends it.
func (e *Engine) holdHandlers(mux *http.ServeMux) {
	mux.HandleFunc("POST /hold", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Query().Get("seconds"))
		if err != nil || n < 1 {
			http.Error(w, "seconds must be a whole number from 1 on", http.StatusBadRequest)
			return
		}
		since := e.hold.extend(time.Duration(n) * time.Second)
		_ = json.NewEncoder(w).Encode(map[string]time.Time{"since": since})
	})
	mux.HandleFunc("DELETE /hold", func(w http.ResponseWriter, _ *http.Request) {
		e.hold.end()
		w.WriteHeader(http.StatusNoContent)
	})
}

// Hold keeps the engine from letting go of batches on the bus for d, and tells
// since when it has done so without a gap: another time than the call before
// told means that there was one. Ask again before d is over.
func (c *Client) Hold(ctx context.Context, d time.Duration) (since time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://engine/hold?seconds=%d", int(d.Seconds())), nil)
	if err != nil {
		return time.Time{}, fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	var answer struct{ Since time.Time }
	if resp.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("engine: hold: it answered %s", resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return time.Time{}, fmt.Errorf("engine: hold: %w", err)
	}
	return answer.Since, nil
}

// EndHold lets the engine let go of batches again.
func (c *Client) EndHold(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://engine/hold", nil)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	return resp.Body.Close()
}
