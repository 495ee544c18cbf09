// Package alertmanager speaks version 2 of Alertmanager's API, so that what
// works with an Alertmanager works with the suite: amtool, Grafana's
// Alertmanager data source and karma list alerts and keep silences; Prometheus,
// vmalert and Loki's ruler send their alerts.
//
// What it shows are ticketing's open alerts within the caller's reach; what it
// silences are ticketing's notifications (ticketing/silence). An alert that is
// sent in becomes an alert of ticketing in the ordinary way, with the
// configuration item that its labels name, and closes when its sender says so
// or falls silent. Source of the format:
// https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
package alertmanager

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"icewatch/collectors/webbody"
	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/routing"
	"icewatch/ticketing/silence"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Prefix is where the API lies; a client is given it as the path of the
// Alertmanager, before /api/v2.
const Prefix = "/alertmanager"

const root = Prefix + "/api/v2"

// Caller tells about who asks.
type Caller interface {
	protocol.Caller
	// Actor is the name of the caller, for what is kept of what he does.
	Actor(c *fiber.Ctx) string
	// AuditObject says what the request does and to what.
	AuditObject(c *fiber.Ctx, object, tenant, detail string)
}

// Deps is what the room needs of others. All but Routes, Log and Clock are
// required.
type Deps struct {
	Caller  Caller
	Tickets *ticketing.Service
	Routes  *routing.Store // the trees of Tickets, to describe them
	// Place adds to the fields of an alert that was sent in what the CMDB knows
	// of the item they name (host.name, host.ip), and tells whose alert it is:
	// that of the tenant, where one is given, or of the item's.
	Place         func(tenant string, fields map[string]string) (owner string)
	Limits        webbody.Limits // of the alerts sent in with one request
	ExternalURL   string         // where people reach the console
	GroupInterval time.Duration  // between notifications of one incident
	Version       string
	Log           *slog.Logger     // default slog.Default()
	Clock         func() time.Time // default time.Now
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	Deps
	db      *state.DB
	started time.Time
	telling sync.Mutex // one goroutine tells ticketing
	hand    *hand
}

// New brings the room's table up to date and makes the service. Run must run
// for alerts to end whose senders fell silent.
func New(ctx context.Context, db *state.DB, deps Deps) (*Service, error) {
	if deps.Log == nil {
		deps.Log = slog.Default()
	}
	if deps.Clock == nil {
		deps.Clock = time.Now
	}
	if err := db.Migrate(ctx, "alertmanager", migrations); err != nil {
		return nil, fmt.Errorf("alertmanager: %w", err)
	}
	return &Service{Deps: deps, db: db, started: deps.Clock().UTC(), hand: newHand()}, nil
}

// Protocol returns the API's routes.
func (s *Service) Protocol() protocol.Protocol {
	const read, silences = "alertmanager-read", "alertmanager-silence"
	get := func(path string, handler fiber.Handler) protocol.Route {
		return protocol.Route{Method: http.MethodGet, Path: path, Operation: read, Scope: identity.ScopeRead, Kind: protocol.Read, Handler: handler}
	}
	ok := func(c *fiber.Ctx) error { return c.SendString("OK") }
	return protocol.Protocol{Prefix: Prefix, Refuse: refuse, Routes: []protocol.Route{
		get(Prefix+"/-/healthy", ok),
		get(Prefix+"/-/ready", ok),
		get(root+"/status", s.status),
		get(root+"/receivers", s.listReceivers),
		get(root+"/alerts", s.listAlerts),
		get(root+"/alerts/groups", s.listGroups),
		get(root+"/silences", s.listSilences),
		get(root+"/silence/:id", s.getSilence),
		{Method: http.MethodPost, Path: root + "/silences", Operation: silences, Scope: identity.ScopeRespond, Kind: protocol.Change, Handler: s.postSilence},
		{Method: http.MethodDelete, Path: root + "/silence/:id", Operation: silences, Scope: identity.ScopeRespond, Kind: protocol.Change, Handler: s.deleteSilence},
		{Method: http.MethodPost, Path: root + "/alerts", Operation: "ingest", Scope: identity.ScopeIngest, Kind: protocol.Change, Handler: s.postAlerts},
	}}
}

// refuse writes an error as Alertmanager does: a text in JSON where its handlers
// answer, an object with code and message where its router or the check of the
// parameters does.
func refuse(c *fiber.Ctx, status int, why string) error {
	c.Status(status)
	switch status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusInternalServerError:
		return c.JSON(why)
	default:
		return refused(c, status, status, why)
	}
}

// The codes that its checks of parameters answer beside the status 422.
const (
	codeType     = 601
	codeRequired = 602
	codeTooFew   = 612
)

func refused(c *fiber.Ctx, status, code int, why string) error {
	return c.Status(status).JSON(map[string]any{"code": code, "message": why})
}

// text answers a status with a text in JSON.
func text(c *fiber.Ctx, status int, why string) error { return c.Status(status).JSON(why) }

// explain answers what ticketing refused; what it cannot do is for the frame.
func explain(c *fiber.Ctx, err error) error {
	words := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "ticketing: "), silence.ErrInvalid.Error(), "silence invalid")
	switch {
	case errors.Is(err, silence.ErrNotFound):
		return text(c, http.StatusNotFound, "silence not found")
	case errors.Is(err, silence.ErrInvalid):
		return text(c, http.StatusBadRequest, words)
	case errors.Is(err, silence.ErrForbidden):
		return text(c, http.StatusForbidden, words)
	}
	return err
}

// asked reads a parameter that is true or false; what is not a word for true is
// false, and one that is missing is true.
func asked(c *fiber.Ctx, name string) bool {
	v := c.Query(name)
	switch strings.ToLower(v) {
	case "true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled":
		return true
	}
	return v == ""
}

// repeated reads a parameter that may stand in the query several times.
func repeated(c *fiber.Ctx, name string) []string {
	var list []string
	for _, v := range c.Context().QueryArgs().PeekMulti(name) {
		list = append(list, string(v))
	}
	return list
}

// contentType is the media type of a body without its parameters.
func contentType(c *fiber.Ctx) string {
	kind, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	return strings.TrimSpace(kind)
}

// decode reads a body of JSON into v.
func decode(c *fiber.Ctx, what string, body []byte, v any) (answered bool, err error) {
	if kind := contentType(c); !strings.EqualFold(kind, fiber.MIMEApplicationJSON) {
		return true, refused(c, http.StatusUnsupportedMediaType, http.StatusUnsupportedMediaType,
			fmt.Sprintf("unsupported media type %.100q, only [application/json] are allowed", kind))
	}
	if err := json.Unmarshal(body, v); err != nil {
		return true, refused(c, http.StatusBadRequest, http.StatusBadRequest, fmt.Sprintf("parsing %s body failed, because %v", what, err))
	}
	return false, nil
}
