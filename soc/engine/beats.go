package engine

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"icewatch/soc/rhythm/beat"
	"icewatch/soc/search"
)

// maxBeats bounds what the engine tells of its counts, in bytes: some 500 for
// each of the keys that are counted apart.
const maxBeats = 64 << 20

// beatHandlers tell how many events of which origin came when.
func (e *Engine) beatHandlers(mux *http.ServeMux) {
	mux.HandleFunc("GET /beats/{from}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		from, err := strconv.ParseInt(r.PathValue("from"), 10, 64)
		if err != nil {
			http.Error(w, "a slot's number is expected", http.StatusBadRequest)
			return
		}
		round, err := strconv.ParseUint(q.Get("round"), 10, 64)
		if err != nil {
			http.Error(w, "round: a number is expected", http.StatusBadRequest)
			return
		}
		b := e.beats.Tell(beat.Mark{Run: q.Get("run"), Round: round}, from)
		text, _ := b.AppendBinary(nil)
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(text)
	})
}

// Beats asks the engine for the counts of events by tenant, source and dataset
// from a slot on, of those that were counted since the mark.
func (c *Client) Beats(ctx context.Context, since beat.Mark, from int64) (beat.Beats, error) {
	what := "beats/" + strconv.FormatInt(from, 10) + "?" + url.Values{"run": {since.Run}, "round": {strconv.FormatUint(since.Round, 10)}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/"+what, nil)
	if err != nil {
		return beat.Beats{}, fmt.Errorf("engine: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return beat.Beats{}, fmt.Errorf("%w: %w", search.ErrUnavailable, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return beat.Beats{}, fmt.Errorf("%w: beats: the engine is not ready to tell (%s)", search.ErrUnavailable, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxBeats+1))
	if err != nil {
		return beat.Beats{}, fmt.Errorf("%w: beats: %w", search.ErrUnavailable, err)
	}
	if len(text) > maxBeats {
		return beat.Beats{}, fmt.Errorf("engine: beats: more than %d bytes", maxBeats)
	}
	return beat.Parse(text)
}
