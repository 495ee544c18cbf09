package traces

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Summary is what a list of traces says of one.
type Summary struct {
	TraceID  string        `json:"trace_id"`
	Start    time.Time     `json:"start"`
	Duration int64         `json:"duration_ns" doc:"From the beginning of the first span to the end of the last"`
	Spans    int64         `json:"spans"`
	Errors   int64         `json:"errors" doc:"Spans whose status is an error"`
	Matched  int64         `json:"matched" doc:"Spans that meet the conditions of the search"`
	Root     *Root         `json:"root" doc:"The first span without a parent; null where none is stored"`
	Services []ServicePart `json:"services" nullable:"false"`
	Tenants  []string      `json:"tenants" nullable:"false"`
}

// Root is the span that a trace began with.
type Root struct {
	SpanID    string `json:"span_id"`
	Service   string `json:"service"`
	Operation string `json:"operation"`
	Kind      string `json:"kind"`
}

// ServicePart is what of a trace belongs to one service.
type ServicePart struct {
	Name   string `json:"name"`
	Spans  int64  `json:"spans"`
	Errors int64  `json:"errors"`
}

// find lists the traces of which one span in the range passes the filter, those
// with the youngest such span first, and when their matching spans began. more
// tells that there are more than limit.
//
// The youngest stretch of the range is looked at first, then ever longer ones
// before it, until there are enough: a search for the newest need not count a
// month.
func (s *Service) find(ctx context.Context, r Range, f *Filter, limit int) (ids []string, first, last time.Time, more bool, err error) {
	filter, err := f.logsQL()
	if err != nil {
		return nil, first, last, false, err
	}
	known := map[string]bool{}
	r = r.possible()
	end := r.End
	for span := 5 * time.Minute; end.After(r.Start) && len(ids) <= limit; span *= 4 {
		part := r
		if part.End, part.Start = end, end.Add(-span); part.Start.Before(r.Start) {
			part.Start = r.Start
		}
		// Traces that are known already may be among those found once more.
		query := fmt.Sprintf(`%s "trace.id":* | stats by ("trace.id") min(_time) first, max(_time) last | sort by (last desc, "trace.id") limit %d`, filter, limit+1+len(ids))
		err := s.count(ctx, part, query, func(m row) error {
			id := full(m.text("trace.id"))
			if id == "" || known[id] || len(ids) > limit {
				return nil
			}
			known[id] = true
			ids = append(ids, id)
			if len(ids) > limit {
				return nil
			}
			if t := m.time("first"); first.IsZero() || t.Before(first) {
				first = t
			}
			if t := m.time("last"); t.After(last) {
				last = t
			}
			return nil
		})
		if err != nil {
			return nil, first, last, false, err
		}
		end = part.Start
	}
	if len(ids) > limit {
		return ids[:limit], first, last, true, nil
	}
	return ids, first, last, false, nil
}

func checkLimit(limit int) error {
	if limit < 1 || limit > MaxTraces {
		return fmt.Errorf("%w: %d traces are asked for; 1 to %d are possible", ErrInvalid, limit, MaxTraces)
	}
	return nil
}

// Search sums up the newest traces of which one span in the range passes the
// filter, the latest first. more tells that there are others.
func (s *Service) Search(ctx context.Context, r Range, f Filter, limit int) (list []Summary, more bool, err error) {
	if err := checkLimit(limit); err != nil {
		return nil, false, err
	}
	ids, first, last, more, err := s.find(ctx, r, &f, limit)
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	list = make([]Summary, len(ids))
	at := make(map[string]*Summary, len(ids))
	for i, id := range ids {
		list[i].TraceID = id
		at[id] = &list[i]
	}
	ends := map[string]time.Time{}
	roots := map[string]time.Time{}
	tenants := map[[2]string]bool{}
	query := within(ids) + ` | math round("event.duration") as duration, (_time + duration) as ends` +
		` | stats by ("trace.id", "service.name", "icewatch.tenant") count() spans, count() if (` + failed + `) errors, min(_time) first, max(ends) last,` +
		` row_min(_time, _time, "span.id", "span.name", "span.kind") if ("parent.id":"") root`
	err = s.count(ctx, r.wider(first, last), query, func(m row) error {
		t := at[full(m.text("trace.id"))]
		if t == nil {
			return nil
		}
		spans, errors := m.number("spans"), m.number("errors")
		t.Spans, t.Errors = t.Spans+spans, t.Errors+errors
		if began := m.time("first"); t.Start.IsZero() || began.Before(t.Start) {
			t.Start = began
		}
		if ended := time.Unix(0, m.number("last")).UTC(); ended.After(ends[t.TraceID]) {
			ends[t.TraceID] = ended
		}
		service := m.text("service.name")
		if i := slices.IndexFunc(t.Services, func(p ServicePart) bool { return p.Name == service }); i >= 0 {
			t.Services[i].Spans, t.Services[i].Errors = t.Services[i].Spans+spans, t.Services[i].Errors+errors
		} else {
			t.Services = append(t.Services, ServicePart{service, spans, errors})
		}
		if tenant := m.text("icewatch.tenant"); tenant != "" && !tenants[[2]string{t.TraceID, tenant}] {
			tenants[[2]string{t.TraceID, tenant}] = true
			t.Tenants = append(t.Tenants, tenant)
		}
		var root map[string]string
		if json.Unmarshal(m.bytes("root"), &root) != nil || root["_time"] == "" {
			return nil
		}
		began, _ := time.Parse(time.RFC3339Nano, root["_time"])
		if earliest, ok := roots[t.TraceID]; !ok || began.Before(earliest) {
			roots[t.TraceID] = began
			t.Root = &Root{SpanID: root["span.id"], Service: service, Operation: root["span.name"], Kind: root["span.kind"]}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	filter, err := f.logsQL()
	if err != nil {
		return nil, false, err
	}
	err = s.count(ctx, r, filter+" "+within(ids)+` | stats by ("trace.id") count() matched`, func(m row) error {
		if t := at[full(m.text("trace.id"))]; t != nil {
			t.Matched += m.number("matched")
		}
		return nil
	})
	for i := range list {
		t := &list[i]
		// The lake reckons with times as floating-point numbers: to 256 ns.
		t.Duration = max(ends[t.TraceID].Sub(t.Start), 0).Round(time.Microsecond).Nanoseconds()
		slices.SortFunc(t.Services, func(a, b ServicePart) int {
			return cmp.Or(cmp.Compare(b.Spans, a.Spans), strings.Compare(a.Name, b.Name))
		})
		slices.Sort(t.Tenants)
	}
	// What went between the two questions, as the oldest rows do.
	list = slices.DeleteFunc(list, func(t Summary) bool { return t.Spans == 0 })
	slices.SortStableFunc(list, func(a, b Summary) int { return b.Start.Compare(a.Start) })
	return list, more, err
}

// Find reads the newest traces of which one span in the range passes the
// filter, the latest first, with all of their spans.
func (s *Service) Find(ctx context.Context, r Range, f Filter, limit int) ([]*Trace, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	ids, first, last, _, err := s.find(ctx, r, &f, limit)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	list, err := s.read(ctx, r.wider(first, last), ids)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b *Trace) int { return b.Start().Compare(a.Start()) })
	return list, nil
}
