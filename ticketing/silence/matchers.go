package silence

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
)

// Limits of one silence.
const (
	maxMatchers = 64
	maxName     = 256  // bytes of a label's name
	maxValue    = 4096 // bytes of a matcher's value
)

// ParseMatcher reads a matcher as people write it: alertname="Disk full",
// ci=~"web-.*", severity!=low, tenant!~"a|b". A name or value in double quotes
// may be any text.
func ParseMatcher(text string) (*labels.Matcher, error) {
	if len(text) > maxName+maxValue+16 {
		return nil, fmt.Errorf("matcher of %d bytes: at most %d", len(text), maxName+maxValue+16)
	}
	m, err := parse.Matcher(text)
	if err != nil {
		// The older form allows what the newer does not, such as a value with
		// spaces and no quotes.
		var again error
		if m, again = labels.ParseMatcher(text); again != nil {
			return nil, fmt.Errorf("matcher %q: %w", text, err)
		}
	}
	return m, checkMatcher(m)
}

// ParseMatchers reads several, as a request repeats them.
func ParseMatchers(texts []string) (labels.Matchers, error) {
	if len(texts) > maxMatchers {
		return nil, fmt.Errorf("%d matchers: at most %d", len(texts), maxMatchers)
	}
	var list labels.Matchers
	for _, t := range texts {
		m, err := ParseMatcher(t)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// Matches tells whether all matchers accept the labels; a label that is not
// there is the empty text.
func Matches(list labels.Matchers, set map[string]string) bool {
	for _, m := range list {
		if !m.Matches(set[m.Name]) {
			return false
		}
	}
	return true
}

// CheckMatchers tells what is wrong with the matchers of a silence.
func CheckMatchers(list labels.Matchers) error {
	if len(list) == 0 {
		return errors.New("matchers: at least one is needed")
	}
	if err := CheckEach(list); err != nil {
		return err
	}
	for _, m := range list {
		if !m.Matches("") {
			return nil
		}
	}
	return errors.New("matchers: at least one must not match the empty string, or the silence would mute everything")
}

// CheckEach says what is wrong with matchers of which each may match anything.
func CheckEach(list labels.Matchers) error {
	if len(list) > maxMatchers {
		return fmt.Errorf("matchers: %d, at most %d", len(list), maxMatchers)
	}
	for i, m := range list {
		if m == nil {
			return fmt.Errorf("matchers[%d]: null is no matcher", i)
		}
		if err := checkMatcher(m); err != nil {
			return fmt.Errorf("matchers[%d]: %w", i, err)
		}
	}
	return nil
}

func checkMatcher(m *labels.Matcher) error {
	switch {
	case m.Name == "":
		return errors.New("name: it is empty")
	case len(m.Name) > maxName || !utf8.ValidString(m.Name):
		return fmt.Errorf("name %.40q: want at most %d bytes of UTF-8", m.Name, maxName)
	case len(m.Value) > maxValue || !utf8.ValidString(m.Value):
		return fmt.Errorf("value of %q: want at most %d bytes of UTF-8", m.Name, maxValue)
	}
	return nil
}

// Has tells whether every matcher of the filter stands in the silence: the same
// name, operator and value. So Alertmanager's clients look silences up.
func (s *Silence) Has(filter labels.Matchers) bool {
	for _, want := range filter {
		found := false
		for _, m := range s.Matchers {
			found = found || m.Name == want.Name && m.Type == want.Type && m.Value == want.Value
		}
		if !found {
			return false
		}
	}
	return true
}
