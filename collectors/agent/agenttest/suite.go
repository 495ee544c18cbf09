// Package agenttest is a suite for tests of the agent: it enrols, answers
// checkins and takes batches as the real one does (collectors/fleet/wire), over
// real mutual TLS, keeps everything in memory and tells what it got. Cut puts a
// wire with scissors before it.
package agenttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
)

// Suite is the stand-in.
type Suite struct {
	URL   string
	Token string // for Secret, once

	t       testing.TB
	server  *httptest.Server
	ca      *x509.Certificate
	caKey   *ecdsa.PrivateKey
	release ed25519.PrivateKey

	mu        sync.Mutex
	used      bool
	enrolled  int
	revoked   bool
	orders    []wire.Orders
	wake      chan struct{}
	checkins  []wire.Checkin
	last      map[string]uint64 // kind and epoch → sequence
	answers   map[string]int    // path → status to answer instead, until unset
	dropAfter bool              // store, but close the connection before the answer
	records   []intake.Record
	samples   map[string][]Sample
	inventory []wire.Inventory
	doubled   int
	packages  map[string][]byte
}

// Sample is one sample of a series.
type Sample struct {
	At    int64
	Value float64
}

// Secret is that of the token.
const Secret = "open-sesame-for-tests"

const serverName = "agents.icewatch.test"

// New starts one.
func New(t testing.TB) *Suite {
	t.Helper()
	s := &Suite{t: t, wake: make(chan struct{}), last: map[string]uint64{}, answers: map[string]int{}, samples: map[string][]Sample{}, packages: map[string][]byte{}}
	s.caKey = key(t)
	s.ca = s.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "agents' authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, &s.caKey.PublicKey)
	_, s.release, _ = ed25519.GenerateKey(rand.Reader)
	own := key(t)
	cert := s.sign(&x509.Certificate{DNSNames: []string{serverName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature}, s.ca, &own.PublicKey)
	pool := x509.NewCertPool()
	pool.AddCert(s.ca)
	s.server = httptest.NewUnstartedServer(s)
	s.server.EnableHTTP2 = true
	s.server.Config.ErrorLog = nil
	s.server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, s.ca.Raw}, PrivateKey: own}}}
	s.server.StartTLS()
	t.Cleanup(func() { s.server.CloseClientConnections(); s.server.Close() })
	s.URL = s.server.URL
	s.Token = s.TokenFor(s.URL)
	return s
}

// TokenFor is a token that leads to the suite by other addresses.
func (s *Suite) TokenFor(urls ...string) string {
	sum := sha256.Sum256(s.ca.Raw)
	return wire.Token{URLs: urls, CA: hex.EncodeToString(sum[:]), Secret: Secret}.String()
}

func key(t testing.TB) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *Suite) sign(c, parent *x509.Certificate, pub any) *x509.Certificate {
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, s.caKey)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// ServeHTTP implements http.Handler.
func (s *Suite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, revoked := s.answers[r.URL.Path], s.revoked
	s.mu.Unlock()
	if status != 0 {
		fail(w, status, wire.CodeBusy, "told to by the test")
		return
	}
	if r.URL.Path == wire.PathEnrol {
		s.enrol(w, r)
		return
	}
	if len(r.TLS.PeerCertificates) == 0 {
		fail(w, http.StatusUnauthorized, wire.CodeIdentity, "no certificate")
		return
	}
	if revoked {
		fail(w, http.StatusForbidden, wire.CodeRevoked, "the certificate was revoked")
		return
	}
	switch {
	case r.URL.Path == wire.PathCheckin:
		s.checkin(w, r)
	case r.URL.Path == wire.PathRenew:
		var req wire.RenewRequest
		if json.NewDecoder(r.Body).Decode(&req) == nil {
			write(w, wire.RenewAnswer{Certificate: s.issue(req.CSR), CA: s.ca.Raw, ReleaseKey: s.release.Public().(ed25519.PublicKey)})
		}
	case strings.HasPrefix(r.URL.Path, wire.PathPackages):
		s.mu.Lock()
		data, ok := s.packages[strings.TrimPrefix(r.URL.Path, wire.PathPackages)]
		s.mu.Unlock()
		if !ok {
			fail(w, http.StatusNotFound, wire.CodeAbsent, "no such package")
			return
		}
		_, _ = w.Write(data)
	default:
		s.batch(w, r)
	}
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(wire.Encode(v))
}

