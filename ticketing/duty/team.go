// Package duty knows who is on duty: teams, the layers of rotations that make
// their rosters, overrides and swaps on top, and whom to call next while nobody
// has acknowledged an incident. Who is on duty when is one pure function over a
// snapshot of all of that, Roster.OnDuty, which also says why; the tables, the
// escalations that go on over a crash and the signed links of notifications
// stand around it.
package duty

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/ticketing/workdays"
)

// Text is a text in both languages of the suite.
type Text = detections.Text

// Content is a team as it is written.
type Content struct {
	Name       Text     `json:"name"`
	Unit       string   `json:"unit,omitempty" maxLength:"64" doc:"Id of the organisation it belongs to"`
	Tenants    []string `json:"tenants" maxItems:"1000" nullable:"false" required:"false" doc:"Whose incidents it looks after; none named: everybody's"`
	Systems    []string `json:"systems" maxItems:"1000" nullable:"false" required:"false" doc:"Only those of these systems (id or name); none named: all"`
	Priorities []string `json:"priorities" maxItems:"4" nullable:"false" required:"false" doc:"Only those of these priorities; none named: all"`
	Owners     []string `json:"owners" maxItems:"100" nullable:"false" required:"false" doc:"What stands as owner of an item or system in the CMDB and means this team; its id and its names always do"`
	Head       string   `json:"head,omitempty" maxLength:"64" doc:"Name of the user who is called when nobody else acknowledges"`
	Zone       string   `json:"zone,omitempty" maxLength:"64" doc:"IANA time zone of its hours; Asia/Shanghai by default"`
	Receivers  []string `json:"receivers" maxItems:"50" nullable:"false" required:"false" doc:"Receivers of its escalations; none named: all that are told of the tenant"`
	Lines      []Line   `json:"lines" minItems:"1" maxItems:"10" nullable:"false" doc:"First line, second line, …: whoever is on the first has the incident"`
	Policies   []Policy `json:"policies" maxItems:"10" nullable:"false" required:"false" doc:"Who is called when; the first that is for the priority counts. None: the first line at once, each next one after 15 minutes, then the head"`
}

// Team is a team as it is kept.
type Team struct {
	ID        string    `json:"id"`
	Revision  int64     `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
	Content
}

// Line is one level of a team's duty.
type Line struct {
	Key    string  `json:"key" maxLength:"32" doc:"Small letters, digits and hyphens; does not change"`
	Name   Text    `json:"name"`
	Layers []Layer `json:"layers" maxItems:"20" nullable:"false" required:"false" doc:"Where several have somebody on duty, the last of them counts"`
}

// Layer is one rotation: groups of people who take turns, within certain hours.
// Or it is a plan by date, and then Shifts says all.
type Layer struct {
	Name    string            `json:"name,omitempty" maxLength:"100"`
	From    workdays.Date     `json:"from" required:"false" maxLength:"10" doc:"The day on whose hand-over the first turn begins"`
	Until   workdays.Date     `json:"until,omitempty" maxLength:"10" doc:"The last day; none: for ever"`
	Turn    Turn              `json:"turn" required:"false"`
	People  [][]string        `json:"people" maxItems:"200" nullable:"false" required:"false" doc:"Who takes turns: in each group all are on duty together; an empty group is a turn of nobody"`
	Days    string            `json:"days,omitempty" enum:"all,workdays,restdays" doc:"On which days: all, workdays (make-up days too), or days of rest and holidays"`
	Windows []workdays.Window `json:"windows" maxItems:"50" nullable:"false" required:"false" doc:"Within these hours only; none: around the clock. By workdays or restdays a day that makes up counts as a Monday and a holiday as a Sunday"`
	Shifts  []Shift           `json:"shifts" maxItems:"5000" nullable:"false" required:"false" doc:"A plan by date instead of turns"`
}

// Turn says how long a turn of a rotation is.
type Turn struct {
	Every    int    `json:"every,omitempty" minimum:"0" maximum:"1000" doc:"1 by default"`
	Unit     string `json:"unit,omitempty" enum:"hour,day,week" doc:"day by default. Hours that divide a day follow the clock on the wall"`
	Handover string `json:"handover,omitempty" maxLength:"5" doc:"HH:MM; 09:00 by default"`
}

// The units of turns.
const (
	Hour = "hour"
	Day  = "day"
	Week = "week"
)

// The days on which a layer holds.
const (
	AllDays  = "all"
	Workdays = "workdays"
	RestDays = "restdays"
)

// Shift is a stretch of duty.
type Shift struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	People []string  `json:"people" maxItems:"50" nullable:"false" required:"false"`
}

// Override puts others on duty for a while.
type Override struct {
	ID       string    `json:"id"`
	Team     string    `json:"team"`
	Line     string    `json:"line"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	People   []string  `json:"people" nullable:"false" required:"false"`
	Replaces string    `json:"replaces,omitempty" doc:"Only this person's place is taken; the others stay"`
	Note     string    `json:"note,omitempty"`
	By       string    `json:"by"`
	Swap     string    `json:"swap,omitempty" doc:"Id of the swap that made it"`
}

