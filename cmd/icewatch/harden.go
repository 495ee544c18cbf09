package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	hardening "icewatch/soc/harden"
)

type harden struct {
	Check checkHardening `cmd:"" help:"Name what stands open on this installation and machine, and how to mend it. Exits with 2 where something as bad as --fail-on was found."`
}

type checkHardening struct {
	options
	JSON   bool   `name:"json" help:"Print the findings as JSON."`
	FailOn string `help:"The least severity that counts as a failure." enum:"critical,high,medium,low" default:"high"`
}

// found is the error of a check that found something bad enough.
type found int

func (f found) Error() string {
	return fmt.Sprintf("%d findings are bad enough to fail the check", int(f))
}

// ExitCode implements kong.ExitCoder.
func (found) ExitCode() int { return 2 }

// Run checks the installation.
func (h *checkHardening) Run(ctx context.Context) error {
	cfg, err := h.load()
	if err != nil {
		return fmt.Errorf("the configuration cannot be used:\n%w", err)
	}
	findings := hardening.Check(ctx, hardening.Options{Config: cfg, ConfigFile: h.Config})
	if h.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(struct {
			Findings []hardening.Finding `json:"findings"`
		}{append([]hardening.Finding{}, findings...)})
	} else {
		err = hardening.Write(os.Stdout, findings)
	}
	if err != nil {
		return err
	}
	n := 0
	for _, f := range findings {
		if f.Severity.AtLeast(hardening.Severity(h.FailOn)) {
			n++
		}
	}
	if n > 0 {
		return found(n)
	}
	return nil
}
