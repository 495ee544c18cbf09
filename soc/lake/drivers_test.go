package lake_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"icewatch/soc/lake"
	"icewatch/soc/lake/remote"
	"icewatch/soc/node"
	"icewatch/test/peers"
)

// TestDrivers runs the lake's own tests on real VictoriaLogs servers: one, two
// of a cluster, and two that are reached over TLS with a password or a token.
func TestDrivers(t *testing.T) {
	lake.Acceptance(t, "node", open(1, nil))
	lake.Acceptance(t, "nodes", open(2, nil))
	lake.Acceptance(t, "guarded", open(2, guard(t)), "tenants", "reopen", "rows")
}

// guard makes servers that ask for TLS and a password, and says how they are
// spoken to.
func guard(t *testing.T) func(o *node.Options) (flags []string) {
	dir := t.TempDir()
	authority := peers.NewAuthority(t)
	ca, secret := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "password")
	for path, text := range map[string]string{ca: authority.PEM, secret: "geheim-2026"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := authority.Issue(t, dir)
	return func(o *node.Options) []string {
		if o != nil {
			o.CAFile, o.Username, o.PasswordFile = ca, "icewatch", secret
		}
		return []string{"-tls", "-tlsCertFile=" + cert, "-tlsKeyFile=" + key, "-httpAuth.username=icewatch", "-httpAuth.password=geheim-2026"}
	}
}

// open makes backends on servers of their own for each folder.
func open(servers int, guard func(o *node.Options) []string) func(t testing.TB, dir string) lake.Backend {
	var mu sync.Mutex
	running := map[string][]node.Options{}
	return func(t testing.TB, dir string) lake.Backend {
		t.Helper()
		mu.Lock()
		list := running[dir]
		mu.Unlock()
		if list == nil {
			for range servers {
				var o node.Options
				var flags []string
				if guard != nil {
					flags = guard(&o)
				}
				o.URL = peers.StartVictoriaLogs(t, flags...).URL
				list = append(list, o)
			}
			mu.Lock()
			running[dir] = list
			mu.Unlock()
		}
		b, err := remote.Open(t.Context(), remote.Options{Nodes: list, Retention: 30 * 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}
