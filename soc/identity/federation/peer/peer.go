// Package peer is what every kind of identity provider has in common: whom it
// vouches for, in which words, and what a check of the connection to it finds.
package peer

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The reasons for which a provider lets nobody in, to be told apart by
// errors.Is. The error that wraps one says what happened; it is for the audit
// log, since a stranger can cause it.
var (
	// ErrCredentials says that user name or password are wrong, or that the
	// directory does not let the account in.
	ErrCredentials = errors.New("the directory does not accept the user name and password")
	// ErrRefused says that the provider itself said no, or that the user
	// cancelled.
	ErrRefused = errors.New("the identity provider refused")
	// ErrInvalid says that the provider's answer does not verify.
	ErrInvalid = errors.New("the identity provider's answer is not valid")
	// ErrUnavailable says that the provider cannot be reached or does not
	// answer as one.
	ErrUnavailable = errors.New("the identity provider cannot be reached")
)

// Identity is somebody as a provider describes him. The provider vouches for
// it: whatever made it has verified the answer it stands in.
type Identity struct {
	// Subject names him at the provider. It is never given to anybody else and
	// stays when his name changes (OIDC's sub, SAML's NameID, entryUUID).
	Subject string
	Claims  Claims
	// Methods are the ways he proved who he is in the provider's words: amr and
	// acr (OIDC), AuthnContextClassRef (SAML).
	Methods []string
	// Disabled says that the provider knows him and lets him in no more.
	Disabled bool
	// Session is the provider's name for his session there; "" where it has none.
	Session string
	// Hint is what the provider wants to see when he signs out there (OIDC's ID
	// token, SAML's NameID). It is a secret.
	Hint string
}

// Claims are the attributes a provider gives a person: JSON values by name.
type Claims map[string]any

const (
	maxValues = 4096 // groups of one person
	maxValue  = 1024 // bytes of one value
)

// Strings returns the values at a path: a claim's name, or names joined by dots
// for what lies inside objects ("realm_access.roles"). Numbers and booleans are
// written as JSON does; objects, and what is longer than a kibibyte, are left
// out. A name that holds dots itself is found as it stands.
func (c Claims) Strings(path string) []string {
	if path == "" {
		return nil
	}
	if v, ok := c.get(path); ok {
		return texts(v)
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		v, ok := c.get(path[:i])
		if !ok {
			continue
		}
		if inner, ok := v.(map[string]any); ok {
			if found := Claims(inner).Strings(path[i+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

// String returns the first value at a path, "" where there is none.
func (c Claims) String(path string) string {
	if v := c.Strings(path); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Names lists the claims there are, sorted, for messages.
func (c Claims) Names() []string { return slices.Sorted(maps.Keys(c)) }

// get finds a claim by its exact name, or else whatever its case: LDAP's
// attribute names have none.
func (c Claims) get(name string) (any, bool) {
	if v, ok := c[name]; ok {
		return v, true
	}
	for k, v := range c {
		if strings.EqualFold(k, name) {
			return v, true
		}
	}
	return nil, false
}

// texts flattens a claim's value.
func texts(v any) []string {
	var out []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && len(s) <= maxValue && len(out) < maxValues && utf8.ValidString(s) {
			out = append(out, s)
		}
	}
	switch v := v.(type) {
	case string:
		add(v)
	case bool:
		add(strconv.FormatBool(v))
	case float64:
		add(strconv.FormatFloat(v, 'f', -1, 64))
	case json.Number:
		add(v.String())
	case []string:
		for _, s := range v {
			add(s)
		}
	case []any:
		for _, x := range v {
			for _, s := range texts(x) {
				add(s)
			}
		}
	}
	return out
}

// Check is one finding of a test of a provider.
type Check struct {
	Name   string `json:"name" doc:"What was checked, such as connect, tls, bind, search, discovery, keys, metadata"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail" doc:"What was found, or what is wrong and how it would be right"`
}

// Passed makes a finding of what is as it should be.
func Passed(name, detail string) Check { return Check{Name: name, OK: true, Detail: detail} }

// Failed makes a finding of what is not.
func Failed(name string, err error) Check { return Check{Name: name, Detail: err.Error()} }
