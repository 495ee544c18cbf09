package duty

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy says who is called while nobody has acknowledged an incident.
type Policy struct {
	Priorities  []string `json:"priorities" maxItems:"4" nullable:"false" required:"false" doc:"For these; none named: for all"`
	Steps       []Step   `json:"steps" minItems:"1" maxItems:"20" nullable:"false"`
	Repeat      int      `json:"repeat,omitempty" minimum:"0" maximum:"20" doc:"How often the steps are gone through again"`
	RepeatAfter int      `json:"repeat_after_minutes,omitempty" minimum:"0" maximum:"10080" doc:"Minutes after the last step until the first is done again; 0: as many as the first one has"`
	HeadAfter   int      `json:"head_after_minutes,omitempty" minimum:"0" maximum:"10080" doc:"Minutes after the last step until the head is called, once; 0: he is not, beyond what steps say"`
}

// Step is one call.
type Step struct {
	After int      `json:"after_minutes" required:"false" minimum:"0" maximum:"10080" doc:"Minutes after the step before; of the first: after the incident opened"`
	Lines []string `json:"lines" maxItems:"10" nullable:"false" required:"false" doc:"Keys of the team's lines: whoever is on duty there at that moment"`
	Users []string `json:"users" maxItems:"50" nullable:"false" required:"false"`
	Head  bool     `json:"head,omitempty"`
}

func (p *Policy) check(lines map[string]bool, head string) error {
	for i, v := range p.Priorities {
		if !isPriority(v) {
			return fmt.Errorf("priorities[%d]: %q: want P1, P2, P3 or P4", i, v)
		}
	}
	p.Priorities = orEmpty(p.Priorities)
	if len(p.Steps) == 0 {
		return fmt.Errorf("steps: it is empty: name one call at least")
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Lines, s.Users = orEmpty(s.Lines), orEmpty(s.Users)
		at := fmt.Sprintf("steps[%d]", i)
		if len(s.Lines) == 0 && len(s.Users) == 0 && !s.Head {
			return fmt.Errorf("%s: it calls nobody: name lines, users or the head", at)
		}
		for j, l := range s.Lines {
			if !lines[l] {
				return fmt.Errorf("%s.lines[%d]: the team has no line %q", at, j, l)
			}
		}
		if err := checkPeople(at+".users", s.Users); err != nil {
			return err
		}
		if s.Head && head == "" {
			return fmt.Errorf("%s.head: the team has no head: name one", at)
		}
		if s.After < 0 {
			return fmt.Errorf("%s.after_minutes: %d must not be negative", at, s.After)
		}
	}
	if p.HeadAfter > 0 && head == "" {
		return fmt.Errorf("head_after_minutes: the team has no head: name one")
	}
	if p.Repeat > 0 && p.Steps[0].After == 0 && p.RepeatAfter == 0 {
		return fmt.Errorf("repeat_after_minutes: the first step comes at once, so each repetition would: give it minutes")
	}
	return nil
}

// PolicyFor is the policy that counts for a priority: the first of the team's
// that is for it, else the built-in one, which calls the first line at once,
// each further line a quarter of an hour after the one before, and then the
// head.
func (c *Content) PolicyFor(priority string) Policy {
	for _, p := range c.Policies {
		if len(p.Priorities) == 0 || slices.Contains(p.Priorities, priority) {
			return p
		}
	}
	p := Policy{}
	for i, l := range c.Lines {
		s := Step{Lines: []string{l.Key}}
		if i > 0 {
			s.After = 15
		}
		p.Steps = append(p.Steps, s)
	}
	if c.Head != "" {
		p.HeadAfter = 15
	}
	return p
}

// Place is where an escalation stands: the next step is Step of Round. A Step
// that is as large as the number of steps is the final call of the head.
type Place struct{ Round, Step int }

// wait is how long after the step before the step at a place comes; ok is false
// where there is none: the policy is through.
func (p *Policy) wait(at Place) (d time.Duration, ok bool) {
	switch {
	case at.Step == 0 && at.Round > 0 && p.RepeatAfter > 0:
		return time.Duration(p.RepeatAfter) * time.Minute, true
	case at.Step < len(p.Steps):
		return time.Duration(p.Steps[at.Step].After) * time.Minute, true
	case at.Step == len(p.Steps) && at.Round == p.Repeat && p.HeadAfter > 0:
		return time.Duration(p.HeadAfter) * time.Minute, true
	default:
		return 0, false
	}
}

// next is the place after one.
func (p *Policy) next(at Place) Place {
	if at.Step+1 < len(p.Steps) {
		return Place{at.Round, at.Step + 1}
	}
	if at.Step < len(p.Steps) && at.Round < p.Repeat {
		return Place{at.Round + 1, 0}
	}
	return Place{at.Round, max(at.Step+1, len(p.Steps))}
}

// called says whom the step at a place calls at t. Where a line has nobody on
// duty, and nobody else is called, it is the head: a call reaches somebody.
func (r *Roster) called(t *Team, p *Policy, at Place, now time.Time) (people []string, why Text) {
	if at.Step >= len(p.Steps) {
		return []string{t.Head}, Text{ZH: "各级均未响应，通知负责人", EN: "Nobody responded at any level: the head is called"}
	}
	s := p.Steps[at.Step]
	var zh, en []string
	for _, key := range s.Lines {
		l, ok := t.Line(key)
		if !ok {
			continue
		}
		on := r.On(t, l, now)
		people = append(people, on.People...)
		zh, en = append(zh, l.Name.ZH), append(en, l.Name.EN)
	}
	people = append(people, s.Users...)
	if s.Head && t.Head != "" {
		people = append(people, t.Head)
		zh, en = append(zh, "负责人"), append(en, "the head")
	}
	slices.Sort(people)
	people = slices.Compact(people)
	why = Text{ZH: fmt.Sprintf("第 %d 级", at.Step+1), EN: fmt.Sprintf("Level %d", at.Step+1)}
	if len(zh) > 0 {
		why.ZH, why.EN = why.ZH+"："+strings.Join(zh, "、"), why.EN+": "+strings.Join(en, ", ")
	}
	if at.Round > 0 {
		why.ZH, why.EN = why.ZH+fmt.Sprintf("（第 %d 轮）", at.Round+1), why.EN+fmt.Sprintf(" (round %d)", at.Round+1)
	}
	if len(people) == 0 && t.Head != "" {
		people = []string{t.Head}
		why.ZH, why.EN = why.ZH+"，此刻无人当班，改为通知负责人", why.EN+"; nobody is on duty there at this moment, so the head is called"
	}
	return people, why
}
