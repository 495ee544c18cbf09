// Package home gives the engine of templates a folder of its own before it starts.
// The engine makes files in the user's home as soon as it is linked in; a scanner
// has no business there. The variable must be set before the engine's packages
// start, which Go does in the order of import paths among those that are ready: this
// package needs the system alone, and a test holds that it comes first.
package home

import "os"

// Dir is the folder; "" where the caller's environment names one already.
var Dir string

const variable = "NUCLEI_CONFIG_DIR"

func init() {
	if os.Getenv(variable) != "" {
		return
	}
	dir, err := os.MkdirTemp("", "icewatch-scanner-")
	if err != nil {
		return // The engine says itself that it has no folder.
	}
	Dir = dir
	_ = os.Setenv(variable, dir)
	_ = os.Setenv("NUCLEI_TEMPLATES_DIR", dir)
}

// Remove removes the folder at the end of the program.
func Remove() {
	if Dir != "" {
		_ = os.RemoveAll(Dir)
	}
}