func fail(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(wire.Encode(wire.Error{Code: code, Detail: detail}))
}

func (s *Suite) issue(csr []byte) []byte {
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil || r.CheckSignature() != nil {
		return nil
	}
	return s.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "agent"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, s.ca, r.PublicKey).Raw
}

func (s *Suite) enrol(w http.ResponseWriter, r *http.Request) {
	var req wire.EnrolRequest
	if json.NewDecoder(r.Body).Decode(&req) != nil {
		fail(w, http.StatusBadRequest, wire.CodeMalformed, "no request")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Secret != Secret || s.used {
		fail(w, http.StatusUnauthorized, wire.CodeToken, "the token is used up")
		return
	}
	s.used = true
	s.enrolled++
	write(w, wire.EnrolAnswer{Agent: "01JQAGENT", Tenant: "egov", Certificate: s.issue(req.CSR), CA: s.ca.Raw, ServerName: serverName, ReleaseKey: s.release.Public().(ed25519.PublicKey)})
}

func (s *Suite) checkin(w http.ResponseWriter, r *http.Request) {
	var c wire.Checkin
	if json.NewDecoder(r.Body).Decode(&c) != nil {
		fail(w, http.StatusBadRequest, wire.CodeMalformed, "no checkin")
		return
	}
	s.mu.Lock()
	s.checkins = append(s.checkins, c)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), time.Second)
	defer cancel()
	for {
		s.mu.Lock()
		if len(s.orders) > 0 {
			o := s.orders[0]
			s.orders = s.orders[1:]
			s.mu.Unlock()
			write(w, o)
			return
		}
		wake := s.wake
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			write(w, wire.Orders{Interval: 1, Time: time.Now().UnixMilli()})
			return
		case <-wake:
		}
	}
}

// Order answers the next checkin.
func (s *Suite) Order(o wire.Orders) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.Time, o.Interval = time.Now().UnixMilli(), 1
	s.orders = append(s.orders, o)
	close(s.wake)
	s.wake = make(chan struct{})
}

// Configure orders a document.
func (s *Suite) Configure(document string) (sha string) {
	sum := sha256.Sum256([]byte(document))
	sha = hex.EncodeToString(sum[:])
	s.Order(wire.Orders{Config: &wire.Config{Version: time.Now().UnixNano(), SHA256: sha, Document: document}})
	return sha
}

var unzstd, _ = zstd.NewReader(nil)

func (s *Suite) batch(w http.ResponseWriter, r *http.Request) {
	id, err := wire.ParseBatch(r.Header.Get(wire.HeaderBatch))
	body, _ := io.ReadAll(r.Body)
	if err != nil || len(body) > wire.MaxBody {
		fail(w, http.StatusBadRequest, wire.CodeMalformed, "no batch")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.URL.Path + id.Epoch
	if id.Seq <= s.last[name] {
		s.doubled++
		return
	}
	switch r.URL.Path {
	case wire.PathLogs:
		if s.records, err = intake.DecodeBatch(s.records, body); err == nil && r.Header.Get("Content-Type") != wire.TypeRecords {
			s.t.Errorf("content type %s", r.Header.Get("Content-Type"))
		}
	case wire.PathMetrics:
		err = s.metrics(body)
	case wire.PathInventory:
		var text []byte
		var v wire.Inventory
		if text, err = unzstd.DecodeAll(body, nil); err == nil {
			err = json.Unmarshal(text, &v)
		}
		s.inventory = append(s.inventory, v)
	}
	if err != nil {
		fail(w, http.StatusBadRequest, wire.CodeMalformed, err.Error())
		return
	}
	s.last[name] = id.Seq
	if s.dropAfter {
		s.dropAfter = false
		panic(http.ErrAbortHandler)
	}
}

// metrics reads a WriteRequest of remote write 1.0.
func (s *Suite) metrics(body []byte) error {
	text, err := s2.Decode(nil, body)
	if err != nil {
		return err
	}
	return eachField(text, func(_ int, series []byte, _ uint64) error {
		var labels []string
		var sample Sample
		err := eachField(series, func(n int, b []byte, _ uint64) error {
			if n == 1 {
				var name, value string
				_ = eachField(b, func(n int, b []byte, _ uint64) error {
					if n == 1 {
						name = string(b)
					} else {
						value = string(b)
					}
					return nil
				})
				labels = append(labels, name+"="+value)
				return nil
			}
			return eachField(b, func(n int, _ []byte, v uint64) error {
				if n == 1 {
					sample.Value = fromBits(v)
				} else {
					sample.At = int64(v)
				}
				return nil
			})
		})
		if !slices.IsSorted(labels) {
			s.t.Errorf("labels are not sorted: %s", labels)
		}
		name := strings.Join(labels, ",")
		s.samples[name] = append(s.samples[name], sample)
		return err
	})
}

// AnswerWith makes a path answer a status until it is called with 0.
func (s *Suite) AnswerWith(path string, status int) {
	s.mu.Lock()
	s.answers[path] = status
	s.mu.Unlock()
}

// LoseNextAnswer stores the next batch and breaks the connection then.
func (s *Suite) LoseNextAnswer() {
	s.mu.Lock()
	s.dropAfter = true
	s.mu.Unlock()
}

// Revoke refuses the agent from now on.
func (s *Suite) Revoke(on bool) {
	s.mu.Lock()
	s.revoked = on
	s.mu.Unlock()
}

// Records are what came as logs.
func (s *Suite) Records() []intake.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Series are the samples of the series whose text has all parts, such as
// "__name__=mem_used".
func (s *Suite) Series(parts ...string) (out []Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, samples := range s.samples {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(name, p) }) {
			out = append(out, samples...)
		}
	}
	return out
}

