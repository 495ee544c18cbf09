package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"
)

// RateLimits is the setting of how many requests one client may make. Intake
// is not bound by it: what shippers may send is bounded by the bodies' memory
// and by the bus. Nor is the sign-in itself, where soc/identity holds off who
// guesses, nor the local socket.
type RateLimits struct {
	Enabled bool `json:"enabled"`
	// Anonymous holds for each address, over the requests that show no valid
	// credential. A whole office may share one address.
	Anonymous Rate `json:"anonymous"`
	// SignedIn holds for each user and each API token.
	SignedIn Rate `json:"signed_in"`
}

// Rate is a token bucket: Burst requests at once, refilled by PerSecond.
type Rate struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst"`
}

// DefaultRateLimits stop a script that runs wild and nobody who works.
var DefaultRateLimits = RateLimits{Enabled: true, Anonymous: Rate{PerSecond: 50, Burst: 500}, SignedIn: Rate{PerSecond: 200, Burst: 2000}}

// Check says what is wrong with the limits.
func (l RateLimits) Check() error {
	var errs []error
	for name, r := range map[string]Rate{"anonymous": l.Anonymous, "signed_in": l.SignedIn} {
		if !(r.PerSecond >= 0.1 && r.PerSecond <= 100_000) {
			errs = append(errs, fmt.Errorf("%s.per_second: %v: want 0.1 to 100000", name, r.PerSecond))
		}
		if r.Burst < 1 || r.Burst > 1_000_000 {
			errs = append(errs, fmt.Errorf("%s.burst: %d: want 1 to 1000000", name, r.Burst))
		}
	}
	return errors.Join(errs...)
}

// maxLimited is how many clients a limiter tells apart at once. It bounds its
// memory to some 10 MB; beyond it new ones share one bucket, so that nobody
// escapes by changing his address.
const maxLimited = 1 << 16

// limiter holds the buckets of one kind of client. A bucket is kept as the
// time at which it would be full again (the generic cell rate algorithm), so a
// full bucket needs no memory.
type limiter struct {
	mu      sync.Mutex
	full    map[string]time.Time
	cleared time.Time
}

// verdict is what became of one request.
type verdict struct {
	ok    bool
	left  int           // requests that may follow at once
	reset time.Duration // until the bucket is full, or, where !ok, until the next request
}

// take takes one request out of the client's bucket.
func (l *limiter) take(client string, r Rate, now time.Time) verdict {
	each := time.Duration(float64(time.Second) / r.PerSecond)
	most := time.Duration(r.Burst) * each
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full == nil {
		l.full = map[string]time.Time{}
	}
	at, known := l.full[client]
	if !known && len(l.full) >= maxLimited {
		l.clear(now)
		if len(l.full) >= maxLimited {
			client = ""
			at = l.full[client]
		}
	}
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) > most {
		// The limit was lowered; it must not keep anybody out for longer than
		// the new one would.
		at = now.Add(most)
		l.full[client] = at
	}
	next := at.Add(each)
	if over := next.Sub(now) - most; over > 0 {
		return verdict{reset: over}
	}
	l.full[client] = next
	return verdict{ok: true, left: int((most - next.Sub(now)) / each), reset: next.Sub(now)}
}

// clear forgets full buckets, at most once a second: it looks at all of them.
func (l *limiter) clear(now time.Time) {
	if now.Sub(l.cleared) < time.Second {
		return
	}
	l.cleared = now
	for k, at := range l.full {
		if !at.After(now) {
			delete(l.full, k)
		}
	}
}

// limit takes a request out of its client's bucket and answers 429 where that
// is empty. It tells whether it answered.
func (s *Server) limit(c *fiber.Ctx, st *reqState) (answered bool, err error) {
	if s.deps.RateLimits == nil || st.address == localAddress || st.intake || c.Path() == loginPath {
		return false, nil
	}
	limits := s.deps.RateLimits()
	if !limits.Enabled {
		return false, nil
	}
	l, r, name, client := &s.anonymous, limits.Anonymous, "anonymous", st.address
	if p := st.principal; p != nil {
		l, r, name, client = &s.signedIn, limits.SignedIn, "signed-in", p.UserID+"/"+p.TokenID
	}
	v := l.take(client, r, time.Now())
	seconds := func(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
	// draft-ietf-httpapi-ratelimit-headers-10
	window := max(1, seconds(time.Duration(float64(r.Burst)/r.PerSecond*float64(time.Second))))
	c.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", name, r.Burst, window))
	c.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", name, v.left, max(1, seconds(v.reset))))
	if v.ok {
		return false, nil
	}
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(max(1, seconds(v.reset))))
	s.discardBody(c)
	return true, writeProblem(c, http.StatusTooManyRequests, fmt.Sprintf("too many requests: %d at once and %g a second are allowed; wait as Retry-After says", r.Burst, r.PerSecond))
}
