package listener

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/collectors/remotewrite"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

// refusal is a batch that will never be taken.
type refusal struct {
	status       int
	code, detail string
}

// Error implements error.
func (r *refusal) Error() string { return r.detail }

func malformed(detail string) error {
	return &refusal{http.StatusBadRequest, wire.CodeMalformed, detail}
}

// sending keeps batches of one agent and kind one after the other, so that what is
// sent twice at the same time is stored once.
type sending struct {
	mu   sync.Mutex
	busy map[string]bool
}

func (s *sending) begin(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy = map[string]bool{}
	}
	if s.busy[key] {
		return false
	}
	s.busy[key] = true
	return true
}

func (s *sending) end(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, key)
}

// batch serves a kind of batch: it is stored by store, durably, unless it was before.
func (l *Listener) batch(kind string, store func(ctx context.Context, a fleet.Agent, data []byte) error) func(http.ResponseWriter, *http.Request, fleet.Agent) {
	return func(w http.ResponseWriter, r *http.Request, a fleet.Agent) {
		b, err := wire.ParseBatch(r.Header.Get(wire.HeaderBatch))
		if err != nil {
			l.counters.Rejected(1)
			answer(w, http.StatusBadRequest, wire.CodeMalformed, err.Error())
			return
		}
		key := a.ID + "/" + kind
		if !l.sending.begin(key) {
			answer(w, http.StatusServiceUnavailable, wire.CodeBusy, "another batch of this kind is being taken: send them one after the other")
			return
		}
		defer l.sending.end(key)
		if l.opts.Fleet.Store().Taken(a.ID, kind, b.Epoch, b.Seq) {
			w.WriteHeader(http.StatusOK)
			return
		}
		select {
		case l.unpack <- struct{}{}:
			defer func() { <-l.unpack }()
		case <-r.Context().Done():
			return
		}
		data, ok := body(w, r, wire.MaxBody)
		if !ok {
			l.counters.Rejected(1)
			return
		}
		var bad *refusal
		switch err := store(r.Context(), a, data); {
		case errors.As(err, &bad):
			l.counters.Rejected(1)
			l.deps.Log.Warn("fleet: a batch was refused", "agent", a.ID, "host", a.Name, "kind", kind, "error", err)
			answer(w, bad.status, bad.code, bad.detail)
			return
		case err != nil:
			l.refuse(w, err)
			return
		}
		// What is on the bus must be remembered even if the agent has gone meanwhile.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 30*time.Second)
		defer cancel()
		if err := l.opts.Fleet.Store().Took(ctx, a.ID, kind, b.Epoch, b.Seq); err != nil {
			l.refuse(w, err)
			return
		}
		l.counters.Failed(nil)
		w.WriteHeader(http.StatusNoContent)
	}
}

// Bounds of a record's own parts.
const (
	maxAttrs   = 64
	maxAttr    = 4096
	maxID      = 128
	maxMarks   = 8
	oldest     = 30 * 24 * time.Hour
	maxRecords = wire.MaxRecords
)

// reserved are attributes that the server sets of its own knowledge.
var reserved = []string{"host.name", "host.ip", "agent.id", "agent.name", "agent.type", "agent.version", "icewatch.tenant", "observer.name"}