// Names are all series.
func (s *Suite) Names() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.samples {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Checkins are all that came.
func (s *Suite) Checkins() []wire.Checkin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.checkins)
}

// Inventories are all that came.
func (s *Suite) Inventories() []wire.Inventory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.inventory)
}

// Doubled is how many batches came again and were not stored.
func (s *Suite) Doubled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubled
}

// Publish signs and offers a package.
func (s *Suite) Publish(p wire.Package, data []byte) wire.Package {
	sum := sha256.Sum256(data)
	p.SHA256, p.Size = hex.EncodeToString(sum[:]), int64(len(data))
	p.URL = wire.PathPackages + p.SHA256
	p.Signature = ed25519.Sign(s.release, p.Signed())
	s.mu.Lock()
	s.packages[p.SHA256] = data
	s.mu.Unlock()
	return p
}

// Tamper changes the bytes of a package that was published.
func (s *Suite) Tamper(p wire.Package) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := slices.Clone(s.packages[p.SHA256])
	data[len(data)/2] ^= 1
	s.packages[p.SHA256] = data
}

// Await waits until f is true.
func Await(t testing.TB, within time.Duration, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// Wire is a way to an address that can be cut.
type Wire struct {
	Addr string

	mu    sync.Mutex
	cut   bool
	conns map[net.Conn]bool
}

// NewWire leads to the address of a URL.
func NewWire(t testing.TB, url string) *Wire { return NewWireOn(t, "127.0.0.1:0", url) }

// NewWireOn does, from an address of this host.
func NewWireOn(t testing.TB, address, url string) *Wire {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	w := &Wire{Addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); w.Cut(true) })
	to := strings.TrimPrefix(url, "https://")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c, to)
		}
	}()
	return w
}

// URL is the way in.
func (w *Wire) URL() string { return "https://" + w.Addr }

// Cut breaks what is open and refuses what comes, until Cut(false).
func (w *Wire) Cut(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = on
	if on {
		for c := range w.conns {
			_ = c.Close()
		}
		clear(w.conns)
	}
}

func (w *Wire) carry(in net.Conn, to string) {
	w.mu.Lock()
	cut := w.cut
	w.mu.Unlock()
	if cut {
		_ = in.Close()
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		_ = in.Close()
		return
	}
	w.mu.Lock()
	w.conns[in], w.conns[out] = true, true
	w.mu.Unlock()
	go func() { _, _ = io.Copy(out, in); _ = out.Close(); _ = in.Close() }()
	_, _ = io.Copy(in, out)
	_ = in.Close()
	_ = out.Close()
}
