// Package otlp takes in what OpenTelemetry's SDKs, its Collector and everything
// else that speaks OTLP 1.x export: logs, metrics and traces, over HTTP in
// protobuf and in JSON, and over gRPC. A log record becomes an event, a span one
// row, and a data point samples of the metric lake. An answer of success means
// that all of it is on the disk, but for what the answer's partial success says.
//
// Logs and spans are not decoded into structures: one table of messages
// (schema.go) leads both readers, of protobuf and of JSON, and what they write is
// the JSON form of OTLP in which a record travels and is kept, as its original.
// Mapping to fields is the pipeline's work (soc/pipeline/parse).
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fastjson"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// ID is the collector's name in records, whichever way they came.
const ID = "otlp"

// Options tune a Handler. The zero value gives the defaults.
type Options struct {
	Limits  webbody.Limits
	Zone    string         // network zone of the senders
	Samples metrics.Limits // what the metric lake keeps
	Promote []string       // attributes of the resource that become labels of all its series
	Metrics *vm.Set
	Log     *slog.Logger
}

// Handler takes export requests in, for the ways that lead to it: Protocol is
// the one over HTTP, GRPC the other.
type Handler struct {
	sink    intake.Sink
	aside   intake.AsideStore
	samples metrics.Sink
	opts    Options
	parsers fastjson.ParserPool
	batches sync.Pool

	web *collectors.Counters
}

// New makes a Handler. samples takes the metrics.
func New(sink intake.Sink, aside intake.AsideStore, samples metrics.Sink, opts Options) *Handler {
	opts.Limits.Fill()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{sink: sink, aside: aside, samples: samples, opts: opts, web: collectors.NewCounters(opts.Metrics, ID)}
	h.web.Running(true)
	return h
}

// origin is who sent a request.
type origin struct {
	tenant string // "" lets the pipeline decide
	peer   netip.Addr
}

// outcome is what became of a request that was taken in.
type outcome struct {
	stored   int
	size     int // bytes
	rejected int
	why      string // the first was rejected
}

// refusal is why a whole request is not taken in.
type refusal struct {
	status int // of HTTP
	why    string
	wait   time.Duration // after which it may be sent again; 0 is never, as it is
}

func (r *refusal) Error() string { return r.why }

// take stores what a request brings. An error is a *refusal.
func (h *Handler) take(ctx context.Context, sig *signal, body []byte, isJSON bool, from origin, counters *collectors.Counters) (outcome, error) {
	var out outcome
	var err error
	if sig == metricData {
		out, err = h.takeMetrics(ctx, body, isJSON, from)
	} else {
		out, err = h.takeRecords(ctx, sig, body, isJSON, from)
	}
	if err != nil {
		counters.Rejected(1)
		r := h.refusal(err)
		if r.status >= http.StatusInternalServerError && r.wait == 0 || errors.Is(err, errStore) {
			counters.Failed(err)
			h.opts.Log.Error("a request of OTLP could not be stored", "signal", sig.name, "error", err)
		}
		return out, r
	}
	counters.Rejected(out.rejected)
	if out.stored > 0 {
		counters.Received(out.stored, out.size)
	}
	counters.Failed(nil)
	return out, nil
}

// takeRecords stores log records or spans.
func (h *Handler) takeRecords(ctx context.Context, sig *signal, body []byte, isJSON bool, from origin) (outcome, error) {
	b, _ := h.batches.Get().(*batch)
	if b == nil {
		b = new(batch)
	}
	b.reset(sig, intake.Record{Tenant: from.tenant, Zone: h.opts.Zone, Collector: ID, Format: sig.format, Peer: from.peer,
		Received: time.Now().UnixNano()}, h.aside)
	defer func() {
		if b.keepable() {
			h.batches.Put(b)
		}
	}()
	var err error
	if isJSON {
		parser := h.parsers.Get()
		defer h.parsers.Put(parser)
		err = b.readJSON(parser, body)
	} else {
		err = b.readWire(body)
	}
	if err != nil {
		return outcome{}, err
	}
	if b.errAside != nil {
		h.opts.Log.Warn("a long record could not be kept whole", "error", b.errAside, "tenant", from.tenant)
	}
	records, size := b.finish()
	out := outcome{stored: len(records), size: size, rejected: b.rejected}
	if b.why != nil {
		out.why = fmt.Sprintf("%d of %d were not stored; the first: %s", b.rejected, b.seen, b.why)
	}
	if len(records) == 0 {
		return out, nil
	}
	if err := h.sink.Append(ctx, records); err != nil {
		return outcome{}, fmt.Errorf("%w: %w", errStore, err)
	}
	return out, nil
}

// errStore says that the request was good, and could not be made durable.
var errStore = errors.New("not stored")

// retry is how long a sender waits where nothing better is known.
const retry = time.Second

// refusal puts an error into the terms of the protocol. What may be sent again
// is 429 or 503 with a time to wait: senders drop what got any other answer.
func (h *Handler) refusal(err error) *refusal {
	var own *refusal
	var body *webbody.Refusal
	var over *intake.OverQuota
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &body):
		return &refusal{status: body.Status, why: body.Reason}
	case errors.As(err, &over):
		return &refusal{status: http.StatusTooManyRequests, why: over.Error(), wait: time.Duration(over.RetryAfter(time.Now())) * time.Second}
	case errors.Is(err, metrics.ErrNoTenant):
		return &refusal{status: http.StatusBadRequest, why: err.Error()}
	case errors.Is(err, intake.ErrFull), errors.Is(err, errStore):
		return &refusal{status: http.StatusServiceUnavailable, why: err.Error(), wait: retry}
	}
	return &refusal{status: http.StatusBadRequest, why: err.Error()}
}
