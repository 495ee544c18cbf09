package duty

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"icewatch/ticketing/workdays"
)

// Roster is all that decides who is on duty, at one moment of its making. It is
// never changed.
type Roster struct {
	Teams     []Team
	Overrides []Override // in the order in which they were made
	Holidays  *workdays.Holidays
}

// Question asks who is on duty.
type Question struct {
	Tenant   string
	System   string // id or name; "" where there is none
	SysName  string // its name, where System is its id
	Priority string // P1 to P4; "" asks for no priority in particular
	Owners   []string
	At       time.Time
}

// Answer says who is on duty and why.
type Answer struct {
	Team   *TeamRef `json:"team,omitempty" doc:"Absent where no team looks after it"`
	People []string `json:"people" nullable:"false" doc:"Who is called first: the first line that has somebody on duty, else the head"`
	Lines  []OnLine `json:"lines" nullable:"false"`
	Why    []Text   `json:"why" nullable:"false"`
}

// TeamRef names a team.
type TeamRef struct {
	ID   string `json:"id"`
	Name Text   `json:"name"`
	Head string `json:"head,omitempty"`
}

// OnLine is who is on duty on one line.
type OnLine struct {
	Line   string   `json:"line"`
	Name   Text     `json:"name"`
	People []string `json:"people" nullable:"false"`
	Why    []Text   `json:"why" nullable:"false"`
}

// OnDuty decides which team looks after what is asked, and who of it is on duty
// at that moment. It depends on nothing but its receiver and the question.
func (r *Roster) OnDuty(q Question) Answer {
	out := Answer{People: []string{}, Lines: []OnLine{}, Why: []Text{}}
	team, why := r.route(q)
	out.Why = append(out.Why, why...)
	if team == nil {
		return out
	}
	out.Team = &TeamRef{ID: team.ID, Name: team.Name, Head: team.Head}
	for i := range team.Lines {
		l := &team.Lines[i]
		on := r.On(team, l, q.At)
		out.Lines = append(out.Lines, on)
		if len(out.People) == 0 && len(on.People) > 0 {
			out.People = on.People
			out.Why = append(out.Why, Text{ZH: l.Name.ZH + "当班：" + strings.Join(on.People, "、"), EN: l.Name.EN + " on duty: " + strings.Join(on.People, ", ")})
		}
	}
	if len(out.People) == 0 && team.Head != "" {
		out.People = []string{team.Head}
		out.Why = append(out.Why, Text{ZH: "此刻无人当班，由负责人 " + team.Head + " 处理", EN: "Nobody is on duty at this moment: it goes to the head, " + team.Head})
	} else if len(out.People) == 0 {
		out.Why = append(out.Why, Text{ZH: "此刻无人当班，且班组没有负责人", EN: "Nobody is on duty at this moment, and the team has no head"})
	}
	return out
}

// route finds the team that looks after what is asked: the one whose conditions
// say most about it.
func (r *Roster) route(q Question) (*Team, []Text) {
	var best *Team
	var bestScore int
	var bestWhy []Text
	for i := range r.Teams {
		t := &r.Teams[i]
		score, why, ok := t.suits(q)
		if ok && (best == nil || score > bestScore) {
			best, bestScore, bestWhy = t, score, why
		}
	}
	if best == nil {
		return nil, []Text{{ZH: "没有班组负责该租户、系统与优先级", EN: "No team looks after this tenant, system and priority"}}
	}
	head := Text{ZH: "班组：" + best.Name.ZH, EN: "Team: " + best.Name.EN}
	return best, append([]Text{head}, bestWhy...)
}

