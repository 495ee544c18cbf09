package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"icewatch/soc/audit"
	"icewatch/soc/identity"
)

// Entry is a request to write events that comes by another way than HTTP, such
// as a call of gRPC.
type Entry struct {
	Authorization string // as HTTP's header
	Tenant        string // as the header X-Scope-OrgID
	UserAgent     string
	Object        string // what is called, for the audit log
	Peer          netip.Addr
	Secure        bool // nobody can listen in
}

// AdmitIngest decides on an Entry as the gate before the router does on a
// request with the scope ingest, and notes a refusal in the audit log. It
// returns the tenant that the events are for ("" leaves that to the pipeline),
// and else a status of HTTP other than 200 with the reason.
func (s *Server) AdmitIngest(ctx context.Context, e Entry) (tenant string, status int, why string) {
	st := &reqState{requestID: requestID(), secure: e.Secure, userAgent: clip(e.UserAgent, 300), action: "ingest", intake: true}
	if e.Peer.IsValid() {
		st.address = e.Peer.String()
	}
	ctx = context.WithValue(ctx, stateKey{}, st)
	refuse := func(status int, why string) (string, int, string) {
		s.noteRefusal(st, clip(e.Object, 200), why)
		return "", status, why
	}
	cred := parseCredential(e.Authorization, "")
	why, err := s.identify(ctx, st, cred)
	if err != nil {
		s.log.Error("a credential could not be checked", "request_id", st.requestID, "error", err)
		return "", http.StatusServiceUnavailable, "the credential cannot be checked at the moment"
	}
	if why != "" {
		return refuse(http.StatusUnauthorized, why)
	}
	st.own = s.reachOf(st.principal)
	if code, why := obligation(st.principal, http.MethodPost, e.Object); code != "" {
		return refuse(http.StatusForbidden, why)
	}
	if why := s.selectTenants(st, e.Tenant, cred.user); why != "" {
		return refuse(http.StatusForbidden, why)
	}
	if why := mayWrite(ctx, st); why != "" {
		return refuse(http.StatusForbidden, why)
	}
	if !s.permitted(ctx, "ingest", identity.ScopeIngest) {
		return refuse(http.StatusForbidden, missing("ingest", identity.ScopeIngest))
	}
	return SelectedTenant(ctx), http.StatusOK, ""
}

// identify finds out who shows a credential. It returns what is wrong with it,
// or "".
func (s *Server) identify(ctx context.Context, st *reqState, cred credential) (why string, err error) {
	switch {
	case cred.bad != "":
		return cred.bad, nil
	case cred.secret == "" && st.address == localAddress:
		st.principal = identity.Local()
		return "", nil
	case cred.secret == "":
		return "this needs a token or a session: sign in first", nil
	}
	p, err := s.deps.Identity.Authenticate(ctx, cred.secret, st.address)
	switch {
	case errors.Is(err, identity.ErrElsewhere):
		return "the token or session is not valid from this address", nil
	case errors.Is(err, identity.ErrUnauthenticated):
		return "the token or session is not valid, or no longer", nil
	case err != nil:
		return "", err
	}
	st.principal = p
	st.again = func(ctx context.Context) (*identity.Principal, error) {
		if p.SessionID != "" {
			// Looking is no use of the session: what stays open on a screen
			// must not keep it from ending.
			held, err := s.deps.Identity.Session(ctx, p.SessionID)
			return held.Principal, err
		}
		return s.deps.Identity.Authenticate(ctx, cred.secret, st.address)
	}
	return "", nil
}

// mayWrite says why events may not be written for the tenants chosen, or "".
func mayWrite(ctx context.Context, st *reqState) string {
	if st.own.Nothing() {
		return "nothing can be written: the tenant was removed, or there is none within your reach"
	}
	if SelectedTenant(ctx) == "" && (len(st.selected) > 1 || !st.own.Everything()) {
		// Left to the pipeline it might become a tenant's that is out of reach.
		return "events are written to one tenant: choose it with the header " + headerTenant
	}
	return ""
}

// noteRefusal puts into the audit log that somebody was turned away.
func (s *Server) noteRefusal(st *reqState, object, why string) {
	rec := st.auditRecord()
	rec.Kind, rec.Action, rec.Object = audit.KindAccess, "access", object
	rec.Result, rec.Detail = audit.Denied, why
	s.deps.Audit.Note(rec)
}
