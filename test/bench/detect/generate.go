package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// generated is how many events are made where there are none.
const generated = 20_000

// selection are the fields of one map of a rule and the texts it asks for.
type selection map[string][]string

// generate copies the rules of dir that stand alone to a folder, and writes
// events made of the pieces of their selections.
func generate(dir, to string) (corpus, error) {
	c := corpus{rules: filepath.Join(to, "rules"), events: filepath.Join(to, "events.jsonl")}
	if err := os.Mkdir(c.rules, 0o700); err != nil {
		return c, err
	}
	var pieces []selection
	count := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yml" || strings.HasSuffix(path, ".test.yml") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var rule struct {
			ID        string         `yaml:"id"`
			Detection map[string]any `yaml:"detection"`
		}
		dec := yaml.NewDecoder(bytes.NewReader(text))
		if dec.Decode(&rule) != nil || rule.Detection == nil || dec.Decode(new(any)) == nil {
			return nil // no rule, or one whose matches other documents count
		}
		for _, name := range slices.Sorted(maps.Keys(rule.Detection)) {
			if name != "condition" {
				pieces = append(pieces, selections(rule.Detection[name])...)
			}
		}
		count++
		return os.WriteFile(filepath.Join(c.rules, fmt.Sprintf("%03d.yml", count)), text, 0o600)
	})
	if err == nil && len(pieces) == 0 {
		err = errors.New("no rule has fields to make events of")
	}
	if err != nil {
		return c, fmt.Errorf("make events of the rules in %s: %w", dir, err)
	}
	c.rulesFrom = fmt.Sprintf("%d of the suite's own", count)
	c.eventsFrom = fmt.Sprintf("%d, made of the rules' own pieces", generated)
	return c, writeEvents(c.events, pieces)
}

// selections are the maps of one search of a rule.
func selections(part any) []selection {
	switch part := part.(type) {
	case map[string]any:
		s := selection{}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			field, _, _ := strings.Cut(key, "|")
			list, ok := part[key].([]any)
			if !ok {
				list = []any{part[key]}
			}
			for _, v := range list {
				s[field] = append(s[field], fmt.Sprint(v))
			}
		}
		return []selection{s}
	case []any:
		var list []selection
		for _, p := range part {
			list = append(list, selections(p)...)
		}
		return list
	}
	return nil
}

// writeEvents draws two selections for each event, with some of their texts
// and some others, the same in every run.
func writeEvents(path string, pieces []selection) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(6, 2025))
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for i := range generated {
		ev := map[string]any{"host.name": fmt.Sprintf("host-%03d", r.IntN(200)), "event.sequence": i, "message": strings.Repeat("a line of text ", 1+r.IntN(6))}
		for range 2 {
			piece := pieces[r.IntN(len(pieces))]
			for _, field := range slices.Sorted(maps.Keys(piece)) {
				text := piece[field][r.IntN(len(piece[field]))]
				if r.IntN(4) == 0 {
					text = fmt.Sprintf("something else %d", r.IntN(1000))
				}
				ev[field] = strings.NewReplacer("*", "some", "?", "x").Replace(text)
			}
		}
		if err := enc.Encode(ev); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}
