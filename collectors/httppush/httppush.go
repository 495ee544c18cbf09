// Package httppush takes in events over plain HTTP: POST /ingest/v1/{dataset},
// for applications and gateways that speak none of the shippers' protocols.
// The Content-Type says what the body is:
//
//	application/json                    one object, or an array of objects
//	application/x-ndjson, …/jsonl       an object a line
//	text/plain                          a line of text a line
//	application/xml, text/xml           Windows events, as forwarding and wevtutil write them
//	application/cloudevents+json        a CloudEvent 1.0 in structured mode
//	application/cloudevents-batch+json  a batch of them
//	any, with the header ce-specversion a CloudEvent in binary mode
//
// An answer of 200 means that all events are on the disk. What cannot be read is
// refused with its place and a 400, and the rest of the request is stored all the
// same: "accepted" and "refused" count both. Where it cannot be told what follows a
// fault (an array cut short) the events before it are stored.
//
// An event that is sent again is stored once where it has an identity: source and
// id of a CloudEvent, and for the others the header Idempotency-Key, with the
// event's place in the request.
package httppush

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"

	"icewatch/collectors"
	"icewatch/collectors/webbody"
	"icewatch/soc/intake"
)

// ID is the collector's name in records and metrics.
const ID = "http-push"

// Path is where senders push to; the name of a dataset may follow.
const Path = "/ingest/v1"

// Options tune a Handler. The zero value gives the defaults.
type Options struct {
	Limits    webbody.Limits
	MaxEvents int    // in one request; 0 is 200,000
	Zone      string // network zone of the senders
	Metrics   *metrics.Set
	Log       *slog.Logger
}

// Handler serves the route.
type Handler struct {
	sink     intake.Sink
	aside    intake.AsideStore
	who      func(*fiber.Ctx) string
	opts     Options
	counters *collectors.Counters
	works    sync.Pool
}

