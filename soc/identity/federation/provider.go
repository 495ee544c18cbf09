package federation

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"icewatch/soc/tenancy"
)

// The kinds of provider.
const (
	KindOIDC = "oidc" // OpenID Connect
	KindSAML = "saml" // SAML 2.0
	KindLDAP = "ldap" // an LDAPv3 directory, Active Directory among them
)

// Provider is an identity provider as administrators describe it. Secrets are
// written and never read back.
type Provider struct {
	ID      string       `json:"id" required:"false" maxLength:"40" doc:"a-z, 0-9 and -; stands in addresses and never changes"`
	Kind    string       `json:"kind" required:"false" enum:"oidc,saml,ldap"`
	Name    tenancy.Text `json:"name" required:"false" doc:"On the sign-in page"`
	Enabled bool         `json:"enabled" required:"false"`
	BaseURL string       `json:"base_url" required:"false" maxLength:"500" doc:"How browsers reach the suite; empty: http.external_url of the configuration"`

	OIDC *OIDC `json:"oidc,omitempty"`
	SAML *SAML `json:"saml,omitempty"`
	LDAP *LDAP `json:"ldap,omitempty"`

	Attributes Attributes `json:"attributes" required:"false" doc:"Which claims or attributes hold what; empty takes the default of the kind"`
	Mapping    Mapping    `json:"mapping" required:"false"`
	Sync       Sync       `json:"sync" required:"false" doc:"Directories only"`

	CreatedAt time.Time `json:"created_at,omitzero" readOnly:"true"`
	UpdatedAt time.Time `json:"updated_at,omitzero" readOnly:"true"`
	LastSync  *Run      `json:"last_sync,omitempty" readOnly:"true"`
}

// OIDC is what an OpenID Connect provider needs.
type OIDC struct {
	Issuer          string   `json:"issuer" required:"false" maxLength:"500" doc:"As the discovery document spells it"`
	ClientID        string   `json:"client_id" required:"false" maxLength:"500"`
	ClientSecret    string   `json:"client_secret,omitempty" maxLength:"2000" doc:"Never read back; empty keeps the one there is"`
	ClientSecretSet bool     `json:"client_secret_set,omitempty" readOnly:"true"`
	Scopes          []string `json:"scopes" required:"false" nullable:"false" maxItems:"50"`
	UserInfo        bool     `json:"user_info" required:"false" doc:"Ask the UserInfo endpoint for what the ID token lacks"`
	CA              string   `json:"ca" required:"false" maxLength:"100000" doc:"PEM of the authorities to trust; empty trusts the system's"`
	SecondFactor    []string `json:"second_factor" required:"false" nullable:"false" maxItems:"50" doc:"Values of amr or acr that stand for a second factor"`

	RedirectURI    string `json:"redirect_uri,omitempty" readOnly:"true" doc:"To be registered at the provider"`
	BackChannelURI string `json:"back_channel_logout_uri,omitempty" readOnly:"true"`
	PostLogoutURI  string `json:"post_logout_redirect_uri,omitempty" readOnly:"true"`
}

// SAML is what a SAML 2.0 identity provider needs.
type SAML struct {
	MetadataURL  string   `json:"metadata_url" required:"false" maxLength:"1000" doc:"Read when the provider is saved, and again each day"`
	MetadataXML  string   `json:"metadata_xml" required:"false" maxLength:"1048576"`
	CA           string   `json:"ca" required:"false" maxLength:"100000" doc:"PEM of the authorities to trust at metadata_url; empty trusts the system's"`
	SignRequests *bool    `json:"sign_requests,omitempty" doc:"True if absent"`
	SecondFactor []string `json:"second_factor" required:"false" nullable:"false" maxItems:"50" doc:"AuthnContextClassRefs that stand for a second factor"`

	EntityID     string `json:"entity_id,omitempty" readOnly:"true" doc:"Ours: the address of our metadata"`
	ACS          string `json:"acs_url,omitempty" readOnly:"true"`
	Certificate  string `json:"certificate,omitempty" readOnly:"true" doc:"Ours, PEM"`
	PeerEntityID string `json:"idp_entity_id,omitempty" readOnly:"true"`
}

