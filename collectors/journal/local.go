package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
	"icewatch/soc/intake"
)

// Config is the configuration of a reader of this machine's journal.
type Config struct {
	ID     string `yaml:"id" json:"-"`     // unique name, stored as icewatch.collector
	Tenant string `yaml:"tenant" json:"-"` // slug of the tenant all entries belong to; empty leaves it to the pipeline
	Zone   string `yaml:"zone" json:"-"`   // network zone of this machine

	Directory string   `yaml:"directory" json:"directory,omitempty" maxLength:"4096" doc:"Folder of journal files to read in place of this machine's own journal, such as /var/log/journal/remote"`
	Units     []string `yaml:"units" json:"units,omitempty" maxItems:"200" doc:"Units whose entries are read, such as sshd.service. None: all entries"`
	ReadFrom  string   `yaml:"read_from" json:"read_from" enum:"beginning,end" doc:"Where to start when it is read for the first time"`
	// Priority is the least important one that is read, such as warning; "" reads all.
	Priority string `yaml:"priority" json:"-"`
}

// Kind is the word for the reader in configurations.
const Kind = "journal"

// NewFactory returns the factory of readers.
func NewFactory() collectors.Factory {
	return collectors.Factory{
		Type:          Kind,
		DefaultConfig: func() any { return &Config{ID: "journal", ReadFrom: "beginning"} },
		New: func(cfg any, deps collectors.Deps) (collectors.Collector, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return nil, fmt.Errorf("journal: configuration of a reader expected, not %T", cfg)
			}
			return New(*c, deps)
		},
		Try: func(ctx context.Context, cfg any, deps collectors.Deps) (collectors.Trial, error) {
			c, ok := cfg.(*Config)
			if !ok {
				return collectors.Trial{}, fmt.Errorf("journal: configuration of a reader expected, not %T", cfg)
			}
			return try(ctx, *c, deps)
		},
	}
}

// unitName is what systemd.unit(5) allows, with * for many.
var unitName = regexp.MustCompile(`^[A-Za-z0-9:_.\\@*?][A-Za-z0-9:_.\\@*?-]{0,254}$`)

func (c *Config) check() error {
	if c.ID == "" {
		return errors.New("journal: a reader has no id")
	}
	if c.Directory != "" && !filepath.IsAbs(c.Directory) {
		return fmt.Errorf("journal: %s: directory: %q is not the full path of a folder", c.ID, c.Directory)
	}
	for _, u := range c.Units {
		if !unitName.MatchString(u) {
			return fmt.Errorf("journal: %s: units: %q is not the name of a unit, such as sshd.service", c.ID, u)
		}
	}
	if c.Priority != "" && !slices.Contains(priorities, c.Priority) {
		return fmt.Errorf("journal: %s: priority: %q is not one of %s", c.ID, c.Priority, strings.Join(priorities, ", "))
	}
	if c.ReadFrom != "beginning" && c.ReadFrom != "end" {
		return fmt.Errorf("journal: %s: read_from must be beginning or end, not %q", c.ID, c.ReadFrom)
	}
	return nil
}

