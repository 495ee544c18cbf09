package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"icewatch/cmdb"
	"icewatch/soc/identity"
	"icewatch/soc/identity/access"
	"icewatch/soc/identity/federation"
	"icewatch/soc/identity/federation/peer"
	"icewatch/soc/search"
	"icewatch/soc/settings"
	"icewatch/soc/state"
	"icewatch/soc/units"
)

// ErrNotFound is what a service behind the API answers for a thing that does
// not exist; the API turns it, however deeply wrapped, into a 404.
var ErrNotFound = errors.New("not found")

// Problem makes an error that is answered as application/problem+json
// (RFC 9457) with the given status. The detail is shown to the client as it
// is, so it holds no secrets and no internals.
func Problem(status int, format string, args ...any) error {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// NotFound makes a 404. It is also the right answer for a thing of a tenant
// the caller may not see: that it exists is no business of his.
func NotFound(what, id string) error {
	return Problem(http.StatusNotFound, "there is no %s %q", what, id)
}

// unavailable is the answer of a route whose part of the suite is not there.
func unavailable(part string) error {
	return huma.ErrorWithHeaders(Problem(http.StatusServiceUnavailable, "%s is not available at the moment", part),
		http.Header{"Retry-After": {"5"}})
}

// Facts are what an error's detail tells a program: its Value. Values of any
// other type are taken out before the answer, since huma puts there what the
// client sent.
type Facts map[string]any

// RowsProblem is a problem with one entry for each wrong row of an import.
type RowsProblem struct {
	Type     string          `json:"type,omitempty"`
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Detail   string          `json:"detail"`
	Instance string          `json:"instance,omitempty"`
	Rejected int             `json:"rejected" doc:"Errors in all; errors lists the first"`
	Rows     []cmdb.RowError `json:"errors"`
}

// Error returns the detail.
func (p *RowsProblem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *RowsProblem) GetStatus() int { return p.Status }

// ContentType names the media type of a problem.
func (p *RowsProblem) ContentType(string) string { return "application/problem+json" }

// rowsProblem says which rows kept an import from happening.
func rowsProblem(r cmdb.Report) error {
	n := max(r.Rejected, len(r.Errors))
	return &RowsProblem{
		Title: http.StatusText(http.StatusUnprocessableEntity), Status: http.StatusUnprocessableEntity,
		Detail:   fmt.Sprintf("nothing was imported: the file has %d errors, the first: %s", n, r.Errors[0].Error()),
		Rejected: n, Rows: r.Errors,
	}
}

// importDetail sums up an import for the audit log.
func importDetail(r cmdb.Report) string {
	return fmt.Sprintf("created %d, updated %d, unchanged %d", r.Created, r.Updated, r.Unchanged)
}

// toProblem turns what a service answered into an error with a status. What
// it does not know becomes a 500 whose cause is in the log only, under the
// request's id.
func (s *Server) toProblem(ctx context.Context, err error) error {
	var se huma.StatusError
	var qe *search.QueryError
	var away *search.UnavailableError
	if problem, ok := signInProblem(err); ok {
		return problem
	}
	if problem := savedProblem(err); problem != nil {
		return problem
	}
	if problem, ok := cmdbProblem(err); ok {
		return problem
	}
	if problem := cmdbChangeProblem(err); problem != nil {
		return problem
	}
	if problem := approvalProblem(err); problem != nil {
		return problem
	}
	if problem := inboxProblem(err); problem != nil {
		return problem
	}
	if problem := attachmentProblem(err); problem != nil {
		return problem
	}
	switch {
	case errors.As(err, &se):
		return err
	case errors.As(err, &qe):
		p := &huma.ErrorModel{Status: http.StatusBadRequest, Title: http.StatusText(http.StatusBadRequest), Detail: qe.Error()}
		d := &huma.ErrorDetail{Location: "query.query", Message: qe.Reason}
		if qe.Position >= 0 {
			d.Value = Facts{"position": qe.Position}
		}
		p.Errors = append(p.Errors, d)
		return p
	case errors.Is(err, identity.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, identity.ErrExists):
		return Problem(http.StatusConflict, "%s", err.Error())
	case errors.Is(err, settings.ErrInvalid), errors.Is(err, access.ErrInvalid), errors.Is(err, units.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, access.ErrConflict), errors.Is(err, access.ErrPowers), errors.Is(err, units.ErrConflict):
		return Problem(http.StatusConflict, "%s", err.Error())
	case errors.Is(err, access.ErrNotFound), errors.Is(err, units.ErrNotFound):
		return Problem(http.StatusNotFound, "%s", err.Error())
	case errors.Is(err, settings.ErrNotFound), errors.Is(err, ErrNotFound), errors.Is(err, identity.ErrNotFound), errors.Is(err, cmdb.ErrNotFound), errors.Is(err, search.ErrNotFound):
		return Problem(http.StatusNotFound, "there is no such thing, or it is not within your reach")
	case errors.Is(err, cmdb.ErrCursor):
		return Problem(http.StatusBadRequest, "the cursor is none that a list gave")
	case errors.Is(err, cmdb.ErrTooLarge):
		return Problem(http.StatusRequestEntityTooLarge, "%s", err.Error())
	case errors.Is(err, cmdb.ErrInvalid):
		return Problem(http.StatusUnprocessableEntity, "%s", err.Error())
	case errors.Is(err, cmdb.ErrConflict):
		return Problem(http.StatusConflict, "%s", err.Error())
	case errors.Is(err, identity.ErrNoAccount), errors.Is(err, identity.ErrDisabled), errors.Is(err, federation.ErrUnmapped):
		// Only who has proved who he is hears this.
		return Problem(http.StatusForbidden, "%s", err.Error())
	case cmdb.Away(err):
		s.log.Warn("the CMDB's database cannot be asked", "request_id", RequestID(ctx), "error", err)
		return unavailable("the CMDB's database")
	case errors.Is(err, peer.ErrUnavailable):
		s.log.Warn("a directory cannot be asked", "request_id", RequestID(ctx), "error", err)
		return unavailable("the directory that keeps the password")
	case errors.Is(err, context.DeadlineExceeded):
		return Problem(http.StatusGatewayTimeout, "the request took longer than it may: narrow it down")
	case errors.Is(err, context.Canceled):
		return Problem(499, "the client went away")
	case errors.As(err, &away):
		return huma.ErrorWithHeaders(Problem(http.StatusServiceUnavailable, "search is not available at the moment: %s", away.Reason),
			http.Header{"Retry-After": {"5"}})
	case errors.Is(err, search.ErrUnavailable):
		return unavailable("search")
	}
	s.log.Error("request failed", "request_id", RequestID(ctx), "error", err)
	if fault := state.Fault(err); fault != "" {
		return Problem(http.StatusInsufficientStorage, "%s", fault)
	}
	return Problem(http.StatusInternalServerError, "something went wrong on the server; quote the request id to its operator")
}

// writeProblem answers outside of huma in the same form, or in that of the
// protocol that is spoken.
func writeProblem(c *fiber.Ctx, status int, detail string) error {
	if st := stateOf(c.UserContext()); st != nil && st.protocol != nil {
		return st.protocol.Refuse(c, status, detail)
	}
	p := huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail}
	if st := stateOf(c.UserContext()); st != nil {
		p.Instance = instance(st.requestID)
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the problem %q: %w", detail, err)
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Status(status).Send(body)
}

// instance names one request as a URI, as RFC 9457 wants it.
func instance(requestID string) string { return "urn:icewatch:request:" + requestID }

// finishProblem is a huma transformer. It puts the request's id into every
// problem and takes out the values that huma echoes from the request: one of
// them may be a password.
func finishProblem(ctx huma.Context, _ string, v any) (any, error) {
	finish := func(m *huma.ErrorModel) {
		m.Instance = instance(RequestID(ctx.Context()))
		for _, d := range m.Errors {
			if _, ours := d.Value.(Facts); !ours {
				d.Value = nil
			}
		}
	}
	switch p := v.(type) {
	case *huma.ErrorModel:
		finish(p)
	case *RowsProblem:
		p.Instance = instance(RequestID(ctx.Context()))
	case *SignInProblem:
		finish(&p.ErrorModel)
	}
	return v, nil
}

// fiberError answers what fiber or a raw handler returned as an error.
func (s *Server) fiberError(c *fiber.Ctx, err error) error {
	var fe *fiber.Error
	if errors.As(err, &fe) {
		return writeProblem(c, fe.Code, fe.Message)
	}
	p := s.toProblem(c.UserContext(), err)
	var he huma.HeadersError
	if errors.As(p, &he) {
		for k, vs := range he.GetHeaders() {
			c.Set(k, vs[0])
		}
	}
	var own *SignInProblem
	if errors.As(p, &own) {
		return own.write(c)
	}
	var se huma.StatusError
	if errors.As(p, &se) {
		return writeProblem(c, se.GetStatus(), se.Error())
	}
	return writeProblem(c, http.StatusInternalServerError, "something went wrong on the server")
}
