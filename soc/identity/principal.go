// Package identity knows who is asking: users with their passwords and second
// factors, those that identity providers vouch for, sessions, devices and API
// tokens, and the back-off that meets somebody who guesses. It turns a
// credential into a Principal, which every decision further in is made on.
// What may be done is decided in the room policy below it, on the roles and
// grants of the room access; which rows, in soc/reach.
package identity

import (
	"slices"

	"icewatch/soc/identity/access"
	"icewatch/soc/identity/policy"
)

// The scopes of soc/identity/policy: the kinds of operation there are.
const (
	ScopeIngest    = policy.ScopeIngest
	ScopeRead      = policy.ScopeRead
	ScopeRespond   = policy.ScopeRespond
	ScopeConfigure = policy.ScopeConfigure
	ScopeSystem    = policy.ScopeSystem
	ScopeSecurity  = policy.ScopeSecurity
	ScopeAudit     = policy.ScopeAudit
	ScopeAdmin     = policy.ScopeAdmin
)

// Scopes lists every scope that a token or role can hold.
var Scopes = policy.Scopes

// Some of the roles that soc/identity/access builds in.
const (
	RoleAdmin   = "admin"   // everything, while the three powers are not apart
	RoleAnalyst = "analyst" // reads and responds
	RoleViewer  = "viewer"  // reads
)

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
	Roles       []string // held directly
	Granted     []string // by a grant, whether it is in force this moment or not
	Unit        string   // the user's; "" where there is none
	Tenants     []string // slugs; not looked at where AllTenants is set
	AllTenants  bool
	Conditions  []string // data scopes (soc/reach) that all hold within the tenants; the API compiles them
	Via         string   // ViaSession, ViaToken or ViaLocal
	TokenID     string   // the API token's id, "" otherwise
	SessionID   string   // the session's id, "" otherwise
	Channel     string   // how the session's user signed in; "" otherwise
	Pending     string   // what must be done before anything else: PendingPassword, PendingFactor or ""

	// Subject is the principal as the policy sees it.
	Subject *policy.Prepared
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
// the server runs as can open that socket, so it may do everything, save what
// the separation of the three powers takes from it.
func Local() *Principal { return local }

var local = &Principal{
	UserID: "local", Username: "local", DisplayName: "local", Roles: []string{RoleAdmin}, AllTenants: true, Via: ViaLocal,
	Subject: mustPrepare(policy.Subject{Roles: []string{access.LocalRole}}),
}

func mustPrepare(s policy.Subject) *policy.Prepared {
	p, err := s.Prepare()
	if err != nil {
		panic(err) // a constant that JSON can say
	}
	return p
}
