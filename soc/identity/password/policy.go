// Package password decides whether a new password is good enough and keeps
// the ones there are: the policy an administrator sets, the lists of leaked
// passwords it is held against, and argon2id hashing that no storm of sign-ins
// can turn into a load without bounds. It knows nothing of users.
package password

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn"
)

// MaxLength bounds a password in bytes: checking and hashing cost by length.
const MaxLength = 512

// estimated is how many characters the strength is estimated from. The
// estimate's cost grows with the cube of the length, and what follows can only
// make a password stronger.
const estimated = 48

// Policy is what a new password must be. The zero value of a limit switches
// it off, but for the length.
type Policy struct {
	MinLength   int `json:"min_length"`    // characters, 8 to 64
	Classes     int `json:"classes"`       // how many of lower case, upper case, digits and others it must mix, 1 to 4
	MinStrength int `json:"min_strength"`  // the least zxcvbn score, 0 (anything) to 4 (10^10 guesses and more)
	History     int `json:"history"`       // how many earlier passwords must not come again, 0 to 24
	MaxAgeDays  int `json:"max_age_days"`  // after so many days it must be changed; 0 is never
	WarnDays    int `json:"warn_days"`     // so many days before that the user is told
	MinAgeHours int `json:"min_age_hours"` // so long a user must keep a password, lest he change through the history at once
}

// Default is the policy where nothing was decided: long, not easily guessed,
// without classes (OWASP ASVS 5, 6.2.5), and with the age that auditors of the
// multi-level protection scheme ask for.
func Default() Policy {
	return Policy{MinLength: 12, Classes: 1, MinStrength: 3, History: 5, MaxAgeDays: 90, WarnDays: 14}
}

// Validate says which value the policy cannot have.
func (p Policy) Validate() error {
	within := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %d and must be %d to %d", name, v, low, high)
		}
		return nil
	}
	if err := errors.Join(
		within("min_length", p.MinLength, 8, 64), within("classes", p.Classes, 1, 4), within("min_strength", p.MinStrength, 0, 4),
		within("history", p.History, 0, 24), within("max_age_days", p.MaxAgeDays, 0, 3650), within("warn_days", p.WarnDays, 0, 365),
		within("min_age_hours", p.MinAgeHours, 0, 24*30)); err != nil {
		return err
	}
	if p.MaxAgeDays > 0 && p.MinAgeHours >= 24*p.MaxAgeDays {
		return fmt.Errorf("min_age_hours is %d, so nobody could change a password before its %d days are over", p.MinAgeHours, p.MaxAgeDays)
	}
	return nil
}

// The rules a password can break.
const (
	RuleText     = "text"     // not UTF-8, or control characters
	RuleLength   = "length"   // too short or too long
	RuleClasses  = "classes"  // too few kinds of characters
	RuleName     = "name"     // little more than the user's name
	RuleBreached = "breached" // on a list of leaked passwords
	RuleStrength = "strength" // guessed easily
	RuleHistory  = "history"  // was the user's before
	RuleAge      = "age"      // the present one is too young to be changed
)

// WeakError says which rule a password breaks.
type WeakError struct {
	Rule   string // one of the Rule constants
	Reason string // in words that follow "the password"
}

// Error gives the reason in words for the user.
func (e *WeakError) Error() string { return "the password " + e.Reason }

func weak(rule, format string, args ...any) error {
	return &WeakError{Rule: rule, Reason: fmt.Sprintf(format, args...)}
}

// Check holds a new password against the policy and the lists of leaked ones.
// names are the user's own, which make a password easy to guess. The error is
// a *WeakError, or one of reading a list.
func (p Policy) Check(password string, lists []List, names ...string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case !utf8.ValidString(password):
		return weak(RuleText, "is not valid UTF-8")
	case strings.ContainsFunc(password, unicode.IsControl):
		return weak(RuleText, "holds control characters")
	case n < p.MinLength:
		return weak(RuleLength, "has %d characters and needs at least %d", n, p.MinLength)
	case len(password) > MaxLength:
		return weak(RuleLength, "is longer than %d bytes", MaxLength)
	}
	if c := classes(password); c < p.Classes {
		return weak(RuleClasses, "mixes %d of lower-case letters, upper-case letters, digits and other characters and needs %d", c, p.Classes)
	}
	lower := strings.ToLower(password)
	for _, name := range names {
		name = strings.ToLower(name)
		if utf8.RuneCountInString(name) >= 3 && strings.Contains(lower, name) && n-utf8.RuneCountInString(name) < p.MinLength/2 {
			return weak(RuleName, "consists of the user's name and little more")
		}
	}
	for _, list := range append([]List{builtIn}, lists...) {
		found, err := list.Has(password)
		if err != nil {
			return err
		}
		if found {
			return weak(RuleBreached, "is on the list of leaked passwords (%s): whoever guesses tries it first", list.Name())
		}
	}
	if p.MinStrength > 0 {
		head := password
		if runes := []rune(password); len(runes) > estimated {
			head = string(runes[:estimated])
		}
		if r := zxcvbn.PasswordStrength(head, append([]string{"icewatch"}, names...)); r.Score < p.MinStrength {
			return weak(RuleStrength, "is guessed in about %.0e tries and needs to last for %.0e: avoid names, dates, sequences and words that follow the keyboard",
				r.Guesses, guesses[p.MinStrength])
		}
	}
	return nil
}

// guesses is how many a password of each zxcvbn score lasts for at least.
var guesses = [...]float64{1: 1e3, 2: 1e6, 3: 1e8, 4: 1e10}

// classes counts which of the four kinds of characters a password mixes. A
// letter without case, such as a Chinese character, counts as both cases: one
// out of thousands is no weaker than one out of fifty-two.
func classes(password string) int {
	var lower, upper, digit, other int
	for _, r := range password {
		switch {
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsUpper(r):
			upper = 1
		case unicode.IsLetter(r):
			lower, upper = 1, 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			other = 1
		}
	}
	return lower + upper + digit + other
}
