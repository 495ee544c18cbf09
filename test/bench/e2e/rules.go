package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/rules"
)

// markID is the rule that marked events raise, one alert each.
const markID = "5b0d4e0e-8a7e-4c8e-9d0b-0c6f0a2f8e11"

// markWord stands in each marked event.
const markWord = "bench-e2e-mark"

const markRule = `title: Marked event of the benchmark
id: ` + markID + `
status: test
logsource:
  category: application
detection:
  marked:
    process.command_line|contains: ` + markWord + `
  condition: marked
level: low
icewatch:
  sentence: {zh: "标记事件 {user.name}", en: "Marked event {user.name}"}
  group_by: [user.name]
`

// ruleCount is how many rules are made where no folder of Sigma rules is.
const ruleCount = 3000

// ruleFolder is the folder of Sigma rules, and what there is to say of it.
func (b *bench) ruleFolder() (folder, said string, err error) {
	files := 0
	_ = filepath.WalkDir(b.rules, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".yml") {
			files++
		}
		return nil
	})
	if files > 0 {
		folder, err := filepath.Abs(b.rules)
		return folder, fmt.Sprintf("%d files of %s, and those that come with the suite", files, b.rules), err
	}
	folder = filepath.Join(b.dir, "rules")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", "", err
	}
	return folder, fmt.Sprintf("%d made of those that come with the suite, with values of their own each, and these themselves; %s is absent", ruleCount, b.rules), makeRules(folder)
}

// makeRules writes rules that differ from the shipped ones in id and values.
func makeRules(folder string) error {
	var shipped [][]byte
	err := fs.WalkDir(rules.FS, "sigma", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yml") || strings.HasSuffix(path, ".test.yml") {
			return err
		}
		text, err := fs.ReadFile(rules.FS, path)
		if err != nil {
			return err
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if vary(&doc, 0) {
			shipped = append(shipped, text)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for n := range ruleCount {
		var doc yaml.Node
		if err := yaml.Unmarshal(shipped[n%len(shipped)], &doc); err != nil {
			return err
		}
		vary(&doc, n)
		var out bytes.Buffer
		if err := yaml.NewEncoder(&out).Encode(&doc); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("made-%04d.yml", n)), out.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// vary gives a rule an id of its own, and each text that it looks for by part
// an ending of its own. It tells whether the rule looks for any.
func vary(doc *yaml.Node, n int) (changed bool) {
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		switch value := root.Content[i+1]; root.Content[i].Value {
		case "id":
			value.Value = fmt.Sprintf("5b0d4e0e-0000-4000-8000-%012d", n)
		case "name":
			value.Value += fmt.Sprintf("_%d", n)
		case "detection":
			changed = varyValues(value, fmt.Sprintf("%d", n))
		}
	}
	return changed
}

// varyValues tells whether anything was changed.
func varyValues(node *yaml.Node, ending string) (changed bool) {
	for i := 0; i+1 < len(node.Content) && node.Kind == yaml.MappingNode; i += 2 {
		name, value := node.Content[i].Value, node.Content[i+1]
		if value.Kind == yaml.MappingNode {
			changed = varyValues(value, ending) || changed
			continue
		}
		// Numbers, networks and whole values stay what they are.
		expression := strings.Contains(name, "|re")
		if !expression && !strings.Contains(name, "|contains") && !strings.Contains(name, "|startswith") && !strings.Contains(name, "|endswith") {
			continue
		}
		texts := value.Content
		if value.Kind == yaml.ScalarNode {
			texts = []*yaml.Node{value}
		}
		for _, v := range texts {
			if expression {
				v.Value = "(?:" + v.Value + ")"
			}
			v.SetString(v.Value + ending)
			changed = true
		}
	}
	return changed
}
