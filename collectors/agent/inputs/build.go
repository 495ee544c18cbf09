// Package inputs gathers figures with telegraf's input plug-ins. Building an input
// from its settings, the loop that gathers, the accumulator and the encoding of
// what came are here; which plug-ins there are is decided by whoever links them
// (collectors/agent/plugins).
package inputs

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/influxdata/telegraf"
	telegrafconfig "github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/models"
	registered "github.com/influxdata/telegraf/plugins/inputs"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet/wire"
)

// Names are the plug-ins that are linked, in order.
func Names() []string { return slices.Sorted(maps.Keys(registered.Inputs)) }

// NeedsLeave are plug-ins that run what their settings name: a document from
// elsewhere may use them only where the host's own file allows it.
var NeedsLeave = []string{"exec", "execd"}

// building guards telegraf's reader: it keeps lists of its own in global variables.
var building sync.Mutex

// Build makes an input that is not started. allowed are the plug-ins of NeedsLeave
// that the host lets a document use. The error is a *wire.DocumentError with the
// input and, where it is known, the line.
func Build(in config.Input, allowed []string) (*Input, error) {
	if _, ok := registered.Inputs[in.Plugin]; !ok {
		return nil, in.Fault(0, "this agent has no plug-in %q; it has %s", in.Plugin, strings.Join(Names(), ", "))
	}
	if slices.Contains(NeedsLeave, in.Plugin) && !slices.Contains(allowed, in.Plugin) {
		return nil, in.Fault(0, "the plug-in %s runs commands, which this host does not allow: its own agent.yaml would have to say allow: [%s]", in.Plugin, in.Plugin)
	}
	running, err := load(in)
	if err != nil {
		return nil, err
	}
	secrets := newRedactor(in.Settings)
	if err := initialize(running); err != nil {
		return nil, in.Fault(0, "%s", secrets.clean(err.Error()))
	}
	if running.Config.Interval == 0 {
		running.Config.Interval = in.Interval
	}
	return &Input{in: in, running: running, secrets: secrets}, nil
}

// Extended is a plug-in with a program of its own.
type Extended interface {
	telegraf.Input
	Hold(held func() bool) // tells whether the program is not to run now
	State() *wire.ExtensionState
}

// Wrap makes an input of a plug-in that is none of telegraf's.
func Wrap(in config.Input, plugin Extended) *Input {
	running := models.NewRunningInput(plugin, &models.InputConfig{Name: in.Plugin, Alias: in.Name, Interval: in.Interval})
	return &Input{in: in, running: running, secrets: newRedactor(in.Settings)}
}

// initialize runs the plug-in's own check of its settings.
func initialize(running *models.RunningInput) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the plug-in failed on these settings: %v", p)
		}
	}()
	return running.Init()
}

// load has telegraf's reader take the settings.
func load(in config.Input) (running *models.RunningInput, err error) {
	building.Lock()
	defer building.Unlock()
	defer func() {
		if p := recover(); p != nil {
			running, err = nil, in.Fault(0, "telegraf's reader of settings failed: %v", p)
		}
	}()
	c := telegrafconfig.NewConfig()
	c.Agent.OmitHostname = true // The server says whose the figures are.
	// $NAME is the environment's for telegraf. Passwords may have a dollar, and the
	// environment is none of a document's business.
	settings := in.Settings
	if elsewhere(in.Plugin) != nil {
		settings = "" // The plug-in has none here. It says so when it gathers, and leaves the rest of the document alone.
	}
	text := "[[inputs." + in.Plugin + "]]\n" + strings.ReplaceAll(settings, "$", "$$") + "\n"
	if err := c.LoadConfigData([]byte(text), in.Name); err != nil {
		return nil, fault(in, err)
	}
	if len(c.Inputs) != 1 || c.Inputs[0].Config.Name != in.Plugin || len(c.Outputs)+len(c.Processors)+len(c.Aggregators)+len(c.AggProcessors)+len(c.SecretStores) > 0 {
		return nil, in.Fault(0, "the settings hold more than those of %s", in.Plugin)
	}
	return c.Inputs[0], nil
}

var (
	lineOf  = regexp.MustCompile(`line (\d+)(?:\.\d+)?:? ?`)
	unused  = regexp.MustCompile(`configuration specified the fields (\[.*?\]), but they were not used`)
	quoted  = regexp.MustCompile(`"([^"]+)"`)
	goField = regexp.MustCompile(`\(\w+\.(?:\w+\.)*(\w+)\) `)
)

// fault says what telegraf's reader found in the document's terms.
func fault(in config.Input, err error) error {
	text := newRedactor(in.Settings).clean(err.Error())
	if m := unused.FindStringSubmatch(text); m != nil {
		var names []string
		line := 0
		for _, q := range quoted.FindAllStringSubmatch(m[1], -1) {
			names = append(names, q[1])
			if line == 0 {
				line = settingLine(in.Settings, q[1])
			}
		}
		slices.Sort(names)
		return in.Fault(line, "%s has no setting %s", in.Plugin, strings.Join(names, ", "))
	}
	line := 0
	if m := lineOf.FindStringSubmatchIndex(text); m != nil {
		n, _ := strconv.Atoi(text[m[2]:m[3]])
		line = n - 1 // The header stands before.
		text = text[:m[0]] + text[m[1]:]
	}
	for _, prefix := range []string{"error parsing data: ", "error parsing " + in.Plugin + ", "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return in.Fault(line, "%s", goField.ReplaceAllString(text, "$1: "))
}

// settingLine is the line of a setting in TOML text, from 1; 0 where it is not found.
func settingLine(settings, name string) int {
	for i, line := range strings.Split(settings, "\n") {
		left, _, ok := strings.Cut(line, "=")
		left = strings.Trim(strings.TrimSpace(left), `"'`)
		if ok && left == name || strings.Trim(strings.TrimSpace(line), "[]") == name || strings.HasSuffix(strings.Trim(strings.TrimSpace(line), "[]"), "."+name) {
			return i + 1
		}
	}
	return 0
}

// errHeld is why an input that the breaker holds does not gather.
var errHeld = errors.New("held back by the breaker")
