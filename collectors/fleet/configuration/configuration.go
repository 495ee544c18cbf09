// Package configuration decides which document an agent is to run: configurations
// with numbered versions, chosen by name, group or label, rolled out in
// stages. A staged roll-out gives a version to a tenth of the agents first; when those that are
// online took it and stayed well, all get it; when one refuses it or gets unwell
// through it, all get the version before, by itself.
package configuration

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/fleet/wire"
)

// States of a roll-out.
const (
	Rolling    = "rolling"     // the first stage has it
	Paused     = "paused"      // somebody holds it there
	Done       = "done"        // all have it
	RolledBack = "rolled_back" // all have the version before
)

// Bounds.
const (
	FirstPercent = 10
	DefaultSoak  = 60 * time.Second
	MaxSoak      = 24 * time.Hour
	MaxVersions  = 200
	maxSelector  = 20
)

// ErrInvalid says what is wrong with a configuration.
var ErrInvalid = errors.New("the configuration is not valid")

// Selector chooses agents. Empty lists choose nobody by themselves; what is given must
// all hold.
type Selector struct {
	Everybody bool     `json:"everybody,omitempty" doc:"All agents of the tenant"`
	Groups    []string `json:"groups,omitempty" nullable:"false" doc:"Ids of groups, one of which the agent is in"`
	Labels    []string `json:"labels,omitempty" nullable:"false" doc:"Labels, all of which the agent has"`
	OS        string   `json:"os,omitempty" enum:"linux,windows" doc:"Only of this system"`
}

// Subject is what is known of an agent to choose by.
type Subject struct {
	ID            string
	Tenant        string
	Group         string
	Labels        []string
	OS            string
	Configuration string // by name: goes before all selectors
}

// Match tells whether a selector chooses an agent.
func (s Selector) Match(a Subject) bool {
	if !s.Everybody && len(s.Groups) == 0 && len(s.Labels) == 0 {
		return false
	}
	if s.OS != "" && s.OS != a.OS {
		return false
	}
	if len(s.Groups) > 0 && !slices.Contains(s.Groups, a.Group) {
		return false
	}
	for _, l := range s.Labels {
		if !slices.Contains(a.Labels, l) {
			return false
		}
	}
	return true
}

// Check says what is wrong with a selector.
func (s Selector) Check() error {
	if len(s.Groups) > maxSelector || len(s.Labels) > maxSelector {
		return fmt.Errorf("%w: more than %d groups or labels", ErrInvalid, maxSelector)
	}
	return nil
}

// Version is one text of a configuration. It never changes.
type Version struct {
	Configuration string    `json:"configuration"`
	Number        int64     `json:"number"`
	Document      string    `json:"document" doc:"YAML"`
	SHA256        string    `json:"sha256"`
	Comment       string    `json:"comment,omitempty"`
	At            time.Time `json:"at"`
	By            string    `json:"by"`
}

// Configuration is a document with a name and its roll-out.
type Configuration struct {
	ID       string   `json:"id"`
	Tenant   string   `json:"tenant"`
	Name     string   `json:"name"`
	Note     string   `json:"note,omitempty"`
	Priority int      `json:"priority" doc:"Of several whose selectors match, the one with the highest is taken"`
	Selector Selector `json:"selector"`
	Latest   int64    `json:"latest" doc:"Number of the newest version"`
	Rollout  Rollout  `json:"rollout"`
	Revision int64    `json:"revision"`

	UpdatedAt time.Time `json:"updated_at"`
	UpdatedBy string    `json:"updated_by"`
}

// Rollout says which versions are out.
type Rollout struct {
	Version  int64     `json:"version" doc:"That is being rolled out, or is in force"`
	Previous int64     `json:"previous,omitempty" doc:"That is in force where Version is not yet, or is again"`
	State    string    `json:"state" enum:"rolling,paused,done,rolled_back"`
	Percent  int       `json:"percent" doc:"Of the agents that have Version"`
	Soak     int       `json:"soak_seconds" doc:"How long the first stage must stay well"`
	Started  time.Time `json:"started"`
	Settled  time.Time `json:"settled,omitzero" doc:"When all online agents of the stage had taken it"`
	Reason   string    `json:"reason,omitempty" doc:"Why it was rolled back: which host, which input, what is wrong"`
	Host     string    `json:"host,omitempty" doc:"The host that it failed on"`
	By       string    `json:"by,omitempty"`
}

// place orders agents in a roll-out by chance, other ones for each version.
func place(agent string, version int64) int {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", agent, version)
	return int(h.Sum32() % 100)
}

// VersionFor is the number of the version that an agent gets; 0 is none, which is
// the default document. first holds the agents of the first stage.
func (c *Configuration) VersionFor(agent string, first map[string]bool) int64 {
	r := &c.Rollout
	switch r.State {
	case Done:
		return r.Version
	case RolledBack:
		return r.Previous
	}
	if r.Percent >= 100 || first[agent] {
		return r.Version
	}
	return r.Previous
}

// First picks the first stage among the agents of a configuration: FirstPercent of
// them, one at least, those online first.
func First(agents []string, online func(string) bool, version int64) map[string]bool {
	list := slices.Clone(agents)
	slices.SortFunc(list, func(a, b string) int {
		oa, ob := 1, 1
		if online(a) {
			oa = 0
		}
		if online(b) {
			ob = 0
		}
		return cmp.Or(cmp.Compare(oa, ob), cmp.Compare(place(a, version), place(b, version)), cmp.Compare(a, b))
	})
	n := max((len(list)*FirstPercent+99)/100, min(1, len(list)))
	out := make(map[string]bool, n)
	for _, a := range list[:n] {
		out[a] = true
	}
	return out
}