// suits tells whether the team looks after what is asked, and how much its
// conditions say about that: an owner outweighs a system, a system a tenant, a
// tenant a priority.
func (t *Team) suits(q Question) (score int, why []Text, ok bool) {
	say := func(weight int, zh, en string) {
		score += weight
		why = append(why, Text{ZH: zh, EN: en})
	}
	if len(t.Tenants) > 0 {
		if !slices.Contains(t.Tenants, q.Tenant) {
			return 0, nil, false
		}
		say(2, "负责租户 "+q.Tenant, "It looks after the tenant "+q.Tenant)
	}
	if len(t.Priorities) > 0 && q.Priority != "" {
		if !slices.Contains(t.Priorities, q.Priority) {
			return 0, nil, false
		}
		say(1, "负责 "+q.Priority, "It looks after "+q.Priority)
	}
	owner := ""
	for _, o := range q.Owners {
		if o != "" && (slices.Contains(t.Owners, o) || o == t.ID || o == t.Name.ZH || o == t.Name.EN) {
			owner = o
			break
		}
	}
	if owner != "" {
		say(8, "配置项的负责方是 "+owner, "The item's owner is "+owner)
	}
	if len(t.Systems) > 0 {
		named := q.System != "" && slices.Contains(t.Systems, q.System) || q.SysName != "" && slices.Contains(t.Systems, q.SysName)
		switch {
		case named:
			say(4, "负责系统 "+cmp.Or(q.SysName, q.System), "It looks after the system "+cmp.Or(q.SysName, q.System))
		case owner == "":
			return 0, nil, false
		}
	}
	if len(why) == 0 {
		why = append(why, Text{ZH: "它负责其余一切", EN: "It looks after everything else"})
	}
	return score, why, true
}

// On decides who is on duty on a line at t.
func (r *Roster) On(team *Team, l *Line, t time.Time) OnLine {
	zone, err := workdays.Zone(team.Zone)
	if err != nil {
		zone = time.UTC // a team is checked before it is kept; the zone's data went since
	}
	out := OnLine{Line: l.Key, Name: l.Name, People: []string{}, Why: []Text{}}
	say := func(zh, en string) { out.Why = append(out.Why, Text{ZH: zh, EN: en}) }
	for i := range l.Layers {
		layer := &l.Layers[i]
		people, on, zh, en := layer.at(t, zone, r.Holidays)
		name := cmp.Or(layer.Name, fmt.Sprint(i+1))
		if on {
			out.People = slices.Clone(people)
		}
		say("层 "+name+"："+zh, "Layer "+name+": "+en)
	}
	for _, o := range r.Overrides {
		if o.Team != team.ID || o.Line != l.Key || t.Before(o.From) || !t.Before(o.To) {
			continue
		}
		switch at := slices.Index(out.People, o.Replaces); {
		case o.Replaces == "":
			out.People = slices.Clone(o.People)
			say("临时安排（"+o.By+"）："+names(o.People), "Override by "+o.By+": "+names(o.People))
		case at < 0:
			say("换班不生效："+o.Replaces+" 此刻不当班", "A swap has no effect: "+o.Replaces+" is not on duty at this moment")
		default:
			out.People = slices.Concat(out.People[:at], slices.DeleteFunc(slices.Clone(o.People), func(p string) bool { return slices.Contains(out.People, p) }), out.People[at+1:])
			say("换班："+o.Replaces+" → "+names(o.People), "Swapped: "+o.Replaces+" → "+names(o.People))
		}
	}
	out.People = orEmpty(out.People)
	return out
}

func names(people []string) string {
	if len(people) == 0 {
		return "–"
	}
	return strings.Join(people, ", ")
}

// at says who of a layer is on duty at t, whether it has a say at that moment,
// and why.
func (l *Layer) at(t time.Time, zone *time.Location, h *workdays.Holidays) (people []string, on bool, zh, en string) {
	if len(l.Shifts) > 0 {
		for i := len(l.Shifts) - 1; i >= 0; i-- {
			if s := l.Shifts[i]; !t.Before(s.From) && t.Before(s.To) {
				return s.People, true, "排班计划：" + names(s.People), "by its plan: " + names(s.People)
			}
		}
		return nil, false, "排班计划此刻无班次", "its plan has no shift at this moment"
	}
	turn, day := l.turn(t, zone)
	switch {
	case turn < 0:
		return nil, false, "自 " + string(l.From) + " 起", "it begins on " + string(l.From)
	case l.Until != "" && workdays.DateOf(day) > l.Until:
		return nil, false, "已于 " + string(l.Until) + " 结束", "it ended on " + string(l.Until)
	case !l.open(t, zone, h):
		return nil, false, "不在其时段内", "outside its hours"
	}
	n := turn % len(l.People)
	people = l.People[n]
	return people, true, fmt.Sprintf("第 %d/%d 班：%s", n+1, len(l.People), names(people)), fmt.Sprintf("turn %d of %d: %s", n+1, len(l.People), names(people))
}

