package federation

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/identity"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/seal"
	"icewatch/soc/state"
	"icewatch/soc/tenancy"
	"icewatch/soc/units"
)

// accounts is soc/identity as far as these tests need it.
type accounts struct {
	Accounts
	disabled []string
	linked   []identity.ExternalAccount
}

func (a *accounts) CheckGrant(_ context.Context, roles, _ []string) error {
	for _, r := range roles {
		if !slices.Contains([]string{"analyst", "viewer"}, r) {
			return errors.New("there is no role " + r)
		}
	}
	return nil
}

func (a *accounts) ExternalAccounts(context.Context, string) ([]identity.ExternalAccount, error) {
	return a.linked, nil
}

func (a *accounts) DisableExternal(_ context.Context, _ string, subjects []string) error {
	a.disabled = append(a.disabled, subjects...)
	return nil
}

// open lets connections go anywhere.
type open struct{}

func (open) ClientTrusting(timeout time.Duration, _ *x509.CertPool) *http.Client {
	return &http.Client{Timeout: timeout}
}
func (open) Dialer(timeout time.Duration) *net.Dialer { return &net.Dialer{Timeout: timeout} }
func (open) Check(context.Context, string) error      { return nil }

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newService(t *testing.T) (*Service, *accounts, *clock) {
	t.Helper()
	db, err := state.Open(t.Context(), filepath.Join(t.TempDir(), "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	tree, err := units.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	a, c := &accounts{}, &clock{time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	s, err := Open(t.Context(), Deps{DB: db, Seal: seal.Ephemeral(Sealed()...), Accounts: a, Units: tree, Egress: open{}, Log: slog.New(slog.DiscardHandler), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, a, c
}

func ldapProvider() Provider {
	return Provider{ID: "dir", Kind: KindLDAP, Name: tenancy.Text{ZH: "目录"}, Enabled: true,
		LDAP: &LDAP{URL: "ldaps://dc1.test", BindDN: "cn=reader,dc=test", BindPassword: "hunter2", BaseDN: "dc=test"},
		Sync: Sync{Enabled: true, MaxVanished: 10, Interval: "1h", FullInterval: "24h"}}
}

func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	p, err := s.Create(t.Context(), ldapProvider())
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := json.Marshal(p); strings.Contains(string(out), "hunter2") {
		t.Errorf("%s", out)
	}
	var doc, sealed string
	if err := s.DB.QueryRowContext(t.Context(), "SELECT doc, secrets FROM federation_providers").Scan(&doc, &sealed); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(doc+sealed, "hunter2") || !strings.HasPrefix(sealed, "iw1.") {
		t.Errorf("%s %s", doc, sealed)
	}
	// A change that does not speak of the secret keeps it, also after a restart.
	if _, err := s.Update(t.Context(), "dir", []byte(`{"ldap":{"page_size":100},"mapping":{"default_roles":["viewer"]}}`)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), s.Deps)
	if err != nil {
		t.Fatal(err)
	}
	e, err := again.get("dir")
	if err != nil || e.secrets.BindPassword != "hunter2" || e.LDAP.PageSize != 100 || e.LDAP.BaseDN != "dc=test" || e.Sync.Interval != "1h" {
		t.Errorf("%+v %v", e, err)
	}
	// It is not sent to another server, nor for another name.
	for _, patch := range []string{`{"ldap":{"url":"ldaps://evil.test"}}`, `{"ldap":{"bind_dn":"cn=other,dc=test"}}`} {
		if _, err := s.Update(t.Context(), "dir", []byte(patch)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "bind_password") {
			t.Errorf("%s: %v", patch, err)
		}
	}
}

