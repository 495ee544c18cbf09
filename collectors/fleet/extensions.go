package fleet

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/release"
	"icewatch/collectors/fleet/roster"
	"icewatch/collectors/fleet/wire"
)

// Extension is a package of an extension plug-in as it is kept. Its archive is on the same
// shelf as upgrade packages and signed by the same key.
type Extension struct {
	wire.Extension
	Manifest extension.PluginManifest `json:"manifest"`
	Files    int                      `json:"files"`
	Unpacked int64                    `json:"unpacked" doc:"Bytes of its files"`
	Note     string                   `json:"note,omitempty"`
	At       time.Time                `json:"at"`
	By       string                   `json:"by"`
}

// HostExtension is an extension plug-in of a host.
type HostExtension struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Stopped bool   `json:"stopped,omitempty"`
	Leaving bool   `json:"leaving,omitempty"` // it is being removed
	Error   string `json:"error,omitempty"`
}

func (x HostExtension) runs() bool { return !x.Stopped && !x.Leaving }

// ExtensionHost is how an extension plug-in fares on a host.
type ExtensionHost struct {
	Host    string               `json:"host" doc:"Id"`
	Name    string               `json:"name"`
	Tenant  string               `json:"tenant"`
	State   string               `json:"state" enum:"running,failing,held,stopped,waiting,removing" doc:"waiting: the host does not run it yet"`
	Online  bool                 `json:"online"`
	Version string               `json:"version"`
	Error   string               `json:"error,omitempty" doc:"The last"`
	Rate    uint64               `json:"rate" doc:"Samples or lines a minute"`
	Process *wire.ExtensionState `json:"process,omitempty"`
}

// ExtensionView is an extension plug-in with where it runs.
type ExtensionView struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind" enum:"uploaded,preset"`
	Title    string         `json:"title,omitempty"`
	Versions []string       `json:"versions" nullable:"false" doc:"The newest upload first; of preset ones those of the agents that run them"`
	Hosts    int            `json:"hosts" doc:"That have it, or run it"`
	Running  int            `json:"running"`
	Failing  int            `json:"failing"`
	Stopped  int            `json:"stopped"`
	Samples  uint64         `json:"samples_minute" doc:"Samples or lines a minute on all hosts together"`
	CPU      float64        `json:"cpu_percent" doc:"Of one core, on all hosts together; of uploaded ones"`
	Memory   uint64         `json:"memory_bytes" doc:"On all hosts together; of uploaded ones"`
	On       map[string]int `json:"on" doc:"Hosts by version that they have"`
}

const (
	maxExtensions     = 500 // packages
	maxHostExtensions = 50
)

func extensionKey(name, version string) string { return name + "/" + version }

// loadExtensions reads what is kept. One whose signature does not hold is left out: nothing of it would run.
func (s *Service) loadExtensions(ctx context.Context) (map[string]*Extension, error) {
	list, err := roster.Load[Extension](ctx, s.store, roster.KindExtension)
	if err != nil {
		return nil, err
	}
	for id, x := range list {
		if !ed25519.Verify(s.authority.ReleaseKey(), x.Signed(), x.Signature) || extensionKey(x.Name, x.Version) != id {
			s.log.Error("fleet: the signature of a plug-in package does not hold; it is left out", "plugin", id)
			delete(list, id)
		}
	}
	return list, nil
}

