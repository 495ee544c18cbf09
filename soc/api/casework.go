package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"

	"icewatch/soc/state"
	"icewatch/ticketing"
	"icewatch/ticketing/evidence"
	"icewatch/ticketing/observable"
	"icewatch/ticketing/plan"
	"icewatch/ticketing/statutory"
)

// Casework is what people keep of incidents beside their alerts. Its rooms know
// nothing of reach: the routes ask Incidents before each call.
type Casework struct {
	Incidents *ticketing.Service
	Evidence  *evidence.Locker
	Signer    evidence.Signer // the suite's key, of archives

	Plans       *plan.Store
	Observables *observable.Store // its Run must run
	Statutory   *statutory.Store
}

// OpenCasework opens the rooms of casework beside ticketing.
// known tells whether there is a user of a name; nil takes everybody.
func OpenCasework(ctx context.Context, db *state.DB, incidents *ticketing.Service, signer evidence.Signer, known func(name string) bool) (*Casework, error) {
	c := &Casework{Incidents: incidents, Signer: signer}
	var err error
	if c.Evidence, err = evidence.Open(ctx, db, evidence.Deps{Timeline: incidents, Clock: incidents.Now}); err != nil {
		return nil, err
	}
	if c.Plans, err = plan.Open(ctx, db, plan.Deps{Timeline: incidents, Known: known, Clock: incidents.Now}); err != nil {
		return nil, err
	}
	if c.Observables, err = observable.Open(ctx, db, observable.Deps{Timeline: incidents, Alerts: incidents.Sightings, Clock: incidents.Now}); err != nil {
		return nil, err
	}
	if c.Statutory, err = statutory.Open(ctx, db, statutory.Deps{Timeline: incidents, Clock: incidents.Now}); err != nil {
		return nil, err
	}
	return c, nil
}

// caseRoutes registers casework.
func (s *Server) caseRoutes() {
	if s.deps.Casework == nil {
		return
	}
	s.evidenceRoutes()
	s.observableRoutes()
	s.planRoutes()
	s.taskRoutes()
	s.reportRoutes()
}

// caseProblem says the errors of casework's rooms as problems.
func caseProblem(err error) error {
	for _, p := range []struct {
		kind   error
		status int
	}{
		{evidence.ErrNotFound, http.StatusNotFound}, {evidence.ErrInvalid, http.StatusUnprocessableEntity}, {evidence.ErrConflict, http.StatusConflict},
		{evidence.ErrTooLarge, http.StatusRequestEntityTooLarge}, {evidence.ErrDamaged, http.StatusInternalServerError},
		{plan.ErrNotFound, http.StatusNotFound}, {plan.ErrInvalid, http.StatusUnprocessableEntity}, {plan.ErrConflict, http.StatusConflict},
		{observable.ErrNotFound, http.StatusNotFound}, {observable.ErrInvalid, http.StatusUnprocessableEntity}, {observable.ErrConflict, http.StatusConflict},
		{statutory.ErrNotFound, http.StatusNotFound}, {statutory.ErrInvalid, http.StatusUnprocessableEntity}, {statutory.ErrConflict, http.StatusConflict}, {statutory.ErrForbidden, http.StatusForbidden},
	} {
		if errors.Is(err, p.kind) {
			return Problem(p.status, "%s", plain(err, p.kind, ""))
		}
	}
	return ticketProblem(err)
}

// theCase is an incident in the caller's reach, and who asks.
type theCase struct {
	ticketing.Incident
	by ticketing.Actor
}

// whole tells whether the caller sees all of the incident's tenant, and nothing
// of events is masked for him. Who does not, sees the evidence that he added
// himself, and no other.
func (c *theCase) whole() bool { return c.by.Reach.CoversWhole(c.Tenant) && c.by.Reach.Veil() == nil }

// may refuses what was taken from events that the caller may not see.
func (c *theCase) may(by string) error {
	if c.whole() || by == c.by.Name {
		return nil
	}
	return Problem(http.StatusForbidden, "what is kept of the incident %s may show events that are masked for you or not within your reach: ask somebody who sees the whole of %s", c.ID, c.Tenant)
}

// openCase finds the incident that a route is about. detail enters the audit log.
func (s *Server) openCase(ctx context.Context, id, detail string) (*theCase, error) {
	AuditObject(ctx, "incident:"+clip(id, 64), "", detail)
	by, err := acting(ctx)
	if err != nil {
		return nil, err
	}
	i, err := s.deps.Casework.Incidents.Heading(ctx, by.Reach, id)
	if err != nil {
		return nil, ticketProblem(err)
	}
	AuditObject(ctx, "incident:"+i.ID, i.Tenant, detail)
	return &theCase{i, by}, nil
}

// caseOp describes an operation on an incident.
func caseOp(id, method, path, summary string, errs ...int) huma.Operation {
	op := huma.Operation{OperationID: id, Method: method, Path: "/incidents/{id}" + path, Tags: []string{"incidents"}, Summary: summary, Errors: append([]int{404}, errs...)}
	if method == http.MethodPost {
		op.Errors = append(op.Errors, 409, 422)
	}
	return op
}

// anyFile describes an answer that is a file.
func anyFile(media string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}}
}

// attachment answers with a file that is in memory. name needs no quoting.
func attachment(media, name string, data []byte) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetHeader("Content-Type", media)
		hc.SetHeader("Content-Disposition", contentDisposition(name))
		hc.SetHeader("X-Content-Type-Options", "nosniff")
		humafiber.Unwrap(hc).Response().SetBodyRaw(data)
	}}
}

// streamed answers with a file that write makes as it is sent.
func (s *Server) streamed(ctx context.Context, media, name string, write func(ctx context.Context, w io.Writer) error) *huma.StreamResponse {
	conn := stateOf(ctx).conn
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		hc.SetStatus(http.StatusOK)
		hc.SetHeader("Content-Type", media)
		hc.SetHeader("Content-Disposition", contentDisposition(name))
		humafiber.Unwrap(hc).Context().SetBodyStreamWriter(func(w *bufio.Writer) {
			// The handler has returned; the stream has its own time.
			ctx, cancel := context.WithTimeout(s.stop, s.deps.StreamTimeout)
			defer cancel()
			if err := write(ctx, timed{w, conn}); err != nil {
				s.log.Warn("a file was cut short", "file", name, "error", err)
			}
		})
	}}
}

// contentDisposition names a file in ASCII, and as it is called (RFC 6266).
func contentDisposition(name string) string {
	ascii := make([]byte, 0, len(name))
	for _, r := range name {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			r = '_'
		}
		ascii = append(ascii, byte(r))
	}
	encoded := ""
	for _, b := range []byte(name) {
		if b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '.' || b == '_' {
			encoded += string(rune(b))
		} else {
			encoded += fmt.Sprintf("%%%02X", b)
		}
	}
	return fmt.Sprintf(`attachment; filename="%s"; filename*=UTF-8''%s`, ascii, encoded)
}

// stamp is the time in names of files.
func stamp(t time.Time) string { return t.UTC().Format("20060102T150405Z") }
