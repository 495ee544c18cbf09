package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// browser is a client with cookies and an address of its own.
type browser struct {
	s       *suite
	http    *http.Client
	cookies map[string]string
}

// browserAt makes one that comes from the loopback address.
func (s *suite) browserAt(address string) *browser {
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	return &browser{s: s, cookies: map[string]string{},
		http: &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}, Timeout: 30 * time.Second}}
}

// signInAnswer is what signing in answers, good or bad.
type signInAnswer struct {
	Status int    `json:"-"`
	Code   string `json:"code"`
	Token  string `json:"token"`
}

// signIn tries to sign in and keeps the device cookie.
func (b *browser) signIn(username, password string) (signInAnswer, error) {
	body, err := json.Marshal(map[string]string{"username": username, "password": password})
	if err != nil {
		return signInAnswer{}, err
	}
	req, err := http.NewRequest(http.MethodPost, b.s.url+"/api/v1/auth/login", bytes.NewReader(body))
	if err != nil {
		return signInAnswer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return signInAnswer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return signInAnswer{}, err
	}
	answer := signInAnswer{Status: resp.StatusCode}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fmt.Errorf("the answer %d is not JSON: %w: %s", resp.StatusCode, err, text)
	}
	for _, c := range resp.Cookies() {
		if c.Name == "icewatch_device" {
			b.cookies[c.Name] = c.Value
		}
	}
	return answer, nil
}

// TestTenThousandSignIns guesses ten thousand passwords from many addresses,
// at the administrator's account and at others. Whoever guesses is locked out,
// at next to no cost; the right user, on a browser he has used before, signs in
// all the while; and our own rules raise the alert.
func TestTenThousandSignIns(t *testing.T) {
	t.Parallel()
	const attempts, addresses, workers = 10_000, 200, 16
	s := newSuite(t, "")
	home := s.browserAt("127.0.0.1")
	if a, err := home.signIn("admin", password); err != nil || a.Status != http.StatusOK || home.cookies["icewatch_device"] == "" {
		t.Fatalf("the right user, before: %+v, cookies %v, %v", a, home.cookies, err)
	}
	before := s.metrics()

	var statuses [600]atomic.Int64
	var next, busy atomic.Int64
	var wg sync.WaitGroup
	started := time.Now()
	for range workers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= attempts {
					return
				}
				name := "admin"
				if i%2 == 1 {
					name = fmt.Sprintf("user%d", i%500)
				}
				a, err := s.browserAt(fmt.Sprintf("127.7.%d.%d", i%addresses/100, i%addresses%100+1)).signIn(name, fmt.Sprint("guess-", i))
				if err != nil {
					t.Errorf("attempt %d: %v", i, err)
					return
				}
				statuses[a.Status].Add(1)
				if a.Code == "busy" {
					busy.Add(1)
				}
			}
		})
	}
	// The right user comes and goes while it lasts.
	var slowest time.Duration
	visits := 0
	for next.Load() < attempts {
		start := time.Now()
		a, err := home.signIn("admin", password)
		if err != nil || a.Status != http.StatusOK || a.Token == "" {
			t.Fatalf("the right user, after %d attempts of others: %+v, %v", next.Load(), a, err)
		}
		slowest = max(slowest, time.Since(start))
		visits++
		time.Sleep(time.Second)
	}
	wg.Wait()
	took := time.Since(started)
	if a, err := home.signIn("admin", password); err != nil || a.Status != http.StatusOK {
		t.Errorf("the right user, after: %+v, %v", a, err)
	}
	if visits < 3 || slowest > 5*time.Second {
		t.Errorf("the right user signed in %d times, the slowest took %s", visits, slowest)
	}

	// Whoever guessed is locked out, whatever he knows by now.
	if n := statuses[http.StatusOK].Load(); n > 0 {
		t.Errorf("%d guesses got in", n)
	}
	if n := statuses[http.StatusTooManyRequests].Load() - busy.Load(); n < attempts/3 {
		t.Errorf("only %d of %d attempts met a lock", n, attempts)
	}
	if a, err := s.browserAt("127.7.0.1").signIn("admin", password); err != nil || a.Status != http.StatusTooManyRequests || a.Code != "locked" {
		t.Errorf("the attacker with the right password: %+v, %v", a, err)
	}

	// Guessing cost next to nothing: hardly a password was hashed.
	after := s.metrics()
	hashes := after["icewatch_password_hashes_total"] - before["icewatch_password_hashes_total"]
	seconds := after["icewatch_password_hash_seconds_total"] - before["icewatch_password_hash_seconds_total"]
	own := float64(visits + 1)
	t.Logf("%d attempts in %s: %.0f passwords hashed in %.1f s, %.0f of them the right user's; %d met a lock; the right user's slowest of %d took %s",
		attempts, took.Round(time.Millisecond), hashes, seconds, own, statuses[http.StatusTooManyRequests].Load()-busy.Load(), visits, slowest.Round(time.Millisecond))
	if hashes-own > 1000 {
		t.Errorf("%.0f passwords were hashed for strangers", hashes-own)
	}
	if seconds > took.Seconds()*1.5 {
		t.Errorf("hashing took %.1f s of %s", seconds, took)
	}

	// The locks can be seen, and an administrator can lift one.
	locks, err := s.admin.Raw(context.Background(), "/api/v1/locks", url.Values{}, 0)
	if err != nil || len(locks) < addresses/2 {
		t.Errorf("%d locks are listed: %v", len(locks), err)
	}

	// Our own rules saw it.
	eventually(t, 60*time.Second, "an alert on password guessing", func() error {
		alerts, err := s.admin.Raw(context.Background(), "/api/v1/alerts", url.Values{}, 0)
		if err != nil {
			return err
		}
		for _, a := range alerts {
			if bytes.Contains(a, []byte("icewatch_bruteforce")) || bytes.Contains(a, []byte("945bbbee-2f09-40d2-be56-a0d58ffd3ada")) ||
				bytes.Contains(a, []byte("b73581cd-92dd-4c92-86cb-bb92d5497f78")) {
				return nil
			}
		}
		return fmt.Errorf("%d alerts, none of them that", len(alerts))
	})
}

