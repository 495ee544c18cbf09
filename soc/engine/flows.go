package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/enrich"
	"icewatch/soc/flows/ledger"
)

// edgesFolder holds the ledger of flows; SQLite has several files.
const edgesFolder = "flows"

// openEdges opens the ledger of flows at its own place on the bus. One that is
// damaged is set aside, and a new one begins.
func (e *Engine) openEdges(ctx context.Context, st bus.State) error {
	path := filepath.Join(e.path(edgesFolder), "edges.db")
	opts := ledger.Options{Log: e.log}
	l, err := ledger.Open(ctx, path, e.epoch, opts)
	if err != nil && ctx.Err() == nil {
		e.log.Error("engine: the ledger of flows is not usable and set aside", "file", path, "error", err)
		folder, ferr := damage.New(e.opts.damaged(), "engine")
		if ferr == nil {
			folder.Note.Severity = condition.Medium
			folder.Note.Text = condition.Text{
				ZH: "流量关系台账损坏，已隔离；通信关系的首次与末次出现时间从现在起重新记录，流量事件本身不受影响",
				EN: "the ledger of flows is damaged and set aside; first and last seen of connections are noted anew from now on, the flows themselves are not affected",
			}
			folder.Note.Items = []damage.Item{{Path: edgesFolder, Why: err.Error(), Kept: edgesFolder}}
			ferr = errors.Join(folder.Save(), folder.Move(e.path(edgesFolder), edgesFolder))
		}
		if ferr != nil {
			return fmt.Errorf("engine: %w", errors.Join(err, ferr))
		}
		if err = os.MkdirAll(e.path(edgesFolder), 0o700); err == nil {
			l, err = ledger.Open(ctx, path, e.epoch, opts)
		}
	}
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	e.edges = l
	// A ledger younger than the bus begins with what the bus still holds.
	if st.Messages > 0 {
		e.from = min(e.from, max(l.Position()+1, st.First))
	}
	return nil
}

// edgesStage takes the flows of each batch into the ledger, which keeps its
// own place on the bus.
func (e *Engine) edgesStage(ctx context.Context, batches <-chan *batch, done func(*batch)) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case b := <-batches:
			if b.seq > e.edges.Position() {
				for i := range b.items {
					if it := &b.items[i]; !it.repeat {
						e.edges.Observe(&it.ev)
					}
				}
				e.edges.Done(b.seq)
			}
			done(b)
		case <-second.C:
		case <-ctx.Done():
			return nil
		}
		if err := e.edges.Save(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("engine: %w", err)
		}
	}
}

// known is what the enrichment index knows of an address.
type known struct {
	Internal bool         `json:"internal"`
	Item     *enrich.Item `json:"item,omitempty"`
}

// flowHandlers answers what soc/flows asks of the ledger and of the index.
func (e *Engine) flowHandlers(mux *http.ServeMux) {
	one := func(name string, answer func(ctx context.Context, r *http.Request) (any, error)) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeoutCause(r.Context(), queryTimeout, fmt.Errorf("the ledger did not answer within %s", queryTimeout))
			defer cancel()
			out := bufio.NewWriter(w)
			v, err := answer(ctx, r)
			if err == nil {
				err = json.NewEncoder(out).Encode(v)
			}
			_ = json.NewEncoder(out).Encode(judge(err))
			_ = out.Flush()
		})
	}
	one("edges", func(ctx context.Context, r *http.Request) (any, error) {
		var q ledger.Query
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxQuestion)).Decode(&q); err != nil {
			return nil, err
		}
		list, more, err := e.edges.Edges(ctx, q)
		return edgesAnswer{list, more}, err
	})
	one("places", func(_ context.Context, r *http.Request) (any, error) {
		var places []ledger.Place
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxQuestion)).Decode(&places); err != nil {
			return nil, err
		}
		x := e.pipe.Index()
		list := make([]known, len(places))
		for i, p := range places {
			addr, err := netip.ParseAddr(p.Address)
			if x == nil || err != nil {
				continue
			}
			if it, ok := x.At(p.Zone, addr); ok {
				list[i].Item = &it
			}
			list[i].Internal = x.Internal(p.Zone, addr)
		}
		return list, nil
	})
}

type edgesAnswer struct {
	Edges []ledger.Edge `json:"edges"`
	More  bool          `json:"more"`
}

// Edges asks the ledger of flows. The query must name its reach.
func (c *Client) Edges(ctx context.Context, q ledger.Query) (edges []ledger.Edge, more bool, err error) {
	var a edgesAnswer
	err = c.ask(ctx, "edges", q, into(&a))
	return a.Edges, a.More, err
}

// Places asks what the CMDB knows of addresses: the item, nil where there is
// none, and whether the address is the city's. Whether the item may be named
// is for the caller to judge.
func (c *Client) Places(ctx context.Context, places []ledger.Place) (items []*enrich.Item, internal []bool, err error) {
	var list []known
	if err := c.ask(ctx, "places", places, into(&list)); err != nil {
		return nil, nil, err
	}
	if len(list) != len(places) {
		return nil, nil, fmt.Errorf("engine: %d answers to %d addresses", len(list), len(places))
	}
	for _, k := range list {
		items, internal = append(items, k.Item), append(internal, k.Internal)
	}
	return items, internal, nil
}
