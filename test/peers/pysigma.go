package peers

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

//go:embed pysigma/answers.py
var pySigmaAnswers string

// PySigmaAnswer is what pySigma and SQLite say of one rule.
type PySigmaAnswer struct {
	Rows   []int    `json:"rows"`   // the events that match, by index, ascending
	Fields []string `json:"fields"` // the names that the query asks for; "" is the keywords' text
	Error  string   `json:"error"`  // why there is no answer, "" where there is
}

// PySigma converts each rule to SQL by pySigma and asks SQLite which of the
// events match. An event is names to values: string, bool, or json.Number; the
// value of the name "" is the text that keywords are searched in.
func PySigma(t testing.TB, rules []string, events []map[string]any) []PySigmaAnswer {
	t.Helper()
	python := os.Getenv("ICEWATCH_PYSIGMA")
	if python == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		if found, _ := filepath.Glob(filepath.Join(cache, "icewatch", "pysigma-*", "installed")); len(found) > 0 {
			python = filepath.Join(filepath.Dir(slices.Max(found)), "bin", "python")
		}
	}
	if _, err := os.Stat(python); python == "" || err != nil {
		Missing(t, "pySigma is not installed: test/peers/pysigma.sh installs it")
	}
	rows := make([]map[string]any, len(events))
	for i, ev := range events {
		rows[i] = map[string]any{}
		for name, v := range ev {
			if n, ok := v.(json.Number); ok {
				v = map[string]string{"n": n.String()} // digits as they are written
			}
			rows[i][name] = v
		}
	}
	task, err := json.Marshal(map[string]any{"rules": rules, "events": rows})
	if err != nil {
		t.Fatal(err)
	}
	var out, trouble bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "-c", pySigmaAnswers)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(task), &out, &trouble
	if err := cmd.Run(); err != nil {
		t.Fatalf("pySigma: %v\n%s", err, &trouble)
	}
	answers := make([]PySigmaAnswer, len(rules))
	dec := json.NewDecoder(&out)
	for i := range answers {
		if err := dec.Decode(&answers[i]); err != nil {
			t.Fatalf("pySigma's answer to rule %d: %v", i, err)
		}
	}
	return answers
}
