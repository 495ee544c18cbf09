// Package scenario keeps scenarios: kinds of trouble that a security centre
// watches as one, such as weak passwords, mining or ransomware, whichever rules
// find them. A scenario says by conditions on alerts what belongs to it, about
// which objects of the CMDB it asks and over how many days. Those that are
// shipped can be changed and switched off; people make others.
//
// Conditions are matchers as silences have them, over the names in Fields. The
// matchers of one line hold together, the lines are alternatives. A condition is
// compiled to SQL (Compile); what it is asked of, and within whose reach, is
// ticketing's business.
package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"icewatch/detections"
	"icewatch/soc/reach"
)

// Limits of what is kept.
const (
	MaxScenarios = 200
	MaxDays      = 92
	DefaultDays  = 7

	maxLines   = 50
	maxPerLine = 16
	maxMatcher = 1000 // bytes
	maxTags    = 20
	maxTag     = 40  // characters
	maxName    = 120 // characters
	maxText    = 2000
	maxScope   = 4000 // bytes
	maxTenants = 1000
)

// Errors of this room. The text of ErrInvalid says what would be right.
var (
	ErrNotFound = errors.New("scenario: not found")
	ErrInvalid  = errors.New("scenario: invalid")
)

// Content is a scenario as it is written.
type Content struct {
	Name        detections.Text `json:"name" yaml:"name"`
	Description detections.Text `json:"description,omitzero" yaml:"description,omitempty"`
	Tags        []string        `json:"tags" yaml:"tags,omitempty"`
	Off         bool            `json:"off,omitempty" yaml:"off,omitempty"`         // kept, and not shown in the overview
	Any         [][]string      `json:"any" yaml:"any"`                             // which alerts: the matchers of one line hold together, the lines are alternatives
	Risks       [][]string      `json:"risks" yaml:"risks,omitempty"`               // which of them tell of a hidden risk and of no attack
	Objects     string          `json:"objects,omitempty" yaml:"objects,omitempty"` // a data scope (package reach): about whose things; all by default
	Items       string          `json:"items,omitempty" yaml:"items,omitempty"`     // a filter of the CMDB: about these items and systems alone; all by default
	Days        int             `json:"days,omitempty" yaml:"days,omitempty"`       // over how many days it is looked at
	Tenants     []string        `json:"tenants" yaml:"tenants,omitempty"`           // whose alerts; all by default
}

// Scenario is a scenario as files have it.
type Scenario struct {
	Content `yaml:",inline"`
	ID      string `json:"id" yaml:"id,omitempty"`
}

// Check says what is wrong with a scenario, and puts its defaults in.
func (c *Content) Check() error {
	c.Name.ZH, c.Name.EN = strings.TrimSpace(c.Name.ZH), strings.TrimSpace(c.Name.EN)
	if c.Name == (detections.Text{}) {
		return fmt.Errorf("%w: name: it is empty", ErrInvalid)
	}
	for _, text := range []struct {
		name  string
		value detections.Text
		most  int
	}{{"name", c.Name, maxName}, {"description", c.Description, maxText}} {
		if utf8.RuneCountInString(text.value.ZH) > text.most || utf8.RuneCountInString(text.value.EN) > text.most {
			return fmt.Errorf("%w: %s: want at most %d characters", ErrInvalid, text.name, text.most)
		}
	}
	if len(c.Any) == 0 {
		return fmt.Errorf("%w: any: at least one line of conditions is needed, or all alerts would belong to the scenario", ErrInvalid)
	}
	if err := checkLines("any", c.Any); err != nil {
		return err
	}
	if err := checkLines("risks", c.Risks); err != nil {
		return err
	}
	if len(c.Objects) > maxScope || len(c.Items) > maxScope {
		return fmt.Errorf("%w: objects, items: want at most %d bytes each", ErrInvalid, maxScope)
	}
	if strings.TrimSpace(c.Objects) != "" {
		e, err := reach.Parse(c.Objects)
		if err != nil {
			return fmt.Errorf("%w: objects: %s", ErrInvalid, err)
		}
		c.Objects = e.String()
	} else {
		c.Objects = ""
	}
	c.Items = strings.TrimSpace(c.Items)
	if c.Days == 0 {
		c.Days = DefaultDays
	}
	if c.Days < 1 || c.Days > MaxDays {
		return fmt.Errorf("%w: days: %d: want 1 to %d", ErrInvalid, c.Days, MaxDays)
	}
	if len(c.Tags) > maxTags {
		return fmt.Errorf("%w: tags: %d, at most %d", ErrInvalid, len(c.Tags), maxTags)
	}
	tags := make([]string, 0, len(c.Tags))
	for i, t := range c.Tags {
		if t = strings.TrimSpace(t); t == "" || utf8.RuneCountInString(t) > maxTag || strings.ContainsAny(t, ",\n") {
			return fmt.Errorf("%w: tags[%d]: want 1 to %d characters without commas", ErrInvalid, i, maxTag)
		}
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	c.Tags = tags
	c.fill()
	if len(c.Tenants) > maxTenants {
		return fmt.Errorf("%w: tenants: %d, at most %d", ErrInvalid, len(c.Tenants), maxTenants)
	}
	return nil
}

// fill puts empty lists in the place of none.
func (c *Content) fill() {
	if c.Risks == nil {
		c.Risks = [][]string{}
	}
	if c.Tags == nil {
		c.Tags = []string{}
	}
	if c.Tenants == nil {
		c.Tenants = []string{}
	}
}

func checkLines(what string, lines [][]string) error {
	if len(lines) > maxLines {
		return fmt.Errorf("%w: %s: %d lines, at most %d", ErrInvalid, what, len(lines), maxLines)
	}
	for i, line := range lines {
		if len(line) == 0 || len(line) > maxPerLine {
			return fmt.Errorf("%w: %s[%d]: %d conditions: want 1 to %d", ErrInvalid, what, i, len(line), maxPerLine)
		}
		for k, text := range line {
			if _, _, err := condition(text); err != nil {
				return fmt.Errorf("%w: %s[%d][%d]: %s", ErrInvalid, what, i, k, err)
			}
		}
	}
	return nil
}
