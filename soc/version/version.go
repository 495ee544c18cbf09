// Package version says which build this is.
package version

import "runtime/debug"

// Number is the release's number; the linker sets it
// (-X icewatch/soc/version.Number=1.2.3).
var Number = "dev"

// String is the number, with the commit where the build recorded one.
func String() string {
	if c := Commit(); c != "" {
		return Number + " (" + c + ")"
	}
	return Number
}

// Commit is the first twelve digits of the commit the build was made from, or "".
func Commit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(12, len(s.Value))]
			}
		}
	}
	return ""
}
