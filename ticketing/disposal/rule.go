// Package disposal does by rule what else a dispatcher does by hand: an alert or
// incident that matches a rule at a time for which the rule is goes to the
// person responsible, becomes a work order or a draft of an early warning, is
// told to contact points and goes on to others where nobody takes it.
//
// Rules see an incident once, when it opens, and an alert once, when it is
// raised; each has what it did written down before it goes on, and does it again
// where it was cut off, which changes nothing.
package disposal

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/pkg/labels"

	"icewatch/detections"
	"icewatch/ticketing/silence"
	"icewatch/ticketing/workorder"
)

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("disposal: not found")
	ErrInvalid  = errors.New("disposal: invalid")
	ErrConflict = errors.New("disposal: conflict")
)

// What a rule is for.
const (
	OnIncident = "incident"
	OnAlert    = "alert"
)

// To whom a rule assigns.
const (
	ToUser   = "user"
	ToOwner  = "owner"   // who stands as owner of the item or system in the CMDB
	ToOnDuty = "on_duty" // of a team
)

// Content is a rule as people write it. Conditions that are left out hold
// always; values of one are alternatives.
type Content struct {
	Name        string   `json:"name" minLength:"1" maxLength:"120"`
	Description string   `json:"description,omitempty" maxLength:"2000"`
	Enabled     bool     `json:"enabled"`
	On          string   `json:"on" enum:"incident,alert"`
	Severities  []string `json:"severities,omitempty" maxItems:"5" nullable:"false"`
	Priorities  []string `json:"priorities,omitempty" maxItems:"4" nullable:"false" doc:"P1 to P4"`
	Tenants     []string `json:"tenants,omitempty" maxItems:"500" nullable:"false"`
	Matchers    []string `json:"matchers,omitempty" maxItems:"64" nullable:"false" doc:"As of silences: system=~\"税务.*\", ci!=web-01. Of an incident: title, tenant, severity, priority, system, ci, owner, unit, team; of an alert also what routes match, such as rule_id, attack, threat, risk, verdict, criticality, and attacker, victim"`
	Times       []Hours  `json:"times,omitempty" maxItems:"20" nullable:"false" doc:"When the rule is in force; none: always"`
	Zone        string   `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone of the times; Asia/Shanghai by default"`
	Last        bool     `json:"last,omitempty" doc:"Rules below it do not see what it matched"`

	Assign    *Assign   `json:"assign,omitempty"`
	WorkOrder string    `json:"work_order,omitempty" maxLength:"64" doc:"Id of a connection: make a work order there"`
	Notice    bool      `json:"notice,omitempty" doc:"Draft an early warning"`
	Tell      *Tell     `json:"tell,omitempty"`
	Escalate  *Escalate `json:"escalate,omitempty"`
	Close     *Closing  `json:"close,omitempty"`
}

// Hours recur each week.
type Hours struct {
	Days []int  `json:"days,omitempty" maxItems:"7" nullable:"false" doc:"1 Monday to 7 Sunday; none: each day"`
	From string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Such as 18:00"`
	To   string `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"Before from: on the next day; equal to it: the whole day"`
}

// Assign gives the thing to somebody who has nobody yet.
type Assign struct {
	To   string `json:"to" enum:"user,owner,on_duty"`
	User string `json:"user,omitempty" maxLength:"200" doc:"Of user, and of the others where they find nobody"`
	Team string `json:"team,omitempty" maxLength:"64" doc:"Of on_duty"`
	Anew bool   `json:"anew,omitempty" doc:"Also where somebody has it already"`
}

// Tell notifies contact points.
type Tell struct {
	Receivers []string `json:"receivers" minItems:"1" maxItems:"20" nullable:"false" doc:"Names"`
	Recovery  bool     `json:"recovery,omitempty" doc:"Tell them when it is closed, too"`
}

// Escalate goes on where nobody acknowledges.
type Escalate struct {
	After     int      `json:"after_minutes" minimum:"1" maximum:"10080"`
	User      string   `json:"user,omitempty" maxLength:"200" doc:"Who gets it then"`
	Receivers []string `json:"receivers,omitempty" maxItems:"20" nullable:"false" doc:"Who is told then"`
}

// Closing closes the thing at once, after all else that the rule does: what is known
// to be a false alarm, by its attacker, victim, risk, attack or rule, waits for
// nobody. It can be opened again.
type Closing struct {
	Resolution string `json:"resolution" enum:"true_positive,false_positive,benign,test,duplicate"`
	Comment    string `json:"comment" minLength:"1" maxLength:"1000" doc:"Why; it enters the timeline"`
}

// resolutions are those that a rule may close with.
var resolutions = []string{"true_positive", "false_positive", "benign", "test", "duplicate"}

// Rule is a rule as it is kept.
type Rule struct {
	ID       string `json:"id"`
	Position int    `json:"position" doc:"Rules are asked in their order"`
	Revision int64  `json:"revision"`
	Content
	UpdatedAt int64  `json:"updated_at" doc:"Unix milliseconds"`
	UpdatedBy string `json:"updated_by"`
	DeletedAt int64  `json:"deleted_at,omitempty" doc:"Unix milliseconds"`
	DeletedBy string `json:"deleted_by,omitempty"`
	Matched   int    `json:"matched" doc:"How many things it matched"`
	LastAt    int64  `json:"last_at,omitempty" doc:"When it matched last, Unix milliseconds"`

	test *test
}

