package ldap

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/identity/federation/peer"
	"icewatch/test/peers"
)

const base = peers.BaseDN

// city is a small directory: two levels of units, groups in groups, and a group
// of the same name as an important one where somebody else can make groups.
func city() string {
	people := "ou=people," + base
	it := "ou=IT," + people
	groups := "ou=groups," + base
	return peers.OU("people", base) + peers.OU("IT", people) + peers.OU("Networks", it) + peers.OU("groups", base) + peers.OU("clubs", base) +
		peers.Person("li.wei", "Li Wei", it) +
		peers.Person("wang", "Wang Fang", "ou=Networks,"+it) +
		peers.Person("zhao", "Zhao", people, "departmentNumber: 7") +
		peers.Person("twin", "Twin One", people) + peers.Person("twin", "Twin Two", it) +
		peers.Person("odd*(name)\\\\", "Odd", people) +
		// The memberof overlay does not see what slapadd adds, so these say it themselves.
		peers.Group("analysts", groups, "uid=li.wei,"+it) +
		peers.Group("soc", groups, "cn=analysts,"+groups, "uid=zhao,"+people) +
		peers.Group("everybody", groups, "cn=soc,"+groups) +
		peers.Group("loop-a", groups, "cn=loop-b,"+groups, "uid=wang,ou=Networks,"+it) + peers.Group("loop-b", groups, "cn=loop-a,"+groups) +
		peers.Group("admins", "ou=clubs,"+base, "uid=wang,ou=Networks,"+it)
}

func config(s *peers.Slapd) Config {
	return Config{URL: s.LDAPS, CA: s.Authority.PEM, BindDN: peers.BindDN, BindPass: peers.BindPass, BaseDN: base,
		UserFilter: "(objectClass=inetOrgPerson)", LoginAttributes: []string{"uid"}, Subject: "entryUUID", Attributes: []string{"cn", "mail", "departmentNumber"},
		GroupBaseDN: "ou=groups," + base, GroupFilter: "(objectClass=groupOfNames)", MemberAttribute: "member",
		UnitFilter: "(objectClass=organizationalUnit)", PageSize: 3, Timeout: 5 * time.Second}
}

func open(t *testing.T, cfg Config) *Directory {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	s := peers.StartSlapd(t, city())
	d := open(t, config(s))
	f := func(name, password string, want error) Entry {
		t.Helper()
		e, err := d.Authenticate(t.Context(), name, password)
		if !errors.Is(err, want) {
			t.Errorf("%q with %q: %v, want %v", name, password, err, want)
		}
		return e
	}
	e := f("li.wei", "pw-of-li.wei", nil)
	if e.Claims.String("cn") != "Li Wei" || e.Claims.String("MAIL") != "li.wei@city.test" || len(e.Subject) != 36 {
		t.Errorf("%+v", e)
	}
	if got := e.Claims.Strings("groups"); !slices.Equal(got, []string{"cn=analysts,ou=groups," + base, "analysts"}) {
		t.Errorf("groups %q", got)
	}
	if again := f("LI.WEI", "pw-of-li.wei", nil); again.Subject != e.Subject {
		t.Errorf("another case, another subject: %s, %s", again.Subject, e.Subject)
	}
	f("li.wei", "wrong", peer.ErrCredentials)
	f("nobody", "pw-of-li.wei", peer.ErrCredentials)
	// An empty password binds anonymously on many servers, and succeeds.
	f("li.wei", "", peer.ErrCredentials)
	f("", "pw-of-li.wei", peer.ErrCredentials)
	f(strings.Repeat("x", 300), "x", peer.ErrCredentials)
	// Two entries of one name: neither is the one meant.
	f("twin", "pw-of-twin", peer.ErrCredentials)
	// What is special in a filter means itself.
	for _, name := range []string{"*", "li*", "li.wei)(uid=*", "li.wei)(|(uid=*", "*)(objectClass=*", "li.wei\x00", "\\2a", "li.wei))(&(uid=zhao"} {
		f(name, "pw-of-li.wei", peer.ErrCredentials)
	}
	f(`odd*(name)\\`, `pw-of-odd*(name)\\`, nil)
}

