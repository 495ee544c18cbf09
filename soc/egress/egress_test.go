package egress

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func guard(t testing.TB, o Options) *Guard {
	t.Helper()
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.own = func() ([]net.Addr, error) {
		return []net.Addr{&net.IPNet{IP: net.ParseIP("10.9.8.7"), Mask: net.CIDRMask(8, 32)}}, nil
	}
	g.lookup = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		switch host {
		case "localhost", "evil.example":
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		case "half.example":
			return []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("::ffff:169.254.169.254")}, nil
		case "good.example":
			return []netip.Addr{netip.MustParseAddr("198.51.100.7")}, nil
		}
		return nil, errors.New("no such host")
	}
	return g
}

func TestCheck(t *testing.T) {
	t.Parallel()
	g := guard(t, Options{})
	f := func(raw string, why ...string) {
		t.Helper()
		err := g.Check(t.Context(), raw)
		if len(why) == 0 {
			if err != nil {
				t.Errorf("%s: %v", raw, err)
			}
			return
		}
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), why[0]) {
			t.Errorf("%s: %v; want a refusal with %q", raw, err, why[0])
		}
	}
	f("https://198.51.100.7/hook?token=x")
	f("http://10.1.2.3:9000/")
	f("https://192.168.0.9/")
	f("https://[fd12::1]/")
	f("https://good.example/")
	f("https://not-there-yet.example/")
	f("http://127.0.0.1/", "loopback")
	f("http://127.255.255.254:8080/", "loopback")
	f("http://[::1]/", "loopback")
	f("http://localhost/", "loopback")
	f("https://evil.example/", "evil.example")
	f("https://half.example/", "metadata")
	f("http://0.0.0.0/", "unspecified")
	f("http://0.1.2.3/", "unspecified")
	f("http://[::]/", "unspecified")
	f("http://169.254.169.254/latest/meta-data/", "metadata")
	f("http://169.254.1.1/", "link-local")
	f("http://100.100.100.200/latest/meta-data/", "metadata")
	f("http://169.254.0.23/", "metadata")
	f("http://192.0.0.192/", "metadata")
	f("http://168.63.129.16/", "metadata")
	f("http://[fd00:ec2::254]/", "metadata")
	f("http://[fe80::1]/", "link-local")
	f("http://[fe80::1%25eth0]/", "link-local")
	f("http://[fec0::1]/", "site-local")
	f("http://224.0.0.1/", "multicast")
	f("http://[ff02::1]/", "multicast")
	f("http://255.255.255.255/", "broadcast")
	f("http://[::ffff:127.0.0.1]/", "loopback")
	f("http://[::ffff:7f00:1]/", "loopback")
	f("http://[::127.0.0.1]/", "IPv6 form")
	f("http://[64:ff9b::7f00:1]/", "loopback")
	f("http://[64:ff9b::a9fe:a9fe]/", "metadata")
	f("http://[64:ff9b:1::7f00:1]/", "IPv6 form")
	f("http://[2002:7f00:1::]/", "IPv6 form")
	f("http://[2001:0:7f00:1::]/", "IPv6 form")
	f("http://10.9.8.7:5432/", "this machine")
	f("ftp://198.51.100.7/", "scheme")
	f("file:///etc/passwd", "scheme")
	f("gopher://198.51.100.7/", "scheme")
	f("//198.51.100.7/", "scheme")
	f("https://user:pw@198.51.100.7/", "password")
	f("https://good.example@127.0.0.1/", "user")
	f("https:///path", "host")
	f("https://198.51.100.7:0/", "port")
	f("https://198.51.100.7:99999/", "port")
	f("http://[::1", "cannot be read")
	f("http://a/"+strings.Repeat("x", maxURL), "characters")
}

