package baseline

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// docker checks the engine's daemon.json and who may write to its socket.
func docker(_ context.Context, h *host) {
	const file = "/etc/docker/daemon.json"
	there := false
	for _, p := range []string{"/usr/bin/dockerd", "/usr/sbin/dockerd", "/usr/local/bin/dockerd", file} {
		if _, err := os.Stat(filepath.Join(h.root, p)); err == nil {
			there = true
		}
	}
	if !there {
		return
	}
	var d struct {
		ICC        *bool    `json:"icc"`
		Live       bool     `json:"live-restore"`
		Remap      string   `json:"userns-remap"`
		Privileges bool     `json:"no-new-privileges"`
		Hosts      []string `json:"hosts"`
		TLS        bool     `json:"tlsverify"`
		Insecure   []string `json:"insecure-registries"`
		Level      string   `json:"log-level"`
	}
	if data, err := h.read(file); err == nil {
		if err := json.Unmarshal(data, &d); err != nil {
			h.cannot("docker.tcp", file, fmt.Errorf("%s: %w", file, err))
			return
		}
	} else if !absent(err) {
		h.cannot("docker.tcp", file, err)
		return
	}
	var tcp []string
	for _, x := range d.Hosts {
		if strings.HasPrefix(x, "tcp://") && !d.TLS {
			tcp = append(tcp, x)
		}
	}
	h.is("docker.tcp", file, len(tcp) == 0, told(tcp, "–"))
	h.is("docker.icc", file, d.ICC != nil && !*d.ICC, fmt.Sprintf("icc %t", d.ICC == nil || *d.ICC))
	h.is("docker.userns", file, d.Remap != "", "userns-remap "+unset(d.Remap))
	h.is("docker.privileges", file, d.Privileges, fmt.Sprintf("no-new-privileges %t", d.Privileges))
	h.is("docker.live-restore", file, d.Live, fmt.Sprintf("live-restore %t", d.Live))
	h.is("docker.registries", file, len(d.Insecure) == 0, told(d.Insecure, "–"))
	for _, p := range []string{"/run/docker.sock", "/var/run/docker.sock"} {
		if info, err := os.Stat(filepath.Join(h.root, p)); err == nil {
			h.is("docker.socket", p, info.Mode().Perm()&0o007 == 0, fmt.Sprintf("%04o", info.Mode().Perm()))
			break
		}
	}
}
