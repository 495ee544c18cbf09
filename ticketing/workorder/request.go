package workorder

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/jmespath/go-jmespath"

	"icewatch/soc/egress"
	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// Request is a template of an HTTP request. What is left empty is as our own
// format has it. The body is a template, or a document made of fields.
type Request struct {
	Method  string            `json:"method,omitempty" enum:"GET,POST,PUT,PATCH"`
	URL     string            `json:"url,omitempty" maxLength:"2000" doc:"Template; {{.External | path}} quotes an id"`
	Headers map[string]string `json:"headers,omitempty" doc:"Templates by name"`
	Body    string            `json:"body,omitempty" maxLength:"32768" doc:"Template; {{.Subject.Title | json}} quotes a text within a JSON string"`
	Fields  map[string]string `json:"fields,omitempty" doc:"Instead of a body: their field, with dots for fields within, and a template of its value"`
}

// Data is what templates know. Our own format is its JSON.
type Data struct {
	Delivery string            `json:"delivery"` // the same over all attempts
	Kind     string            `json:"kind"`     // create, update, query, test
	Order    string            `json:"order"`    // our id of the order
	External string            `json:"external"` // theirs; "" before they have it
	Subject  Subject           `json:"subject"`
	Change   Change            `json:"change"` // of an update
	Token    string            `json:"-"`
	Vars     map[string]string `json:"-"`
}

// Answer says where their answers hold what counts, as JMESPath expressions. A
// place that is left empty is that of our own format: id, state, handler, note,
// link, and order for our id.
type Answer struct {
	ID      string `json:"id,omitempty" maxLength:"500"`
	Order   string `json:"order,omitempty" maxLength:"500" doc:"Our id of the order, in what they send by themselves"`
	State   string `json:"state,omitempty" maxLength:"500"`
	Handler string `json:"handler,omitempty" maxLength:"500"`
	Note    string `json:"note,omitempty" maxLength:"500"`
	Link    string `json:"link,omitempty" maxLength:"500"`
	Success string `json:"success,omitempty" maxLength:"500" doc:"What has to be true of an answer of 2xx, such as code == \u00600\u0060"`
}

func (a Answer) filled() Answer {
	for _, f := range []struct {
		to   *string
		name string
	}{{&a.ID, "id"}, {&a.Order, "order"}, {&a.State, "state"}, {&a.Handler, "handler"}, {&a.Note, "note"}, {&a.Link, "link"}} {
		if *f.to == "" {
			*f.to = f.name
		}
	}
	return a
}

func (a Answer) check() error {
	f := a.filled()
	for _, e := range [][2]string{{"id", f.ID}, {"order", f.Order}, {"state", f.State}, {"handler", f.Handler}, {"note", f.Note}, {"link", f.Link}, {"success", f.Success}} {
		name, expr := e[0], e[1]
		if expr == "" {
			continue
		}
		if len(expr) > 500 {
			return fmt.Errorf("%s: %d bytes, at most 500", name, len(expr))
		}
		if _, err := jmespath.Compile(expr); err != nil {
			return fmt.Errorf("%s: %q is no JMESPath expression: %w", name, expr, err)
		}
	}
	return nil
}

// said is what an answer says.
type said struct{ id, order, state, handler, note, link string }

// read takes out of a document what counts.
func (a Answer) read(body []byte) (out said, err error) {
	a = a.filled()
	var doc any
	if len(bytes.TrimSpace(body)) > 0 {
		d := json.NewDecoder(bytes.NewReader(body))
		if err := d.Decode(&doc); err != nil {
			return out, errors.New("the answer is no JSON")
		}
	}
	if a.Success != "" {
		v, err := jmespath.Search(a.Success, doc)
		if err != nil || v == nil || v == false {
			return out, fmt.Errorf("the answer is no success: %s does not hold", a.Success)
		}
	}
	for _, f := range []struct {
		to   *string
		expr string
		most int
	}{{&out.id, a.ID, 200}, {&out.order, a.Order, 64}, {&out.state, a.State, 100}, {&out.handler, a.Handler, 200}, {&out.note, a.Note, 4000}, {&out.link, a.Link, 2000}} {
		v, err := jmespath.Search(f.expr, doc)
		if err != nil {
			return out, fmt.Errorf("%s cannot be taken from the answer", f.expr)
		}
		*f.to = clip(scalar(v), f.most)
	}
	if u, err := url.Parse(out.link); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		out.link = "" // it is shown as a link: no other scheme
	}
	return out, nil
}

// scalar writes a value as text; what is no single value is "".
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v)
	case bool:
		return fmt.Sprint(v)
	case float64:
		data, _ := json.Marshal(v)
		return string(data)
	}
	return ""
}

func clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "")
	if r := []rune(s); len(r) > most {
		return string(r[:most])
	}
	return s
}

var quoting = template.FuncMap{
	// json writes a text as it stands between the quotes of a JSON string.
	"json": func(s string) string {
		data, _ := json.Marshal(s) // a string can always be written
		return string(data[1 : len(data)-1])
	},
	// path quotes a text as a segment of a URL's path, query as a value of its query.
	"path":  url.PathEscape,
	"query": url.QueryEscape,
	"time": func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	},
}

