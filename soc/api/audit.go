package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"icewatch/soc/audit"
	"icewatch/soc/audit/forward"
	"icewatch/soc/identity"
)

// AuditSignIn marks the operation as a sign-in by actor over channel, e.g.
// "password" or "oidc", so that it is recorded whatever its method and outcome.
// Call it before the first thing that can fail, and again with the session's
// id when there is one.
func AuditSignIn(ctx context.Context, actor, channel, session string) {
	if st := stateOf(ctx); st != nil {
		st.kind, st.actor, st.channel, st.session = audit.KindSignIn, clip(actor, 128), channel, session
		if st.object == "" {
			st.object = "session"
		}
	}
}

// AuditFactorAsked says that a sign-in's first factor was right and the next is
// asked for: neither a sign-in nor a failure, whatever the answer's status.
func AuditFactorAsked(ctx context.Context) {
	if st := stateOf(ctx); st != nil {
		st.kind, st.detail, st.factorAsked = audit.KindAccess, "the first factor was right, the next is asked for", true
	}
}

// AuditChange says for the audit log how the object was and is; nil where it
// was not there or is not any more. Fields whose names speak of a secret are
// recorded without their values.
func AuditChange(ctx context.Context, before, after any) {
	st := stateOf(ctx)
	if st == nil {
		return
	}
	changes, err := audit.Diff(before, after)
	if err != nil {
		changes = []audit.Change{{Field: "(the change cannot be shown: " + err.Error() + ")"}}
	}
	if len(changes) > 0 {
		st.changes, _ = json.Marshal(changes)
	}
}

// maxAsked bounds the body of a request that is recorded as what was asked, in
// bytes.
const maxAsked = 64 << 10

// askedOf is what a changing request asked for, as changes without a before,
// where its handler did not say better: so no operation is forgotten. What
// people do to their own account is full of secrets and is left out.
func askedOf(c *fiber.Ctx) json.RawMessage {
	body := c.Body()
	if bytes.HasPrefix(c.Request().Header.ContentType(), []byte("application/octet-stream")) || // a file
		len(body) == 0 || len(body) > maxAsked || body[0] != '{' || len(bytes.Trim(body, "{} \t\r\n")) == 0 ||
		strings.HasPrefix(c.Path(), prefix+"/auth/") || strings.HasPrefix(c.Path(), prefix+"/me/") {
		return nil
	}
	changes, err := audit.Diff(nil, json.RawMessage(body))
	if err != nil || len(changes) == 0 {
		return nil // not JSON after all
	}
	raw, _ := json.Marshal(changes)
	return raw
}

// AuditFindings says for the audit log what was unusual about a sign-in, in
// words without spaces such as "new_device".
func AuditFindings(ctx context.Context, findings ...string) {
	if st := stateOf(ctx); st != nil {
		st.findings = findings
	}
}

// sensitiveReads lists the operations that change nothing and are recorded all
// the same, for what they show: events as they were sent, who may do what, the
// audit log itself. Every operation whose id begins with "export-" is one too.
var sensitiveReads = []string{
	"search", "get-event", "get-event-original",
	"list-users", "get-user", "list-tokens", "list-sessions", "list-grants", "explain-access",
	"list-audit", "track-user",
}

// isSensitive tells whether the operation reads sensitive data.
func isSensitive(operation string) bool {
	return strings.HasPrefix(operation, "export-") || slices.Contains(sensitiveReads, operation)
}

// readOf says in words what a reading request asked for: its parameters, but
// for those that only turn the page, so that paging is one read.
func readOf(c *fiber.Ctx) string {
	var words []string
	for name, value := range c.Context().QueryArgs().All() {
		switch string(name) {
		case "limit", "offset", "cursor":
		default:
			words = append(words, clip(string(name), 64)+"="+strconv.Quote(clip(string(value), 600)))
		}
	}
	return strings.Join(words, " ")
}

