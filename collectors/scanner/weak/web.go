package weak

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/discover"
)

// form is a place to sign in.
type form struct {
	action         *url.URL
	values         url.Values
	user, password string // names of the fields
}

type answer struct {
	status   int
	location string
	body     []byte
	form     bool // it asks for a password
	cookies  string
	at       *url.URL       // what was asked
	jar      []*http.Cookie // what one is known by then
}

func fetch(ctx context.Context, client *http.Client, method, target string, values url.Values, basic *pair, cookies []*http.Cookie) (*answer, *http.Response, error) {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(values.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", discover.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if basic != nil {
		req.SetBasicAuth(basic.user, basic.password)
	}
	for _, c := range cookies {
		req.AddCookie(c)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 512<<10))
	a := &answer{status: resp.StatusCode, location: resp.Header.Get("Location"), body: data, form: bytes.Contains(bytes.ToLower(data), []byte(`type="password"`)) || bytes.Contains(bytes.ToLower(data), []byte(`type=password`)) || bytes.Contains(bytes.ToLower(data), []byte(`type='password'`))}
	for _, c := range resp.Cookies() {
		a.cookies += c.Name + " "
	}
	return a, resp, nil
}

// loginPaths are where forms to sign in commonly are.
var loginPaths = []string{"/", "/login", "/admin", "/admin/login", "/login.html", "/user/login"}

// signIn finds where a site takes passwords, and how an attempt is made there;
// nil where it does not. One attempt with an account that cannot be tells what
// a refusal looks like.
func (e *Env) signIn(ctx context.Context, t check.Target) func(context.Context, *Env, check.Target, pair) (verdict, string) {
	if t.Host != "" {
		e.Dialer.Pin(t.Host, []netip.Addr{t.Address.Unmap()})
	}
	client := discover.Client(e.Dialer, "weak", t.Host, 2*e.answer())
	base, err := url.Parse(t.URL())
	if err != nil {
		return nil
	}
	nobody := pair{"nobody-" + rand.Text()[:8], rand.Text()}
	for _, path := range loginPaths {
		at := base.ResolveReference(&url.URL{Path: path})
		got, resp, err := fetch(ctx, client, http.MethodGet, at.String(), nil, nil, nil)
		if err != nil || ctx.Err() != nil {
			return nil
		}
		if got.status == http.StatusUnauthorized && strings.HasPrefix(strings.ToLower(resp.Header.Get("WWW-Authenticate")), "basic") {
			return func(ctx context.Context, _ *Env, _ check.Target, p pair) (verdict, string) {
				a, _, err := fetch(ctx, client, http.MethodGet, at.String(), nil, &p, nil)
				switch {
				case err != nil:
					return impossible, err.Error()
				case a.status == http.StatusUnauthorized:
					return refused, ""
				case a.status == http.StatusTooManyRequests || a.status == http.StatusLocked || a.status == http.StatusForbidden:
					return locked, http.StatusText(a.status)
				case a.status < 400:
					return accepted, "Basic authentication at " + at.Path
				}
				return impossible, http.StatusText(a.status)
			}
		}
		if got.status != http.StatusOK || !got.form {
			continue
		}
		f := readForm(at, got.body)
		if f == nil || lockedWords(string(got.body)) { // A form with a captcha is not for a program.
			continue
		}
		try := func(ctx context.Context, p pair) (*answer, error) {
			// Each attempt with a fresh form: tokens against forgery are used once.
			page, resp, err := fetch(ctx, client, http.MethodGet, at.String(), nil, nil, nil)
			if err != nil {
				return nil, err
			}
			g := readForm(at, page.body)
			if g == nil {
				g = f
			}
			g.values.Set(g.user, p.user)
			g.values.Set(g.password, p.password)
			a, after, err := fetch(ctx, client, http.MethodPost, g.action.String(), g.values, nil, resp.Cookies())
			if err == nil {
				a.at, a.jar = g.action, slices.Concat(resp.Cookies(), after.Cookies())
			}
			return a, err
		}
		wrong, err := try(ctx, nobody)
		if err != nil || wrong.status >= 400 && wrong.status != http.StatusUnauthorized && wrong.status != http.StatusForbidden && wrong.status != http.StatusUnprocessableEntity && wrong.status != http.StatusBadRequest {
			return nil
		}
		return func(ctx context.Context, _ *Env, _ check.Target, p pair) (verdict, string) {
			a, err := try(ctx, p)
			if err != nil {
				return impossible, err.Error()
			}
			if a.status == http.StatusTooManyRequests || a.status == http.StatusLocked || lockedWords(string(a.body)) && !lockedWords(string(wrong.body)) {
				return locked, "status " + http.StatusText(a.status)
			}
			// In is who is sent elsewhere than a stranger, or no longer asked, and gets something to be known by.
			elsewhere := a.status/100 == 3 && (wrong.status/100 != 3 || path0(a.location) != path0(wrong.location))
			inside := a.status == http.StatusOK && !a.form && (wrong.form || wrong.status != http.StatusOK)
			if (elsewhere || inside) && (a.cookies != wrong.cookies || elsewhere) && !strings.Contains(strings.ToLower(a.location), "login") && !strings.Contains(strings.ToLower(a.location), "error") {
				if elsewhere { // Where one is sent tells whether one is in: pages for captchas and locks are elsewhere, too.
					switch inside, what := e.inside(ctx, client, a); {
					case what != "":
						return locked, what
					case !inside:
						return refused, ""
					}
				}
				return accepted, "form at " + at.Path
			}
			return refused, ""
		}
	}
	return nil
}

