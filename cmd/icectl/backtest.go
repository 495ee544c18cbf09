package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"icewatch/detections"
	"icewatch/soc/client"
)

type rulesBacktestCmd struct {
	Rule        string        `arg:"" optional:"" help:"Id of a rule in force, or a file of rules; - is standard input." placeholder:"RULE|FILE"`
	Since       string        `help:"How far back from now (or from --to), such as 7d. Default: 30d." placeholder:"DURATION"`
	From        string        `help:"What came from this time on." placeholder:"TIME"`
	To          string        `help:"What came before this time. Default: now." placeholder:"TIME"`
	Suppression string        `help:"File of suppressions: what they would have met is counted. Without RULE the rules they name are judged." type:"existingfile" placeholder:"FILE"`
	Detach      bool          `help:"Start it and print its id, without waiting."`
	Poll        time.Duration `hidden:"" default:"1s"`
}

// Help is shown below the flags.
func (rulesBacktestCmd) Help() string {
	return `Judges what the server's lake holds, in the order in which it came, and tells what the rule would have raised: alerts a day, samples, incidents joined, cost.
Standard error shows how far it has come; interrupting ends it. -o json prints the result as one object. docs/backtest.md tells what it can and cannot know.`
}

// backtestView is a backtest as the server shows it.
type backtestView struct {
	ID       string `json:"id"`
	Title    string `json:"title"`
	State    string `json:"state"`
	Error    string `json:"error"`
	Progress struct {
		Share   float64   `json:"share"`
		Events  uint64    `json:"events"`
		Read    uint64    `json:"read"`
		Fired   uint64    `json:"fired"`
		Reached time.Time `json:"reached"`
	} `json:"progress"`
	Findings *struct {
		From        time.Time `json:"from"`
		To          time.Time `json:"to"`
		Covered     time.Time `json:"covered"`
		Events      uint64    `json:"events"`
		Read        uint64    `json:"read"`
		Occurrences uint64    `json:"occurrences"`
		Alerts      uint64    `json:"alerts"`
		Suppressed  uint64    `json:"suppressed"`
		Joined      int       `json:"joined"`
		Stopped     string    `json:"stopped"`
		Days        []struct {
			Date                            string
			Occurrences, Alerts, Suppressed uint64
		} `json:"days"`
		List []struct {
			Tenant      string            `json:"tenant"`
			First       time.Time         `json:"first"`
			Last        time.Time         `json:"last"`
			Occurrences uint64            `json:"occurrences"`
			Group       []detections.Pair `json:"group"`
			Incident    *struct {
				ID string `json:"id"`
			} `json:"incident"`
		} `json:"list"`
		Cost struct {
			PerMillion float64 `json:"per_million"`
			Seconds    float64 `json:"seconds"`
			PerSecond  float64 `json:"per_second"`
		} `json:"cost"`
	} `json:"findings"`
}