// LDAP is what a directory needs. The defaults are OpenLDAP's; for Active
// Directory see the documentation.
type LDAP struct {
	URL             string   `json:"url" required:"false" maxLength:"500" doc:"ldaps://host:636 or ldap://host:389"`
	StartTLS        bool     `json:"start_tls" required:"false"`
	Plaintext       bool     `json:"plaintext" required:"false" doc:"Allow ldap:// without TLS: passwords cross the network in the clear"`
	CA              string   `json:"ca" required:"false" maxLength:"100000" doc:"PEM of the authorities to trust; empty trusts the system's"`
	ServerName      string   `json:"server_name" required:"false" maxLength:"253" doc:"Name in the server's certificate, where it is not the URL's"`
	BindDN          string   `json:"bind_dn" required:"false" maxLength:"500" doc:"Who searches; empty searches anonymously"`
	BindPassword    string   `json:"bind_password,omitempty" maxLength:"1000" doc:"Never read back; empty keeps the one there is"`
	BindPasswordSet bool     `json:"bind_password_set,omitempty" readOnly:"true"`
	BaseDN          string   `json:"base_dn" required:"false" maxLength:"500"`
	UserFilter      string   `json:"user_filter" required:"false" maxLength:"2000"`
	LoginAttributes []string `json:"login_attributes" required:"false" nullable:"false" maxItems:"5" doc:"What people type as their user name"`
	Subject         string   `json:"subject_attribute" required:"false" maxLength:"100" doc:"Names a user for ever: entryUUID, or objectGUID in Active Directory"`
	GroupBaseDN     string   `json:"group_base_dn" required:"false" maxLength:"500"`
	GroupFilter     string   `json:"group_filter" required:"false" maxLength:"2000"`
	MemberAttribute string   `json:"member_attribute" required:"false" maxLength:"100"`
	NestedGroups    bool     `json:"nested_groups" required:"false" doc:"Members of groups in a group are members of it"`
	UnitFilter      string   `json:"unit_filter" required:"false" maxLength:"2000"`
	PageSize        int      `json:"page_size" required:"false" minimum:"0" maximum:"5000"`
	TimeoutSeconds  int      `json:"timeout_seconds" required:"false" minimum:"0" maximum:"60"`
}

// Attributes says where in a provider's claims things stand: a claim's name,
// or a path such as realm_access.roles.
type Attributes struct {
	Username    string `json:"username" required:"false" maxLength:"200"`
	DisplayName string `json:"display_name" required:"false" maxLength:"200"`
	Email       string `json:"email" required:"false" maxLength:"200"`
	Groups      string `json:"groups" required:"false" maxLength:"200"`
	Unit        string `json:"unit" required:"false" maxLength:"200" doc:"Code of the user's unit, or its path where sync builds units from an attribute"`
}

// Mapping decides what somebody may do here who was signed in there.
type Mapping struct {
	Create         bool     `json:"create" required:"false" doc:"Make an account at the first sign-in; otherwise only sync and administrators make them"`
	DefaultRoles   []string `json:"default_roles" required:"false" nullable:"false" maxItems:"50"`
	DefaultTenants []string `json:"default_tenants" required:"false" nullable:"false" maxItems:"1000"`
	DefaultUnit    string   `json:"default_unit" required:"false" maxLength:"64"`
	Rules          []Rule   `json:"rules" required:"false" nullable:"false" maxItems:"1000"`
}

// Rule gives roles, tenants and a unit to whoever has a claim of a value.
type Rule struct {
	Claim   string   `json:"claim" required:"false" maxLength:"200" doc:"Empty: the groups"`
	Value   string   `json:"value" maxLength:"1024" doc:"The whole value, whatever its case; a * at the end stands for any rest"`
	Roles   []string `json:"roles" required:"false" nullable:"false" maxItems:"50"`
	Tenants []string `json:"tenants" required:"false" nullable:"false" maxItems:"1000" doc:"Names of tenants, or * alone for all"`
	Unit    string   `json:"unit" required:"false" maxLength:"64"`
}

// Where a sync takes units from.
const (
	UnitsNone      = "none"      // users keep the mapping's unit
	UnitsOU        = "ou"        // the organizationalUnits between the base and the user
	UnitsAttribute = "attribute" // the attribute attributes.unit, its parts from the top down
)

// Sync is when and how users and units are taken over from a directory.
type Sync struct {
	Enabled      bool   `json:"enabled" required:"false"`
	Interval     string `json:"interval" required:"false" maxLength:"20" doc:"Between the starts of two runs, such as 1h; what changed since the last"`
	FullInterval string `json:"full_interval" required:"false" maxLength:"20" doc:"Between two full runs, such as 24h; only these see who vanished"`
	MaxVanished  int    `json:"max_vanished_percent" required:"false" minimum:"0" maximum:"100" doc:"A run that would disable more than this part of the accounts disables none"`
	Units        string `json:"units" required:"false" enum:"none,ou,attribute,"`
	RootUnit     string `json:"root_unit" required:"false" maxLength:"64" doc:"Unit below which the tree is built; empty: at the top"`
	Separator    string `json:"separator" required:"false" maxLength:"5" doc:"Between the parts of the attribute; / if empty"`
}

