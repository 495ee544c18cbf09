package check

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"icewatch/collectors/scanner/discover"
	"icewatch/collectors/scanner/wire"
)

var (
	sqlInjection = &Meta{ID: "web-sql-injection", Title: "A parameter reaches the database unguarded (SQL injection)", TitleZH: "SQL 注入漏洞", Severity: wire.SeverityCritical, CWE: "CWE-89", Item: "MLPS-3 8.1.4.4",
		Tags: []string{"web", "injection", "sqli"}, Solution: "Pass parameters to the database as parameters (prepared statements); give the application's account no more rights than it needs.", SolutionZH: "使用参数化查询(预编译语句),并限制应用数据库账号权限。"}
	crossSite = &Meta{ID: "web-reflected-xss", Title: "A parameter comes back as script (reflected cross-site scripting)", TitleZH: "反射型跨站脚本(XSS)漏洞", Severity: wire.SeverityMedium, CWE: "CWE-79", Item: "MLPS-3 8.1.4.4",
		Tags: []string{"web", "injection", "xss"}, Solution: "Escape what is written into pages for the place where it stands; set a Content-Security-Policy.", SolutionZH: "按输出位置对内容进行转义,并设置 Content-Security-Policy。"}
	webChecks = []*Meta{sqlInjection, crossSite}
)

// Bounds of a crawl.
const (
	maxPages  = 60
	maxDepth  = 4
	maxPoints = 80
	maxBody   = 1 << 20
)

// point is a place where a page takes input.
type point struct {
	method string
	action *url.URL // without its query
	values url.Values
	names  []string // of values, those that are tried
}

// Web crawls a site within itself and looks where its input goes.
func (e *Env) Web(ctx context.Context, t Target) {
	if !e.wants(sqlInjection) && !e.wants(crossSite) {
		return
	}
	name := t.Host
	if name != "" {
		e.Dialer.Pin(name, e.pins(t))
	}
	w := &web{Env: e, t: t, client: discover.Client(e.Dialer, "web", name, 3*e.answer()), seen: map[string]bool{}, known: map[string]bool{}}
	first, err := url.Parse(t.URL())
	if err != nil {
		return
	}
	w.crawl(ctx, first)
	for _, p := range w.points {
		for _, name := range p.names {
			if ctx.Err() != nil {
				return
			}
			if e.wants(crossSite) {
				w.script(ctx, p, name)
			}
			if e.wants(sqlInjection) {
				w.database(ctx, p, name)
			}
		}
	}
}

type web struct {
	*Env
	t      Target
	client *http.Client
	seen   map[string]bool // pages
	known  map[string]bool // points
	points []point
	told   map[string]bool
}

type page struct {
	status int
	kind   string // media type
	body   []byte
}

func (w *web) fetch(ctx context.Context, method string, u *url.URL, values url.Values) (*page, string, error) {
	target := *u
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(values.Encode())
	} else {
		target.RawQuery = values.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", discover.UserAgent)
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return &page{status: resp.StatusCode, kind: strings.ToLower(strings.TrimSpace(kind)), body: data}, resp.Header.Get("Location"), nil
}

// disturbing are words of links and forms that do something: in safe mode they are not followed.
var disturbing = regexp.MustCompile(`(?i)(?:log|sign)-?_?(?:out|off)|delete|remove|drop|destroy|reset|shutdown|restart|reboot|unsubscribe|disable|transfer|pay(?:ment)?\b|checkout|删除|注销|退出`)

func (w *web) crawl(ctx context.Context, first *url.URL) {
	type step struct {
		u     *url.URL
		depth int
	}
	queue := []step{{first, 0}}
	for len(queue) > 0 && len(w.seen) < maxPages && ctx.Err() == nil {
		s := queue[0]
		queue = queue[1:]
		s.u.Fragment = ""
		key := s.u.Path + "?" + strings.Join(names(s.u.Query()), "&")
		if w.seen[key] {
			continue
		}
		w.seen[key] = true
		if q := s.u.Query(); len(q) > 0 {
			w.point(point{method: http.MethodGet, action: bare(s.u), values: q, names: names(q)})
		}
		p, location, err := w.fetch(ctx, http.MethodGet, bare(s.u), s.u.Query())
		if err != nil {
			continue
		}
		follow := func(ref string) {
			u, err := s.u.Parse(strings.TrimSpace(ref))
			if err != nil || u.Host != first.Host || u.Scheme != first.Scheme || s.depth >= maxDepth || !w.Unsafe && disturbing.MatchString(u.Path+"?"+u.RawQuery) {
				return
			}
			queue = append(queue, step{u, s.depth + 1})
		}
		if location != "" {
			follow(location)
		}
		if p.kind == "text/html" || p.kind == "application/xhtml+xml" {
			w.read(s.u, first, p.body, follow)
		}
	}
}