// test is a rule's conditions, compiled.
type test struct {
	matchers labels.Matchers
	zone     *time.Location
}

// compile checks a rule.
func (c *Content) compile() (*test, error) {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
	}
	c.Name = strings.TrimSpace(c.Name)
	if n := utf8.RuneCountInString(c.Name); n == 0 || n > 120 {
		return nil, invalid("name: %d characters, want 1 to 120", n)
	}
	if c.On != OnIncident && c.On != OnAlert {
		return nil, invalid("on: %q: want incident or alert", c.On)
	}
	for i, l := range c.Severities {
		if !slices.Contains(detections.Levels, detections.Level(l)) {
			return nil, invalid("severities[%d]: %q: want critical, high, medium, low or informational", i, l)
		}
	}
	for i, p := range c.Priorities {
		if !slices.Contains([]string{"P1", "P2", "P3", "P4"}, p) {
			return nil, invalid("priorities[%d]: %q: want P1, P2, P3 or P4", i, p)
		}
	}
	t := &test{}
	var err error
	if t.matchers, err = silence.ParseMatchers(c.Matchers); err != nil {
		return nil, invalid("matchers: %s", err)
	}
	if c.Zone == "" {
		c.Zone = "Asia/Shanghai"
	}
	if t.zone, err = time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
		return nil, invalid("zone: %q: want an IANA time zone such as Asia/Shanghai", c.Zone)
	}
	for i, h := range c.Times {
		if _, err := time.Parse("15:04", h.From); err != nil {
			return nil, invalid("times[%d].from: %q: want a time such as 18:00", i, h.From)
		}
		if _, err := time.Parse("15:04", h.To); err != nil {
			return nil, invalid("times[%d].to: %q: want a time such as 08:30", i, h.To)
		}
		for _, d := range h.Days {
			if d < 1 || d > 7 {
				return nil, invalid("times[%d].days: %d: want 1 for Monday to 7 for Sunday", i, d)
			}
		}
	}
	if c.Assign == nil && c.WorkOrder == "" && !c.Notice && c.Tell == nil && c.Escalate == nil && c.Close == nil {
		return nil, invalid("the rule does nothing: want assign, work_order, notice, tell, escalate or close")
	}
	if e := c.Close; e != nil {
		e.Comment = strings.TrimSpace(e.Comment)
		switch n := utf8.RuneCountInString(e.Comment); {
		case !slices.Contains(resolutions, e.Resolution):
			return nil, invalid("close.resolution: %q: want one of %s", e.Resolution, strings.Join(resolutions, ", "))
		case n == 0 || n > 1000:
			return nil, invalid("close.comment: %d characters, want 1 to 1000", n)
		case c.Escalate != nil:
			return nil, invalid("escalate: what the rule closes goes on to nobody")
		case len(c.Matchers) == 0 && len(c.Severities) == 0:
			return nil, invalid("matchers: a rule that closes everything is none: want matchers or severities")
		}
	}
	if a := c.Assign; a != nil {
		switch {
		case a.To != ToUser && a.To != ToOwner && a.To != ToOnDuty:
			return nil, invalid("assign.to: %q: want user, owner or on_duty", a.To)
		case a.To == ToUser && a.User == "":
			return nil, invalid("assign.user: it is empty: whom is it assigned to?")
		case a.To == ToOnDuty && a.Team == "":
			return nil, invalid("assign.team: it is empty: whose duty?")
		}
	}
	if c.Tell != nil && len(c.Tell.Receivers) == 0 {
		return nil, invalid("tell.receivers: nobody is named")
	}
	if e := c.Escalate; e != nil {
		if e.After < 1 || e.After > 7*24*60 {
			return nil, invalid("escalate.after_minutes: %d: want 1 to 10080", e.After)
		}
		if e.User == "" && len(e.Receivers) == 0 {
			return nil, invalid("escalate: want a user or receivers")
		}
	}
	return t, nil
}

// labelsOf are what matchers see.
func labelsOf(sub *workorder.Subject) map[string]string {
	set := map[string]string{"title": sub.Title, "tenant": sub.Tenant, "severity": sub.Severity, "priority": sub.Priority, "system": sub.System, "ci": sub.Item,
		"owner": sub.Owner, "unit": sub.Unit, "team": sub.Team}
	for name, v := range sub.Labels {
		set[name] = v
	}
	return set
}

// matches tells whether a rule is for a thing at a time.
func (c *Content) matches(t *test, sub *workorder.Subject, at time.Time) bool {
	among := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	return c.On == sub.Kind && among(c.Severities, sub.Severity) && among(c.Priorities, sub.Priority) && among(c.Tenants, sub.Tenant) &&
		silence.Matches(t.matchers, labelsOf(sub)) && c.inForce(at.In(t.zone))
}

// inForce tells whether a time of the rule's zone is among its times. Hours that
// end on the next day are those of the day on which they begin.
func (c *Content) inForce(at time.Time) bool {
	if len(c.Times) == 0 {
		return true
	}
	clock, day := at.Format("15:04"), (int(at.Weekday())+6)%7+1
	for _, h := range c.Times {
		on := func(day int) bool { return len(h.Days) == 0 || slices.Contains(h.Days, day) }
		switch {
		case h.From < h.To:
			if on(day) && clock >= h.From && clock < h.To {
				return true
			}
		case on(day) && clock >= h.From || on((day+5)%7+1) && clock < h.To:
			return true
		}
	}
	return false
}
