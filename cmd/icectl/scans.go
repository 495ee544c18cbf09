package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type scansCmd struct {
	List       scansListCmd       `cmd:"" help:"List scans, the latest first; with --tasks what is to be scanned."`
	Run        scansRunCmd        `cmd:"" help:"Begin a task now."`
	Templates  scansTemplatesCmd  `cmd:"" help:"Upload a package of nuclei templates for scanners: a tar of *.yaml files, packed by gzip."`
	Show       scansShowCmd       `cmd:"" help:"Show a scan: how far it is and what came of it; with --results what it found."`
	Duplicates scansDuplicatesCmd `cmd:"" help:"List items of the CMDB that discoveries hold to be one host; with --merge or --dismiss decide on one."`
}

// scanLine is what is shown of a scan.
type scanLine struct {
	ID, Name, Kind, Tenant, Zone, State, Reason string
	Created                                     time.Time `json:"created_at"`
	Progress                                    struct {
		Done     int64 `json:"hosts_done"`
		Total    int64 `json:"hosts_total"`
		Found    int64
		Services int64
		Weak     int64 `json:"weaknesses"`
		Refused  int64
	}
	New       int `json:"new_findings"`
	Again     int `json:"known_findings"`
	Closed    int `json:"closed_findings"`
	Discovery struct{ Known, Created, Updated, Offered, Stale, Vanished, Changes int }
	Notes     []string
}

type scansListCmd struct {
	Tasks bool   `help:"Tasks in place of scans."`
	State string `help:"Only scans in this state, such as running." placeholder:"STATE"`
	Task  string `help:"Only scans of this task." placeholder:"ID"`
	Limit int    `help:"How many, at most 1,000." default:"50"`
}

// Run lists scans or tasks.
func (s *scansListCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{"limit": {strconv.Itoa(s.Limit)}}
	path := "/api/v1/scan-runs"
	if s.Tasks {
		path = "/api/v1/scan-tasks"
	} else {
		for name, value := range map[string]string{"state": s.State, "task": s.Task} {
			if value != "" {
				q.Set(name, value)
			}
		}
	}
	var page struct {
		Items []json.RawMessage
		Total int
	}
	if err := c.Get(a.ctx, path, q, &page); err != nil {
		return err
	}
	for _, raw := range page.Items {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var x scanLine
		if err := json.Unmarshal(raw, &x); err != nil {
			return err
		}
		state, far := x.State, fmt.Sprintf("%d/%d", x.Progress.Done, x.Progress.Total)
		if s.Tasks {
			state, far = "", ""
		}
		if _, err := fmt.Fprintf(a.stdout, "%-26s  %-8s  %-10s  %-11s  %s\n", plain(x.ID), plain(x.Kind), plain(state), far, plain(x.Name)); err != nil {
			return err
		}
	}
	if len(page.Items) < page.Total {
		fmt.Fprintf(a.stderr, "%d of %d\n", len(page.Items), page.Total)
	}
	return nil
}

type scansRunCmd struct {
	Task string `arg:"" help:"Id of the task."`
	Wait bool   `help:"Wait until the scan is over; exits with 1 where it did not come to its end."`
}

// Run begins a task.
func (s *scansRunCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var x scanLine
	if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/scan-tasks/"+url.PathEscape(s.Task)+"/start", nil, nil, &x); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, plain(x.ID))
	for s.Wait {
		select {
		case <-a.ctx.Done():
			return a.ctx.Err()
		case <-time.After(2 * time.Second):
		}
		if err := c.Get(a.ctx, "/api/v1/scan-runs/"+url.PathEscape(x.ID), nil, &x); err != nil {
			return err
		}
		switch x.State {
		case "done":
			return printScan(a, &x)
		case "failed", "cancelled", "expired":
			return fmt.Errorf("the scan %s is %s: %s", x.ID, x.State, plain(x.Reason))
		}
	}
	return nil
}

type scansShowCmd struct {
	ID      string `arg:"" help:"Id of the scan."`
	Results string `help:"What it found, of this kind: host, service, weakness, absent, attempts, refused, attribute or note." placeholder:"KIND"`
}

// Run shows a scan.
func (s *scansShowCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	path := "/api/v1/scan-runs/" + url.PathEscape(s.ID)
	if s.Results != "" {
		cursor := ""
		for {
			q := url.Values{"kind": {s.Results}, "limit": {"1000"}}
			if cursor != "" {
				q.Set("cursor", cursor)
			}
			var page struct {
				Items []json.RawMessage
				Next  string
			}
			if err := c.Get(a.ctx, path+"/results", q, &page); err != nil {
				return err
			}
			for _, raw := range page.Items {
				if err := a.printLine(raw); err != nil {
					return err
				}
			}
			if cursor = page.Next; cursor == "" {
				return nil
			}
		}
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, path, nil, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var x scanLine
	if err := json.Unmarshal(raw, &x); err != nil {
		return err
	}
	return printScan(a, &x)
}

func printScan(a *app, x *scanLine) error {
	p, d := x.Progress, x.Discovery
	_, err := fmt.Fprintf(a.stdout, "%s  %s  %s  %s %s\nhosts     %d of %d looked at, %d answered, %d services, %d weaknesses, %d refused as out of range\nfindings  %d new, %d known, %d closed by re-test\nCMDB      %d known, %d made, %d changed, %d in the inbox, %d stale, %d vanished; %d changes of the surface\n",
		plain(x.ID), plain(x.Name), plain(x.Kind), plain(x.State), plain(x.Reason), p.Done, p.Total, p.Found, p.Services, p.Weak, p.Refused, x.New, x.Again, x.Closed, d.Known, d.Created, d.Updated, d.Offered, d.Stale, d.Vanished, d.Changes)
	for _, n := range x.Notes {
		fmt.Fprintf(a.stdout, "note      %s\n", plain(n))
	}
	return err
}
