package provider

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"icewatch/detections"
	"icewatch/soc/identity"
)

// Text is a text in the two languages of the console.
type Text = detections.Text

// The kinds of OIDC client an application can be.
const (
	ClientNone         = "none"         // no single sign-on, only a card
	ClientConfidential = "confidential" // a server, which can keep a secret
	ClientPublic       = "public"       // a program on the user's machine, which cannot
)

// How a confidential client proves who it is at the token endpoint.
// The two ways to send a secret are both taken, whichever is registered.
const (
	AuthBasic = "client_secret_basic" // a secret in the Authorization header
	AuthPost  = "client_secret_post"  // a secret in the body
	AuthKey   = "private_key_jwt"     // a JWT signed with its own key (RFC 7523)
	AuthNone  = "none"                // of public clients, which PKCE protects
)

// The scopes a client can be allowed.
const (
	scopeGroups   = "groups"
	scopeRoles    = "roles"
	scopeIcewatch = "icewatch" // unit and tenants
)

// Scopes lists the OpenID scopes there are.
var Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, scopeGroups, scopeRoles, scopeIcewatch, oidc.ScopeOfflineAccess}

// GrantTypes lists the grants there are.
var GrantTypes = []string{string(oidc.GrantTypeCode), string(oidc.GrantTypeRefreshToken), string(oidc.GrantTypeClientCredentials)}

// Card is what everybody who may use an application sees of it in the portal.
type Card struct {
	ID          string `json:"id"`
	Name        Text   `json:"name"`
	Description Text   `json:"description"`
	Category    string `json:"category" maxLength:"64" doc:"Under which heading the portal shows it"`
	Tenant      string `json:"tenant" maxLength:"128" doc:"The monitored tenant it belongs to; empty for none"`
	IconURL     string `json:"icon_url"`
	URL         string `json:"url" doc:"Where the card leads"`
	Version     string `json:"version" doc:"As stated by its administrator"`
	Position    int    `json:"position" doc:"Cards are shown by rising position"`
}

// Application is one application of the portal.
type Application struct {
	Card
	Open        bool        `json:"open" doc:"A closed one is shown to nobody, signs nobody in and may call nothing"`
	VersionURL  string      `json:"version_url" doc:"Where the application tells its version"`
	CreatedAt   time.Time   `json:"created_at"`
	CreatedBy   string      `json:"created_by"`
	UpdatedAt   time.Time   `json:"updated_at"`
	Audience    Audience    `json:"audience"`
	Client      Client      `json:"client"`
	Permissions Permissions `json:"permissions"`
	Keys        []Key       `json:"keys" nullable:"false"`
	Menus       []Menu      `json:"menus" nullable:"false"`
	Interfaces  []Interface `json:"interfaces" nullable:"false"`
}

// Audience says who may use an application: everyone who can sign in, or who
// is in one of the lists.
type Audience struct {
	Everyone bool     `json:"everyone"`
	Roles    []string `json:"roles" nullable:"false" maxItems:"100"`
	Groups   []string `json:"groups" nullable:"false" maxItems:"1000"`
	Users    []string `json:"users" nullable:"false" maxItems:"1000" doc:"Ids of users"`
}

// Client is how an application takes part in single sign-on.
type Client struct {
	Type                   string     `json:"type" enum:"none,confidential,public"`
	AuthMethod             string     `json:"auth_method" enum:"client_secret_basic,client_secret_post,private_key_jwt,none"`
	RedirectURIs           []string   `json:"redirect_uris" nullable:"false" maxItems:"20"`
	PostLogoutRedirectURIs []string   `json:"post_logout_redirect_uris" nullable:"false" maxItems:"20"`
	GrantTypes             []string   `json:"grant_types" nullable:"false" maxItems:"10"`
	Scopes                 []string   `json:"scopes" nullable:"false" maxItems:"20"`
	Consent                bool       `json:"consent" doc:"Ask the user before the application learns who he is; leave it off for one's own applications"`
	SecretCreatedAt        *time.Time `json:"secret_created_at,omitempty" readOnly:"true"`
}

