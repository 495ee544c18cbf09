package spreadsheet

import (
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "web-01": "web-01", "'Tis": "'Tis", "=1+1": "'=1+1", "+86 451": "'+86 451", "-5": "'-5", "@SUM(A1)": "'@SUM(A1)",
		"\tx": "'\tx", "'=1": "''=1", "''=1": "'''=1", "李": "李",
	} {
		if got := Guard(in); got != want {
			t.Errorf("Guard(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Unguard("'O'Neill"); got != "'O'Neill" {
		t.Errorf("an apostrophe that guards nothing is taken off: %q", got)
	}
}

func FuzzGuard(f *testing.F) {
	f.Add("'=x")
	f.Fuzz(func(t *testing.T, s string) {
		g := Guard(s)
		if Unguard(g) != s {
			t.Errorf("%q comes back as %q", s, Unguard(g))
		}
		if g != "" && strings.IndexByte("=+-@\t\r", g[0]) >= 0 {
			t.Errorf("%q is let out as %q", s, g)
		}
	})
}