func TestGroups(t *testing.T) {
	t.Parallel()
	s := peers.StartSlapd(t, city())
	cfg := config(s)
	groups := func(d *Directory, name string) []string {
		t.Helper()
		e, err := d.Authenticate(t.Context(), name, "pw-of-"+name)
		if err != nil {
			t.Fatal(err)
		}
		var short []string
		for _, g := range e.Claims.Strings("groups") {
			if !strings.Contains(g, "=") {
				short = append(short, g)
			}
		}
		slices.Sort(short)
		return short
	}
	flat := open(t, cfg)
	cfg.Nested = true
	nested := open(t, cfg)
	for name, want := range map[string][2][]string{
		"li.wei": {{"analysts"}, {"analysts", "everybody", "soc"}},
		"zhao":   {{"soc"}, {"everybody", "soc"}},
		"wang":   {{"loop-a"}, {"loop-a", "loop-b"}}, // the clubs' admins are not ours
	} {
		if got := groups(flat, name); !slices.Equal(got, want[0]) {
			t.Errorf("%s: %q, want %q", name, got, want[0])
		}
		if got := groups(nested, name); !slices.Equal(got, want[1]) {
			t.Errorf("%s nested: %q, want %q", name, got, want[1])
		}
	}

	// The memberof overlay says who is in the clubs' group: it goes by its full
	// name only, since others may make groups there.
	s.Modify("dn: cn=admins,ou=clubs," + base + "\nchangetype: modify\nadd: member\nmember: uid=zhao,ou=people," + base + "\n")
	e, err := flat.Authenticate(t.Context(), "zhao", "pw-of-zhao")
	if err != nil {
		t.Fatal(err)
	}
	got := e.Claims.Strings("groups")
	if !slices.Contains(got, "cn=admins,ou=clubs,"+base) || slices.Contains(got, "admins") {
		t.Errorf("groups %q", got)
	}

	// Reading all users finds the same groups as reading one.
	for _, d := range []*Directory{flat, nested} {
		for name, e := range all(t, d) {
			if name == "twin" || strings.HasPrefix(name, "odd") {
				continue
			}
			one, err := d.Authenticate(t.Context(), name, "pw-of-"+name)
			if err != nil {
				t.Fatal(err)
			}
			a, b := one.Claims.Strings("groups"), e.Claims.Strings("groups")
			slices.Sort(a)
			slices.Sort(b)
			if !slices.Equal(a, b) {
				t.Errorf("%s: signing in %q, reading all %q", name, a, b)
			}
		}
	}
}

