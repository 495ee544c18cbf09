package discover

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	wappalyzer "github.com/projectdiscovery/wappalyzergo"
	"github.com/spaolacci/murmur3"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// tls shakes hands and tells what the service shows.
func (h *look) tls(ctx context.Context, s *wire.Service) bool {
	if !h.wants(wire.ProbeTLS) {
		return false
	}
	shown, err := Handshake(ctx, h.Dialer, h.address(s.Port), "", h.answer, tls.VersionTLS10, tls.VersionTLS13)
	if err != nil {
		return false
	}
	s.TLS = shown
	for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
		if name := tls.VersionName(version); name == shown.Version {
			shown.Versions = append(shown.Versions, name)
		} else if _, err := Handshake(ctx, h.Dialer, h.address(s.Port), "", h.answer, version, version); err == nil {
			shown.Versions = append(shown.Versions, name)
		}
	}
	return true
}

// Handshake makes one TLS handshake, with old ciphers allowed and the certificate
// unchecked: it is what is looked at.
func Handshake(ctx context.Context, d *scope.Dialer, address, name string, timeout time.Duration, least, most uint16) (*wire.TLS, error) {
	c, err := d.DialBy(ctx, "tls", "tcp", address)
	if err != nil {
		return nil, err
	}
	defer reset(c)
	_ = c.SetDeadline(time.Now().Add(timeout))
	t := tls.Client(c, Lenient(name, least, most))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	st := t.ConnectionState()
	if len(st.PeerCertificates) == 0 {
		return nil, fmt.Errorf("%s shows no certificate", address)
	}
	leaf := st.PeerCertificates[0]
	sum := sha256.Sum256(leaf.Raw)
	out := &wire.TLS{Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Serial: leaf.SerialNumber.Text(16), SANs: slices.Clone(leaf.DNSNames),
		NotBefore: leaf.NotBefore.Unix(), NotAfter: leaf.NotAfter.Unix(), Fingerprint: hex.EncodeToString(sum[:]), Version: tls.VersionName(st.Version),
		Cipher: tls.CipherSuiteName(st.CipherSuite), Key: keyName(leaf), Signature: leaf.SignatureAlgorithm.String(), SelfSigned: leaf.CheckSignatureFrom(leaf) == nil || leaf.Subject.String() == leaf.Issuer.String()}
	for _, ip := range leaf.IPAddresses {
		out.SANs = append(out.SANs, ip.String())
	}
	if len(out.SANs) > 100 {
		out.SANs = out.SANs[:100]
	}
	return out, nil
}

// Lenient speaks with servers that are old or misconfigured: they are what is looked for.
func Lenient(name string, least, most uint16) *tls.Config {
	var ciphers []uint16
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ciphers = append(ciphers, c.ID)
	}
	return &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: least, MaxVersion: most, CipherSuites: ciphers} //nolint:gosec // A scanner looks at what is there.
}

func keyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// maxPage bounds what is read of a page.
const maxPage = 512 << 10

// Client is an HTTP client of a run: it follows no redirect, keeps no connection and
// proves no certificate. timeout is that of a connection, from when it is made: how
// long the pace holds it back before does not count.
func Client(d *scope.Dialer, by, name string, timeout time.Duration) *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := d.DialBy(ctx, by, network, address)
				if err == nil {
					err = c.SetDeadline(time.Now().Add(timeout))
				}
				return c, err
			},
			TLSClientConfig: Lenient(name, tls.VersionTLS10, tls.VersionTLS13), DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		}}
}

var (
	titleTag = regexp.MustCompile(`(?is)<title[^>]*>(.{0,512}?)</title>`)
	iconTag  = regexp.MustCompile(`(?is)<link[^>]+rel=["']?(?:shortcut )?icon["']?[^>]*>`)
	hrefAttr = regexp.MustCompile(`(?i)href=["']?([^"' >]+)`)
	// What a server of HTTP says where TLS is wanted.
	wantsTLS = regexp.MustCompile(`(?i)plain HTTP request was sent to HTTPS port|HTTP request to an HTTPS server|requires TLS|speaking plain HTTP to an SSL-enabled`)
)

var fingerprints = sync.OnceValues(wappalyzer.New)

// web asks for the first page. It is false where the service speaks no HTTP.
func (h *look) web(ctx context.Context, s *wire.Service) bool {
	if !h.wants(wire.ProbeHTTP) {
		return false
	}
	scheme := "http"
	if s.TLS != nil {
		scheme = "https"
	}
	url := scheme + "://" + h.address(s.Port) + "/"
	client := Client(h.Dialer, "http", "", 2*h.answer)
	resp, body, err := get(ctx, client, url)
	if err != nil {
		return false
	}
	if scheme == "http" && resp.StatusCode == http.StatusBadRequest && wantsTLS.Match(body) {
		return false
	}
	s.Name = scheme
	w := &wire.HTTP{URL: url, Status: resp.StatusCode, Server: clean(resp.Header.Get("Server"), 256), Location: clean(resp.Header.Get("Location"), 512)}
	if m := titleTag.FindSubmatch(body); m != nil {
		w.Title = clean(strings.Join(strings.Fields(html.UnescapeString(string(m[1]))), " "), 256)
	}
	if product, rest, ok := strings.Cut(w.Server, "/"); ok {
		s.Product = product
		s.Version, _, _ = strings.Cut(rest, " ")
	} else {
		s.Product = w.Server
	}
	if f, err := fingerprints(); err == nil {
		for name := range f.Fingerprint(resp.Header, body) {
			w.Technologies = append(w.Technologies, name)
		}
		slices.Sort(w.Technologies)
	}
	icon := "/favicon.ico"
	if m := hrefAttr.FindSubmatch(iconTag.Find(body)); m != nil && strings.HasPrefix(string(m[1]), "/") && !strings.HasPrefix(string(m[1]), "//") {
		icon = string(m[1])
	}
	if resp, data, err := get(ctx, client, strings.TrimSuffix(url, "/")+icon); err == nil && resp.StatusCode == http.StatusOK && len(data) > 0 && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
		w.Favicon = faviconHash(data)
	}
	s.Banner = "HTTP " + strconv.Itoa(w.Status) + " " + w.Server
	s.HTTP = w
	return true
}

func get(ctx context.Context, client *http.Client, url string) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", UserAgent)
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxPage)) // What came of a page that breaks off is looked at.
	return resp, body, nil
}

// UserAgent says who asks, so that those who read a web server's log know.
const UserAgent = "Mozilla/5.0 (compatible; icewatch-scanner)"

// faviconHash is MurmurHash3 over the icon in base64 with lines of 76, as search
// engines of the field write it.
func faviconHash(icon []byte) string {
	var b strings.Builder
	text := base64.StdEncoding.EncodeToString(icon)
	for len(text) > 76 {
		b.WriteString(text[:76])
		b.WriteByte('\n')
		text = text[76:]
	}
	b.WriteString(text)
	b.WriteByte('\n')
	return strconv.Itoa(int(int32(murmur3.Sum32([]byte(b.String())))))
}
