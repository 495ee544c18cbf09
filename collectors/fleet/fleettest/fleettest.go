// Package fleettest runs a fleet with its listener for tests, on SQLite in a folder of
// the test's own, and a bare client that speaks wire to it.
package fleettest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/listener"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
	"icewatch/soc/reach"
	"icewatch/soc/seal"
	"icewatch/soc/state"
)

// Database is roster.Database on a state.
type Database struct{ *state.DB }

// View implements roster.Database.
func (d Database) View(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	return d.Read.RunInTx(ctx, nil, fn)
}

// Change implements roster.Database.
func (d Database) Change(ctx context.Context, fn func(context.Context, bun.Tx) error) error {
	return d.RunInTx(ctx, nil, fn)
}

// Migrate implements roster.Database.
func (d Database) Migrate(ctx context.Context, name string, sqlite, _ fs.FS) error {
	return d.DB.Migrate(ctx, name, sqlite)
}

// Fleet is a fleet that runs.
type Fleet struct {
	*fleet.Service
	Listener *listener.Listener
	URL      string
	Box      *seal.Box
	dir      string
	scans    listener.Scans
	atOnce   int
	stop     func()
	ahead    atomic.Int64 // nanoseconds

	mu      sync.Mutex
	Records []intake.Record
	Samples map[string]int // by tenant
	Series  []metrics.Series
	Fail    error // what sinks answer
	Invents func(a fleet.Agent, inv *wire.Inventory) (string, error)
}

// Append implements intake.Sink.
func (f *Fleet) Append(_ context.Context, recs []intake.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		return f.Fail
	}
	f.Records = append(f.Records, recs...)
	return nil
}

// Lines are the records taken so far.
func (f *Fleet) Lines() []intake.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]intake.Record{}, f.Records...)
}

// Named are the samples of the series of a name that were taken so far (of the
// first 10,000 series).
func (f *Fleet) Named(name string) (out []metrics.Sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.Series {
		for _, l := range s.Labels {
			if l.Name == "__name__" && l.Value == name {
				out = append(out, s.Samples...)
			}
		}
	}
	return out
}

// Labelled tells whether a series with a label was taken (of the first 10,000).
func (f *Fleet) Labelled(name, value string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.Series, func(s metrics.Series) bool {
		return slices.ContainsFunc(s.Labels, func(l metrics.Label) bool { return l.Name == name && l.Value == value })
	})
}

type samples struct{ f *Fleet }

// Append implements metrics.Sink.
func (s samples) Append(_ context.Context, tenant string, series []metrics.Series) error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.f.Fail != nil {
		return s.f.Fail
	}
	s.f.Samples[tenant] += metrics.Count(series)
	if len(s.f.Series) < 10_000 {
		s.f.Series = append(s.f.Series, series...)
	}
	return nil
}

// Admin reaches everything.
var Admin = fleet.Asker{Name: "admin", Within: reach.All()}

// Start runs a fleet until the test ends.
func Start(t testing.TB) *Fleet {
	t.Helper()
	return StartScanning(t, nil)
}

// StartScanning runs a fleet that has a room of scans, until the test ends.
func StartScanning(t testing.TB, scans listener.Scans) *Fleet {
	t.Helper()
	return start(t, &Fleet{scans: scans})
}

// StartDeploying runs a fleet that deploys on so many hosts at a time, until the test ends.
func StartDeploying(t testing.TB, atOnce int) *Fleet {
	t.Helper()
	return start(t, &Fleet{atOnce: atOnce})
}

func start(t testing.TB, f *Fleet) *Fleet {
	t.Helper()
	f.dir, f.Box, f.Samples = t.TempDir(), seal.Ephemeral(fleet.Sealed()...), map[string]int{}
	f.open(t)
	t.Cleanup(func() { f.stop() })
	return f
}

// PackageFile is where an upgrade package lies.
func (f *Fleet) PackageFile(sum string) string { return filepath.Join(f.dir, "packages", sum) }

// Pass lets time pass for the fleet.
func (f *Fleet) Pass(d time.Duration) { f.ahead.Add(int64(d)) }

// Restart stops the fleet and starts it on the same data and address.
func (f *Fleet) Restart(t testing.TB) {
	t.Helper()
	f.stop()
	f.open(t)
}

