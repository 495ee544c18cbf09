// Package remotewrite takes in what Prometheus, its agents, vmagent, Alloy and
// others send by remote write: POST /prometheus/api/v1/write, in version 1.0
// (prometheus.WriteRequest) and 2.0 (io.prometheus.write.v2.Request), told apart
// by the Content-Type. An answer of 204 means that all samples are on disk.
//
// What cannot be stored is refused by name with a 400, and everything else of
// the request is stored all the same, as the specification asks for: native
// histograms, labels beyond the limits of soc/metrics, times outside of what is
// kept. Exemplars are passed over; the answer's headers say that none was
// written. Marks of series that went stale are samples like others.
package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	vmetrics "github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"
	"github.com/klauspost/compress/snappy"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// ID is the collector's name in its figures.
const ID = "remote-write"

// Path is where senders write to.
const Path = "/prometheus/api/v1/write"

// Options tune a Handler. The zero value of a bound gives the default.
type Options struct {
	Limits     webbody.Limits
	Held       metrics.Limits // what the store holds of a series
	MaxSamples int            // in one request; 0 is 1,000,000
	Metrics    *vmetrics.Set
	Log        *slog.Logger
}

// Handler serves remote write.
type Handler struct {
	sink      metrics.Sink
	catalogue *metrics.Catalogue
	who       func(*fiber.Ctx) string
	opts      Options
	counters  *collectors.Counters
	requests  sync.Pool
}