// Run starts a backtest and waits for it.
func (r *rulesBacktestCmd) Run(a *app) error {
	body := map[string]string{"since": r.Since, "start": r.From, "end": r.To, "tenant": a.cli.Tenant}
	switch {
	case r.Rule == "" && r.Suppression == "":
		return usageError("a rule was expected: its id, a file, or --suppression with rules in it")
	case r.Rule == "":
	case r.Rule == "-":
		data, err := readAll(a.stdin, "standard input", 1<<20)
		if err != nil {
			return err
		}
		body["source"] = string(data)
	default:
		f, err := os.Open(r.Rule)
		switch {
		case err == nil:
			data, rerr := readAll(f, r.Rule, 1<<20)
			if err := errors.Join(rerr, f.Close()); err != nil {
				return err
			}
			body["source"] = string(data)
		case errors.Is(err, fs.ErrNotExist) && !strings.ContainsAny(r.Rule, `/\`) && !strings.HasSuffix(r.Rule, ".yml"):
			body["rule"] = r.Rule
		default:
			return err
		}
	}
	if r.Suppression != "" {
		f, err := os.Open(r.Suppression)
		if err != nil {
			return err
		}
		data, rerr := readAll(f, r.Suppression, 1<<20)
		if err := errors.Join(rerr, f.Close()); err != nil {
			return err
		}
		body["suppression"] = string(data)
	}
	for name, v := range body {
		if v == "" {
			delete(body, name)
		}
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.JSON(a.ctx, "POST", "/api/v1/backtests", nil, body, &raw); err != nil {
		return err
	}
	var v backtestView
	if err := json.Unmarshal(raw, &v); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	if r.Detach {
		if a.cli.Output == "json" {
			return a.printLine(raw)
		}
		_, err := fmt.Fprintln(a.stdout, v.ID)
		return err
	}
	if raw, err = r.wait(a, c, &v); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		err = a.printLine(raw)
	} else {
		err = v.print(a)
	}
	if err == nil && v.State != "done" {
		err = fmt.Errorf("the backtest is %s: %s", v.State, or(v.Error))
	}
	return err
}

// wait asks until the backtest has ended, and ends it where the user interrupts.
func (r *rulesBacktestCmd) wait(a *app, c *client.Client, v *backtestView) (raw json.RawMessage, err error) {
	told := ""
	for {
		if err := c.Get(a.ctx, "/api/v1/backtests/"+v.ID, nil, &raw); err != nil {
			return nil, r.leave(a, c, v.ID, err)
		}
		*v = backtestView{}
		if err := json.Unmarshal(raw, v); err != nil {
			return nil, fmt.Errorf("the answer is not what was expected: %w", err)
		}
		p := &v.Progress
		if line := fmt.Sprintf("%s %3.0f %%: %d events, %d read, %d firings", v.State, 100*p.Share, p.Events, p.Read, p.Fired); line != told {
			told = line
			fmt.Fprintln(a.stderr, line)
		}
		if v.State != "queued" && v.State != "running" {
			return raw, nil
		}
		select {
		case <-time.After(r.Poll):
		case <-a.ctx.Done():
			return nil, r.leave(a, c, v.ID, a.ctx.Err())
		}
	}
}

// leave ends the backtest that nobody waits for any more.
func (r *rulesBacktestCmd) leave(a *app, c *client.Client, id string, why error) error {
	if a.ctx.Err() == nil {
		return why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), 5*time.Second)
	defer cancel()
	return errors.Join(why, c.JSON(ctx, "POST", "/api/v1/backtests/"+id+"/cancel", nil, nil, nil))
}

func (v *backtestView) print(a *app) error {
	var b bytes.Buffer
	f := v.Findings
	if f == nil {
		return nil
	}
	fmt.Fprintf(&b, "%s\n%s to %s: %d firings, %d alerts", or(v.Title), when(f.From), when(f.To), f.Occurrences, f.Alerts)
	if f.Suppressed > 0 {
		fmt.Fprintf(&b, ", %d firings suppressed", f.Suppressed)
	}
	fmt.Fprintf(&b, "; %d of the alerts listed would have joined an incident\n", f.Joined)
	fmt.Fprintf(&b, "%d events, %d read; %.1f s, %.0f events/s; %.4f s of a core per million events\n", f.Events, f.Read, f.Cost.Seconds, f.Cost.PerSecond, f.Cost.PerMillion)
	if f.Covered.After(f.From) {
		fmt.Fprintf(&b, "the order of arrival is known from %s on: nothing before was judged\n", when(f.Covered))
	}
	if f.Stopped != "" {
		fmt.Fprintf(&b, "it stopped early: %s\n", f.Stopped)
	}
	for _, d := range f.Days {
		fmt.Fprintf(&b, "%s  %8d firings  %6d alerts  %8d suppressed\n", d.Date, d.Occurrences, d.Alerts, d.Suppressed)
	}
	for i, x := range f.List {
		if i == 20 {
			fmt.Fprintf(&b, "… %d more\n", len(f.List)-i)
			break
		}
		var group []string
		for _, g := range x.Group {
			group = append(group, g.Field+"="+g.Value)
		}
		incident := "-"
		if x.Incident != nil {
			incident = x.Incident.ID
		}
		fmt.Fprintf(&b, "%6d  %s  %s  %s  %s\n", x.Occurrences, when(x.Last), x.Tenant, incident, strings.Join(group, " "))
	}
	_, err := a.stdout.Write(b.Bytes())
	return err
}
