package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"icewatch/soc/version"
)

type versionCmd struct{}

// Run prints the version, the commit where the build recorded it, and the
// platform.
func (versionCmd) Run(a *app) error {
	if a.cli.Output == "json" {
		return json.NewEncoder(a.stdout).Encode(map[string]string{
			"version": version.Number, "commit": version.Commit(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(a.stdout, "icectl %s %s/%s %s\n", version.String(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}
