// Package lokipush takes in what Promtail, Alloy, Fluent Bit, Vector and other
// clients push to Grafana Loki: POST /loki/api/v1/push, as a snappy block of
// protobuf or as JSON. Each entry becomes a line record with its time, and
// with its stream's labels and its structured metadata as attributes. An
// answer of 204 means that all entries are on disk.
package lokipush

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"
	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/snappy"
	"github.com/valyala/fastjson"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
)

// ID is the collector's name in records and metrics.
const ID = "loki-push"

// Options tune a Handler. The zero value gives the defaults.
type Options struct {
	Limits     webbody.Limits
	MaxEntries int    // entries in one request; 0 is 200,000
	MaxLabels  int    // labels of a stream, and pairs of metadata of an entry; 0 is 64
	Zone       string // network zone of the senders
	Metrics    *metrics.Set
	Log        *slog.Logger
}

// Handler serves the push API.
type Handler struct {
	sink     intake.Sink
	aside    intake.AsideStore
	who      func(*fiber.Ctx) string
	opts     Options
	counters *collectors.Counters
	parsers  fastjson.ParserPool
	batches  sync.Pool
}

// New makes a Handler. who tells the tenant a request writes for, as the
// authentication before it decided; "" leaves that to the pipeline.
func New(sink intake.Sink, aside intake.AsideStore, who func(*fiber.Ctx) string, opts Options) *Handler {
	opts.Limits.Fill()
	if opts.MaxEntries <= 0 {
		opts.MaxEntries = 200_000
	}
	if opts.MaxLabels <= 0 {
		opts.MaxLabels = 64
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{sink: sink, aside: aside, who: who, opts: opts, counters: collectors.NewCounters(opts.Metrics, ID)}
	h.counters.Running(true)
	return h
}

// Mount adds the route below router: /loki/api/v1/push.
func (h *Handler) Mount(router fiber.Router) {
	router.Post("/loki/api/v1/push", h.push)
}

// Health tells how the source fares.
func (h *Handler) Health() collectors.Health {
	return h.counters.Health(ID, "loki_push", "/loki/api/v1/push")
}

// batch is the memory of one request.
type batch struct {
	base    intake.Record
	records []intake.Record
	limit   int
}

var errTooMany = errors.New("the request has too many entries")

func (b *batch) add(t int64, line []byte, attrs []intake.Attr) error {
	if len(b.records) >= b.limit {
		return errTooMany
	}
	r := b.base
	r.Time, r.Data, r.Attrs = t, line, attrs
	b.records = append(b.records, r)
	return nil
}

func (h *Handler) push(c *fiber.Ctx) error {
	body, err := webbody.Read(c, h.opts.Limits)
	if err != nil {
		return h.refuse(c, err)
	}
	defer body.Release()
	b, _ := h.batches.Get().(*batch)
	if b == nil {
		b = new(batch)
	}
	defer h.recycle(b)
	b.limit = h.opts.MaxEntries
	b.base = intake.Record{Tenant: h.who(c), Zone: h.opts.Zone, Collector: ID, Format: intake.Line,
		Peer: webbody.Peer(c), Received: time.Now().UnixNano()}

	if isJSON(c.Get(fiber.HeaderContentType)) {
		parser := h.parsers.Get()
		defer h.parsers.Put(parser)
		err = h.readJSON(b, parser, body.Bytes)
	} else {
		err = h.readProto(b, body.Bytes)
	}
	if err != nil {
		return h.refuse(c, err)
	}
	return h.store(c, b)
}

// isJSON tells JSON by its media type; anything else is protobuf, as with
// Loki.
func isJSON(contentType string) bool {
	const json = "application/json"
	return len(contentType) >= len(json) && contentType[:len(json)] == json &&
		(len(contentType) == len(json) || contentType[len(json)] == ';' || contentType[len(json)] == ' ')
}

func (h *Handler) recycle(b *batch) {
	if cap(b.records) > 20_000 {
		return
	}
	clear(b.records)
	b.records = b.records[:0]
	h.batches.Put(b)
}

// refuse answers with the reason as text, as Loki does.
func (h *Handler) refuse(c *fiber.Ctx, err error) error {
	h.counters.Rejected(1)
	status := http.StatusBadRequest
	var r *webbody.Refusal
	switch {
	case errors.As(err, &r):
		status = r.Status
	case errors.Is(err, errTooMany):
		status = http.StatusRequestEntityTooLarge
		err = fmt.Errorf("%w: more than %d", err, h.opts.MaxEntries)
	}
	return c.Status(status).SendString(err.Error() + "\n")
}

func (h *Handler) store(c *fiber.Ctx, b *batch) error {
	size := 0
	identify(b.records)
	for i := range b.records {
		r := &b.records[i]
		size += len(r.Data)
		if err := collectors.Fit(h.aside, r); err != nil {
			h.opts.Log.Warn("a long line could not be kept whole", "error", err, "tenant", r.Tenant)
		}
	}
	if len(b.records) > 0 {
		if err := h.sink.Append(context.Context(c.Context()), b.records); err != nil {
			h.counters.Rejected(len(b.records))
			var over *intake.OverQuota
			if errors.As(err, &over) {
				c.Set(fiber.HeaderRetryAfter, strconv.Itoa(over.RetryAfter(time.Now())))
				return c.Status(http.StatusTooManyRequests).SendString("ingestion rate limit exceeded: " + err.Error() + "\n")
			}
			if errors.Is(err, intake.ErrFull) {
				c.Set(fiber.HeaderRetryAfter, "1")
				return c.Status(http.StatusTooManyRequests).SendString("ingestion rate limit exceeded: " + err.Error() + "\n")
			}
			h.counters.Failed(err)
			h.opts.Log.Error("a push could not be stored", "error", err, "entries", len(b.records))
			return c.Status(http.StatusServiceUnavailable).SendString(err.Error() + "\n")
		}
		h.counters.Received(len(b.records), size)
	}
	h.counters.Failed(nil)
	return c.SendStatus(http.StatusNoContent)
}

// readProto reads a snappy block of logproto.PushRequest.
func (h *Handler) readProto(b *batch, body []byte) error {
	n, err := snappy.DecodedLen(body)
	if err != nil {
		return fmt.Errorf("the body is not a snappy block: %w", err)
	}
	if n > h.opts.Limits.MaxDecoded {
		return webbody.Refuse(http.StatusRequestEntityTooLarge, "the decompressed body of %d bytes exceeds the limit of %d", n, h.opts.Limits.MaxDecoded)
	}
	plain, err := snappy.Decode(nil, body)
	if err != nil {
		return fmt.Errorf("the body is not a snappy block: %w", err)
	}
	var req push.PushRequest
	if err := req.Unmarshal(plain); err != nil {
		return fmt.Errorf("the body is not a protobuf PushRequest: %w", err)
	}
	for i := range req.Streams {
		s := &req.Streams[i]
		labels, err := parseLabels(s.Labels)
		if err != nil {
			return fmt.Errorf("error parsing labels %s: %w", clip(s.Labels), err)
		}
		if err := h.checkLabels(labels, "stream "+clip(s.Labels)); err != nil {
			return err
		}
		marked := append(labels, intake.Attr{Name: intake.MetadataMark})
		for j := range s.Entries {
			e := &s.Entries[j]
			attrs := marked
			if n := len(e.StructuredMetadata); n > 0 {
				if n > h.opts.MaxLabels {
					return fmt.Errorf("stream %s, entry %d: %d pairs of structured metadata exceed the limit of %d", clip(s.Labels), j, n, h.opts.MaxLabels)
				}
				attrs = append(make([]intake.Attr, 0, len(marked)+n), marked...)
				for _, m := range e.StructuredMetadata {
					attrs = append(attrs, intake.Attr{Name: m.Name, Value: m.Value})
				}
			}
			t := int64(0)
			if year := e.Timestamp.Year(); year > 1678 && year < 2262 {
				t = e.Timestamp.UnixNano()
			}
			if err := b.add(t, []byte(e.Line), attrs); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *Handler) checkLabels(labels []intake.Attr, where string) error {
	if len(labels) == 0 {
		return fmt.Errorf("%s: error at least one label pair is required per stream", where)
	}
	if len(labels) > h.opts.MaxLabels {
		return fmt.Errorf("%s: %d labels exceed the limit of %d", where, len(labels), h.opts.MaxLabels)
	}
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