// priorities are those of syslog(3), the most important first.
var priorities = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// command makes the call of journalctl.
func (c *Config) command(ctx context.Context, more ...string) (*exec.Cmd, error) {
	path, err := exec.LookPath("journalctl")
	if err != nil {
		return nil, fmt.Errorf("journalctl, which reads the journal, is not on this machine: %w", err)
	}
	args := []string{"--output=export", "--no-pager", "--quiet"}
	if c.Directory != "" {
		if st, err := os.Stat(c.Directory); err != nil {
			return nil, fmt.Errorf("the folder of journal files: %w", err)
		} else if !st.IsDir() {
			return nil, fmt.Errorf("%s is no folder", c.Directory)
		}
		args = append(args, "--directory="+c.Directory)
	}
	for _, u := range c.Units {
		args = append(args, "--unit="+u)
	}
	if c.Priority != "" {
		args = append(args, "--priority="+c.Priority)
	}
	cmd := exec.CommandContext(ctx, path, append(args, more...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C"}
	cmd.WaitDelay = 5 * time.Second
	return cmd, nil
}

// reader reads the journal again and again from where it was.
type reader struct {
	*fetch.Loop
	cfg  Config
	deps collectors.Deps
	base intake.Record
}

var _ collectors.Collector = (*reader)(nil)

// New makes a reader.
func New(cfg Config, deps collectors.Deps) (collectors.Collector, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if err := deps.Check(); err != nil {
		return nil, err
	}
	if deps.Places == nil {
		return nil, fmt.Errorf("journal: %s: no place to keep how far it was read", cfg.ID)
	}
	target := cfg.Directory
	if target == "" {
		target = "this machine"
	}
	r := &reader{cfg: cfg, deps: deps, base: intake.Record{Tenant: cfg.Tenant, Zone: cfg.Zone, Collector: cfg.ID}}
	r.Loop = fetch.NewLoop(cfg.ID, Kind, target, deps, time.Second, r.round)
	return r, nil
}

// Start looks whether journalctl is there, and begins.
func (r *reader) Start(ctx context.Context) error {
	if _, err := r.cfg.command(ctx); err != nil {
		return fmt.Errorf("journal: %s: %w", r.cfg.ID, err)
	}
	return r.Loop.Start(ctx)
}

// stderr keeps the beginning of what a program complains of.
type stderr struct{ bytes.Buffer }

// Write implements io.Writer.
func (s *stderr) Write(p []byte) (int, error) {
	if room := 2000 - s.Len(); room > 0 {
		s.Buffer.Write(p[:min(len(p), room)])
	}
	return len(p), nil
}

// round follows the journal from the place kept until the source stops or
// journalctl ends.
func (r *reader) round(ctx context.Context) (more bool, err error) {
	key := r.cfg.ID + "/cursor"
	cursor, err := r.deps.Places.Place(ctx, key)
	if err != nil {
		return false, err
	}
	args := []string{"--follow", "--no-tail"}
	switch {
	case len(cursor) > 0:
		args = append(args, "--after-cursor="+string(cursor))
	case r.cfg.ReadFrom == "end":
		args = []string{"--follow", "--lines=0"}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd, err := r.cfg.command(ctx, args...)
	if err != nil {
		return false, err
	}
	var complaint stderr
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("journalctl: %w", err)
	}
	r.Trouble(nil)
	n, err := r.follow(NewReader(out), key)
	cancel()
	ended := cmd.Wait()
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return n > 0, err
	case complaint.Len() > 0:
		return n > 0, fmt.Errorf("journalctl: %s", bytes.TrimSpace(complaint.Bytes()))
	case err == nil && ended == nil && n == 0:
		return false, nil
	}
	return n > 0, errors.Join(errors.New("journalctl ended"), ended)
}

// follow stores entries as they come, and keeps the place behind them.
func (r *reader) follow(in *Reader, key string) (n int, err error) {
	var recs []intake.Record
	size, last := 0, ""
	for {
		e, err := in.Next()
		if err == nil {
			rec := e.Record(r.base)
			recs, size = append(recs, rec), size+len(rec.Data)
			if e.Cursor != "" {
				last = e.Cursor
			}
			if len(recs) < fetch.BatchRecords && size < fetch.BatchBytes && in.Buffered() > 0 {
				continue
			}
		}
		if len(recs) > 0 {
			if failure := r.Hand(recs); failure != nil {
				return n, failure
			}
			n += len(recs)
			recs, size = recs[:0], 0
			if last != "" {
				if failure := r.deps.Places.Save(r.Storing(), key, []byte(last)); failure != nil {
					return n, failure
				}
			}
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// try reads the latest entries.
func try(ctx context.Context, cfg Config, deps collectors.Deps) (t collectors.Trial, err error) {
	if cfg.ID == "" {
		cfg.ID = "trial"
	}
	if err := cfg.check(); err != nil {
		return t, err
	}
	cmd, err := cfg.command(ctx, fmt.Sprintf("--lines=%d", collectors.MaxTrial))
	if err != nil {
		return t, err
	}
	t.Steps = append(t.Steps, "journalctl is there")
	var complaint stderr
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return t, err
	}
	if err := cmd.Start(); err != nil {
		return t, fmt.Errorf("journalctl: %w", err)
	}
	in := NewReader(out)
	for len(t.Records) < collectors.MaxTrial {
		e, err := in.Next()
		if err != nil {
			break
		}
		t.Records = append(t.Records, string(e.Record(intake.Record{}).Data))
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil || complaint.Len() > 0 {
		return t, errors.Join(fmt.Errorf("journalctl: %s", bytes.TrimSpace(complaint.Bytes())), err)
	}
	t.Steps = append(t.Steps, fmt.Sprintf("%d entries were read", len(t.Records)))
	return t, nil
}
