package provider

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strings"

	"icewatch/soc/identity"
)

// style is that of the pages a browser is shown; it stands in them, and the
// policy names it by its hash, so that nothing else can be slipped in.
const style = `body{font:16px/1.6 system-ui,"PingFang SC","Microsoft YaHei",sans-serif;color:#1f2329;background:#f5f6f8;margin:0;padding:12vh 16px}
main{max-width:30rem;margin:0 auto;background:#fff;border:1px solid #dee0e3;border-radius:8px;padding:32px}
h1{font-size:20px;margin:0 0 16px}ul{padding-left:20px}p.detail{color:#646a73;overflow-wrap:anywhere}
button{font:inherit;padding:6px 20px;border-radius:6px;border:1px solid #1f5fd6;background:#1f5fd6;color:#fff;margin-right:12px;cursor:pointer}
button.no{background:#fff;color:#1f2329;border-color:#bbbfc4}`

// PagePolicy is the Content-Security-Policy of the pages. formTarget is an
// origin that a form's answer may lead to beside our own.
func PagePolicy(formTarget string) string {
	sum := sha256.Sum256([]byte(style))
	return fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; form-action 'self' %s; frame-ancestors 'none'; base-uri 'none'",
		base64.StdEncoding.EncodeToString(sum[:]), formTarget)
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.Title}}</title><style>` + style + `</style></head>
<body><main><h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>{{end}}
{{with .List}}<ul>{{range .}}<li>{{.}}</li>{{end}}</ul>{{end}}
{{with .Detail}}<p class="detail">{{.}}</p>{{end}}
{{if .Action}}<form method="post" action="{{.Action}}">
{{range .Hidden}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}<button name="{{.Button}}" value="yes">{{.Yes}}</button><button class="no" name="{{.Button}}" value="no">{{.No}}</button>
</form>{{end}}
</main></body></html>
`))

type hidden struct{ Name, Value string }

// content is what a page shows.
type content struct {
	Lang, Title, Text, Detail string
	List                      []string
	Action, Button, Yes, No   string
	Hidden                    []hidden
}

func render(c content) []byte {
	var b bytes.Buffer
	if err := page.Execute(&b, c); err != nil {
		panic("oidc: a page cannot be made: " + err.Error()) // the template and its data are ours
	}
	return b.Bytes()
}

// chinese tells whether a page is in Chinese: unless the browser prefers
// another language.
func chinese(accept string) bool {
	first, _, _ := strings.Cut(accept, ",")
	first = strings.ToLower(strings.TrimSpace(first))
	return first == "" || strings.HasPrefix(first, "zh") || strings.HasPrefix(first, "*")
}

func choose(accept, zh, en string) string {
	if chinese(accept) {
		return zh
	}
	return en
}

func lang(accept string) string { return choose(accept, "zh-CN", "en") }

// carry makes hidden fields of a request.
func carry(q url.Values) []hidden {
	out := []hidden{}
	for _, k := range slices.Sorted(maps.Keys(q)) {
		out = append(out, hidden{k, q.Get(k)})
	}
	return out
}

// problem is the page for what cannot be told the client.
func (s *Service) problem(status int, language, detail string) Answer {
	return Answer{Status: status, Page: render(content{Lang: lang(language), Detail: detail,
		Title: choose(language, "无法登录该应用", "The sign-in to this application failed"),
		Text:  choose(language, "应用发来的请求有误，请将以下说明转告应用管理员。", "The application's request is wrong. Please pass the following on to its administrator.")})}
}

// scopeTexts say what a scope lets an application know.
var scopeTexts = map[string]Text{
	"openid":         {ZH: "您的用户标识", EN: "who you are (an id)"},
	"profile":        {ZH: "您的用户名和姓名", EN: "your user name and name"},
	"email":          {ZH: "您的电子邮箱", EN: "your e-mail address"},
	"groups":         {ZH: "您所在的用户组", EN: "your groups"},
	"roles":          {ZH: "您的角色", EN: "your roles"},
	scopeIcewatch:    {ZH: "您的单位和可见的租户", EN: "your unit and the tenants you see"},
	"offline_access": {ZH: "在您保持登录期间持续更新以上信息", EN: "to keep this up to date while you are signed in"},
}

// consentPage asks the user whether the application may know who he is.
func (s *Service) consentPage(a *authorization, q url.Values, p *identity.Principal, language string) Answer {
	name := firstOf(choose(language, a.app.Name.ZH, a.app.Name.EN), a.app.Name.ZH, a.app.Name.EN)
	what := []string{}
	for _, sc := range a.scopes {
		t := scopeTexts[sc]
		what = append(what, choose(language, t.ZH, t.EN))
	}
	u, err := url.Parse(a.redirectURI)
	if err != nil {
		return s.problem(400, language, "the redirect URI cannot be read")
	}
	origin := u.Scheme + "://" + u.Host
	return Answer{Status: 200, FormTarget: origin, Page: render(content{
		Lang:   lang(language),
		Title:  fmt.Sprintf(choose(language, "允许“%s”获取您的信息？", "Let “%s” know who you are?"), name),
		Text:   fmt.Sprintf(choose(language, "您以 %s 登录。该应用（%s）将得到：", "You are signed in as %s. The application at %s will get:"), p.Username, origin),
		List:   what,
		Action: Path + PathConsent, Button: "consent", Hidden: carry(q),
		Yes: choose(language, "同意", "Allow"), No: choose(language, "拒绝", "Refuse"),
	})}
}

// signOutPage asks the user whether it was he who wants to sign out.
func (s *Service) signOutPage(q url.Values, p *identity.Principal, target, language string) Answer {
	a := Answer{Status: 200, Page: render(content{
		Lang:   lang(language),
		Title:  choose(language, "退出登录？", "Sign out?"),
		Text:   fmt.Sprintf(choose(language, "您以 %s 登录。退出后，所有应用将一并退出。", "You are signed in as %s. Signing out ends the sessions of all applications."), p.Username),
		Action: Path + PathEndSession, Button: "confirm", Hidden: carry(q),
		Yes: choose(language, "退出", "Sign out"), No: choose(language, "取消", "Cancel"),
	})}
	if u, err := url.Parse(target); err == nil && u.Host != "" {
		a.FormTarget = u.Scheme + "://" + u.Host
	}
	return a
}
