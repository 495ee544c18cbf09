package veil

import "strings"

// Said is a field and its value.
type Said struct{ Field, Value string }

// Over puts the veil over an event of these fields. The function that it
// returns says how a field's value is shown, or a text that cites values under
// the name of a field that the event does not have: where a field's whole value
// is hidden, the same text is hidden in all others, too.
func (v *Veil) Over(event []Said) func(field, text string) string {
	if v == nil {
		return func(_, text string) string { return text }
	}
	var said []string
	seen := map[string]bool{}
	for _, s := range event {
		if !seen[s.Value] && v.Hides(s.Field) && telling(s.Value) {
			seen[s.Value] = true
			said = append(said, s.Value, v.Value(s.Field, s.Value))
		}
	}
	replacer := strings.NewReplacer(longestFirst(said)...)
	return func(field, text string) string {
		if text == "" || structural(field) {
			return text
		}
		if !v.Hides(field) {
			text = replacer.Replace(text)
		}
		return v.Value(field, text)
	}
}
