package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
)

// routes registers everything, in the order of the documentation.
func (s *Server) routes() {
	s.healthRoutes()
	s.signInRoutes()
	s.factorRoutes()
	s.federationRoutes()
	s.sessionRoutes()
	s.auditRoutes()
	s.meRoutes()
	s.userRoutes()
	s.unitRoutes()
	s.accessRoutes()
	s.setupRoutes()
	s.settingRoutes()
	s.oidcRoutes()
	s.applicationRoutes()
	s.keyRoutes()
	s.uiRoutes()
	s.catalogueRoutes()
	s.ruleRoutes()
	s.ruleSetRoutes()
	s.policyRoutes()
	s.maintenanceRoutes()
	s.fieldRoutes()
	s.parserRoutes()
	s.processingRoutes()
	s.reachRoutes()
	s.searchRoutes()
	s.metricRoutes()
	s.savedRoutes()
	s.forwardingRoutes()
	s.inputRoutes()
	s.fleetRoutes()
	s.analysisRoutes()
	s.clauseRoutes()
	s.tailRoutes()
	s.logqlRoutes()
	s.maskingRoutes()
	s.flowRoutes()
	s.traceRoutes()
	s.cmdbRoutes()
	s.cmdbModelRoutes()
	s.cmdbItemRoutes()
	s.cmdbTopologyRoutes()
	s.cmdbFileRoutes()
	s.cmdbRequestRoutes()
	s.cmdbInboxRoutes()
	s.cmdbAttachmentRoutes()
	s.cmdbViewRoutes()
	s.cmdbDrawingRoutes()
	s.cmdbSubscriptionRoutes()
	s.cmdbKeptRoutes()
	s.cmdbStateRoutes()
	s.cmdbTrafficRoutes()
	s.cmdbMergeRoutes()
	s.cmdbRiskRoutes()
	s.knowledgeRoutes()
	s.cmdbArchiveRoutes()
	s.vulnerabilityRoutes()
	s.findingRoutes()
	s.findingOrderRoutes()
	s.findingImportRoutes()
	s.findingReportRoutes()
	s.findingTemplateRoutes()
	s.scanRoutes()
	s.backupRoutes()
	s.protocolRoutes()
	s.watchRoutes()
	s.storageRoutes()
	s.usageRoutes()
	s.removalRoutes()
	s.dutyRoutes()
	s.slaRoutes()
	s.notifyRoutes()
	s.caseRoutes()
	s.dispatchRoutes() // before incidents by their ids
	s.alertSourceRoutes()
	s.entityRoutes()
	if s.deps.Ticketing != nil {
		s.deps.Ticketing.Routes(s)
	}
}

// openAPI is the frame of the API's description.
func (s *Server) openAPI() huma.Config {
	cfg := huma.DefaultConfig("icewatch", s.deps.Version)
	cfg.Info.Description = "Security operations: events, alerts, incidents, assets. Errors are RFC 9457 problems."
	cfg.Info.License = &huma.License{Name: "AGPL-3.0", Identifier: "AGPL-3.0-only"}
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Servers = []*huma.Server{{URL: "/"}}
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer":  {Type: "http", Scheme: "bearer", Description: "An API token or a session's token"},
		"basic":   {Type: "http", Scheme: "basic", Description: "An API token as password; a tenant, or anything, as user"},
		"session": {Type: "apiKey", In: "cookie", Name: cookieName},
	}
	// The description is a route of ours, behind the gate like any other; there
	// is no page for it, since that would load from a foreign host.
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.CreateHooks = nil
	cfg.Transformers = append(cfg.Transformers, finishProblem)
	return cfg
}

// schemaName names a type in the API's description. Rooms have types of the
// same name (an Item, a Text), so the room's name stands before it.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Name() == "" || t.PkgPath() == "" {
		return huma.DefaultSchemaNamer(t, hint)
	}
	full := t.PkgPath() + "." + t.Name()
	var b strings.Builder
	// A generic type's name lists its parameters with their full paths.
	for part := range strings.FieldsFuncSeq(full, func(r rune) bool { return strings.ContainsRune("[], *", r) }) {
		part = part[strings.LastIndexByte(part, '/')+1:]
		room, name, found := strings.Cut(part, ".")
		if !found {
			room, name = "", room
		}
		if room != "api" && room != "v2" { // v2 is huma's last path element
			b.WriteString(capital(room))
		}
		// A type inside a function carries a number: Item·3.
		name, _, _ = strings.Cut(name, "·")
		b.WriteString(capital(name))
	}
	return b.String()
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// healthRoutes registers what machines ask: health, metrics and the API's own
// description.
func (s *Server) healthRoutes() {
	s.handle(http.MethodGet, "/healthz", "healthz", scopePublic, func(c *fiber.Ctx) error {
		return c.JSON(map[string]string{"status": "ok"})
	})
	s.handle(http.MethodGet, "/readyz", "readyz", scopePublic, func(c *fiber.Ctx) error {
		var parts []PartHealth
		if s.deps.Ready != nil {
			parts = s.deps.Ready(c.UserContext())
		}
		status, word := http.StatusOK, "ready"
		for _, p := range parts {
			if !p.Ready {
				status, word = http.StatusServiceUnavailable, "not ready"
			}
		}
		if parts == nil {
			parts = []PartHealth{}
		}
		return c.Status(status).JSON(map[string]any{"status": word, "parts": parts})
	})
	s.handle(http.MethodGet, "/metrics", "metrics", identity.ScopeRead, func(c *fiber.Ctx) error {
		// The figures are the whole suite's, so one tenant's token is not enough.
		if !seesEverything(c.UserContext()) {
			return writeProblem(c, http.StatusForbidden, "the metrics are the whole suite's: this needs the reach over all tenants")
		}
		if s.deps.WriteMetrics == nil {
			return unavailable("metrics")
		}
		c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
		s.deps.WriteMetrics(c.Response().BodyWriter())
		return nil
	})
	s.handle(http.MethodGet, prefix+"/openapi.json", "openapi", ScopeAny, func(c *fiber.Ctx) error {
		return c.JSON(s.huma.OpenAPI())
	})
}

// cutKey takes a key of Server.declared apart.
func cutKey(key string) (method, pattern string, ok bool) { return strings.Cut(key, " ") }