func (f *Fleet) open(t testing.TB) {
	t.Helper()
	// Not of the test: what stops at its end stops in order.
	ctx, cancel := context.WithCancel(context.Background())
	db, err := state.Open(ctx, filepath.Join(f.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	f.Service, err = fleet.Open(ctx, fleet.Deps{Database: Database{db}, State: db, Box: f.Box, Packages: filepath.Join(f.dir, "packages"), AtOnce: f.atOnce,
		Tenant: func(slug string) bool { return slug == "egov" || slug == "seal" },
		URLs:   func() []string { return []string{f.URL} },
		Now:    func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) },
		Inventoried: func(_ context.Context, a fleet.Agent, inv *wire.Inventory) (string, error) {
			if f.Invents == nil {
				return "", nil
			}
			return f.Invents(a, inv)
		}})
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:0"
	if f.Listener != nil {
		address = f.Listener.Address().String()
	}
	f.Listener, err = listener.New(listener.Options{Listen: address, Zone: "default", Fleet: f.Service, Catalogue: &metrics.Catalogue{}, Samples: samples{f}, Held: metrics.Limits{Retention: 24 * time.Hour}, Scans: f.scans}, collectors.Deps{Sink: f})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Listener.Start(ctx); err != nil {
		t.Fatal(err)
	}
	f.URL = "https://" + f.Listener.Address().String()
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	f.stop = func() {
		f.stop = func() {}
		stopping, end := context.WithTimeout(context.Background(), 5*time.Second)
		defer end()
		err := f.Listener.Stop(stopping)
		cancel()
		running.Wait()
		if err := errors.Join(err, f.Service.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// Token makes an enrolment token of the tenant egov.
func (f *Fleet) Token(t testing.TB, d fleet.TokenDraft) wire.Token {
	t.Helper()
	if d.Tenant == "" {
		d.Tenant = "egov"
	}
	made, err := f.CreateToken(context.Background(), Admin, d)
	if err != nil {
		t.Fatal(err)
	}
	token, err := wire.ParseToken(made.Text)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Client is an agent's side of the wire.
type Client struct {
	URL   string
	ID    string
	Roots *x509.CertPool
	Cert  *tls.Certificate
	HTTP  *http.Client
	key   *ecdsa.PrivateKey
	Token wire.Token
}

// Status is an answer that is no success.
type Status struct {
	Code int
	Body wire.Error
}

// Error implements error.
func (s *Status) Error() string { return fmt.Sprintf("%d %s: %s", s.Code, s.Body.Code, s.Body.Detail) }

// NewClient makes a client that is not enrolled and trusts the token's CA alone.
func NewClient(token wire.Token) (*Client, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &Client{URL: token.URLs[0], key: key, Token: token}
	c.HTTP = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, // the pin below is the check
		VerifyConnection: func(cs tls.ConnectionState) error {
			for _, p := range cs.PeerCertificates {
				if sum := sha256.Sum256(p.Raw); hex.EncodeToString(sum[:]) == token.CA {
					pool := x509.NewCertPool()
					pool.AddCert(p)
					_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool})
					return err
				}
			}
			return errors.New("the server's chain lacks the CA of the token")
		}}}}
	return c, err
}

// Enrol asks for an identity and takes it.
func (c *Client) Enrol(ctx context.Context, facts wire.Facts) error {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, c.key)
	if err != nil {
		return err
	}
	var a wire.EnrolAnswer
	if err := c.Call(ctx, wire.PathEnrol, wire.EnrolRequest{Secret: c.Token.Secret, CSR: csr, Machine: facts.Machine, Facts: facts, Version: "1.0.0"}, &a); err != nil {
		return err
	}
	c.ID = a.Agent
	return c.take(a.Certificate, a.CA, a.ServerName)
}

func (c *Client) take(certificate, authority []byte, name string) error {
	ca, err := x509.ParseCertificate(authority)
	if err != nil {
		return err
	}
	c.HTTP.CloseIdleConnections()
	c.Roots = x509.NewCertPool()
	c.Roots.AddCert(ca)
	c.Cert = &tls.Certificate{Certificate: [][]byte{certificate}, PrivateKey: c.key}
	c.HTTP = &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: c.Roots, ServerName: name, Certificates: []tls.Certificate{*c.Cert}}}}
	return nil
}

// Renew takes a new certificate over a new key.
func (c *Client) Renew(ctx context.Context) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	var a wire.RenewAnswer
	if err := c.Call(ctx, wire.PathRenew, wire.RenewRequest{CSR: csr}, &a); err != nil {
		return err
	}
	c.key = key
	return c.take(a.Certificate, a.CA, c.HTTP.Transport.(*http.Transport).TLSClientConfig.ServerName)
}

// Call posts JSON and reads JSON.
func (c *Client) Call(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, path, "", wire.Encode(in), out)
}

// Batch posts a batch.
func (c *Client) Batch(ctx context.Context, path, batch string, data []byte) error {
	return c.do(ctx, path, batch, data, nil)
}

func (c *Client) do(ctx context.Context, path, batch string, data []byte, out any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	if batch != "" {
		r.Header.Set(wire.HeaderBatch, batch)
	}
	res, err := c.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		s := &Status{Code: res.StatusCode}
		if err := json.Unmarshal(body, &s.Body); err != nil {
			return fmt.Errorf("%s: %q", res.Status, body)
		}
		return s
	}
	if res.ProtoMajor != 2 {
		return fmt.Errorf("the protocol is %s", res.Proto)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

// Checkin asks once.
func (c *Client) Checkin(ctx context.Context, in wire.Checkin) (wire.Orders, error) {
	var o wire.Orders
	err := c.Call(ctx, wire.PathCheckin, in, &o)
	return o, err
}