// Bounds of what is written.
const (
	maxName     = 100 // characters
	maxPerson   = 64  // bytes of a user's name
	maxGroup    = 50  // people of one turn
	maxDuration = 400 * 24 * time.Hour
)

var keyForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Check names the first thing of a team that cannot be, with its place, and
// fills in what is left out.
func (c *Content) Check() error {
	if err := checkText("name", &c.Name); err != nil {
		return err
	}
	if _, err := workdays.Zone(c.Zone); err != nil {
		return err
	}
	for i, p := range c.Priorities {
		if !isPriority(p) {
			return fmt.Errorf("priorities[%d]: %q: want P1, P2, P3 or P4", i, p)
		}
	}
	if len(c.Lines) == 0 {
		return fmt.Errorf("lines: it is empty: a team has one at least")
	}
	seen := map[string]bool{}
	for i := range c.Lines {
		l := &c.Lines[i]
		at := fmt.Sprintf("lines[%d]", i)
		if !keyForm.MatchString(l.Key) {
			return fmt.Errorf("%s.key: %q: want small letters, digits and hyphens, 32 at most", at, l.Key)
		}
		if seen[l.Key] {
			return fmt.Errorf("%s.key: %q is given twice", at, l.Key)
		}
		seen[l.Key] = true
		if err := checkText(at+".name", &l.Name); err != nil {
			return err
		}
		for j := range l.Layers {
			if err := l.Layers[j].check(); err != nil {
				return fmt.Errorf("%s.layers[%d].%w", at, j, err)
			}
		}
		l.Layers = orEmpty(l.Layers)
	}
	for i := range c.Policies {
		if err := c.Policies[i].check(seen, c.Head); err != nil {
			return fmt.Errorf("policies[%d].%w", i, err)
		}
	}
	for _, list := range []*[]string{&c.Tenants, &c.Systems, &c.Priorities, &c.Owners, &c.Receivers} {
		*list = orEmpty(*list)
	}
	c.Policies = orEmpty(c.Policies)
	return nil
}

func isPriority(p string) bool { return len(p) == 2 && p[0] == 'P' && p[1] >= '1' && p[1] <= '4' }

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// checkText wants a name in one language at least, and copies it to the other.
func checkText(at string, t *Text) error {
	t.ZH, t.EN = strings.TrimSpace(t.ZH), strings.TrimSpace(t.EN)
	if t.ZH == "" {
		t.ZH = t.EN
	}
	if t.EN == "" {
		t.EN = t.ZH
	}
	if t.ZH == "" {
		return fmt.Errorf("%s: it is empty", at)
	}
	if utf8.RuneCountInString(t.ZH) > maxName || utf8.RuneCountInString(t.EN) > maxName {
		return fmt.Errorf("%s: want at most %d characters", at, maxName)
	}
	return nil
}

func checkPeople(at string, people []string) error {
	if len(people) > maxGroup {
		return fmt.Errorf("%s: %d people, at most %d", at, len(people), maxGroup)
	}
	for i, p := range people {
		if p == "" || len(p) > maxPerson || strings.TrimSpace(p) != p {
			return fmt.Errorf("%s[%d]: %q: want a user's name", at, i, p)
		}
		if slices.Contains(people[:i], p) {
			return fmt.Errorf("%s: %s is named twice", at, p)
		}
	}
	return nil
}

