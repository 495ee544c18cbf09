// Command generate writes Grafana's dashboards in both languages from their
// source, into the folder it is given (default: the current one), and removes
// those that the source has no more.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"icewatch/dashboards/grafana/source"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := generate(dir); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(dir string) error {
	boards, err := source.Boards()
	if err != nil {
		return err
	}
	for _, l := range source.Languages {
		folder := filepath.Join(dir, string(l))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		made := map[string]bool{}
		for i := range boards {
			text, err := boards[i].JSON(l)
			if err != nil {
				return err
			}
			name := filepath.Join(folder, boards[i].Name+".json")
			made[name] = true
			if err := os.WriteFile(name, text, 0o644); err != nil {
				return err
			}
		}
		old, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil {
			return err
		}
		for _, name := range old {
			if !made[name] {
				if err := os.Remove(name); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
