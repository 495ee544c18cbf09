package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/soc/client"
)

type inputsCmd struct {
	List   inputsListCmd   `cmd:"" help:"List inputs: sources that were added while the suite runs, and how each fares."`
	Get    inputsGetCmd    `cmd:"" help:"Print an input as YAML that apply takes, without its secrets."`
	Apply  inputsApplyCmd  `cmd:"" help:"Add and change inputs from YAML files or folders of them; none is deleted."`
	Try    inputsTryCmd    `cmd:"" help:"Test an input without keeping it: reach the source and show its first records."`
	Delete inputsDeleteCmd `cmd:"" help:"Stop an input and take it away; it can be restored for a week."`
	Export inputsExportCmd `cmd:"" help:"Print all inputs as one file, without their secrets."`
	Import inputsImportCmd `cmd:"" help:"Add and change inputs from one exported file."`
}

// inputView is an input as the server shows it.
type inputView struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Kind       string          `json:"kind"`
	Tenant     string          `json:"tenant"`
	Zone       string          `json:"zone"`
	Tags       []string        `json:"tags"`
	Note       string          `json:"note"`
	Enabled    bool            `json:"enabled"`
	Settings   json.RawMessage `json:"settings"`
	SecretsSet []string        `json:"secrets_set"`
	Health     client.Source   `json:"health"`
}

type inputsListCmd struct {
	Kind  string `help:"Those of this kind alone." placeholder:"KIND"`
	State string `help:"Those in this state alone: ${enum}." enum:"ok,error,off," default:""`
}

// Run lists the inputs.
func (l *inputsListCmd) Run(a *app) error {
	q := url.Values{}
	for name, v := range map[string]string{"kind": l.Kind, "state": l.State, "tenant": a.cli.Tenant} {
		if v != "" {
			q.Set(name, v)
		}
	}
	return a.list("/api/v1/inputs", q, 0, []string{"NAME", "KIND", "TENANT", "STATE", "RECEIVED", "DROPPED", "ID", "ERROR"}, func(raw json.RawMessage) ([]string, error) {
		var v inputView
		err := json.Unmarshal(raw, &v)
		state := v.Health.State
		if !v.Enabled {
			state = "paused"
		}
		return []string{v.Name, v.Kind, or(v.Tenant), state, fmt.Sprint(v.Health.Received), fmt.Sprint(v.Health.Dropped), v.ID, or(v.Health.Error)}, err
	})
}

// input finds an input by its name or id.
func (a *app) inputOf(c *client.Client, which string) (v inputView, raw json.RawMessage, err error) {
	q := url.Values{"limit": {"1000"}}
	for {
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := c.Get(a.ctx, "/api/v1/inputs", q, &page); err != nil {
			return v, nil, err
		}
		for _, item := range page.Items {
			if err := json.Unmarshal(item, &v); err != nil {
				return v, nil, fmt.Errorf("the input is not what was expected: %w", err)
			}
			if v.Name == which || v.ID == which {
				return v, item, nil
			}
			v = inputView{}
		}
		if page.Next == "" {
			return v, nil, fmt.Errorf("there is no input %q, or it is not within your reach: icectl inputs list shows those that are", which)
		}
		q.Set("cursor", page.Next)
	}
}

type inputsGetCmd struct {
	Name string `arg:"" help:"Name or id of the input."`
}

// Run prints the input.
func (g *inputsGetCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	v, raw, err := a.inputOf(c, g.Name)
	if err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var settings any
	if err := json.Unmarshal(v.Settings, &settings); err != nil && len(v.Settings) > 0 {
		return fmt.Errorf("the input's settings are not what was expected: %w", err)
	}
	e := inputEntry{Name: v.Name, Kind: v.Kind, Tenant: v.Tenant, Zone: v.Zone, Tags: v.Tags, Note: v.Note, Enabled: &v.Enabled, Settings: settings, Secrets: v.SecretsSet}
	return writeYAML(a.stdout, inputFile{Version: 1, Inputs: []inputEntry{e}})
}