func TestProviderRefused(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	f := func(says string, change func(*Provider)) {
		t.Helper()
		p := ldapProvider()
		change(&p)
		if _, err := s.Create(t.Context(), p); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	f("id:", func(p *Provider) { p.ID = "Not a slug" })
	f("name:", func(p *Provider) { p.Name = tenancy.Text{} })
	f("kind:", func(p *Provider) { p.Kind = "cas" })
	f("oidc:", func(p *Provider) { p.OIDC = &OIDC{} })
	f("base_url:", func(p *Provider) {
		p.Kind, p.LDAP, p.OIDC = KindOIDC, nil, &OIDC{Issuer: "https://id.test", ClientID: "x"}
	})
	f("base_url:", func(p *Provider) {
		p.Kind, p.LDAP, p.OIDC, p.BaseURL = KindOIDC, nil, &OIDC{Issuer: "https://id.test", ClientID: "x"}, "https://soc.test/path"
	})
	f("oidc.issuer:", func(p *Provider) {
		p.Kind, p.LDAP, p.OIDC, p.BaseURL = KindOIDC, nil, &OIDC{Issuer: "id.test", ClientID: "x"}, "https://soc.test"
	})
	f("sync.enabled:", func(p *Provider) {
		p.Kind, p.LDAP, p.OIDC, p.BaseURL = KindOIDC, nil, &OIDC{Issuer: "https://id.test", ClientID: "x"}, "https://soc.test"
	})
	f("saml.metadata_url:", func(p *Provider) { p.Kind, p.LDAP, p.SAML, p.BaseURL = KindSAML, nil, &SAML{}, "https://soc.test" })
	f("ldap.url:", func(p *Provider) { p.LDAP.URL = "ldap://dc1.test" })
	f("sync.interval:", func(p *Provider) { p.Sync.Interval = "1s" })
	f("mapping.rules[0].value:", func(p *Provider) { p.Mapping.Rules = []Rule{{Value: "*", Roles: []string{"viewer"}}} })
	f("mapping.rules[0]: it gives", func(p *Provider) { p.Mapping.Rules = []Rule{{Value: "x"}} })
	f("no role root", func(p *Provider) { p.Mapping.Rules = []Rule{{Value: "x", Roles: []string{"root"}}} })
	f("no unit", func(p *Provider) { p.Mapping.DefaultUnit = "nowhere" })
	f("not both", func(p *Provider) { p.Mapping.DefaultTenants = []string{"*", "a"} })
	if _, err := s.Create(t.Context(), ldapProvider()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), ldapProvider()); !errors.Is(err, ErrExists) {
		t.Errorf("twice: %v", err)
	}
	for _, patch := range []string{`{"id":"other"}`, `{"kind":"oidc"}`, `{`, `{"enabled":"yes"}`} {
		if _, err := s.Update(t.Context(), "dir", []byte(patch)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", patch, err)
		}
	}
}

func TestMapping(t *testing.T) {
	t.Parallel()
	p := Provider{Kind: KindOIDC, Attributes: defaults[KindOIDC], Mapping: Mapping{Rules: []Rule{
		{Value: "CN=Analysts,DC=City", Roles: []string{"analyst"}, Tenants: []string{"a"}, Unit: "u1"},
		{Value: "duty-*", Roles: []string{"viewer"}, Tenants: []string{"b"}, Unit: "u2"},
		{Claim: "realm.level", Value: "7", Tenants: []string{"*"}},
	}}}
	f := func(claims, roles, tenants, unit string, want error) {
		t.Helper()
		var c peer.Claims
		if err := json.Unmarshal([]byte(claims), &c); err != nil {
			t.Fatal(err)
		}
		got, err := p.person(peer.Identity{Subject: "s", Claims: c})
		if !errors.Is(err, want) || err == nil && (strings.Join(got.Roles, " ") != roles || strings.Join(got.Tenants, " ") != tenants || got.Unit != unit) {
			t.Errorf("%s: %+v, %v", claims, got, err)
		}
	}
	f(`{"preferred_username":"li","groups":["cn=analysts,dc=city"]}`, "analyst", "a", "u1", nil)
	f(`{"preferred_username":"li","groups":["duty-7","cn=analysts,dc=city"]}`, "analyst viewer", "a b", "u1", nil)
	f(`{"preferred_username":"li","groups":["DUTY-"],"realm":{"level":7}}`, "viewer", "*", "u2", nil)
	f(`{"preferred_username":"li","groups":["duty","xcn=analysts,dc=city"]}`, "", "", "", ErrUnmapped)
	f(`{"preferred_username":"li","realm":{"level":7}}`, "", "", "", ErrUnmapped) // tenants alone are no role
	f(`{"groups":["duty-7"]}`, "", "", "", ErrUnmapped)
	p.Mapping.DefaultRoles = []string{"viewer"}
	f(`{"preferred_username":"li"}`, "viewer", "", "", nil)
	f(`{"preferred_username":"li","groups":["duty-1"]}`, "viewer", "b", "u2", nil)
}

func TestLocalPath(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"/":                             "/",
		"/alerts?x=1#y":                 "/alerts?x=1#y",
		"":                              "/",
		"alerts":                        "/",
		"https://evil.test/":            "/",
		"//evil.test/":                  "/",
		"///evil.test/":                 "/",
		`/\evil.test`:                   "/",
		`\/evil.test`:                   "/",
		"/\t/evil.test":                 "/",
		"/\n/evil.test":                 "/",
		"javascript:alert(1)":           "/",
		"/api/v1/users":                 "/",
		"/%zz":                          "/",
		"/" + strings.Repeat("x", 1024): "/",
	} {
		if got := localPath(to); got != want {
			t.Errorf("%q: got %q, want %q", to, got, want)
		}
	}
}