// record writes the audit log for a request that went through the router:
// every change, sign-in, refusal and read of sensitive data. Events taken in
// are no changes.
func (s *Server) record(c *fiber.Ctx) {
	st := stateOf(c.UserContext())
	status := c.Response().StatusCode()
	rec := st.auditRecord()
	rec.Result = audit.OK
	if rec.Action == "" {
		rec.Kind, rec.Action = audit.KindAccess, "access"
	}
	if rec.Object == "" {
		rec.Object = clip(c.Path(), 200)
	}
	read := safeMethod(c.Method()) && isSensitive(rec.Action)
	switch {
	case rec.Kind != "":
	case read:
		rec.Kind = audit.KindRead
		if rec.Detail == "" {
			rec.Detail = readOf(c)
		}
	case strings.HasPrefix(rec.Action, "login"):
		rec.Kind = audit.KindSignIn
	case rec.Action == "logout":
		rec.Kind = audit.KindSignOut
	default:
		rec.Kind = audit.KindChange
	}
	switch {
	case st.factorAsked:
		s.deps.Audit.Note(rec)
		return
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusTooManyRequests && st.principal == nil:
		rec.Result, rec.Changes = audit.Denied, nil
		s.deps.Audit.Note(rec)
		return
	case st.intake, st.skipAudit, safeMethod(c.Method()) && (rec.Kind == audit.KindChange || rec.Kind == audit.KindAccess):
		return
	case status >= 400:
		rec.Result, rec.Changes = audit.Failed, nil
		if rec.Detail == "" {
			rec.Detail = whyFailed(c, status)
		}
		s.deps.Audit.Note(rec)
		return
	}
	if rec.Kind == audit.KindChange && rec.Changes == nil {
		rec.Changes = askedOf(c)
	}
	// It has happened; the client's going away must not keep it out of the log.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), 10*time.Second)
	defer cancel()
	write := s.deps.Audit.Append
	if rec.Kind == audit.KindRead {
		write = s.deps.Audit.Read
	}
	if err := write(ctx, rec); err != nil {
		s.log.Error("a change or read could not be written to the audit log", "error", err, "request_id", rec.RequestID,
			"actor", rec.Actor, "action", rec.Action, "object", rec.Object, "address", rec.Address)
	}
}

// whyFailed is what the client was told.
func whyFailed(c *fiber.Ctx, status int) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(c.Response().Body(), &problem) != nil || problem.Detail == "" {
		return http.StatusText(status)
	}
	return clip(problem.Detail, 500)
}

// auditRecord is what is known of a request for the audit log.
func (st *reqState) auditRecord() audit.Record {
	rec := audit.Record{
		Time: time.Now(), Kind: st.kind, Actor: st.principal.Actor(), Action: st.action, Object: st.object, Address: st.address,
		Tenant: st.tenant, RequestID: st.requestID, Session: st.session, Channel: st.channel, Client: st.userAgent,
		Findings: st.findings, Detail: st.detail, Changes: st.changes,
	}
	if p := st.principal; p != nil {
		rec.Unit = p.Unit
		if rec.Session == "" {
			rec.Session = p.SessionID
		}
		if rec.Channel == "" {
			rec.Channel = cmp.Or(p.Channel, p.Via)
		}
	}
	if st.actor != "" {
		rec.Actor = st.actor
	}
	return rec
}

// AuditInput is the part of an operation's input that selects records.
type AuditInput struct {
	TimeInput
	Kind    string `query:"kind" enum:"sign-in,sign-out,change,read,access,system"`
	Action  string `query:"action" maxLength:"100"`
	Object  string `query:"object" maxLength:"200" doc:"Part of the object"`
	Result  string `query:"result" enum:"ok,failed,denied"`
	Address string `query:"address" maxLength:"64"`
	Tenant  string `query:"tenant" maxLength:"128"`
	Channel string `query:"channel" maxLength:"64"`
	Session string `query:"session" maxLength:"64"`
	Q       string `query:"q" maxLength:"256" doc:"Words, each of which stands somewhere in the record"`
}

// query turns the input into a query; without any time it reaches back by the
// default given, 0 for all.
func (in AuditInput) query(back time.Duration) (audit.Query, error) {
	q := audit.Query{Kind: in.Kind, Action: in.Action, Object: in.Object, Result: in.Result, Address: in.Address, Tenant: in.Tenant,
		Channel: in.Channel, Session: in.Session, Text: in.Q}
	if back == 0 && in.TimeInput == (TimeInput{}) {
		return q, nil
	}
	if back == 0 {
		back = 100 * 365 * 24 * time.Hour
	}
	var err error
	q.Start, q.End, err = in.timeRange(time.Now(), back)
	return q, err
}

