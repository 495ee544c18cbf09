// Package install makes the agent a service of the host, and takes it away again.
package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Options say where things go.
type Options struct {
	Program string // where the program goes
	Dir     string // of everything that the agent keeps
	Config  string // the host's own file
	Root    string // "" is the host's own
	// Now has the service begin at once.
	Now bool
}

// Name is the service's.
const Name = "icewatch-agent"

// exampleConfig is the host's own file as it is made.
const exampleConfig = `# The host's own say over its agent. Everything else comes from the fleet.
# Every name here is a flag of icewatch-agent, and an environment variable
# ICEWATCH_AGENT_*, which stand above it.

# Plug-ins that run commands and that documents of the fleet may use here: exec.
# allow: [exec]

# debug, info, warn or error
log-level: info
`

// files puts program, folder and the host's own file in place.
func files(o Options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	program := filepath.Join(o.Root, o.Program)
	for _, dir := range []string{filepath.Dir(program), filepath.Join(o.Root, filepath.Dir(o.Config))} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.Root, o.Dir), 0o700); err != nil {
		return err
	}
	if same, err := filepath.EvalSymlinks(program); err != nil || same != self {
		if err := copyProgram(self, program); err != nil {
			return fmt.Errorf("put the program in place: %w", err)
		}
	}
	config := filepath.Join(o.Root, o.Config)
	f, err := os.OpenFile(config, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(exampleConfig)
	return errors.Join(err, f.Close())
}

// copyProgram replaces a program that may be running.
func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to+".next", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(to+".next", to)
	}
	return err
}

// Install makes the service and, where o.Now is set, begins it.
func Install(ctx context.Context, o Options, out io.Writer) error {
	if err := files(o); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err := register(ctx, o, out); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}

// Uninstall ends and removes the service. With purge everything that the agent
// kept goes, too: its identity and what it has not sent.
func Uninstall(ctx context.Context, o Options, purge bool, out io.Writer) error {
	err := unregister(ctx, o, out)
	gone := []string{o.Program, o.Program + ".former", o.Program + ".broken"}
	if purge {
		gone = append(gone, o.Dir, o.Config)
	}
	for _, path := range gone {
		err = errors.Join(err, os.RemoveAll(filepath.Join(o.Root, path)))
	}
	if err != nil {
		return fmt.Errorf("uninstall: %w", err)
	}
	return nil
}
