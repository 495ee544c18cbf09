// Package elasticbulk takes in what Elasticsearch's clients and shippers send
// to the bulk API: POST /elastic/_bulk and /elastic/{index}/_bulk. Each
// document becomes a JSON record. An answer with status 201 for an item means
// that its document is on disk.
//
// What differs from Elasticsearch: the store is append-only, so update and
// delete are refused item by item; "create" of an _id that exists answers 201,
// because the copy is dropped later, when the pipeline compares ids. The last
// line needs no line end. The parameters refresh, pipeline, routing,
// require_alias and timeout change nothing; filter_path picks from the answer.
package elasticbulk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fastjson"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/elastic/filterpath"
	"icewatch/soc/intake"
)

// ID is the collector's name in records and metrics.
const ID = "elastic-bulk"

// Options tune a Handler. The zero value gives the defaults.
type Options struct {
	Limits   webbody.Limits
	MaxItems int    // actions in one request; 0 is 100,000
	Zone     string // network zone of the senders
	Metrics  *metrics.Set
	Log      *slog.Logger
}

// Handler serves the bulk API.
type Handler struct {
	sink     intake.Sink
	aside    intake.AsideStore
	who      func(*fiber.Ctx) string
	opts     Options
	counters *collectors.Counters
	parsers  fastjson.ParserPool
	works    sync.Pool
}

