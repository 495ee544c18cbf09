package weak

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

func TestLedgerCountsOverRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Now()
	for i := range 5 {
		l, err := OpenLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		l.now = func() time.Time { return now }
		ok, err := l.Take("10.0.0.1:22/tcp/root", 3, time.Hour)
		if err != nil || ok != (i < 3) {
			t.Fatalf("attempt %d: %v, %v", i+1, ok, err)
		}
		if ok, _ := l.Take("10.0.0.1:22/tcp/other"+fmt.Sprint(i), 3, time.Hour); !ok {
			t.Fatal("accounts are counted together")
		}
		_ = l.Close() // A kill leaves the file as it is now, too.
	}
	l, err := OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.now = func() time.Time { return now.Add(2 * time.Hour) }
	if ok, _ := l.Take("10.0.0.1:22/tcp/root", 3, time.Hour); !ok {
		t.Error("the window is over and the account is not tried again")
	}
}

// portal locks an account after most wrong passwords.
func portal(password string, most int) (http.Handler, map[string]int) {
	wrong := map[string]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := `<html>%s<form method="post" action="/login"><input name="user"><input type="password" name="pw"><input type="hidden" name="csrf" value="x"></form>`
		switch {
		case r.URL.Path == "/" || r.Method == http.MethodGet && r.URL.Path == "/login":
			fmt.Fprintf(w, page, "")
		case r.Method == http.MethodPost && r.URL.Path == "/login":
			user := r.FormValue("user")
			if r.FormValue("csrf") != "x" {
				http.Error(w, "token", http.StatusForbidden)
				return
			}
			if wrong[user] >= most {
				fmt.Fprintf(w, page, "账号已锁定")
				return
			}
			if user == "admin" && r.FormValue("pw") == password {
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
				http.Redirect(w, r, "/home", http.StatusFound)
				return
			}
			wrong[user]++
			fmt.Fprintf(w, page, "用户名或密码错误")
		case r.URL.Path == "/home":
			if c, err := r.Cookie("session"); err != nil || c.Value != "1" {
				http.Redirect(w, r, "/login", http.StatusFound)
				return
			}
			fmt.Fprint(w, "<html>Good morning</html>")
		default:
			http.NotFound(w, r)
		}
	}), wrong
}

func try(t *testing.T, h http.Handler, lockout wire.Lockout) (found []wire.Weakness, attempts []wire.Attempts) {
	server := httptest.NewServer(h)
	defer server.Close()
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, _ := OpenLedger("")
	a := netip.MustParseAddrPort(server.Listener.Addr().String())
	e := &Env{Dialer: scope.NewDialer(s, nil, time.Second), Ledger: ledger, Lockout: lockout, Found: func(w wire.Weakness) { found = append(found, w) }, Attempts: func(a wire.Attempts) { attempts = append(attempts, a) }}
	e.Service(context.Background(), check.Target{Address: a.Addr(), Service: &wire.Service{Port: int(a.Port()), Protocol: "tcp", Name: "http"}})
	return found, attempts
}

func TestFormsAreTriedWithinTheLimit(t *testing.T) {
	t.Parallel()
	weak, _ := portal("123456", 5)
	found, attempts := try(t, weak, wire.Lockout{})
	if len(found) != 1 || found[0].Check != "weak-password-http" || strings.Contains(found[0].Evidence, "123456") || len(attempts) == 0 || attempts[0].Count != 2 || attempts[0].Stopped != "found" {
		t.Errorf("%+v, attempts %+v", found, attempts)
	}
	strong, wrong := portal("correct horse battery staple", 5)
	found, _ = try(t, strong, wire.Lockout{Attempts: 2})
	if len(found) != 0 || wrong["admin"] != 2 {
		t.Errorf("%+v, %d attempts on admin", found, wrong["admin"])
	}
	// An account that locks sooner than the run allows: one sign, and no more of this service.
	strict, wrong := portal("correct horse battery staple", 1)
	found, attempts = try(t, strict, wire.Lockout{Attempts: 50})
	if len(found) != 0 || wrong["root"] != 0 || wrong["test"] != 0 || attempts[0].Stopped != "locked" {
		t.Errorf("%+v, wrong %v, attempts %+v", found, wrong, attempts)
	}
}

func FuzzForm(f *testing.F) {
	f.Add([]byte(`<form method=post action=/x><input name=u><input type=password name=p>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = readForm(mustURL("http://127.0.0.1/"), body)
	})
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