func FuzzLocalPath(f *testing.F) {
	f.Add("/a")
	f.Add("//a")
	f.Fuzz(func(t *testing.T, to string) {
		got := localPath(to)
		if !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t") {
			t.Errorf("%q leads to %q", to, got)
		}
	})
}

func TestFlow(t *testing.T) {
	t.Parallel()
	s, _, c := newService(t)
	sealed, err := s.sealFlow(flow{Provider: "corp", State: "st", Return: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if f, err := s.openFlow(sealed, "corp"); err != nil || f.State != "st" {
		t.Errorf("%+v %v", f, err)
	}
	other, _, _ := newService(t)
	for what, try := range map[string]func() (flow, error){
		"no cookie":         func() (flow, error) { return s.openFlow("", "corp") },
		"nonsense":          func() (flow, error) { return s.openFlow("x!", "corp") },
		"a bent one":        func() (flow, error) { return s.openFlow("A"+sealed[1:], "corp") },
		"another provider":  func() (flow, error) { return s.openFlow(sealed, "gov") },
		"another process":   func() (flow, error) { return other.openFlow(sealed, "corp") },
		"eleven minutes on": func() (flow, error) { c.at = c.at.Add(11 * time.Minute); return s.openFlow(sealed, "corp") },
	} {
		if _, err := try(); !errors.Is(err, ErrExpired) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	s, _, c := newService(t)
	f := func(provider, id string, want bool) {
		t.Helper()
		if fresh, err := s.once(t.Context(), provider, id, c.at.Add(time.Minute)); err != nil || fresh != want {
			t.Errorf("%s %s: %t %v", provider, id, fresh, err)
		}
	}
	f("a", "1", true)
	f("a", "1", false)
	f("b", "1", true)
	f("a", "2", true)
	c.at = c.at.Add(2 * time.Minute)
	if err := s.forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	f("a", "1", true) // no assertion is taken for so long
}

func TestSyncIsDue(t *testing.T) {
	t.Parallel()
	s, _, c := newService(t)
	if _, err := s.Create(t.Context(), ldapProvider()); err != nil {
		t.Fatal(err)
	}
	e, err := s.get("dir")
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, due, full bool) {
		t.Helper()
		d, w, err := s.due(t.Context(), e)
		if err != nil || d != due || due && w != full {
			t.Errorf("%s: due %t, full %t, %v", what, d, w, err)
		}
	}
	ran := func(state string, full, dry bool) {
		t.Helper()
		if err := s.save(t.Context(), &Run{ID: "r" + c.at.Format(time.RFC3339Nano), Provider: "dir", StartedAt: c.at, State: state, Full: full, DryRun: dry}); err != nil {
			t.Fatal(err)
		}
	}
	f("never ran", true, true)
	ran(StateOK, true, true)
	f("a trial run is none", true, true)
	c.at = c.at.Add(time.Second)
	ran(StateOK, true, false)
	f("just ran", false, false)
	c.at = c.at.Add(time.Hour)
	f("an hour later", true, false)
	ran(StateFailed, false, false)
	f("one that failed is not tried at once", false, false)
	c.at = c.at.Add(23 * time.Hour)
	f("a day after the full one", true, true)

	// What ran when the suite stopped did not end.
	ran(StateRunning, true, false)
	again, err := Open(t.Context(), s.Deps)
	if err != nil {
		t.Fatal(err)
	}
	list, err := again.Syncs(t.Context(), "dir", 1)
	if err != nil || list[0].State != StateInterrupted {
		t.Errorf("%+v %v", list, err)
	}
}

func TestVanished(t *testing.T) {
	t.Parallel()
	s, a, _ := newService(t)
	for i := range 20 {
		a.linked = append(a.linked, identity.ExternalAccount{Subject: string(rune('a' + i)), Username: "u", Disabled: i >= 10})
	}
	seen := func(n int) map[string]struct{} {
		m := map[string]struct{}{}
		for i := range n {
			m[string(rune('a'+i))] = struct{}{}
		}
		return m
	}
	e := &entry{Provider: ldapProvider()}
	f := func(there int, refused bool, want string) {
		t.Helper()
		a.disabled = nil
		err := s.disableVanished(t.Context(), e, &Run{}, a.linked, seen(there))
		var r refusal
		if errors.As(err, &r) != refused || strings.Join(a.disabled, "") != want {
			t.Errorf("%d of 10 are there: %v, disabled %q", there, err, a.disabled)
		}
	}
	f(10, false, "")
	f(9, false, "j") // ten per cent
	f(8, true, "")
	f(0, true, "")
	e.Sync.MaxVanished = 0
	f(9, true, "")
	e.Sync.MaxVanished = 100
	f(0, false, "abcdefghij")
}
