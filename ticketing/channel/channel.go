// Package channel brings notifications to where people read them: e-mail, text
// messages over an HTTP gateway, the robots of DingTalk, WeCom and Feishu, and
// webhooks. A channel makes one attempt and says what became of it, in the
// vendor's own words where it has some: chat services answer 200 and tell the
// truth in the body. Queues, order, repetition and the log are the outbox's.
//
// A channel that runs a command on this machine does not exist: whoever could
// edit a contact point would run programs as the suite. What a script would do
// belongs behind a webhook, on a machine of its own.
package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"icewatch/soc/egress"
	"icewatch/ticketing/webhook"
)

// Notice is what is told. Channels take of it what they can show.
type Notice struct {
	Delivery string // id; the same over all attempts
	Kind     string // opened, changed, sla, resolved, escalation, test, report
	Thread   string // what notices about the same thing share: replies thread by it
	First    bool   // of its thread
	Payload  webhook.Payload
	Body     []byte // what a program reads in place of the payload; nil for none
	At       time.Time
	// The wording, made by a template: one line, plain text, Markdown and HTML.
	Title, Text, Markdown, HTML string
	// Link leads to the incident, Acknowledge acknowledges it in the person's
	// name; "" for none.
	Link, Acknowledge string
	// People are whom it is for by name, beside those of the settings.
	People []Person
	// Done are the recipients that earlier attempts have reached.
	Done []string
	// Files go with it where a channel can carry them: e-mail does.
	Files []File
}

// File is an attachment.
type File struct {
	Name  string
	Media string // MIME type
	Data  []byte
}

// Person is somebody who is called by name.
type Person struct {
	Name  string
	Email string
	Phone string
}

// Grave tells whether the notice is of something critical or high that goes on.
func (n *Notice) Grave() bool {
	if n.Payload.Status == webhook.Resolved {
		return false
	}
	for _, a := range n.Payload.Alerts {
		if s := a.Labels["severity"]; s == "critical" || s == "high" {
			return true
		}
	}
	return n.Kind == "escalation"
}

// Result is the outcome of one attempt.
type Result struct {
	webhook.Result
	// Done are the recipients that have it by now, where a channel asks for
	// each by itself and not all have.
	Done []string
}

func final(format string, args ...any) Result {
	return Result{Result: webhook.Result{Err: fmt.Errorf(format, args...)}}
}

func later(wait time.Duration, format string, args ...any) Result {
	return Result{Result: webhook.Result{Err: fmt.Errorf(format, args...), Retry: true, RetryAfter: wait}}
}

// Channel is the settings of one contact point.
type Channel interface {
	// Check names the first setting that cannot work; the error begins with its
	// name and holds no secret.
	Check() error
	// URLs are the addresses that it connects to, for the guard: http, https
	// or, for host and port alone, tcp.
	URLs() []string
	// Send makes one attempt.
	Send(ctx context.Context, via *Via, n *Notice) Result
}

// Via is how channels reach the world. It is safe for concurrent use.
type Via struct {
	client *http.Client
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	tokens tokens
	Clock  func() time.Time
	limit  time.Duration
}

// NewVia makes the way out: each connection is judged by the guard, and an
// attempt ends after timeout.
func NewVia(guard *egress.Guard, timeout time.Duration, clock func() time.Time) *Via {
	if clock == nil {
		clock = time.Now
	}
	return &Via{Clock: clock, limit: timeout, dial: guard.Dialer(timeout).DialContext, client: &http.Client{
		Transport: guard.Transport(timeout), Timeout: timeout,
		// A redirect could carry alerts and signature to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Limit is how much a vendor takes of one contact point: Count within Window.
// The zero value is no limit.
type Limit struct {
	Count  int
	Window time.Duration
}

// Kind is a sort of channel.
type Kind struct {
	Name   string
	ZH, EN string
	Limits []Limit // as the vendor states them
	// Merges tells that what waits may go out as one message where the limits
	// leave no room for each.
	Merges bool
	make   func() Channel
}

var kinds = []Kind{
	{Name: "webhook", ZH: "Webhook", EN: "Webhook", make: func() Channel { return &Webhook{} }},
	{Name: "email", ZH: "邮件", EN: "E-mail", make: func() Channel { return &Email{} }},
	{Name: "sms", ZH: "短信网关", EN: "SMS gateway", make: func() Channel { return &SMS{} }},
	// https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages: 20 a minute to a robot, else ten minutes of silence.
	{Name: "dingtalk", ZH: "钉钉群机器人", EN: "DingTalk robot", Merges: true, Limits: []Limit{{20, time.Minute}}, make: func() Channel { return &DingTalk{} }},
	// https://developer.work.weixin.qq.com/document/path/91770: 20 a minute to a robot.
	{Name: "wecom", ZH: "企业微信群机器人", EN: "WeCom robot", Merges: true, Limits: []Limit{{20, time.Minute}}, make: func() Channel { return &WeCom{} }},
	// https://developer.work.weixin.qq.com/document/path/90312: 30 a minute to a member.
	{Name: "wecom_app", ZH: "企业微信应用消息", EN: "WeCom application", Merges: true, Limits: []Limit{{30, time.Minute}}, make: func() Channel { return &WeComApp{} }},
	// https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot: 100 a minute and 5 a second.
	{Name: "feishu", ZH: "飞书群机器人", EN: "Feishu robot", Merges: true, Limits: []Limit{{5, time.Second}, {100, time.Minute}}, make: func() Channel { return &Feishu{} }},
}

// Kinds lists the sorts of channels.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// KindOf finds a sort of channel by its name.
func KindOf(name string) (Kind, bool) {
	for _, k := range kinds {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// ErrKind says that there is no such channel.
var ErrKind = errors.New("no such kind of channel")

// Read reads the settings of a channel, strictly: a setting that it does not
// know is an error that names it.
func Read(kind string, settings []byte) (Channel, error) {
	k, ok := KindOf(kind)
	if !ok {
		return nil, fmt.Errorf("kind: %q: %w: want webhook, email, sms, dingtalk, wecom, wecom_app or feishu", kind, ErrKind)
	}
	c := k.make()
	if len(bytes.TrimSpace(settings)) == 0 {
		settings = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(settings))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	return c, nil
}
