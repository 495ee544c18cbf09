//go:build windows

package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"
)

// Default are a Windows host's places.
func Default() Options {
	data := os.Getenv("ProgramData")
	if data == "" {
		data = `C:\ProgramData`
	}
	program := os.Getenv("ProgramFiles")
	if program == "" {
		program = `C:\Program Files`
	}
	return Options{Program: filepath.Join(program, "icewatch-agent", "icewatch-agent.exe"), Dir: filepath.Join(data, "icewatch-agent"), Config: filepath.Join(data, "icewatch-agent", "agent.yaml"), Now: true}
}

func register(_ context.Context, o Options, out io.Writer) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("the list of services (run as administrator): %w", err)
	}
	defer func() { _ = m.Disconnect() }()
	s, err := m.OpenService(Name)
	if err != nil {
		s, err = m.CreateService(Name, o.Program, mgr.Config{DisplayName: "icewatch agent", Description: "Figures, logs and inventory of this host", StartType: mgr.StartAutomatic, DelayedAutoStart: true},
			"run", "--dir", o.Dir, "--config", o.Config)
		if err != nil {
			return err
		}
	}
	defer s.Close()
	again := []mgr.RecoveryAction{{Type: mgr.ServiceRestart, Delay: 5 * time.Second}, {Type: mgr.ServiceRestart, Delay: 5 * time.Second}, {Type: mgr.ServiceRestart, Delay: 30 * time.Second}}
	if err := errors.Join(s.SetRecoveryActions(again, 3600), s.SetRecoveryActionsOnNonCrashFailures(true)); err != nil {
		return err
	}
	fmt.Fprintf(out, "the service %s is in place\n", Name)
	if !o.Now {
		return nil
	}
	return s.Start()
}

func unregister(_ context.Context, _ Options, out io.Writer) error {
	m, err := mgr.Connect()
	if err != nil {
		return fmt.Errorf("the list of services (run as administrator): %w", err)
	}
	defer func() { _ = m.Disconnect() }()
	s, err := m.OpenService(Name)
	if err != nil {
		fmt.Fprintln(out, "there is no service", Name)
		return nil //nolint:nilerr // It is gone already.
	}
	defer s.Close()
	_, _ = s.Control(svc.Stop) // It may be stopped.
	if err := s.Delete(); err != nil {
		return err
	}
	fmt.Fprintln(out, "the service", Name, "is removed")
	return nil
}

// Disable ends the service for good, from within.
func Disable(context.Context) error {
	m, err := mgr.Connect()
	if err != nil {
		return err
	}
	defer func() { _ = m.Disconnect() }()
	s, err := m.OpenService(Name)
	if err != nil {
		return nil //nolint:nilerr // It is no service, and ends by itself.
	}
	defer s.Close()
	c, err := s.Config()
	if err != nil {
		return err
	}
	c.StartType = mgr.StartDisabled
	return s.UpdateConfig(c)
}
