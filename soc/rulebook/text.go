package rulebook

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"icewatch/detections/sigma"
)

// draft is a rule's file made ready to be kept.
type draft struct {
	source string
	main   string
	ids    []string
}

// identities returns the ids of a file's rules and that of its main one: the
// last rule that counts others, else the first.
func identities(source []byte) (main string, ids []string) {
	rules, _ := sigma.Parse(source, nil)
	for _, r := range rules {
		ids = append(ids, r.ID)
		if main == "" || r.Correlation != nil {
			main = r.ID
		}
	}
	return main, ids
}

// prepare checks a file and gives ids to those of its rules that have none;
// the main one gets the id it had.
func prepare(source, had string) (draft, error) {
	if len(source) > MaxSource {
		return draft{}, fmt.Errorf("%w: it has %d bytes, and %d are allowed", ErrInvalid, len(source), MaxSource)
	}
	source = strings.ReplaceAll(strings.TrimPrefix(source, "\ufeff"), "\r\n", "\n")
	if source != "" && !strings.HasSuffix(source, "\n") {
		source += "\n"
	}
	source, err := named(source, had)
	if err != nil {
		return draft{}, err
	}
	rules, errs := sigma.Parse([]byte(source), nil)
	if len(errs) > 0 {
		return draft{}, fmt.Errorf("%w: %w", ErrInvalid, errs[0])
	}
	d := draft{source: source}
	seen := map[string]bool{}
	for _, r := range rules {
		if seen[r.ID] {
			return draft{}, fmt.Errorf("%w: line %d: the id %s stands twice in the file", ErrInvalid, r.Line, r.ID)
		}
		if len(r.ID) > 200 {
			return draft{}, fmt.Errorf("%w: line %d: the id has more than 200 characters", ErrInvalid, r.Line)
		}
		seen[r.ID] = true
	}
	d.main, d.ids = identities([]byte(source))
	return d, nil
}

// named writes an id into every document that has none, behind its title.
func named(source, had string) (string, error) {
	lines := strings.SplitAfter(source, "\n")
	var missing []int // lines before which an id is to stand
	var main = -1
	dec := yaml.NewDecoder(strings.NewReader(source))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); err != nil {
			break // the end, or what sigma.Parse will complain of
		}
		if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
			continue
		}
		root := doc.Content[0]
		has, counts := false, false
		for i := 0; i+1 < len(root.Content); i += 2 {
			has = has || root.Content[i].Value == "id"
			counts = counts || root.Content[i].Value == "correlation"
		}
		if has {
			if counts {
				main = -1 // the main rule has its id
			}
			continue
		}
		if root.Style&yaml.FlowStyle != 0 || root.Column != 1 {
			return "", fmt.Errorf("%w: line %d: the id is missing", ErrInvalid, root.Line)
		}
		at := root.Line
		if root.Content[0].Value == "title" && len(root.Content) > 2 {
			at = root.Content[2].Line // an id stands behind the title
		}
		missing = append(missing, at)
		if counts || main < 0 && len(missing) == 1 {
			main = len(missing) - 1
		}
	}
	for i := len(missing) - 1; i >= 0; i-- {
		id := uuid.NewString()
		if i == main && had != "" && !strings.Contains(source, had) {
			id = had
		}
		at := missing[i] - 1
		lines = append(lines[:at], append([]string{"id: " + id + "\n"}, lines[at:]...)...)
	}
	return strings.Join(lines, ""), nil
}

var quoted = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)

// column guesses where in a line a fault lies: at the word that the reason
// quotes, else where the line's text begins. From 1 on; 0 for no such line.
func column(lines []string, line int, reason string) int {
	if line < 1 || line > len(lines) {
		return 0
	}
	text := lines[line-1]
	for _, m := range quoted.FindAllStringSubmatch(reason, -1) {
		word := strings.ReplaceAll(m[1], `\\`, `\`)
		if word == "" {
			continue
		}
		// A word of its own is meant rather than the same letters in another.
		at := -1
		if own, err := regexp.Compile(`(?:^|[^\pL\pN_])(` + regexp.QuoteMeta(word) + `)(?:$|[^\pL\pN_])`); err == nil {
			if found := own.FindStringSubmatchIndex(text); found != nil {
				at = found[2]
			}
		}
		if at < 0 {
			at = strings.Index(text, word)
		}
		if at >= 0 {
			return len([]rune(text[:at])) + 1
		}
	}
	return len([]rune(text)) - len([]rune(strings.TrimLeft(text, " \t-"))) + 1
}

// lineOf is the first line from a rule's beginning on that says the word, the
// beginning itself where none does.
func lineOf(lines []string, from int, word string) int {
	for i := max(from, 1); i <= len(lines); i++ {
		if strings.Contains(lines[i-1], word) {
			return i
		}
	}
	return from
}
