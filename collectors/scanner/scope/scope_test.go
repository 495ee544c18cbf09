package scope

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/scanner/wire"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// naive is the rule as it is written down.
func naive(a netip.Addr, ranges, exclusions, local []netip.Prefix) bool {
	in := func(list []netip.Prefix) bool {
		for _, p := range list {
			if p.Contains(a) {
				return true
			}
		}
		return false
	}
	return in(ranges) && !in(exclusions) && (local == nil || in(local)) && !a.IsMulticast() && !a.IsUnspecified() && a != broadcast
}

// TestScopeIsTheRuleAsWritten compares random scopes with the rule, address by
// address, and the list of targets with both.
func TestScopeIsTheRuleAsWritten(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	prefixes := func(n int) (p []netip.Prefix, text []string) {
		for range n {
			// Within 10.9.0.0/22, so that ranges meet.
			x := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(r.IntN(4)), byte(r.IntN(256))}), 20+r.IntN(13)).Masked()
			p, text = append(p, x), append(text, x.String())
		}
		return p, text
	}
	for range 60 {
		in, inText := prefixes(1 + r.IntN(5))
		out, outText := prefixes(r.IntN(6))
		var local []netip.Prefix
		var localText []string
		if r.IntN(2) == 0 {
			local, localText = prefixes(1 + r.IntN(3))
		}
		s, err := New(wire.Scope{Ranges: inText, Exclusions: outText}, localText, nil)
		if err != nil {
			t.Fatal(err)
		}
		list, err := s.Targets(context.Background(), nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		listed := map[netip.Addr]bool{}
		for i := range list.Len() {
			a := list.At(i)
			if listed[a] {
				t.Fatalf("%s is listed twice", a)
			}
			listed[a] = true
		}
		for b := range 4096 {
			a := netip.AddrFrom4([4]byte{10, 9, byte(b >> 8), byte(b)})
			want := naive(a, in, out, local)
			if got := s.Allows(a) == nil; got != want || listed[a] != want {
				t.Fatalf("%s: allowed %v, listed %v, want %v (ranges %v, exclusions %v, local %v)", a, got, listed[a], want, inText, outText, localText)
			}
			if got := s.Allows(netip.AddrFrom16(a.As16())) == nil; got != want {
				t.Fatalf("%s written as IPv6: allowed %v, want %v", a, got, want)
			}
		}
	}
}

