package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"

	"icewatch/soc/identity"
)

// reqState travels with a request from the first middleware to the last.
type reqState struct {
	requestID string
	address   string // the client's address, without port; "local" on the socket
	principal *identity.Principal
	selected  []string // tenants chosen by header; nil where none was
	action    string   // the operation's id, for the audit log
	object    string   // what it was done to; a handler may say it better
	tenant    string   // whose it was
	detail    string   // more for the audit log
	actor     string   // who, where there is no principal yet: at login
	kind      string   // of the record; "" goes by the method
	channel   string   // how the caller signed in; "" goes by the principal
	session   string   // the session that began; "" goes by the principal
	findings  []string // what was unusual about it
	changes   json.RawMessage
	skipAudit bool // the operation changes nothing
	secure    bool // the client came by HTTPS
	userAgent string
	device    string   // the secret of the device cookie
	conn      net.Conn // to notice that the client has gone
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

// VisibleTenants returns the tenants a reading operation may touch: those the
// caller may see, narrowed by the header X-Scope-OrgID and then by requested,
// a comma-separated list of slugs as a query parameter gives it. nil means all
// of them; an empty list means none, and the answer is then empty. Asking for
// a tenant outside one's reach is a 403.
func VisibleTenants(ctx context.Context, requested string) ([]string, error) {
	st := stateOf(ctx)
	if st == nil || st.principal == nil {
		return []string{}, nil
	}
	reach := st.selected
	if reach == nil && !st.principal.AllTenants {
		reach = append([]string{}, st.principal.Tenants...)
	}
	if requested == "" {
		return reach, nil
	}
	want := []string{}
	for slug := range strings.SplitSeq(requested, ",") {
		slug = strings.TrimSpace(slug)
		if slug == "" {
			continue
		}
		if reach != nil && !slices.Contains(reach, slug) {
			return nil, Problem(http.StatusForbidden, "the tenant %q is not within your reach", slug)
		}
		want = append(want, slug)
	}
	return want, nil
}

// CanSee tells whether the caller may see a thing of the tenant, within the
// choice the header made. Answer NotFound where it is false.
func CanSee(ctx context.Context, tenant string) bool {
	reach, err := VisibleTenants(ctx, "")
	return err == nil && (reach == nil || slices.Contains(reach, tenant))
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
	if p := st.principal; !p.AllTenants && len(p.Tenants) == 1 {
		return p.Tenants[0]
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

// cityOnly refuses callers whose reach is not all tenants: what they would
// change belongs to all.
func cityOnly(ctx context.Context) error {
	if p := PrincipalFrom(ctx); p == nil || !p.AllTenants {
		return Problem(http.StatusForbidden, "this needs the reach over all tenants")
	}
	return nil
}
