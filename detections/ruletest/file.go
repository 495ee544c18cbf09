package ruletest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/soc/enrich"
	"icewatch/soc/intake"
)

// Start is the event time of a case's first step, where it gives no clock.
var Start = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)

// File is a test file.
type File struct {
	Rule  string         `yaml:"rule"`
	Title string         `yaml:"title"` // what the cases are about, for people
	Items []Item         `yaml:"items"` // the CMDB of all cases; without any, events are not enriched
	Set   map[string]any `yaml:"set"`
	Cases []Case         `yaml:"cases"`
	// Equivalent names mutants that mean the same as the rule, such as a
	// condition that only spares the costlier one: "hint.url.original|contains dropped".
	Equivalent []string `yaml:"equivalent"`
}

// Item is a configuration item that enrichment knows. Its name is its host
// name.
type Item struct {
	Name        string   `yaml:"name"`
	Class       string   `yaml:"class"` // host where there is none
	Addresses   []string `yaml:"addresses"`
	Labels      []string `yaml:"labels"`
	Criticality int      `yaml:"criticality"` // 1 to 5; 3 where there is none
}

// Is tells whether a party goes by a name: an address, the name of a host or
// item, or an account.
func Is(p *detections.Party, name string) bool {
	return p != nil && name != "" && (p.IP == name || p.Name == name || p.User == name)
}

// Case is one case of a file. It expects at least one of Match, Occurrences,
// Fires and Incident.
type Case struct {
	Name        string         `yaml:"name"`
	Rule        string         `yaml:"rule"` // the file's where there is none
	Match       *bool          `yaml:"match"`
	Occurrences *int           `yaml:"occurrences"`
	Fires       *[]string      `yaml:"fires"`
	Incident    *bool          `yaml:"incident"`
	Attacker    string         `yaml:"attacker"` // of each firing of the case's rule: address, name or account
	Victim      string         `yaml:"victim"`   // likewise
	At          string         `yaml:"at"`       // clock of the first step, such as "02:30"
	Items       []Item         `yaml:"items"`
	Set         map[string]any `yaml:"set"`
	Steps       []Step         `yaml:"steps"`
	Lines       []string       `yaml:"lines"` // steps of one line each
}

// Step is a raw line or an event, or time that passes.
type Step struct {
	Line   string         `yaml:"line"`
	Event  map[string]any `yaml:"event"`
	Set    map[string]any `yaml:"set"`
	Repeat int            `yaml:"repeat"`
	Every  time.Duration  `yaml:"every"`
	After  *time.Duration `yaml:"after"`
}

// Parse reads a test file. An error names the line or the case.
func Parse(data []byte) (*File, error) {
	var f File
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	for i := range f.Cases {
		c := &f.Cases[i]
		if c.Rule == "" {
			c.Rule = f.Rule
		}
		for _, line := range c.Lines {
			c.Steps = append(c.Steps, Step{Line: line})
		}
		if c.At != "" {
			if _, err := time.Parse("15:04", c.At); err != nil {
				return nil, fmt.Errorf("case %q: at: %q is no clock such as 02:30", c.Name, c.At)
			}
		}
		for j := range c.Steps {
			s := &c.Steps[j]
			if s.Every == 0 {
				s.Every = time.Second
			}
			if (s.Line == "") == (s.Event == nil) && (s.Line != "" || s.After == nil) {
				return nil, fmt.Errorf("case %q: step %d needs either line or event, or after alone to let time pass", c.Name, j+1)
			}
		}
	}
	return &f, nil
}

// begin is the last time before or at the given one at which the clock shows
// what the case asks for.
func (c *Case) begin(latest time.Time) time.Time {
	clock, err := time.Parse("15:04", c.At)
	if err != nil {
		return latest
	}
	at := time.Date(latest.Year(), latest.Month(), latest.Day(), clock.Hour(), clock.Minute(), 0, 0, latest.Location())
	if at.After(latest) {
		at = at.AddDate(0, 0, -1)
	}
	return at
}

// Length is the time between a case's first step and its last.
func (c *Case) Length() time.Duration {
	all := c.moments(Start)
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1].at.Sub(Start)
}

