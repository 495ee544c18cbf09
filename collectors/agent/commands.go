package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"icewatch/collectors/agent/link"
	"icewatch/collectors/fleet/wire"
)

// orders are the commands that were run, with their results: each runs once,
// whatever restarts in between.
type orders struct {
	path string

	mu   sync.Mutex
	Done []done `json:"done"` // the latest last
}

type done struct {
	wire.Result
	Told bool `json:"told"` // a checkin with it was answered
}

const keptOrders = 500

func loadOrders(dir string) *orders {
	o := &orders{path: filepath.Join(dir, "orders.json")}
	if data, err := os.ReadFile(o.path); err == nil {
		_ = json.Unmarshal(data, o) // Damaged ones begin anew.
	}
	return o
}

// results are those not told yet.
func (o *orders) results() (out []wire.Result) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.Done {
		if !d.Told {
			out = append(out, d.Result)
		}
	}
	return out
}

// answered notes that these were told.
func (o *orders) answered(results []wire.Result) {
	if len(results) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.Done {
		if slices.ContainsFunc(results, func(r wire.Result) bool { return r.ID == o.Done[i].ID && r.OK == o.Done[i].OK }) {
			o.Done[i].Told = true
		}
	}
	_ = o.save() // It would only be told once more.
}

// again tells the result of a command that ran before once more.
func (o *orders) again(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.Done {
		if o.Done[i].ID == id {
			o.Done[i].Told = false
			return true
		}
	}
	return false
}

// note keeps a result; it takes the place of an earlier one of the same command.
func (o *orders) note(id string, err error, text string) error {
	r := wire.Result{ID: id, OK: err == nil, Text: text, At: time.Now().Unix()}
	if err != nil {
		r.Text = err.Error()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Done = slices.DeleteFunc(o.Done, func(d done) bool { return d.ID == id })
	o.Done = append(o.Done, done{Result: r})
	o.Done = o.Done[max(0, len(o.Done)-keptOrders):]
	return o.save()
}

func (o *orders) save() error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return link.WriteFile(o.path, data, 0o600)
}

// command runs one order. The error ends the agent.
func (a *Agent) command(ctx context.Context, c wire.Command) error {
	if a.orders.again(c.ID) {
		return nil
	}
	var err, end error
	text := ""
	switch {
	case c.Until > 0 && time.Now().Unix() > c.Until:
		err = errors.New("the order came too late and was not begun")
	case c.Kind == wire.CommandRestart:
		text, end = "the agent restarts", ErrRestart
	case c.Kind == wire.CommandReload:
		text, err = "the configuration is in force", a.reload()
	case c.Kind == wire.CommandInventory:
		text = "the inventory is being taken"
		a.takeInventory()
	case c.Kind == wire.CommandStart, c.Kind == wire.CommandStop:
		err = a.parts.Pause(c.Input, c.Kind == wire.CommandStop)
		text = map[bool]string{true: "stopped", false: "started"}[c.Kind == wire.CommandStop]
	case c.Kind == wire.CommandUpgrade && c.Package != nil:
		if err = a.upgrade(ctx, c.ID, c.Package); err == nil {
			text, end = "version "+c.Package.Version+" is in place; the agent restarts", ErrRestart
		}
	case c.Extension != nil:
		text, err = a.extension(ctx, c.Kind, *c.Extension)
	case c.Kind == wire.CommandUninstall:
		text, end = "the agent is being removed", ErrUninstall
	default:
		err = fmt.Errorf("this agent (%s) does not know the order %q", a.Version, c.Kind)
	}
	a.Log.Info("an order of the fleet", "id", c.ID, "kind", c.Kind, "input", c.Input, "error", err)
	if kept := a.orders.note(c.ID, err, text); kept != nil && end != nil {
		// Without a note of it the order would be run again and again.
		a.Log.Error("the result of an order cannot be kept; the order is not carried out", "error", kept)
		return nil
	}
	if end == nil {
		return nil
	}
	// The fleet hears of it while this process still can tell.
	told, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	say := a.state()
	say.Leaving = true
	if _, _, err := a.client.Checkin(told, say); err == nil {
		a.orders.answered(say.Results)
	}
	return end
}

// extension carries out an order about an extension plug-in.
func (a *Agent) extension(ctx context.Context, kind string, e wire.Extension) (text string, err error) {
	switch kind {
	case wire.CommandInstallExtension:
		ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
		defer cancel()
		err = a.extensions.Install(ctx, e, a.parts.Extended(e.Name), func(ctx context.Context, dir string) (string, error) { return a.client.Extension(ctx, e, dir) })
		if err == nil {
			a.parts.Reinstalled(e.Name, e.Version)
		}
		return "version " + e.Version + " is installed", err
	case wire.CommandRemoveExtension:
		return "removed", a.extensions.Remove(e.Name)
	case wire.CommandStopExtension:
		a.parts.PauseExtension(e.Name, true)
		return "stopped", nil
	case wire.CommandStartExtension:
		if !slices.ContainsFunc(a.extensions.Installed(), func(x wire.InstalledExtension) bool { return x.Name == e.Name }) {
			return "", fmt.Errorf("the plug-in %s is not installed on this host", e.Name)
		}
		a.parts.PauseExtension(e.Name, false)
		return "started", nil
	}
	return "", fmt.Errorf("this agent (%s) does not know the order %q", a.Version, kind)
}