// New makes a Handler. who tells the tenant a request writes for, as the
// authentication before it decided. What senders say of their metrics goes into
// the catalogue.
func New(sink metrics.Sink, catalogue *metrics.Catalogue, who func(*fiber.Ctx) string, opts Options) *Handler {
	opts.Limits.Fill()
	if opts.MaxSamples <= 0 {
		opts.MaxSamples = 1_000_000
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{sink: sink, catalogue: catalogue, who: who, opts: opts, counters: collectors.NewCounters(opts.Metrics, ID)}
	h.counters.Running(true)
	return h
}

// Mount adds the route below router.
func (h *Handler) Mount(router fiber.Router) { router.Post(Path, h.push) }

// Health tells how the source fares.
func (h *Handler) Health() collectors.Health {
	return h.counters.Health(ID, "remote_write", Path)
}

// protocol is a version of remote write.
type protocol uint8

const (
	v1 protocol = iota + 1
	v2
)

// negotiate tells the version by the Content-Type.
func negotiate(contentType string) (protocol, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err == nil && kind == "application/x-protobuf" {
		switch params["proto"] {
		case "", "prometheus.WriteRequest":
			return v1, nil
		case "io.prometheus.write.v2.Request":
			return v2, nil
		}
	}
	return 0, webbody.Refuse(http.StatusUnsupportedMediaType, "the Content-Type %q is not supported: use application/x-protobuf, with proto=prometheus.WriteRequest (remote write 1.0) or proto=io.prometheus.write.v2.Request (2.0)", cut(contentType))
}

// The headers by which a sender of version 2.0 learns what was written.
const (
	headerSamples    = "X-Prometheus-Remote-Write-Samples-Written"
	headerHistograms = "X-Prometheus-Remote-Write-Histograms-Written"
	headerExemplars  = "X-Prometheus-Remote-Write-Exemplars-Written"
)

func (h *Handler) push(c *fiber.Ctx) error {
	c.Set(headerSamples, "0")
	c.Set(headerHistograms, "0")
	c.Set(headerExemplars, "0")
	r, _ := h.requests.Get().(*request)
	if r == nil {
		r = new(request)
	}
	defer func() {
		if r.small() {
			r.reset()
			h.requests.Put(r)
		}
	}()
	if err := h.read(c, r); err != nil {
		h.counters.Rejected(1)
		return answer(c, err)
	}
	tenant := h.who(c)
	good, w := h.opts.Held.Screen(r.series, time.Now())
	n, size := metrics.Count(good), 0
	for i := range good {
		size += good[i].Size()
	}
	if err := h.sink.Append(context.Context(c.Context()), tenant, good); err != nil {
		h.counters.Rejected(n)
		return h.failed(c, err)
	}
	h.catalogue.Add(tenant, r.metadata)
	if n > 0 {
		h.counters.Received(n, size)
	}
	h.counters.Failed(nil)
	c.Set(headerSamples, strconv.Itoa(n))
	if refused := refusals(r, w); refused != "" {
		h.counters.Rejected(w.Dropped + len(r.histograms))
		h.opts.Log.Warn("remote write: samples were refused", "tenant", tenant, "samples", w.Dropped, "why", refused)
		return c.Status(http.StatusBadRequest).SendString(refused + "\n")
	}
	return c.SendStatus(http.StatusNoContent)
}

// read unpacks and decodes the body.
func (h *Handler) read(c *fiber.Ctx, r *request) error {
	version, err := negotiate(c.Get(fiber.HeaderContentType))
	if err != nil {
		return err
	}
	if packing := strings.ToLower(c.Get(fiber.HeaderContentEncoding)); packing != "snappy" {
		return webbody.Refuse(http.StatusUnsupportedMediaType, "the Content-Encoding %q is not supported: remote write is packed as a snappy block", cut(packing))
	}
	body, err := webbody.Read(c, h.opts.Limits)
	if err != nil {
		return err
	}
	defer body.Release()
	n, err := snappy.DecodedLen(body.Bytes)
	if err != nil {
		return fmt.Errorf("the body is not a snappy block: %w", err)
	}
	if n > h.opts.Limits.MaxDecoded {
		return webbody.Refuse(http.StatusRequestEntityTooLarge, "the unpacked body of %d bytes exceeds the limit of %d", n, h.opts.Limits.MaxDecoded)
	}
	plain, err := snappy.Decode(nil, body.Bytes)
	if err != nil {
		return fmt.Errorf("the body is not a snappy block: %w", err)
	}
	if version == v1 {
		err = r.readV1(plain, h.opts.MaxSamples)
	} else {
		err = r.readV2(plain, h.opts.MaxSamples)
	}
	if errors.Is(err, errTooMany) {
		return webbody.Refuse(http.StatusRequestEntityTooLarge, "%v: more than %d; lower max_samples_per_send", err, h.opts.MaxSamples)
	}
	return err
}

// refusals says what of a request was not stored and why; "" where all was.
func refusals(r *request, w metrics.Written) string {
	var b strings.Builder
	const most = 10
	lines := 0
	line := func(format string, args ...any) {
		if lines++; lines <= most {
			if lines > 1 {
				b.WriteString("; ")
			}
			fmt.Fprintf(&b, format, args...)
		}
	}
	for _, x := range w.Refused {
		line("%s: %s", name(x.Metric), x.Reason)
	}
	for _, x := range r.histograms {
		line("%s: native histograms are not stored (%d samples); have it scraped with classic buckets", name(x.metric), x.n)
	}
	if lines == 0 {
		return ""
	}
	head := fmt.Sprintf("stored %d samples, refused %d", w.Samples, w.Dropped)
	n := 0
	for _, x := range r.histograms {
		n += x.n
	}
	if n > 0 {
		head += fmt.Sprintf(" and %d histograms", n)
	}
	if lines > most {
		fmt.Fprintf(&b, "; and %d series more", lines-most)
	}
	return head + ": " + b.String()
}

func name(metric string) string {
	if metric == "" {
		return "a series"
	}
	return cut(metric)
}

// answer words an error of the request's own as text, as Prometheus does.
func answer(c *fiber.Ctx, err error) error {
	status := http.StatusBadRequest
	var r *webbody.Refusal
	if errors.As(err, &r) {
		status = r.Status
	}
	return c.Status(status).SendString(err.Error() + "\n")
}

// failed answers where samples could not be made durable. Senders try again
// after a 5xx; after a 429 Prometheus does where retry_on_http_429 says so.
func (h *Handler) failed(c *fiber.Ctx, err error) error {
	var over *intake.OverQuota
	switch {
	case errors.Is(err, metrics.ErrNoTenant):
		return answer(c, err)
	case errors.As(err, &over):
		c.Set(fiber.HeaderRetryAfter, strconv.Itoa(over.RetryAfter(time.Now())))
		return c.Status(http.StatusTooManyRequests).SendString(err.Error() + "\n")
	case errors.Is(err, intake.ErrFull):
		c.Set(fiber.HeaderRetryAfter, "1")
	default:
		h.counters.Failed(err)
		h.opts.Log.Error("remote write: samples could not be stored", "error", err)
	}
	return c.Status(http.StatusServiceUnavailable).SendString(err.Error() + "\n")
}
