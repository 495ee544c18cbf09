package api

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"icewatch/soc/identity"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	r := Rate{PerSecond: 2, Burst: 3}
	l := &limiter{}
	f := func(client string, after time.Duration, ok bool, left int, wait time.Duration) {
		t.Helper()
		now = now.Add(after)
		v := l.take(client, r, now)
		if v.ok != ok || v.left != left || !ok && v.reset != wait {
			t.Errorf("%s at %s: %+v; want %v, %d left, wait %s", client, now.Format("05.000"), v, ok, left, wait)
		}
	}
	f("a", 0, true, 2, 0)
	f("a", 0, true, 1, 0)
	f("a", 0, true, 0, 0)
	f("a", 0, false, 0, 500*time.Millisecond)
	f("b", 0, true, 2, 0)
	f("a", 200*time.Millisecond, false, 0, 300*time.Millisecond)
	f("a", 300*time.Millisecond, true, 0, 0)
	f("a", time.Hour, true, 2, 0)
	r = Rate{PerSecond: 0.1, Burst: 100}
	for range 100 {
		l.take("c", r, now)
	}
	r = Rate{PerSecond: 10, Burst: 1} // from now on
	f("c", 0, false, 0, 100*time.Millisecond)
	f("c", 100*time.Millisecond, true, 0, 0)
}

// TestLimiterIsBounded: clients without end neither fill the memory nor escape.
func TestLimiterIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l := &limiter{}
	r := Rate{PerSecond: 1, Burst: 10}
	passed := 0
	for i := range 4 * maxLimited {
		if l.take(strconv.Itoa(i), r, now).ok {
			passed++
		}
	}
	if len(l.full) > maxLimited+1 || passed > maxLimited+r.Burst {
		t.Errorf("%d buckets, %d requests passed", len(l.full), passed)
	}
	// Once their buckets are full again the early ones are forgotten.
	if v := l.take("late", r, now.Add(time.Minute)); !v.ok || v.left != 9 || len(l.full) != 1 {
		t.Errorf("after a minute: %+v, %d buckets", v, len(l.full))
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	limits := RateLimits{Enabled: true, Anonymous: Rate{PerSecond: 0.1, Burst: 3}, SignedIn: Rate{PerSecond: 0.1, Burst: 5}}
	s := newSuite(t, func(d *Deps) { d.RateLimits = func() RateLimits { return limits } })
	one, two := s.token("one", identity.ScopeRead), s.token("two", identity.ScopeRead)
	f := func(path, token string, want int) answer {
		t.Helper()
		var headers []string
		if token != "" {
			headers = bearer(token)
		}
		a := s.call("GET", path, "", headers...)
		if a.status != want {
			t.Errorf("GET %s: %d, want %d: %s", path, a.status, want, a.body)
		}
		return a
	}
	for range 3 {
		f("/api/v1/me", "", 401)
	}
	a := f("/api/v1/me", "", 429)
	if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 || n > 10 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	if p, l := a.header.Get("RateLimit-Policy"), a.header.Get("RateLimit"); p != `"anonymous";q=3;w=30` || l == "" || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("policy %q, limit %q, %v", p, l, a.header)
	}
	f("/api/v1/me", "nonsense", 429) // guessing tokens is anonymous
	f("/", "", 200)                  // the console's files are not counted
	for range 5 {
		f("/api/v1/me", one, 200) // the known are counted by themselves
	}
	f("/api/v1/me", one, 429)
	f("/api/v1/me", two, 200)
	limits.Enabled = false
	f("/api/v1/me", one, 200)
}

func TestRateLimitsCheck(t *testing.T) {
	t.Parallel()
	if err := DefaultRateLimits.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []RateLimits{{}, {Anonymous: Rate{1, 1}}, {Anonymous: Rate{1, 1}, SignedIn: Rate{-1, 1}}, {Anonymous: Rate{1, 0}, SignedIn: Rate{1, 1}}} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}

func BenchmarkLimiter(b *testing.B) {
	l := &limiter{}
	clients := make([]string, 10_000)
	for i := range clients {
		clients[i] = fmt.Sprint(i)
	}
	i := 0
	for b.Loop() {
		l.take(clients[i%len(clients)], DefaultRateLimits.SignedIn, time.Now())
		i++
	}
}
