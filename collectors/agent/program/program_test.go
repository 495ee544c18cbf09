package program

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type commands struct {
	Show show `cmd:""`
}

type show struct {
	Dir   string `default:"/default" env:"PROGRAM_TEST_DIR"`
	Allow []string
}

var shown string

func (s *show) Run(context.Context) error {
	shown = s.Dir + " " + strings.Join(s.Allow, ",")
	return nil
}

// TestHostFile: the host's own file gives flags, below the environment and the command line, and a
// name that is no setting is said.
func TestHostFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.yaml")
	p := &Program{Name: "test", File: file, Settings: []string{"dir", "allow"}}
	call := func(args ...string) (string, error) {
		t.Helper()
		shown = ""
		err := p.Call(t.Context(), &commands{}, append([]string{"show"}, args...))
		return shown, err
	}
	if got, err := call(); got != "/default " || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if err := os.WriteFile(file, []byte("dir: /own\nallow: [exec, execd]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := call(); got != "/own exec,execd" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if got, err := call("--dir", "/line"); got != "/line exec,execd" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	for text, want := range map[string]string{"dirs: /x\n": `there is no setting "dirs"; there are dir and allow`, "dir: [\n": "the host's own file"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
}

// TestLock: a second process of a folder is refused by name, until the first is gone.
func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(path, "agent")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(path, "agent"); err == nil || !strings.Contains(err.Error(), "another agent runs with the folder of "+path) {
		t.Errorf("%v", err)
	}
	unlock()
	again, err := Lock(path, "agent")
	if err != nil {
		t.Fatal(err)
	}
	again()
	if _, err := Lock(filepath.Join(path, "no", "folder"), "scanner"); err == nil || !strings.Contains(err.Error(), "the scanner's folder") {
		t.Errorf("%v", err)
	}
}
