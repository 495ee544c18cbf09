package identity

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// someone is an ordinary user of a provider.
func someone(subject, name string) ExternalUser {
	return ExternalUser{Provider: "corp", Subject: subject, Username: name, DisplayName: "Name of " + name, Email: name + "@city.test", Unit: "u1",
		Roles: []string{RoleAnalyst}, Tenants: []string{"a"}}
}

func TestEnsureExternal(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	if _, err := s.EnsureAdmin(t.Context(), goodPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnsureExternal(t.Context(), someone("1", "Li.Wei"), false); !errors.Is(err, ErrNoAccount) {
		t.Errorf("nobody makes accounts: %v", err)
	}
	id, err := s.EnsureExternal(t.Context(), someone("1", "Li.Wei"), true)
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.User(t.Context(), id)
	if err != nil || u.Username != "li.wei" || u.Source != "corp" || u.Unit != "u1" || strings.Join(u.Roles, " ") != RoleAnalyst || u.MustChangePassword {
		t.Errorf("%+v %v", u, err)
	}
	// No password opens it.
	for _, password := range []string{"", "!", noPassword, goodPassword} {
		if _, err := s.Login(t.Context(), LoginRequest{Username: "li.wei", Password: password}); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("with %q: %v", password, err)
		}
	}

	// The same person under a new name, in a new role, is the same account; what
	// he may do changes in the session he has.
	sess, err := s.Enter(t.Context(), id, Entrance{Channel: ChannelOIDC})
	if err != nil {
		t.Fatal(err)
	}
	renamed := someone("1", "li.weiwei")
	renamed.Roles, renamed.Tenants = []string{RoleViewer}, []string{"*"}
	if again, err := s.EnsureExternal(t.Context(), renamed, false); err != nil || again != id {
		t.Fatalf("%s %v", again, err)
	}
	p, err := s.Authenticate(t.Context(), sess.Token, "")
	if err != nil || p.Username != "li.weiwei" || strings.Join(p.Roles, " ") != RoleViewer || !p.AllTenants {
		t.Errorf("%+v %v", p, err)
	}

	// Nobody else's account is taken over: not a local one, not another subject's,
	// not another provider's.
	other := someone("1", "li.weiwei")
	other.Provider = "gov"
	for _, u := range []ExternalUser{someone("2", "admin"), someone("2", "li.weiwei"), other} {
		if _, err := s.EnsureExternal(t.Context(), u, true); !errors.Is(err, ErrExists) {
			t.Errorf("%+v: %v", u, err)
		}
	}
	takes := someone("1", "ADMIN")
	if _, err := s.EnsureExternal(t.Context(), takes, true); !errors.Is(err, ErrExists) {
		t.Errorf("renamed to another's name: %v", err)
	}

	for what, change := range map[string]func(*ExternalUser){
		"no such role":   func(u *ExternalUser) { u.Roles = []string{"root"} },
		"a bad name":     func(u *ExternalUser) { u.Username = "a b" },
		"reserved":       func(u *ExternalUser) { u.Username = "local" },
		"no subject":     func(u *ExternalUser) { u.Subject = "" },
		"tenants and *":  func(u *ExternalUser) { u.Tenants = []string{"*", "a"} },
		"endless a name": func(u *ExternalUser) { u.Username = strings.Repeat("x", 65) },
	} {
		u := someone("3", "wang")
		change(&u)
		if _, err := s.EnsureExternal(t.Context(), u, true); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// An address that is none is left out; it keeps nobody out.
	odd := someone("4", "zhao")
	odd.Email = "none"
	if id, err = s.EnsureExternal(t.Context(), odd, true); err != nil {
		t.Fatal(err)
	}
	if u, err := s.User(t.Context(), id); err != nil || u.Email != "" {
		t.Errorf("%+v %v", u, err)
	}
}

func TestExternalComesAndGoes(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	if _, err := s.EnsureAdmin(t.Context(), goodPassword); err != nil {
		t.Fatal(err)
	}
	sync := func(dry bool, want string, users ...ExternalUser) {
		t.Helper()
		results, err := s.SyncExternal(t.Context(), users, dry)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range results {
			got = append(got, string(r.Outcome))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q: %+v", got, want, results)
		}
	}
	li, wang := someone("1", "li"), someone("2", "wang")
	sync(true, "created created", li, wang)
	sync(false, "created created", li, wang)
	sync(false, "unchanged unchanged", li, wang)
	bad := someone("3", "a b")
	twin := someone("4", "twin")
	again := someone("5", "twin")
	li.Roles = []string{RoleViewer}
	sync(false, "changed failed created failed", li, bad, twin, again)

	accounts, err := s.ExternalAccounts(t.Context(), "corp")
	if err != nil || len(accounts) != 3 || accounts[0].Username != "li" {
		t.Fatalf("%+v %v", accounts, err)
	}
	sess, err := s.Enter(t.Context(), accounts[0].UserID, Entrance{Channel: ChannelSAML})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DisableExternal(t.Context(), "corp", []string{"1", "nobody"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(t.Context(), sess.Token, ""); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the session outlives the account: %v", err)
	}
	if _, err := s.Enter(t.Context(), accounts[0].UserID, Entrance{Channel: ChannelSAML}); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("a disabled account is entered: %v", err)
	}
	sync(false, "enabled", li)
	sync(false, "disabled", ExternalUser{Provider: "corp", Subject: "1", Disabled: true})
	sync(false, "unchanged", ExternalUser{Provider: "corp", Subject: "1", Disabled: true})
	sync(false, "failed", ExternalUser{Provider: "corp", Subject: "9", Disabled: true})
	// The provider vouching for him again is enough.
	if _, err := s.EnsureExternal(t.Context(), li, false); err != nil {
		t.Errorf("%v", err)
	}

	// What an administrator disabled, the provider does not open.
	yes := true
	if _, err := s.UpdateUser(t.Context(), accounts[0].UserID, UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	sync(false, "unchanged", li)
	if _, err := s.EnsureExternal(t.Context(), li, true); !errors.Is(err, ErrDisabled) {
		t.Errorf("%v", err)
	}
}

// TestExternalKeepsTheLastAdministrator: a group that vanishes at the provider
// must not leave nobody who can administer.
func TestExternalKeepsTheLastAdministrator(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	if _, err := s.EnsureAdmin(t.Context(), goodPassword); err != nil {
		t.Fatal(err)
	}
	boss := someone("1", "boss")
	boss.Roles, boss.Tenants = []string{RoleAdmin}, []string{"*"}
	if _, err := s.EnsureExternal(t.Context(), boss, true); err != nil {
		t.Fatal(err)
	}
	admin, err := s.UserByName(t.Context(), "admin")
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	if _, err := s.UpdateUser(t.Context(), admin.ID, UserChange{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if err := s.DisableExternal(t.Context(), "corp", []string{"1"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("disabled: %v", err)
	}
	boss.Roles = []string{RoleViewer}
	if _, err := s.EnsureExternal(t.Context(), boss, true); !errors.Is(err, ErrInvalid) {
		t.Errorf("demoted: %v", err)
	}
}

// TestExternalUnderSeparation: a mapping that gives two of the three powers to
// one person lets him not in.
func TestExternalUnderSeparation(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	if _, err := s.EnsureAdmin(t.Context(), goodPassword); err != nil {
		t.Fatal(err)
	}
	for name, role := range map[string]string{"sec": "security-admin", "aud": "audit-admin"} {
		u := someone(name, name)
		u.Roles, u.Tenants = []string{role}, []string{"*"}
		if _, err := s.EnsureExternal(t.Context(), u, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Access().Separate(t.Context(), true, "test"); err != nil {
		t.Fatal(err)
	}
	both := someone("1", "li")
	both.Roles = []string{"security-admin", "audit-admin"}
	if _, err := s.EnsureExternal(t.Context(), both, true); !errors.Is(err, ErrInvalid) {
		t.Errorf("both powers: %v", err)
	}
	if err := s.CheckGrant(t.Context(), both.Roles, nil); err == nil {
		t.Error("a mapping to both powers can be kept")
	}
}

func TestEnterAsksForTheSecondFactor(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "s.db"))
	id, err := s.EnsureExternal(t.Context(), someone("1", "li"), true)
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]bool{"oidc": false, "oidc+mfa": true, "password": false, "password+totp": true, "webauthn": true, "ldap": false} {
		if hasSecond(channel) != want {
			t.Errorf("%s: %t", channel, !want)
		}
	}
	if _, err := s.Enter(t.Context(), id, Entrance{Channel: "oidc"}); err != nil {
		t.Errorf("without a factor of ours: %v", err)
	}
}
