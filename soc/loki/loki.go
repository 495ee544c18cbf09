// Package loki serves Grafana Loki's read API over the lake, so that Grafana,
// logcli and scripts made for Loki work unchanged: queries with Loki's own
// engine (soc/loki/logql), labels and series, live tails, volumes and what its
// explorers ask for. What clients push is taken in by collectors/lokipush.
package loki

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/grafana/loki/v3/pkg/util/server"

	"icewatch/soc/identity"
	"icewatch/soc/loki/logql"
	"icewatch/soc/protocol"
	"icewatch/soc/search"
)

// spoken is the version of Loki whose language and answers these are.
const spoken = "3.7.8"

// Options are what the API needs.
type Options struct {
	Engine  *logql.Engine
	Caller  protocol.Watcher
	Version string // of the suite, for buildinfo
}

type service struct{ Options }

// New makes the protocol.
func New(opts Options) protocol.Protocol {
	s := service{opts}
	p := protocol.Protocol{Prefix: "/loki", Refuse: refuse}
	add := func(kind protocol.Kind, path string, h fiber.Handler, methods ...string) {
		for _, m := range methods {
			p.Routes = append(p.Routes, protocol.Route{Method: m, Path: "/loki" + path, Operation: "loki-query", Scope: identity.ScopeRead, Kind: kind, Handler: h})
		}
	}
	both := []string{http.MethodGet, http.MethodPost}
	add(protocol.Search, "/api/v1/query", s.answer(s.query), both...)
	add(protocol.Search, "/api/v1/query_range", s.answer(s.queryRange), both...)
	add(protocol.Search, "/api/v1/labels", s.answer(s.labels), both...)
	add(protocol.Search, "/api/v1/label", s.answer(s.labels), both...)
	add(protocol.Search, "/api/v1/label/:name/values", s.answer(s.values), both...)
	add(protocol.Search, "/api/v1/series", s.answer(s.series), both...)
	add(protocol.Search, "/api/v1/index/stats", s.answer(s.stats), both...)
	add(protocol.Search, "/api/v1/index/volume", s.answer(s.volume), both...)
	add(protocol.Search, "/api/v1/index/volume_range", s.answer(s.volumeRange), both...)
	add(protocol.Search, "/api/v1/detected_fields", s.answer(s.detectedFields), both...)
	add(protocol.Search, "/api/v1/detected_field/:name/values", s.answer(s.detectedValues), both...)
	add(protocol.Search, "/api/v1/detected_labels", s.answer(s.detectedLabels), both...)
	add(protocol.Read, "/api/v1/format_query", s.answer(s.formatQuery), both...)
	add(protocol.Read, "/api/v1/status/buildinfo", s.answer(s.buildInfo), http.MethodGet)
	add(protocol.Read, "/api/v1/drilldown-limits", s.answer(s.drilldownLimits), http.MethodGet)
	add(protocol.Read, "/api/v1/tail", s.tail, http.MethodGet)
	add(protocol.Read, "/ready", func(c *fiber.Ctx) error { return c.SendString("ready\n") }, http.MethodGet)
	return p
}

// refuse answers an error as Loki does: its reason as text.
func refuse(c *fiber.Ctx, status int, why string) error {
	c.Set(fiber.HeaderContentType, "text/plain; charset=utf-8")
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	return c.Status(status).SendString(why + "\n")
}

// fault is an error whose words and status the client shall see as they are.
type fault struct {
	status int
	err    error
}

func (f *fault) Error() string { return f.err.Error() }

func (f *fault) Unwrap() error { return f.err }

// bad is a fault of the request.
func bad(err error) error { return &fault{http.StatusBadRequest, err} }

// answer serves a request with what h makes of it, and words its errors as Loki
// does. Errors that are not about the query are the frame's.
func (s service) answer(h func(context.Context, *request) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		r, err := s.request(c)
		if err == nil {
			err = h(c.UserContext(), r)
		}
		if err == nil {
			c.Set(fiber.HeaderContentType, "application/json; charset=UTF-8")
			return c.Send(r.body)
		}
		return s.fail(c, err)
	}
}

// fail words an error.
func (s service) fail(c *fiber.Ctx, err error) error {
	var f *fault
	switch {
	case errors.As(err, &f):
		return refuse(c, f.status, f.Error())
	case errors.Is(err, search.ErrUnavailable):
		return err
	}
	status, worded := server.ClientHTTPStatusAndError(err)
	if status == http.StatusInternalServerError {
		return err
	}
	return refuse(c, status, worded.Error())
}

// buildInfo says which Loki this is to its clients, which choose by it what
// they ask for.
func (s service) buildInfo(_ context.Context, r *request) error {
	return r.json(map[string]string{"version": spoken, "revision": "icewatch " + s.Version, "branch": "HEAD", "buildUser": "", "buildDate": "", "goVersion": strings.TrimPrefix(runtime.Version(), "go")})
}

// drilldownLimits tells Grafana's explorer of logs what there is.
func (s service) drilldownLimits(_ context.Context, r *request) error {
	l := s.Engine.Limits()
	return r.json(map[string]any{"version": spoken, "pattern_ingester_enabled": false, "limits": map[string]any{
		"discover_log_levels": true, "discover_service_name": []string{}, "log_level_fields": []string{},
		"max_entries_limit_per_query": l.Entries, "max_line_size_truncate": false, "max_query_bytes_read": "0B",
		"max_query_length": l.Range.String(), "max_query_lookback": "0s", "max_query_range": "0s", "max_query_series": l.Series,
		"metric_aggregation_enabled": false, "otlp_config": map[string]any{}, "pattern_persistence_enabled": false,
		"query_timeout": l.Timeout.String(), "retention_period": "0s", "retention_stream": []any{}, "volume_enabled": true, "volume_max_series": l.Series}})
}

// form reads the parameters of a request, of its address and of its body.
func form(c *fiber.Ctx) (url.Values, error) {
	values, err := url.ParseQuery(string(c.Context().QueryArgs().QueryString()))
	if err != nil {
		return nil, fmt.Errorf("the parameters cannot be read: %w", err)
	}
	if c.Method() == http.MethodPost && strings.HasPrefix(c.Get(fiber.HeaderContentType), fiber.MIMEApplicationForm) {
		more, err := url.ParseQuery(string(c.Body()))
		if err != nil {
			return nil, fmt.Errorf("the form in the body cannot be read: %w", err)
		}
		for name, list := range more {
			values[name] = append(list, values[name]...)
		}
	}
	return values, nil
}

// longestQuery bounds a query in bytes, as Loki does.
const longestQuery = 131_072

// aheadOfClock is how much later than asked for a label may have begun, since
// clients cut the time to seconds.
const aheadOfClock = time.Second