const (
	minInterval        = time.Minute
	defaultInterval    = time.Hour
	defaultFull        = 24 * time.Hour
	defaultMaxVanished = 10
)

var (
	idPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)
	// defaults are where each kind of provider keeps things.
	defaults = map[string]Attributes{
		KindOIDC: {Username: "preferred_username", DisplayName: "name", Email: "email", Groups: "groups", Unit: "unit"},
		KindSAML: {Username: "uid", DisplayName: "displayName", Email: "email", Groups: "groups", Unit: "unit"},
		KindLDAP: {Username: "uid", DisplayName: "cn", Email: "mail", Groups: "groups", Unit: "departmentNumber"},
	}
)

// invalid says which field cannot be, and why.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrInvalid, field, fmt.Sprintf(format, args...))
}

// complete fills in the defaults and checks what can be checked without
// connecting. externalURL is the suite's own address from the configuration.
func (p *Provider) complete(externalURL string) error {
	if !idPattern.MatchString(p.ID) {
		return invalid("id", "%.50q must be 1 to 40 of a-z, 0-9 and -, and neither begin nor end with -", p.ID)
	}
	if p.Name.ZH == "" && p.Name.EN == "" {
		return invalid("name", "give the provider a name for the sign-in page")
	}
	for _, n := range []string{p.Name.ZH, p.Name.EN} {
		if len(n) > 200 {
			return invalid("name", "it is longer than 200 bytes")
		}
	}
	have := map[string]bool{KindOIDC: p.OIDC != nil, KindSAML: p.SAML != nil, KindLDAP: p.LDAP != nil}
	if _, known := have[p.Kind]; !known {
		return invalid("kind", "%q is none of oidc, saml, ldap", p.Kind)
	}
	for _, kind := range []string{KindOIDC, KindSAML, KindLDAP} {
		if have[kind] != (kind == p.Kind) {
			return invalid(kind, "a provider of the kind %s needs %s, and nothing of another kind", p.Kind, p.Kind)
		}
	}
	if p.BaseURL == "" {
		p.BaseURL = externalURL
	}
	p.BaseURL = strings.TrimRight(p.BaseURL, "/")
	if p.Kind != KindLDAP {
		if err := checkBase(p.BaseURL); err != nil {
			return err
		}
	}
	def := defaults[p.Kind]
	for _, f := range []struct{ to, from *string }{{&p.Attributes.Username, &def.Username}, {&p.Attributes.DisplayName, &def.DisplayName},
		{&p.Attributes.Email, &def.Email}, {&p.Attributes.Groups, &def.Groups}, {&p.Attributes.Unit, &def.Unit}} {
		if *f.to = strings.TrimSpace(*f.to); *f.to == "" {
			*f.to = *f.from
		}
	}
	switch p.Kind {
	case KindOIDC:
		if err := p.OIDC.complete(); err != nil {
			return err
		}
	case KindSAML:
		if err := p.SAML.complete(); err != nil {
			return err
		}
	case KindLDAP:
		p.LDAP.complete()
	}
	if err := p.Mapping.check(); err != nil {
		return err
	}
	return p.Sync.complete(p.Kind)
}

// checkBase wants an address without path or query: providers compare what we
// derive from it letter by letter.
func checkBase(base string) error {
	u, err := url.Parse(base)
	if base == "" {
		return invalid("base_url", "it is empty, and http.external_url is not configured: say how browsers reach the suite, such as https://soc.example.gov.cn")
	}
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return invalid("base_url", "%q is not an address such as https://soc.example.gov.cn", base)
	}
	return nil
}

func (o *OIDC) complete() error {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return invalid("oidc.issuer", "%q is not an issuer's address such as https://id.example.gov.cn/realms/city", o.Issuer)
	}
	if o.ClientID == "" {
		return invalid("oidc.client_id", "it is empty: register the suite at the provider and take the id from there")
	}
	if len(o.Scopes) == 0 {
		o.Scopes = []string{"openid", "profile", "email"}
	}
	if o.SecondFactor == nil {
		o.SecondFactor = []string{"mfa"} // RFC 8176
	}
	return nil
}

