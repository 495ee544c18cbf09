package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"icewatch/collectors/fleet/extension"
	"icewatch/soc/client"
)

type pluginsCmd struct {
	List    pluginsListCmd    `cmd:"" help:"List plug-ins of the agent: those that were uploaded, and the preset ones."`
	Show    pluginsShowCmd    `cmd:"" help:"Show an uploaded plug-in: its packages, and how it fares on each host."`
	Check   pluginsCheckCmd   `cmd:"" help:"Check a package on this machine, without a server."`
	Upload  pluginsUploadCmd  `cmd:"" help:"Check a package and upload it."`
	Install pluginsInstallCmd `cmd:"" help:"Install a plug-in on hosts, or another version of it in its place."`
	Start   pluginsStartCmd   `cmd:"" help:"Start a plug-in on hosts."`
	Stop    pluginsStopCmd    `cmd:"" help:"Stop a plug-in on hosts until it is started."`
	Remove  pluginsRemoveCmd  `cmd:"" help:"Remove a plug-in from hosts."`
	Delete  pluginsDeleteCmd  `cmd:"" help:"Delete a package that no host has."`
}

const pluginsPath = "/api/v1/fleet/plugins"

type pluginsListCmd struct{}

// Run lists plug-ins.
func (l *pluginsListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	items, err := c.Raw(a.ctx, pluginsPath, nil, 1000)
	if err != nil {
		return err
	}
	t := table{head: []string{"PLUG-IN", "KIND", "VERSIONS", "HOSTS", "RUNNING", "FAILING", "STOPPED", "SAMPLES/MIN"}}
	for _, raw := range items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var x struct {
			Name, Kind                       string
			Versions                         []string
			Hosts, Running, Failing, Stopped int
			Samples                          uint64 `json:"samples_minute"`
		}
		if err := json.Unmarshal(raw, &x); err != nil {
			return err
		}
		t.add(x.Name, x.Kind, or(strings.Join(x.Versions, ", ")), fmt.Sprint(x.Hosts), fmt.Sprint(x.Running), fmt.Sprint(x.Failing), fmt.Sprint(x.Stopped), fmt.Sprint(x.Samples))
	}
	if a.cli.Output == "json" {
		return nil
	}
	return t.write(a.stdout)
}

type pluginsShowCmd struct {
	Name string `arg:"" help:"Name of the plug-in."`
}

