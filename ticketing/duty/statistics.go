package duty

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"icewatch/ticketing"
	"icewatch/ticketing/sla"
	"icewatch/ticketing/workdays"
)

// Share is how much somebody was on duty.
type Share struct {
	Person  string  `json:"person"`
	Team    string  `json:"team"`
	Shifts  int     `json:"shifts"`
	Hours   float64 `json:"hours"`
	Nights  float64 `json:"night_hours" doc:"Of these between 22:00 and 06:00 of the team's zone"`
	RestDay float64 `json:"rest_day_hours" doc:"Of these on days of rest and holidays"`
}

// Shares sums up who of the teams was on duty how much from from until to.
func (r *Roster) Shares(teams []Team, from, to time.Time) []Share {
	out := []Share{}
	for n := range teams {
		t := &teams[n]
		zone, err := workdays.Zone(t.Zone)
		if err != nil {
			continue
		}
		nights, err := workdays.Spec{Zone: t.Zone, Windows: []workdays.Window{{Days: []int{1, 2, 3, 4, 5, 6, 7}, From: "22:00", To: "06:00"}}}.Compile(nil)
		if err != nil {
			continue
		}
		by := map[string]*Share{}
		for i := range t.Lines {
			last := map[string]time.Time{}
			for _, s := range r.Stretches(t, &t.Lines[i], from, to) {
				for _, p := range s.People {
					v := by[p]
					if v == nil {
						v = &Share{Person: p, Team: t.ID}
						by[p] = v
					}
					if !last[p].Equal(s.From) {
						v.Shifts++
					}
					last[p] = s.To
					v.Hours += s.To.Sub(s.From).Hours()
					v.Nights += nights.Between(s.From, s.To).Hours()
					for day := date(s.From, zone); workdays.Wall(day, 0, zone).Before(s.To); day = day.AddDate(0, 0, 1) {
						if !r.Holidays.Day(day).Worked {
							begin, end := later(workdays.Wall(day, 0, zone), s.From), earlier(workdays.Wall(day, 24*60, zone), s.To)
							v.RestDay += max(0, end.Sub(begin).Hours())
						}
					}
				}
			}
		}
		for _, v := range by {
			out = append(out, *v)
		}
	}
	slices.SortFunc(out, func(a, b Share) int {
		return cmp.Or(strings.Compare(a.Team, b.Team), strings.Compare(a.Person, b.Person))
	})
	return out
}

// Groupings are what statistics can be by.
var Groupings = []string{"person", "team", "system", "tenant", "unit", "priority", "month"}

// Cases makes the cases of a report by one of Groupings. By person an incident
// counts for who acknowledged it, else for whom it is assigned to. Months are of
// the zone.
func Cases(list []ticketing.Measure, by string, zone *time.Location) []sla.Case {
	out := make([]sla.Case, 0, len(list))
	for _, m := range list {
		group := ""
		switch by {
		case "person":
			group = cmp.Or(m.AckedBy, m.Assignee)
		case "team":
			group = m.Team
		case "system":
			group = m.System
		case "tenant":
			group = m.Tenant
		case "unit":
			group = m.Unit
		case "priority":
			group = m.Priority
		case "month":
			group = m.Clock.Opened.In(zone).Format("2006-01")
		}
		out = append(out, sla.Case{Group: cmp.Or(group, "-"), Clock: m.Clock, Paused: m.Paused})
	}
	return out
}
