package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

type findingsCmd struct {
	Import findingsImportCmd `cmd:"" help:"Take in scanners' reports: Nessus, OpenVAS, nuclei, Nmap, SARIF, CSV or XLSX."`
	List   findingsListCmd   `cmd:"" help:"List findings, the most urgent first."`
	Export findingsExportCmd `cmd:"" help:"Write findings as CSV or XLSX."`
	Undo   findingsUndoCmd   `cmd:"" help:"Take back what was done to findings at once: a report taken in, or a change."`
}

type findingsImportCmd struct {
	Files    []string          `arg:"" help:"Reports, plain or packed by gzip." type:"existingfile"`
	Format   string            `help:"Of the files, where it is not found out by the content: nessus, openvas, nuclei, nmap, sarif, csv or xlsx." placeholder:"FORMAT"`
	Engine   string            `help:"Of a table: the scanner's name." placeholder:"NAME"`
	Mapping  map[string]string `help:"Of a table: which column holds a field, such as title=漏洞名称;address=IP." placeholder:"FIELD=COLUMN"`
	Tenant   string            `name:"owner" help:"Tenant of what the CMDB does not know." placeholder:"TENANT"`
	Zone     string            `help:"Network zone of the addresses." placeholder:"ZONE"`
	Item     string            `help:"Item of the CMDB that the report is about." placeholder:"ID"`
	Complete bool              `help:"The scanner looked for all it knows: what it alone reported before at these hosts, and does not now, is gone."`
	DryRun   bool              `name:"dry-run" help:"Read and count, and keep nothing."`
}

// Help is shown below the flags.
func (findingsImportCmd) Help() string {
	return `A broken report names the place and imports nothing. What a report brought is taken back by icectl findings undo CHANGE.

Examples:
  icectl findings import --owner tax scan.nessus
  icectl findings import --complete --zone gov openvas.xml
  icectl findings import --engine 绿盟 --mapping title=漏洞名称 --mapping address=IP report.xlsx`
}

// Run takes the files in one after the other.
func (f *findingsImportCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{}
	for name, value := range map[string]string{"format": f.Format, "engine": f.Engine, "tenant": f.Tenant, "zone": f.Zone, "item": f.Item} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(f.Mapping) > 0 {
		text, err := json.Marshal(f.Mapping)
		if err != nil {
			return err
		}
		q.Set("mapping", string(text))
	}
	if f.Complete {
		q.Set("complete", "true")
	}
	if f.DryRun {
		q.Set("dry_run", "true")
	}
	for _, name := range f.Files {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		base := filepath.Base(name)
		q.Set("name", base)
		if f.Format == "" && strings.HasSuffix(strings.ToLower(strings.TrimSuffix(base, ".gz")), ".csv") {
			q.Set("format", "csv")
		} else if f.Format == "" {
			q.Del("format")
		}
		if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) && len(data) > 1<<20 {
			if data, err = packed(data); err != nil {
				return err
			}
		}
		var raw json.RawMessage
		if err := c.Send(a.ctx, http.MethodPost, "/api/v1/finding-imports", q, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(data), &raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var got struct {
			Change, Engine                                    string
			Hosts, Found, New, Again, Reopened, Gone, Offered int
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(a.stdout, "%s: %s, %d hosts, %d weaknesses: %d new, %d known, %d came back, %d gone", plain(base), plain(got.Engine), got.Hosts, got.Found, got.New, got.Again, got.Reopened, got.Gone); err != nil {
			return err
		}
		if got.Change != "" {
			fmt.Fprintf(a.stdout, "; change %s", got.Change)
		}
		fmt.Fprintln(a.stdout)
	}
	return nil
}

func packed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// findingsFilter narrows what is listed and written.
type findingsFilter struct {
	Q        string `help:"Words that all occur." placeholder:"WORDS"`
	State    string `help:"States, separated by commas; * for all of them. Those that count where it is absent." placeholder:"STATES"`
	Level    string `help:"Levels, separated by commas." placeholder:"LEVELS"`
	Title    string `help:"Part of the title."`
	Class    string `help:"Part of the kind of weakness, or a CWE id."`
	Weakness string `help:"CVE, CNNVD or CNVD id, or engine:check."`
	Engine   string `help:"Scanner."`
	Host     string `help:"Address, or name of the host or asset."`
	Port     int    `help:"Port."`
	Service  string `help:"Service."`
	Item     string `help:"Id of an item of the CMDB."`
	Unit     string `help:"Id of an organisation."`
	Owner    string `help:"Who repairs it."`
	Overdue  bool   `help:"Only what is overdue."`
	Attacked bool   `help:"Only what was attacked."`
}

func (f *findingsFilter) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"q": f.Q, "state": f.State, "level": f.Level, "title": f.Title, "class": f.Class, "weakness": f.Weakness, "engine": f.Engine, "host": f.Host, "service": f.Service, "item": f.Item, "unit": f.Unit, "owner": f.Owner} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.Port > 0 {
		q.Set("port", strconv.Itoa(f.Port))
	}
	if f.Overdue {
		q.Set("overdue", "true")
	}
	if f.Attacked {
		q.Set("attacked", "true")
	}
	return q
}

type findingsListCmd struct {
	findingsFilter
	Limit int `help:"How many, at most 1,000." default:"50"`
}

// Run lists findings.
func (f *findingsListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := f.query()
	q.Set("limit", strconv.Itoa(f.Limit))
	var page struct {
		Items []json.RawMessage
		Total int
	}
	if err := c.Get(a.ctx, "/api/v1/findings", q, &page); err != nil {
		return err
	}
	for _, raw := range page.Items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var x struct {
			ID, Weakness, Level, State, Host, Name, Owner string
			Priority, Port                                int
			Title                                         struct{ ZH, EN string }
		}
		if err := json.Unmarshal(raw, &x); err != nil {
			return err
		}
		at := x.Host
		if x.Port > 0 {
			at += ":" + strconv.Itoa(x.Port)
		}
		title := x.Title.ZH
		if title == "" {
			title = x.Title.EN
		}
		if _, err := fmt.Fprintf(a.stdout, "%3d  %-13s  %-14s  %-24s  %-18s  %s\n", x.Priority, plain(x.Level), plain(x.State), plain(at), plain(x.Weakness), plain(title)); err != nil {
			return err
		}
	}
	if len(page.Items) < page.Total {
		fmt.Fprintf(a.stderr, "%d of %d\n", len(page.Items), page.Total)
	}
	return nil
}

type findingsExportCmd struct {
	findingsFilter
	File string `arg:"" help:"File to write, .csv or .xlsx." type:"path"`
}

// Run writes a file; it stands there as a whole or not at all.
func (f *findingsExportCmd) Run(a *app) error {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(f.File)), ".")
	if format != "csv" && format != "xlsx" {
		return errors.New("the file's name ends in .csv or .xlsx")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := f.query()
	q.Set("format", format)
	body, err := c.Open(a.ctx, "/api/v1/findings/export", q)
	if err != nil {
		return err
	}
	defer body.Close()
	return writeNew(f.File, body)
}

// writeNew writes a file, which stands there as a whole or not at all.
func writeNew(path string, body io.Reader) error {
	part := path + ".part"
	out, err := os.OpenFile(part, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, body)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

type findingsUndoCmd struct {
	Change string `arg:"" help:"The change, as an import or a change of findings answered it."`
}

// Run takes a change back.
func (f *findingsUndoCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var got struct{ Findings int }
	if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/finding-changes/"+url.PathEscape(f.Change)+"/undo", nil, nil, &got); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "taken back: %d findings\n", got.Findings)
	return err
}