// inside looks at where an answer to a form leads: it is no inside where a password is
// asked for, or nothing is there; locked tells what it says of a lock-out.
func (e *Env) inside(ctx context.Context, client *http.Client, a *answer) (inside bool, locked string) {
	for range 3 {
		to, err := a.at.Parse(a.location)
		if err != nil || to.Host != a.at.Host || to.Scheme != a.at.Scheme {
			return true, "" // Another site's page is not looked at.
		}
		next, resp, err := fetch(ctx, client, http.MethodGet, to.String(), nil, nil, newest(a.jar))
		if err != nil {
			return false, ""
		}
		switch {
		case (next.form || next.status >= 400 || bytes.Contains(bytes.ToLower(next.body), []byte("<form"))) && lockedWords(string(next.body)):
			return false, "status " + http.StatusText(next.status) + " at " + to.Path
		case next.status/100 == 3:
			next.at, next.jar = to, slices.Concat(a.jar, resp.Cookies())
			a = next
			continue
		}
		return next.status < 400 && !next.form, ""
	}
	return false, ""
}

// newest are cookies without those that a later one of the name replaces.
func newest(in []*http.Cookie) (out []*http.Cookie) {
	for i, c := range in {
		if !slices.ContainsFunc(in[i+1:], func(later *http.Cookie) bool { return later.Name == c.Name }) {
			out = append(out, c)
		}
	}
	return out
}

func path0(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return location
	}
	return u.Path
}

// readForm reads the first form with a password.
func readForm(at *url.URL, body []byte) *form {
	z := html.NewTokenizer(bytes.NewReader(body))
	var f *form
	for {
		switch z.Next() {
		case html.ErrorToken:
			return done(f)
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == "form" {
				if d := done(f); d != nil {
					return d
				}
				f = nil
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			n, more := z.TagName()
			attrs := map[string]string{}
			tag := string(n)
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				attrs[string(k)] = string(v)
			}
			switch tag {
			case "form":
				action, err := at.Parse(attrs["action"])
				if err != nil || action.Host != at.Host || action.Scheme != at.Scheme || !strings.EqualFold(attrs["method"], http.MethodPost) {
					f = nil
					continue
				}
				f = &form{action: action, values: url.Values{}}
			case "input":
				if f == nil || attrs["name"] == "" || len(f.values) > 50 {
					continue
				}
				switch strings.ToLower(attrs["type"]) {
				case "password":
					if f.password != "" {
						f.user = "" // Two passwords: a form to sign up or to change one.
						f.password = "\x00"
						continue
					}
					f.password = attrs["name"]
				case "text", "email", "":
					if f.user == "" {
						f.user = attrs["name"]
					}
				}
				f.values.Set(attrs["name"], attrs["value"])
			}
		}
	}
}

func done(f *form) *form {
	if f == nil || f.user == "" || f.password == "" || f.password == "\x00" {
		return nil
	}
	return f
}
