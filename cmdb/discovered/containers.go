package discovered

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"icewatch/cmdb"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/reach"
)

// maxContainers bounds the containers of one host that become items.
const maxContainers = 200

// generated is what Kubernetes puts behind the name of what a pod is of: a pod that takes the
// place of another is the same item.
var generated = regexp.MustCompile(`(-[0-9a-f]{8,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}$`)

// containerName is what a container is called in the CMDB.
func containerName(host string, c *wire.Container) string {
	name := strings.ToLower(c.Name)
	if c.Pod != "" {
		name = strings.ToLower(c.Namespace + "/" + generated.ReplaceAllString(c.Pod, "") + "/" + c.Name)
	}
	return name + "@" + host
}

// containers brings the containers that run on a host into the CMDB, with the host as what they
// run on, and the databases and middleware that listen in them. Their addresses are left out: those
// of an engine's own network are the same on every host.
func (f *Feed) containers(ctx context.Context, a fleet.Agent, host cmdb.Item, inv *wire.Inventory, opts cmdb.ImportOptions) error {
	var running []*wire.Container
	names := map[string]bool{}
	called := strings.ToLower(a.Name)
	for i := range inv.Containers {
		c := &inv.Containers[i]
		if name := containerName(called, c); c.State == "running" && c.Name != "" && !names[name] && len(running) < maxContainers {
			names[name] = true
			running = append(running, c)
		}
	}
	if len(running) == 0 {
		return nil
	}
	known := map[string]cmdb.Item{}
	for cursor := ""; ; {
		page, err := f.cmdb.Items(ctx, reach.Tenants(a.Tenant), cmdb.Filter{Classes: []string{"container"}, Tenants: []string{a.Tenant}, Query: "@" + called, Limit: 1000, Cursor: cursor})
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			known[it.Name] = it
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	class := "container"
	var list []cmdb.Fields
	for _, c := range running {
		name := containerName(called, c)
		want := map[string]string{"image": c.Image, "namespace": c.Namespace}
		if host.Class != "container" { // What a container runs on is a host or a virtual machine.
			want["node"] = host.ID
		}
		it, there := known[name]
		w := cmdb.Fields{Class: &class, Attributes: map[string]*string{}}
		if there {
			w.ID = &it.ID
		} else {
			w.Name, w.Tenant, w.Zone = &name, &a.Tenant, &f.zone
		}
		for k, v := range want {
			if v != "" && it.Attributes[k] != v {
				w.Attributes[k] = &v
			}
		}
		if !there || len(w.Attributes) > 0 {
			list = append(list, w)
		}
	}
	if len(list) > 0 {
		report, err := f.upsert(ctx, list, opts)
		if err != nil {
			return fmt.Errorf("the containers on the host: %w", err)
		}
		for i, w := range list {
			if w.ID == nil && i < len(report.IDs) {
				known[*w.Name] = cmdb.Item{ID: report.IDs[i]}
			}
		}
	}
	var software []cmdb.Fields
	for _, c := range running {
		name := containerName(called, c)
		if known[name].ID == "" {
			continue
		}
		var ports []wire.Port
		for _, s := range c.Services {
			// What has the host's own network is the host's already.
			own := slices.ContainsFunc(inv.Ports, func(p wire.Port) bool {
				return s.PID > 0 && p.PID == s.PID && p.Port == s.Port && p.Protocol == s.Protocol
			})
			if s.Listening && !own {
				ports = append(ports, wire.Port{Protocol: s.Protocol, Port: s.Port, Service: s.Service, Version: s.Version})
			}
		}
		more, err := f.software(ctx, a, name, known[name].ID, ports)
		if err != nil {
			return err
		}
		software = append(software, more...)
	}
	if len(software) == 0 {
		return nil
	}
	if _, err := f.upsert(ctx, software, opts); err != nil {
		return fmt.Errorf("the software in containers: %w", err)
	}
	return nil
}
