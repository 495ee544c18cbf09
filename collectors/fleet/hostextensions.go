package fleet

import (
	"cmp"
	"slices"
	"time"

	"icewatch/collectors/fleet/extension"
	"icewatch/collectors/fleet/wire"
)

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
