// Package suppression says which alerts are known to be harmless: exceptions
// from rules, each with an owner, a reason and a day on which it ends. It is pure
// matching. Where suppressions are kept and what becomes of what they meet is
// ticketing/suppressing's.
//
// A suppression is tied to rules, assets and tenants, and beside that to any
// combination of fields, written as the searches of a Sigma rule. All that it
// says has to hold. The fields are those of the alert, by the names of the events
// (ECS), and what was made of them, such as alert.attacker.ip (see Facts).
package suppression

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of a suppression.
const (
	MaxLife    = 366 * 24 * time.Hour // from when it is made or changed until it ends
	MaxActive  = 10_000               // in one set
	maxName    = 200                  // characters
	maxReason  = 2000                 // characters
	maxNames   = 1000                 // in each list
	maxNameLen = 256                  // bytes of a name in a list
)

// Assets names what an alert is about; one of those named is enough.
type Assets struct {
	Items   []string `json:"items,omitempty" yaml:"items,omitempty,flow" doc:"Ids or names of configuration items"`
	Classes []string `json:"classes,omitempty" yaml:"classes,omitempty,flow" doc:"Classes of configuration items"`
	Systems []string `json:"systems,omitempty" yaml:"systems,omitempty,flow" doc:"Ids or names of business systems"`
}

// Empty tells whether no asset is named, which is every asset.
func (a *Assets) Empty() bool { return len(a.Items)+len(a.Classes)+len(a.Systems) == 0 }

// Suppression is one exception.
type Suppression struct {
	ID        string         `json:"id" yaml:"id"`
	Name      string         `json:"name" yaml:"name"`
	Rules     []string       `json:"rules,omitempty" yaml:"rules,omitempty"` // ids; none for any rule
	Assets    Assets         `json:"assets,omitzero" yaml:"assets,omitempty"`
	Tenants   []string       `json:"tenants,omitempty" yaml:"tenants,omitempty,flow"` // slugs; none for any
	Detection map[string]any `json:"detection,omitempty" yaml:"detection,omitempty"`  // searches and condition as in a Sigma rule; none for no further condition
	Owner     string         `json:"owner" yaml:"owner"`                              // who answers for it
	Reason    string         `json:"reason" yaml:"reason"`                            // why what it meets is harmless
	Expires   time.Time      `json:"expires" yaml:"expires"`                          // from then on it suppresses nothing
	Receiver  string         `json:"receiver,omitempty" yaml:"receiver,omitempty"`    // who is told before it ends; "" for nobody but the inbox
	Disabled  bool           `json:"disabled,omitempty" yaml:"disabled,omitempty"`    // kept, and not in force
}

// Fault is what is wrong with a suppression.
type Fault struct {
	Path   string `json:"path,omitempty"`
	Line   int    `json:"line,omitempty"` // 1-based; 0 where it is not known
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
}

// Error renders where and what.
func (f Fault) Error() string {
	where := f.Path
	switch {
	case f.Line > 0 && where == "":
		where = fmt.Sprintf("line %d", f.Line)
	case f.Line > 0:
		where += fmt.Sprintf(":%d", f.Line)
	}
	if f.ID != "" {
		where = strings.TrimSpace(where + " suppression " + f.ID)
	}
	if where == "" {
		return f.Reason
	}
	return where + ": " + f.Reason
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Check says what is wrong with a suppression that is made or changed at a time;
// nil where nothing is.
func (s *Suppression) Check(now time.Time) error {
	if err := s.checkForm(); err != nil {
		return err
	}
	switch {
	case !s.Expires.After(now):
		return fmt.Errorf("expires: %s has passed: want a time to come, at most a year ahead", s.Expires.Format(time.RFC3339))
	case s.Expires.Sub(now) > MaxLife:
		return fmt.Errorf("expires: %s is more than a year ahead: look at it again within a year", s.Expires.Format(time.RFC3339))
	}
	_, faults := Compile([]Suppression{*s})
	if len(faults) > 0 {
		return fmt.Errorf("%s", faults[0].Reason)
	}
	return nil
}

// checkForm is Check of what holds at any time.
func (s *Suppression) checkForm() error {
	switch {
	case !idForm.MatchString(s.ID):
		return fmt.Errorf("id: %.40q: want 1 to 100 letters, digits, dots, dashes and underscores", s.ID)
	case strings.TrimSpace(s.Name) == "" || utf8.RuneCountInString(s.Name) > maxName:
		return fmt.Errorf("name: want 1 to %d characters that say what is suppressed", maxName)
	case strings.TrimSpace(s.Owner) == "" || utf8.RuneCountInString(s.Owner) > maxName:
		return fmt.Errorf("owner: want the user who answers for it")
	case strings.TrimSpace(s.Reason) == "" || utf8.RuneCountInString(s.Reason) > maxReason:
		return fmt.Errorf("reason: want 1 to %d characters that say why the alerts are harmless", maxReason)
	case s.Expires.IsZero():
		return fmt.Errorf("expires: it is missing: want the time at which it ends, at most a year ahead")
	case len(s.Receiver) > maxNameLen:
		return fmt.Errorf("receiver: %d bytes, at most %d", len(s.Receiver), maxNameLen)
	case len(s.Rules) == 0 && len(s.Detection) == 0:
		return fmt.Errorf("rules, detection: one of them has to be there: without rules and fields all alerts would be suppressed")
	case len(s.Detection) == 0 && s.Assets.Empty() && len(s.Tenants) == 0:
		return fmt.Errorf("detection, assets, tenants: one of them has to be there: to have no alerts of a rule at all, disable the rule")
	}
	for _, l := range []struct {
		what string
		list []string
	}{{"rules", s.Rules}, {"assets.items", s.Assets.Items}, {"assets.classes", s.Assets.Classes}, {"assets.systems", s.Assets.Systems}, {"tenants", s.Tenants}} {
		if len(l.list) > maxNames {
			return fmt.Errorf("%s: %d names, at most %d", l.what, len(l.list), maxNames)
		}
		for i, name := range l.list {
			if name == "" || len(name) > maxNameLen || !utf8.ValidString(name) {
				return fmt.Errorf("%s[%d]: want 1 to %d bytes of UTF-8", l.what, i, maxNameLen)
			}
			if slices.Contains(l.list[:i], name) {
				return fmt.Errorf("%s[%d]: %q is there twice", l.what, i, name)
			}
		}
	}
	for _, text := range []string{s.Name, s.Owner, s.Reason, s.Receiver} {
		if !utf8.ValidString(text) {
			return fmt.Errorf("name, owner, reason, receiver: want UTF-8")
		}
	}
	return nil
}