// Standing is how an agent of the stage fares with a version.
type Standing struct {
	ID, Host string
	Online   bool
	Applied  bool   // the version is in force there
	Refused  string // why it was refused or rolled back there
	Unwell   string // why it is unwell since it took it
}

// Step judges a roll-out that is under way by those that have the version, and tells
// whether it changed.
func (r *Rollout) Step(stage []Standing, now time.Time) bool {
	if r.State != Rolling {
		return false
	}
	applied, waiting, bad := 0, 0, 0
	for _, s := range stage {
		if why := cmp.Or(s.Refused, s.Unwell); why != "" {
			if bad++; bad == 1 {
				r.Reason, r.Host = why, s.Host
			}
			// In the first stage one is enough; of many it is more than one in twenty,
			// for a host can have troubles of its own.
			if r.Percent < 100 || bad*20 > len(stage) {
				r.State, r.Percent = RolledBack, 0
				return true
			}
			continue
		}
		switch {
		case s.Applied:
			applied++
		case s.Online:
			waiting++
		}
	}
	if waiting > 0 || applied == 0 {
		changed := !r.Settled.IsZero()
		r.Settled = time.Time{}
		return changed
	}
	if r.Settled.IsZero() {
		r.Settled = now
		if r.Soak > 0 {
			return true
		}
	}
	if now.Sub(r.Settled) < time.Duration(r.Soak)*time.Second {
		return false
	}
	if r.Percent < 100 {
		r.Percent, r.Settled = 100, time.Time{}
		return true
	}
	r.State = Done
	return true
}

// Choose picks the configuration of an agent; nil where none is its.
func Choose(all []*Configuration, a Subject) *Configuration {
	var best *Configuration
	for _, c := range all {
		if c.Tenant != "" && c.Tenant != a.Tenant || c.Rollout.Version == 0 {
			continue
		}
		if a.Configuration != "" {
			if c.ID == a.Configuration {
				return c
			}
			continue
		}
		if c.Selector.Match(a) && (best == nil || c.Priority > best.Priority || c.Priority == best.Priority && c.ID < best.ID) {
			best = c
		}
	}
	return best
}

// Default is what an agent runs that no configuration is for.
const Default = `# What every host tells of itself.
inputs:
  - {plugin: cpu, interval: 15s, settings: {percpu: false, totalcpu: true}}
  - {plugin: mem, interval: 15s}
  - {plugin: system, interval: 15s}
  - {plugin: disk, interval: 60s, settings: {ignore_fs: [tmpfs, devtmpfs, devfs, iso9660, overlay, aufs, squashfs]}}
  - {plugin: diskio, interval: 15s}
  - {plugin: net, interval: 15s}
  - {plugin: processes, interval: 60s}
inventory: {interval: 6h}
`

// Part is a document to be merged, with the name of what it is of.
type Part struct {
	Name     string
	Document string
}

// Merge makes one document of several: inputs and files are put one after the other,
// under names of their own; of what there can be one of (journal, integrity, inventory,
// limits) the first counts, paths of integrity add up.
func Merge(parts []Part) (string, error) {
	if len(parts) == 1 {
		return parts[0].Document, nil
	}
	var out wire.Document
	inputs, files := map[string]bool{}, map[string]bool{}
	own := func(used map[string]bool, name, of string) string {
		candidate := name
		for n := 1; used[candidate]; n++ {
			candidate = name + "-" + of
			if n > 1 {
				candidate += fmt.Sprintf("-%d", n)
			}
			if len(candidate) > 64 {
				candidate = fmt.Sprintf("%.40s-%d", name, n)
			}
		}
		used[candidate] = true
		return candidate
	}
	for _, p := range parts {
		d, err := wire.ParseDocument([]byte(p.Document))
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.Name, err)
		}
		for _, in := range d.Inputs {
			in.Name = own(inputs, in.Name, p.Name)
			in.Labels = joined(d.Labels, in.Labels)
			out.Inputs = append(out.Inputs, in)
		}
		for _, f := range d.Files {
			f.Name = own(files, f.Name, p.Name)
			f.Labels = joined(d.Labels, f.Labels)
			out.Files = append(out.Files, f)
		}
		if out.Journal == nil {
			out.Journal = d.Journal
		}
		if out.Integrity == nil {
			out.Integrity = d.Integrity
		} else if d.Integrity != nil {
			merged := *out.Integrity
			for _, path := range d.Integrity.Paths {
				if !slices.Contains(merged.Paths, path) {
					merged.Paths = append(slices.Clip(merged.Paths), path)
				}
			}
			merged.Exclude = append(slices.Clip(merged.Exclude), d.Integrity.Exclude...)
			out.Integrity = &merged
		}
		if out.Inventory == nil {
			out.Inventory = d.Inventory
		}
		if out.Limits == nil {
			out.Limits = d.Limits
		}
	}
	data, err := yaml.Marshal(out)
	if err != nil {
		return "", err
	}
	// What was well apart may be too much together.
	if _, err := wire.ParseDocument(data); err != nil {
		return "", fmt.Errorf("%s together: %w", names(parts), err)
	}
	return string(data), nil
}

func names(parts []Part) string {
	list := make([]string, len(parts))
	for i, p := range parts {
		list[i] = p.Name
	}
	return strings.Join(list, ", ")
}

func joined(all, own map[string]string) map[string]string {
	if len(all) == 0 {
		return own
	}
	out := maps.Clone(all)
	maps.Copy(out, own)
	return out
}
