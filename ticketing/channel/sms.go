package channel

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"

	"icewatch/ticketing/webhook"
	"icewatch/ticketing/wording"
)

// SMS sends text messages through a gateway that takes HTTP requests. Address,
// headers and body are templates, so that it fits gateways that nobody has
// thought of; a preset fills them in for well-known ones. Each recipient is a
// request of his own, and one that has it is not asked for again.
type SMS struct {
	Preset  string            `json:"preset,omitempty" form:"choice;网关;Gateway"`
	Method  string            `json:"method,omitempty" form:"choice;方法;Method;POST;POST|GET|PUT"`
	URL     string            `json:"url,omitempty" secret:"url" form:"text;地址（模板）;Address (template)"`
	Headers map[string]string `json:"headers,omitempty" secret:"true" form:"pairs;请求头（模板）;Headers (templates)"`
	Body    string            `json:"body,omitempty" form:"long;请求体（模板）;Body (template)"`
	// Success is what an answer of 2xx has to hold besides, as an expression
	// (RE2); "" takes each 2xx.
	Success string            `json:"success,omitempty" form:"text;成功条件（正则）;What the answer holds on success (RE2)"`
	Vars    map[string]string `json:"vars,omitempty" secret:"true" form:"pairs;参数（账号、密钥、签名）;Parameters (account, key, signature)"`
	To      []string          `json:"to,omitempty" form:"list;手机号;Telephone numbers"`
	OnCall  bool              `json:"on_call,omitempty" form:"switch;发送给被呼叫的值班人员;Send to who is on call"`
}

// Gateway is a preset.
type Gateway struct {
	Key     string            `yaml:"key" json:"key"`
	ZH      string            `yaml:"zh" json:"zh"`
	EN      string            `yaml:"en" json:"en"`
	Method  string            `yaml:"method" json:"method"`
	URL     string            `yaml:"url" json:"url"`
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	Body    string            `yaml:"body" json:"body,omitempty"`
	Success string            `yaml:"success" json:"success,omitempty"`
	Vars    []string          `yaml:"vars" json:"vars,omitempty"` // that have to be given
	Source  string            `yaml:"source" json:"source"`
}

//go:embed gateways.yaml
var gatewayFile []byte

// Gateways lists the presets.
func Gateways() ([]Gateway, error) {
	var list []Gateway
	if err := yaml.Unmarshal(gatewayFile, &list); err != nil {
		return nil, fmt.Errorf("channel: read the presets of SMS gateways: %w", err)
	}
	return list, nil
}

// filled is the setting with its preset in the empty places.
func (s *SMS) filled() (SMS, error) {
	out := *s
	if s.Preset == "" {
		return out, nil
	}
	list, err := Gateways()
	if err != nil {
		return out, err
	}
	i := slices.IndexFunc(list, func(g Gateway) bool { return g.Key == s.Preset })
	if i < 0 {
		return out, fmt.Errorf("preset: %q is not known", s.Preset)
	}
	g := list[i]
	for into, from := range map[*string]string{&out.Method: g.Method, &out.URL: g.URL, &out.Body: g.Body, &out.Success: g.Success} {
		if *into == "" {
			*into = from
		}
	}
	if len(out.Headers) == 0 {
		out.Headers = g.Headers
	}
	for _, v := range g.Vars {
		if s.Vars[v] == "" {
			return out, fmt.Errorf("vars: %s is missing, which %s needs", v, g.EN)
		}
	}
	return out, nil
}

// request is what templates of a gateway know.
type request struct {
	Mobile string // the recipient
	Text   string // the message
	Title  string
	Notice string // delivery id, for gateways that drop what is repeated
	Vars   map[string]string
}

var quoting = template.FuncMap{
	// json writes a text as it stands between the quotes of a JSON string.
	"json": func(s string) string {
		data, _ := json.Marshal(s) // a string can always be written
		return string(data[1 : len(data)-1])
	},
}

// made is a gateway's request for one recipient.
type made struct {
	method, url, body string
	headers           map[string]string
}

func (s *SMS) compile() (func(r request) (made, error), error) {
	url, err := wording.Compile(s.URL, quoting)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	body, err := wording.Compile(s.Body, quoting)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	headers := map[string]wording.Template{}
	for name, text := range s.Headers {
		if headers[name], err = wording.Compile(text, quoting); err != nil {
			return nil, fmt.Errorf("headers: %s: %w", name, err)
		}
	}
	return func(r request) (m made, err error) {
		m.method, m.headers = s.Method, map[string]string{}
		if m.method == "" {
			m.method = http.MethodPost
		}
		if m.url, err = url.Make(r); err != nil {
			return m, fmt.Errorf("url: %w", err)
		}
		if m.body, err = body.Make(r); err != nil {
			return m, fmt.Errorf("body: %w", err)
		}
		m.url, m.body = strings.TrimSpace(m.url), strings.TrimSpace(m.body)
		for name, t := range headers {
			if m.headers[name], err = t.Make(r); err != nil {
				return m, fmt.Errorf("headers: %s: %w", name, err)
			}
		}
		if err := checkHeaders(m.headers); err != nil {
			return m, err
		}
		return m, needURL("url", m.url)
	}, nil
}