// Permissions is what of the suite's API an application may call with a token
// of its own (client_credentials).
type Permissions struct {
	Operations []string `json:"operations" nullable:"false" maxItems:"1000" doc:"Operation ids of the API"`
	Tenants    []string `json:"tenants" nullable:"false" maxItems:"1000" doc:"Whose data: names of tenants, or * alone for all"`
}

// Key is a public key of an application, which signs with its private half.
type Key struct {
	ID          string     `json:"kid"`
	Algorithm   string     `json:"algorithm"`
	Fingerprint string     `json:"fingerprint" doc:"SHA-256 of the public key"`
	Subject     string     `json:"subject" doc:"Of the certificate, where one was given"`
	PEM         string     `json:"pem" doc:"The public key or the certificate"`
	CreatedAt   time.Time  `json:"created_at"`
	NotAfter    *time.Time `json:"not_after,omitempty" doc:"The certificate's end"`
	RetiresAt   *time.Time `json:"retires_at,omitempty" doc:"Set by the key that replaced it"`
}

// Menu is one entry of an application's menu, or a button of one of its pages.
type Menu struct {
	Key      string   `json:"key" maxLength:"64"`
	Title    Text     `json:"title"`
	Path     string   `json:"path" maxLength:"512"`
	Kind     string   `json:"kind" enum:"menu,button"`
	Roles    []string `json:"roles" nullable:"false" maxItems:"100" doc:"Who gets it; empty is everyone who may use the application"`
	Children []Menu   `json:"children" nullable:"false" maxItems:"200"`
}

// Interface is one interface that an application offers to others.
type Interface struct {
	Key           string `json:"key" maxLength:"64"`
	Title         Text   `json:"title"`
	Method        string `json:"method" enum:"GET,POST,PUT,PATCH,DELETE"`
	URL           string `json:"url" maxLength:"2048"`
	Documentation string `json:"documentation" maxLength:"2048" doc:"Where it is described"`
}

// registered is an application with what never leaves the room.
type registered struct {
	Application
	secretHash string
}

// grants tells whether the client may use the grant.
func (a *Application) grants(g oidc.GrantType) bool {
	return a.Client.Type != ClientNone && slices.Contains(a.Client.GrantTypes, string(g))
}

// Admits tells whether the person may use the application.
func (a *Application) Admits(p Person) bool {
	au := a.Audience
	return au.Everyone || slices.Contains(au.Users, p.ID) || intersect(au.Roles, p.Roles) || intersect(au.Groups, p.Groups)
}

// Person is a user as far as applications are concerned.
type Person struct {
	ID, Username  string
	Roles, Groups []string
}

// PersonOf takes from a standing what applications go by.
func PersonOf(st identity.Standing) Person {
	return Person{ID: st.ID, Username: st.Username, Roles: st.InForce, Groups: st.Groups}
}

