// Package egress guards the connections that the suite makes to URLs which
// users gave: webhook receivers, identity providers, addresses of versions.
// Without it such a URL would let its author talk, through the suite, to what
// only the suite can reach: services on its own machine, or a cloud's metadata
// service with its credentials (server-side request forgery, CWE-918).
//
// The judgement falls on the address that is dialled, after the name was
// resolved, for each connection anew: a name that changes its address, and a
// redirect, get no further than a plain address would. A city's systems live
// in private networks, so these are allowed unless the operator says
// otherwise; this machine itself, link-local and metadata addresses are not,
// unless the operator names them.
//
// URLs in the configuration file are the operator's own word and need no
// guard: Unguarded.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// ErrRefused says that a URL or an address is out of bounds; the error that
// wraps it says which and why, and repeats no more of the URL than its host.
var ErrRefused = errors.New("the address is not allowed")

// ErrTooLarge says that an answer was longer than the guard lets through.
var ErrTooLarge = errors.New("the answer is too large")

const (
	maxURL       = 4096
	maxRedirects = 5
	maxHeader    = 64 << 10
	resolveTime  = 5 * time.Second
)

// Options are what an operator decides.
type Options struct {
	// Allow lists networks that may be reached whatever they are, such as
	// "127.0.0.1/32", "10.0.0.5" or, for one port only, "127.0.0.0/8:9000" and
	// "[fd00::/8]:443".
	Allow []string
	// RefusePrivate refuses private networks (RFC 1918, RFC 4193, RFC 6598).
	RefusePrivate bool
	// MaxAnswer bounds a body in bytes; 0 means 16 MiB.
	MaxAnswer int64
}

// Guard decides where connections may go. It is safe for concurrent use.
type Guard struct {
	allow   []rule
	private bool
	max     int64

	// lookup resolves names and own lists this machine's addresses; tests
	// replace them.
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	own    func() ([]net.Addr, error)
}

// New makes a guard. The error names the entry of Allow that cannot be read.
func New(o Options) (*Guard, error) {
	g := &Guard{private: !o.RefusePrivate, max: o.MaxAnswer, lookup: net.DefaultResolver.LookupNetIP, own: net.InterfaceAddrs}
	if g.max <= 0 {
		g.max = 16 << 20
	}
	for _, text := range o.Allow {
		r, err := parseRule(text)
		if err != nil {
			return nil, err
		}
		g.allow = append(g.allow, r)
	}
	return g, nil
}

// Check tells whether a URL may be kept for later use: http or https, a host,
// no user or password, and no address among the host's that would be refused.
// A name that cannot be resolved now passes: each connection is judged again.
func (g *Guard) Check(ctx context.Context, raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("%w: the URL has %d characters; at most %d are read", ErrRefused, len(raw), maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: the URL cannot be read; one such as https://hooks.example.gov.cn/soc is expected", ErrRefused)
	}
	port, err := checkURL(u)
	if err != nil {
		return err
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		return g.judge(addr, port)
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	addrs, err := g.lookup(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if err := g.judge(a, port); err != nil {
			return fmt.Errorf("%w (an address of %s)", err, host)
		}
	}
	return nil
}

// checkURL checks what needs no network and returns the port.
func checkURL(u *url.URL) (port uint16, err error) {
	switch u.Scheme {
	case "http":
		port = 80
	case "https":
		port = 443
	default:
		return 0, fmt.Errorf("%w: the scheme is %.20q; http or https is expected", ErrRefused, u.Scheme)
	}
	if u.User != nil {
		return 0, fmt.Errorf("%w: the URL holds a user or password, which would show in logs", ErrRefused)
	}
	if u.Hostname() == "" {
		return 0, fmt.Errorf("%w: the URL names no host", ErrRefused)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return 0, fmt.Errorf("%w: the port %.20q is none from 1 to 65535", ErrRefused, p)
		}
		port = uint16(n)
	}
	return port, nil
}

// Transport returns a transport whose every connection is judged and whose
// answers are bounded. It uses no proxy: a proxy would make the connection in
// our stead, where nothing judges it. timeout bounds each step of connecting
// and the wait for the answer's head.
func (g *Guard) Transport(timeout time.Duration) http.RoundTripper {
	return g.transport(timeout)
}

func (g *Guard) transport(timeout time.Duration) bounded {
	t := transport(timeout)
	t.DialContext = g.Dialer(timeout).DialContext
	return bounded{t, g.max}
}

// Dialer returns a dialer whose every connection is judged, for protocols
// beside HTTP.
func (g *Guard) Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second, Control: g.control}
}

// Client returns a client on such a transport. It follows at most five
// redirects, none from https to http. timeout bounds a request with its answer.
func (g *Guard) Client(timeout time.Duration) *http.Client { return g.ClientTrusting(timeout, nil) }

// ClientTrusting is Client for servers whose certificates the given authorities
// sign; nil are the system's.
func (g *Guard) ClientTrusting(timeout time.Duration, roots *x509.CertPool) *http.Client {
	t := g.transport(timeout)
	t.TLSClientConfig.RootCAs = roots
	return &http.Client{Transport: t, Timeout: timeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("%w: it redirects more than %d times", ErrRefused, maxRedirects)
		}
		if req.URL.Scheme == "http" && via[len(via)-1].URL.Scheme == "https" {
			return fmt.Errorf("%w: it redirects from https to http", ErrRefused)
		}
		return nil // the URL itself is checked where the request is sent
	}}
}

// Unguarded returns a transport that goes anywhere, by the proxy that the
// environment names: for URLs from the configuration file.
func Unguarded(timeout time.Duration) http.RoundTripper {
	t := transport(timeout)
	t.Proxy = http.ProxyFromEnvironment
	t.DialContext = (&net.Dialer{Timeout: timeout, KeepAlive: 30 * time.Second}).DialContext
	return t
}

func transport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
}

// control judges an address at the moment it is dialled.
func (g *Guard) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s is no address of %s", ErrRefused, address, network)
	}
	return g.judge(ap.Addr(), ap.Port())
}

// bounded checks the URL of every request, redirected ones included, and
// bounds the answer.
type bounded struct {
	*http.Transport
	max int64
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := checkURL(req.URL); err != nil {
		return nil, err
	}
	resp, err := b.Transport.RoundTrip(req)
	if err == nil {
		resp.Body = &limited{resp.Body, b.max}
	}
	return resp, err
}

type limited struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left < 0 {
		return 0, ErrTooLarge
	}
	// One byte more than allowed tells an answer that ends from one that goes on.
	n, err := l.ReadCloser.Read(p[:min(int64(len(p)), l.left+1)])
	l.left -= int64(n)
	if l.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}
