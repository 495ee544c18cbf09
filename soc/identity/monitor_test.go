package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

const firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// used makes a user with a month of habits: mornings, one network, Chrome.
func used(t *testing.T, s *Service, c *clock) (User, Session) {
	t.Helper()
	u := settle(t, s, "li", []string{RoleViewer}, "a")
	var sess Session
	for range settled + 5 {
		c.move(24 * time.Hour)
		var err error
		if sess, err = try(t, s, LoginRequest{Address: "192.0.2.10", Device: sess.Device}); err != nil || len(sess.Findings) > 0 {
			t.Fatalf("a usual sign-in: %q, %v", sess.Findings, err)
		}
	}
	c.move(time.Hour)
	return u, sess
}

func TestUnusualSignIns(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	u, _ := used(t, s, c)
	f := func(after time.Duration, req LoginRequest, want ...string) Session {
		t.Helper()
		c.move(after)
		sess, err := try(t, s, req)
		if err != nil || !slices.Equal(sess.Findings, want) {
			t.Errorf("%+v: %q, %v, want %q", req, sess.Findings, err, want)
		}
		return sess
	}
	f(0, LoginRequest{Address: "192.0.2.77"}) // the same network and browser
	f(time.Hour, LoginRequest{Address: "192.0.2.10", UserAgent: firefox}, FindingDevice)
	f(0, LoginRequest{Address: "203.0.113.5", UserAgent: firefox}, FindingPlace, FindingTwo)
	last := f(12*time.Hour, LoginRequest{Address: "203.0.113.6", UserAgent: firefox}, FindingHour)
	if !slices.Equal(last.Alarming, nil) {
		t.Errorf("what is to be recorded only raises an alert: %q", last.Alarming)
	}

	a, err := s.Accesses(t.Context(), u.ID)
	if err != nil || len(a.Recent) != settled+5+4 || !slices.Equal(a.Recent[0].Findings, []string{FindingHour}) || a.Recent[0].Client != "Firefox 140, Windows" {
		t.Fatalf("%d accesses, %+v, %v", len(a.Recent), a.Recent[0], err)
	}
	counts := map[string]int{}
	for _, h := range a.Habits {
		counts[h.Kind+" "+h.Value] = h.Count
	}
	if counts["network 192.0.2.0/24"] != settled+5+2 || counts["client Chrome 140, Linux"] != settled+5+1 || counts["channel password"] != settled+5+4 {
		t.Errorf("%v", counts)
	}
}

// mustSession signs li in from where he usually does.
func mustSession(t *testing.T, s *Service) Session {
	t.Helper()
	sess, err := try(t, s, LoginRequest{Address: "192.0.2.10"})
	if err != nil {
		t.Fatal(err)
	}
	return sess
}

