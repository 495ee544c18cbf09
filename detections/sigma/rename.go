package sigma

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Rename gives a rule's document another id and name, and lets a correlation
// count others: renamed holds the new name of each id and name it may refer to.
func Rename(source, id string, renamed map[string]string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(source), &doc); err != nil {
		return "", fmt.Errorf("rename a rule: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return "", fmt.Errorf("rename a rule: the document is not a map")
	}
	root := doc.Content[0]
	for _, key := range []string{"id", "name"} {
		if n := valueOf(root, key); n != nil {
			*n = *plain(id)
		} else {
			root.Content = append(root.Content, plain(key), plain(id))
		}
	}
	if c := valueOf(root, "correlation"); c != nil && len(renamed) > 0 {
		if list := valueOf(c, "rules"); list != nil {
			nodes := list.Content
			if list.Kind == yaml.ScalarNode {
				nodes = []*yaml.Node{list}
			}
			for _, n := range nodes {
				refer(resolve(n), renamed)
			}
		}
		if a := valueOf(c, "aliases"); a != nil {
			for i := 1; i < len(a.Content); i += 2 {
				of := resolve(a.Content[i])
				for j := 0; j+1 < len(of.Content); j += 2 {
					refer(of.Content[j], renamed)
				}
			}
		}
		if cond := valueOf(c, "condition"); cond != nil && cond.Kind == yaml.ScalarNode {
			words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(cond.Value))
			for i, w := range words {
				if to, ok := renamed[w]; ok {
					words[i] = to
				}
			}
			cond.Value = strings.Join(words, " ")
		}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return "", fmt.Errorf("rename a rule: %w", err)
	}
	return b.String(), nil
}

func refer(n *yaml.Node, renamed map[string]string) {
	if to, ok := renamed[n.Value]; ok {
		*n = *plain(to)
	}
}

func plain(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// valueOf is the node of a key; nil where there is none.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}