// New makes a Handler. who tells the tenant a request writes for, as the
// authentication before it decided; "" leaves that to the pipeline.
func New(sink intake.Sink, aside intake.AsideStore, who func(*fiber.Ctx) string, opts Options) *Handler {
	opts.Limits.Fill()
	if opts.MaxEvents <= 0 {
		opts.MaxEvents = 200_000
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{sink: sink, aside: aside, who: who, opts: opts, counters: collectors.NewCounters(opts.Metrics, ID)}
	h.counters.Running(true)
	return h
}

// Mount adds the routes below router.
func (h *Handler) Mount(router fiber.Router) {
	router.Post(Path, h.push)
	router.Post(Path+"/:dataset", h.push)
}

// Health tells how the source fares.
func (h *Handler) Health() collectors.Health { return h.counters.Health(ID, "http_push", Path) }

// Fault is what an answer says of one event, or of the place in the body, that was refused.
type Fault struct {
	Event  *int   `json:"event,omitempty"`  // which event of the request, from 0
	Line   int    `json:"line,omitempty"`   // line of the body, from 1, where it is read by lines
	Offset *int64 `json:"offset,omitempty"` // byte of the decoded body, where it is not
	Reason string `json:"reason"`
}

// Answer is the body of every answer.
type Answer struct {
	Accepted int     `json:"accepted"` // events on the disk
	Refused  int     `json:"refused"`  // events refused
	Errors   []Fault `json:"errors,omitempty"`
	// ErrorsLeftOut counts the refused events that Errors has no room for.
	ErrorsLeftOut int `json:"errors_left_out,omitempty"`
}

// maxFaults bounds the faults that an answer spells out.
const maxFaults = 20

// work is the memory of one request.
type work struct {
	base    intake.Record
	key     string // the request's Idempotency-Key
	records []intake.Record
	limit   int
	events  int // events met so far, the refused ones too
	answer  Answer
}

var errTooMany = errors.New("the request has too many events")

// add takes an event that is as it should be. Its id may be empty.
func (w *work) add(format intake.Format, data []byte, id string, t int64, attrs []intake.Attr) error {
	if w.events >= w.limit {
		return errTooMany
	}
	r := w.base
	r.Format, r.Data, r.ID, r.Time = format, data, id, t
	if id == "" && w.key != "" {
		r.ID = "key/" + w.key + "/" + strconv.Itoa(w.events)
	}
	if len(attrs) > 0 {
		r.Attrs = append(attrs[:len(attrs):len(attrs)], w.base.Attrs...)
	}
	w.events++
	w.records = append(w.records, r)
	return nil
}

// refuse notes an event that is not.
func (w *work) refuse(f Fault) error {
	if w.events >= w.limit {
		return errTooMany
	}
	if f.Event == nil {
		at := w.events
		f.Event = &at
	}
	w.events++
	w.answer.Refused++
	if len(w.answer.Errors) < maxFaults {
		w.answer.Errors = append(w.answer.Errors, f)
	} else {
		w.answer.ErrorsLeftOut++
	}
	return nil
}

// datasetName is what a dataset may be called. The suite's own are not to be had.
var datasetName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,99}$`)

func (h *Handler) push(c *fiber.Ctx) error {
	dataset := strings.Clone(c.Params("dataset"))
	if dataset != "" && (!datasetName.MatchString(dataset) || strings.HasPrefix(dataset, "icewatch")) {
		return h.deny(c, webbody.Refuse(http.StatusBadRequest,
			"%q is no name of a dataset: up to 100 lower-case letters, digits, dots, dashes and underscores, not beginning with icewatch", clip(dataset)))
	}
	key := c.Get("Idempotency-Key")
	if len(key) > maxKey {
		return h.deny(c, webbody.Refuse(http.StatusBadRequest, "the Idempotency-Key has %d bytes; %d are the most", len(key), maxKey))
	}
	body, err := webbody.Read(c, h.opts.Limits)
	if err != nil {
		return h.deny(c, err)
	}
	defer body.Release()
	w, _ := h.works.Get().(*work)
	if w == nil {
		w = new(work)
	}
	defer h.recycle(w)
	w.limit, w.key = h.opts.MaxEvents, strings.Clone(key)
	w.base = intake.Record{Tenant: h.who(c), Zone: h.opts.Zone, Collector: ID, Peer: webbody.Peer(c), Received: time.Now().UnixNano()}
	if dataset != "" {
		w.base.Attrs = []intake.Attr{{Name: "event.dataset", Value: dataset}}
	}
	read, err := h.reader(c)
	if err == nil {
		err = read(w, body.Bytes)
	}
	switch {
	case errors.Is(err, errTooMany):
		// Which are over the limit is known; that the others be stored would leave the sender to cut its list.
		return h.deny(c, webbody.Refuse(http.StatusRequestEntityTooLarge, "the request has more than %d events: send fewer at a time", w.limit))
	case err != nil:
		return h.deny(c, err)
	case w.events == 0:
		return h.deny(c, webbody.Refuse(http.StatusBadRequest, "the body has no event"))
	}
	return h.store(c, w)
}

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

func (h *Handler) recycle(w *work) {
	if cap(w.records) > 20_000 {
		return
	}
	clear(w.records)
	*w = work{records: w.records[:0]}
	h.works.Put(w)
}

// reader chooses by the headers how the body is read.
func (h *Handler) reader(c *fiber.Ctx) (func(*work, []byte) error, error) {
	given := c.Get(fiber.HeaderContentType)
	kind, params, err := mime.ParseMediaType(given)
	if err != nil && given != "" {
		return nil, webbody.Refuse(http.StatusUnsupportedMediaType, "the Content-Type %q cannot be read: %v", clip(given), err)
	}
	switch kind {
	case "application/cloudevents+json":
		return structured, nil
	case "application/cloudevents-batch+json":
		return batched, nil
	}
	if strings.HasPrefix(kind, "application/cloudevents") {
		return nil, webbody.Refuse(http.StatusUnsupportedMediaType, "CloudEvents are read in their JSON format alone: application/cloudevents+json or application/cloudevents-batch+json, not %s", kind)
	}
	if c.Get(headerPrefix+"specversion") != "" {
		attributes, err := binaryAttributes(c)
		if err != nil {
			return nil, err
		}
		return func(w *work, body []byte) error { return w.binary(attributes, given, kind, body) }, nil
	}
	switch kind {
	case "application/json", "":
		return documents, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines":
		return objectLines, nil
	case "text/plain":
		if err := utf8Only(params["charset"]); err != nil {
			return nil, err
		}
		return textLines, nil
	case "application/xml", "text/xml":
		return windowsEvents, nil
	}
	return nil, webbody.Refuse(http.StatusUnsupportedMediaType, "the Content-Type %q is not read here: use application/json, application/x-ndjson, text/plain, application/xml (Windows events) or application/cloudevents+json", clip(given))
}

func utf8Only(charset string) error {
	switch strings.ToLower(charset) {
	case "", "utf-8", "utf8", "us-ascii":
		return nil
	}
	return webbody.Refuse(http.StatusUnsupportedMediaType, "the charset %q is not read here: send UTF-8", clip(charset))
}

// deny answers a request of which nothing was stored.
func (h *Handler) deny(c *fiber.Ctx, err error) error {
	h.counters.Rejected(1)
	f := Fault{Reason: err.Error()}
	status := http.StatusBadRequest
	var r *webbody.Refusal
	var p *placed
	switch {
	case errors.As(err, &r):
		status = r.Status
	case errors.As(err, &p):
		f.Offset = &p.offset
	}
	return c.Status(status).JSON(Answer{Errors: []Fault{f}})
}

// placed is an error at a byte of the body.
type placed struct {
	offset int64
	reason string
}

func (p *placed) Error() string { return fmt.Sprintf("byte %d: %s", p.offset, p.reason) }

func (h *Handler) store(c *fiber.Ctx, w *work) error {
	size := 0
	for i := range w.records {
		r := &w.records[i]
		size += len(r.Data)
		if len(r.Data) > intake.MaxData {
			r.Format = intake.Line // A cut object is no object any more.
			if err := collectors.Fit(h.aside, r); err != nil {
				h.opts.Log.Warn("a long event could not be kept whole", "error", err, "tenant", r.Tenant)
			}
		}
	}
	if len(w.records) > 0 {
		if err := h.sink.Append(context.Context(c.Context()), w.records); err != nil {
			h.counters.Rejected(len(w.records))
			answer := func(status int) error {
				return c.Status(status).JSON(Answer{Errors: []Fault{{Reason: err.Error()}}})
			}
			var over *intake.OverQuota
			if errors.As(err, &over) {
				c.Set(fiber.HeaderRetryAfter, strconv.Itoa(over.RetryAfter(time.Now())))
				return answer(http.StatusTooManyRequests)
			}
			if errors.Is(err, intake.ErrFull) {
				c.Set(fiber.HeaderRetryAfter, "1")
				return answer(http.StatusTooManyRequests)
			}
			h.counters.Failed(err)
			h.opts.Log.Error("pushed events could not be stored", "error", err, "events", len(w.records))
			return answer(http.StatusServiceUnavailable)
		}
		h.counters.Received(len(w.records), size)
	}
	h.counters.Failed(nil)
	w.answer.Accepted = len(w.records)
	status := http.StatusOK
	if w.answer.Refused > 0 {
		h.counters.Rejected(w.answer.Refused)
		status = http.StatusBadRequest
	}
	return c.Status(status).JSON(w.answer)
}

func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strings.Clone(s)
}