// all reads all users by name.
func all(t *testing.T, d *Directory) map[string]Entry {
	t.Helper()
	out := map[string]Entry{}
	err := d.Users(t.Context(), time.Time{}, func(page []Entry) error {
		for _, e := range page {
			out[e.Claims.String("uid")] = e
		}
		return nil
	}, func(dn string, why error) { t.Errorf("%s: %v", dn, why) })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUsersAndUnits(t *testing.T) {
	t.Parallel()
	ldif := city()
	for i := range 1200 { // more than the server gives without paging
		ldif += peers.Person(fmt.Sprintf("many%d", i), "Many", "ou=people,"+base)
	}
	s := peers.StartSlapd(t, ldif)
	cfg := config(s)
	cfg.PageSize = 250
	d := open(t, cfg)
	users := all(t, d)
	if len(users) != 1200+5 {
		t.Errorf("%d users", len(users))
	}
	if got := d.UnitPath(users["wang"].DN); !slices.Equal(got, []string{"people", "IT", "Networks"}) {
		t.Errorf("units of %s: %q", users["wang"].DN, got)
	}
	units, err := d.Units(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, u := range units {
		paths = append(paths, strings.Join(u.Path, "/"))
	}
	slices.Sort(paths)
	if !slices.Equal(paths, []string{"clubs", "groups", "people", "people/IT", "people/IT/Networks"}) {
		t.Errorf("units %q", paths)
	}

	// Only what changed since.
	time.Sleep(1100 * time.Millisecond) // modifyTimestamp has whole seconds
	now := time.Now()
	s.Modify("dn: uid=zhao,ou=people," + base + "\nchangetype: modify\nreplace: cn\ncn: Zhao New\n")
	var changed []string
	err = d.Users(t.Context(), now.Add(-200*time.Millisecond), func(page []Entry) error {
		for _, e := range page {
			changed = append(changed, e.Claims.String("cn"))
		}
		return nil
	}, func(string, error) {})
	if err != nil || !slices.Equal(changed, []string{"Zhao New"}) {
		t.Errorf("%q, %v", changed, err)
	}
}

func TestTransport(t *testing.T) {
	t.Parallel()
	s := peers.StartSlapd(t, city())
	f := func(what string, change func(*Config), want error, says string) {
		t.Helper()
		cfg := config(s)
		change(&cfg)
		d, err := New(cfg)
		if err == nil {
			_, err = d.Authenticate(t.Context(), "li.wei", "pw-of-li.wei")
		}
		if !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("LDAPS", func(*Config) {}, nil, "")
	f("StartTLS", func(c *Config) { c.URL, c.StartTLS = s.LDAP, true }, nil, "")
	f("plaintext by name", func(c *Config) { c.URL, c.Plaintext = s.LDAP, true }, nil, "")
	other := peers.NewAuthority(t)
	f("LDAPS, unknown authority", func(c *Config) { c.CA = other.PEM }, peer.ErrUnavailable, "certificate")
	f("StartTLS, unknown authority", func(c *Config) { c.URL, c.StartTLS, c.CA = s.LDAP, true, other.PEM }, peer.ErrUnavailable, "StartTLS")
	f("the system's authorities", func(c *Config) { c.CA = "" }, peer.ErrUnavailable, "certificate")
	f("another server's name", func(c *Config) { c.ServerName = "dc1.example" }, peer.ErrUnavailable, "dc1.example")
	f("a wrong bind password", func(c *Config) { c.BindPass = "wrong" }, peer.ErrUnavailable, "bind as")
	f("no server", func(c *Config) { c.URL = "ldaps://127.0.0.1:1" }, peer.ErrUnavailable, "connect to")

	cfg := config(s)
	for _, c := range open(t, cfg).Test(t.Context()) {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	cfg.UserFilter = "(objectClass=nothing)"
	checks := open(t, cfg).Test(t.Context())
	if !slices.ContainsFunc(checks, func(c peer.Check) bool { return c.Name == "users" && !c.OK }) {
		t.Errorf("%+v", checks)
	}
}

// TestConfig needs no server: these are refused before one is asked.
func TestConfig(t *testing.T) {
	t.Parallel()
	good := Config{URL: "ldaps://dc1", BindDN: "cn=a", BindPass: "x", BaseDN: base, UserFilter: "(uid=*)", GroupFilter: "(cn=*)", UnitFilter: "(ou=*)",
		LoginAttributes: []string{"uid"}, Subject: "entryUUID", MemberAttribute: "member"}
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*Config){
		"in the clear":          func(c *Config) { c.URL = "ldap://dc1" },
		"not the address":       func(c *Config) { c.URL = "http://dc1" },
		"is not the address of": func(c *Config) { c.URL = "ldaps://user:pw@dc1" },
		"base_dn":               func(c *Config) { c.BaseDN = "" },
		"distinguished name":    func(c *Config) { c.BaseDN = "city" },
		"user_filter":           func(c *Config) { c.UserFilter = "(uid=*" },
		"bind_password":         func(c *Config) { c.BindPass = "" },
		"attribute's name":      func(c *Config) { c.LoginAttributes = []string{"uid=*)(x"} },
		"ca:":                   func(c *Config) { c.CA = "nonsense" },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestGUID(t *testing.T) {
	t.Parallel()
	// [MS-DTYP] 2.3.4.2: the GUID's first three parts are little-endian.
	if got := guid([]byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}); got != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Error(got)
	}
}
