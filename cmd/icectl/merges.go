package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// mergeLine is a merge as answers tell of it.
type mergeLine struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Actor  string    `json:"actor"`
	Keep   item      `json:"keep"`
	Gone   item      `json:"gone"`
	Fields []struct {
		Field, Keep, Gone, Value string
		Conflict                 bool
	} `json:"fields"`
	Relations int    `json:"relations"`
	Dropped   int    `json:"dropped"`
	Referring []item `json:"referring"`
	UndoneBy  string `json:"undone_by"`
}

func (m *mergeLine) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s\n  stays     %s\n  goes      %s\n", plain(m.ID), plain(m.Keep.String()), plain(m.Gone.String()))
	for _, f := range m.Fields {
		mark := ""
		if f.Conflict {
			mark = "  (both have one: choose with --choose " + f.Field + "=gone)"
		}
		fmt.Fprintf(b, "  %s: %q, %q → %q%s\n", plain(f.Field), f.Keep, f.Gone, f.Value, plain(mark))
	}
	fmt.Fprintf(b, "  relations %d taken over, %d that the item which stays cannot have; %d items refer to it now\n", m.Relations, m.Dropped, len(m.Referring))
}

type cmdbMergeCmd struct {
	Keep   string            `arg:"" help:"Id of the item that stays."`
	Gone   string            `arg:"" help:"Id of the one that goes."`
	Choose map[string]string `help:"Field=keep or field=gone, where another value is wanted than that of the better source." placeholder:"FIELD=WHICH"`
	Reason string            `help:"Why, for the record."`
	DryRun bool              `name:"dry-run" help:"Say what would come of it, and change nothing."`
}

// Run makes one of two items.
func (m *cmdbMergeCmd) Run(a *app) error {
	body := map[string]any{"keep": m.Keep, "gone": m.Gone, "reason": m.Reason, "dry_run": m.DryRun}
	if len(m.Choose) > 0 {
		body["choose"] = m.Choose
	}
	return a.tellMerge("/api/v1/cmdb/merges", body)
}

// tellMerge posts something of a merge and prints the answer.
func (a *app) tellMerge(path string, body any) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.JSON(a.ctx, http.MethodPost, path, nil, body, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var got mergeLine
	if err := json.Unmarshal(raw, &got); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	var b bytes.Buffer
	got.write(&b)
	_, err = a.stdout.Write(b.Bytes())
	return err
}

type cmdbMergesCmd struct {
	Item  string `help:"Only those of this item." placeholder:"ID"`
	Limit int    `help:"How many, the newest first." default:"50" short:"n"`
	Undo  string `help:"Take this one back: both items and their relations are what they were." placeholder:"ID"`
}

// Run lists merges, or takes one back.
func (m *cmdbMergesCmd) Run(a *app) error {
	if m.Undo != "" {
		return a.tellMerge("/api/v1/cmdb/merges/"+url.PathEscape(m.Undo)+"/undo", map[string]any{})
	}
	q := url.Values{"limit": {strconv.Itoa(m.Limit)}}
	set(q, "item", m.Item)
	return askCMDB(a, "merges", q, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Items []mergeLine `json:"items"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		for _, x := range got.Items {
			undone := ""
			if x.UndoneBy != "" {
				undone = "  taken back by " + x.UndoneBy
			}
			fmt.Fprintf(b, "%s  %s  %s: %s ← %s%s\n", x.ID, x.Time.Local().Format(time.DateTime), plain(x.Actor), plain(x.Keep.String()), plain(x.Gone.String()), plain(undone))
		}
		return nil
	})
}

type scansDuplicatesCmd struct {
	State   string `help:"${enum}; open without." enum:"open,merged,dismissed,undone" default:"open"`
	Limit   int    `help:"How many, the latest first." default:"50" short:"n"`
	Merge   string `help:"Make one of the two items of this duplicate." placeholder:"ID"`
	Dismiss string `help:"Say that the two of this duplicate are two." placeholder:"ID"`
	Note    string `help:"Why, for the record."`
}

// Run lists items that discoveries hold to be one host, or decides on one.
func (s *scansDuplicatesCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	type line struct {
		ID      string   `json:"id"`
		Keep    item     `json:"keep"`
		Gone    item     `json:"gone"`
		Marks   []string `json:"marks"`
		Certain bool     `json:"certain"`
		State   string   `json:"state"`
		Merge   string   `json:"merge"`
	}
	var list []json.RawMessage
	if id, action := s.Merge, "merge"; s.Merge != "" || s.Dismiss != "" {
		if s.Merge == "" {
			id, action = s.Dismiss, "dismiss"
		}
		var one json.RawMessage
		if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/surface/duplicates/"+url.PathEscape(id), nil, map[string]any{"action": action, "note": s.Note}, &one); err != nil {
			return err
		}
		list = []json.RawMessage{one}
	} else {
		var page struct{ Items []json.RawMessage }
		if err := c.Get(a.ctx, "/api/v1/surface/duplicates", url.Values{"state": {s.State}, "limit": {strconv.Itoa(s.Limit)}}, &page); err != nil {
			return err
		}
		list = page.Items
	}
	for _, raw := range list {
		if a.cli.Output == "json" {
			if err := a.printLine(raw); err != nil {
				return err
			}
			continue
		}
		var x line
		if err := json.Unmarshal(raw, &x); err != nil {
			return fmt.Errorf("the answer is not what was expected: %w", err)
		}
		sure := "likely"
		if x.Certain {
			sure = "certain"
		}
		if _, err := fmt.Fprintf(a.stdout, "%s  %s  %s  %s ← %s  same %v %s\n", x.ID, x.State, sure, plain(x.Keep.String()), plain(x.Gone.String()), x.Marks, x.Merge); err != nil {
			return err
		}
	}
	return nil
}
