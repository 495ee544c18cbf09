package harden

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/soc/api"
	"icewatch/soc/config"
	"icewatch/soc/identity"
	"icewatch/soc/settings"
	"icewatch/soc/state"
)

// machine lays out the files of a well-kept machine.
func machine(t *testing.T, change map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"/proc/sys/kernel/randomize_va_space": "2", "/proc/sys/kernel/yama/ptrace_scope": "1", "/proc/sys/fs/suid_dumpable": "0",
		"/proc/net/tcp":        "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000\n",
		"/etc/ssh/sshd_config": "# comment\nPermitRootLogin no\nPasswordAuthentication no\nMatch User backup\n  PasswordAuthentication yes\n",
	}
	for name, text := range change {
		files[name] = text
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// installation makes a data folder with a state in it.
func installation(t *testing.T) (*config.Config, *settings.Store) {
	t.Helper()
	c := config.Default()
	c.Data = filepath.Join(t.TempDir(), "data")
	c.Security.MasterKeyFile = filepath.Join(t.TempDir(), "master")
	c.Syslog.UDP, c.Syslog.TCP = "127.0.0.1:5514", "off"
	c.Flows.NetFlow, c.Flows.SFlow = "10.1.2.3:2055", "off"
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.KeyFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := state.Open(t.Context(), filepath.Join(c.Data, "state", "icewatch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	store, err := settings.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}

// ids returns the findings' ids, less those that depend on who runs the test
// and on which machine.
func ids(findings []Finding) []string {
	var out []string
	for _, f := range findings {
		if !slices.Contains([]string{"runs-as-root", "clock", "binary-mode"}, f.ID) {
			out = append(out, f.ID)
		}
	}
	slices.Sort(out)
	return out
}

func TestCheck(t *testing.T) {
	t.Parallel()
	decided := []string{"second-factor", "separation", "watermark"} // of a fresh state
	f := func(name string, change func(c *config.Config), root map[string]string, want ...string) {
		t.Helper()
		c, _ := installation(t)
		if change != nil {
			change(c)
		}
		got := ids(Check(t.Context(), Options{Config: c, Root: machine(t, root)}))
		want = slices.Sorted(slices.Values(append(want, decided...)))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: found %q, want %q", name, got, want)
		}
	}
	f("a good one", nil, nil)
	f("plain HTTP", func(c *config.Config) { c.HTTP.Listen, c.HTTP.Insecure = "0.0.0.0:80", true }, nil, "http-plain")
	f("self-signed", func(c *config.Config) { c.HTTP.Listen = "0.0.0.0:8443" }, nil, "tls-self-signed")
	f("flows everywhere", func(c *config.Config) { c.Flows.NetFlow, c.Flows.SFlow = ":2055", "[::]:6343" }, nil, "listen-everywhere", "listen-everywhere")
	f("syslog everywhere", func(c *config.Config) { c.Syslog.UDP, c.Syslog.TCP = ":5514", "0.0.0.0:5514" }, nil, "listen-everywhere", "listen-everywhere")
	f("loopback allowed", func(c *config.Config) { c.Security.Egress.Allow = []string{"127.0.0.0/8", "10.0.0.5:9000"} }, nil, "egress-inside")
	f("key beside data", func(c *config.Config) {
		c.Security.MasterKeyFile = ""
		_ = os.MkdirAll(filepath.Dir(c.KeyFile()), 0o700)
		_ = os.WriteFile(c.KeyFile(), nil, 0o600)
	}, nil, "key-beside-data")
	f("short retention", func(c *config.Config) { c.Lake.Retention = config.Duration(90 * 24 * time.Hour) }, nil, "retention")
	f("secret in the file", func(c *config.Config) {
		c.Notify.Webhooks = []config.Webhook{{Name: "duty", URL: "http://10.0.0.1/", Secret: "x"}}
	}, nil, "secret-in-config", "webhook-plain")
	f("open key", func(c *config.Config) { _ = os.Chmod(c.KeyFile(), 0o644) }, nil, "key-mode")
	f("open data", func(c *config.Config) { _ = os.Chmod(c.Data, 0o755) }, nil, "data-mode")
	f("open file", func(c *config.Config) {
		_ = os.WriteFile(filepath.Join(c.Data, "backup.tar"), nil, 0o600)
		_ = os.Chmod(filepath.Join(c.Data, "backup.tar"), 0o644)
	}, nil, "data-readable")
	f("kernel", nil, map[string]string{"/proc/sys/kernel/randomize_va_space": "0", "/proc/sys/kernel/yama/ptrace_scope": "0"},
		"sysctl-kernel.randomize_va_space", "sysctl-kernel.yama.ptrace_scope")
	f("ports", nil, map[string]string{"/proc/net/tcp": " 0: 00000000:18EB 00000000:0000 0A\n 1: 0100007F:0CEA 00000000:0000 0A\n 2: 00000000:0016 00000000:0000 0A\n 3: 0A00000A:1F90 00000000:0000 01\n",
		"/proc/net/udp6": " 0: 00000000000000000000000000000000:14E9 00000000000000000000000000000000:0000 07\n"}, "port-risky", "port-open")
	f("ssh", nil, map[string]string{"/etc/ssh/sshd_config": "PermitRootLogin yes\nPermitRootLogin no\nPermitEmptyPasswords yes\n"}, "ssh-root", "ssh-password", "ssh-empty")
}

// TestDecisions: what administrators decided is read from the state, while
// another process has it open.
func TestDecisions(t *testing.T) {
	t.Parallel()
	c, store := installation(t)
	ctx := context.Background()
	sign, err := settings.Declare(ctx, store, "sign-in", identity.ScopeSecurity, identity.DefaultSignIn(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := settings.Declare(ctx, store, "watermark", identity.ScopeSecurity, api.DefaultWatermark, nil)
	if err != nil {
		t.Fatal(err)
	}
	limits, err := settings.Declare(ctx, store, "rate-limits", identity.ScopeSecurity, api.DefaultRateLimits, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, w, l := sign.Get(), mark.Get(), limits.Get()
	s.Factors, w.Enabled, l.Enabled = identity.FactorsAll, true, false
	for _, err := range []error{sign.Set(ctx, s, "t"), mark.Set(ctx, w, "t"), limits.Set(ctx, l, "t")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := ids(Check(ctx, Options{Config: c, Root: machine(t, nil)}))
	if want := []string{"rate-limits", "separation"}; !reflect.DeepEqual(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestEveryFindingIsWhole(t *testing.T) {
	t.Parallel()
	c, _ := installation(t)
	c.HTTP.Listen, c.HTTP.Insecure, c.Lake.Retention = "0.0.0.0:80", true, 1
	list := Check(t.Context(), Options{Config: c, Root: machine(t, map[string]string{"/etc/ssh/sshd_config": "PermitRootLogin yes\n"})})
	if len(list) < 5 || list[0].Severity != Critical {
		t.Fatalf("%+v", list)
	}
	var b bytes.Buffer
	if err := Write(&b, list); err != nil {
		t.Fatal(err)
	}
	for i, f := range list {
		if f.ID == "" || f.What == "" || f.Where == "" || f.Mend == "" || ranks[f.Severity] == 0 || strings.Contains(f.What, "%!") || i > 0 && !list[i-1].Severity.AtLeast(f.Severity) {
			t.Errorf("%+v", f)
		}
		if !strings.Contains(b.String(), f.What) {
			t.Errorf("%s is not printed", f.ID)
		}
	}
	if !strings.HasSuffix(b.String(), "low\n") || !strings.Contains(b.String(), fmt.Sprint(len(list))+" findings") {
		t.Errorf("the last line: %s", b.String())
	}
}

func TestListening(t *testing.T) {
	t.Parallel()
	got := listening("  sl  local_address\n 0: 0100007F:1F90 00000000:0000 0A 0\n 1: 0B01A8C0:01BB 00000000:0000 0A 0\n 2: 0B01A8C0:01BB 0B01A8C0:0001 01 0\n"+
		" 3: 00000000000000000000000001000000:0050 0:0 0A 0\n 4: 0000000000000000FFFF00000100007F:0051 0:0 0A 0\n 5: nonsense 0:0 0A\n 6: 00:ZZ 0:0 0A\n", "tcp")
	want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("192.168.1.11:443"), netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("127.0.0.1:81")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzListening(f *testing.F) {
	f.Add(" 0: 0100007F:1F90 00000000:0000 0A\n")
	f.Fuzz(func(t *testing.T, table string) {
		for _, ap := range listening(table, "tcp") {
			if !ap.IsValid() {
				t.Errorf("%v", ap)
			}
		}
	})
}