// auditRoutes registers reading the audit log. Its settings have operations of
// their own (settingRoutes).
func (s *Server) auditRoutes() {
	Register(s, huma.Operation{OperationID: "list-audit", Method: http.MethodGet, Path: "/audit", Tags: []string{"audit"},
		Summary: "Who did what, newest first"}, identity.ScopeAudit,
		func(ctx context.Context, in *struct {
			AuditInput
			PageInput
			Actor string `query:"actor" maxLength:"128"`
		}) (*Body[Page[audit.Record]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			q, err := in.query(0)
			if err != nil {
				return nil, err
			}
			q.Actor, q.Limit = in.Actor, in.Limit
			if in.Cursor != "" {
				n, err := strconv.ParseInt(in.Cursor, 10, 64)
				if err != nil || n < 1 {
					return nil, Problem(http.StatusBadRequest, "the cursor is none that a list gave")
				}
				q.Before = n
			}
			page, err := s.deps.Audit.List(ctx, q)
			if err != nil {
				return nil, err
			}
			next := ""
			if page.Next > 0 {
				next = strconv.FormatInt(page.Next, 10)
			}
			return Reply(PageOf(page.Items, page.Total, next)), nil
		})

	Register(s, huma.Operation{OperationID: "list-audit-actions", Method: http.MethodGet, Path: "/audit/actions", Tags: []string{"audit"},
		Summary: "The actions that the audit log holds"}, identity.ScopeAudit,
		func(ctx context.Context, _ *Empty) (*Body[Page[string]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			list, err := s.deps.Audit.Actions(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, huma.Operation{OperationID: "track-user", Method: http.MethodGet, Path: "/audit/track", Tags: []string{"audit"},
		Summary: "What one user did, step by step, by session; the last day by default"}, identity.ScopeAudit,
		func(ctx context.Context, in *struct {
			AuditInput
			User  string `query:"user" required:"true" minLength:"1" maxLength:"128" doc:"User name, or token:NAME"`
			Limit int    `query:"limit" minimum:"1" maximum:"5000" default:"5000" doc:"Steps at most"`
		}) (*Body[audit.Track], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			q, err := in.query(24 * time.Hour)
			if err != nil {
				return nil, err
			}
			q.Actor = in.User
			track, err := s.deps.Audit.Track(ctx, q, in.Limit)
			return Reply(track), err
		})

	Register(s, huma.Operation{OperationID: "verify-audit", Method: http.MethodGet, Path: "/audit/verify", Tags: []string{"audit"},
		Summary: "Whether the audit log is whole: hashes, signatures, checkpoints"}, identity.ScopeAudit,
		func(ctx context.Context, _ *Empty) (*Body[audit.Report], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			report, err := s.deps.Audit.Check(ctx)
			return Reply(report), err
		})

	Register(s, huma.Operation{OperationID: "get-audit-forward", Method: http.MethodGet, Path: "/audit/forward", Tags: []string{"audit"},
		Summary: "How far the receivers of audit records have come"}, identity.ScopeAudit,
		func(ctx context.Context, _ *Empty) (*Body[Page[forward.Status]], error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			if s.deps.Forward == nil {
				return nil, unavailable("the forwarding of audit records")
			}
			list, err := s.deps.Forward.Status(ctx)
			return Reply(PageOf(list, len(list), "")), err
		})

	Register(s, huma.Operation{OperationID: "export-audit", Method: http.MethodGet, Path: "/audit/export", Tags: []string{"audit"},
		Summary: "A stretch of the audit log with its signatures, to be verified anywhere by icectl audit verify --file", Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{typeNDJSON: {Schema: &huma.Schema{Type: "string"}}}}}}, identity.ScopeAudit,
		func(ctx context.Context, in *struct{ TimeInput }) (*huma.StreamResponse, error) {
			if err := cityOnly(ctx); err != nil {
				return nil, err
			}
			q, err := AuditInput{TimeInput: in.TimeInput}.query(0)
			if err != nil {
				return nil, err
			}
			conn := stateOf(ctx).conn
			return &huma.StreamResponse{Body: func(hc huma.Context) {
				hc.SetStatus(http.StatusOK)
				hc.SetHeader("Content-Type", typeNDJSON)
				hc.SetHeader("Content-Disposition", `attachment; filename="icewatch-audit-`+time.Now().UTC().Format("20060102T150405Z")+`.ndjson"`)
				humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
					// The handler has returned; the stream has its own time.
					ctx, cancel := context.WithTimeout(s.stop, s.deps.StreamTimeout)
					defer cancel()
					// Where this fails the export lacks its signed end, which who
					// verifies it notices.
					if _, err := s.deps.Audit.Export(ctx, timed{w, conn}, q.Start, q.End); err != nil {
						s.log.Warn("an export of the audit log was cut short", "error", err)
					}
				})
			}}, nil
		})
}

// timed writes to a client that has a bounded time to take each piece.
type timed struct {
	w    *bufio.Writer
	conn net.Conn
}

// Write implements io.Writer.
func (t timed) Write(b []byte) (int, error) {
	if t.w.Available() < len(b) && t.conn != nil {
		if err := t.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
			return 0, err
		}
	}
	return t.w.Write(b)
}