// date is the day that a clock of the zone shows at t, as a date without a
// zone.
func date(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// turn counts the turns from the layer's beginning to t, from 0, negative
// before it, and says on which day's hand-over the day of duty began.
func (l *Layer) turn(t time.Time, zone *time.Location) (n int, day time.Time) {
	start, err := time.Parse(time.DateOnly, string(l.From))
	if err != nil {
		return -1, start
	}
	handover, _ := workdays.ParseClock(l.Turn.Handover)
	day = date(t, zone)
	if t.Before(workdays.Wall(day, handover, zone)) {
		day = day.AddDate(0, 0, -1)
	}
	days := int(day.Sub(start) / (24 * time.Hour))
	if day.Before(start) {
		return -1, day
	}
	every := max(1, l.Turn.Every)
	switch {
	case l.Turn.Unit == Week:
		return days / (7 * every), day
	case l.Turn.Unit != Hour:
		return days / every, day
	case 24%every == 0:
		// The hands of the clock hand over: 8, 16 and 24 o'clock stay where they
		// are when clocks change.
		n := 0
		for n+1 < 24/every && !t.Before(workdays.Wall(day, handover+(n+1)*every*60, zone)) {
			n++
		}
		return days*(24/every) + n, day
	default:
		return int(t.Sub(workdays.Wall(start, handover, zone)) / (time.Duration(every) * time.Hour)), day
	}
}

// open tells whether t is within the layer's days and hours. A window that goes
// on over midnight belongs to the day on which it begins.
func (l *Layer) open(t time.Time, zone *time.Location, h *workdays.Holidays) bool {
	if len(l.Windows) == 0 {
		return l.holds(h.Day(date(t, zone)))
	}
	for back := range 2 {
		day := date(t, zone).AddDate(0, 0, -back)
		for _, w := range l.spans(day, zone, h) {
			if !t.Before(w.From) && t.Before(w.To) {
				return true
			}
		}
	}
	return false
}

// holds tells whether the layer holds on such a day.
func (l *Layer) holds(d workdays.Day) bool {
	switch l.Days {
	case Workdays:
		return d.Worked
	case RestDays:
		return !d.Worked
	default:
		return true
	}
}

// spans are the layer's windows that begin on the day.
func (l *Layer) spans(day time.Time, zone *time.Location, h *workdays.Holidays) []Shift {
	is := h.Day(day)
	if !l.holds(is) {
		return nil
	}
	weekday := (int(day.Weekday())+6)%7 + 1
	if l.Days == Workdays && is.MakeUp {
		weekday = 1
	}
	if l.Days == RestDays && is.Name != "" {
		weekday = 7
	}
	var out []Shift
	for _, w := range l.Windows {
		from, err1 := workdays.ParseClock(w.From)
		to, err2 := workdays.ParseClock(w.To)
		if err1 != nil || err2 != nil || !slices.Contains(w.Days, weekday) {
			continue
		}
		if to <= from {
			to += 24 * 60
		}
		out = append(out, Shift{From: workdays.Wall(day, from, zone), To: workdays.Wall(day, to, zone)})
	}
	return out
}

// Stretch is a time in which the same people are on duty on a line; nobody is
// in a gap.
type Stretch struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	People []string  `json:"people" nullable:"false"`
	Gap    bool      `json:"gap,omitempty" doc:"Nobody is on duty"`
	Swap   bool      `json:"swap,omitempty" doc:"An override or a swap holds"`
}

