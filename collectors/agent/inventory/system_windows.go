package inventory

import (
	"context"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
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

// localAccount is USER_INFO_1 of netapi32.
type localAccount struct {
	name, password *uint16
	age, privilege uint32
	home, comment  *uint16
	flags          uint32
	script         *uint16
}

const (
	filterNormalAccount = 2 // FILTER_NORMAL_ACCOUNT
	flagDisabled        = 2 // UF_ACCOUNTDISABLE
	privilegeAdmin      = 2 // USER_PRIV_ADMIN
	moreData            = windows.ERROR_MORE_DATA
)

// accounts are the local ones; a domain's belong to its controllers.
func accounts() (out []wire.User, err error) {
	var resume uint32
	for len(out) < maxUsers {
		var buffer *byte
		var read, total uint32
		failed := windows.NetUserEnum(nil, 1, filterNormalAccount, &buffer, 1<<16, &read, &total, &resume)
		if failed != nil && failed != moreData { //nolint:errorlint // An errno as it is.
			return out, fmt.Errorf("the list of accounts: %w", failed)
		}
		for _, u := range unsafe.Slice((*localAccount)(unsafe.Pointer(buffer)), read)[:min(int(read), maxUsers-len(out))] {
			name := windows.UTF16PtrToString(u.name)
			w := wire.User{Name: cut(name), Home: cut(windows.UTF16PtrToString(u.home)), Login: u.flags&flagDisabled == 0}
			if sid, _, _, err := windows.LookupSID("", name); err == nil {
				w.ID = sid.String()
			}
			if u.privilege == privilegeAdmin {
				w.Groups = []string{"Administrators"}
			}
			out = append(out, w)
		}
		if buffer != nil {
			_ = windows.NetApiBufferFree(buffer)
		}
		if failed == nil || read == 0 {
			break
		}
	}
	return out, nil
}
