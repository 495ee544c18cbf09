package identity

import (
	"errors"
	"fmt"
	"time"
)

// The errors the room's methods answer with, to be told apart by errors.Is.
var (
	// ErrUnauthenticated says that a credential is wrong, unknown, expired or
	// revoked; it never says which.
	ErrUnauthenticated = errors.New("identity: the credential is not valid")
	// ErrBusy says that more sign-ins wait for their password to be checked
	// than may; the client should come again shortly.
	ErrBusy = errors.New("identity: too many sign-ins at once")
	// ErrNotFound says that there is no such user or token.
	ErrNotFound = errors.New("identity: not found")
	// ErrExists says that the name is taken.
	ErrExists = errors.New("the name is taken")
	// ErrInvalid says that a value given is not one that can be stored; the
	// error that wraps it names it.
	ErrInvalid = errors.New("invalid")
)

// LockedError says that there were too many failures from an address or on an
// account, and that nothing is checked until the time is over.
type LockedError struct{ After time.Duration }

// Error says how long to wait.
func (e *LockedError) Error() string {
	return fmt.Sprintf("identity: too many failures, locked for %s", e.After.Round(time.Second))
}

// PolicyError says why a password is not good enough.
type PolicyError struct{ Reason string }

// Error gives the reason in words for the user.
func (e *PolicyError) Error() string { return "the password " + e.Reason }

// User is a local user account.
type User struct {
	ID                 string     `json:"id"`
	Username           string     `json:"username"`
	DisplayName        string     `json:"display_name"`
	Roles              []string   `json:"roles"`
	Scopes             []string   `json:"scopes"` // what the roles grant
	AllTenants         bool       `json:"all_tenants"`
	Tenants            []string   `json:"tenants"`
	Locale             string     `json:"locale"` // "zh-CN", "en" or "" for the browser's
	MustChangePassword bool       `json:"must_change_password"`
	Disabled           bool       `json:"disabled"`
	CreatedAt          time.Time  `json:"created_at,omitzero"`
	UpdatedAt          time.Time  `json:"updated_at,omitzero"`
	LastLoginAt        *time.Time `json:"last_login_at,omitempty"`
}

// NewUser is what a user is made of.
type NewUser struct {
	Username    string
	DisplayName string
	Password    string
	Roles       []string
	Tenants     []string // slugs, or "*" alone for all
	Locale      string
}

// UserChange changes what is not nil.
type UserChange struct {
	DisplayName *string
	Roles       *[]string
	Tenants     *[]string // slugs, or "*" alone for all
	Locale      *string
	Disabled    *bool
	Password    *string // set by an administrator: ends the user's sessions, and must be changed
}

// LoginRequest is a sign-in.
type LoginRequest struct {
	Username  string
	Password  string
	Address   string // the client's address, for the back-off and the session list
	UserAgent string
}

// Session is a fresh session. Token is known to the client only: the room
// keeps its hash.
type Session struct {
	Token     string
	ExpiresAt time.Time // absolute limit
	User      User
}

// Token is an API token without its secret.
type Token struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Tenant     string     `json:"tenant"` // slug; "" is city-level: every tenant
	Scopes     []string   `json:"scopes"`
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"` // nil: never
	LastUsedAt *time.Time `json:"last_used_at,omitempty"`
}

// NewToken is what an API token is made of.
type NewToken struct {
	Name      string
	Tenant    string
	Scopes    []string
	ExpiresIn time.Duration // 0: never
	CreatedBy string
}
