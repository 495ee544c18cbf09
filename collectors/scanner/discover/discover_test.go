package discover

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
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

// Services that are known by their port alone: MongoDB before 3.6, which hangs up on the
// message of later ones, and FTP that speaks within TLS.
func TestOldAndHiddenServicesAreKnown(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		peers.Missing(t, "ports below 1024 need root")
	}
	serve := func(address string, speak func(net.Conn)) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					_ = c.SetDeadline(time.Now().Add(2 * time.Second))
					speak(c)
				}()
			}
		}()
	}
	serve("127.77.4.1:27017", func(c net.Conn) {
		head := make([]byte, 16)
		if _, err := io.ReadFull(c, head); err != nil || binary.LittleEndian.Uint32(head[12:]) != 2004 {
			return
		}
		doc := []byte("\x18\x00\x00\x00\x08ismaster\x00\x01\x08readOnly\x00\x00")
		answer := binary.LittleEndian.AppendUint32(nil, uint32(36+len(doc)))
		answer = append(answer, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0)
		answer = append(append(answer, make([]byte, 16)...), 1, 0, 0, 0)
		_, _ = c.Write(append(answer, doc...))
	})
	cert, key := peers.NewAuthority(t).Issue(t, t.TempDir())
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	serve("127.77.4.1:990", func(c net.Conn) {
		over := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		if over.Handshake() == nil {
			_, _ = over.Write([]byte("220 (vsFTPd 3.0.5)\r\n"))
			_, _ = over.Read(make([]byte, 1))
		}
	})
	o := &Options{Dialer: dialer(t, "127.77.4.1"), TCP: []int{990, 27017}, Answer: 300 * time.Millisecond, Probes: []string{wire.ProbeTCP, wire.ProbeBanner, wire.ProbeTLS}}
	found, err := o.Host(t.Context(), netip.MustParseAddr("127.77.4.1"))
	if err != nil || len(found.Services) != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if s := found.Services[0]; s.Name != "ftp" || s.Product != "vsFTPd" || s.Version != "3.0.5" || s.TLS == nil {
		t.Errorf("%+v", s)
	}
	if s := found.Services[1]; s.Name != "mongodb" || s.Product != "MongoDB" {
		t.Errorf("%+v", s)
	}
}
