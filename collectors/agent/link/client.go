package link

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"icewatch/collectors/agent/queue"
	"icewatch/collectors/fleet/wire"
)

// Client speaks for an enrolled host.
type Client struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	id    *Identity
	http  *http.Client
	first int // the URL that worked last

	limiter  *rate.Limiter
	waited   atomic.Int64 // nanoseconds that sending waited for the limit
	sent     atomic.Uint64
	attempts atomic.Uint64
}

// burst is how many bytes may be sent at once under a limit.
const burst = 256 << 10

// NewClient speaks with the identity of dir.
func NewClient(dir string, id *Identity, log *slog.Logger) (*Client, error) {
	c := &Client{dir: dir, log: log, limiter: rate.NewLimiter(rate.Inf, burst)}
	return c, c.use(id)
}

// Limit bounds what batches take, in bytes a second; 0 has no bound.
func (c *Client) Limit(bytesPerSecond int) {
	if bytesPerSecond <= 0 {
		c.limiter.SetLimit(rate.Inf)
		return
	}
	c.limiter.SetLimit(rate.Limit(bytesPerSecond))
}

// Waited is how long sending has waited for the limit.
func (c *Client) Waited() time.Duration { return time.Duration(c.waited.Load()) }

// Sent is how many bytes of batches were sent.
func (c *Client) Sent() uint64 { return c.sent.Load() }

// Identity is the one in use.
func (c *Client) Identity() *Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// use takes an identity, from the next connection on.
func (c *Client) use(id *Identity) error {
	pair, err := id.pair()
	if err != nil {
		return err
	}
	roots, err := id.roots()
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: id.ServerName, Certificates: []tls.Certificate{pair},
			ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		TLSHandshakeTimeout: 15 * time.Second,
		IdleConnTimeout:     2 * time.Minute,
		WriteBufferSize:     16 << 10,
		ReadBufferSize:      16 << 10,
		// A cut network shows within half a minute, not after TCP has given up.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Second, PingTimeout: 10 * time.Second},
	}}
	c.mu.Lock()
	old := c.http
	c.id, c.http = id, client
	c.mu.Unlock()
	if old != nil {
		old.CloseIdleConnections()
	}
	return nil
}

