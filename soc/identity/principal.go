// Package identity knows who is asking: local users and their passwords,
// sessions, API tokens, and the back-off that meets somebody who guesses. It
// turns a credential into a Principal, which every decision further in is made
// on; it decides nothing about alerts, events or tenants itself.
package identity

import "slices"

// The scopes: the kinds of operation there are. Every operation of the API
// belongs to exactly one; a role or token that holds the scope may do all of
// its operations. System, Security and Audit are the three powers that no
// person holds two of where they are separated (GB/T 22239-2019, 8.1.5).
const (
	ScopeIngest    = "ingest"    // write events
	ScopeRead      = "read"      // search, alerts, incidents, CMDB
	ScopeRespond   = "respond"   // acknowledge, assign, comment, close
	ScopeConfigure = "configure" // rules, items of the CMDB, receivers of notices
	ScopeSystem    = "system"    // accounts, units, tenants, settings of the suite
	ScopeSecurity  = "security"  // roles, grants, data scopes, sign-in and its policies, tokens, sessions
	ScopeAudit     = "audit"     // the audit log
	ScopeAdmin     = "admin"     // includes all the others; no operation asks for it
)

// Scopes lists every scope that a token or role can hold.
var Scopes = []string{ScopeIngest, ScopeRead, ScopeRespond, ScopeConfigure, ScopeSystem, ScopeSecurity, ScopeAudit, ScopeAdmin}

// The roles a user can have.
const (
	RoleAdmin   = "admin"   // everything
	RoleAnalyst = "analyst" // reads and responds
	RoleViewer  = "viewer"  // reads
)

// Roles lists every role there is.
var Roles = []string{RoleAdmin, RoleAnalyst, RoleViewer}

// How a Principal proved who it is.
const (
	ViaSession = "session" // a user's session, by cookie or bearer token
	ViaToken   = "token"   // an API token
	ViaLocal   = "local"   // the kernel's word: a connection on the local socket
)

// Principal is who is asking, with everything that may be decided on. It is
// shared between requests and must not be changed.
type Principal struct {
	UserID      string
	Username    string // user name, or the token's name for an API token
	DisplayName string
	Roles       []string
	Scopes      []string
	Operations  []string // single operations of the API that may be done beside those of the scopes
	Tenants     []string // slugs; not looked at where AllTenants is set
	AllTenants  bool
	Conditions  []string // data scopes (soc/reach) that all hold within the tenants; the API compiles them
	Via         string   // ViaSession, ViaToken or ViaLocal
	TokenID     string   // the API token's id, "" otherwise
	SessionID   string   // the session's id, "" otherwise
	Channel     string   // how the session's user signed in; "" otherwise
	Pending     string   // what must be done before anything else: PendingPassword, PendingFactor or ""
}

// Allows tells whether the principal may do what demands scope. The admin
// scope includes every other.
func (p *Principal) Allows(scope string) bool {
	return p != nil && (slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, ScopeAdmin))
}

// listed tells whether the tenant is among the principal's; what of it may be
// seen is up to the data scopes.
func (p *Principal) listed(tenant string) bool {
	return p.AllTenants || slices.Contains(p.Tenants, tenant)
}

// Actor is the name under which the principal stands in the audit log and in
// timelines: "admin", "token:shipper-1" or "local".
func (p *Principal) Actor() string {
	switch {
	case p == nil:
		return ""
	case p.Via == ViaToken:
		return "token:" + p.Username
	case p.Via == ViaApplication:
		return "application:" + p.Username
	default:
		return p.Username
	}
}

// Local is the principal of a connection on the local socket. Only the account
// the server runs as can open that socket, so it may do everything.
func Local() *Principal {
	return &Principal{
		UserID: "local", Username: "local", DisplayName: "local",
		Roles: []string{RoleAdmin}, Scopes: slices.Clone(Scopes), AllTenants: true, Via: ViaLocal,
	}
}

// scopesOf unites what the roles grant.
func scopesOf(roles []string) []string {
	var scopes []string
	add := func(s ...string) {
		for _, x := range s {
			if !slices.Contains(scopes, x) {
				scopes = append(scopes, x)
			}
		}
	}
	for _, r := range roles {
		switch r {
		case RoleAdmin:
			add(Scopes...)
		case RoleAnalyst:
			add(ScopeRead, ScopeRespond)
		case RoleViewer:
			add(ScopeRead)
		}
	}
	return scopes
}
