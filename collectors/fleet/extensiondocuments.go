package fleet

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/collectors/agent/config"
	"icewatch/collectors/fleet/configuration"
	"icewatch/collectors/fleet/wire"
)

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