// New makes a Handler. who tells the tenant a request writes for, as the
// authentication before it decided; "" leaves that to the pipeline.
func New(sink intake.Sink, aside intake.AsideStore, who func(*fiber.Ctx) string, opts Options) *Handler {
	opts.Limits.Fill()
	if opts.MaxItems <= 0 {
		opts.MaxItems = 100_000
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{sink: sink, aside: aside, who: who, opts: opts, counters: collectors.NewCounters(opts.Metrics, ID)}
	h.counters.Running(true)
	return h
}

// Mount adds the routes below router: /elastic/…
func (h *Handler) Mount(router fiber.Router) {
	router.Post("/elastic/_bulk", h.bulk)
	router.Put("/elastic/_bulk", h.bulk)
	router.Post("/elastic/:index/_bulk", h.bulk)
	router.Put("/elastic/:index/_bulk", h.bulk)
}

// Health tells how the source fares.
func (h *Handler) Health() collectors.Health {
	return h.counters.Health(ID, "elastic_bulk", "/elastic/_bulk")
}

func product(c *fiber.Ctx) {
	// The official clients refuse answers without it.
	c.Set("X-Elastic-Product", "Elasticsearch")
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
}

// failure is Elasticsearch's shape of a refused request.
func failure(c *fiber.Ctx, status int, kind, reason string) error {
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	root := cause{kind, reason}
	return c.Status(status).JSON(struct {
		Error struct {
			RootCause []cause `json:"root_cause"`
			cause
		} `json:"error"`
		Status int `json:"status"`
	}{
		Error: struct {
			RootCause []cause `json:"root_cause"`
			cause
		}{[]cause{root}, root},
		Status: status,
	})
}

// item is the verdict on one action.
type item struct {
	action, index, id string
	errType, reason   string // empty where the document was stored
}

// work is the memory of one request.
type work struct {
	items   []item
	records []intake.Record
	out     []byte
}

func (h *Handler) bulk(c *fiber.Ctx) error {
	start := time.Now()
	product(c)
	body, err := webbody.Read(c, h.opts.Limits)
	if err != nil {
		h.counters.Rejected(1)
		var r *webbody.Refusal
		errors.As(err, &r)
		return failure(c, r.Status, refusalType(r.Status), r.Reason)
	}
	defer body.Release()
	w, _ := h.works.Get().(*work)
	if w == nil {
		w = new(work)
	}
	defer h.recycle(w)

	base := intake.Record{Tenant: h.who(c), Zone: h.opts.Zone, Collector: ID, Format: intake.JSON,
		Peer: webbody.Peer(c), Received: start.UnixNano()}
	if r := h.read(w, body.Bytes, c.Params("index"), base); r != nil {
		h.counters.Rejected(1)
		return failure(c, r.Status, refusalType(r.Status), r.Reason)
	}
	if err := h.store(c.Context(), w.records); err != nil {
		h.counters.Rejected(len(w.records))
		var over *intake.OverQuota
		if errors.As(err, &over) {
			c.Set(fiber.HeaderRetryAfter, strconv.Itoa(over.RetryAfter(time.Now())))
			return failure(c, http.StatusTooManyRequests, "es_rejected_execution_exception", "rejected execution of bulk request: "+err.Error())
		}
		if errors.Is(err, intake.ErrFull) {
			c.Set(fiber.HeaderRetryAfter, "1")
			return failure(c, http.StatusTooManyRequests, "es_rejected_execution_exception", "rejected execution of bulk request: "+err.Error())
		}
		h.counters.Failed(err)
		h.opts.Log.Error("a bulk request could not be stored", "error", err, "documents", len(w.records))
		return failure(c, http.StatusServiceUnavailable, "unavailable_shards_exception", err.Error())
	}
	h.counters.Failed(nil)
	w.out = answer(w.out[:0], w.items, time.Since(start))
	if paths := c.Query("filter_path"); paths != "" {
		picked, err := filterpath.Pick(w.out, paths)
		if err != nil {
			return err
		}
		c.Response().SetBody(picked)
		return nil
	}
	// SetBody copies. Ctx.Send would keep w.out, which the next request writes
	// over before this answer has gone out.
	c.Response().SetBody(w.out)
	return nil
}

func (h *Handler) recycle(w *work) {
	if cap(w.records) > 20_000 || cap(w.out) > 4<<20 {
		return
	}
	clear(w.items)
	clear(w.records)
	w.items, w.records = w.items[:0], w.records[:0]
	h.works.Put(w)
}

func refusalType(status int) string {
	switch status {
	case http.StatusRequestEntityTooLarge:
		return "content_too_long_exception"
	case http.StatusUnsupportedMediaType:
		return "media_type_header_exception"
	}
	return "illegal_argument_exception"
}

// store hands the valid documents over in one piece.
func (h *Handler) store(ctx context.Context, recs []intake.Record) error {
	if len(recs) == 0 {
		return nil
	}
	size := 0
	for i := range recs {
		r := &recs[i]
		size += len(r.Data)
		if len(r.Data) > intake.MaxData {
			r.Format = intake.Line // A cut object is no object any more.
			if err := collectors.Fit(h.aside, r); err != nil {
				h.opts.Log.Warn("a long document could not be kept whole", "error", err, "tenant", r.Tenant)
			}
		}
	}
	if err := h.sink.Append(ctx, recs); err != nil {
		return err
	}
	h.counters.Received(len(recs), size)
	return nil
}

// answer renders the response: {"errors":…,"took":…,"items":[…]}.
func answer(dst []byte, items []item, took time.Duration) []byte {
	failed := false
	missing := 0
	for i := range items {
		failed = failed || items[i].errType != ""
		if items[i].id == "" {
			missing++
		}
	}
	var random []byte
	if missing > 0 {
		random = make([]byte, 15*missing)
		rand.Read(random) // It never fails.
	}
	dst = append(dst, `{"errors":`...)
	if failed {
		dst = append(dst, "true"...)
	} else {
		dst = append(dst, "false"...)
	}
	dst = append(dst, `,"took":`...)
	dst = appendInt(dst, int(took.Milliseconds()))
	dst = append(dst, `,"items":[`...)
	for i := range items {
		it := &items[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"`...)
		dst = append(dst, it.action...)
		dst = append(dst, `":{"_index":`...)
		dst = appendString(dst, it.index)
		dst = append(dst, `,"_id":`...)
		if it.id == "" {
			dst = append(dst, '"')
			dst = base64.RawURLEncoding.AppendEncode(dst, random[:15])
			dst = append(dst, '"')
			random = random[15:]
		} else {
			dst = appendString(dst, it.id)
		}
		if it.errType == "" {
			dst = append(dst, `,"_version":1,"result":"created","_shards":{"total":1,"successful":1,"failed":0},"status":201}}`...)
			continue
		}
		dst = append(dst, `,"status":400,"error":{"type":`...)
		dst = appendString(dst, it.errType)
		dst = append(dst, `,"reason":`...)
		dst = appendString(dst, it.reason)
		dst = append(dst, `}}}`...)
	}
	return append(dst, `]}`...)
}

func appendInt(dst []byte, n int) []byte {
	if n >= 10 {
		dst = appendInt(dst, n/10)
	}
	return append(dst, byte('0'+n%10))
}

func appendString(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // A string always marshals.
	return append(dst, b...)
}