// AddExtension takes a package of an extension plug-in in, checks all of it and signs it. sum is its
// SHA-256 as whoever uploads it knows it; it is not checked where it is empty.
func (s *Service) AddExtension(ctx context.Context, a Asker, note, sum string, r io.Reader) (x Extension, err error) {
	if !a.Within.Everything() {
		return x, ErrForbidden
	}
	hash, size, _, err := s.packages.Put(io.LimitReader(r, extension.MaxSize+1))
	if err != nil {
		return x, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	defer func() {
		if err != nil && !s.onShelf(hash) {
			err = errors.Join(err, s.packages.Remove(hash))
		}
		if err != nil {
			s.mu.Lock()
			s.note(roster.Operation{Object: "plugin:" + cmp.Or(x.Name, hash[:12]), Kind: "plugin-refused", Actor: a.Name, Text: clip(err.Error(), 500)})
			s.mu.Unlock()
		}
	}()
	if size > extension.MaxSize {
		return x, invalid("the package exceeds %d MiB", extension.MaxSize>>20)
	}
	if sum != "" && !strings.EqualFold(sum, hash) {
		return x, invalid("the package has the SHA-256 %s, not %s: it was changed on its way", hash, clip(sum, 64))
	}
	f, err := s.uploaded(hash)
	if err != nil {
		return x, err
	}
	c, err := extension.Walk(f, nil)
	err = errors.Join(err, f.Close())
	if err != nil {
		return x, invalid("the package: %v", err)
	}
	m := c.Manifest
	x = Extension{Extension: wire.Extension{Name: m.Name, Version: m.Version, SHA256: hash, Size: size}, Manifest: *m, Files: c.Files, Unpacked: c.Bytes, Note: clip(note, maxNote), At: s.now().UTC(), By: a.Name}
	s.mu.Lock()
	old, n := s.extensions[extensionKey(x.Name, x.Version)], len(s.extensions)
	s.mu.Unlock()
	switch {
	case old != nil && old.SHA256 == hash:
		return *old, nil
	case old != nil:
		return x, conflict("there is a version %s of the plug-in %s already, and it is another one: give this one another version", x.Version, x.Name)
	case n >= maxExtensions:
		return x, conflict("there are %d packages of plug-ins, the most there may be: delete old ones", n)
	}
	x.Signature = s.authority.SignText(x.Signed())
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindExtension, ID: extensionKey(x.Name, x.Version), Data: x}); err != nil {
		return x, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.extensions[extensionKey(x.Name, x.Version)] = &x
	s.note(roster.Operation{Object: "plugin:" + x.Name, Kind: "plugin-added", Actor: a.Name, OK: true, Text: x.Name + " " + x.Version + ", SHA-256 " + hash[:12]})
	return x, nil
}

// uploaded opens a file that was just put on the shelf. Who uploads the same file at the same time and is
// refused takes it away.
func (s *Service) uploaded(sum string) (*release.File, error) {
	f, err := s.packages.Open(sum)
	if errors.Is(err, release.ErrAbsent) {
		return nil, conflict("the same file was uploaded at the same time, and refused: upload it again to see why")
	}
	return f, err
}

// onShelf tells whether something that is kept has this hash.
func (s *Service) onShelf(hash string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.extensions {
		if x.SHA256 == hash {
			return true
		}
	}
	return s.upgrades[hash] != nil
}

