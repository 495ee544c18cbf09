package channel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DingTalk is a robot of a DingTalk group.
// Source: https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages
type DingTalk struct {
	URL       string   `json:"url" secret:"url" form:"text!;机器人 Webhook 地址;Webhook address of the robot"`
	Secret    string   `json:"secret,omitempty" secret:"true" form:"text;加签密钥 (SEC…);Secret of its signature (SEC…)"`
	AtMobiles []string `json:"at_mobiles,omitempty" form:"list;@ 手机号;Mention telephone numbers"`
	AtAll     bool     `json:"at_all,omitempty" form:"switch;@ 所有人;Mention everybody"`
	OnCall    bool     `json:"on_call,omitempty" form:"switch;呼叫时 @ 值班人员;Mention who is on call"`
}

// maxDingTalk bounds the text, in bytes; the service takes bodies of 20,000.
const maxDingTalk = 16000

// Check implements Channel.
func (d *DingTalk) Check() error {
	if err := needURL("url", d.URL); err != nil {
		return err
	}
	if u, _ := url.Parse(d.URL); u.Query().Get("access_token") == "" {
		return errors.New("url: it has no access_token: copy the whole address that DingTalk shows for the robot")
	}
	return nil
}

// URLs implements Channel.
func (d *DingTalk) URLs() []string { return []string{d.URL} }

// signature is what the service checks: HMAC-SHA256 of the time and the secret,
// each on a line, under the secret, in base64.
func (d *DingTalk) signature(millis int64) string {
	mac := hmac.New(sha256.New, []byte(d.Secret))
	mac.Write([]byte(strconv.FormatInt(millis, 10) + "\n" + d.Secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Send implements Channel.
func (d *DingTalk) Send(ctx context.Context, via *Via, n *Notice) Result {
	to, err := url.Parse(d.URL)
	if err != nil {
		return final("the url cannot be used")
	}
	if d.Secret != "" {
		now := via.Clock().UnixMilli()
		q := to.Query()
		q.Set("timestamp", strconv.FormatInt(now, 10))
		q.Set("sign", d.signature(now))
		to.RawQuery = q.Encode()
	}
	mobiles := slices.Clone(d.AtMobiles)
	if d.OnCall {
		mobiles = append(mobiles, phones(n)...)
	}
	text := clip(n.Markdown, maxDingTalk)
	for _, m := range mobiles {
		text += " @" + m // the service rings only who is in the text, too
	}
	var answer struct {
		Code    int    `json:"errcode"`
		Message string `json:"errmsg"`
	}
	r := via.askJSON(ctx, to.String(), map[string]any{
		"msgtype":  "markdown",
		"markdown": map[string]string{"title": clip(n.Title, 200), "text": text},
		"at":       map[string]any{"atMobiles": orEmpty(mobiles), "isAtAll": d.AtAll},
	}, &answer)
	if r.Err != nil || answer.Code == 0 {
		return r
	}
	switch answer.Code {
	case 130101, 410100: // more than 20 a minute: ten minutes of silence
		return r.refused("DingTalk", answer.Code, answer.Message, "the robot sent too much", 10*time.Minute)
	case -1: // busy
		return r.refused("DingTalk", answer.Code, answer.Message, "", 0)
	case 310000:
		hint := "its security settings refuse the message: keywords, signature or addresses"
		if strings.Contains(answer.Message, "sign") {
			hint = "compare the secret and this machine's clock"
		}
		return r.refused("DingTalk", answer.Code, answer.Message, hint, -1)
	case 300001, 40035, 300005:
		return r.refused("DingTalk", answer.Code, answer.Message, "there is no such robot any more: compare the access_token", -1)
	}
	return r.refused("DingTalk", answer.Code, answer.Message, "", -1)
}

// phones are those of the people whom a notice is for.
func phones(n *Notice) []string {
	var out []string
	for _, p := range n.People {
		if p.Phone != "" {
			out = append(out, p.Phone)
		}
	}
	return out
}

func orEmpty(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
