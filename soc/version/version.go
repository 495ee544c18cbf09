// Package version says which build this is.
package version

import (
	"runtime/debug"
	"strings"
)

// Number is the release's number; the linker sets it
// (-X icewatch/soc/version.Number=1.2.3).
var Number = "dev"

// Mark is the number once more, between signs by which it is found in a program's file
// without running the program: icewatch-number<1.2.3>. The linker sets it, too
// (-X icewatch/soc/version.Mark=icewatch-number<1.2.3>).
var Mark string

func init() {
	if _, number, ok := strings.Cut(strings.TrimSuffix(Mark, ">"), "<"); ok && Number == "dev" {
		Number = number
	}
}

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
