package traces

import (
	"context"
	"fmt"
	"time"
)

// Figures are how many spans there are and how long they took.
type Figures struct {
	Spans  int64 `json:"spans"`
	Errors int64 `json:"errors" doc:"Spans whose status is an error"`
	P50    int64 `json:"p50_ns" doc:"Half of them took at most so long"`
	P95    int64 `json:"p95_ns" doc:"95 of a hundred took at most so long"`
}

// figures are the functions of stats behind Figures.
const figures = `count() spans, count() if (` + failed + `) errors, quantile(0.5, "event.duration") p50, quantile(0.95, "event.duration") p95`

func (m row) figures() Figures {
	return Figures{m.number("spans"), m.number("errors"), m.number("p50"), m.number("p95")}
}

// ServiceFigures are a service and the spans of it.
type ServiceFigures struct {
	Name string `json:"name"`
	Figures
	Last time.Time `json:"last" doc:"When the youngest of them began"`
}

// Services lists the services that have spans in the range, by name.
func (s *Service) Services(ctx context.Context, r Range) (list []ServiceFigures, err error) {
	query := fmt.Sprintf(`%s "service.name":* | stats by ("service.name") %s, max(_time) last | sort by ("service.name") limit %d`, Spans, figures, maxNames)
	err = s.count(ctx, r, query, func(m row) error {
		list = append(list, ServiceFigures{m.text("service.name"), m.figures(), m.time("last")})
		return nil
	})
	return list, err
}

// ServiceNames is the names of Services, which cost less.
func (s *Service) ServiceNames(ctx context.Context, r Range) (list []string, err error) {
	query := fmt.Sprintf(`%s "service.name":* | stats by ("service.name") count() spans | sort by ("service.name") limit %d`, Spans, maxNames)
	err = s.count(ctx, r, query, func(m row) error {
		list = append(list, m.text("service.name"))
		return nil
	})
	return list, err
}

// Operation is what spans of one service are named.
type Operation struct {
	Name string `json:"name"`
	Kind string `json:"kind" doc:"internal, server, client, producer, consumer, or empty where spans do not say"`
	Figures
}

// Operations lists the operations of a service in the range, by name and kind;
// kind narrows them unless it is "".
func (s *Service) Operations(ctx context.Context, r Range, service, kind string) (list []Operation, err error) {
	f := Filter{Service: service, Kind: kind}
	filter, err := f.logsQL()
	if err != nil {
		return nil, err
	}
	query := fmt.Sprintf(`%s | stats by ("span.name", "span.kind") %s | sort by ("span.name", "span.kind") limit %d`, filter, figures, maxNames)
	err = s.count(ctx, r, query, func(m row) error {
		list = append(list, Operation{m.text("span.name"), m.text("span.kind"), m.figures()})
		return nil
	})
	return list, err
}
