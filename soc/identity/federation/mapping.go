package federation

import (
	"fmt"
	"slices"
	"strings"

	"icewatch/soc/identity/federation/peer"
)

// Person is somebody at a provider, in our words.
type Person struct {
	Subject     string
	Username    string
	DisplayName string
	Email       string
	Roles       []string
	Tenants     []string
	Unit        string // id or code of a unit; "" for none
	Disabled    bool
}

// check wants rules that can give something.
func (m *Mapping) check() error {
	for i, r := range m.Rules {
		field := fmt.Sprintf("mapping.rules[%d]", i)
		switch {
		case strings.TrimSpace(r.Value) == "" || r.Value == "*":
			return invalid(field+".value", "it is empty or matches everybody: default_roles are for that")
		case len(r.Roles) == 0 && len(r.Tenants) == 0 && r.Unit == "":
			return invalid(field, "it gives neither roles nor tenants nor a unit")
		}
		if err := checkTenants(field+".tenants", r.Tenants); err != nil {
			return err
		}
	}
	return checkTenants("mapping.default_tenants", m.DefaultTenants)
}

func checkTenants(field string, list []string) error {
	if slices.Contains(list, "*") && len(list) > 1 {
		return invalid(field, "give either * for all tenants or their names, not both")
	}
	return nil
}

// matches tells whether a person's claims fulfil the rule.
func (r *Rule) matches(c peer.Claims, groups string) bool {
	path := r.Claim
	if path == "" {
		path = groups
	}
	prefix, open := strings.CutSuffix(r.Value, "*")
	for _, v := range c.Strings(path) {
		if open && len(v) >= len(prefix) && strings.EqualFold(v[:len(prefix)], prefix) || strings.EqualFold(v, r.Value) {
			return true
		}
	}
	return false
}

// person puts what the provider says into our words. The roles are those of
// the rules that match and the default ones, and no others: whoever gets none
// is refused with ErrUnmapped.
func (p *Provider) person(id peer.Identity) (Person, error) {
	out := Person{Subject: id.Subject, Disabled: id.Disabled,
		Username:    id.Claims.String(p.Attributes.Username),
		DisplayName: clip(id.Claims.String(p.Attributes.DisplayName), 200),
		Email:       clip(id.Claims.String(p.Attributes.Email), 200),
		Roles:       slices.Clone(p.Mapping.DefaultRoles),
		Tenants:     slices.Clone(p.Mapping.DefaultTenants),
		Unit:        p.Mapping.DefaultUnit,
	}
	if out.Username == "" {
		return out, fmt.Errorf("%w: there is no %s among %s: attributes.username names the one that holds the user name",
			ErrUnmapped, p.Attributes.Username, strings.Join(id.Claims.Names(), ", "))
	}
	ruled := false
	for _, r := range p.Mapping.Rules {
		if !r.matches(id.Claims, p.Attributes.Groups) {
			continue
		}
		out.Roles = union(out.Roles, r.Roles)
		out.Tenants = union(out.Tenants, r.Tenants)
		if r.Unit != "" && !ruled { // the first rule wins: a person has one unit
			out.Unit, ruled = r.Unit, true
		}
	}
	if slices.Contains(out.Tenants, "*") {
		out.Tenants = []string{"*"}
	}
	if len(out.Roles) == 0 {
		return out, fmt.Errorf("%w: no rule gives %s a role; the groups are %s", ErrUnmapped, out.Username,
			clip(strings.Join(id.Claims.Strings(p.Attributes.Groups), ", "), 1000))
	}
	return out, nil
}

// union adds what is not there yet.
func union(have, more []string) []string {
	for _, m := range more {
		if !slices.Contains(have, m) {
			have = append(have, m)
		}
	}
	return have
}

// clip cuts what a provider wrote to what can be kept.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