// DeleteExtension takes a version of a plug-in away that no host has.
func (s *Service) DeleteExtension(ctx context.Context, a Asker, name, version string) (Extension, error) {
	if !a.Within.Everything() {
		return Extension{}, ErrForbidden
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	key := extensionKey(name, version)
	s.mu.Lock()
	x := s.extensions[key]
	hosts := 0
	for _, m := range s.agents {
		if h := m.extension(name); h != nil && h.Version == version && m.RevokedAt.IsZero() {
			hosts++
		}
	}
	s.mu.Unlock()
	switch {
	case x == nil:
		return Extension{}, ErrNotFound
	case hosts > 0:
		return *x, conflict("%d hosts have version %s of the plug-in %s: remove it there first, or install another version", hosts, version, name)
	}
	if err := s.store.Write(ctx, roster.Document{Kind: roster.KindExtension, ID: key}); err != nil {
		return *x, err
	}
	s.mu.Lock()
	delete(s.extensions, key)
	s.note(roster.Operation{Object: "plugin:" + name, Kind: "plugin-deleted", Actor: a.Name, OK: true, Text: name + " " + version})
	s.mu.Unlock()
	if s.onShelf(x.SHA256) {
		return *x, nil
	}
	return *x, s.packages.Remove(x.SHA256)
}

// versionsOf are the packages of a plug-in, the newest upload first. s.mu is held.
func (s *Service) versionsOf(name string) []*Extension {
	var out []*Extension
	for _, x := range s.extensions {
		if x.Name == name {
			out = append(out, x)
		}
	}
	slices.SortFunc(out, func(a, b *Extension) int { return cmp.Or(b.At.Compare(a.At), cmpText(b.Version, a.Version)) })
	return out
}

// Extensions lists plug-ins by name: those that were uploaded, and those of telegraf's that run on hosts within
// the asker's reach or that templates use.
func (s *Service) Extensions(a Asker) []ExtensionView {
	s.mu.Lock()
	defer s.mu.Unlock()
	views := map[string]*ExtensionView{}
	for _, x := range s.extensions {
		if views[x.Name] == nil {
			v := &ExtensionView{Name: x.Name, Kind: "uploaded", On: map[string]int{}, Versions: []string{}}
			for i, y := range s.versionsOf(x.Name) {
				if i == 0 {
					v.Title = y.Manifest.Title
				}
				v.Versions = append(v.Versions, y.Version)
			}
			views[x.Name] = v
		}
	}
	preset := map[string]*ExtensionView{}
	of := func(plugin string) *ExtensionView {
		if preset[plugin] == nil {
			preset[plugin] = &ExtensionView{Name: plugin, Kind: "preset", On: map[string]int{}, Versions: []string{}}
		}
		return preset[plugin]
	}
	for _, t := range s.Templates() {
		for _, p := range t.Plugins {
			of(p)
		}
	}
	now := s.now()
	for _, m := range s.agents {
		if !a.may(m.Tenant) || !m.RevokedAt.IsZero() {
			continue
		}
		for _, x := range m.Extensions {
			if v := views[x.Name]; v != nil {
				v.Hosts++
				v.On[x.Version]++
				h := m.extensionHost(x, now)
				switch h.State {
				case "running":
					v.Running++
				case "failing", "held":
					v.Failing++
				case "stopped":
					v.Stopped++
				}
				v.Samples += h.Rate
				if h.Process != nil && h.Online {
					v.CPU += h.Process.CPUPercent
					v.Memory += h.Process.MemoryBytes
				}
			}
		}
		seen := map[string]bool{}
		for _, in := range m.Inputs {
			if in.Extension != nil || in.Plugin == "" || in.Plugin == wire.ExtensionPlugin {
				continue
			}
			v := of(in.Plugin)
			v.Samples += in.Rate
			if seen[in.Plugin] {
				continue
			}
			seen[in.Plugin] = true
			v.Hosts++
			version := m.Modules["telegraf"]
			v.On[version]++
			if version != "" && !slices.Contains(v.Versions, version) {
				v.Versions = append(v.Versions, version)
			}
			switch in.State {
			case "running":
				v.Running++
			case "stopped":
				v.Stopped++
			default:
				v.Failing++
			}
		}
	}
	out := []ExtensionView{}
	for _, v := range sorted(views) {
		out = append(out, *v)
	}
	for _, v := range sorted(preset) {
		out = append(out, *v)
	}
	return out
}

// ExtensionDetail is one plug-in with its packages and the hosts that have it.
type ExtensionDetail struct {
	Name     string          `json:"name"`
	Packages []Extension     `json:"packages" nullable:"false" doc:"The newest upload first"`
	Hosts    []ExtensionHost `json:"hosts" nullable:"false" doc:"Those that fail first"`
}

// ExtensionOf is one uploaded plug-in.
func (s *Service) ExtensionOf(a Asker, name string) (ExtensionDetail, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := ExtensionDetail{Name: name, Packages: []Extension{}, Hosts: []ExtensionHost{}}
	for _, x := range s.versionsOf(name) {
		d.Packages = append(d.Packages, *x)
	}
	if len(d.Packages) == 0 {
		return d, ErrNotFound
	}
	now := s.now()
	for _, m := range s.agents {
		if x := m.extension(name); x != nil && a.may(m.Tenant) && m.RevokedAt.IsZero() {
			h := m.extensionHost(*x, now)
			if p := s.extensions[extensionKey(x.Name, x.Version)]; p != nil && h.State == "waiting" && h.Error == "" {
				if _, err := p.Manifest.Environment(nil); err != nil {
					h.Error = err.Error() + ": name the plug-in in a configuration of the host, with its options"
				}
			}
			d.Hosts = append(d.Hosts, h)
		}
	}
	rank := map[string]int{"failing": 0, "held": 1, "removing": 2, "waiting": 3, "stopped": 4, "running": 5}
	slices.SortFunc(d.Hosts, func(x, y ExtensionHost) int {
		return cmp.Or(rank[x.State]-rank[y.State], cmpText(x.Name+x.Host, y.Name+y.Host))
	})
	return d, nil
}

// extension is a plug-in of a host; nil where it has none of the name. s.mu is held.
func (m *member) extension(name string) *HostExtension {
	for i := range m.Extensions {
		if m.Extensions[i].Name == name {
			return &m.Extensions[i]
		}
	}
	return nil
}

// extensionHost tells how a plug-in fares. s.mu is held.
func (m *member) extensionHost(x HostExtension, now time.Time) ExtensionHost {
	h := ExtensionHost{Host: m.ID, Name: m.Name, Tenant: m.Tenant, State: "waiting", Online: now.Sub(m.SeenAt) <= wire.OfflineAfter, Version: x.Version, Error: x.Error}
	for _, in := range m.Inputs {
		if in.Extension == nil || in.Extension.Package != x.Name {
			continue
		}
		h.State, h.Rate, h.Process = in.State, h.Rate+in.Rate, in.Extension
		if in.Error != "" {
			h.Error = in.Error
		}
		if in.State == "failing" {
			break
		}
	}
	switch {
	case x.Leaving:
		h.State = "removing"
	case x.Stopped:
		h.State = "stopped"
	case h.State == "waiting" && m.Fault != nil:
		h.State, h.Error = "failing", faultText(m.Fault)
	}
	return h
}

// takeExtensions notes what a host has. s.mu is held.
func (s *Service) takeExtensions(m *member, list []wire.InstalledExtension) {
	if list == nil {
		return // The agent knows of none.
	}
	if !m.Extends {
		m.Extends, m.dirty = true, true
	}
	var next []HostExtension
	for _, x := range list[:min(len(list), maxHostExtensions)] {
		if extension.CheckName(x.Name, x.Version) != nil || slices.ContainsFunc(next, func(h HostExtension) bool { return h.Name == x.Name }) {
			continue
		}
		h := HostExtension{Name: x.Name, Version: x.Version, Error: plain(x.Error, 500)}
		if old := m.extension(x.Name); old != nil {
			h.Stopped, h.Leaving = old.Stopped, old.Leaving
		}
		next = append(next, h)
	}
	slices.SortFunc(next, func(a, b HostExtension) int { return cmpText(a.Name, b.Name) })
	if !slices.Equal(next, m.Extensions) {
		m.Extensions, m.dirty, m.wanted = next, true, nil
	}
}

func boundExtension(x *wire.ExtensionState) *wire.ExtensionState {
	if x == nil {
		return nil
	}
	out := *x
	out.Package, out.Version = plain(x.Package, 40), plain(x.Version, 64)
	return &out
}

// checkExtensionOrder checks what an order says of a plug-in, and chooses the version. s.mu is held.
func (s *Service) checkExtensionOrder(d *JobDraft) error {
	if !strings.HasPrefix(d.Kind, "plugin-") {
		if d.Plugin != "" {
			return invalid("plugin: %s is of no plug-in", d.Kind)
		}
		return nil
	}
	list := s.versionsOf(d.Plugin)
	if len(list) == 0 {
		return invalid("there is no plug-in %q: upload its package first", clip(d.Plugin, 40))
	}
	if d.Kind != wire.CommandInstallExtension {
		d.Version = ""
		return nil
	}
	if d.Version == "" {
		d.Version = list[0].Version
	}
	if s.extensions[extensionKey(d.Plugin, d.Version)] == nil {
		return invalid("there is no version %q of the plug-in %s: upload it first", clip(d.Version, 64), d.Plugin)
	}
	return nil
}

// cannotExtend tells why an order about a plug-in is none for a host. s.mu is held.
func (s *Service) cannotExtend(d JobDraft, m *member) string {
	if d.Plugin == "" {
		return ""
	}
	if d.Kind != wire.CommandInstallExtension {
		if m.extension(d.Plugin) == nil {
			return "the plug-in " + d.Plugin + " is not installed there"
		}
		return ""
	}
	x := s.extensions[extensionKey(d.Plugin, d.Version)]
	switch {
	case x == nil:
		return "there is no such package"
	case m.Scans():
		return "a scanner has no plug-ins"
	case !m.SeenAt.IsZero() && !m.Extends:
		return "its agent (" + m.Version + ") knows of no extension plug-ins: upgrade it first"
	case m.Facts.OS != "" && x.Manifest.Program(m.Facts.OS, m.Facts.Arch) == "":
		return fmt.Sprintf("%s %s has no program for %s/%s; it has: %s", x.Name, x.Version, m.Facts.OS, m.Facts.Arch, strings.Join(x.Manifest.Platforms(), ", "))
	}
	return ""
}

// extensionOf is what an order tells the host of a plug-in; nil where its package is gone. s.mu is held.
func (s *Service) extensionOf(j *Job) *wire.Extension {
	if j.Kind != wire.CommandInstallExtension {
		return &wire.Extension{Name: j.Plugin}
	}
	x := s.extensions[extensionKey(j.Plugin, j.Version)]
	if x == nil {
		return nil
	}
	e := x.Extension
	return &e
}

// extensionOrdered takes a plug-in that is to go out of the host's document at once. s.mu is held.
func (s *Service) extensionOrdered(m *member, j *Job) {
	if x := m.extension(j.Plugin); x != nil && j.Kind == wire.CommandRemoveExtension && j.Outcomes[m.ID].State == JobWaiting {
		x.Leaving, m.dirty, m.wanted = true, true, nil
	}
}

// extensionResult takes what came of an order about a plug-in. s.mu is held.
func (s *Service) extensionResult(m *member, j *Job, ok bool) {
	x := m.extension(j.Plugin)
	if x == nil {
		return
	}
	switch {
	case j.Kind == wire.CommandStopExtension && ok:
		x.Stopped = true
	case j.Kind == wire.CommandStartExtension && ok:
		x.Stopped = false
	case j.Kind == wire.CommandRemoveExtension && !ok:
		x.Leaving = false
	default:
		return
	}
	m.dirty, m.wanted = true, nil
}

// extend puts the plug-ins that a host has into its document: with the settings of the configuration or
// task that names them, else with their defaults. s.mu is held.
func (s *Service) extend(parts []configuration.Part, have []HostExtension) ([]configuration.Part, error) {
	named := map[string]bool{}
	out := slices.Clone(parts)
	for i, p := range out {
		if !strings.Contains(p.Document, wire.ExtensionPlugin) {
			continue
		}
		plan, err := config.Read([]byte(p.Document))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Name, err)
		}
		d := plan.Document
		changed := false
		var kept []wire.Input
		for i, in := range d.Inputs {
			settings := plan.Inputs[i].Extension
			if settings == nil {
				kept = append(kept, in)
				continue
			}
			changed = true
			name := settings.Package
			at := slices.IndexFunc(have, func(h HostExtension) bool { return h.Name == name })
			if at < 0 {
				return nil, fmt.Errorf("inputs.%s: the plug-in %s is not installed on this host: install it first", in.Name, name)
			}
			named[name] = true
			if !have[at].runs() {
				continue
			}
			if settings.Version != "" && settings.Version != have[at].Version {
				return nil, fmt.Errorf("inputs.%s: version %s of the plug-in %s is not installed on this host, which has %s", in.Name, settings.Version, name, have[at].Version)
			}
			in.Settings["version"] = have[at].Version
			kept = append(kept, in)
		}
		if !changed {
			continue
		}
		d.Inputs = kept
		text, err := yaml.Marshal(d)
		if err != nil {
			return nil, err
		}
		out[i].Document = string(text)
	}
	for _, h := range have {
		x := s.extensions[extensionKey(h.Name, h.Version)]
		if x == nil || named[h.Name] || !h.runs() {
			continue
		}
		if _, err := x.Manifest.Environment(nil); err != nil {
			continue // It has no settings yet, and needs some.
		}
		d := wire.Document{Inputs: []wire.Input{{Name: h.Name, Plugin: wire.ExtensionPlugin, Interval: x.Manifest.Interval, Settings: map[string]any{"package": h.Name, "version": h.Version}}}}
		text, err := yaml.Marshal(d)
		if err != nil {
			return nil, err
		}
		out = append(out, configuration.Part{Name: "plugin", Document: string(text)})
	}
	return out, nil
}