// records reads a batch of records of an agent, and makes them the agent's: whose they
// are and where they are from, nobody else says.
func records(a fleet.Agent, zone string, data []byte, now time.Time) ([]intake.Record, int, error) {
	recs, err := intake.DecodeBatch(nil, data)
	if err != nil {
		return nil, 0, malformed("the body is no batch of records: " + err.Error())
	}
	if len(recs) > maxRecords {
		return nil, 0, &refusal{http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "the batch has " + strconv.Itoa(len(recs)) + " records; at most " + strconv.Itoa(maxRecords) + " are taken"}
	}
	peer, size := a.Peer(), 0
	own := []intake.Attr{{Name: "host.name", Value: a.Name}, {Name: "agent.id", Value: a.ID}, {Name: "agent.type", Value: "icewatch-agent"}}
	for i := range recs {
		r := &recs[i]
		size += len(r.Data)
		if len(r.Data) > intake.MaxData || len(r.ID) > maxID || len(r.Attrs) > maxAttrs || len(r.Marks) > maxMarks {
			return nil, 0, malformed("record " + strconv.Itoa(i) + " exceeds a bound: text of " + strconv.Itoa(len(r.Data)) + " bytes, id of " + strconv.Itoa(len(r.ID)) + ", " + strconv.Itoa(len(r.Attrs)) + " attributes")
		}
		switch r.Format {
		case intake.Line, intake.Syslog, intake.JSON:
		default:
			return nil, 0, malformed("record " + strconv.Itoa(i) + " is of format " + strconv.Itoa(int(r.Format)) + ": agents send lines, syslog and JSON")
		}
		r.Tenant, r.Zone, r.Collector, r.Peer, r.Aside = a.Tenant, zone, ID, peer, ""
		if at := time.Unix(0, r.Received); r.Received == 0 || now.Sub(at) > oldest || at.Sub(now) > time.Minute {
			r.Received = now.UnixNano()
		}
		if r.ID != "" {
			r.ID = a.ID + "-" + r.ID
		}
		attrs := slices.Clone(own)
		for _, x := range r.Attrs {
			if x.Name == "" || len(x.Name)+len(x.Value) > maxAttr || slices.Contains(reserved, x.Name) || x.Name == intake.MetadataMark {
				continue
			}
			attrs = append(attrs, x)
		}
		r.Attrs = attrs
	}
	return recs, size, nil
}

func (l *Listener) logs(ctx context.Context, a fleet.Agent, data []byte) error {
	recs, size, err := records(a, l.opts.Zone, data, time.Now())
	if err != nil || len(recs) == 0 {
		return err
	}
	if err := l.deps.Sink.Append(ctx, recs); err != nil {
		return err
	}
	l.counters.Received(len(recs), size)
	return nil
}

// Labels that the server sets of its own knowledge.
const (
	labelAgent = "agent_id"
	labelHost  = "host"
)

// claim makes series the agent's. Labels of its own under these names are dropped.
func claim(a fleet.Agent, series []metrics.Series) {
	for i := range series {
		s := &series[i]
		labels := make([]metrics.Label, 0, len(s.Labels)+2)
		for _, x := range s.Labels {
			if !slices.Contains(wire.ReservedLabels, x.Name) {
				labels = append(labels, x)
			}
		}
		s.Labels = append(labels, metrics.Label{Name: labelAgent, Value: a.ID}, metrics.Label{Name: labelHost, Value: a.Name})
	}
}

func (l *Listener) metrics(ctx context.Context, a fleet.Agent, data []byte) error {
	b, err := remotewrite.Decode(data, wire.MaxUnpacked, wire.MaxSamples)
	if errors.Is(err, remotewrite.ErrTooLarge) {
		return &refusal{http.StatusRequestEntityTooLarge, wire.CodeTooLarge, err.Error()}
	}
	if err != nil {
		return malformed(err.Error())
	}
	claim(a, b.Series)
	good, w := l.opts.Held.Screen(b.Series, time.Now())
	if w.Dropped > 0 || b.Refused != "" {
		// Sending them again would not help; what can be stored is.
		l.counters.Rejected(max(w.Dropped, 1))
		why := b.Refused
		if len(w.Refused) > 0 {
			why = w.Refused[0].Metric + ": " + w.Refused[0].Reason
		}
		l.deps.Log.Warn("fleet: samples were refused", "agent", a.ID, "host", a.Name, "samples", w.Dropped, "why", why)
	}
	if len(good) == 0 {
		return nil
	}
	n, size := metrics.Count(good), 0
	for i := range good {
		size += good[i].Size()
	}
	if err := l.opts.Samples.Append(ctx, a.Tenant, good); err != nil {
		return err
	}
	l.opts.Catalogue.Add(a.Tenant, b.Metadata)
	l.counters.Received(n, size)
	return nil
}

// unpacker is shared: it is stateless in DecodeAll.
var unpacker = sync.OnceValue(func() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(wire.MaxUnpacked), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		panic(err) // fixed options
	}
	return d
})

func (l *Listener) inventory(ctx context.Context, a fleet.Agent, data []byte) error {
	plain, err := unpacker().DecodeAll(data, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return &refusal{http.StatusRequestEntityTooLarge, wire.CodeTooLarge, "the inventory is too large once unpacked"}
	}
	if err != nil {
		return malformed("the body is not packed by zstd: " + err.Error())
	}
	if err := l.opts.Fleet.TakeInventory(ctx, a.ID, plain); err != nil {
		return err
	}
	l.counters.Received(1, len(plain))
	return nil
}
