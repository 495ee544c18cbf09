// Package daily writes the security report of a day at the time that is set for
// it, and at set times a list of what is of high risk and not closed: what
// happened, who handled it, how service levels were kept, which items were hit
// most. Reports are kept as PDF and DOCX and mailed to contact points.
package daily

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"
)

// Errors of this room; the error that wraps one says more.
var (
	ErrNotFound = errors.New("daily: not found")
	ErrInvalid  = errors.New("daily: invalid")
)

// What a report is about.
const (
	Full     = "full"      // the day before
	HighRisk = "high_risk" // critical and high incidents that are not closed
)

// Plan is one report that is made again and again.
type Plan struct {
	ID        string   `json:"id" maxLength:"40" doc:"Small letters, digits and -"`
	Name      string   `json:"name" maxLength:"80"`
	Enabled   bool     `json:"enabled"`
	Content   string   `json:"content" enum:"full,high_risk"`
	At        []string `json:"at" maxItems:"24" nullable:"false" doc:"Times of the day, such as 08:00; a full report has one"`
	Zone      string   `json:"zone" maxLength:"64" doc:"IANA time zone of times and days"`
	Tenants   []string `json:"tenants" maxItems:"500" nullable:"false" doc:"Whose; empty for all"`
	Language  string   `json:"language" enum:"zh,en"`
	Receivers []string `json:"receivers" maxItems:"50" nullable:"false" doc:"Contact points; e-mail gets the PDF with it"`
}

// Plans is the setting.
type Plans struct {
	Reports []Plan `json:"reports" nullable:"false"`
}

// Default makes the city's report each morning and tells nobody.
func Default() Plans {
	return Plans{Reports: []Plan{{ID: "city", Name: "安全日报", Enabled: true, Content: Full, At: []string{"08:00"}, Zone: "Asia/Shanghai", Tenants: []string{}, Language: "zh", Receivers: []string{}}}}
}

var planID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// Check names the first part of the setting that cannot work.
func (p Plans) Check() error {
	if len(p.Reports) > 100 {
		return fmt.Errorf("reports: %d, at most 100", len(p.Reports))
	}
	seen := map[string]bool{}
	for i := range p.Reports {
		if err := p.Reports[i].check(); err != nil {
			return fmt.Errorf("reports[%d].%w", i, err)
		}
		if seen[p.Reports[i].ID] {
			return fmt.Errorf("reports[%d].id: there is a report %q already", i, p.Reports[i].ID)
		}
		seen[p.Reports[i].ID] = true
	}
	return nil
}

func (p *Plan) check() error {
	switch n := utf8.RuneCountInString(p.Name); {
	case !planID.MatchString(p.ID):
		return fmt.Errorf("id: %q: want small letters, digits and -, at most 40", p.ID)
	case n == 0 || n > 80:
		return fmt.Errorf("name: %d characters, want 1 to 80", n)
	case p.Content != Full && p.Content != HighRisk:
		return fmt.Errorf("content: %q: want full or high_risk", p.Content)
	case p.Language != "zh" && p.Language != "en":
		return fmt.Errorf("language: %q: want zh or en", p.Language)
	case len(p.At) == 0 || p.Content == Full && len(p.At) != 1:
		return fmt.Errorf("at: %d times: want one, of high_risk one or more", len(p.At))
	}
	for i, at := range p.At {
		if t, err := time.Parse("15:04", at); err != nil || t.Format("15:04") != at {
			return fmt.Errorf("at[%d]: %q: want a time of the day such as 08:00", i, at)
		}
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "" || p.Zone == "Local" {
		return fmt.Errorf("zone: %q: want an IANA time zone such as Asia/Shanghai", p.Zone)
	}
	return nil
}

// due is the latest time of the plan that has come by now: which slot it is, when
// it came, and the day that a full report of it is about. ok is false where none of today has.
func (p *Plan) due(now time.Time) (slot string, came, day time.Time, ok bool) {
	zone, err := time.LoadLocation(p.Zone)
	if err != nil {
		return "", came, day, false
	}
	local := now.In(zone)
	clock := local.Format("15:04")
	at := slices.Clone(p.At)
	slices.Sort(at)
	last := ""
	for _, t := range at {
		if t <= clock {
			last = t
		}
	}
	if last == "" {
		return "", came, day, false
	}
	day = time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone)
	if p.Content == Full {
		day = time.Date(local.Year(), local.Month(), local.Day()-1, 0, 0, 0, 0, zone)
	}
	slot = local.Format(time.DateOnly) + " " + last
	came, err = time.ParseInLocation("2006-01-02 15:04", slot, zone)
	return slot, came, day, err == nil
}
