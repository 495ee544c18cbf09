// Package inventory reads what a host is and has: hardware, operating system,
// packages, processes, listening ports, users, certificates, containers and
// services. A part that cannot be read is named, and the others are told all the
// same. Arguments of processes that look like secrets are left out.
package inventory

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"icewatch/collectors/agent/baseline"
	"icewatch/collectors/agent/containers"
	"icewatch/collectors/fleet/wire"
)

// Bounds of an inventory.
const (
	maxPackages     = 20_000
	maxProcesses    = 5_000
	maxPorts        = 5_000
	maxUsers        = 5_000
	maxCertificates = 1_000
	maxServices     = 5_000
	maxText         = 1_000 // bytes of one text
)

// Every is how often the inventory is taken where the document does not say.
const Every = 6 * time.Hour

// part reads one part into an inventory.
type part struct {
	name string
	read func(ctx context.Context, v *wire.Inventory) error
}

var parts = []part{
	{"packages", func(ctx context.Context, v *wire.Inventory) (err error) { v.Packages, err = packages(ctx, "/"); return }},
	{"processes", func(ctx context.Context, v *wire.Inventory) (err error) { v.Processes, err = processes(ctx); return }},
	{"ports", func(ctx context.Context, v *wire.Inventory) (err error) { v.Ports, err = ports(ctx); return }},
	{"users", func(_ context.Context, v *wire.Inventory) (err error) { v.Users, err = accounts(); return }},
	{"certificates", func(ctx context.Context, v *wire.Inventory) (err error) {
		v.Certificates, err = certificates(ctx, certificatePlaces)
		return
	}},
	{"containers", func(ctx context.Context, v *wire.Inventory) (err error) {
		v.Containers, err = containers.Host.Read(ctx)
		return
	}},
	{"cloud", func(ctx context.Context, v *wire.Inventory) (err error) { v.Cloud, err = thisCloud.read(ctx); return }},
	{"baseline", func(ctx context.Context, v *wire.Inventory) error { v.Baseline = baseline.Run(ctx, "/"); return nil }},
	{"services", func(ctx context.Context, v *wire.Inventory) (err error) { v.Services, err = services(ctx); return }},
}

// errAbsent says that the host has nothing of the kind, which is no error.
var errAbsent = errors.New("absent")

// Take reads everything but the parts to skip. ctx bounds it.
func Take(ctx context.Context, skip []string) *wire.Inventory {
	v := &wire.Inventory{Taken: time.Now().Unix(), Facts: Facts(ctx)}
	v.Disks = disks(ctx)
	v.Interfaces = interfaces()
	for _, p := range parts {
		if slices.Contains(skip, p.name) {
			continue
		}
		if err := p.read(ctx, v); err != nil && !errors.Is(err, errAbsent) {
			v.Errors = append(v.Errors, wire.Reason{Part: p.name, Text: err.Error(), Since: time.Now().Unix()})
		}
	}
	return v
}

// Facts reads what is known of the host at once. What cannot be read stays empty.
func Facts(ctx context.Context) wire.Facts {
	f := wire.Facts{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU(), Machine: machine()}
	f.Hostname, _ = os.Hostname()
	if i, err := host.InfoWithContext(ctx); err == nil {
		f.Platform, f.Release, f.Kernel, f.Booted = i.Platform, i.PlatformVersion, i.KernelVersion, int64(i.BootTime)
		if i.VirtualizationRole == "guest" {
			f.Virtual = i.VirtualizationSystem
		}
	}
	if n, err := cpu.CountsWithContext(ctx, true); err == nil && n > 0 {
		f.Cores = n
	}
	if m, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		f.Memory = m.Total
	}
	for _, d := range disks(ctx) {
		f.Disk += d.Size
	}
	f.Addresses, f.MACs = addresses()
	f.Serial, f.Model = hardware()
	return f
}

// machine is the machine's id under a prefix of its own, so that it says nothing
// to others who know the id.
func machine() string {
	id := ""
	for _, path := range []string{"/etc/machine-id", "/var/lib/dbus/machine-id"} {
		if data, err := os.ReadFile(path); err == nil {
			if id = strings.TrimSpace(string(data)); id != "" {
				break
			}
		}
	}
	if id == "" {
		id, _ = host.HostID()
	}
	if id == "" {
		return ""
	}
	return wire.Machine(id)
}

// hardware is the serial number and the model, which root alone may read on Linux.
func hardware() (serial, model string) {
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join("/sys/class/dmi/id", name))
		text := strings.TrimSpace(string(data))
		if err != nil || slices.Contains([]string{"None", "Not Specified", "To Be Filled By O.E.M.", "Default string", "System Serial Number", "0"}, text) {
			return ""
		}
		return cut(text)
	}
	return read("product_serial"), strings.TrimSpace(read("sys_vendor") + " " + read("product_name"))
}

// disks are the local file systems, each device once.
func disks(ctx context.Context) (out []wire.Disk) {
	list, err := disk.PartitionsWithContext(ctx, false)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for _, p := range list {
		if seen[p.Device] || len(out) >= 500 {
			continue
		}
		seen[p.Device] = true
		d := wire.Disk{Device: p.Device, Mount: p.Mountpoint, Type: p.Fstype}
		if u, err := disk.UsageWithContext(ctx, p.Mountpoint); err == nil {
			d.Size, d.Used = u.Total, u.Used
		}
		out = append(out, d)
	}
	return out
}

func interfaces() (out []wire.Interface) {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range list[:min(len(list), 1000)] {
		w := wire.Interface{Name: i.Name, MAC: i.HardwareAddr.String(), Up: i.Flags&net.FlagUp != 0}
		if addrs, err := i.Addrs(); err == nil {
			for _, a := range addrs {
				w.Addresses = append(w.Addresses, a.String())
			}
		}
		out = append(out, w)
	}
	return out
}

// addresses are those that others reach the host by, the one of the default route
// first.
func addresses() (ips, macs []string) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, nil
	}
	for _, i := range list {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		if mac := i.HardwareAddr.String(); mac != "" && !slices.Contains(macs, mac) {
			macs = append(macs, mac)
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && !n.IP.IsLinkLocalUnicast() {
				ips = append(ips, n.IP.String())
			}
		}
	}
	slices.Sort(macs)
	// No packet is sent: the system says which address it would come from.
	if c, err := net.Dial("udp", "192.0.2.1:9"); err == nil {
		if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
			if at := slices.Index(ips, a.IP.String()); at > 0 {
				first := ips[at]
				ips = slices.Insert(slices.Delete(ips, at, at+1), 0, first)
			}
		}
		_ = c.Close()
	}
	return ips[:min(len(ips), 100)], macs[:min(len(macs), 100)]
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
