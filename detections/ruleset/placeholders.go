package ruleset

import (
	"fmt"
	"maps"
	"path"
	"slices"

	"go.yaml.in/yaml/v3"
)

// PlaceholderFile is how a file with the values of placeholders is called in a
// rule folder: a map of names without percent signs to one value or a list.
//
//	Administrators: [root, 'adm_*']
//	JumpServers: jump.example.org
const PlaceholderFile = "placeholders.yml"

// placeholders gathers the values for Sigma's modifier expand: those of the
// options, then those of the bundle's files. A later source takes the place
// of an earlier one name by name; files of one source add up.
func (c *compiler) placeholders(b *Bundle) map[string][]string {
	out := maps.Clone(c.opts.Placeholders)
	if out == nil {
		out = map[string][]string{}
	}
	from := map[string]string{} // source by name
	for _, f := range b.Files {
		if path.Base(f.Path) != PlaceholderFile {
			continue
		}
		values, err := parsePlaceholders(f.Data)
		if err != nil {
			c.problems = append(c.problems, Problem{Path: f.Path, Reason: err.Error()})
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if from[name] != f.Source {
				out[name] = nil
			}
			from[name] = f.Source
			out[name] = append(slices.Clip(out[name]), values[name]...)
		}
	}
	return out
}

func parsePlaceholders(data []byte) (map[string][]string, error) {
	var file map[string]yaml.Node
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("placeholders: %w", err)
	}
	out := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(file)) {
		n := file[name]
		values := n.Content
		if n.Kind == yaml.ScalarNode {
			values = []*yaml.Node{&n}
		} else if n.Kind != yaml.SequenceNode {
			return nil, fmt.Errorf("placeholders: line %d: %s has to be a value or a list of values", n.Line, name)
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode || v.ShortTag() == "!!null" {
				return nil, fmt.Errorf("placeholders: line %d: a value of %s has to be a text or a number", v.Line, name)
			}
			out[name] = append(out[name], v.Value)
		}
	}
	return out, nil
}
