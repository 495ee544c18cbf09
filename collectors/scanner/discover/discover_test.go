package discover

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

func dialer(t testing.TB, ranges ...string) *scope.Dialer {
	s, err := scope.New(wire.Scope{Ranges: ranges}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return scope.NewDialer(s, nil, time.Second)
}

func portOf(t testing.TB, address string) int {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := strconv.Atoi(p)
	return n
}

func TestServicesAreKnownForWhatTheyAre(t *testing.T) {
	t.Parallel()
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "nginx/1.22.1")
		if r.URL.Path == "/favicon.ico" {
			w.Header().Set("Content-Type", "image/x-icon")
			_, _ = w.Write([]byte("icon"))
			return
		}
		_, _ = w.Write([]byte("<html><title>门户 &amp; Portal</title></html>"))
	})
	plain := httptest.NewServer(page)
	defer plain.Close()
	secure := httptest.NewUnstartedServer(page)
	secure.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	secure.StartTLS()
	defer secure.Close()
	ssh, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ssh.Close()
	go func() {
		for {
			c, err := ssh.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"))
			_ = c.Close()
		}
	}()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	ports := []int{portOf(t, plain.Listener.Addr().String()), portOf(t, secure.Listener.Addr().String()), portOf(t, ssh.Addr().String()), portOf(t, closed.Addr().String())}
	o := &Options{Dialer: dialer(t, "127.0.0.1"), TCP: ports, Answer: 300 * time.Millisecond, Probes: []string{wire.ProbeTCP, wire.ProbeBanner, wire.ProbeHTTP, wire.ProbeTLS}}
	found, err := o.Host(context.Background(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if found.Host == nil || len(found.Services) != 3 || found.Host.OS != "Debian GNU/Linux 12" {
		t.Fatalf("%+v, services %+v", found.Host, found.Services)
	}
	for _, s := range found.Services {
		switch s.Port {
		case ports[0]:
			if s.Name != "http" || s.HTTP == nil || s.HTTP.Title != "门户 & Portal" || s.Version != "1.22.1" || s.CPE != "cpe:2.3:a:f5:nginx:1.22.1:*:*:*:*:*:*:*" || s.HTTP.Favicon == "" {
				t.Errorf("plain: %+v %+v", s, s.HTTP)
			}
			if !slices.ContainsFunc(s.HTTP.Technologies, func(n string) bool { return n == "Nginx:1.22.1" }) {
				t.Errorf("technologies: %v", s.HTTP.Technologies)
			}
		case ports[1]:
			if s.Name != "https" || s.TLS == nil || s.TLS.Version != "TLS 1.3" || !slices.Equal(s.TLS.Versions, []string{"TLS 1.2", "TLS 1.3"}) {
				t.Errorf("secure: %+v %+v", s, s.TLS)
			}
		case ports[2]:
			if s.Name != "ssh" || s.Product != "OpenSSH" || s.Version != "9.2p1" {
				t.Errorf("ssh: %+v", s)
			}
		}
	}
}

func TestFaviconHashIsThatOfTheField(t *testing.T) {
	t.Parallel()
	// MurmurHash3 (x86, 32 bits, seed 0) of "aWNvbg==\n", as mmh3.hash(base64.encodebytes(b"icon")) gives it.
	if got := faviconHash([]byte("icon")); got != "1355950459" {
		t.Error("hash of icon:", got)
	}
	long := make([]byte, 200)
	if faviconHash(long) == faviconHash(long[:199]) {
		t.Error("two icons have one hash")
	}
}

func TestNothingOutsideTheScopeIsAsked(t *testing.T) {
	t.Parallel()
	o := &Options{Dialer: dialer(t, "127.0.0.2"), TCP: []int{1}}
	if _, err := o.Host(context.Background(), netip.MustParseAddr("127.0.0.1")); err == nil {
		t.Fatal("an address outside the scope was looked at")
	}
	if o.Dialer.Refused() != 1 {
		t.Errorf("%d refusals", o.Dialer.Refused())
	}
}

func FuzzBanner(f *testing.F) {
	for _, b := range []string{"SSH-2.0-x", "220 ftp", "\x4a\x00\x00\x00\x0a5.5.5-10.11.6-MariaDB\x00", "\x10\x00\x00\x00\xff\x6a\x04Host", "\xff"} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		s := wire.Service{Port: 21, Protocol: "tcp", Address: "127.0.0.1"}
		byBanner(b, &s)
		_ = cpe(&s)
		for port, q := range udpAskings {
			s := wire.Service{Port: port, Protocol: "udp"}
			q.match(b, &s)
		}
		for i := range askings {
			s := wire.Service{}
			askings[i].match(b, &s)
		}
		if len(clean(s.Banner, 64)) > 64 {
			t.Fatal("longer than allowed")
		}
	})
}
