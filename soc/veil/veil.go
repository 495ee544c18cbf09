// Package veil hides parts of the rows that somebody may see: the masking that
// is in force for one caller, made of the rules of soc/masking that he is not
// exempt from. A veil travels inside of a reach (soc/reach), so that whatever
// is read with the reach is masked. The lake lets queries see masked values
// only, so that nobody finds out by filters what he may not see; how the values
// look that are shown is decided here.
package veil

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"icewatch/soc/event"
)

// How a value is hidden.
const (
	Full = "full" // wholly
	Keep = "keep" // but for its first and last characters
	Hash = "hash" // by a mark that is the same for equal values, made with a key of this suite
)

// Further tests of what a pattern found.
const (
	Luhn   = "luhn"    // the check digit of bank cards
	IDCard = "id-card" // the check digit and birthday of Chinese resident identity cards
)

// Hidden stands where a value is hidden.
const Hidden = "***"

// Rule hides one kind of value.
type Rule struct {
	ID      string   `json:"id"`
	Fields  []string `json:"fields"`  // of which; none is every text of the event
	Pattern string   `json:"pattern"` // what of the values, RE2; "" is all
	Check   string   `json:"check"`   // "", Luhn or IDCard
	Method  string   `json:"method"`  // Full, Keep or Hash
	First   int      `json:"first"`   // of Keep: characters that stay at the beginning
	Last    int      `json:"last"`    // of Keep: characters that stay at the end
	// Strict hides, from filters, the whole text of an event that has one of the
	// fields, since the text may hold the value, too. It is about whole values.
	Strict bool `json:"strict"`

	expression *regexp.Regexp
}

// Compile checks the rule and makes it ready.
func (r Rule) Compile() (Rule, error) {
	switch {
	case r.Method != Full && r.Method != Keep && r.Method != Hash:
		return r, fmt.Errorf("the method is %q; it must be one of full, keep and hash", r.Method)
	case r.First < 0 || r.Last < 0 || r.First > 64 || r.Last > 64:
		return r, fmt.Errorf("first is %d and last is %d; both must be from 0 to 64", r.First, r.Last)
	case r.Check != "" && r.Check != Luhn && r.Check != IDCard:
		return r, fmt.Errorf("the check is %q; it must be empty, luhn or id-card", r.Check)
	case r.Check != "" && r.Pattern == "":
		return r, fmt.Errorf("a check is of what a pattern finds, and there is no pattern")
	case r.Pattern == "" && len(r.Fields) == 0:
		return r, fmt.Errorf("a rule needs fields, a pattern or both")
	}
	for _, f := range r.Fields {
		if f == "" || structural(f) {
			return r, fmt.Errorf("the field %q cannot be masked: it says which event this is and whose", f)
		}
	}
	if r.Pattern == "" {
		return r, nil
	}
	var err error
	if r.expression, err = regexp.Compile(r.Pattern); err != nil {
		return r, fmt.Errorf("the pattern: %w", err)
	}
	if r.expression.MatchString("") {
		return r, fmt.Errorf("the pattern %q matches the empty text; it must match what is to be hidden", r.Pattern)
	}
	return r, nil
}

// structural are fields that every reader needs.
func structural(field string) bool {
	switch field {
	case "@timestamp", "_time", "_stream", "_stream_id", "event.id", "event.created", "event.dataset", "icewatch.tenant", "icewatch.seq":
		return true
	}
	return false
}

// Veil is what is hidden from one caller. nil hides nothing. It is safe for
// concurrent use and never changed.
type Veil struct {
	rules  []Rule
	secret []byte
	key    string
}

