package fleet

import (
	"fmt"
	"strings"

	"icewatch/collectors/fleet/wire"
)

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
