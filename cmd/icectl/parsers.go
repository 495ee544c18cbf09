package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/workshop"
)

// packFlags say by which packs lines are read.
type packFlags struct {
	Packs []string `help:"Folder of parser packs, which go before the suite's own; can be given again." type:"existingdir" placeholder:"DIR"`
	Zone  string   `help:"Zone of times without one, such as Asia/Shanghai or UTC. Default: this machine's." placeholder:"ZONE"`
}

func (f *packFlags) open() (*workshop.Workshop, error) {
	location := time.Local
	if f.Zone != "" {
		var err error
		if location, err = time.LoadLocation(f.Zone); err != nil {
			return nil, usageError(fmt.Sprintf("--zone=%s: a zone of the time zone database was expected, such as Asia/Shanghai", f.Zone))
		}
	}
	var folders []pack.Source
	for _, dir := range f.Packs {
		folders = append(folders, pack.Source{Name: dir, FS: os.DirFS(dir)})
	}
	w := workshop.Open(workshop.Sources(folders...), location)
	if p := w.Problems(); len(p) > 0 {
		return nil, fmt.Errorf("%s is not in force: %s", place(p[0]), p[0].Reason)
	}
	return w, nil
}

func place(p pack.Problem) string {
	if p.Line > 0 {
		return p.Path + ":" + strconv.Itoa(p.Line)
	}
	return p.Path
}

// maxLine bounds a line of log in bytes.
const maxLine = 1 << 20

// input opens a file, or standard input for -.
func (a *app) input(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}

// eachLine calls f for the lines of a file that are not empty.
func (a *app) eachLine(name string, f func(number int, line []byte) error) (err error) {
	r, err := a.input(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), maxLine)
	for n := 1; s.Scan(); n++ {
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		if len(s.Bytes()) == 0 {
			continue
		}
		if err := f(n, append([]byte(nil), s.Bytes()...)); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s: a line is longer than %d MiB", name, maxLine>>20)
	}
	return s.Err()
}

type parseCmd struct {
	File    string `arg:"" help:"File of log lines; - is standard input."`
	Summary bool   `help:"Print the summary alone."`
	packFlags
}

// Help is shown below the flags.
func (parseCmd) Help() string {
	return `Standard output: one event a line, as a JSON object with the names of the Elastic Common Schema.
Standard error: how many lines fell to which type of log, as <vendor>/<product>/<type>.`
}

// Run parses a file on this machine, without a server.
func (c *parseCmd) Run(a *app) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	var tally workshop.Tally
	lines, known := 0, 0
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	begun := a.now()
	err = a.eachLine(c.File, func(_ int, line []byte) error {
		r := w.Read(line, begun)
		lines++
		if r.Pack != "" {
			known++
		}
		tally.Add(&r)
		if c.Summary {
			return nil
		}
		_, err := out.Write(append(r.Event, '\n'))
		return err
	})
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	t := table{head: []string{"LINES", "SHARE", "READ BY"}}
	for _, n := range tally.Counts() {
		t.add(strconv.Itoa(n.Lines), fmt.Sprintf("%.1f%%", 100*float64(n.Lines)/float64(lines)), n.Name)
	}
	if err := t.write(a.stderr); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "%d of %d lines fell to a pack\n", known, lines)
	return err
}

type parsersCmd struct {
	List    parsersListCmd    `cmd:"" help:"List the parser packs and the types of log that they read."`
	Test    parsersTestCmd    `cmd:"" help:"Run the samples of packs against the events beside them."`
	Suggest parsersSuggestCmd `cmd:"" help:"Draft patterns for the lines of a file that no pack reads."`
	Explain parsersExplainCmd `cmd:"" help:"Show how lines are read: by which pack, into which fields."`
}

type parsersListCmd struct{ packFlags }

// Run lists.
func (c *parsersListCmd) Run(a *app) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	t := table{head: []string{"PACK", "VENDOR", "PRODUCT", "CLASS", "LOG TYPES", "REFERENCE"}}
	types := 0
	for _, p := range w.Packs() {
		if a.cli.Output == "json" {
			if err := a.printJSON(p); err != nil {
				return err
			}
		}
		types += len(p.Logs)
		t.add(p.ID, p.Vendor, p.Product, p.Class, strconv.Itoa(len(p.Logs)), p.Reference)
	}
	if a.cli.Output == "json" {
		return nil
	}
	if err := t.write(a.stdout); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stderr, "%d products, %d types of log\n", len(w.Packs()), types)
	return err
}

type parsersTestCmd struct {
	packFlags
	Update bool `help:"Write the events of the packs in --packs anew: look at them before you keep them."`
}

