package channel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// WeCom is a robot of a WeCom group.
// Source: https://developer.work.weixin.qq.com/document/path/91770
type WeCom struct {
	URL       string   `json:"url" secret:"url" form:"text!;机器人 Webhook 地址;Webhook address of the robot"`
	AtMobiles []string `json:"at_mobiles,omitempty" form:"list;@ 手机号;Mention telephone numbers"`
	AtAll     bool     `json:"at_all,omitempty" form:"switch;@ 所有人;Mention everybody"`
	OnCall    bool     `json:"on_call,omitempty" form:"switch;呼叫时 @ 值班人员;Mention who is on call"`
}

// The longest contents that the service takes, in bytes.
const (
	maxWeComMarkdown = 4096
	maxWeComText     = 2048
)

// Check implements Channel.
func (w *WeCom) Check() error {
	if err := needURL("url", w.URL); err != nil {
		return err
	}
	if u, _ := url.Parse(w.URL); u.Query().Get("key") == "" {
		return errors.New("url: it has no key: copy the whole address that WeCom shows for the robot")
	}
	return nil
}

// URLs implements Channel.
func (w *WeCom) URLs() []string { return []string{w.URL} }

type wecomAnswer struct {
	Code        int    `json:"errcode"`
	Message     string `json:"errmsg"`
	InvalidUser string `json:"invaliduser"`
	Token       string `json:"access_token"`
	Expires     int    `json:"expires_in"`
}

// Send implements Channel. The service mentions telephone numbers in plain
// text only, so a notice that mentions somebody is plain.
func (w *WeCom) Send(ctx context.Context, via *Via, n *Notice) Result {
	mobiles := slices.Clone(w.AtMobiles)
	if w.OnCall {
		mobiles = append(mobiles, phones(n)...)
	}
	if w.AtAll {
		mobiles = append(mobiles, "@all")
	}
	body := map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": clip(n.Markdown, maxWeComMarkdown)}}
	if len(mobiles) > 0 {
		body = map[string]any{"msgtype": "text", "text": map[string]any{"content": clip(n.Text, maxWeComText), "mentioned_mobile_list": mobiles}}
	}
	var a wecomAnswer
	r := via.askJSON(ctx, w.URL, body, &a)
	if r.Err != nil || a.Code == 0 {
		return r
	}
	return a.judge(r)
}

func (a *wecomAnswer) judge(r Result) Result {
	switch a.Code {
	case 45009, 45033: // too many calls
		return r.refused("WeCom", a.Code, a.Message, "it was sent too much", time.Minute)
	case -1: // busy
		return r.refused("WeCom", a.Code, a.Message, "", 0)
	case 93000:
		return r.refused("WeCom", a.Code, a.Message, "there is no such robot any more: compare the key", -1)
	case 40001, 40013:
		return r.refused("WeCom", a.Code, a.Message, "compare corp_id and secret", -1)
	case 60020:
		return r.refused("WeCom", a.Code, a.Message, "this machine's address is not among the application's trusted ones", -1)
	case 81013:
		return r.refused("WeCom", a.Code, a.Message, "nobody of the recipients may see the application", -1)
	}
	return r.refused("WeCom", a.Code, a.Message, "", -1)
}

// WeComApp sends messages of an application of WeCom to its members.
// Source: https://developer.work.weixin.qq.com/document/path/90236
type WeComApp struct {
	CorpID  string `json:"corp_id" form:"text!;企业 ID;Corporation id"`
	AgentID int64  `json:"agent_id" form:"number!;应用 AgentId;AgentId of the application"`
	Secret  string `json:"secret" secret:"true" form:"text!;应用 Secret;Secret of the application"`
	ToUser  string `json:"to_user,omitempty" form:"text;成员账号（以 | 分隔，@all 为全部）;Members, separated by | (@all for everybody)"`
	ToParty string `json:"to_party,omitempty" form:"text;部门 ID（以 | 分隔）;Departments, separated by |"`
	ToTag   string `json:"to_tag,omitempty" form:"text;标签 ID（以 | 分隔）;Tags, separated by |"`
	API     string `json:"api,omitempty" form:"text;接口地址（私有化部署）;Address of the interface (private deployments);https://qyapi.weixin.qq.com"`
}

// Check implements Channel.
func (w *WeComApp) Check() error {
	switch {
	case w.CorpID == "":
		return errors.New("corp_id: it is empty: WeCom shows it under My Company")
	case w.AgentID <= 0:
		return fmt.Errorf("agent_id: %d: want the number that WeCom shows for the application", w.AgentID)
	case w.Secret == "":
		return errors.New("secret: it is empty")
	case w.ToUser == "" && w.ToParty == "" && w.ToTag == "":
		return errors.New("to_user: nobody is named: give members, departments or tags")
	}
	return needURL("api", w.api())
}

func (w *WeComApp) api() string {
	if w.API == "" {
		return "https://qyapi.weixin.qq.com"
	}
	return strings.TrimRight(w.API, "/")
}

// URLs implements Channel.
func (w *WeComApp) URLs() []string { return []string{w.api()} }

// Send implements Channel. The access token is kept until it expires, and made
// anew once where the service says that it has before.
func (w *WeComApp) Send(ctx context.Context, via *Via, n *Notice) Result {
	body := map[string]any{
		"touser": w.ToUser, "toparty": w.ToParty, "totag": w.ToTag, "agentid": w.AgentID,
		"msgtype": "markdown", "markdown": map[string]string{"content": clip(n.Markdown, maxWeComText)},
		// A message that is repeated within half an hour is dropped there.
		"enable_duplicate_check": 1, "duplicate_check_interval": 1800,
	}
	for again := false; ; again = true {
		token, r := w.token(ctx, via)
		if r.Err != nil {
			return r
		}
		var a wecomAnswer
		r = via.askJSON(ctx, w.api()+"/cgi-bin/message/send?access_token="+url.QueryEscape(token), body, &a)
		if r.Err != nil {
			return r
		}
		switch {
		case a.Code == 0:
			return r
		case !again && (a.Code == 42001 || a.Code == 40014 || a.Code == 41001):
			via.tokens.drop(w.owner())
		default:
			return a.judge(r)
		}
	}
}

// owner names the token: another secret is another token.
func (w *WeComApp) owner() string {
	return strings.Join([]string{"wecom", w.api(), w.CorpID, w.Secret}, "\x00")
}

func (w *WeComApp) token(ctx context.Context, via *Via) (string, Result) {
	if t := via.tokens.get(w.owner(), via.Clock()); t != "" {
		return t, Result{}
	}
	q := url.Values{"corpid": {w.CorpID}, "corpsecret": {w.Secret}}
	var a wecomAnswer
	r := via.read(via.ask(ctx, http.MethodGet, w.api()+"/cgi-bin/gettoken?"+q.Encode(), nil, nil))(&a)
	if r.Err != nil {
		return "", r
	}
	if a.Code != 0 || a.Token == "" {
		return "", a.judge(r)
	}
	// A little less than it lives, so that it does not expire on the way.
	via.tokens.put(w.owner(), a.Token, via.Clock().Add(time.Duration(max(a.Expires-120, 60))*time.Second))
	return a.Token, r
}
