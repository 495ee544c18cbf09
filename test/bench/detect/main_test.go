package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const rule = `id: r1
title: One
logsource: {product: windows}
detection:
  s: {'Image|endswith': ['\a.exe', '*\b.exe'], n: 5}
  k: [word]
  condition: s or k
`

// TestGenerate makes rules and events where there are none, the same each time.
func TestGenerate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.yml": rule, "two.yml": rule + "---\ntitle: x\ncorrelation: {type: event_count}\n", "a.test.yml": "cases: []", "other.yml": "a: 1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var before []byte
	for range 2 {
		c, err := generate(dir, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if list, _ := os.ReadDir(c.rules); len(list) != 1 {
			t.Errorf("%d rules were taken, want the one that stands alone", len(list))
		}
		text, err := os.ReadFile(c.events)
		if err != nil || before != nil && string(before) != string(text) {
			t.Errorf("events differ from those before: %v", err)
		}
		before = text
	}
	if _, err := generate(t.TempDir(), t.TempDir()); err == nil {
		t.Error("events were made of no rules")
	}
	b := bench{sample: 50, dir: t.TempDir()}
	b.corpus.events = filepath.Join(b.dir, "all.jsonl")
	if err := os.WriteFile(b.corpus.events, before, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(b.dir, "sample.jsonl")
	if lines, err := b.draw(to); err != nil || len(lines) != 50 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	images := 0
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var ev map[string]any
		if err := json.Unmarshal(scan.Bytes(), &ev); err != nil {
			t.Fatal(err)
		}
		if ev["Image"] == `\a.exe` || ev["Image"] == `some\b.exe` {
			images++
		}
	}
	if images < 10 {
		t.Errorf("%d of 50 events have a text of the rule", images)
	}
}

func TestLess(t *testing.T) {
	t.Parallel()
	a, b := map[string]int{"1\tr": 2, "2\tr": 1}, map[string]int{"1\tr": 1, "3\tr": 1}
	if n := less(a, b); n != 2 {
		t.Errorf("%d matches are missed, want 2", n)
	}
	if n := less(b, a); n != 1 {
		t.Errorf("%d matches are wrong, want 1", n)
	}
}