// moment is one repetition of a step, n from 1.
type moment struct {
	step  *Step
	place int // of the step, from 1
	n     int
	at    time.Time
}

// moments are the repetitions of all steps in the order of time: a step may
// begin before the one above it is over.
func (c *Case) moments(at time.Time) []moment {
	var out []moment
	for i := range c.Steps {
		s := &c.Steps[i]
		switch {
		case s.After != nil:
			at = at.Add(*s.After)
		case i > 0:
			at = at.Add(time.Second)
		}
		for n := range max(1, s.Repeat) {
			if n > 0 {
				at = at.Add(s.Every)
			}
			out = append(out, moment{s, i + 1, n + 1, at})
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int { return a.at.Compare(b.at) })
	return out
}

// Format is how a line reaches the suite: what begins with a priority is
// syslog, what begins with a brace JSON, and all else a line of a log file.
func Format(line string) intake.Format {
	switch {
	case strings.HasPrefix(line, "<"):
		return intake.Syslog
	case strings.HasPrefix(line, "{"):
		return intake.JSON
	}
	return intake.Line
}

// Stage is when, where and under which names a case is played, so that many
// can be played in one suite without meeting. Lines and items hold these
// places:
//
//	{n}                 repetition of the step, from 1
//	{net} {out}         the first two numbers of addresses inside, the first three of those outside
//	{id}                what sets the names of hosts and accounts apart
//	{time}              RFC 3339 with milliseconds in UTC
//	{stamp}             of syslog: Mar  2 09:00:00
//	{clf}               of web servers: 02/Mar/2026:09:00:00 +0000
//	{date} {clock}      2026-03-02 and 09:00:00
//	{epoch}             seconds since 1970, with milliseconds
type Stage struct {
	Start    time.Time // of the case's first step; its location is that of clocks
	Net, Out string
	ID       string
	Tenant   string
}

// text puts values into the places of a text.
func (s *Stage) text(text string, n int, at time.Time) string {
	return strings.NewReplacer("{n}", strconv.Itoa(n), "{net}", s.Net, "{out}", s.Out, "{id}", s.ID,
		"{time}", at.UTC().Format("2006-01-02T15:04:05.000Z"), "{stamp}", at.Format(time.Stamp), "{clf}", at.Format("02/Jan/2006:15:04:05 -0700"),
		"{date}", at.Format(time.DateOnly), "{clock}", at.Format(time.TimeOnly),
		"{epoch}", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)).Replace(text)
}

// Text puts the stage's names and addresses into a text without times.
func (s *Stage) Text(text string) string { return s.text(text, 1, s.Start) }

// Items are the items of a case as enrichment takes them.
func (s *Stage) Items(f *File, c *Case) []enrich.Item {
	var out []enrich.Item
	for _, list := range [][]Item{f.Items, c.Items} {
		for _, it := range list {
			name := s.Text(it.Name)
			e := enrich.Item{ID: "host-" + name, Class: it.Class, Name: name, Tenant: s.Tenant, Hostnames: []string{name}, Labels: it.Labels, Criticality: it.Criticality}
			for _, a := range it.Addresses {
				e.Addresses = append(e.Addresses, s.Text(a))
			}
			if e.Class == "" {
				e.Class = "host"
			}
			if e.Criticality == 0 {
				e.Criticality = 3
			}
			out = append(out, e)
		}
	}
	return out
}

// Line is a raw line and the time that stands in it.
type Line struct {
	At   time.Time
	Text string
}

// Lines are what the case's programs write, in the order of time. A case with
// events in place of lines is refused. The clock that the case asks for counts:
// its last line is not behind latest.
func (s *Stage) Lines(c *Case, latest time.Time) ([]Line, error) {
	s.Start = c.begin(latest.Add(-c.Length()))
	var out []Line
	for _, m := range c.moments(s.Start) {
		if m.step.Event != nil {
			return nil, fmt.Errorf("step %d: only raw lines can be sent, and this is an event", m.place)
		}
		if m.step.Line != "" {
			out = append(out, Line{m.at, s.text(m.step.Line, m.n, m.at)})
		}
	}
	return out, nil
}