func (s *SAML) complete() error {
	if (s.MetadataURL == "") == (strings.TrimSpace(s.MetadataXML) == "") {
		return invalid("saml.metadata_url", "give either the address of the provider's metadata or the metadata itself in metadata_xml")
	}
	if s.MetadataURL != "" {
		if u, err := url.Parse(s.MetadataURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
			return invalid("saml.metadata_url", "%q is not an http or https address", s.MetadataURL)
		}
	}
	if s.SignRequests == nil {
		yes := true
		s.SignRequests = &yes
	}
	if s.SecondFactor == nil {
		s.SecondFactor = []string{"https://refeds.org/profile/mfa", "http://schemas.microsoft.com/claims/multipleauthn"}
	}
	return nil
}

func (l *LDAP) complete() {
	for _, f := range []struct {
		to  *string
		def string
	}{
		{&l.UserFilter, "(objectClass=inetOrgPerson)"}, {&l.Subject, "entryUUID"}, {&l.GroupFilter, "(objectClass=groupOfNames)"},
		{&l.MemberAttribute, "member"}, {&l.UnitFilter, "(objectClass=organizationalUnit)"},
	} {
		if *f.to = strings.TrimSpace(*f.to); *f.to == "" {
			*f.to = f.def
		}
	}
	if len(l.LoginAttributes) == 0 {
		l.LoginAttributes = []string{"uid"}
	}
	if l.PageSize == 0 {
		l.PageSize = 500
	}
	if l.TimeoutSeconds == 0 {
		l.TimeoutSeconds = 10
	}
}

func (s *Sync) complete(kind string) error {
	if kind != KindLDAP {
		if s.Enabled {
			return invalid("sync.enabled", "only directories can be synchronised; %s tells of users when they sign in", kind)
		}
		*s = Sync{}
		return nil
	}
	for _, f := range []struct {
		name string
		to   *string
		def  time.Duration
	}{{"interval", &s.Interval, defaultInterval}, {"full_interval", &s.FullInterval, defaultFull}} {
		if *f.to == "" {
			*f.to = f.def.String()
		}
		if d, err := time.ParseDuration(*f.to); err != nil || d < minInterval {
			return invalid("sync."+f.name, "%q is not a duration of at least %s, such as 1h", *f.to, minInterval)
		}
	}
	if s.Units == "" {
		s.Units = UnitsNone
	}
	if !slices.Contains([]string{UnitsNone, UnitsOU, UnitsAttribute}, s.Units) {
		return invalid("sync.units", "%q is none of none, ou, attribute", s.Units)
	}
	if s.Separator == "" {
		s.Separator = "/"
	}
	if s.MaxVanished < 0 || s.MaxVanished > 100 {
		return invalid("sync.max_vanished_percent", "%d is not between 0 and 100", s.MaxVanished)
	}
	return nil
}

// intervals are those of complete, which has checked them.
func (s *Sync) intervals() (every, full time.Duration) {
	every, err := time.ParseDuration(s.Interval)
	if err != nil {
		every = defaultInterval
	}
	if full, err = time.ParseDuration(s.FullInterval); err != nil {
		full = defaultFull
	}
	return every, full
}

// secrets are the parts of a provider that are sealed.
type secrets struct {
	ClientSecret string `json:"client_secret,omitempty"`
	BindPassword string `json:"bind_password,omitempty"`
	Key          string `json:"key,omitempty"` // SAML: ours, PEM
}

// takeSecrets moves the secrets out of the provider, keeping the ones there
// are where none are given.
func (p *Provider) takeSecrets(s *secrets) {
	if p.OIDC != nil && p.OIDC.ClientSecret != "" {
		s.ClientSecret, p.OIDC.ClientSecret = p.OIDC.ClientSecret, ""
	}
	if p.LDAP != nil && p.LDAP.BindPassword != "" {
		s.BindPassword, p.LDAP.BindPassword = p.LDAP.BindPassword, ""
	}
}

// merge lays a JSON document over a provider: what it names changes, what it
// leaves out stays, lists are replaced as a whole.
func (p *Provider) merge(patch []byte) error {
	id, kind := p.ID, p.Kind
	if err := json.Unmarshal(patch, p); err != nil {
		return invalid("body", "%v", err)
	}
	if p.ID != id {
		return invalid("id", "it stands in addresses that are registered elsewhere and cannot change: make another provider")
	}
	if p.Kind != kind {
		return invalid("kind", "it cannot change: make another provider")
	}
	return nil
}

// path is where a provider's own routes are.
func (p *Provider) path(what string) string {
	return "/api/v1/auth/" + p.Kind + "/" + p.ID + "/" + what
}

// address is a route of the provider as browsers and the peer see it.
func (p *Provider) address(what string) string { return p.BaseURL + p.path(what) }