var mobile = regexp.MustCompile(`^\+?[0-9][0-9 -]{4,19}$`)

// Check implements Channel: it makes a request for a sample.
func (s *SMS) Check() error {
	f, err := s.filled()
	if err != nil {
		return err
	}
	switch f.Method {
	case "", http.MethodPost, http.MethodGet, http.MethodPut:
	default:
		return fmt.Errorf("method: %q: want POST, GET or PUT", f.Method)
	}
	for _, to := range s.To {
		if !mobile.MatchString(to) {
			return fmt.Errorf("to: %q is no telephone number", to)
		}
	}
	if len(s.To) == 0 && !s.OnCall {
		return errors.New("to: nobody is named: give telephone numbers, or send to who is on call")
	}
	if _, err := regexp.Compile(f.Success); err != nil {
		return fmt.Errorf("success: %w", err)
	}
	if f.URL == "" {
		return errors.New("url: it is empty: choose a preset or give the gateway's address")
	}
	make, err := f.compile()
	if err != nil {
		return err
	}
	_, err = make(request{Mobile: "13800000000", Text: "icewatch", Title: "icewatch", Notice: "test", Vars: s.Vars})
	return err
}

// URLs implements Channel.
func (s *SMS) URLs() []string {
	f, err := s.filled()
	if err != nil {
		return nil
	}
	make, err := f.compile()
	if err != nil {
		return nil
	}
	m, err := make(request{Mobile: "13800000000", Text: "icewatch", Title: "icewatch", Notice: "test", Vars: s.Vars})
	if err != nil {
		return nil
	}
	return []string{m.url}
}

// maxSMS bounds a message, in letters: what gateways take in parts.
const maxSMS = 450

// Send implements Channel.
func (s *SMS) Send(ctx context.Context, via *Via, n *Notice) Result {
	f, err := s.filled()
	if err != nil {
		return final("%w", err)
	}
	make, err := f.compile()
	if err != nil {
		return final("%w", err)
	}
	success, err := regexp.Compile(f.Success)
	if err != nil {
		return final("success: %w", err)
	}
	to := slices.Clone(s.To)
	if s.OnCall {
		to = append(to, phones(n)...)
	}
	slices.Sort(to)
	to = slices.Compact(to)
	if len(to) == 0 {
		if len(n.People) > 0 {
			return final("%s has no telephone number: enter it in the user's profile", n.People[0].Name)
		}
		return final("nobody is to get it: it is for no person, and the contact point names no numbers")
	}
	text := n.Text
	if r := []rune(text); len(r) > maxSMS {
		text = string(r[:maxSMS-1]) + "…"
	}
	out := Result{Done: slices.Clone(n.Done)}
	for _, number := range to {
		if slices.Contains(out.Done, number) {
			continue
		}
		m, err := make(request{Mobile: number, Text: text, Title: n.Title, Notice: n.Delivery, Vars: s.Vars})
		if err != nil {
			return final("the request cannot be made: %w", err)
		}
		data, r := via.ask(ctx, m.method, m.url, m.headers, []byte(m.body))
		if r.Err == nil && !success.Match(data) {
			// The gateway's words may quote the account; only their length is told.
			r.Result = webhook.Result{HTTPStatus: r.HTTPStatus, Err: fmt.Errorf("the gateway answered %d with %d bytes that do not hold what success looks like (%s)", r.HTTPStatus, len(data), clip(f.Success, 80))}
		}
		out.HTTPStatus = r.HTTPStatus
		if r.Err != nil {
			// The others get theirs all the same; what failed for good is not tried again with what may succeed.
			out.Err = errors.Join(out.Err, fmt.Errorf("%s: %w", hidden(number), r.Err))
			out.Retry, out.RetryAfter = out.Retry || r.Retry, max(out.RetryAfter, r.RetryAfter)
			continue
		}
		out.Done = append(out.Done, number)
	}
	return out
}

// hidden leaves of a telephone number what tells whose it is to who knows it.
func hidden(number string) string {
	if len(number) < 7 {
		return "***"
	}
	return number[:3] + "****" + number[len(number)-4:]
}