func (l *Layer) check() error {
	if utf8.RuneCountInString(l.Name) > maxName {
		return fmt.Errorf("name: want at most %d characters", maxName)
	}
	l.People, l.Windows, l.Shifts = orEmpty(l.People), orEmpty(l.Windows), orEmpty(l.Shifts)
	if l.Days == "" {
		l.Days = AllDays
	}
	if len(l.Shifts) > 0 {
		if len(l.People) > 0 {
			return fmt.Errorf("shifts: a layer has either turns of people or a plan by date, not both")
		}
		slices.SortStableFunc(l.Shifts, func(a, b Shift) int { return a.From.Compare(b.From) })
		for i, s := range l.Shifts {
			if !s.To.After(s.From) || s.To.Sub(s.From) > maxDuration {
				return fmt.Errorf("shifts[%d]: it ends at %s and begins at %s: want an end after the beginning, by at most 400 days", i, s.To.Format(time.RFC3339), s.From.Format(time.RFC3339))
			}
			if err := checkPeople(fmt.Sprintf("shifts[%d].people", i), s.People); err != nil {
				return err
			}
			l.Shifts[i].People = orEmpty(s.People)
		}
		return nil
	}
	if _, err := time.Parse(time.DateOnly, string(l.From)); err != nil {
		return fmt.Errorf("from: %q: want the day of the first turn, YYYY-MM-DD", l.From)
	}
	if l.Until != "" {
		if _, err := time.Parse(time.DateOnly, string(l.Until)); err != nil {
			return fmt.Errorf("until: %q: want YYYY-MM-DD", l.Until)
		}
		if l.Until < l.From {
			return fmt.Errorf("until: %s is before from, %s", l.Until, l.From)
		}
	}
	if l.Turn.Every == 0 {
		l.Turn.Every = 1
	}
	if l.Turn.Unit == "" {
		l.Turn.Unit = Day
	}
	if l.Turn.Handover == "" {
		l.Turn.Handover = "09:00"
	}
	if l.Turn.Every < 0 || l.Turn.Every > 1000 {
		return fmt.Errorf("turn.every: %d: want 1 to 1000", l.Turn.Every)
	}
	if !slices.Contains([]string{Hour, Day, Week}, l.Turn.Unit) {
		return fmt.Errorf("turn.unit: %q: want hour, day or week", l.Turn.Unit)
	}
	if m, err := workdays.ParseClock(l.Turn.Handover); err != nil || m == 24*60 {
		return fmt.Errorf("turn.handover: %q: want a time of day such as 09:00", l.Turn.Handover)
	}
	if !slices.Contains([]string{AllDays, Workdays, RestDays}, l.Days) {
		return fmt.Errorf("days: %q: want all, workdays or restdays", l.Days)
	}
	if len(l.People) == 0 {
		return fmt.Errorf("people: it is empty: name who takes turns, or shifts by date")
	}
	for i, group := range l.People {
		if err := checkPeople(fmt.Sprintf("people[%d]", i), group); err != nil {
			return err
		}
		l.People[i] = orEmpty(group)
	}
	if _, err := (workdays.Spec{Windows: l.Windows}).Compile(nil); err != nil {
		return err
	}
	return nil
}

// Members lists all who stand anywhere in the team, in order.
func (c *Content) Members() []string {
	var out []string
	for _, l := range c.Lines {
		for _, layer := range l.Layers {
			for _, group := range layer.People {
				out = append(out, group...)
			}
			for _, s := range layer.Shifts {
				out = append(out, s.People...)
			}
		}
	}
	for _, p := range c.Policies {
		for _, s := range p.Steps {
			out = append(out, s.Users...)
		}
	}
	if c.Head != "" {
		out = append(out, c.Head)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Line finds a line by its key.
func (c *Content) Line(key string) (*Line, bool) {
	for i := range c.Lines {
		if c.Lines[i].Key == key {
			return &c.Lines[i], true
		}
	}
	return nil, false
}