// own is our own format's request for what is to be done.
func (c *Content) own(r Request, method, url string) Request {
	if r.URL == "" && c.URL != "" {
		r.URL = url
	}
	if r.Method == "" {
		r.Method = method
	}
	return r
}

func (c *Content) create() Request { return c.own(c.Create, http.MethodPost, c.URL) }
func (c *Content) update() Request {
	return c.own(c.Update, http.MethodPut, strings.TrimSuffix(c.URL, "/")+"/{{.External | path}}")
}
func (c *Content) query() Request {
	return c.own(c.Query, http.MethodGet, strings.TrimSuffix(c.URL, "/")+"/{{.External | path}}")
}

// named is a request under its name in the settings.
type named struct {
	name string
	Request
}

// requests are those that there are.
func (c *Content) requests() []named {
	all := []named{{"create", c.create()}, {"update", c.update()}, {"query", c.query()}}
	return slices.DeleteFunc(all, func(r named) bool { return r.URL == "" })
}

// made is a request as it goes out.
type made struct {
	method, url string
	headers     map[string]string
	body        []byte
}

func (r Request) check() error {
	_, err := r.make(sampleData(secrets{Token: "token"}))
	return err
}

// make runs the templates.
func (r Request) make(d Data) (m made, err error) {
	run := func(what, text string) (string, error) {
		t, err := wording.Compile(text, quoting)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		out, err := t.Make(d)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		return strings.TrimSpace(out), nil
	}
	m.method, m.headers = r.Method, map[string]string{"Content-Type": "application/json; charset=utf-8", "Accept": "application/json"}
	if m.url, err = run("url", r.URL); err != nil {
		return m, err
	}
	if err := webhook.CheckURL(m.url); err != nil {
		return m, err
	}
	if d.Token != "" {
		m.headers["Authorization"] = "Bearer " + d.Token
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		v, err := run("headers."+name, r.Headers[name])
		if err != nil {
			return m, err
		}
		key := http.CanonicalHeaderKey(strings.TrimSpace(name))
		if key == "" || strings.ContainsAny(name+v, "\r\n\x00") || strings.ContainsAny(key, " :") {
			return m, fmt.Errorf("headers.%s: want a name without spaces and a value of one line", name)
		}
		m.headers[key] = v
	}
	switch {
	case r.Method == http.MethodGet:
	case r.Body != "":
		text, err := run("body", r.Body)
		if err != nil {
			return m, err
		}
		m.body = []byte(text)
	case len(r.Fields) > 0:
		doc := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
			v, err := run("fields."+name, r.Fields[name])
			if err == nil {
				err = put(doc, strings.Split(name, "."), v)
			}
			if err != nil {
				return m, fmt.Errorf("fields.%s: %w", name, err)
			}
		}
		m.body, err = json.Marshal(doc)
	default:
		m.body, err = json.Marshal(d)
	}
	return m, err
}

// put sets a field within fields.
func put(doc map[string]any, path []string, v string) error {
	if path[0] == "" {
		return errors.New("a field has no name")
	}
	if len(path) == 1 {
		if _, there := doc[path[0]]; there {
			return errors.New("it is a document of fields as well")
		}
		doc[path[0]] = v
		return nil
	}
	if doc[path[0]] == nil {
		doc[path[0]] = map[string]any{}
	}
	within, ok := doc[path[0]].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has a value of its own", path[0])
	}
	return put(within, path[1:], v)
}

// sender makes requests to other systems.
type sender struct {
	client *http.Client
	clock  func() time.Time
}

func newSender(guard *egress.Guard, timeout time.Duration, clock func() time.Time) sender {
	return sender{clock: clock, client: &http.Client{Transport: guard.Transport(timeout), Timeout: timeout,
		// A redirect could carry token and order to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

const readLimit = 1 << 20 // bytes of an answer

// send makes one attempt. The error of its result never holds the URL.
func (s sender) send(ctx context.Context, m made, delivery, key string) ([]byte, webhook.Result) {
	req, err := http.NewRequestWithContext(ctx, m.method, m.url, bytes.NewReader(m.body))
	if err != nil {
		return nil, webhook.Result{Err: errors.New("the url cannot be used")}
	}
	req.Header.Set("User-Agent", "icewatch")
	req.Header.Set(webhook.DeliveryHeader, delivery)
	req.Header.Set("Idempotency-Key", delivery)
	if key != "" {
		req.Header.Set(webhook.SignatureHeader, webhook.Sign(key, m.body))
	}
	for name, v := range m.headers {
		req.Header.Set(name, v)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, webhook.Unanswered(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, readLimit))
	r := webhook.Judge(resp, s.clock())
	if r.Err == nil && err != nil {
		r = webhook.Result{HTTPStatus: r.HTTPStatus, Retry: true, Err: errors.New("the answer broke off")}
	}
	return body, r
}
