// Package prometheus speaks the HTTP API of Prometheus about the metric lake:
// queries, lists of series and labels, metadata and remote read, for Grafana,
// promtool and everything else that asks a Prometheus. (What writes to it is
// collectors/remotewrite.)
//
// Queries are MetricsQL, which the lake's engine speaks and of which PromQL is a
// part: the answers are Prometheus' own but for the differences that
// docs/prometheus.md lists and the acceptance test holds against a real
// Prometheus. A query is read as PromQL first, so that scalars and strings are
// answered as such.
//
// A caller sees the metrics of the tenants that his data scope covers whole
// (metrics.Visible); where more than one is seen, the label icewatch_tenant
// tells their series apart.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/prometheus/promql/parser"

	"icewatch/soc/identity"
	"icewatch/soc/metrics"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
)

// Prefix is the first segment of all paths.
const Prefix = "/prometheus"

// apiVersion is the version of Prometheus whose HTTP API this is; clients choose
// by it what they ask for.
const apiVersion = "2.53.0"

// Lake is the metric lake.
type Lake interface {
	// ReadMetrics answers a read of the tenants that the reach covers whole.
	ReadMetrics(ctx context.Context, within reach.Reach, r metrics.Read) (metrics.Answer, error)
}

// Options are what the room needs.
type Options struct {
	Lake      Lake
	Catalogue *metrics.Catalogue // what senders say of their metrics
	Retention time.Duration      // how far back samples are kept
	Version   string             // of the suite
}

// room serves the API.
type room struct {
	Options
	caller protocol.Caller
	promql parser.Parser
	now    func() time.Time
}

// New makes the protocol. caller tells who asks.
func New(caller protocol.Caller, o Options) protocol.Protocol {
	r := &room{Options: o, caller: caller, promql: parser.NewParser(parser.Options{EnableExperimentalFunctions: true}), now: time.Now}
	p := protocol.Protocol{Prefix: Prefix, Refuse: refuse}
	add := func(path string, kind protocol.Kind, handler fiber.Handler, methods ...string) {
		for _, m := range methods {
			p.Routes = append(p.Routes, protocol.Route{Method: m, Path: Prefix + "/api/v1/" + path, Operation: "prometheus-query", Scope: identity.ScopeRead, Kind: kind, Handler: handler})
		}
	}
	const get, post = http.MethodGet, http.MethodPost
	add("query", protocol.Search, r.query, get, post)
	add("query_range", protocol.Search, r.queryRange, get, post)
	add("series", protocol.Search, r.series, get, post)
	add("labels", protocol.Search, r.labels, get, post)
	add("label/:name/values", protocol.Search, r.values, get)
	add("read", protocol.Search, r.remoteRead, post)
	add("query_exemplars", protocol.Read, r.exemplars, get, post)
	add("format_query", protocol.Read, r.format, get, post)
	add("metadata", protocol.Read, r.metadata, get)
	add("status/buildinfo", protocol.Read, r.buildInfo, get)
	add("rules", protocol.Read, r.rules, get)
	add("alerts", protocol.Read, r.alerts, get)
	return p
}

// The kinds of errors, as Prometheus names them.
const (
	badData     = "bad_data"
	execution   = "execution"
	timeout     = "timeout"
	unavailable = "unavailable"
	notFound    = "not_found"
	internal    = "internal"
)

// failure is an error with the words and the status of Prometheus.
type failure struct {
	status int
	kind   string
	why    string
}

func (f *failure) Error() string { return f.why }

// envelope is the form of every answer.
type envelope struct {
	Status    string   `json:"status"`
	Data      any      `json:"data,omitempty"`
	ErrorType string   `json:"errorType,omitempty"`
	Error     string   `json:"error,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// write answers with an envelope.
func write(c *fiber.Ctx, status int, e envelope) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(status).Send(body)
}

// ok answers with data.
func ok(c *fiber.Ctx, data any, warnings ...string) error {
	return write(c, http.StatusOK, envelope{Status: "success", Data: data, Warnings: warnings})
}

// refuse implements protocol.Protocol: what the frame turns away is worded as
// Prometheus would. A request that took too long is a 503 there.
func refuse(c *fiber.Ctx, status int, why string) error {
	kind := internal
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusMethodNotAllowed:
		kind = badData
	case http.StatusUnauthorized:
		kind = "unauthorized"
	case http.StatusForbidden:
		kind = "forbidden"
	case http.StatusNotFound:
		kind = notFound
	case http.StatusUnprocessableEntity:
		kind = execution
	case http.StatusTooManyRequests:
		kind = "too_many_requests"
	case http.StatusServiceUnavailable:
		kind = unavailable
	case http.StatusGatewayTimeout:
		status, kind = http.StatusServiceUnavailable, timeout
	case 499:
		kind = "canceled"
	}
	return write(c, status, envelope{Status: "error", ErrorType: kind, Error: why})
}

// fail answers an error of a handler: those that have the words of Prometheus
// here, all others by the frame.
func (r *room) fail(c *fiber.Ctx, err error) error {
	var f *failure
	var qe *metrics.QueryError
	switch {
	case errors.As(err, &f):
		return write(c, f.status, envelope{Status: "error", ErrorType: f.kind, Error: f.why})
	case errors.As(err, &qe):
		return write(c, http.StatusUnprocessableEntity, envelope{Status: "error", ErrorType: execution, Error: qe.Error()})
	}
	return err
}

// read asks the lake, and says which tenants the answer leaves out.
func (r *room) read(c *fiber.Ctx, ctx context.Context, q metrics.Read) (a metrics.Answer, warnings []string, err error) {
	within, err := r.caller.Reach(c)
	if err != nil {
		return a, nil, err
	}
	a, err = r.Lake.ReadMetrics(ctx, within, q)
	return a, hidden(within), err
}

// hidden warns of tenants of which a data scope shows a part, and so no metric.
func hidden(within reach.Reach) []string {
	slugs, all := within.TenantSlugs()
	shown, _ := metrics.Visible(within)
	if all || len(shown) == len(slugs) {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(slugs), func(s string) bool { return slices.Contains(shown, s) })
	return []string{"metrics of these tenants are not shown, as your data scope covers a part of them only: " + strings.Join(left, ", ")}
}

// buildInfo answers /status/buildinfo. Grafana chooses by the version what it
// asks for.
func (r *room) buildInfo(c *fiber.Ctx) error {
	return ok(c, map[string]string{"application": "icewatch", "version": apiVersion, "revision": r.Version, "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version()})
}

// rules answers /rules: the suite's rules are those of detection, and none is
// in PromQL.
func (r *room) rules(c *fiber.Ctx) error { return ok(c, map[string][]any{"groups": {}}) }

// alerts answers /alerts: those of the suite are at /alertmanager.
func (r *room) alerts(c *fiber.Ctx) error { return ok(c, map[string][]any{"alerts": {}}) }

// exemplars answers /query_exemplars: none are stored.
func (r *room) exemplars(c *fiber.Ctx) error {
	if _, err := r.parameter(c, "query"); err != nil {
		return r.fail(c, err)
	}
	if _, _, err := r.span(c, time.Time{}); err != nil {
		return r.fail(c, err)
	}
	return ok(c, []any{})
}
