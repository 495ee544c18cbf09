package entity

import (
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestReadWritesOneWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ               Type
		value, zone, want string
	}{
		{IP, " 10.1.2.3 ", "", "10.1.2.3"}, {IP, "::ffff:10.1.2.3", "", "10.1.2.3"}, {IP, "2001:DB8:0::7", "", "2001:db8::7"}, {IP, "dmz|10.1.2.3", "", "10.1.2.3"},
		{Domain, "WWW.Example.COM.", "", "www.example.com"}, {Domain, "政务.中国", "", "xn--zfr164b.xn--fiqs8s"}, {Domain, "_dmarc.example.com", "", "_dmarc.example.com"},
		{Website, "https://Portal.Example.gov.cn:8443/x?y", "", "portal.example.gov.cn"}, {Website, "portal:8080", "", "portal"}, {Website, "http://10.1.2.3:8080/", "", "10.1.2.3"}, {Website, "[2001:db8::7]:443", "", "2001:db8::7"},
		{File, "D41D8CD98F00B204E9800998ECF8427E", "", "d41d8cd98f00b204e9800998ecf8427e"}, {File, `C:\Windows\x.exe`, "", `C:\Windows\x.exe`},
		{Mail, "<Zhang.San@Example.GOV.cn>", "", "zhang.san@example.gov.cn"}, {Device, "WEB-01.", "", "web-01"}, {SystemUser, `CORP\alice`, "", `CORP\alice`}, {AppUser, "u-3021", "", "u-3021"},
	} {
		e, err := Read(c.typ, c.value, c.zone)
		if err != nil || e.Value != c.want {
			t.Errorf("%s %q is read as %q, %v; want %q", c.typ, c.value, e.Value, err, c.want)
			continue
		}
		if again, err := Read(c.typ, e.Value, e.Zone); err != nil || again != e {
			t.Errorf("%s %q read again is %v, %v", c.typ, e.Value, again, err)
		}
	}
	if e, _ := Read(IP, "dmz|10.1.2.3", ""); e.Zone != "dmz" {
		t.Errorf("the zone is %q", e.Zone)
	}
	for _, c := range []struct {
		typ   Type
		value string
	}{{IP, "10.1.2"}, {IP, "fe80::1%eth0"}, {IP, ""}, {Domain, "localhost"}, {Domain, "10.1.2.3"}, {Domain, "a..b"}, {Mail, "zhang"}, {Mail, "@example.com"}, {"city", "x"}, {SystemUser, "-"}, {Device, "a\x00b"}, {IP, `x"|10.1.2.3`}, {File, strings.Repeat("x", MaxValue+1)}} {
		if e, err := Read(c.typ, c.value, ""); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s %.40q is read as %v, %v", c.typ, c.value, e, err)
		}
	}
	if e, _ := Read(Domain, "政务.中国", ""); e.Shown() != "政务.中国" {
		t.Errorf("it is shown as %q", e.Shown())
	}
}

func TestGuess(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Type{
		"203.0.113.7": {IP}, "2001:db8::7": {IP}, "www.example.com": {Domain, Website, Device, SystemUser, AppUser}, "a@example.com": {Mail, SystemUser}, "https://x.example.com/p": {Website},
		strings.Repeat("ab", 32): {File}, `C:\Windows\x.exe`: {File}, "/etc/passwd": {File}, `CORP\alice`: {SystemUser}, "web-01": {Device, SystemUser, AppUser}, "two words": nil, `user.name:"x"`: nil, "": nil,
	} {
		var got []Type
		for _, e := range Guess(text) {
			got = append(got, e.Type)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q may be %v, want %v", text, got, want)
		}
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	filter := func(typ Type, value, zone string, roles ...Role) string {
		e, err := Read(typ, value, zone)
		if err != nil {
			t.Fatal(err)
		}
		return e.Filter(roles...)
	}
	for got, want := range map[string]string{
		filter(IP, "10.1.2.3", "", Actor):                 `("source.ip":="10.1.2.3" or "client.ip":="10.1.2.3" or "source.nat.ip":="10.1.2.3")`,
		filter(IP, "10.1.2.3", "default", Target):         `("destination.ip":="10.1.2.3" or "server.ip":="10.1.2.3" or "destination.nat.ip":="10.1.2.3") "icewatch.zone":in("default","")`,
		filter(Mail, "a@example.com", "", Actor):          `("email.from.address":="a@example.com" or "email.from.address":"a@example.com" or "email.sender.address":="a@example.com" or "email.sender.address":"a@example.com")`,
		filter(Asset, `i"1`, "", Actor):                   `("icewatch.source.ci.id":="i\"1")`,
		filter(Website, "政务.中国", ""):                      `("url.domain":in("xn--zfr164b.xn--fiqs8s","xn--zfr164b.xn--fiqs8s.","政务.中国","XN--ZFR164B.XN--FIQS8S") or "tls.client.server_name":in("xn--zfr164b.xn--fiqs8s","xn--zfr164b.xn--fiqs8s.","政务.中国","XN--ZFR164B.XN--FIQS8S"))`,
		filter(Organisation, "org-1", "", Actor):          "",
		filter(SystemUser, `CORP\alice`, "", Target)[:40]: `("user.target.name":in("CORP\\alice","co`,
	} {
		if got != want {
			t.Errorf("the filter is\n%s\nwant\n%s", got, want)
		}
	}
	if f := filter(SystemUser, `CORP\alice`, ""); !strings.Contains(f, `("user.name":in("alice","ALICE") "user.domain":in("CORP","corp","CORP"))`) {
		t.Errorf("an account with its domain is asked for by %s", f)
	}
	hash, path := filter(File, strings.Repeat("ab", 32), ""), filter(File, "/etc/passwd", "")
	if strings.Contains(hash, "file.path") || strings.Contains(path, ".hash.") {
		t.Errorf("a hash is asked for by %s, a path by %s", hash, path)
	}
}

// TestConsoleKnowsTheSameFields holds the console's table against this one.
func TestConsoleKnowsTheSameFields(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("../console/src/logic/entity.ts")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Type{}
	for _, m := range regexp.MustCompile(`(?m)^  '([\w.]+)': '([a-z-]+)',$`).FindAllStringSubmatch(string(src), -1) {
		got[m[1]] = Type(m[2])
	}
	want := map[string]Type{}
	for _, f := range Fields {
		want[f.Name] = TypeOf(f.Name)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the console has %v\nwant %v", got, want)
	}
}

func FuzzRead(f *testing.F) {
	for _, v := range []string{"10.1.2.3", "dmz|::1", "https://a.example/x", `CORP\alice`, "a@b.example", "政务.中国", "[::1]:80", strings.Repeat("ab", 16)} {
		f.Add(v, "")
	}
	f.Fuzz(func(t *testing.T, value, zone string) {
		for _, typ := range Types {
			e, err := Read(typ, value, zone)
			if err != nil {
				continue
			}
			again, err := Read(typ, e.Value, e.Zone)
			if err != nil || again != e {
				t.Fatalf("%s %q is %q and then %q, %v", typ, value, e.Value, again.Value, err)
			}
			if q := e.Filter(); strings.ContainsAny(q, "\n\x00") || q == "" {
				t.Fatalf("%s %q is asked for by %q", typ, value, q)
			}
		}
		Guess(value)
	})
}