// checkExtensions says what is wrong with the settings of plug-ins in a document, by the manifests of
// those that were uploaded.
func (s *Service) checkExtensions(document string) error {
	if !strings.Contains(document, wire.ExtensionPlugin) {
		return nil
	}
	plan, err := config.Read([]byte(document))
	if err != nil {
		return invalid("%v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range plan.Inputs {
		in := &plan.Inputs[i]
		if in.Extension == nil {
			continue
		}
		list := s.versionsOf(in.Extension.Package)
		if in.Extension.Version != "" {
			list = slices.DeleteFunc(list, func(x *Extension) bool { return x.Version != in.Extension.Version })
		}
		if len(list) == 0 {
			return invalid("%v", in.Fault(0, "there is no plug-in %s %s: upload its package first", in.Extension.Package, in.Extension.Version))
		}
		if _, err := list[0].Manifest.Environment(in.Extension.Options); err != nil {
			return invalid("%v", in.Fault(0, "%v", err))
		}
	}
	return nil
}

// ExtensionPackage opens the archive of a plug-in.
func (s *Service) ExtensionPackage(name, version string) (*release.File, error) {
	s.mu.Lock()
	x := s.extensions[extensionKey(name, version)]
	s.mu.Unlock()
	if x == nil {
		return nil, ErrNotFound
	}
	return s.packages.Open(x.SHA256)
}