// New makes a veil of the rules, nil where there are none. secret is the key of
// Hash.
func New(rules []Rule, secret []byte) (*Veil, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	v := &Veil{secret: secret}
	for _, r := range rules {
		r, err := r.Compile()
		if err != nil {
			return nil, fmt.Errorf("veil: rule %s: %w", r.ID, err)
		}
		v.rules = append(v.rules, r)
	}
	slices.SortFunc(v.rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	return v, v.sum()
}

func (v *Veil) sum() error {
	b, err := json.Marshal(v.rules)
	if err != nil {
		return fmt.Errorf("veil: %w", err)
	}
	sum := sha256.Sum256(b)
	v.key = hex.EncodeToString(sum[:12])
	return nil
}

// Key tells veils apart: equal keys hide the same. It is "" where nothing is
// hidden.
func (v *Veil) Key() string {
	if v == nil {
		return ""
	}
	return v.key
}

// Rules lists the rules. They must not be changed.
func (v *Veil) Rules() []Rule {
	if v == nil {
		return nil
	}
	return v.rules
}

// With hides what either hides.
func (v *Veil) With(o *Veil) *Veil {
	switch {
	case v == nil:
		return o
	case o == nil || o.key == v.key:
		return v
	}
	both := &Veil{secret: v.secret, rules: slices.Clone(v.rules)}
	for _, r := range o.rules {
		same := func(x Rule) bool {
			a, errA := json.Marshal(x)
			b, errB := json.Marshal(r)
			return errA == nil && errB == nil && bytes.Equal(a, b)
		}
		if !slices.ContainsFunc(both.rules, same) {
			both.rules = append(both.rules, r)
		}
	}
	slices.SortStableFunc(both.rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	_ = both.sum() // what was marshalled once can be again
	return both
}

// Hides tells whether the values of the field are hidden whole.
func (v *Veil) Hides(field string) bool {
	return slices.ContainsFunc(v.Rules(), func(r Rule) bool { return r.Pattern == "" && slices.Contains(r.Fields, field) })
}

// Touches tells whether values of the field may look other than they are.
func (v *Veil) Touches(field string) bool {
	return !structural(field) && slices.ContainsFunc(v.Rules(), func(r Rule) bool { return len(r.Fields) == 0 || slices.Contains(r.Fields, field) })
}

// Value is how a value of the field is shown.
func (v *Veil) Value(field, value string) string {
	if v == nil || value == "" || structural(field) {
		return value
	}
	for i := range v.rules {
		if r := &v.rules[i]; r.Pattern == "" && slices.Contains(r.Fields, field) {
			return v.hide(r, value)
		}
	}
	for i := range v.rules {
		r := &v.rules[i]
		if r.expression == nil || len(r.Fields) > 0 && !slices.Contains(r.Fields, field) {
			continue
		}
		value = r.expression.ReplaceAllStringFunc(value, func(found string) string {
			if !checks(r.Check, found) {
				return found
			}
			return v.hide(r, found)
		})
	}
	return value
}

func (v *Veil) hide(r *Rule, value string) string {
	switch r.Method {
	case Keep:
		if utf8.RuneCountInString(value) <= r.First+r.Last {
			return Hidden // nothing would be hidden
		}
		runes := []rune(value)
		return string(runes[:r.First]) + Hidden + string(runes[len(runes)-r.Last:])
	case Hash:
		mac := hmac.New(sha256.New, v.secret)
		_, _ = mac.Write([]byte(value))
		return "#" + hex.EncodeToString(mac.Sum(nil)[:10])
	}
	return Hidden
}

// pair is one field of a row.
type pair struct{ name, value string }

// Row is how a row is shown: a flat JSON object of texts, as the lake answers
// it. Where a field's whole value is hidden, the same text is hidden in the
// row's other fields, too. What is no such object is hidden wholly.
func (v *Veil) Row(row []byte) []byte {
	if v == nil {
		return row
	}
	pairs, ok := read(row)
	if !ok {
		return []byte(`{"message":"` + Hidden + `"}`)
	}
	var said []string // pairs of old and new texts, the longest first
	for i := range pairs {
		if p := &pairs[i]; v.Hides(p.name) && p.value != "" {
			hidden := v.Value(p.name, p.value)
			if telling(p.value) {
				said = append(said, p.value, hidden)
			}
		}
	}
	replacer := strings.NewReplacer(longestFirst(said)...)
	out := make([]byte, 0, len(row)+32)
	out = append(out, '{')
	for i, p := range pairs {
		if i > 0 {
			out = append(out, ',')
		}
		value := p.value
		if !structural(p.name) {
			if !v.Hides(p.name) && len(said) > 0 {
				value = replacer.Replace(value)
			}
			value = v.Value(p.name, value)
		}
		out = event.AppendJSON(out, p.name)
		out = append(out, ':')
		out = event.AppendJSON(out, value)
	}
	return append(out, '}')
}

// longestFirst puts pairs of texts in order, so that a name goes before its
// beginning.
func longestFirst(said []string) []string {
	pairs := slices.Collect(slices.Chunk(said, 2))
	slices.SortStableFunc(pairs, func(a, b []string) int { return len(b[0]) - len(a[0]) })
	return slices.Concat(pairs...)
}

// telling tells whether a text says enough to be looked for in others: "1" is
// everywhere and says nothing.
func telling(s string) bool {
	return len(s) >= 4 // four letters, or two Chinese characters
}

func read(row []byte) ([]pair, bool) {
	d := json.NewDecoder(bytes.NewReader(row))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var pairs []pair
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false
		}
		value, err := d.Token()
		text, isText := value.(string)
		if err != nil || !isText {
			return nil, false
		}
		pairs = append(pairs, pair{name.(string), text})
	}
	_, err := d.Token()
	return pairs, err == nil
}