// inputFile is a file of inputs.
type inputFile struct {
	Version int          `yaml:"version" json:"version"`
	Inputs  []inputEntry `yaml:"inputs" json:"inputs"`
}

type inputEntry struct {
	Name     string   `yaml:"name" json:"name"`
	Kind     string   `yaml:"kind" json:"kind"`
	Tenant   string   `yaml:"tenant,omitempty" json:"tenant,omitempty"`
	Zone     string   `yaml:"zone,omitempty" json:"zone,omitempty"`
	Tags     []string `yaml:"tags,omitempty" json:"tags,omitempty"`
	Note     string   `yaml:"note,omitempty" json:"note,omitempty"`
	Enabled  *bool    `yaml:"enabled,omitempty" json:"enabled,omitempty"`
	Settings any      `yaml:"settings,omitempty" json:"settings,omitempty"`
	Secrets  []string `yaml:"secrets,omitempty" json:"secrets,omitempty"`
}

func writeYAML(w io.Writer, v any) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	return errors.Join(enc.Encode(v), enc.Close())
}

// secretFlags give secrets that a file in git does not hold.
type secretFlags struct {
	Secret []string `help:"A secret of the settings, from a file or a variable: NAME/PATH=@FILE or NAME/PATH=env:VARIABLE, such as core/password=env:KAFKA_PASSWORD; can be given again." placeholder:"NAME/PATH=FROM" sep:"none"`
}

// put puts the secrets into the entries.
func (s *secretFlags) put(a *app, entries []inputEntry) error {
	for _, arg := range s.Secret {
		where, from, ok := strings.Cut(arg, "=")
		slash := strings.LastIndex(where, "/")
		if !ok || slash < 1 || slash == len(where)-1 {
			return usageError("--secret: NAME/PATH=@FILE or NAME/PATH=env:VARIABLE was expected")
		}
		name, path := where[:slash], where[slash+1:]
		var value string
		if file, isFile := strings.CutPrefix(from, "@"); isFile {
			text, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("the secret %s: %w", where, err)
			}
			value = strings.TrimRight(string(text), "\r\n")
		} else if variable, isEnv := strings.CutPrefix(from, "env:"); isEnv {
			if value = a.getenv(variable); value == "" {
				return fmt.Errorf("the secret %s: the variable %s is not set", where, variable)
			}
		} else {
			return usageError(fmt.Sprintf("--secret %s: @FILE or env:VARIABLE was expected behind the =: a secret on the command line shows in the list of processes", where))
		}
		at := slices.IndexFunc(entries, func(e inputEntry) bool { return e.Name == name })
		if at < 0 {
			return usageError(fmt.Sprintf("--secret %s: the files hold no input %q", where, name))
		}
		settings, _ := entries[at].Settings.(map[string]any)
		if settings == nil {
			settings = map[string]any{}
			entries[at].Settings = settings
		}
		words := strings.Split(path, ".")
		for _, w := range words[:len(words)-1] {
			next, _ := settings[w].(map[string]any)
			if next == nil {
				next = map[string]any{}
				settings[w] = next
			}
			settings = next
		}
		settings[words[len(words)-1]] = value
	}
	return nil
}