// Person is who the principal is to applications: a user with the roles and
// groups of the moment, or whatever else asks with what it holds.
func (s *Service) Person(ctx context.Context, p *identity.Principal) (Person, error) {
	if p.Via != identity.ViaSession {
		return Person{ID: p.UserID, Username: p.Username, Roles: p.Roles}, nil
	}
	st, err := s.Identity.Standing(ctx, p.UserID)
	if err != nil {
		return Person{}, err
	}
	return PersonOf(st), nil
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// tidy replaces what is missing by what is empty, so that a list is never null.
func (a *Application) tidy() {
	for _, list := range []*[]string{&a.Audience.Roles, &a.Audience.Groups, &a.Audience.Users, &a.Client.RedirectURIs, &a.Client.PostLogoutRedirectURIs,
		&a.Client.GrantTypes, &a.Client.Scopes, &a.Permissions.Operations, &a.Permissions.Tenants} {
		if *list == nil {
			*list = []string{}
		}
	}
	if a.Client.Type == "" {
		a.Client.Type, a.Client.AuthMethod = ClientNone, AuthNone
	}
	if a.Keys == nil {
		a.Keys = []Key{}
	}
	if a.Interfaces == nil {
		a.Interfaces = []Interface{}
	}
	a.Menus = tidyMenus(a.Menus)
}

func tidyMenus(list []Menu) []Menu {
	out := make([]Menu, len(list))
	for i, m := range list {
		if m.Roles == nil {
			m.Roles = []string{}
		}
		m.Children = tidyMenus(m.Children)
		out[i] = m
	}
	return out
}

// check says what is wrong with an application, in words for who wrote it.
func (a *Application) check() error {
	if err := checkText("the name", a.Name, 1, 200); err != nil {
		return err
	}
	if err := checkText("the description", a.Description, 0, 2000); err != nil {
		return err
	}
	if len(a.Category) > 64 || len(a.Version) > 100 {
		return invalid("the category has at most 64 bytes, the version 100")
	}
	for name, raw := range map[string]string{"url": a.URL, "version_url": a.VersionURL} {
		if raw == "" {
			continue
		}
		if _, err := webURL(raw); err != nil {
			return invalid("%s: %s", name, err)
		}
	}
	if err := a.Client.check(); err != nil {
		return err
	}
	n := 0
	if err := checkMenus(a.Menus, map[string]bool{}, &n, 1); err != nil {
		return err
	}
	return checkInterfaces(a.Interfaces)
}

func checkText(what string, t Text, least, most int) error {
	for _, s := range []string{t.ZH, t.EN} {
		if len(s) > most || !utf8.ValidString(s) {
			return invalid("%s has at most %d bytes of UTF-8 in each language", what, most)
		}
	}
	if least > 0 && strings.TrimSpace(t.ZH) == "" && strings.TrimSpace(t.EN) == "" {
		return invalid("%s is missing: give it as zh, en or both", what)
	}
	return nil
}

// webURL reads an absolute http or https address without user name.
func webURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > 2048:
		return nil, fmt.Errorf("%.100q is no URL of at most 2048 bytes", raw)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("%.100q is not absolute with http or https", raw)
	case u.User != nil:
		return nil, fmt.Errorf("%.100q holds a user name", raw)
	}
	return u, nil
}

// hasSecret tells whether the client proves itself by a secret.
func (c *Client) hasSecret() bool {
	return c.Type == ClientConfidential && (c.AuthMethod == AuthBasic || c.AuthMethod == AuthPost)
}

// check holds the client against OAuth 2.0 Security Best Current Practice
// (RFC 9700).
func (c *Client) check() error {
	switch c.Type {
	case ClientNone:
		if c.AuthMethod != AuthNone || len(c.GrantTypes)+len(c.RedirectURIs) > 0 {
			return invalid("a client of type none has no grant types, no redirect URIs and the auth_method none")
		}
		return nil
	case ClientPublic:
		if c.AuthMethod != AuthNone {
			return invalid("a public client cannot keep a secret: its auth_method is none")
		}
	case ClientConfidential:
		if !c.hasSecret() && c.AuthMethod != AuthKey {
			return invalid("the auth_method of a confidential client is %s, %s or %s", AuthBasic, AuthPost, AuthKey)
		}
	default:
		return invalid("the client type %q is none of none, confidential, public", c.Type)
	}
	for _, g := range c.GrantTypes {
		if !slices.Contains(GrantTypes, g) {
			return invalid("the grant type %q is none of %s", g, strings.Join(GrantTypes, ", "))
		}
	}
	code := slices.Contains(c.GrantTypes, string(oidc.GrantTypeCode))
	switch {
	case len(c.GrantTypes) == 0:
		return invalid("a client needs at least one grant type of %s", strings.Join(GrantTypes, ", "))
	case slices.Contains(c.GrantTypes, string(oidc.GrantTypeRefreshToken)) && !code:
		return invalid("refresh_token needs authorization_code: an application's own token is simply asked for again")
	case slices.Contains(c.GrantTypes, string(oidc.GrantTypeClientCredentials)) && c.Type == ClientPublic:
		return invalid("a public client has no credentials for client_credentials")
	case code && len(c.RedirectURIs) == 0:
		return invalid("authorization_code needs a redirect URI")
	case code && !slices.Contains(c.Scopes, oidc.ScopeOpenID):
		return invalid("authorization_code needs the scope openid")
	}
	for _, sc := range c.Scopes {
		if !slices.Contains(Scopes, sc) {
			return invalid("the scope %q is none of %s", sc, strings.Join(Scopes, ", "))
		}
	}
	for _, raw := range append(slices.Clone(c.RedirectURIs), c.PostLogoutRedirectURIs...) {
		if err := checkRedirect(raw); err != nil {
			return err
		}
	}
	return nil
}