func TestAbnormalPolicy(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	u, usual := used(t, s, c)
	p := DefaultSessions()
	p.OnAbnormal.NewDevice = ActNotify
	s.policies.sessions = fixed(p)
	if sess, err := try(t, s, LoginRequest{Address: "192.0.2.10", UserAgent: firefox}); err != nil || !slices.Equal(sess.Alarming, []string{FindingDevice}) {
		t.Errorf("notify: %+v, %v", sess, err)
	}
	p.OnAbnormal.NewNetwork = ActFactor
	s.policies.sessions = fixed(p)
	var abnormal *AbnormalError
	if _, err := try(t, s, LoginRequest{Address: "203.0.113.5"}); !errors.As(err, &abnormal) || !slices.Contains(abnormal.Findings, FindingPlace) {
		t.Errorf("factor, without one: %v", err)
	}
	if _, err := s.Enter(t.Context(), u.ID, Entrance{Address: "203.0.113.9", UserAgent: firefox, Channel: ChannelOIDC}); err != nil {
		t.Errorf("factor, at an identity provider: %v", err)
	}
	_, token, err := s.CreateToken(t.Context(), NewToken{Name: "mine", Scopes: []string{ScopeRead}, Owner: principal(t, s, mustSession(t, s))})
	if err != nil || !valid(t, s, token) {
		t.Fatal(err)
	}
	p.OnAbnormal.NewNetwork = ActLock
	s.policies.sessions = fixed(p)
	var locked *LockedError
	if _, err := try(t, s, LoginRequest{Address: "198.51.100.5"}); !errors.As(err, &locked) || !locked.Held || len(locked.Findings) == 0 {
		t.Errorf("lock: %v", err)
	}
	if valid(t, s, usual.Token) {
		t.Error("the user is locked, and his session open")
	}
	if valid(t, s, token) {
		t.Error("the user is locked, and his token good")
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.10", Device: usual.Device}); !errors.As(err, &locked) {
		t.Errorf("the user himself, locked: %v", err)
	}
	if _, err := s.Unlock(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := try(t, s, LoginRequest{Address: "192.0.2.10"}); err != nil {
		t.Errorf("unlocked: %v", err)
	}
	if !valid(t, s, token) {
		t.Error("the user is unlocked, and his token is not good")
	}
	a, err := s.Accesses(t.Context(), u.ID)
	if err != nil || !slices.ContainsFunc(a.Recent, func(a Access) bool { return a.Event == accessRefused }) {
		t.Errorf("what was refused is not kept: %v", err)
	}
}

// A session that is used in two networks within a minute is in two hands.
func TestRoamingSession(t *testing.T) {
	t.Parallel()
	for act, open := range map[string]bool{ActRecord: true, ActNotify: true, ActFactor: false, ActLock: false} {
		s, c := fresh(t)
		var told []Abnormal
		s.OnAbnormal(func(_ context.Context, a Abnormal) { told = append(told, a) })
		p := DefaultSessions()
		p.OnAbnormal.TwoNetworks = act
		s.policies.sessions = fixed(p)
		settle(t, s, "li", []string{RoleViewer}, "a")
		sess, err := try(t, s, LoginRequest{Address: "192.0.2.10"})
		if err != nil {
			t.Fatal(err)
		}
		from := func(address string) bool {
			t.Helper()
			_, err := s.Authenticate(t.Context(), sess.Token, address)
			if err != nil && !errors.Is(err, ErrUnauthenticated) {
				t.Fatal(err)
			}
			return err == nil
		}
		if !from("192.0.2.11") || len(told) > 0 {
			t.Errorf("%s: in the same network: %+v", act, told)
		}
		c.move(2 * time.Minute)
		if !from("203.0.113.1") || len(told) > 0 {
			t.Errorf("%s: after a journey: %+v", act, told)
		}
		c.move(10 * time.Second)
		if got := from("192.0.2.10"); got != open || len(told) != 1 || told[0].Action != act || told[0].Address != "192.0.2.10" {
			t.Errorf("%s: back within seconds: goes on %v, %+v", act, got, told)
		}
		if got := from("203.0.113.1"); got != open || len(told) != 1 {
			t.Errorf("%s: and again: goes on %v, told %d times", act, got, len(told))
		}
		if held := len(s.Locks()) == 1; held != (act == ActLock) {
			t.Errorf("%s: the account is locked: %v", act, held)
		}
	}
}

func TestHabitsAreBounded(t *testing.T) {
	t.Parallel()
	s, c := fresh(t)
	u := settle(t, s, "li", []string{RoleViewer}, "a")
	for i := range maxAccesses + 30 {
		c.move(time.Minute)
		if _, err := try(t, s, LoginRequest{Address: fmt.Sprintf("10.%d.0.1", i), UserAgent: fmt.Sprint("client-", i)}); err != nil {
			t.Fatal(err)
		}
	}
	a, err := s.Accesses(t.Context(), u.ID)
	if err != nil || len(a.Recent) > maxAccesses || len(a.Habits) > 2*maxHabits+24+1 {
		t.Errorf("%d accesses, %d habits, %v", len(a.Recent), len(a.Habits), err)
	}
}