// inputEntries reads the inputs of files, and of the .yml and .yaml files of
// folders. A file is one that export wrote, or a single input.
func (a *app) inputEntries(names []string) ([]inputEntry, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if name == "-" || err == nil && !info.IsDir() {
			files = append(files, name)
			continue
		}
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(name, func(p string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (strings.HasSuffix(p, ".yml") || strings.HasSuffix(p, ".yaml")) {
				files = append(files, p)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	var out []inputEntry
	for _, name := range files {
		data, err := readFile(a, name)
		if err != nil {
			return nil, err
		}
		entries, err := readInputs(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, entries...)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there are no inputs in %s", strings.Join(names, ", "))
	}
	return out, nil
}

func readInputs(data []byte) ([]inputEntry, error) {
	var shape struct {
		Inputs yaml.Node `yaml:"inputs"`
	}
	if err := yaml.Unmarshal(data, &shape); err != nil {
		return nil, err
	}
	strict := func(v any) error {
		d := yaml.NewDecoder(bytes.NewReader(data))
		d.KnownFields(true)
		return d.Decode(v)
	}
	if shape.Inputs.IsZero() {
		var e inputEntry
		if err := strict(&e); err != nil {
			return nil, err
		}
		return []inputEntry{e}, nil
	}
	var f inputFile
	if err := strict(&f); err != nil {
		return nil, err
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("version %d: 1 was expected", f.Version)
	}
	return f.Inputs, nil
}

// inputsImported is what the server says of an import.
type inputsImported struct {
	Created   []string          `json:"created"`
	Updated   []string          `json:"updated"`
	Unchanged []string          `json:"unchanged"`
	Waiting   map[string]string `json:"waiting"`
	Failed    map[string]string `json:"failed"`
}

// sendInputs has the server take in a file, and prints what became of it. Where
// one is refused the exit code says so.
func (a *app) sendInputs(data []byte, format string, dry bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{"format": {format}}
	if dry {
		q.Set("dry_run", "true")
	}
	var r inputsImported
	if err := c.Send(a.ctx, http.MethodPost, "/api/v1/inputs/import", q, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(data), &r); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		if err := a.printJSON(r); err != nil {
			return err
		}
	} else {
		for _, x := range []struct {
			word  string
			names []string
		}{{"created", r.Created}, {"changed", r.Updated}, {"unchanged", r.Unchanged}} {
			for _, name := range x.names {
				fmt.Fprintf(a.stdout, "%-9s %s", x.word, plain(name))
				if lacks := r.Waiting[name]; lacks != "" {
					fmt.Fprintf(a.stdout, "  (paused: it waits for its secrets %s)", plain(lacks))
				}
				fmt.Fprintln(a.stdout)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(r.Failed)) {
			fmt.Fprintf(a.stdout, "%-9s %s: %s\n", "refused", plain(name), plain(r.Failed[name]))
		}
		if dry {
			fmt.Fprintln(a.stdout, "nothing was changed: this was a dry run")
		}
	}
	if len(r.Failed) > 0 {
		return findings(len(r.Failed))
	}
	return nil
}

type inputsApplyCmd struct {
	Files  []string `arg:"" help:"Files or folders; - is standard input." type:"path"`
	DryRun bool     `help:"Say what would be done, change nothing."`
	secretFlags
}

// Run applies the files.
func (p *inputsApplyCmd) Run(a *app) error {
	entries, err := a.inputEntries(p.Files)
	if err == nil {
		err = p.put(a, entries)
	}
	if err != nil {
		return err
	}
	data, err := json.Marshal(inputFile{Version: 1, Inputs: entries})
	if err != nil {
		return err
	}
	return a.sendInputs(data, "json", p.DryRun)
}

type inputsImportCmd struct {
	File   string `arg:"" help:"File that export wrote; - is standard input."`
	Format string `help:"Format of the file: ${enum}." enum:"yaml,json" default:"yaml"`
	DryRun bool   `help:"Say what would be done, change nothing."`
}

// Run imports the file.
func (m *inputsImportCmd) Run(a *app) error {
	data, err := readFile(a, m.File)
	if err != nil {
		return err
	}
	return a.sendInputs(data, m.Format, m.DryRun)
}

type inputsExportCmd struct {
	Format string `help:"Format of the file: ${enum}." enum:"yaml,json" default:"yaml"`
}

// Run prints the file.
func (e *inputsExportCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	resp, err := c.Do(a.ctx, http.MethodGet, "/api/v1/inputs/export", url.Values{"format": {e.Format}}, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := readAll(resp.Body, "the server's answer", maxImport)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		p := &client.Problem{}
		_ = json.Unmarshal(data, p) // what is no problem stays without a detail
		p.Status, p.Title = resp.StatusCode, cmp.Or(p.Title, http.StatusText(resp.StatusCode))
		return p
	}
	_, err = a.stdout.Write(data)
	return err
}

type inputsTryCmd struct {
	File string `arg:"" help:"File with the input to test, or the name of one that is kept; - is standard input."`
	Name string `help:"Which input of the file; needed where it holds several." placeholder:"NAME"`
	secretFlags
}

// Run tests the input; the exit code is 1 where it does not work.
func (t *inputsTryCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	body := map[string]any{"enabled": true}
	if _, err := os.Stat(t.File); err != nil && t.File != "-" {
		v, _, err := a.inputOf(c, t.File)
		if err != nil {
			return fmt.Errorf("%s is no file, and: %w", t.File, err)
		}
		body["id"], body["name"], body["kind"], body["tenant"], body["zone"], body["settings"] = v.ID, v.Name, v.Kind, v.Tenant, v.Zone, v.Settings
	} else {
		entries, err := a.inputEntries([]string{t.File})
		if err == nil {
			err = t.put(a, entries)
		}
		if err != nil {
			return err
		}
		at := 0
		if t.Name != "" {
			at = slices.IndexFunc(entries, func(e inputEntry) bool { return e.Name == t.Name })
		}
		if at < 0 || t.Name == "" && len(entries) > 1 {
			return usageError(fmt.Sprintf("the file holds %d inputs: name one of them with --name", len(entries)))
		}
		e := entries[at]
		body["name"], body["kind"], body["tenant"], body["zone"] = e.Name, e.Kind, e.Tenant, e.Zone
		if e.Settings != nil {
			body["settings"] = e.Settings
		}
		if v, _, err := a.inputOf(c, e.Name); err == nil && v.Kind == e.Kind {
			body["id"] = v.ID // its secrets serve, where the address is the same
		}
	}
	var raw json.RawMessage
	if err := c.JSON(a.ctx, http.MethodPost, "/api/v1/inputs/try", nil, body, &raw); err != nil {
		return err
	}
	var r struct {
		OK    bool     `json:"ok"`
		Steps []string `json:"steps"`
		Error string   `json:"error"`
		Read  []struct {
			Text string `json:"text"`
			Read *struct {
				LogType string `json:"log_type"`
				Dataset string `json:"dataset"`
			} `json:"read"`
		} `json:"read"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("the answer is not what was expected: %w", err)
	}
	if a.cli.Output == "json" {
		err = a.printLine(raw)
	} else {
		for _, s := range r.Steps {
			fmt.Fprintf(a.stdout, "ok      %s\n", plain(s))
		}
		if r.Error != "" {
			fmt.Fprintf(a.stdout, "failed  %s\n", plain(r.Error))
		}
		for _, x := range r.Read {
			as := "unread"
			if x.Read != nil {
				as = cmp.Or(x.Read.LogType, x.Read.Dataset, as)
			}
			fmt.Fprintf(a.stdout, "record  [%s] %s\n", plain(as), plain(x.Text))
		}
	}
	if err == nil && !r.OK {
		err = findings(1)
	}
	return err
}

type inputsDeleteCmd struct {
	Name string `arg:"" help:"Name or id of the input."`
}

// Run deletes the input.
func (d *inputsDeleteCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	v, _, err := a.inputOf(c, d.Name)
	if err != nil {
		return err
	}
	if err := c.JSON(a.ctx, http.MethodDelete, "/api/v1/inputs/"+url.PathEscape(v.ID), nil, nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "deleted %s; POST /api/v1/inputs/%s/restore brings it back for a week\n", plain(v.Name), v.ID)
	return nil
}
