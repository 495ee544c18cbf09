package acceptance

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// releaseBinary returns the path of a release binary.
func releaseBinary(t *testing.T, name, arch string) string {
	t.Helper()
	dir := os.Getenv("ICEWATCH_RELEASE_DIR")
	if dir == "" {
		t.Skip("ICEWATCH_RELEASE_DIR is not set: make release makes the binaries, make test-release runs them")
	}
	if !slices.Contains(strings.Fields(os.Getenv("ICEWATCH_RELEASE_PLATFORMS")), arch) {
		t.Skipf("ICEWATCH_RELEASE_PLATFORMS does not name %s", arch)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(abs, name+"-linux-"+arch)
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("release: %v", err)
	}
	return binary
}

// release returns a release binary and the emulator that runs it.
func release(t *testing.T, name, arch, emulator string) (binary, qemu string) {
	t.Helper()
	return releaseBinary(t, name, arch), peer(t, emulator)
}

// TestReleaseARM64 runs the arm64 build under qemu-user: it serves, takes a
// line and finds it again.
func TestReleaseARM64(t *testing.T) {
	binary, qemu := release(t, "icewatch", "arm64", "qemu-aarch64-static")
	icectl, _ := release(t, "icectl", "arm64", "qemu-aarch64-static")
	s := prepare(t, "")
	s.binary = []string{qemu, binary}
	s.launch()
	s.ready(4 * time.Minute)
	s.signIn()
	s.sendTCP([]byte("<13>1 - kunpeng app - - - line on another architecture\n"))
	eventually(t, time.Minute, "the line is found with the arm64 icectl", func() error {
		cmd := exec.Command(qemu, icectl, "query", `"another architecture"`, "--since", "10m")
		cmd.Env = append(cleanEnv(), "ICEWATCH_URL="+s.url, "ICEWATCH_TOKEN="+s.admin.Options().Token, "HOME="+s.dir)
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		var row map[string]any
		if err := json.Unmarshal(out, &row); err != nil {
			return fmt.Errorf("%w: %q", err, out)
		}
		if text(row, "host.name") != "kunpeng" {
			return fmt.Errorf("found %s", out)
		}
		return nil
	})
}

// TestReleaseLoong64 runs the loong64 build under qemu-user as far as the
// version and the check of a configuration.
func TestReleaseLoong64(t *testing.T) {
	binary, qemu := release(t, "icewatch", "loong64", "qemu-loongarch64-static")
	out, err := exec.Command(qemu, binary, "version").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "loong64") {
		t.Fatalf("version: %v: %s", err, out)
	}
	s := prepare(t, "")
	if out, err := exec.Command(qemu, binary, "config", "check", "--config", s.config).CombinedOutput(); err != nil {
		t.Fatalf("config check: %v: %s", err, out)
	}
	broken := filepath.Join(s.dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("http:\n  listen: nowhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(qemu, binary, "config", "check", "--config", broken).CombinedOutput(); err == nil || !strings.Contains(string(out), "broken.yaml:2") {
		t.Fatalf("config check of a broken file: %v: %s", err, out)
	}
}

// TestReleaseIsStatic checks that no release binary asks for a loader or a
// library.
func TestReleaseIsStatic(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "loong64": elf.EM_LOONGARCH} {
		for _, name := range []string{"icewatch", "icectl"} {
			t.Run(name+"-"+arch, func(t *testing.T) {
				f, err := elf.Open(releaseBinary(t, name, arch))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				if f.Machine != machine {
					t.Errorf("it is for %v", f.Machine)
				}
				for _, p := range f.Progs {
					if p.Type == elf.PT_INTERP {
						t.Error("it asks for a loader")
					}
				}
				if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 {
					t.Errorf("it needs %v (%v)", libs, err)
				}
			})
		}
	}
}
