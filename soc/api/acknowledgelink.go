package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"icewatch/soc/reach"
	"icewatch/ticketing"
	"icewatch/ticketing/outbox"
)

// acknowledgeLinkRoutes registers the page behind the links of notifications.
// The signed token is good for the incidents of one notification, for each of
// them once. Whether it is enough,
// or whoever opens it has to sign in, is the contact point's setting. Opening it
// changes nothing, since programs open links on their own; pressing its button
// acknowledges.
func (s *notifying) acknowledgeLinkRoutes() {
	path := outbox.LinkPath + ":token"
	s.handle(http.MethodGet, path, "show-notification-link", scopePublic, func(c *fiber.Ctx) error {
		return s.answerAcknowledge(c, s.openLink(c))
	})
	s.handle(http.MethodPost, path, "use-notification-link", scopePublic, func(c *fiber.Ctx) error {
		if !sameOrigin(c) {
			return writeProblem(c, http.StatusForbidden, "the form is not of our own page")
		}
		o := s.openLink(c)
		if o.err == nil {
			var did []ticketing.Incident
			if did, o.err = s.Tickets.UseLink(c.UserContext(), o.by, o.link); o.err == nil {
				o.incidents, o.done = did, true
			}
		}
		st := stateOf(c.UserContext())
		st.actor, st.action = o.by.Name, "acknowledge-incident"
		if len(o.link.Incidents) > 0 {
			st.object, st.detail = "incident:"+clip(strings.Join(o.link.Incidents, ","), 200), "by the link of a notification to "+o.link.Receiver
		}
		if len(o.incidents) > 0 {
			st.tenant = o.incidents[0].Tenant
		}
		return s.answerAcknowledge(c, o)
	})
}

// opened is a link, and who opened it.
type opened struct {
	link      outbox.Link
	incidents []ticketing.Incident // those that are seen; once it is used, those that it acknowledged
	by        ticketing.Actor
	done      bool
	err       error
}

// waiting counts those that nobody has acknowledged.
func (o *opened) waiting() (n int) {
	for _, i := range o.incidents {
		if i.Status == ticketing.StatusOpen {
			n++
		}
	}
	return n
}

var (
	errLinkSignIn    = errors.New("api: the link needs a session of the console")
	errLinkForbidden = errors.New("api: who is signed in may not acknowledge the incident")
)

// openLink finds out what a link would do, in whose name.
func (s *notifying) openLink(c *fiber.Ctx) (o opened) {
	ctx := c.UserContext()
	var used error
	o.link, o.err = s.Tickets.Outbox().Link(ctx, strings.Clone(c.Params("token")))
	if errors.Is(o.err, outbox.ErrLinkUsed) {
		used, o.err = o.err, nil
	}
	if o.err != nil {
		return o
	}
	o.by = ticketing.Actor{Name: "contact-point:" + o.link.Receiver, Reach: reach.All()}
	if !o.link.Anyone {
		o.by = ticketing.Actor{}
		st := stateOf(ctx)
		why, err := s.identify(ctx, st, parseCredential("", c.Cookies(cookieName)))
		p := st.principal
		switch {
		case err != nil:
			o.err = err
			return o
		case why != "" || p == nil || p.Pending != "":
			o.err = errLinkSignIn
			return o
		}
		o.by = ticketing.Actor{Name: p.Actor(), Reach: s.reachOf(p)}
		if !s.mayAs(ctx, p, o.by.Reach, "acknowledge-incident") {
			o.err = errLinkForbidden
			return o
		}
	}
	o.incidents, o.err = s.Tickets.Linked(ctx, o.by.Reach, o.link)
	if o.err == nil {
		o.err = used
	}
	return o
}

func (s *notifying) answerAcknowledge(c *fiber.Ctx, o opened) error {
	english, say := languageOf(c)
	page, status := dutyContent{Lang: say("zh-CN", "en")}, http.StatusOK
	var conflict *ticketing.Conflict
	switch {
	case o.err == nil && o.done && len(o.incidents) > 1:
		page.Title = say("已确认", "Acknowledged")
		page.Text = fmt.Sprintf(say("%d 个事件已确认，记录为 %s。", "%d incidents are acknowledged, by %s."), len(o.incidents), o.by.Name)
	case o.err == nil && o.done:
		page.Title = say("已确认", "Acknowledged")
		page.Text = fmt.Sprintf(say("事件 %s 已确认，记录为 %s。", "%s is acknowledged, by %s."), o.incidents[0].ID, o.by.Name)
	case o.err == nil && o.waiting() == 0:
		page.Title = say("无需操作", "There is nothing to do")
		page.Text = say("该事件已有人处理或已关闭。", "Somebody looks after it already, or it is closed.")
	case o.err == nil && len(o.incidents) > 1:
		page.Title = fmt.Sprintf(say("确认这 %d 个事件？", "Acknowledge these %d incidents?"), o.waiting())
		page.Text = fmt.Sprintf(say("按下按钮后，将以 %s 的名义确认其中尚未确认的事件。", "The button acknowledges those that nobody has acknowledged, in the name of %s."), o.by.Name)
		page.Button = say("全部确认（我来处理）", "Acknowledge all: I look after them")
	case o.err == nil:
		page.Title = say("确认这一事件？", "Acknowledge this incident?")
		page.Text = fmt.Sprintf(say("按下按钮后，将以 %s 的名义确认该事件。链接只能使用一次。", "The button acknowledges it in the name of %s. The link works once."), o.by.Name)
		page.Button = say("确认（我来处理）", "Acknowledge: I look after it")
	case errors.As(o.err, &conflict):
		status = http.StatusConflict
		page.Title, page.Text = say("已有人确认", "It was acknowledged already"), conflict.Reason
		if !english {
			page.Text = fmt.Sprintf("事件 %s 已由 %s 处理。", conflict.Object, conflict.By)
		}
	case errors.Is(o.err, errLinkSignIn):
		status = http.StatusUnauthorized
		page.Title, page.Text = say("请先登录", "Sign in first"), say("登录控制台后，再次打开此链接即可确认。", "Sign in to the console, then open this link again to acknowledge.")
		page.More, page.MoreText = "/login?to="+incidentsPath(o.link.Incidents), say("登录", "Sign in")
	case errors.Is(o.err, errLinkForbidden), errors.Is(o.err, ticketing.ErrNotFound):
		status = http.StatusForbidden
		page.Title, page.Text = say("不能确认", "It cannot be acknowledged"), say("您没有处理该事件的权限。", "You may not look after this incident.")
		o.incidents = nil
	case errors.Is(o.err, outbox.ErrLinkUsed):
		status = http.StatusGone
		page.Title, page.Text = say("链接已使用", "The link was used"), say("每个链接只能使用一次。", "Each link works once.")
	case errors.Is(o.err, outbox.ErrLinkOver):
		status = http.StatusGone
		page.Title, page.Text = say("链接已失效", "The link does not hold any more"), say("请使用最新通知中的链接，或登录控制台确认。", "Use the link of the latest notification, or sign in to the console.")
	case errors.Is(o.err, outbox.ErrLink):
		status = http.StatusNotFound
		page.Title, page.Text = say("链接无效", "This is no link of the suite"), say("请检查链接是否完整。", "Check that it is complete.")
	default:
		return o.err
	}
	page.of(o.incidents, say)
	return writeLinkPage(c, status, page)
}
