package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"icewatch/detections/suppression"
)

type suppressionsCmd struct {
	List    suppressionsListCmd    `cmd:"" help:"List suppressions and what each has suppressed."`
	Lint    suppressionsLintCmd    `cmd:"" help:"Check files of suppressions on this machine, without a server."`
	Preview suppressionsPreviewCmd `cmd:"" help:"Show what suppressions would have suppressed of the last 30 days, without making them."`
	Apply   suppressionsApplyCmd   `cmd:"" help:"Make and change suppressions from YAML files or folders of them, all or nothing; none is deleted."`
	Export  suppressionsExportCmd  `cmd:"" help:"Print all suppressions as YAML that apply takes."`
}

type suppressionsListCmd struct {
	State string `help:"Those in this state alone: ${enum}." enum:"active,disabled,expired," default:""`
}

// Run lists the suppressions.
func (l *suppressionsListCmd) Run(a *app) error {
	q := url.Values{}
	if l.State != "" {
		q.Set("state", l.State)
	}
	return a.list("/api/v1/suppressions", q, 0, []string{"NAME", "STATE", "ENDS", "OWNER", "RULES", "TENANTS", "FIRINGS", "ALERTS", "ID"}, func(raw json.RawMessage) ([]string, error) {
		var v struct {
			suppression.Suppression
			State  string `json:"state"`
			Alerts int    `json:"alerts"`
			Effect struct {
				Firings int `json:"firings"`
			} `json:"effect"`
		}
		err := json.Unmarshal(raw, &v)
		return []string{v.Name, v.State, v.Expires.Format("2006-01-02"), v.Owner, or(strings.Join(v.Rules, ",")), or(strings.Join(v.Tenants, ",")), fmt.Sprint(v.Effect.Firings), fmt.Sprint(v.Alerts), v.ID}, err
	})
}

// suppressionFiles reads the suppressions of files and folders.
func suppressionFiles(paths []string) (list []suppression.Suppression, faults []suppression.Fault, err error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		if err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && slices.Contains([]string{".yml", ".yaml"}, filepath.Ext(p)) {
				files = append(files, p)
			}
			return err
		}); err != nil {
			return nil, nil, err
		}
	}
	seen := map[string]string{}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		more, wrong := suppression.Parse(path, data)
		faults = append(faults, wrong...)
		for _, s := range more {
			if before, there := seen[s.ID]; there {
				faults = append(faults, suppression.Fault{Path: path, ID: s.ID, Reason: "its id is that of one in " + before})
				continue
			}
			seen[s.ID] = path
			list = append(list, s)
		}
	}
	if len(list) == 0 && len(faults) == 0 {
		err = errors.New("there is no suppression in what is named: want YAML files, or folders with such")
	}
	return list, faults, err
}

type suppressionsLintCmd struct {
	Paths []string `arg:"" help:"Files, or folders of them." type:"path"`
}

// Run checks; the exit code is 1 where something is wrong.
func (l *suppressionsLintCmd) Run(a *app) error {
	list, faults, err := suppressionFiles(l.Paths)
	if err != nil {
		return err
	}
	for _, f := range faults {
		fmt.Fprintln(a.stdout, f.Error())
	}
	if len(faults) > 0 {
		return findings(len(faults))
	}
	fmt.Fprintf(a.stdout, "%d suppressions, no fault\n", len(list))
	return nil
}

// readSuppressions reads files for a server: none is sent where one is wrong.
func (a *app) readSuppressions(paths []string) ([]suppression.Suppression, error) {
	list, faults, err := suppressionFiles(paths)
	if err == nil && len(faults) > 0 {
		var texts []string
		for _, f := range faults {
			texts = append(texts, f.Error())
		}
		err = fmt.Errorf("nothing is sent:\n%s", strings.Join(texts, "\n"))
	}
	return list, err
}

type suppressionsPreviewCmd struct {
	Paths []string `arg:"" help:"Files, or folders of them." type:"path"`
}

// Run previews one after the other.
func (p *suppressionsPreviewCmd) Run(a *app) error {
	list, err := a.readSuppressions(p.Paths)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	for i := range list {
		var raw json.RawMessage
		if err := c.JSON(a.ctx, "POST", "/api/v1/suppressions/preview", nil, &list[i], &raw); err != nil {
			return fmt.Errorf("suppression %s: %w", list[i].ID, err)
		}
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var v struct {
			From       string `json:"from"`
			Firings    int    `json:"firings"`
			Suppressed int    `json:"suppressed"`
			Alerts     int    `json:"alerts"`
			Unsure     int    `json:"unsure"`
			Warnings   []struct {
				Text struct {
					EN string `json:"en"`
				} `json:"text"`
			} `json:"warnings"`
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return fmt.Errorf("the preview is not what was expected: %w", err)
		}
		fmt.Fprintf(a.stdout, "%s: %d of %d firings since %s, of %d alerts", list[i].Name, v.Suppressed, v.Firings, v.From, v.Alerts)
		if v.Unsure > 0 {
			fmt.Fprintf(a.stdout, "; %d more are not known", v.Unsure)
		}
		fmt.Fprintln(a.stdout)
		for _, w := range v.Warnings {
			fmt.Fprintf(a.stdout, "  warning: %s\n", w.Text.EN)
		}
	}
	return nil
}

type suppressionsApplyCmd struct {
	Paths []string `arg:"" help:"Files, or folders of them." type:"path"`
}

// Run sends all suppressions in one request.
func (p *suppressionsApplyCmd) Run(a *app) error {
	list, err := a.readSuppressions(p.Paths)
	if err != nil {
		return err
	}
	text, err := suppression.Format(list)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	var out struct {
		Created int `json:"created"`
		Updated int `json:"updated"`
	}
	if err := c.JSON(a.ctx, "POST", "/api/v1/suppressions/import", nil, map[string]string{"yaml": string(text)}, &out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "created %d, updated %d\n", out.Created, out.Updated)
	return nil
}

type suppressionsExportCmd struct {
	State string `help:"Those in this state alone: ${enum}." enum:"active,disabled,expired," default:""`
}

// Run prints them.
func (e *suppressionsExportCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{}
	if e.State != "" {
		q.Set("state", e.State)
	}
	var out struct {
		YAML string `json:"yaml"`
	}
	if err := c.Get(a.ctx, "/api/v1/suppressions/export", q, &out); err != nil {
		return err
	}
	fmt.Fprint(a.stdout, out.YAML)
	return nil
}