// read takes links and forms of a page.
func (w *web) read(at, first *url.URL, body []byte, follow func(string)) {
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(maxBody)
	var form *point
	kinds := map[string]string{}
	finish := func() {
		if form != nil && len(form.names) > 0 && form.action.Host == first.Host && form.action.Scheme == first.Scheme && (w.Unsafe || form.method == http.MethodGet && !disturbing.MatchString(form.action.Path) || harmless(form, kinds)) {
			w.point(*form)
		}
		form, kinds = nil, map[string]string{}
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			finish()
			return
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == "form" {
				finish()
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			n, more := z.TagName()
			tag := string(n)
			attrs := map[string]string{}
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				attrs[string(k)] = string(v)
			}
			switch tag {
			case "a", "area":
				if attrs["href"] != "" {
					follow(attrs["href"])
				}
			case "iframe", "frame":
				if attrs["src"] != "" {
					follow(attrs["src"])
				}
			case "form":
				finish()
				u, err := at.Parse(attrs["action"])
				if err != nil {
					continue
				}
				form = &point{method: strings.ToUpper(attrs["method"]), action: bare(u), values: u.Query()}
				if form.method != http.MethodPost {
					form.method = http.MethodGet
				}
			case "input", "textarea", "select":
				name := attrs["name"]
				if form == nil || name == "" || len(form.values) > 50 {
					continue
				}
				value, kind := attrs["value"], strings.ToLower(attrs["type"])
				if value == "" {
					value = "1"
				}
				form.values.Set(name, value)
				kinds[name] = kind
				if kind != "submit" && kind != "button" && kind != "file" && kind != "checkbox" && kind != "radio" && !slices.Contains(form.names, name) {
					form.names = append(form.names, name)
				}
			}
		}
	}
}

// harmless tells whether a form that is sent as POST only asks: a search.
// What signs in is for package weak, which counts attempts.
func harmless(p *point, kinds map[string]string) bool {
	for _, k := range kinds {
		if k == "password" || k == "file" {
			return false
		}
	}
	text := strings.ToLower(p.action.Path + " " + strings.Join(p.names, " "))
	return !disturbing.MatchString(text) && (strings.Contains(text, "search") || strings.Contains(text, "query") || strings.Contains(text, "keyword") || strings.Contains(text, "filter") || slices.Contains(p.names, "q"))
}

func (w *web) point(p point) {
	key := p.method + " " + p.action.Path + " " + strings.Join(p.names, "&")
	if w.known[key] || len(w.points) >= maxPoints {
		return
	}
	w.known[key] = true
	w.points = append(w.points, p)
}

func bare(u *url.URL) *url.URL {
	out := *u
	out.RawQuery, out.Fragment = "", ""
	return &out
}

