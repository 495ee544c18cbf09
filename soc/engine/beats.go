package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"icewatch/soc/rhythm/beat"
)

// beatHandlers tell how many events of which origin came when.
func (e *Engine) beatHandlers(mux *http.ServeMux) {
	mux.HandleFunc("GET /beats/{from}", func(w http.ResponseWriter, r *http.Request) {
		from, err := strconv.ParseInt(r.PathValue("from"), 10, 64)
		if err != nil {
			http.Error(w, "a slot's number is expected", http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(e.beats.Tell(from))
	})
}

// Beats asks the engine for the counts of events by tenant, source and dataset,
// from a slot on.
func (c *Client) Beats(ctx context.Context, from int64) (b beat.Beats, err error) {
	err = c.get(ctx, "beats/"+strconv.FormatInt(from, 10), &b)
	return b, err
}
