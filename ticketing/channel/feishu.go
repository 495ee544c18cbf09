package channel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"icewatch/ticketing/webhook"
)

// Feishu is a robot of a Feishu or Lark group.
// Source: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
type Feishu struct {
	URL    string `json:"url" secret:"url" form:"text!;机器人 Webhook 地址;Webhook address of the robot"`
	Secret string `json:"secret,omitempty" secret:"true" form:"text;签名校验密钥;Secret of its signature"`
	AtAll  bool   `json:"at_all,omitempty" form:"switch;@ 所有人;Mention everybody"`
}

// maxFeishu bounds the text, in bytes; the service takes bodies of 20 KB.
const maxFeishu = 15000

// Check implements Channel.
func (f *Feishu) Check() error { return needURL("url", f.URL) }

// URLs implements Channel.
func (f *Feishu) URLs() []string { return []string{f.URL} }

// signature is what the service checks: HMAC-SHA256 of nothing, under the time
// and the secret, each on a line, in base64.
func (f *Feishu) signature(seconds int64) string {
	mac := hmac.New(sha256.New, []byte(strconv.FormatInt(seconds, 10)+"\n"+f.Secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Send implements Channel.
func (f *Feishu) Send(ctx context.Context, via *Via, n *Notice) Result {
	colour := "orange"
	switch {
	case n.Kind == "test" || n.Kind == "report":
		colour = "blue"
	case n.Payload.Status == webhook.Resolved:
		colour = "green"
	case n.Grave():
		colour = "red"
	}
	text := clip(n.Markdown, maxFeishu)
	if f.AtAll {
		text += "\n<at id=all></at>"
	}
	elements := []any{map[string]any{"tag": "markdown", "content": text}}
	var buttons []any
	button := func(label, kind, url string) {
		if url != "" {
			buttons = append(buttons, map[string]any{"tag": "button", "type": kind, "url": url, "text": map[string]string{"tag": "plain_text", "content": label}})
		}
	}
	button("确认 Acknowledge", "primary", n.Acknowledge)
	button("查看 Open", "default", n.Link)
	if len(buttons) > 0 {
		elements = append(elements, map[string]any{"tag": "action", "actions": buttons})
	}
	body := map[string]any{"msg_type": "interactive", "card": map[string]any{
		"config":   map[string]any{"wide_screen_mode": true},
		"header":   map[string]any{"template": colour, "title": map[string]string{"tag": "plain_text", "content": clip(n.Title, 200)}},
		"elements": elements,
	}}
	if f.Secret != "" {
		now := via.Clock().Unix()
		body["timestamp"], body["sign"] = strconv.FormatInt(now, 10), f.signature(now)
	}
	var a struct {
		Code    int    `json:"code"`
		Message string `json:"msg"`
	}
	r := via.askJSON(ctx, f.URL, body, &a)
	if r.Err != nil || a.Code == 0 {
		return r
	}
	switch a.Code {
	case 11232, 99991400: // more than 5 a second or 100 a minute
		return r.refused("Feishu", a.Code, a.Message, "the robot sent too much", time.Minute)
	case 19021:
		return r.refused("Feishu", a.Code, a.Message, "compare the secret and this machine's clock", -1)
	case 19022:
		return r.refused("Feishu", a.Code, a.Message, "this machine's address is not among those that the robot allows", -1)
	case 19024:
		return r.refused("Feishu", a.Code, a.Message, "the robot wants a keyword that the text does not hold", -1)
	case 19001:
		return r.refused("Feishu", a.Code, a.Message, "there is no such robot any more: compare the url", -1)
	}
	return r.refused("Feishu", a.Code, a.Message, "", -1)
}
