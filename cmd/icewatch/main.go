// Command icewatch is the suite's server: the centre and the engine it
// supervises, the check of its configuration, and the simulator.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"icewatch/soc/centre"
	"icewatch/soc/config"
	"icewatch/soc/engine"
	"icewatch/soc/garbage"
	"icewatch/soc/simulate"
	"icewatch/soc/supervisor"
	"icewatch/soc/version"
)

type commands struct {
	Serve    serve            `cmd:"" help:"Run the suite: intake, detection, incidents, console."`
	Config   configure        `cmd:"" help:"Check or print the configuration."`
	Simulate simulate.Command `cmd:"" help:"Send a small city's telemetry, attacks among it, to a running suite."`
	Keys     keys             `cmd:"" help:"List, rotate and drop the master keys that seal the suite's secrets."`
	Backup   backups          `cmd:"" help:"Take, list, check and remove backups of everything the suite keeps."`
	Restore  restoreBackup    `cmd:"" help:"Put a backup into an empty data folder."`
	Harden   harden           `cmd:"" help:"Check how well this installation is guarded."`
	Version  showVersion      `cmd:"" help:"Print the version."`
	Engine   runEngine        `cmd:"" hidden:"" help:"Run the engine; the centre starts it."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var c commands
	k := kong.Parse(&c, kong.Name("icewatch"), kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Description("Security operations and observability for a city's digital government."))
	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "icewatch: "+err.Error())
		var coded kong.ExitCoder
		if errors.As(err, &coded) {
			os.Exit(coded.ExitCode())
		}
		os.Exit(1)
	}
}

// options are the flags that stand over the configuration file and the
// environment.
type options struct {
	Config    string            `help:"Configuration file." env:"ICEWATCH_CONFIG" placeholder:"FILE"`
	Data      string            `help:"Folder of everything the suite keeps." placeholder:"DIR"`
	HTTP      string            `name:"http" help:"Address of console and API." placeholder:"ADDR"`
	SyslogUDP string            `name:"syslog-udp" help:"Address of syslog datagrams, or off." placeholder:"ADDR"`
	SyslogTCP string            `name:"syslog-tcp" help:"Address of syslog streams, or off." placeholder:"ADDR"`
	NetFlow   string            `name:"netflow" help:"Address of NetFlow and IPFIX datagrams, or off." placeholder:"ADDR"`
	SFlow     string            `name:"sflow" help:"Address of sFlow datagrams, or off." placeholder:"ADDR"`
	OTLPGRPC  string            `name:"otlp-grpc" help:"Address of OpenTelemetry over gRPC, or off." placeholder:"ADDR"`
	OTLPHTTP  string            `name:"otlp-http" help:"Address of OpenTelemetry over HTTP, or off." placeholder:"ADDR"`
	LogLevel  string            `name:"log-level" help:"debug, info, warn or error." placeholder:"LEVEL"`
	Set       map[string]string `help:"Any option of the configuration by its path, such as lake.retention=365d." placeholder:"OPTION=VALUE" mapsep:"none"`
}

func (o options) load() (*config.Config, error) {
	over := map[string]string{}
	for path, v := range o.Set {
		over[path] = v
	}
	for path, v := range map[string]string{"data": o.Data, "http.listen": o.HTTP, "syslog.udp": o.SyslogUDP, "syslog.tcp": o.SyslogTCP,
		"flows.netflow": o.NetFlow, "flows.sflow": o.SFlow, "otlp.grpc": o.OTLPGRPC, "otlp.http": o.OTLPHTTP, "log.level": o.LogLevel} {
		if v != "" {
			over[path] = v
		}
	}
	return config.Load(o.named(), os.Environ(), over)
}

// named is the configuration file as it was named; "" where there is none.
func (o options) named() string {
	if o.Config != "" {
		return o.Config
	}
	// The file in the working directory is the one a newcomer edits.
	if _, err := os.Stat("icewatch.yaml"); err != nil {
		return ""
	}
	return "icewatch.yaml"
}

// file is the whole path of the configuration file; "" where there is none.
func (o options) file() (string, error) {
	file := o.named()
	if file == "" {
		return "", nil
	}
	return filepath.Abs(file)
}

type serve struct{ options }

// Run runs the suite until a signal ends it.
func (s *serve) Run(ctx context.Context) error {
	cfg, err := s.load()
	if err != nil {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	password := os.Getenv("ICEWATCH_ADMIN_PASSWORD")
	// No process we start needs it.
	if err := os.Unsetenv("ICEWATCH_ADMIN_PASSWORD"); err != nil {
		return err
	}
	go garbage.Keep(ctx, garbage.Bound{Percent: 200, Bytes: int64(cfg.Memory.Garbage), After: 10 * time.Second})
	log := logger(cfg.Log.Level, cfg.Log.Format, "centre")
	file, err := s.file()
	if err != nil {
		return err
	}
	return centre.Run(ctx, centre.Options{Config: cfg, ConfigFile: file, AdminPassword: password, Version: version.String(),
		Engine: []string{self, "engine"}, Log: log, Out: os.Stdout})
}

func logger(level, format, process string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l})
	if format == "json" {
		h = slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l})
	}
	return slog.New(h).With("process", process)
}

type configure struct {
	Check checkConfig `cmd:"" help:"Name what is wrong with the configuration, with file and line."`
	Print printConfig `cmd:"" help:"Print every option with its default and meaning."`
}

type checkConfig struct{ options }

// Run checks the configuration.
func (c *checkConfig) Run() error {
	if _, err := c.load(); err != nil {
		return errors.New(strings.TrimSpace(err.Error()))
	}
	fmt.Println("the configuration is good")
	return nil
}

type printConfig struct{}

// Run prints the reference.
func (printConfig) Run() error { return config.Reference(os.Stdout) }

type showVersion struct{}

// Run prints the version.
func (showVersion) Run() error {
	fmt.Println("icewatch", version.String(), config.Platform())
	return nil
}

type runEngine struct{}

// Run runs the engine with the options that the centre gives on standard input.
func (runEngine) Run(ctx context.Context) error {
	var o engine.Options
	ctx, err := supervisor.Options(ctx, os.Stdin, &o)
	if err != nil {
		return err
	}
	go garbage.Keep(ctx, garbage.Bound{Percent: 400, Bytes: o.Garbage, After: 10 * time.Second})
	return engine.Run(ctx, o, logger(o.LogLevel, o.LogFormat, "engine"))
}
