package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"

	"icewatch/soc/identity"
	"icewatch/soc/protocol"
	"icewatch/soc/reach"
)

// reqState travels with a request from the first middleware to the last.
type reqState struct {
	requestID   string
	address     string // the client's address, without port; "local" on the socket
	principal   *identity.Principal
	selected    []string    // tenants chosen by header; nil where none was
	own         reach.Reach // what the caller may see
	reach       reach.Reach // of it, what lies in the tenants chosen
	action      string      // the operation's id, for the audit log
	object      string      // what it was done to; a handler may say it better
	tenant      string      // whose it was
	detail      string      // more for the audit log
	actor       string      // who, where there is no principal yet: at login
	kind        string      // of the record; "" goes by the method
	channel     string      // how the caller signed in; "" goes by the principal
	session     string      // the session that began; "" goes by the principal
	findings    []string    // what was unusual about it
	changes     json.RawMessage
	factorAsked bool // the sign-in goes on with another factor
	skipAudit   bool // the operation changes nothing
	confined    bool // the permission holds in the caller's own unit and below only
	secure      bool // the client came by HTTPS
	userAgent   string
	device      string             // the secret of the device cookie
	cookie      string             // one to set beside the answer's own
	origin      string             // of the page that asks, like https://soc.example.org
	conn        net.Conn           // to notice that the client has gone
	intake      bool               // the request brings events
	protocol    *protocol.Protocol // whose clients are answered; nil for the suite's own

	// again looks whether the caller's session or token still holds; nil for
	// the local socket, whose callers need none.
	again func(ctx context.Context) (*identity.Principal, error)
	// still says why the caller may no longer see what the request saw; of
	// protocols' routes that read.
	still func(ctx context.Context) (why string)
}

type stateKey struct{}

func stateOf(ctx context.Context) *reqState {
	st, _ := ctx.Value(stateKey{}).(*reqState)
	return st
}

// PrincipalFrom returns who is asking. Within a registered operation it is
// never nil.
func PrincipalFrom(ctx context.Context) *identity.Principal {
	if st := stateOf(ctx); st != nil {
		return st.principal
	}
	return nil
}

// RequestID returns the request's id as the client sees it in X-Request-ID.
func RequestID(ctx context.Context) string {
	if st := stateOf(ctx); st != nil {
		return st.requestID
	}
	return ""
}

// Actor returns the name under which the caller enters timelines and the audit
// log.
func Actor(ctx context.Context) string { return PrincipalFrom(ctx).Actor() }

// Caller names who is asking, for records; "" where nobody asks.
func Caller(ctx context.Context) string {
	if p := PrincipalFrom(ctx); p != nil {
		return p.Actor()
	}
	return ""
}

// Reach returns the rows an operation may touch, reading and acting alike:
// those the caller may see, narrowed by the header X-Scope-OrgID and then by
// requested, a comma-separated list of slugs as a query parameter gives it.
// Asking for a tenant outside one's reach is a 403.
func Reach(ctx context.Context, requested string) (reach.Reach, error) {
	st := stateOf(ctx)
	if st == nil {
		return reach.None(), nil
	}
	if requested == "" {
		return st.reach, nil
	}
	want := words(requested)
	for _, slug := range want {
		if !st.reach.CoversTenant(slug) {
			return reach.None(), Problem(http.StatusForbidden, "the tenant %q is not within your reach", clip(slug, 64))
		}
	}
	return st.reach.Narrow(want), nil
}

// words reads a query parameter that lists values with commas.
func words(s string) []string {
	var out []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	return out
}

// CanSee tells whether the caller may see anything of the tenant, within the
// choice the header made. Answer NotFound where it is false.
func CanSee(ctx context.Context, tenant string) bool {
	st := stateOf(ctx)
	return st != nil && st.reach.CoversTenant(tenant)
}

// seesEverything tells whether the caller's reach is the whole suite, tenants
// to come included, whichever of them the header chose.
func seesEverything(ctx context.Context) bool {
	st := stateOf(ctx)
	return st != nil && st.own.Everything()
}

// reachOf is what a principal may see. What does not compile shows nothing.
func (s *Server) reachOf(p *identity.Principal) reach.Reach {
	var listed []string
	if !p.AllTenants {
		listed = append([]string{}, p.Tenants...)
	}
	r, err := s.deps.Reach.Reach(listed, s.conditions(p)...)
	if err != nil {
		s.log.Error("a data scope does not compile: its holder sees nothing", "user", p.Username, "error", err)
		return reach.None()
	}
	if s.deps.Saved != nil {
		r = r.WithLogs(s.deps.Saved.Confinement(s.askerOf(p)))
	}
	return s.veiled(r, p)
}

// conditions are the data scopes that bind a principal: his own, and the
// ceilings of his unit and of those above it.
func (s *Server) conditions(p *identity.Principal) []string {
	if p.Unit == "" || s.deps.Units == nil {
		return p.Conditions
	}
	return append(s.deps.Units.Tree().Ceilings(p.Unit), p.Conditions...)
}

// SelectedTenant returns the one tenant that writing goes to: the token's own,
// or the one the header chose; "" where neither says, and the pipeline then
// decides whose an event is.
func SelectedTenant(ctx context.Context) string {
	st := stateOf(ctx)
	if st == nil || st.principal == nil {
		return ""
	}
	if len(st.selected) == 1 {
		return st.selected[0]
	}
	if slugs, all := st.reach.TenantSlugs(); !all && len(slugs) == 1 {
		return slugs[0]
	}
	return ""
}

// AuditObject says for the audit log what the operation was done to, whose it
// is, and what else should be remembered of it. By default the object is the
// request's path. It must not hold secrets.
func AuditObject(ctx context.Context, object, tenant, detail string) {
	if st := stateOf(ctx); st != nil {
		st.object, st.tenant, st.detail = object, tenant, detail
	}
}

// cityOnly refuses callers whose reach is not everything: what they would
// change belongs to all.
func cityOnly(ctx context.Context) error {
	if !seesEverything(ctx) {
		return Problem(http.StatusForbidden, "this needs the reach over all tenants")
	}
	return nil
}