// checkRedirect takes https anywhere and http on loopback, where nothing
// travels. What is registered is compared byte by byte later on.
func checkRedirect(raw string) error {
	u, err := webURL(raw)
	switch {
	case err != nil:
		return invalid("redirect URI: %s", err)
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return invalid("the redirect URI %q must have no fragment", raw)
	case strings.ContainsAny(raw, "*\\ \t\r\n"):
		return invalid("the redirect URI %q must hold no wildcard, blank or backslash", raw)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return invalid("the redirect URI %q must be https; http is for 127.0.0.1, [::1] and localhost alone", raw)
	}
	return nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

var menuKey = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)

const (
	maxMenus = 1000 // entries of one application
	maxDepth = 6
)

func checkMenus(list []Menu, seen map[string]bool, n *int, depth int) error {
	if depth > maxDepth && len(list) > 0 {
		return invalid("the menu is deeper than %d levels", maxDepth)
	}
	for i := range list {
		m := &list[i]
		*n++
		switch {
		case *n > maxMenus:
			return invalid("the menu has more than %d entries", maxMenus)
		case !menuKey.MatchString(m.Key):
			return invalid("the menu key %.64q must be 1 to 64 of letters, digits and . _ : -, and begin with a letter or digit", m.Key)
		case seen[m.Key]:
			return invalid("the menu key %q is there twice", m.Key)
		case m.Kind != "menu" && m.Kind != "button":
			return invalid("the menu entry %s is of the kind %.20q; it must be menu or button", m.Key, m.Kind)
		case m.Kind == "button" && len(m.Children) > 0:
			return invalid("the button %s has entries below it", m.Key)
		case len(m.Path) > 512 || strings.Contains(strings.ToLower(m.Path), "script:"):
			return invalid("the path of the menu entry %s is none", m.Key)
		}
		if err := checkText("the title of the menu entry "+m.Key, m.Title, 1, 200); err != nil {
			return err
		}
		seen[m.Key] = true
		if err := checkMenus(m.Children, seen, n, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// MenusFor returns the entries that a user with the roles gets. An entry he
// does not get takes those below it with it.
func MenusFor(list []Menu, roles []string) []Menu {
	out := []Menu{}
	for _, m := range list {
		if len(m.Roles) > 0 && !intersect(m.Roles, roles) {
			continue
		}
		m.Children = MenusFor(m.Children, roles)
		out = append(out, m)
	}
	return out
}

func checkInterfaces(list []Interface) error {
	seen := map[string]bool{}
	if len(list) > 1000 {
		return invalid("an application has at most 1000 interfaces")
	}
	for _, in := range list {
		if !menuKey.MatchString(in.Key) || seen[in.Key] {
			return invalid("the interface key %.64q must be 1 to 64 of letters, digits and . _ : -, and there once", in.Key)
		}
		seen[in.Key] = true
		if err := checkText("the title of the interface "+in.Key, in.Title, 1, 200); err != nil {
			return err
		}
		if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, in.Method) {
			return invalid("the method %.10q of the interface %s is none of GET, POST, PUT, PATCH, DELETE", in.Method, in.Key)
		}
		if _, err := webURL(in.URL); err != nil {
			return invalid("the interface %s: %s", in.Key, err)
		}
		if in.Documentation != "" {
			if _, err := webURL(in.Documentation); err != nil {
				return invalid("the documentation of the interface %s: %s", in.Key, err)
			}
		}
	}
	return nil
}