// each tries the suite's addresses, the one that worked last first. An answer of
// the suite, whatever it says, ends the search.
func (c *Client) each(ctx context.Context, f func(client *http.Client, url string) error) error {
	c.mu.Lock()
	client, urls, first := c.http, c.id.URLs, c.first
	c.mu.Unlock()
	var errs []error
	for i := range urls {
		n := (first + i) % len(urls)
		err := f(client, strings.TrimRight(urls[n], "/"))
		var refused *Refused
		if err == nil || errors.As(err, &refused) && refused.Status < 500 {
			c.mu.Lock()
			c.first = n
			c.mu.Unlock()
			return err
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// Checkin tells of the agent and waits for orders. sent is when it was sent, from
// which leases count.
func (c *Client) Checkin(ctx context.Context, checkin *wire.Checkin) (orders *wire.Orders, sent time.Time, err error) {
	body := wire.Encode(checkin)
	ctx, cancel := context.WithTimeout(ctx, wire.PollTime*3/2)
	defer cancel()
	err = c.each(ctx, func(client *http.Client, url string) error {
		orders, sent = &wire.Orders{}, time.Now()
		return post(ctx, client, url+wire.PathCheckin, body, orders)
	})
	return orders, sent, err
}

// Renew replaces the certificate by one over a new key.
func (c *Client) Renew(ctx context.Context) error {
	key, csr, err := newKey()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var answer wire.RenewAnswer
	body := wire.Encode(wire.RenewRequest{CSR: csr})
	if err := c.each(ctx, func(client *http.Client, url string) error {
		return post(ctx, client, url+wire.PathRenew, body, &answer)
	}); err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	if err := fits(answer.Certificate, key); err != nil {
		return fmt.Errorf("renew the certificate: %w", err)
	}
	old := c.Identity()
	id := *old
	if id.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return err
	}
	id.Certificate = append([][]byte{answer.Certificate}, answer.Chain...)
	if len(answer.CA) > 0 && !slices.ContainsFunc(id.CAs, func(ca []byte) bool { return bytes.Equal(ca, answer.CA) }) {
		id.CAs = [][]byte{answer.CA, old.CAs[0]} // Both, until the next renewal.
	}
	if len(answer.ReleaseKey) == ed25519.PublicKeySize {
		id.ReleaseKey = answer.ReleaseKey
	}
	if err := id.Save(c.dir); err != nil {
		return err
	}
	return c.use(&id)
}

// ErrPackage is why a package is not taken.
var ErrPackage = errors.New("the package is refused")

// maxPackage bounds an upgrade package, in bytes.
const maxPackage = 512 << 20

// Package fetches an upgrade package into a file of dir and checks it: the
// signature first, then size and hash of what came.
func (c *Client) Package(ctx context.Context, p *wire.Package, dir string) (path string, err error) {
	id := c.Identity()
	if len(id.ReleaseKey) != ed25519.PublicKeySize || !ed25519.Verify(id.ReleaseKey, p.Signed(), p.Signature) {
		return "", fmt.Errorf("%w: version %s (%s) is not signed by this suite's release key", ErrPackage, p.Version, short(p.SHA256))
	}
	if p.Size <= 0 || p.Size > maxPackage {
		return "", fmt.Errorf("%w: version %s has %d bytes", ErrPackage, p.Version, p.Size)
	}
	return c.fetch(ctx, dir, "version "+p.Version, p.SHA256, p.Size)
}

// Extension fetches the archive of an extension plug-in into a file of dir and checks size and
// hash; its signature is the business of whoever takes the file.
func (c *Client) Extension(ctx context.Context, e wire.Extension, dir string) (path string, err error) {
	return c.fetch(ctx, dir, "the plug-in "+e.Name+" "+e.Version, e.SHA256, e.Size)
}

// fetch fetches what is kept under a hash into a file of dir and checks size and hash.
func (c *Client) fetch(ctx context.Context, dir, what, hash string, size int64) (path string, err error) {
	f, err := os.CreateTemp(dir, ".upgrade-*")
	if err != nil {
		return "", fmt.Errorf("room for the package: %w", err)
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	err = c.each(ctx, func(client *http.Client, url string) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		sum.Reset()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+wire.PathPackages+hash, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return refusal(resp)
		}
		n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(resp.Body, size+1))
		if err == nil && n != size {
			err = fmt.Errorf("%w: %s came with %d bytes or more, not %d", ErrPackage, what, n, size)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
		return "", fmt.Errorf("%w: %s has the hash %s, not %s: it was changed on its way", ErrPackage, what, short(got), short(hash))
	}
	if err := errors.Join(f.Chmod(0o755), f.Sync()); err != nil {
		return "", err
	}
	return f.Name(), nil
}

func short(hash string) string { return hash[:min(12, len(hash))] }

// Feed is one kind of batches and where they go.
type Feed struct {
	Queue    *queue.Queue
	Path     string // wire.PathLogs …
	Type     string // content type
	Encoding string // content encoding; "" none
	// Aside keeps the body of a batch that the suite refuses for good.
	Aside func(b queue.Batch, why error)

	sent    atomic.Uint64 // items
	refused atomic.Uint64
	trouble atomic.Pointer[string]
}

// Sent is how many items the suite has acknowledged since the start, and how many
// it refused for good.
func (f *Feed) Sent() (items, refused uint64) { return f.sent.Load(), f.refused.Load() }

// Trouble is why the last attempt failed; "" where it did not.
func (f *Feed) Trouble() string {
	if s := f.trouble.Load(); s != nil {
		return *s
	}
	return ""
}

// Waits between attempts, each drawn between half of itself and itself.
const (
	firstWait = 500 * time.Millisecond
	lastWait  = 30 * time.Second
)

// Backoff is a growing wait.
type Backoff struct{ next time.Duration }

// Reset begins anew.
func (b *Backoff) Reset() { b.next = 0 }

// Wait waits, at least for least, and returns false where ctx ends before.
func (b *Backoff) Wait(ctx context.Context, least time.Duration) bool {
	b.next = min(max(2*b.next, firstWait), lastWait)
	d := max(b.next/2+rand.N(b.next/2), least)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// Send sends a feed's batches, one after another in their order, until ctx ends.
// A batch is forgotten when the suite has answered that it is durable there.
func (c *Client) Send(ctx context.Context, f *Feed) {
	var wait Backoff
	for ctx.Err() == nil {
		b, err := f.Queue.Next(ctx)
		if err != nil {
			if errors.Is(err, queue.ErrClosed) || ctx.Err() != nil {
				return
			}
			c.log.Error("the queue cannot be read", "path", f.Path, "error", err)
			if !wait.Wait(ctx, 0) {
				return
			}
			continue
		}
		for {
			err := c.batch(ctx, f, b)
			if err == nil {
				f.sent.Add(uint64(b.Items))
				break
			}
			if ctx.Err() != nil {
				return
			}
			var refused *Refused
			if errors.As(err, &refused) && (refused.Code == wire.CodeMalformed || refused.Code == wire.CodeTooLarge) {
				f.refused.Add(uint64(b.Items))
				c.log.Error("the suite refuses a batch for good; it is kept aside", "path", f.Path, "batch", b.ID(), "items", b.Items, "error", err)
				if f.Aside != nil {
					f.Aside(b, err)
				}
				break
			}
			text := err.Error()
			if old := f.trouble.Swap(&text); old == nil {
				c.log.Warn("a batch cannot be sent and waits", "path", f.Path, "batch", b.ID(), "error", err)
			}
			least := time.Duration(0)
			if refused != nil {
				least = refused.RetryAfter
				if refused.Code == wire.CodeRevoked || refused.Code == wire.CodeIdentity {
					least = max(least, lastWait)
				}
			}
			if !wait.Wait(ctx, least) {
				return
			}
		}
		wait.Reset()
		if f.trouble.Swap(nil) != nil {
			c.log.Info("batches are sent again", "path", f.Path)
		}
		if err := f.Queue.Ack(b); err != nil {
			c.log.Error("a batch was sent but cannot be noted as such; it may be sent once more", "batch", b.ID(), "error", err)
		}
	}
}

// batch sends one.
func (c *Client) batch(ctx context.Context, f *Feed, b queue.Batch) error {
	for left := len(b.Body); left > 0; left -= burst {
		start := time.Now()
		if err := c.limiter.WaitN(ctx, min(left, burst)); err != nil {
			return err
		}
		if d := time.Since(start); d > time.Millisecond {
			c.waited.Add(int64(d))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return c.each(ctx, func(client *http.Client, url string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+f.Path, bytes.NewReader(b.Body))
		if err != nil {
			return err
		}
		req.Header.Set(wire.HeaderBatch, b.ID())
		req.Header.Set("Content-Type", f.Type)
		if f.Encoding != "" {
			req.Header.Set("Content-Encoding", f.Encoding)
		}
		c.attempts.Add(1)
		err = do(client, req, nil)
		if err == nil {
			c.sent.Add(uint64(len(b.Body)))
		}
		return err
	})
}

// Close ends the connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.http.CloseIdleConnections()
}

// AsideDir keeps refused batches as files of a folder, at most bytes of them; what
// does not fit is named in the log alone.
func AsideDir(dir string, bytes int64, log *slog.Logger) func(queue.Batch, error) {
	return func(b queue.Batch, why error) {
		var have int64
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				have += info.Size()
			}
		}
		if have+int64(len(b.Body)) > bytes {
			log.Error("there is no room to keep a refused batch", "batch", b.ID(), "items", b.Items)
			return
		}
		err := os.MkdirAll(dir, 0o700)
		if err == nil {
			err = WriteFile(filepath.Join(dir, b.ID()+".batch"), b.Body, 0o600)
		}
		if err != nil {
			log.Error("a refused batch cannot be kept", "batch", b.ID(), "error", err)
		}
	}
}
