package filetail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"
)

func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, age time.Duration) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(at, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := func(tune func(*Config)) Config {
		c := NewFactory().DefaultConfig().(*Config)
		c.Paths, c.PositionFile = []string{filepath.Join(dir, "*.log")}, filepath.Join(dir, "positions")
		tune(c)
		return *c
	}
	f := func(tune func(*Config), want ...string) {
		t.Helper()
		got, err := Try(t.Context(), cfg(tune))
		if err != nil || !slices.Equal(got.Records, want) {
			t.Errorf("%q %v, want %q", got.Records, err, want)
		}
	}
	fails := func(tune func(*Config), want string) {
		t.Helper()
		if _, err := Try(t.Context(), cfg(tune)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	plain := func(*Config) {}
	fails(plain, "no file matches")
	write("old.log", "old\n", time.Hour)
	write("new.log", "one\r\n\ntwo\nthree", 0)
	f(plain, "one", "two", "three")
	f(func(c *Config) { c.Exclude = []string{"new.log"} }, "old")
	f(func(c *Config) { c.Multiline = "^t" }, "one", "two", "three")
	f(func(c *Config) { c.Multiline = "^o" }, "one\ntwo\nthree")
	fails(func(c *Config) { c.MaxFiles = 1 }, "max_files")
	gbk, err := simplifiedchinese.GBK.NewEncoder().String("plain\n登录失败\n")
	if err != nil {
		t.Fatal(err)
	}
	write("new.log", gbk, 0)
	f(func(c *Config) { c.Encoding = "auto" }, "plain", "登录失败")
	write("new.log", "", 0)
	f(plain)
	write("new.log", strings.Repeat("x\n", 100), 0)
	if got, err := Try(t.Context(), cfg(plain)); err != nil || len(got.Records) != 10 {
		t.Errorf("%d records, %v", len(got.Records), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "positions")); !os.IsNotExist(err) {
		t.Errorf("a trial remembers: %v", err)
	}
}
