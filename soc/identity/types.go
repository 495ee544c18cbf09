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
type LockedError struct {
	After    time.Duration
	Held     bool     // not until an administrator unlocks the account
	Findings []string // the unusual access for which it was just locked
}

// Error says how long to wait.
func (e *LockedError) Error() string {
	if e.Held {
		return "identity: the account is locked until an administrator unlocks it"
	}
	return fmt.Sprintf("identity: too many failures, locked for %s", e.After.Round(time.Second))
}

// User is a local user account.
type User struct {
	ID                 string     `json:"id"`
	Username           string     `json:"username"`
	DisplayName        string     `json:"display_name"`
	Roles              []string   `json:"roles"`
	Email              string     `json:"email"`
	Phone              string     `json:"phone"`
	Unit               string     `json:"unit"` // id of soc/units; "" where there is none
	Tags               []string   `json:"tags"`
	AvatarURL          string     `json:"avatar_url"` // of the API; "" where there is no picture
	Source             string     `json:"source"`     // "" is local, else the identity provider
	AllTenants         bool       `json:"all_tenants"`
	Tenants            []string   `json:"tenants"`
	Reach              string     `json:"reach"`  // data scope within the tenants: an expression of soc/reach, "" is no condition
	Locale             string     `json:"locale"` // "zh-CN", "en" or "" for the browser's
	MustChangePassword bool       `json:"must_change_password"`
	MustEnrolFactor    bool       `json:"must_enrol_factor,omitempty"`
	Disabled           bool       `json:"disabled"`
	CreatedAt          time.Time  `json:"created_at,omitzero"`
	UpdatedAt          time.Time  `json:"updated_at,omitzero"`
	LastLoginAt        *time.Time `json:"last_login_at,omitempty"`
	ValidFrom          *time.Time `json:"valid_from,omitempty"` // the account's life; nil does not bind
	ValidUntil         *time.Time `json:"valid_until,omitempty"`
}

// NewUser is what a user is made of.
type NewUser struct {
	Username    string
	DisplayName string
	Password    string
	Roles       []string
	Tenants     []string // slugs, or "*" alone for all
	Reach       string   // data scope, "" for no condition
	Locale      string
	Email       string
	Phone       string
	Unit        string
	Tags        []string
	Source      string
	ValidFrom   *time.Time
	ValidUntil  *time.Time
}

// UserChange changes what is not nil.
type UserChange struct {
	DisplayName *string
	Roles       *[]string
	Tenants     *[]string // slugs, or "*" alone for all
	Reach       *string   // data scope, "" for no condition
	Locale      *string
	Disabled    *bool
	Email       *string
	Phone       *string
	Unit        *string
	Tags        *[]string
	ValidFrom   **time.Time // to nil: unbound
	ValidUntil  **time.Time
	Password    *string // set by an administrator: ends the user's sessions, and must be changed
}
