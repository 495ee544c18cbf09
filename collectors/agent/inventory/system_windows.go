package inventory

import (
	"context"
	"fmt"

	"golang.org/x/sys/windows/registry"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"icewatch/collectors/fleet/wire"
)

// registered are the programs that Windows' registry can remove.
func registered() (out []wire.Installed, err error) {
	for _, path := range []string{`SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall`, `SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall`} {
		k, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.READ)
		if err != nil {
			continue
		}
		names, _ := k.ReadSubKeyNames(maxPackages)
		for _, name := range names {
			s, err := registry.OpenKey(k, name, registry.QUERY_VALUE)
			if err != nil {
				continue
			}
			title, _, err := s.GetStringValue("DisplayName")
			version, _, _ := s.GetStringValue("DisplayVersion")
			_ = s.Close()
			if err == nil && title != "" {
				out = append(out, wire.Installed{Name: cut(title), Version: cut(version), Source: "windows"})
			}
		}
		_ = k.Close()
	}
	return out, nil
}

var states = map[svc.State]string{svc.Running: "active", svc.Stopped: "inactive", svc.Paused: "paused", svc.StartPending: "starting", svc.StopPending: "stopping"}

var starts = map[uint32]string{mgr.StartAutomatic: "automatic", mgr.StartManual: "manual", mgr.StartDisabled: "disabled"}

func services(context.Context) (out []wire.Service, err error) {
	m, err := mgr.Connect()
	if err != nil {
		return nil, fmt.Errorf("the list of services: %w", err)
	}
	defer func() { _ = m.Disconnect() }()
	names, err := m.ListServices()
	if err != nil {
		return nil, fmt.Errorf("the list of services: %w", err)
	}
	for _, name := range names[:min(len(names), maxServices)] {
		w := wire.Service{Name: cut(name)}
		if s, err := m.OpenService(name); err == nil {
			if q, err := s.Query(); err == nil {
				w.State = states[q.State]
			}
			if c, err := s.Config(); err == nil {
				w.Start = starts[c.StartType]
			}
			_ = s.Close()
		}
		out = append(out, w)
	}
	return out, nil
}