func names(v url.Values) []string {
	out := make([]string, 0, len(v))
	for n := range v {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// with sends a point's values with one changed.
func (w *web) with(ctx context.Context, p point, name, value string) (*page, error) {
	values := url.Values{}
	for n, v := range p.values {
		values[n] = slices.Clone(v)
	}
	values.Set(name, value)
	got, _, err := w.fetch(ctx, p.method, p.action, values)
	return got, err
}

func (w *web) tell(m *Meta, p point, name, evidence string) {
	key := m.ID + p.method + p.action.Path + name
	if w.told == nil {
		w.told = map[string]bool{}
	}
	if w.told[key] {
		return
	}
	w.told[key] = true
	out := m.Weakness(w.t, evidence)
	out.Path, out.Parameter = p.action.Path, name
	w.found(out)
}

// script looks whether markup comes back as markup.
func (w *web) script(ctx context.Context, p point, name string) {
	const mark = `iw9k<iw a='"7>x`
	got, err := w.with(ctx, p, name, p.values.Get(name)+mark)
	if err != nil || got.kind != "text/html" && got.kind != "application/xhtml+xml" && got.kind != "" {
		return
	}
	i := bytes.Index(got.body, []byte(mark))
	if i < 0 {
		return
	}
	// Within these it is text: no script comes of it there.
	lower := bytes.ToLower(got.body[:i])
	for _, tag := range []string{"textarea", "title", "noscript", "xmp"} {
		if bytes.LastIndex(lower, []byte("<"+tag)) > bytes.LastIndex(lower, []byte("</"+tag)) {
			return
		}
	}
	if bytes.LastIndex(lower, []byte("<!--")) > bytes.LastIndex(lower, []byte("-->")) {
		return
	}
	from, to := max(0, i-60), min(len(got.body), i+len(mark)+60)
	w.tell(crossSite, p, name, p.method+" "+p.action.Path+" "+name+"="+mark+" →\n"+string(got.body[from:to]))
}

// databaseErrors are what databases and their drivers say of a broken statement.
var databaseErrors = regexp.MustCompile(`(?i)You have an error in your SQL syntax|SQL logic error|unrecognized token: ?"|near ".{0,40}": syntax error|sqlite3?\.OperationalError|SQLITE_ERROR|PG::SyntaxError|unterminated quoted string|syntax error at or near|ERROR: +syntax error|ORA-0(?:0933|1756|0911)|Unclosed quotation mark after the character string|Incorrect syntax near|SQLSTATE\[42000\]|com\.mysql\.jdbc|org\.postgresql\.util\.PSQLException|DM\.jdbc|dm\.jdbc\.driver|kingbase.{0,40}(?:error|exception)`)

// database looks whether a parameter is read as a part of a statement: by an error
// that one quote makes and two do not, or by an answer that follows what is
// true and what is false, twice over. Nothing sent changes data.
func (w *web) database(ctx context.Context, p point, name string) {
	value := p.values.Get(name)
	base, err := w.with(ctx, p, name, value)
	if err != nil {
		return
	}
	one, err := w.with(ctx, p, name, value+"'")
	if err != nil {
		return
	}
	if m := databaseErrors.Find(one.body); m != nil && !databaseErrors.Match(base.body) {
		if two, err := w.with(ctx, p, name, value+"''"); err == nil && !databaseErrors.Match(two.body) {
			w.tell(sqlInjection, p, name, p.method+" "+p.action.Path+" "+name+"="+value+"' → "+string(m))
			return
		}
	}
	again, err := w.with(ctx, p, name, value)
	if err != nil || !same(base, again, "") {
		return // A page that changes by itself proves nothing.
	}
	for _, try := range []struct{ yes, no string }{
		{value + "' AND '7351'='7351", value + "' AND '7351'='7352"},
		{value + " AND 7351=7351", value + " AND 7351=7352"},
		{value + "%' AND '7351%'='7351", value + "%' AND '7351%'='7352"},
	} {
		proven := true
		for range 2 {
			yes, err := w.with(ctx, p, name, try.yes)
			if err != nil || !same(base, yes, try.yes) {
				proven = false
				break
			}
			no, err := w.with(ctx, p, name, try.no)
			if err != nil || same(base, no, try.no) {
				proven = false
				break
			}
		}
		if !proven {
			continue
		}
		// What is no statement at all must not count as true: else the page only ignores what it does not know.
		if broken, err := w.with(ctx, p, name, strings.Replace(try.yes, " AND ", " AXD ", 1)); err != nil || same(base, broken, "") {
			continue
		}
		w.tell(sqlInjection, p, name, p.method+" "+p.action.Path+" "+name+"\ntrue:  "+try.yes+" → as before\nfalse: "+try.no+" → another page")
		return
	}
}

// same compares two pages without what was sent, which a page may show.
func same(a, b *page, sent string) bool {
	if a.status != b.status {
		return false
	}
	x, y := a.body, b.body
	if sent != "" {
		for _, form := range []string{html.EscapeString(sent), sent, url.QueryEscape(sent)} {
			y = bytes.ReplaceAll(y, []byte(form), nil)
		}
		// The page that is compared with shows the value itself.
		if value, _, ok := cutAny(sent, "' AND ", " AND ", "%' AND "); ok && value != "" && len(x) != len(y) {
			x = bytes.ReplaceAll(x, []byte(value), nil)
			y = bytes.ReplaceAll(y, []byte(value), nil)
		}
	}
	return bytes.Equal(x, y)
}

func cutAny(s string, seps ...string) (before, after string, found bool) {
	for _, sep := range seps {
		if b, a, ok := strings.Cut(s, sep); ok {
			return strings.TrimSuffix(b, "%"), a, true
		}
	}
	return s, "", false
}
