package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/identity"
	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/duty"
)

// dutyStyle is that of the page behind a link; the page's policy names it by its
// hash, and allows nothing else.
const dutyStyle = `:root{color-scheme:light dark}body{font:16px/1.6 system-ui,"PingFang SC","Microsoft YaHei",sans-serif;margin:0;padding:8vh 16px}
main{max-width:34rem;margin:0 auto;border:1px solid #8f959e55;border-radius:8px;padding:24px}
h1{font-size:20px;margin:0 0 12px}dl{display:grid;grid-template-columns:auto 1fr;gap:4px 16px;margin:0 0 16px}dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}
button{font:inherit;padding:8px 24px;border-radius:6px;border:1px solid #1f5fd6;background:#1f5fd6;color:#fff;cursor:pointer}`

var dutyStyleHash = func() string {
	sum := sha256.Sum256([]byte(dutyStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

var dutyPage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex"><title>{{.Title}}</title><style>` + dutyStyle + `</style></head>
<body><main><h1>{{.Title}}</h1>
{{with .Text}}<p>{{.}}</p>{{end}}
{{with .Facts}}<dl>{{range .}}<dt>{{index . 0}}</dt><dd>{{index . 1}}</dd>{{end}}</dl>{{end}}
{{with .Button}}<form method="post"><button>{{.}}</button></form>{{end}}
{{with .More}}<p><a href="{{.}}">{{$.MoreText}}</a></p>{{end}}
</main></body></html>
`))

type dutyContent struct {
	Lang, Title, Text, Button, More, MoreText string
	Facts                                     [][2]string
}

// dutyLinkRoutes registers the page behind the links of escalations. It needs no
// sign-in: the signed token is the credential, good for one incident, one
// person and one use. Opening it changes nothing, since programs open links on
// their own; pressing its button acknowledges.
func (s *Server) dutyLinkRoutes() {
	path := duty.LinkPath + ":token"
	s.handle(http.MethodGet, path, "show-acknowledge-link", scopePublic, func(c *fiber.Ctx) error {
		p, err := s.deps.Duty.Link(c.UserContext(), strings.Clone(c.Params("token")), s.reachOfUser)
		return s.answerLink(c, p, err, false)
	})
	s.handle(http.MethodPost, path, "use-acknowledge-link", scopePublic, func(c *fiber.Ctx) error {
		st := stateOf(c.UserContext())
		if !sameOrigin(c) {
			return writeProblem(c, http.StatusForbidden, "the form is not of our own page")
		}
		p, err := s.deps.Duty.UseLink(c.UserContext(), strings.Clone(c.Params("token")), s.reachOfUser)
		st.actor, st.action = p.Person, "acknowledge-incident"
		if p.Incident.ID != "" {
			st.object, st.tenant, st.detail = "incident:"+p.Incident.ID, p.Incident.Tenant, "by the link of a notification"
		}
		return s.answerLink(c, p, err, err == nil)
	})
}

// reachOfUser is what the user of a name may see at the moment, who has to be
// one that may acknowledge.
func (s *Server) reachOfUser(ctx context.Context, name string) (reach.Reach, error) {
	u, err := s.deps.Identity.UserByName(ctx, name)
	if err != nil {
		return reach.None(), errLinkPerson
	}
	p, err := s.deps.Identity.ActingAs(ctx, u.ID)
	if errors.Is(err, identity.ErrUnauthenticated) {
		return reach.None(), errLinkPerson
	}
	if err != nil {
		return reach.None(), err
	}
	r := s.reachOf(p)
	if !s.mayAs(ctx, p, r, "acknowledge-incident") {
		return reach.None(), errLinkPerson
	}
	return r, nil
}

var errLinkPerson = errors.New("api: the person of the link may not acknowledge at the moment")

func (s *Server) answerLink(c *fiber.Ctx, p duty.Preview, err error, done bool) error {
	english, say := languageOf(c)
	page := dutyContent{Lang: say("zh-CN", "en")}
	status := http.StatusOK
	var conflict *ticketing.Conflict
	switch {
	case err == nil && done:
		page.Title = say("已确认", "Acknowledged")
		page.Text = fmt.Sprintf(say("事件 %s 已由 %s 确认，升级呼叫已停止。", "%s was acknowledged by %s; nobody else is called."), p.Incident.ID, p.Person)
	case err == nil && p.Incident.Status != ticketing.StatusOpen:
		page.Title = say("无需操作", "There is nothing to do")
		page.Text = fmt.Sprintf(say("事件 %s 已由 %s 确认。", "%s was acknowledged by %s already."), p.Incident.ID, p.Incident.AcknowledgedBy)
	case err == nil:
		page.Title = say("确认这一事件？", "Acknowledge this incident?")
		page.Text = fmt.Sprintf(say("按下按钮后，将以 %s 的名义确认该事件，并停止升级呼叫。", "The button acknowledges it in the name of %s, and nobody else is called."), p.Person)
		page.Button = say("确认（我来处理）", "Acknowledge: I look after it")
	case errors.As(err, &conflict):
		status = http.StatusConflict
		page.Title, page.Text = say("已有人确认", "It was acknowledged already"), conflict.Reason
		if !english {
			page.Text = fmt.Sprintf("事件 %s 已由 %s 处理。", conflict.Object, conflict.By)
		}
	case errors.Is(err, duty.ErrLinkUsed):
		status = http.StatusGone
		page.Title, page.Text = say("链接已使用", "The link was used"), say("每个链接只能使用一次。", "Each link works once.")
	case errors.Is(err, duty.ErrExpired), errors.Is(err, duty.ErrLinkOver):
		status = http.StatusGone
		page.Title, page.Text = say("链接已失效", "The link does not hold any more"), say("请使用最新通知中的链接，或登录控制台确认。", "Use the link of the latest notification, or sign in to the console.")
	case errors.Is(err, duty.ErrLink):
		status = http.StatusNotFound
		page.Title, page.Text = say("链接无效", "This is no link of the suite"), say("请检查链接是否完整。", "Check that it is complete.")
	case errors.Is(err, errLinkPerson), errors.Is(err, ticketing.ErrNotFound):
		status = http.StatusForbidden
		page.Title, page.Text = say("不能确认", "It cannot be acknowledged"), say("链接对应的用户已无权处理该事件。", "The person of the link may not look after this incident any more.")
		p.Incident = ticketing.Incident{}
	default:
		return err
	}
	page.of([]ticketing.Incident{p.Incident}, say)
	return writeLinkPage(c, status, page)
}

// languageOf chooses between Chinese and English by what the browser asks for.
func languageOf(c *fiber.Ctx) (english bool, say func(zh, en string) string) {
	accept := strings.ToLower(strings.TrimSpace(c.Get(fiber.HeaderAcceptLanguage)))
	english = accept != "" && !strings.HasPrefix(accept, "zh") && !strings.HasPrefix(accept, "*")
	return english, func(zh, en string) string {
		if english {
			return en
		}
		return zh
	}
}

// of shows what the page is about.
func (page *dutyContent) of(incidents []ticketing.Incident, say func(zh, en string) string) {
	if len(incidents) == 0 || incidents[0].ID == "" {
		return
	}
	i := incidents[0]
	if len(incidents) > 1 {
		for _, i := range incidents[:min(len(incidents), maxOnPage)] {
			page.Facts = append(page.Facts, [2]string{i.ID + " " + i.Priority, say(i.Title.ZH, i.Title.EN)})
		}
		if left := len(incidents) - maxOnPage; left > 0 {
			page.Facts = append(page.Facts, [2]string{"…", fmt.Sprintf(say("另有 %d 个", "%d more"), left)})
		}
		page.More, page.MoreText = incidentsPath(nil), say("在控制台中查看", "See them in the console")
		return
	}
	page.Facts = [][2]string{{say("事件", "Incident"), i.ID}, {say("标题", "Title"), say(i.Title.ZH, i.Title.EN)}, {say("优先级", "Priority"), i.Priority}}
	if i.System != nil {
		page.Facts = append(page.Facts, [2]string{say("系统", "System"), i.System.Name})
	}
	page.More, page.MoreText = "/incidents/"+i.ID, say("在控制台中查看", "See it in the console")
}

// maxOnPage is how many incidents the page of a link names.
const maxOnPage = 20

// incidentsPath is where the console shows one incident, or several.
func incidentsPath(ids []string) string {
	if len(ids) == 1 {
		return "/incidents/" + ids[0]
	}
	return "/incidents"
}

func writeLinkPage(c *fiber.Ctx, status int, page dutyContent) error {
	var b bytes.Buffer
	if err := dutyPage.Execute(&b, page); err != nil {
		return fmt.Errorf("api: the page of a link: %w", err)
	}
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'sha256-"+dutyStyleHash+"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	c.Set(fiber.HeaderReferrerPolicy, "same-origin") // or the browser would hide where the form comes from
	c.Set(fiber.HeaderContentType, "text/html; charset=utf-8")
	return c.Status(status).Send(b.Bytes())
}
