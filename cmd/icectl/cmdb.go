package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// askCMDB fetches an answer of the CMDB and prints it, as JSON where the user
// wants that.
func askCMDB(a *app, path string, q url.Values, show func(raw []byte, out *bytes.Buffer) error) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, "/api/v1/cmdb/"+path, q, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var b bytes.Buffer
	if err := show(raw, &b); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	_, err = a.stdout.Write(b.Bytes())
	return err
}

// item is a configuration item as answers name it.
type item struct {
	ID    string `json:"id"`
	Class string `json:"class"`
	Name  string `json:"name"`
}

// String names it with its class and id.
func (i item) String() string {
	if i.Name == "" || i.Name == i.ID {
		return fmt.Sprintf("%s (%s)", i.ID, i.Class)
	}
	return fmt.Sprintf("%s (%s %s)", i.Name, i.Class, i.ID)
}

// scopeFlags narrow what is walked over.
type scopeFlags struct {
	Types   []string `help:"Follow relations of these types alone." placeholder:"TYPE,…"`
	Classes []string `help:"Pass items of these classes alone." placeholder:"CLASS,…"`
}

func (s *scopeFlags) into(q url.Values) url.Values {
	set(q, "types", strings.Join(s.Types, ","))
	set(q, "classes", strings.Join(s.Classes, ","))
	return q
}

type cmdbPathCmd struct {
	scopeFlags
	From  string `arg:"" help:"Id of an item."`
	To    string `arg:"" help:"Id of another."`
	Hops  int    `help:"Relations at most, up to 16." default:"8"`
	Paths int    `help:"How many paths of the shortest length, up to 20." default:"1"`
}

// Help shows examples.
func (cmdbPathCmd) Help() string {
	return `Examples:
  icectl cmdb path portal db-7 --hops 6
  icectl cmdb path portal db-7 --paths 5 --types runs_on,depends_on`
}

