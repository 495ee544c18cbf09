package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"icewatch/detections/rulecli"
	"icewatch/detections/sigma"
)

type rulesCoverageCmd struct {
	Rules  []string `arg:"" optional:"" help:"Folders or files of rules. Default: the built-in rules." type:"path"`
	Server bool     `help:"The rules in force on a server, and which of them get data."`
	Layer  string   `help:"Write a layer of the ATT&CK Navigator (format 4.5) to this file; - is standard output, alone." type:"path" placeholder:"FILE"`
	JSON   bool     `name:"json" help:"Print the numbers as JSON."`
}

// Run counts.
func (r *rulesCoverageCmd) Run(a *app) error {
	var list []rulecli.Covered
	var err error
	name := "icewatch rules"
	switch {
	case r.Server && len(r.Rules) > 0:
		return usageError("--server asks for the server's rules: name no folders")
	case r.Server:
		list, err = a.covered()
		name = "icewatch rules in force"
	default:
		list, err = rulecli.Local(r.Rules)
	}
	if err != nil {
		return err
	}
	c := rulecli.Cover(list)
	if r.Layer == "-" {
		return c.Layer(a.stdout, name)
	}
	if r.Layer != "" {
		f, err := os.Create(r.Layer)
		if err != nil {
			return err
		}
		if err := errors.Join(c.Layer(f, name), f.Close()); err != nil {
			return err
		}
	}
	if r.JSON || a.cli.Output == "json" {
		return a.printJSON(c)
	}
	return c.Print(a.stdout)
}

// covered are the server's rules in force, with whether they get data.
func (a *app) covered() ([]rulecli.Covered, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(a.ctx, http.MethodGet, "/api/v1/rules/export", url.Values{}, nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := readAll(resp.Body, "the server's rules", maxImport)
	if err != nil {
		return nil, err
	}
	sources := map[string]string{}
	if resp.StatusCode == http.StatusOK {
		z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return nil, fmt.Errorf("the server's rules: %w", err)
		}
		for _, f := range z.File {
			text, err := unzip(f)
			if err != nil {
				return nil, err
			}
			rules, _ := sigma.Parse(text, &sigma.Options{KeepPlaceholders: true})
			for _, r := range rules {
				sources[r.ID] = rulecli.CoveredBy(r).Logsource
			}
		}
	}
	items, err := c.Raw(a.ctx, "/api/v1/rules", nil, 0)
	if err != nil {
		return nil, err
	}
	var out []rulecli.Covered
	for _, raw := range items {
		var v struct {
			ID         string
			Status     string
			Stage      string
			Kind       string
			Title      struct{ EN string }
			Tactics    []string
			Techniques []string
			Hits       uint64
			Cost       *struct{ Unfed bool }
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("the server's rules are not what was expected: %w", err)
		}
		if v.Status != "active" || v.Stage != "" || v.Kind == "filter" {
			continue
		}
		x := rulecli.Covered{ID: v.ID, Title: v.Title.EN, Logsource: sources[v.ID], Tactics: v.Tactics, Techniques: v.Techniques, Hits: &v.Hits}
		if x.Logsource == "" {
			x.Logsource = "unknown"
		}
		if v.Cost != nil && v.Kind != "correlation" {
			fed := !v.Cost.Unfed
			x.Fed = &fed
		}
		out = append(out, x)
	}
	return out, nil
}
