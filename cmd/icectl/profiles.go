package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

type profilesCmd struct {
	List   profilesListCmd   `cmd:"" help:"List host profiles: what hosts are that are added by them."`
	Export profilesExportCmd `cmd:"" help:"Print a host profile as YAML, without secrets."`
	Import profilesImportCmd `cmd:"" help:"Take a host profile from a YAML file: a new one, or in the place of the one of its name."`
	Delete profilesDeleteCmd `cmd:"" help:"Delete a host profile with the tasks of its templates."`
}

const profilesPath = "/api/v1/fleet/profiles"

type profilesListCmd struct{}

// Run lists profiles.
func (l *profilesListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	items, err := c.Raw(a.ctx, profilesPath, nil, 1000)
	if err != nil {
		return err
	}
	t := table{head: []string{"ID", "NAME", "TENANT", "LABELS", "PLUG-INS", "TEMPLATES", "HOSTS"}}
	for _, raw := range items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var p struct {
			ID, Name, Tenant string
			Labels, Plugins  []string
			Templates        []struct{ Template string }
			Hosts            int
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		var templates []string
		for _, x := range p.Templates {
			templates = append(templates, x.Template)
		}
		t.add(p.ID, p.Name, p.Tenant, or(strings.Join(p.Labels, ", ")), or(strings.Join(p.Plugins, ", ")), or(strings.Join(templates, ", ")), fmt.Sprint(p.Hosts))
	}
	if a.cli.Output == "json" {
		return nil
	}
	return t.write(a.stdout)
}

type profilesExportCmd struct {
	ID string `arg:"" help:"Id of the profile."`
}

// Run prints a profile.
func (e *profilesExportCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var d struct{ Document string }
	if err := c.Get(a.ctx, profilesPath+"/"+url.PathEscape(e.ID)+"/export", nil, &d); err != nil {
		return err
	}
	_, err = io.WriteString(a.stdout, d.Document)
	return err
}

type profilesImportCmd struct {
	File string `arg:"" help:"YAML as the export writes it; - is the standard input."`
}

// Run takes a profile in.
func (i *profilesImportCmd) Run(a *app) error {
	if a.cli.Tenant == "" {
		return usageError("whose profile it is: want --tenant SLUG")
	}
	var text []byte
	var err error
	if i.File == "-" {
		text, err = io.ReadAll(io.LimitReader(a.stdin, 1<<20))
	} else {
		text, err = os.ReadFile(i.File)
	}
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	var p struct {
		ID, Name string
		Revision int64
	}
	if err := c.JSON(a.ctx, http.MethodPost, profilesPath+"/import", nil, map[string]string{"tenant": a.cli.Tenant, "document": string(text)}, &p); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s  %s  revision %d\n", plain(p.ID), plain(p.Name), p.Revision)
	return err
}

type profilesDeleteCmd struct {
	ID string `arg:"" help:"Id of the profile."`
}

// Run deletes a profile.
func (d *profilesDeleteCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return c.JSON(a.ctx, http.MethodDelete, profilesPath+"/"+url.PathEscape(d.ID), nil, nil, nil)
}