// Run shows a plug-in.
func (s *pluginsShowCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, pluginsPath+"/"+url.PathEscape(s.Name), nil, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var d struct {
		Packages []struct {
			Version, SHA256, By string
			At                  time.Time
			Manifest            struct {
				Run, Format string
				Programs    map[string]string
			}
		}
		Hosts []struct {
			Host, Name, State, Version, Error string
			Rate                              uint64
			Process                           *struct {
				Restarts, Samples, Errors uint64
				CPU                       float64 `json:"cpu_percent"`
				Memory                    uint64  `json:"memory_bytes"`
			}
		}
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	t := table{head: []string{"VERSION", "RUNS", "PRINTS", "PLATFORMS", "SHA-256", "UPLOADED", "BY"}}
	for _, p := range d.Packages {
		platforms := make([]string, 0, len(p.Manifest.Programs))
		for k := range p.Manifest.Programs {
			platforms = append(platforms, k)
		}
		slices.Sort(platforms)
		t.add(p.Version, p.Manifest.Run, p.Manifest.Format, strings.Join(platforms, ", "), p.SHA256[:min(16, len(p.SHA256))], when(p.At), p.By)
	}
	if err := t.write(a.stdout); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	t = table{head: []string{"HOST", "STATE", "VERSION", "SAMPLES/MIN", "RESTARTS", "ERRORS", "CPU %", "MEMORY MB", "LAST ERROR"}}
	for _, h := range d.Hosts {
		row := []string{or(h.Name), h.State, h.Version, fmt.Sprint(h.Rate), "-", "-", "-", "-", or(h.Error)}
		if p := h.Process; p != nil {
			row[4], row[5], row[6], row[7] = fmt.Sprint(p.Restarts), fmt.Sprint(p.Errors), fmt.Sprintf("%.1f", p.CPU), fmt.Sprintf("%.1f", float64(p.Memory)/(1<<20))
		}
		t.add(row...)
	}
	return t.write(a.stdout)
}

// readPlugin reads a package and checks all of it as the suite and its agents do.
func readPlugin(path string) ([]byte, *extension.Contents, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > extension.MaxSize {
		return nil, nil, fmt.Errorf("%s has %d MiB; at most %d are taken", path, info.Size()>>20, extension.MaxSize>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, err := extension.Walk(bytes.NewReader(data), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, c, nil
}

type pluginsCheckCmd struct {
	File string `arg:"" help:"The package, a tar archive packed with gzip." type:"existingfile"`
}

// Run checks a package.
func (p *pluginsCheckCmd) Run(a *app) error {
	_, c, err := readPlugin(p.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s: %s, %s, for %s; %d files\n", c.Manifest.Name, c.Manifest.Version, c.Manifest.Run, c.Manifest.Format, strings.Join(c.Manifest.Platforms(), ", "), c.Files)
	return err
}

type pluginsUploadCmd struct {
	File string `arg:"" help:"The package, a tar archive packed with gzip." type:"existingfile"`
	Note string `help:"A note that is kept with it."`
}

// Run uploads a package.
func (u *pluginsUploadCmd) Run(a *app) error {
	data, _, err := readPlugin(u.File)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	query := url.Values{"sha256": {hex.EncodeToString(sum[:])}}
	if u.Note != "" {
		query.Set("note", u.Note)
	}
	var raw json.RawMessage
	if err := c.Send(a.ctx, http.MethodPost, pluginsPath, query, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(data), &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var x struct{ Name, Version, SHA256 string }
	if err := json.Unmarshal(raw, &x); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s is uploaded and signed, SHA-256 %s\n", plain(x.Name), plain(x.Version), plain(x.SHA256))
	return err
}

// pluginOrder is what is done with a plug-in on which hosts.
type pluginOrder struct {
	Name  string        `arg:"" help:"Name of the plug-in."`
	Host  []string      `help:"Id or name of a host; can be given again." placeholder:"HOST" sep:"none"`
	Label string        `help:"All hosts with this label." placeholder:"KEY=VALUE"`
	All   bool          `help:"All hosts within reach."`
	Wait  time.Duration `help:"How long to wait for results; 0 waits for none." default:"2m"`
}

type (
	pluginsInstallCmd struct {
		pluginOrder
		Version string `help:"Which version; the newest upload where it is absent."`
	}
	pluginsStartCmd  struct{ pluginOrder }
	pluginsStopCmd   struct{ pluginOrder }
	pluginsRemoveCmd struct{ pluginOrder }
)

// Run installs a plug-in.
func (i *pluginsInstallCmd) Run(a *app) error { return i.order(a, "plugin-install", i.Version) }

// Run starts a plug-in.
func (s *pluginsStartCmd) Run(a *app) error { return s.order(a, "plugin-start", "") }

// Run stops a plug-in.
func (s *pluginsStopCmd) Run(a *app) error { return s.order(a, "plugin-stop", "") }

// Run removes a plug-in.
func (r *pluginsRemoveCmd) Run(a *app) error { return r.order(a, "plugin-remove", "") }

// order sends the order and tells what comes of it.
func (o *pluginOrder) order(a *app, kind, version string) error {
	if len(o.Host) == 0 && o.Label == "" && !o.All {
		return usageError("on which hosts: want --host HOST, --label KEY=VALUE or --all")
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	hosts, err := o.hosts(a, c)
	if err != nil {
		return err
	}
	body := map[string]any{"kind": kind, "plugin": o.Name, "hosts": hosts}
	if version != "" {
		body["version"] = version
	}
	var page struct {
		Items []struct{ ID string }
	}
	if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/fleet/jobs", nil, body, &page); err != nil {
		return err
	}
	var ids []string
	for _, j := range page.Items {
		ids = append(ids, j.ID)
	}
	return a.watchJobs(c, ids, o.Wait)
}

// hosts are the ids of the hosts that are meant.
func (o *pluginOrder) hosts(a *app, c *client.Client) ([]string, error) {
	query := url.Values{}
	if o.Label != "" {
		query.Set("label", o.Label)
	}
	if a.cli.Tenant != "" {
		query.Set("tenant", a.cli.Tenant)
	}
	items, err := c.Raw(a.ctx, "/api/v1/fleet/hosts", query, 1001)
	if err != nil {
		return nil, err
	}
	var ids []string
	found := map[string]int{}
	for _, raw := range items {
		var h struct{ ID, Name, Kind, State string }
		if err := json.Unmarshal(raw, &h); err != nil {
			return nil, err
		}
		if h.Kind == "scanner" || h.State == "revoked" {
			continue
		}
		named := slices.ContainsFunc(o.Host, func(n string) bool {
			if n == h.ID || strings.EqualFold(n, h.Name) {
				found[n]++
				return true
			}
			return false
		})
		if named || len(o.Host) == 0 {
			ids = append(ids, h.ID)
		}
	}
	for _, n := range o.Host {
		switch found[n] {
		case 0:
			return nil, fmt.Errorf("there is no host %q within your reach", n)
		case 1:
		default:
			return nil, fmt.Errorf("%d hosts are called %q: give the id", found[n], n)
		}
	}
	if len(ids) == 0 {
		return nil, errors.New("no host matches")
	}
	if len(ids) > 1000 {
		return nil, errors.New("more than 1,000 hosts match, the most of one operation: choose by label")
	}
	return ids, nil
}

// watchJobs tells what comes of batch operations, host by host, until all are through or the time is over.
func (a *app) watchJobs(c *client.Client, ids []string, wait time.Duration) error {
	end := time.Now().Add(wait)
	told := map[string]string{}
	for {
		open, failed := 0, 0
		for _, id := range ids {
			var j struct {
				Results []struct{ Agent, Host, State, Text string }
			}
			if err := c.Get(a.ctx, "/api/v1/fleet/jobs/"+url.PathEscape(id), nil, &j); err != nil {
				return err
			}
			for _, r := range j.Results {
				switch r.State {
				case "waiting", "sent":
					open++
				case "failed", "expired":
					failed++
				}
				if key := id + r.Agent; told[key] != r.State {
					told[key] = r.State
					if a.cli.Output == "json" {
						line, err := json.Marshal(map[string]string{"job": id, "agent": r.Agent, "host": r.Host, "state": r.State, "text": r.Text})
						if err != nil {
							return err
						}
						if err := a.printLine(line); err != nil {
							return err
						}
						continue
					}
					if _, err := fmt.Fprintf(a.stdout, "%s  %s  %s\n", plain(or(r.Host)), plain(r.State), plain(or(r.Text))); err != nil {
						return err
					}
				}
			}
		}
		switch {
		case open == 0 && failed > 0:
			return fmt.Errorf("%d hosts failed", failed)
		case open == 0 || wait == 0:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("%d hosts have not answered yet; the operation goes on: %s", open, strings.Join(ids, ", "))
		}
		select {
		case <-a.ctx.Done():
			return a.ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

type pluginsDeleteCmd struct {
	Name    string `arg:"" help:"Name of the plug-in."`
	Version string `arg:"" help:"Which version."`
}

// Run deletes a package.
func (d *pluginsDeleteCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	return c.JSON(a.ctx, http.MethodDelete, pluginsPath+"/"+url.PathEscape(d.Name)+"/"+url.PathEscape(d.Version), nil, nil, nil)
}