func TestAllow(t *testing.T) {
	t.Parallel()
	g := guard(t, Options{Allow: []string{"127.0.0.0/8:9000", "[::1]:9000", "169.254.1.0/24", "fe80::/10"}, RefusePrivate: true})
	f := func(raw string, ok bool) {
		t.Helper()
		if err := g.Check(t.Context(), raw); (err == nil) != ok {
			t.Errorf("%s: %v", raw, err)
		}
	}
	f("http://127.0.0.1:9000/", true)
	f("http://[::ffff:127.0.0.1]:9000/", true)
	f("http://127.0.0.1:9001/", false)
	f("http://[::1]:9000/", true)
	f("http://[::1]/", false)
	f("http://169.254.1.9/", true)
	f("http://169.254.2.9/", false)
	f("http://[fe80::1%25eth0]/", true)
	f("http://10.0.0.1/", false)
	f("http://100.64.0.1/", false)
	f("http://[fd12::1]/", false)
	for _, bad := range []string{"", "localhost", "127.0.0.1/33", "127.0.0.1:0", "127.0.0.1:x", "[::1", "fe80::1%eth0", ":80"} {
		if _, err := New(Options{Allow: []string{bad}}); err == nil {
			t.Errorf("%q is taken for a network", bad)
		}
	}
}

// TestDial: a name that was good when it was checked and resolves to loopback
// when it is dialled gets no connection; nor does a redirect.
func TestDial(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	secret := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer secret.Close()
	_, port, _ := net.SplitHostPort(secret.Listener.Addr().String())

	// localhost is resolved by the dialler itself here, so the check was passed
	// by a name and the refusal falls on the address.
	g := guard(t, Options{})
	for _, u := range []string{secret.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port} {
		_, err := g.Client(2 * time.Second).Get(u)
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", u, err)
		}
	}
	var to string
	hop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
	defer hop.Close()
	g = guard(t, Options{Allow: []string{strings.TrimPrefix(hop.URL, "http://")}})
	for _, to = range []string{secret.URL, "http://[::1]:" + port, "file:///etc/passwd", "http://u:p@198.51.100.7/", hop.URL} {
		resp, err := g.Client(2 * time.Second).Get(hop.URL)
		if err == nil {
			resp.Body.Close()
			t.Errorf("a redirect to %s was followed", to)
		} else if to != "file:///etc/passwd" && !errors.Is(err, ErrRefused) {
			t.Errorf("a redirect to %s: %v", to, err)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("the loopback service was reached %d times", n)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.Query().Get("n"))))
	}))
	defer srv.Close()
	g := guard(t, Options{Allow: []string{"127.0.0.0/8"}, MaxAnswer: 10})
	for n, ok := range map[int]bool{0: true, 9: true, 10: true, 11: false, 100: false} {
		resp, err := g.Client(2 * time.Second).Get(srv.URL + "?n=" + strings.Repeat("a", n))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if ok != (err == nil) || len(data) != min(n, 10) || !ok && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%d bytes: read %d, %v", n, len(data), err)
		}
	}
}

// FuzzJudge holds the table against net/netip's own notions.
func FuzzJudge(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1})
	f.Add(netip.MustParseAddr("64:ff9b::7f00:1").AsSlice())
	g := guard(f, Options{RefusePrivate: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		u := a.Unmap()
		bad := u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsMulticast() || u.IsUnspecified() || u.IsPrivate()
		if bad && g.judge(a, 80) == nil {
			t.Errorf("%s passes", a)
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add("http://127.0.0.1/")
	f.Add("https://[::1]:80/")
	g := guard(f, Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		if err := g.Check(t.Context(), raw); err == nil && !strings.HasPrefix(strings.ToLower(raw), "http") {
			t.Errorf("%q passes", raw)
		}
	})
}

func FuzzRule(f *testing.F) {
	f.Add("127.0.0.0/8:9000")
	f.Add("[fd00::/8]:443")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := parseRule(text); err == nil && !r.prefix.IsValid() {
			t.Errorf("%q is taken for %v", text, r)
		}
	})
}

func BenchmarkJudge(b *testing.B) {
	g := guard(b, Options{})
	addr := netip.MustParseAddr("198.51.100.7")
	for b.Loop() {
		if err := g.judge(addr, 443); err != nil {
			b.Fatal(err)
		}
	}
}
