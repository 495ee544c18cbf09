package containers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/fleet/wire"
)

// engine asks Docker or podman on a socket (https://docs.docker.com/reference/api/engine/); nothing
// where there is none.
func engine(ctx context.Context, socket string) ([]wire.Container, error) {
	if !isSocket(socket) {
		return nil, nil
	}
	transport := &http.Transport{MaxIdleConns: 1, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Timeout: 10 * time.Second, Transport: transport}
	get := func(path string, into any) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("ask the container engine at %s: %w", socket, err)
		}
		defer resp.Body.Close()
		if !ok(resp) {
			return fmt.Errorf("the container engine at %s answered %s", socket, resp.Status)
		}
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
			return fmt.Errorf("the container engine at %s: %w", socket, err)
		}
		return nil
	}
	name := "docker"
	var v struct {
		Components []struct{ Name string }
	}
	if err := get("/version", &v); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(v.Components, func(c struct{ Name string }) bool { return strings.HasPrefix(c.Name, "Podman") }) {
		name = "podman"
	}
	var list []struct {
		ID                   string `json:"Id"`
		Names                []string
		Image, State, Status string
		Labels               map[string]string
		Ports                []struct {
			IP                      string
			PrivatePort, PublicPort int
			Type                    string
		}
	}
	if err := get("/containers/json?all=1", &list); err != nil {
		return nil, err
	}
	var out []wire.Container
	for _, c := range list[:min(len(list), maxContainers)] {
		w := wire.Container{ID: cut(c.ID), Image: cut(c.Image), State: cut(strings.ToLower(c.State)), Engine: name,
			Pod: cut(c.Labels["io.kubernetes.pod.name"]), Namespace: cut(c.Labels["io.kubernetes.pod.namespace"])}
		if c.Labels["io.kubernetes.docker.type"] == "podsandbox" {
			continue // It holds a pod's network, and runs nothing.
		}
		if len(c.Names) > 0 {
			w.Name = cut(strings.TrimPrefix(c.Names[0], "/"))
		}
		if n := c.Labels["io.kubernetes.container.name"]; n != "" {
			w.Name = cut(n)
		}
		for _, p := range c.Ports[:min(len(c.Ports), maxServices)] {
			s := wire.ContainerService{Protocol: cut(p.Type), Port: p.PrivatePort}
			if p.PublicPort > 0 {
				s.Published = net.JoinHostPort(cut(p.IP), strconv.Itoa(p.PublicPort))
				w.Ports = append(w.Ports, fmt.Sprintf("%s->%d/%s", s.Published, p.PrivatePort, s.Protocol))
			} else {
				w.Ports = append(w.Ports, fmt.Sprintf("%d/%s", p.PrivatePort, s.Protocol))
			}
			// A port that is published for IPv4 and IPv6 is one.
			if at := slices.IndexFunc(w.Services, func(o wire.ContainerService) bool { return o.Port == s.Port && o.Protocol == s.Protocol }); at < 0 {
				w.Services = append(w.Services, s)
			} else if s.Published != "" && !strings.Contains(w.Services[at].Published, s.Published) {
				w.Services[at].Published = strings.TrimPrefix(w.Services[at].Published+", "+s.Published, ", ")
			}
		}
		if err := inspect(get, &w); err != nil && ctx.Err() != nil {
			return out, err
		} // Else it ended meanwhile, or tells no more.
		out = append(out, w)
	}
	return out, nil
}

// inspect adds what an engine tells of one container alone.
func inspect(get func(string, any) error, w *wire.Container) error {
	var c struct {
		RestartCount int
		State        struct {
			Pid, ExitCode    int
			StartedAt, Error string
			OOMKilled        bool
			Health           *struct{ Status string }
		}
		NetworkSettings struct {
			IPAddress string
			Networks  map[string]struct{ IPAddress, GlobalIPv6Address string }
		}
	}
	if err := get("/containers/"+url.PathEscape(w.ID)+"/json", &c); err != nil {
		return err
	}
	w.Restarts, w.Reason = c.RestartCount, cut(c.State.Error)
	if w.State == "running" {
		w.PID = c.State.Pid
	} else {
		w.ExitCode = c.State.ExitCode
	}
	if c.State.OOMKilled {
		w.Reason = "out of memory"
	}
	if h := c.State.Health; h != nil && h.Status != "none" {
		w.Health = cut(h.Status)
	}
	if t, err := time.Parse(time.RFC3339Nano, c.State.StartedAt); err == nil && t.Unix() > 0 {
		w.Started = t.Unix()
	}
	add := func(address string) {
		if address != "" && len(w.Addresses) < 50 && !slices.Contains(w.Addresses, address) {
			w.Addresses = append(w.Addresses, cut(address))
		}
	}
	add(c.NetworkSettings.IPAddress)
	for _, n := range c.NetworkSettings.Networks {
		add(n.IPAddress)
		add(n.GlobalIPv6Address)
	}
	slices.Sort(w.Addresses)
	return nil
}