// Run prints the key path between two items.
func (p *cmdbPathCmd) Run(a *app) error {
	q := p.into(url.Values{"from": {p.From}, "to": {p.To}, "hops": {strconv.Itoa(p.Hops)}, "paths": {strconv.Itoa(p.Paths)}})
	return askCMDB(a, "path", q, func(raw []byte, b *bytes.Buffer) error {
		type step struct {
			Type    string `json:"type"`
			Forward bool   `json:"forward"`
			Item    item   `json:"item"`
		}
		var got struct {
			Found  bool     `json:"found"`
			From   item     `json:"from"`
			To     item     `json:"to"`
			Steps  []step   `json:"steps"`
			Others [][]step `json:"others"`
			More   bool     `json:"more"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		if !got.Found {
			fmt.Fprintf(b, "No path of at most %d relations leads from %s to %s.\n", p.Hops, plain(got.From.String()), plain(got.To.String()))
			return nil
		}
		for n, steps := range append([][]step{got.Steps}, got.Others...) {
			if n > 0 {
				b.WriteString("\n")
			}
			fmt.Fprintln(b, plain(got.From.String()))
			for _, s := range steps {
				fmt.Fprintf(b, "  %s %s\n", plain(arrow(s.Type, s.Forward)), plain(s.Item.String()))
			}
		}
		if got.More {
			b.WriteString("\nThere are more paths of that length: ask for more with --paths.\n")
		}
		return nil
	})
}

// arrow is a relation as it is walked.
func arrow(kind string, forward bool) string {
	if forward {
		return "-" + kind + "->"
	}
	return "<-" + kind + "-"
}

type walkFlags struct {
	scopeFlags
	ID    string `arg:"" help:"Id of the item."`
	Depth int    `help:"Relations at most, up to 16." default:"8"`
}

func (w *walkFlags) walk(a *app, kind, none string) error {
	q := w.into(url.Values{"kind": {kind}, "depth": {strconv.Itoa(w.Depth)}})
	return askCMDB(a, "items/"+url.PathEscape(w.ID)+"/walk", q, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Item  item `json:"item"`
			Steps []struct {
				Item    item   `json:"item"`
				From    string `json:"from"`
				Type    string `json:"type"`
				Forward bool   `json:"forward"`
				Depth   int    `json:"depth"`
			} `json:"steps"`
			Counts map[string]int `json:"counts"`
			More   bool           `json:"more"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		if len(got.Steps) == 0 {
			fmt.Fprintf(b, none+"\n", plain(got.Item.String()))
			return nil
		}
		list := table{head: []string{"depth", "class", "name", "id", "by"}}
		for _, s := range got.Steps {
			list.add(strconv.Itoa(s.Depth), s.Item.Class, s.Item.Name, s.Item.ID, s.From+" "+arrow(s.Type, s.Forward))
		}
		if err := list.write(b); err != nil {
			return err
		}
		var counts []string
		for class, n := range got.Counts {
			counts = append(counts, fmt.Sprintf("%d %s", n, plain(class)))
		}
		slices.Sort(counts)
		fmt.Fprintf(b, "\nIn all %d items: %s.\n", len(got.Steps), strings.Join(counts, ", "))
		if got.More {
			b.WriteString("There are more than are told: narrow it with --depth, --types or --classes.\n")
		}
		return nil
	})
}

type cmdbImpactCmd struct{ walkFlags }

// Run prints what an item would take down.
func (w *cmdbImpactCmd) Run(a *app) error {
	return w.walk(a, "impact", "Nothing depends on %s.")
}

type cmdbRootCmd struct{ walkFlags }

// Run prints what could take an item down.
func (w *cmdbRootCmd) Run(a *app) error {
	return w.walk(a, "root_cause", "%s depends on nothing.")
}

type cmdbQueryCmd struct {
	Path string `arg:"" help:"Path, e.g. 'business_system[cii = true] <-belongs_to_system- application -runs_on*1..3-> host'."`
}

// Run prints the items at the end of a path.
func (p *cmdbQueryCmd) Run(a *app) error {
	return askCMDB(a, "query", url.Values{"path": {p.Path}}, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Ends []struct {
				Item item `json:"item"`
			} `json:"ends"`
			More bool `json:"more"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		list := table{head: []string{"class", "name", "id"}}
		for _, e := range got.Ends {
			list.add(e.Item.Class, e.Item.Name, e.Item.ID)
		}
		if err := list.write(b); err != nil {
			return err
		}
		if got.More {
			b.WriteString("\nThere are more than are told.\n")
		}
		return nil
	})
}

type cmdbTrafficCmd struct {
	State    string `help:"${enum}; all without." enum:"waiting,accepted,rejected," default:""`
	Zone     string `help:"Of this network zone." placeholder:"ZONE"`
	System   string `help:"Id of the business system of one end." placeholder:"ID"`
	Item     string `help:"Id of one end." placeholder:"ID"`
	Port     int    `help:"Served at." placeholder:"PORT"`
	Protocol string `help:"tcp, udp or IANA's number." placeholder:"NAME"`
	Days     int    `help:"Of so many days, today being one, up to 31; of all time without." placeholder:"N"`
	Limit    int    `help:"How many, the largest first." default:"50" short:"n"`
	CSV      bool   `name:"csv" help:"Print the whole topology as CSV, one service of one edge a row."`
}

// Run prints who talks to whom.
func (t *cmdbTrafficCmd) Run(a *app) error {
	q := url.Values{"sort": {"-bytes"}}
	for name, v := range map[string]string{"state": t.State, "zone": t.Zone, "system": t.System, "item": t.Item, "protocol": t.Protocol} {
		set(q, name, v)
	}
	for name, n := range map[string]int{"port": t.Port, "days": t.Days} {
		if n != 0 {
			q.Set(name, strconv.Itoa(n))
		}
	}
	if t.CSV {
		q.Set("format", "csv")
		c, err := a.connect()
		if err != nil {
			return err
		}
		var out []byte
		if err := c.Send(a.ctx, http.MethodGet, "/api/v1/cmdb/traffic/export", q, nil, nil, &out); err != nil {
			return err
		}
		_, err = a.stdout.Write(out)
		return err
	}
	q.Set("limit", strconv.Itoa(t.Limit))
	return askCMDB(a, "traffic", q, func(raw []byte, b *bytes.Buffer) error {
		var got struct {
			Items []struct {
				From     item   `json:"from"`
				To       item   `json:"to"`
				Zone     string `json:"zone"`
				State    string `json:"state"`
				Bytes    int64  `json:"bytes"`
				Flows    int64  `json:"flows"`
				Services []struct {
					Port     int    `json:"port"`
					Protocol string `json:"protocol"`
					Name     string `json:"name"`
				} `json:"services"`
				Annotation string `json:"annotation"`
			} `json:"items"`
			Total int `json:"total"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		list := table{head: []string{"from", "to", "zone", "services", "bytes", "flows", "state", "annotation"}}
		for _, e := range got.Items {
			var services []string
			for _, s := range e.Services[:min(len(e.Services), 3)] {
				services = append(services, service(s.Name, s.Protocol, s.Port))
			}
			list.add(or(e.From.Name), or(e.To.Name), e.Zone, strings.Join(services, " "), volume(e.Bytes), strconv.FormatInt(e.Flows, 10), e.State, or(e.Annotation))
		}
		if err := list.write(b); err != nil {
			return err
		}
		fmt.Fprintf(b, "\n%d of %d.\n", len(got.Items), got.Total)
		return nil
	})
}