// The command line goes on with a second factor: a code of the authenticator
// or a recovery code.
func TestTheCommandLineAsksForASecondFactor(t *testing.T) {
	t.Parallel()
	s := newSuite(t, "")
	ordered(t, s, "POST", "/api/v1/users", `{"username":"li","password":"first-Harbour-19","roles":["analyst"],"tenants":["*"]}`)
	session := s.newcomer("li", "first-Harbour-19", "second-Harbour-20")
	var begun struct{ ID, Secret string }
	s.call(session, "POST", "/api/v1/me/factors/totp", `{}`, 200, &begun)
	code, err := totp.GenerateCode(begun.Secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var done struct {
		Codes []string `json:"recovery_codes"`
	}
	s.call(session, "POST", "/api/v1/me/factors/totp/confirm", fmt.Sprintf(`{"id":%q,"code":%q}`, begun.ID, code), 200, &done)
	if len(done.Codes) == 0 {
		t.Fatal("no recovery codes")
	}
	login := func(args ...string) (string, error) {
		cmd := exec.Command(filepath.Join(bin, "icectl"), append([]string{"--url", s.url, "login", "-u", "li", "--password-stdin"}, args...)...)
		cmd.Env = append(cleanEnv(), "HOME="+s.dir, "LANG=C.UTF-8")
		cmd.Stdin = strings.NewReader("second-Harbour-20\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, c := range []struct {
		what, says string
		args       []string
		ok         bool
	}{
		{"no code", "--code", nil, false},
		{"a wrong code", "did not take the code", []string{"--code", "000000"}, false},
		{"a used code", "did not take the code", []string{"--code", code}, false},
		{"a recovery code", "Signed in", []string{"--code", done.Codes[0]}, true},
		{"a used recovery code", "did not take the code", []string{"--code", done.Codes[0]}, false},
	} {
		out, err := login(c.args...)
		if (err == nil) != c.ok || !strings.Contains(out, c.says) {
			t.Errorf("%s: %v: %s", c.what, err, out)
		}
	}
}
