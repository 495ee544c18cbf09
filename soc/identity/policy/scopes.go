package policy

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

// ScopeAny is declared by operations that everybody who is known may do, such
// as reading one's own account.
const ScopeAny = "any"

// ScopePublic is declared by operations that need no credential at all.
const ScopePublic = "public"

// Scopes lists every scope that a token or role can hold.
var Scopes = []string{ScopeIngest, ScopeRead, ScopeRespond, ScopeConfigure, ScopeSystem, ScopeSecurity, ScopeAudit, ScopeAdmin}

// Powers are the three that are kept apart.
var Powers = []string{ScopeSystem, ScopeSecurity, ScopeAudit}

// AllScopes is what the scope admin stands for while the powers are not apart.
var AllScopes = slices.DeleteFunc(slices.Clone(Scopes), func(s string) bool { return s == ScopeAdmin })
