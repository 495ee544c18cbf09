package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"icewatch/detections/baseline"
)

type baselinesCmd struct {
	List   baselinesListCmd   `cmd:"" help:"List the baselines that come with the suite."`
	Render baselinesRenderCmd `cmd:"" help:"Print a baseline as a shell script with check and apply."`
}

type baselinesListCmd struct{}

// Run lists.
func (baselinesListCmd) Run(a *app) error {
	list, err := baseline.BuiltIn()
	if err != nil {
		return err
	}
	t := table{head: []string{"NAME", "CONTROLS", "TITLE"}}
	for _, b := range list {
		title := b.Title.EN
		if a.lang() == "zh" {
			title = b.Title.ZH
		}
		t.add(b.Name, strconv.Itoa(len(b.Controls)), title)
	}
	return t.write(a.stdout)
}

type baselinesRenderCmd struct {
	Name string `arg:"" help:"Name of a baseline, or a file with one of your own."`
}

// Run prints the script.
func (r *baselinesRenderCmd) Run(a *app) error {
	list, err := baseline.BuiltIn()
	if err != nil {
		return err
	}
	var names []string
	for _, b := range list {
		if b.Name == r.Name {
			_, err := io.WriteString(a.stdout, b.Script())
			return err
		}
		names = append(names, b.Name)
	}
	data, err := os.ReadFile(r.Name)
	if err != nil {
		return fmt.Errorf("there is no baseline %q (there are %s), and no such file: %w", r.Name, strings.Join(names, ", "), err)
	}
	b, err := baseline.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	_, err = io.WriteString(a.stdout, b.Script())
	return err
}
