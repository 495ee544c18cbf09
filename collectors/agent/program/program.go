// Package program is what the programs on hosts share, the agent and the scanner: the command
// line with the host's own file, the log, and that one process alone uses a folder.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// Program is a command line.
type Program struct {
	Name        string
	Description string
	File        string    // the host's own
	Settings    []string  // that the file may have, as flags are called
	Vars        kong.Vars // of the help
}

// Main runs a command line until a signal ends it, then what is to be done at the end, and ends
// the process with 1 where call fails.
func (p *Program) Main(call func(ctx context.Context, args []string) error, finally func()) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := call(ctx, os.Args[1:])
	stop()
	if finally != nil {
		finally()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, p.Name+": "+err.Error())
		os.Exit(1)
	}
}

// Call runs a command line. commands are kong's; a wrong command line ends the process.
func (p *Program) Call(ctx context.Context, commands any, args []string) error {
	k, err := kong.New(commands, kong.Name(p.Name), kong.Description(p.Description), kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)), kong.Configuration(p.read, p.File), p.Vars)
	if err != nil {
		return err
	}
	parsed, err := k.Parse(args)
	k.FatalIfErrorf(err)
	return parsed.Run()
}

// read reads the host's own file: flags by their names, below the environment's and the command line's.
func (p *Program) read(r io.Reader) (kong.Resolver, error) {
	values := map[string]any{}
	if err := yaml.NewDecoder(r).Decode(&values); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the host's own file: %w", err)
	}
	for name := range values {
		if !slices.Contains(p.Settings, name) {
			last := len(p.Settings) - 1
			return nil, fmt.Errorf("the host's own file: there is no setting %q; there are %s and %s", name, strings.Join(p.Settings[:last], ", "), p.Settings[last])
		}
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) { return values[flag.Name], nil }), nil
}

// Log writes to the standard error from a level (debug, info, warn, error) on.
func Log(level string) *slog.Logger {
	var l slog.Level
	_ = l.UnmarshalText([]byte(level)) // The flag allows its names alone.
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}