func TestNothingIsAllowedThatNoRangeNames(t *testing.T) {
	t.Parallel()
	if _, err := New(wire.Scope{}, nil, nil); err == nil {
		t.Fatal("a scope without ranges was made")
	}
	all, err := New(wire.Scope{Ranges: []string{"0.0.0.0/0", "::/0"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::"} {
		if all.Allows(addr(a)) == nil {
			t.Errorf("%s is no host and is allowed", a)
		}
	}
	if _, err := all.Targets(context.Background(), nil, nil, nil); err == nil || !strings.Contains(err.Error(), "addresses") {
		t.Errorf("all addresses there are were taken as targets: %v", err)
	}
	none, err := New(wire.Scope{Ranges: []string{"10.0.0.0/8"}}, []string{}, nil)
	if err != nil || none.Allows(addr("10.0.0.1")) == nil {
		t.Error("a host that allows nothing allows an address", err)
	}
	over, _ := New(wire.Scope{Ranges: []string{"10.0.0.0/8"}, Expires: time.Now().Add(-time.Second).Unix()}, nil, nil)
	if over.Allows(addr("10.0.0.1")) == nil {
		t.Error("an approval that is over still allows")
	}
}

// TestLibrariesAreHeldToTheScope gives an ordinary HTTP client the net.Dialer: a
// redirect and a name that lead outside never become a connection.
func TestLibrariesAreHeldToTheScope(t *testing.T) {
	t.Parallel()
	touched := make(chan string, 10)
	listen := func(host string) net.Listener {
		l, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	outside := listen("127.0.0.3")
	go func() {
		for {
			c, err := outside.Accept()
			if err != nil {
				return
			}
			touched <- c.RemoteAddr().String()
			_ = c.Close()
		}
	}()
	inside := listen("127.0.0.2")
	go func() {
		_ = http.Serve(inside, http.RedirectHandler("http://"+outside.Addr().String()+"/", http.StatusFound))
	}()
	var told []wire.Refused
	s, err := New(wire.Scope{Ranges: []string{"127.0.0.2"}}, nil, func(r wire.Refused) { told = append(told, r) })
	if err != nil {
		t.Fatal(err)
	}
	d := NewDialer(s, nil, time.Second)
	client := &http.Client{Transport: &http.Transport{DialContext: d.Net("test").DialContext}}
	for range 2 {
		if _, err := client.Get("http://" + inside.Addr().String()); !errors.Is(err, ErrOutside) {
			t.Fatalf("want a refusal, got %v", err)
		}
	}
	if _, err := client.Get("http://localhost:1/"); !errors.Is(err, ErrOutside) {
		t.Fatalf("want a refusal, got %v", err)
	}
	if _, err := d.Dial(context.Background(), "tcp", "unpinned.example:80"); !errors.Is(err, ErrOutside) {
		t.Fatalf("want a refusal, got %v", err)
	}
	if _, err := d.Ping(context.Background(), addr("127.0.0.3"), time.Second); !errors.Is(err, ErrOutside) {
		t.Fatalf("want a refusal, got %v", err)
	}
	if s.Refused() < 5 || len(told) < 4 {
		t.Errorf("%d refusals counted, %d told", s.Refused(), len(told))
	}
	select {
	case from := <-touched:
		t.Errorf("%s was connected to from %s", outside.Addr(), from)
	default:
	}
}

func TestNamesAreJudgedByTheirAddresses(t *testing.T) {
	t.Parallel()
	var told []wire.Refused
	s, _ := New(wire.Scope{Ranges: []string{"10.1.0.0/16"}, Exclusions: []string{"10.1.0.9"}}, nil, func(r wire.Refused) { told = append(told, r) })
	resolve := func(_ context.Context, name string) ([]netip.Addr, error) {
		switch name {
		case "in.example":
			return []netip.Addr{addr("10.1.0.5"), addr("192.0.2.1")}, nil
		case "out.example":
			return []netip.Addr{addr("10.1.0.9"), addr("::ffff:192.0.2.2")}, nil
		}
		return nil, errors.New("no such name")
	}
	failed := 0
	got, err := s.Targets(context.Background(), []string{"https://In.example./app", "out.example", "gone.example", "10.1.0.0/30", "10.1.0.2", "172.16.0.0/12"}, resolve, func(string, error) { failed++ })
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != 5 || failed != 1 || len(told) != 4 || len(got.Sites) != 1 || got.Sites[0].Port != 443 || got.Sites[0].Host != "in.example" {
		t.Errorf("%d addresses, %d failed, told %+v, sites %+v", got.Len(), failed, told, got.Sites)
	}
	for _, bad := range []string{"2130706433", "0x7f.0.0.1", "ftp://in.example", "http://u:p@in.example", "a b", "in.example:99999", "10.1.0.0/33"} {
		if _, err := s.Targets(context.Background(), []string{bad}, resolve, func(string, error) {}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestPingIsAnswered(t *testing.T) {
	t.Parallel()
	s, _ := New(wire.Scope{Ranges: []string{"127.0.0.1", "::1"}}, nil, nil)
	_, err := NewDialer(s, nil, time.Second).Ping(context.Background(), addr("127.0.0.1"), time.Second)
	if errors.Is(err, ErrNoPing) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestPaceIsKept(t *testing.T) {
	t.Parallel()
	p := NewPace(1000, 100)
	start := time.Now()
	for range 25 {
		if err := p.Wait(context.Background(), addr("10.0.0.1")); err != nil {
			t.Fatal(err)
		}
	}
	if d := time.Since(start); d < 190*time.Millisecond {
		t.Errorf("25 packets to one host took %s: more than 100 a second", d)
	}
}

func FuzzTargets(f *testing.F) {
	s, err := New(wire.Scope{Ranges: []string{"10.1.0.0/24", "2001:db8::/120"}, Exclusions: []string{"10.1.0.128/25"}}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"10.1.0.1", "10.0.0.0/8", "http://10.1.0.1:8080/x", "[2001:db8::1]:443", "name.example", "::ffff:10.1.0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		resolve := func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{addr("10.1.0.200"), addr("10.1.0.3"), addr("127.0.0.1")}, nil
		}
		list, err := s.Targets(context.Background(), []string{text}, resolve, func(string, error) {})
		if err != nil {
			return
		}
		for i := range list.Len() {
			if err := s.Allows(list.At(i)); err != nil {
				t.Fatalf("%q became %s: %v", text, list.At(i), err)
			}
		}
	})
}
