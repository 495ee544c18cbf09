package peers

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// Browser does what a person's browser does at a sign-in: it keeps cookies,
// follows redirects one by one, and sends forms.
type Browser struct {
	t      testing.TB
	client *http.Client
	// Before sees each request before it is sent and may change it.
	Before func(*http.Request)
}

// NewBrowser opens one without cookies.
func NewBrowser(t testing.TB) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t: t, client: &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Page is what a browser shows.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Text   string
}

// Form is the first form of a page.
type Form struct {
	Action string
	Fields url.Values
}

// Get opens an address and follows redirects until a page comes, or until stop
// says that the next address is far enough; the page then is the redirect.
func (b *Browser) Get(address string, stop func(*url.URL) bool) Page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.follow(req, stop)
}

// Post sends a form from a page.
func (b *Browser) Post(from Page, f Form, stop func(*url.URL) bool) Page {
	b.t.Helper()
	action := f.Action
	if from.URL != nil {
		u, err := from.URL.Parse(f.Action)
		if err != nil {
			b.t.Fatal(err)
		}
		action = u.String()
	}
	req, err := http.NewRequest(http.MethodPost, action, strings.NewReader(f.Fields.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if from.URL != nil {
		req.Header.Set("Origin", from.URL.Scheme+"://"+from.URL.Host)
	}
	return b.follow(req, stop)
}

func (b *Browser) follow(req *http.Request, stop func(*url.URL) bool) Page {
	b.t.Helper()
	for range 20 {
		if b.Before != nil {
			b.Before(req)
		}
		resp, err := b.client.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		page := Page{Status: resp.StatusCode, URL: req.URL, Header: resp.Header, Text: string(body)}
		if resp.StatusCode < 300 || resp.StatusCode >= 400 {
			return page
		}
		next, err := req.URL.Parse(resp.Header.Get("Location"))
		if err != nil {
			b.t.Fatal(err)
		}
		if stop != nil && stop(next) {
			return page
		}
		if req, err = http.NewRequest(http.MethodGet, next.String(), nil); err != nil {
			b.t.Fatal(err)
		}
	}
	b.t.Fatal("it redirects for ever")
	return Page{}
}

// Cookie returns a cookie's value at an address, "" where there is none.
func (b *Browser) Cookie(address, name string) string {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Form finds the page's first form.
func (p Page) Form(t testing.TB) Form {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Text))
	if err != nil {
		t.Fatal(err)
	}
	var form *html.Node
	out := Form{Fields: url.Values{}}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "form" && form == nil {
			form, out.Action = n, attribute(n, "action")
			for in := range n.Descendants() {
				if in.Type == html.ElementNode && in.Data == "input" && attribute(in, "name") != "" {
					out.Fields.Set(attribute(in, "name"), attribute(in, "value"))
				}
			}
		}
	}
	if form == nil {
		t.Fatal(fmt.Sprintf("the page %s (%d) has no form:\n%.2000s", p.URL, p.Status, p.Text))
	}
	return out
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