// Stretches lists who is on duty on a line from from until to, without a hole:
// it asks On at every moment at which the answer may change.
func (r *Roster) Stretches(team *Team, l *Line, from, to time.Time) []Stretch {
	if !to.After(from) {
		return []Stretch{}
	}
	zone, err := workdays.Zone(team.Zone)
	if err != nil {
		zone = time.UTC
	}
	marks := []time.Time{from}
	mark := func(t time.Time) {
		if t.After(from) && t.Before(to) {
			marks = append(marks, t)
		}
	}
	for _, o := range r.Overrides {
		if o.Team == team.ID && o.Line == l.Key {
			mark(o.From)
			mark(o.To)
		}
	}
	last := date(to, zone)
	for i := range l.Layers {
		layer := &l.Layers[i]
		for _, s := range layer.Shifts {
			mark(s.From)
			mark(s.To)
		}
		if len(layer.Shifts) > 0 {
			continue
		}
		handover, _ := workdays.ParseClock(layer.Turn.Handover)
		every := max(1, layer.Turn.Every)
		for day := date(from, zone).AddDate(0, 0, -1); !day.After(last); day = day.AddDate(0, 0, 1) {
			mark(workdays.Wall(day, 0, zone))
			mark(workdays.Wall(day, handover, zone))
			if layer.Turn.Unit == Hour && 24%every == 0 {
				for m := handover; m < handover+24*60; m += every * 60 {
					mark(workdays.Wall(day, m, zone))
				}
			}
			for _, s := range layer.spans(day, zone, r.Holidays) {
				mark(s.From)
				mark(s.To)
			}
		}
		if start, err := time.Parse(time.DateOnly, string(layer.From)); err == nil && layer.Turn.Unit == Hour && 24%every != 0 {
			first, step := workdays.Wall(start, handover, zone), time.Duration(every)*time.Hour
			if from.After(first) {
				first = first.Add(from.Sub(first) / step * step)
			}
			for t := first; t.Before(to); t = t.Add(step) {
				mark(t)
			}
		}
	}
	slices.SortFunc(marks, time.Time.Compare)
	out := []Stretch{}
	for i, t := range marks {
		end := to
		if i+1 < len(marks) {
			end = marks[i+1]
		}
		if !end.After(t) {
			continue
		}
		people := r.On(team, l, t).People
		swap := slices.ContainsFunc(r.Overrides, func(o Override) bool {
			return o.Team == team.ID && o.Line == l.Key && !t.Before(o.From) && t.Before(o.To)
		})
		if n := len(out) - 1; n >= 0 && slices.Equal(out[n].People, people) && out[n].Swap == swap {
			out[n].To = end
			continue
		}
		out = append(out, Stretch{From: t.UTC(), To: end.UTC(), People: people, Gap: len(people) == 0, Swap: swap})
	}
	for i := range out {
		out[i].To = out[i].To.UTC()
	}
	return out
}

// Conflict is somebody who is on duty in two places at a time.
type Conflict struct {
	Person string    `json:"person"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Places []string  `json:"places" nullable:"false" doc:"team/line"`
}

// Conflicts lists who of the team is on duty twice at a time: on two of its
// lines, or on one of it and one of another team among those given.
func (r *Roster) Conflicts(team *Team, among []Team, from, to time.Time) []Conflict {
	type piece struct {
		s     Stretch
		place string
	}
	mine := map[string][]piece{}
	for i := range team.Lines {
		for _, s := range r.Stretches(team, &team.Lines[i], from, to) {
			for _, p := range s.People {
				mine[p] = append(mine[p], piece{s, team.ID + "/" + team.Lines[i].Key})
			}
		}
	}
	all := map[string][]piece{}
	for n := range among {
		if other := &among[n]; other.ID != team.ID {
			for i := range other.Lines {
				for _, s := range r.Stretches(other, &other.Lines[i], from, to) {
					for _, p := range s.People {
						if mine[p] != nil {
							all[p] = append(all[p], piece{s, other.ID + "/" + other.Lines[i].Key})
						}
					}
				}
			}
		}
	}
	out := []Conflict{}
	for p, own := range mine {
		for i, a := range own {
			for _, b := range slices.Concat(own[i+1:], all[p]) {
				from, to := later(a.s.From, b.s.From), earlier(a.s.To, b.s.To)
				if a.place != b.place && to.After(from) {
					out = append(out, Conflict{Person: p, From: from, To: to, Places: []string{a.place, b.place}})
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Conflict) int {
		return cmp.Or(a.From.Compare(b.From), strings.Compare(a.Person, b.Person), slices.Compare(a.Places, b.Places))
	})
	return out
}

// Team finds a team by its id.
func (r *Roster) Team(id string) (*Team, bool) {
	for i := range r.Teams {
		if r.Teams[i].ID == id {
			return &r.Teams[i], true
		}
	}
	return nil, false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