// reload takes what the document refers to anew.
func (a *Agent) reload() error {
	sha, fault := a.parts.InForce()
	if fault != nil && fault.SHA256 != sha {
		return fmt.Errorf("%s, line %d: %s", fault.Part, fault.Line, fault.Text)
	}
	return nil
}

// trial is an upgrade whose new version has not reached the suite yet.
type trial struct {
	Order   string `json:"order"`
	Version string `json:"version"`
	Program string `json:"program"`
	Former  string `json:"former"` // the program before
	Starts  int    `json:"starts"`
	Guarded bool   `json:"guarded,omitempty"` // the former program counts them
}

const (
	trialFile = "upgrade.json"
	maxStarts = 3
)

// upgrade puts a package in the place of this program, whose file it keeps.
func (a *Agent) upgrade(ctx context.Context, order string, p *wire.Package) error {
	if p.OS != runtime.GOOS || p.Arch != runtime.GOARCH {
		return fmt.Errorf("the package is for %s/%s, this host is %s/%s", p.OS, p.Arch, runtime.GOOS, runtime.GOARCH)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	path, err := a.client.Package(ctx, p, a.Dir)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	// A program that cannot even tell its version is not put in place.
	check, cancelCheck := context.WithTimeout(ctx, 20*time.Second)
	defer cancelCheck()
	out, err := exec.CommandContext(check, path, "version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("version %s does not start on this host: %w: %.300s", p.Version, err, strings.TrimSpace(string(out)))
	}
	former := program + ".former"
	next := program + ".next"
	if err := copyFile(path, next); err != nil {
		return fmt.Errorf("room for version %s beside %s: %w", p.Version, program, err)
	}
	t := trial{Order: order, Version: p.Version, Program: program, Former: former}
	err = link.WriteFile(filepath.Join(a.Dir, trialFile), wire.Encode(t), 0o600)
	if err == nil {
		_ = os.Remove(former)
		if err = os.Rename(program, former); err == nil { // Windows does not replace a running program, but renames it.
			if err = os.Rename(next, program); err != nil {
				err = errors.Join(err, os.Rename(former, program))
			}
		}
	}
	if err != nil {
		_ = os.Remove(next)
		_ = os.Remove(filepath.Join(a.Dir, trialFile))
		return fmt.Errorf("put version %s in place: %w", p.Version, err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// trialTime is how long a new version may run without reaching the suite before it is
// started anew, which counts as one more start.
const trialTime = 5 * time.Minute

// Recover counts the starts of a new version, and puts the former one back where it never
// reached the suite. The service has the former program do it before each start, so that it
// works whatever the new one does. back tells that it did.
func Recover(dir string, log *slog.Logger) (back bool) {
	path := filepath.Join(dir, trialFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var t trial
	if json.Unmarshal(data, &t) != nil {
		_ = os.Remove(path)
		return false
	}
	if t.Starts++; t.Starts <= maxStarts {
		_ = link.WriteFile(path, wire.Encode(t), 0o600)
		return false
	}
	_ = os.Remove(path)
	broken := t.Program + ".broken"
	err = os.Rename(t.Program, broken)
	if err == nil {
		if err = os.Rename(t.Former, t.Program); err != nil {
			err = errors.Join(err, os.Rename(broken, t.Program))
		}
	}
	_ = loadOrders(dir).note(t.Order, fmt.Errorf("version %s did not reach the suite in %d starts; the former version is back: %w", t.Version, maxStarts, errors.Join(errors.New("rolled back"), err)), "")
	log.Error("the new version did not reach the suite; the former one is put back", "version", t.Version, "error", err)
	return err == nil
}

// Guard is Recover as the former program does it before a start of the service.
func Guard(dir string, log *slog.Logger) {
	Recover(dir, log)
	path := filepath.Join(dir, trialFile)
	var t trial
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &t) == nil {
		t.Guarded = true
		_ = link.WriteFile(path, wire.Encode(t), 0o600) // The new version counts itself then, at worst twice.
	}
}

// onTrial tells whether this is a new version that has not reached the suite yet, after it counted
// this start where nobody else does. back tells that the former program is in its place again.
func (a *Agent) onTrial() (pending, back bool) {
	data, err := os.ReadFile(filepath.Join(a.Dir, trialFile))
	if err != nil {
		return false, false
	}
	var t trial
	if json.Unmarshal(data, &t) == nil && t.Guarded {
		return true, false
	}
	back = Recover(a.Dir, a.Log)
	return !back, back
}

// upgraded takes a new version for good: it reached the suite.
func (a *Agent) upgraded() {
	path := filepath.Join(a.Dir, trialFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	var t trial
	_ = json.Unmarshal(data, &t)
	_ = os.Remove(path)
	a.Log.Info("the new version is taken for good", "version", t.Version)
}
