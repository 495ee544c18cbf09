//go:build !windows

package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
)

// Default are a Linux host's places.
func Default() Options {
	return Options{Program: "/opt/icewatch-agent/icewatch-agent", Dir: "/var/lib/icewatch-agent", Config: "/etc/icewatch-agent/agent.yaml", Now: true}
}

// unit is the service of systemd. The agent reads all of the host, as an agent must,
// and writes its own folders alone. It may not gain rights, load modules, change
// clock, kernel settings or devices, and takes little even where its own breaker fails.
var unit = template.Must(template.New("unit").Parse(`[Unit]
Description=icewatch agent: figures, logs and inventory of this host
Documentation=https://icewatch.example/docs/agent
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStartPre=-{{.Program}}.former recover --dir {{.Dir}}
ExecStart={{.Program}} run --dir {{.Dir}} --config {{.Config}}
Restart=always
RestartSec=5
TimeoutStopSec=20
UMask=0077
MemoryMax=300M
CPUQuota=100%
TasksMax=256
Nice=5
OOMScoreAdjust=500
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={{.Dir}} {{.ProgramDir}}
ProtectHome=read-only
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
DevicePolicy=closed
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_SYS_PTRACE CAP_NET_RAW

[Install]
WantedBy=multi-user.target
`))

// Unit is the text of the service.
func Unit(o Options) string {
	var b strings.Builder
	_ = unit.Execute(&b, struct {
		Options
		ProgramDir string
	}{o, filepath.Dir(o.Program)}) // It writes to memory.
	return b.String()
}

const unitPath = "/etc/systemd/system/" + Name + ".service"

func register(ctx context.Context, o Options, out io.Writer) error {
	for _, path := range []string{o.Program, o.Dir, o.Config} {
		if strings.ContainsAny(path, " \t\n\"'\\%$") {
			return fmt.Errorf("the path %q has characters that a unit of systemd cannot have", path)
		}
	}
	path := filepath.Join(o.Root, unitPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(Unit(o)), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s, %s and %s are in place\n", path, filepath.Join(o.Root, o.Program), filepath.Join(o.Root, o.Config))
	if o.Root != "" || !o.Now {
		return nil
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		fmt.Fprintf(out, "systemd does not run here: start it yourself with %s run --dir %s\n", o.Program, o.Dir)
		return nil
	}
	return errors.Join(systemctl(ctx, "daemon-reload"), systemctl(ctx, "enable", Name), systemctl(ctx, "restart", Name))
}

func systemctl(ctx context.Context, args ...string) error {
	if text, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(text)))
	}
	return nil
}

func unregister(ctx context.Context, o Options, out io.Writer) error {
	path := filepath.Join(o.Root, unitPath)
	if _, err := os.Stat(path); err != nil {
		fmt.Fprintln(out, "there is no service", Name)
		return nil
	}
	var err error
	_, runs := os.Stat("/run/systemd/system")
	if runs == nil && o.Root == "" {
		err = systemctl(ctx, "disable", Name)
	}
	err = errors.Join(err, os.Remove(path))
	if runs == nil && o.Root == "" {
		err = errors.Join(err, systemctl(ctx, "daemon-reload"))
		err = errors.Join(err, systemctl(ctx, "stop", Name))
	}
	fmt.Fprintln(out, "the service", Name, "is removed")
	return err
}

// Disable ends the service for good, from within: its files stay, since the service
// may not write where they are.
func Disable(ctx context.Context) error {
	if _, err := os.Stat("/run/systemd/system"); err != nil || os.Getenv("INVOCATION_ID") == "" {
		return nil //nolint:nilerr // It is no service, and ends by itself.
	}
	return errors.Join(systemctl(ctx, "disable", Name), systemctl(ctx, "stop", "--no-block", Name))
}