// Run tests; the exit code is 1 where a sample does not become what it should.
func (c *parsersTestCmd) Run(a *app) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	var write func(source, file string, data []byte) error
	if c.Update {
		if len(c.Packs) == 0 {
			return usageError("--update goes with --packs: the suite's own packs are not written")
		}
		write = func(source, file string, data []byte) error {
			if source == workshop.Builtin {
				return nil
			}
			return os.WriteFile(filepath.Join(source, filepath.FromSlash(file)), data, fs.FileMode(0o644))
		}
	}
	samples, faults, err := w.Test(write)
	if err != nil {
		return err
	}
	for _, f := range faults {
		at := f.Pack
		if f.Line > 0 {
			at = fmt.Sprintf("%s/%s:%d", f.Pack, pack.Samples, f.Line)
		}
		fmt.Fprintf(a.stdout, "%s: %s\n", at, f.Reason)
	}
	types := 0
	for _, p := range w.Packs() {
		types += len(p.Logs)
	}
	fmt.Fprintf(a.stderr, "%d packs, %d types of log, %d samples, %d faults\n", len(w.Packs()), types, samples, len(faults))
	if len(faults) > 0 {
		return findings(len(faults))
	}
	return nil
}

type parsersSuggestCmd struct {
	File string `arg:"" help:"File of log lines; - is standard input."`
	Most int    `help:"Print so many patterns at most." default:"10" placeholder:"N"`
	packFlags
}

// maxSuggested is how many lines of a file are looked at for patterns.
const maxSuggested = 100_000

// Run drafts. What it prints is the beginning of a pack.yml.
func (c *parsersSuggestCmd) Run(a *app) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	var unknown []string
	lines := 0
	now := a.now()
	if err := a.eachLine(c.File, func(_ int, line []byte) error {
		lines++
		if r := w.Read(line, now); r.Pack == "" && len(unknown) < maxSuggested {
			var ev struct {
				Message string `json:"message"`
			}
			if json.Unmarshal(r.Event, &ev) != nil || ev.Message == "" {
				ev.Message = string(line)
			}
			unknown = append(unknown, ev.Message)
		}
		return nil
	}); err != nil {
		return err
	}
	drafts := pack.Suggest(unknown)
	if a.cli.Output == "json" {
		for _, d := range drafts[:min(len(drafts), max(c.Most, 0))] {
			if err := a.printJSON(d); err != nil {
				return err
			}
		}
		return nil
	}
	fmt.Fprintf(a.stderr, "%d of %d lines are read by no pack\n", len(unknown), lines)
	if len(drafts) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("# Name the captures after fields of the Elastic Common Schema (source.ip, user.name, …), say what the\n# events are in set, and remove what you do not want. docs/parsers.md has the language.\n")
	b.WriteString("vendor: VENDOR\nproduct: PRODUCT\nmodule: vendor_product\nclass: security # security, network, application or os\nreference: https://example.com/where-the-maker-describes-it\nlogs:\n")
	for i, d := range drafts[:min(len(drafts), max(c.Most, 0))] {
		fmt.Fprintf(&b, "  # %d lines, such as: %s\n  - name: type-%d\n    pattern: '%s'\n    set: {event.category: network, event.type: info}\n", d.Lines, plain(d.Example), i+1, strings.ReplaceAll(d.Pattern, "'", "''"))
	}
	_, err = io.WriteString(a.stdout, b.String())
	return err
}

type parsersExplainCmd struct {
	Line []string `arg:"" optional:"" help:"Line to explain. Default: the lines of standard input."`
	packFlags
}

// Run explains.
func (c *parsersExplainCmd) Run(a *app) error {
	w, err := c.open()
	if err != nil {
		return err
	}
	explain := func(_ int, line []byte) error {
		r := w.Read(line, a.now())
		if a.cli.Output == "json" {
			return a.printLine(r.Event)
		}
		t := table{head: []string{"FIELD", "VALUE"}}
		dec := json.NewDecoder(strings.NewReader(string(r.Event)))
		dec.UseNumber()
		if _, err := dec.Token(); err != nil {
			return err
		}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			var value any
			if err := dec.Decode(&value); err != nil {
				return err
			}
			t.add(fmt.Sprint(name), fmt.Sprint(value))
		}
		by := r.Log
		if by == "" {
			by = r.Generic()
		}
		if _, err := fmt.Fprintf(a.stdout, "read by %s\n", by); err != nil {
			return err
		}
		return t.write(a.stdout)
	}
	if len(c.Line) > 0 {
		return explain(0, []byte(strings.Join(c.Line, " ")))
	}
	return a.eachLine("-", explain)
}
