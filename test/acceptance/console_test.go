package acceptance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestConsole drives the console in real Chromium: sign in, find the incident,
// acknowledge it, see the entry in its timeline.
func TestConsole(t *testing.T) {
	t.Parallel()
	node, chromium := peer(t, "node"), peer(t, "chromium")
	dir, err := filepath.Abs("../../soc/console")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "playwright-core")); err != nil {
		missing(t, "playwright-core is not installed: run npm ci in soc/console")
	}
	s := newSuite(t, "")
	if _, err := s.simulate("--seed", "42", "--duration", "15s", "--rate", "30"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", "e2e/console.test.mjs")
	// The browser holds the output open: do not wait for it once node is gone.
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = dir
	cmd.Env = append(cleanEnv(), "BASE_URL="+s.url, "ICEWATCH_USERNAME=admin", "ICEWATCH_PASSWORD="+password, "CHROMIUM="+chromium, "HOME="+s.dir,
		"WAIT_MS=20000", "SHOT_DIR="+os.Getenv("ICEWATCH_SHOT_DIR"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the console's tests failed: %v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
}
