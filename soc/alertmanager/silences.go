package alertmanager

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"
	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/ticketing"
	"icewatch/ticketing/silence"
)

// Silence is a silence as Alertmanager writes it.
type Silence struct {
	ID          string            `json:"id"`
	Status      SilenceStatus     `json:"status"`
	UpdatedAt   ticketing.Time    `json:"updatedAt"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Comment     string            `json:"comment"`
	CreatedBy   string            `json:"createdBy"`
	EndsAt      ticketing.Time    `json:"endsAt"`
	Matchers    labels.Matchers   `json:"matchers"`
	StartsAt    ticketing.Time    `json:"startsAt"`
}

// SilenceStatus tells where a silence stands.
type SilenceStatus struct {
	State silence.State `json:"state"`
}

// Show writes a silence as Alertmanager does.
func Show(l ticketing.Silence) Silence {
	return Silence{ID: l.ID, Status: SilenceStatus{l.State}, UpdatedAt: ticketing.Time{Time: l.UpdatedAt}, Annotations: l.Annotations, Comment: l.Comment,
		CreatedBy: l.CreatedBy, EndsAt: ticketing.Time{Time: l.EndsAt}, Matchers: l.Matchers, StartsAt: ticketing.Time{Time: l.StartsAt}}
}

// Posted is a silence as clients send it and as `amtool silence import` reads
// it. What is missing is nil.
type Posted struct {
	ID          string            `json:"id"`
	Matchers    *[]postedMatcher  `json:"matchers"`
	StartsAt    *time.Time        `json:"startsAt"`
	EndsAt      *time.Time        `json:"endsAt"`
	CreatedBy   *string           `json:"createdBy"`
	Comment     *string           `json:"comment"`
	Annotations map[string]string `json:"annotations"`
}

type postedMatcher struct {
	Name    *string `json:"name"`
	Value   *string `json:"value"`
	IsRegex *bool   `json:"isRegex"`
	IsEqual *bool   `json:"isEqual"` // default true
}

// Incomplete names the first field that is missing, "" where none is.
func (p *Posted) Incomplete() string {
	switch {
	case p.Comment == nil:
		return "comment"
	case p.CreatedBy == nil:
		return "createdBy"
	case p.EndsAt == nil:
		return "endsAt"
	case p.Matchers == nil:
		return "matchers"
	case p.StartsAt == nil:
		return "startsAt"
	}
	for i, m := range *p.Matchers {
		switch {
		case m.IsRegex == nil:
			return fmt.Sprintf("matchers.%d.isRegex", i)
		case m.Name == nil:
			return fmt.Sprintf("matchers.%d.name", i)
		case m.Value == nil:
			return fmt.Sprintf("matchers.%d.value", i)
		}
	}
	return ""
}

// Silence reads a complete silence for its maker. Who it was by the client's
// word stands behind the name that the suite knows him by.
func (p *Posted) Silence(actor string) (silence.Silence, error) {
	l := silence.Silence{ID: p.ID, StartsAt: *p.StartsAt, EndsAt: *p.EndsAt, Comment: *p.Comment, Annotations: p.Annotations, CreatedBy: actor}
	switch by := *p.CreatedBy; {
	case strings.HasPrefix(by, actor+" ("): // as it was shown to him
		l.CreatedBy = by
	case by != "" && by != actor:
		l.CreatedBy = fmt.Sprintf("%s (%s)", actor, by)
	}
	for i, m := range *p.Matchers {
		kind := labels.MatchEqual
		switch equal := m.IsEqual == nil || *m.IsEqual; {
		case equal && *m.IsRegex:
			kind = labels.MatchRegexp
		case *m.IsRegex:
			kind = labels.MatchNotRegexp
		case !equal:
			kind = labels.MatchNotEqual
		}
		matcher, err := labels.NewMatcher(kind, *m.Name, *m.Value)
		if err != nil {
			return l, fmt.Errorf("%w: invalid label matcher %d: invalid regular expression %.200q: %w", silence.ErrInvalid, i, *m.Value, err)
		}
		l.Matchers = append(l.Matchers, matcher)
	}
	return l, nil
}

func (s *Service) listSilences(c *fiber.Ctx) error {
	filter, err := silence.ParseMatchers(repeated(c, "filter"))
	if err != nil {
		return text(c, http.StatusBadRequest, "bad matcher format: "+err.Error())
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	out := []Silence{}
	var states []silence.State
	for _, state := range silence.States {
		if asked(c, string(state)) {
			states = append(states, state)
		}
	}
	if len(states) == 0 {
		return c.JSON(out)
	}
	list, err := s.Tickets.Silences(c.UserContext(), within, states...)
	if err != nil {
		return err
	}
	for _, l := range list {
		if l.Has(filter) {
			out = append(out, Show(l))
		}
	}
	return c.JSON(out)
}

// silenceID reads the id in the path.
func silenceID(c *fiber.Ctx) (id string, answered bool, err error) {
	id = c.Params("id")
	if uuid.Validate(id) != nil {
		return "", true, refused(c, http.StatusUnprocessableEntity, codeType, fmt.Sprintf("silenceID in path must be of type uuid: %.100q", id))
	}
	return id, false, nil
}

func (s *Service) getSilence(c *fiber.Ctx) error {
	id, answered, err := silenceID(c)
	if answered {
		return err
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	l, err := s.Tickets.Silence(c.UserContext(), within, id)
	if errors.Is(err, silence.ErrNotFound) {
		c.Status(http.StatusNotFound) // Alertmanager says no more
		return nil
	}
	if err != nil {
		return err
	}
	return c.JSON(Show(l))
}

func (s *Service) postSilence(c *fiber.Ctx) error {
	var in Posted
	if answered, err := decode(c, "silence", c.Body(), &in); answered {
		return err
	}
	if missing := in.Incomplete(); missing != "" {
		return refused(c, http.StatusUnprocessableEntity, codeRequired, missing+" in body is required")
	}
	if len(*in.Matchers) == 0 {
		return refused(c, http.StatusUnprocessableEntity, codeTooFew, "matchers in body should have at least 1 items")
	}
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	actor := s.Caller.Actor(c)
	l, err := in.Silence(actor)
	if err != nil {
		return explain(c, err)
	}
	s.Caller.AuditObject(c, "silence:"+l.ID, "", l.Matchers.String())
	made, err := s.Tickets.SetSilence(c.UserContext(), ticketing.Actor{Name: actor, Reach: within}, l)
	if err != nil {
		return explain(c, err)
	}
	detail := fmt.Sprintf("%s until %s", made.Matchers, made.EndsAt.Format(time.RFC3339))
	if l.ID != "" && l.ID != made.ID {
		detail += " in place of " + l.ID
	}
	s.Caller.AuditObject(c, "silence:"+made.ID, "", detail)
	return c.JSON(map[string]string{"silenceID": made.ID})
}

func (s *Service) deleteSilence(c *fiber.Ctx) error {
	id, answered, err := silenceID(c)
	if answered {
		return err
	}
	s.Caller.AuditObject(c, "silence:"+id, "", "expire")
	within, err := s.Caller.Reach(c)
	if err != nil {
		return err
	}
	l, err := s.Tickets.ExpireSilence(c.UserContext(), ticketing.Actor{Name: s.Caller.Actor(c), Reach: within}, id)
	if err != nil {
		return explain(c, err)
	}
	s.Caller.AuditObject(c, "silence:"+id, "", "expire "+l.Matchers.String())
	return nil
}

// Export writes silences as a file that `amtool silence import` reads.
func Export(list []ticketing.Silence) ([]byte, error) {
	out := make([]Silence, 0, len(list))
	for _, l := range list {
		out = append(out, Show(l))
	}
	return json.MarshalIndent(out, "", "  ")
}
