package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/windows/svc"

	"icewatch/collectors/agent/install"
)

// service runs this under Windows' control of services, where that started it.
func service() bool {
	if is, err := svc.IsWindowsService(); err != nil || !is {
		return false
	}
	if err := svc.Run(install.Name, handler{}); err != nil {
		os.Exit(1)
	}
	return true
}

type handler struct{}

// Execute implements svc.Handler.
func (handler) Execute(_ []string, requests <-chan svc.ChangeRequest, status chan<- svc.Status) (bool, uint32) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(ctx, os.Args[1:]) }()
	running := svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	status <- running
	for {
		select {
		case err := <-ended:
			if err != nil {
				return false, 1
			}
			return false, 0
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				status <- running
			case svc.Stop, svc.Shutdown:
				status <- svc.Status{State: svc.StopPending}
				cancel()
			}
		}
	}
}

// restart ends the process with an error: the control of services starts it again.
func restart() error { return errors.New("the agent restarts") }
