package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"icewatch/soc/client"
)

type packagesCmd struct {
	List   packagesListCmd   `cmd:"" help:"List upgrade packages of the agent, the newest first."`
	Upload packagesUploadCmd `cmd:"" help:"Upload packages of the agent, or archives of them; exits with 1 where not all are taken."`
	Delete packagesDeleteCmd `cmd:"" help:"Delete a package by its SHA-256."`
	Report packagesReportCmd `cmd:"" help:"Write the performance test report of a version, as the centre measured it, into a file."`
}

const packagesPath = "/api/v1/fleet/packages"

// packageLine is what is shown of a package.
type packageLine struct {
	Version, OS, Arch, SHA256, Note string
	Size                            int64
	At                              time.Time
	Verified                        bool
	Running                         int
	Build                           struct{ Go, Commit, Telegraf string }
}

func (p *packageLine) name() string { return p.Version + " " + p.OS + "/" + p.Arch }

type packagesListCmd struct{}

// Run lists packages.
func (*packagesListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var page struct{ Items []json.RawMessage }
	if err := c.Get(a.ctx, packagesPath, url.Values{"limit": {"1000"}}, &page); err != nil {
		return err
	}
	t := table{head: []string{"VERSION", "PLATFORM", "SIZE", "BUILD", "SIGNATURE", "HOSTS", "UPLOADED", "SHA-256"}}
	for _, raw := range page.Items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var p packageLine
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		signature := "not valid"
		if p.Verified {
			signature = "valid"
		}
		t.add(p.Version, p.OS+"/"+p.Arch, fmt.Sprintf("%.1f MB", float64(p.Size)/1e6), or(strings.TrimSpace(p.Build.Go+" "+p.Build.Commit[:min(len(p.Build.Commit), 12)])), signature, fmt.Sprint(p.Running), when(p.At), p.SHA256)
	}
	if a.cli.Output == "json" {
		return nil
	}
	return t.write(a.stdout)
}

type packagesUploadCmd struct {
	Files   []string `arg:"" type:"existingfile" help:"Such as dist/icewatch-agent-*, or a tar.gz or zip of them."`
	Version string   `name:"of" help:"Version; read from each file where it is left out." placeholder:"VERSION"`
	Note    string   `help:"What they are."`
}

// Run uploads files one after the other; one that is refused does not keep the others back.
func (u *packagesUploadCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	refused := 0
	query := url.Values{}
	for k, v := range map[string]string{"version": u.Version, "note": u.Note} {
		if v != "" {
			query.Set(k, v)
		}
	}
	tell := func(name, text string) error {
		_, err := fmt.Fprintf(a.stdout, "%s\t%s\n", name, text)
		return err
	}
	for _, path := range u.Files {
		results, err := uploadPackages(a.ctx, c, path, query)
		if err != nil {
			if a.ctx.Err() != nil {
				return err
			}
			refused++
			if err := tell(path, "refused: "+err.Error()); err != nil {
				return err
			}
		}
		for _, r := range results {
			name := path
			if r.Name != "" {
				name += ":" + r.Name
			}
			text := "refused: " + r.Text
			if r.OK {
				text = r.Package.name() + "  " + r.Package.SHA256
			} else {
				refused++
			}
			if err := tell(name, text); err != nil {
				return err
			}
		}
	}
	if refused > 0 {
		return fmt.Errorf("%d files were not taken", refused)
	}
	return nil
}

// packageResult is what came of one file.
type packageResult struct {
	Name, Text string
	OK         bool
	Package    packageLine
}

func uploadPackages(ctx context.Context, c *client.Client, path string, query url.Values) ([]packageResult, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".gz", ".tgz", ".zip":
		var page struct{ Items []packageResult }
		err := c.Send(ctx, http.MethodPost, packagesPath+"/batch", query, header, f, &page)
		return page.Items, err
	}
	r := packageResult{OK: true}
	if err := c.Send(ctx, http.MethodPost, packagesPath, query, header, f, &r.Package); err != nil {
		return nil, err
	}
	return []packageResult{r}, nil
}

type packagesDeleteCmd struct {
	SHA256 string `arg:"" name:"sha256" help:"Of the package."`
}

// Run deletes a package.
func (d *packagesDeleteCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return c.Send(a.ctx, http.MethodDelete, packagesPath+"/"+url.PathEscape(d.SHA256), nil, nil, nil, nil)
}

type packagesReportCmd struct {
	Version string  `arg:"" help:"That hosts run."`
	File    string  `arg:"" help:"Where it goes; its ending says how: .pdf, .docx, .csv, .xlsx."`
	New     bool    `help:"Make a report of now, in place of taking the last one."`
	CPU     float64 `name:"cpu" help:"With --new: ceiling of the processor in percent of one core." default:"1"`
	Memory  float64 `help:"With --new: ceiling of memory in MB." default:"100"`
}

// Run writes a report.
func (r *packagesReportCmd) Run(a *app) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(r.File)), ".")
	switch format {
	case "pdf", "docx", "csv", "xlsx":
	default:
		return usageError(fmt.Sprintf("the file %q: want one that ends in .pdf, .docx, .csv or .xlsx", r.File))
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	const reports = "/api/v1/fleet/test-reports"
	var one struct{ ID, Verdict string }
	if r.New {
		err = c.JSON(a.ctx, http.MethodPost, reports, nil, map[string]any{"version": r.Version, "ceiling_cpu_percent": r.CPU, "ceiling_memory_mb": r.Memory}, &one)
	} else {
		var page struct {
			Items []struct{ ID, Verdict string }
		}
		if err = c.Get(a.ctx, reports, url.Values{"version": {r.Version}, "limit": {"1"}}, &page); err == nil {
			if len(page.Items) == 0 {
				return fmt.Errorf("there is no report of version %s: make one with --new", r.Version)
			}
			one = page.Items[0]
		}
	}
	if err != nil {
		return err
	}
	body, err := c.Open(a.ctx, reports+"/"+url.PathEscape(one.ID)+"/export", url.Values{"format": {format}, "lang": {a.lang()}})
	if err != nil {
		return err
	}
	defer body.Close()
	if err := writeNew(r.File, body); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s  %s  %s\n", r.Version, one.Verdict, r.File)
	return err
}
