package inventory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/fleet/wire"
)

// TestThisHost takes the inventory of the host that runs the test.
func TestThisHost(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	v := Take(t.Context(), nil)
	f := v.Facts
	if f.Hostname == "" || f.OS == "" || f.Platform == "" || f.Kernel == "" || f.Cores < 1 || f.Memory == 0 || f.Booted == 0 {
		t.Errorf("%+v", f)
	}
	if again := Facts(t.Context()); again.Machine != f.Machine {
		t.Error("the machine's id changes")
	}
	me := slices.IndexFunc(v.Processes, func(p wire.Process) bool { return p.PID == os.Getpid() })
	if me < 0 || v.Processes[me].Memory == 0 || !strings.Contains(v.Processes[me].Command, "test") {
		t.Errorf("this process is not among %d: %d", len(v.Processes), me)
	}
	port := l.Addr().(*net.TCPAddr).Port
	at := slices.IndexFunc(v.Ports, func(p wire.Port) bool { return p.Port == port && p.Protocol == "tcp" })
	if at < 0 || v.Ports[at].PID != os.Getpid() || v.Ports[at].Address != "127.0.0.1" {
		t.Errorf("port %d: %d of %d", port, at, len(v.Ports))
	}
	if len(v.Interfaces) == 0 {
		t.Error("no interfaces")
	}
	for _, e := range v.Errors {
		t.Logf("%s: %s", e.Part, e.Text)
	}
	if v := Take(t.Context(), []string{"packages", "processes", "ports", "users", "certificates", "containers", "services"}); len(v.Packages)+len(v.Processes)+len(v.Ports)+len(v.Users) > 0 {
		t.Error("what is to be skipped was read")
	}
}

func TestDatabases(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := packages(t.Context(), root); err != errAbsent {
		t.Fatal(err)
	}
	put("var/lib/dpkg/status", "Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.1-1\nSource: ossl (3.0.1-0)\nDescription: x\n Package: no\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: zlib\nStatus: install ok installed\nVersion: 1.2\n")
	put("lib/apk/db/installed", "P:musl-utils\nV:1.2.5\nA:x86_64\no:musl\n\nP:busybox\nV:1\n")
	got, err := packages(t.Context(), root)
	want := []wire.Installed{{Name: "openssl", Version: "3.0.1-1", Arch: "amd64", Source: "dpkg", SourcePackage: "ossl", SourceVersion: "3.0.1-0"}, {Name: "zlib", Version: "1.2", Source: "dpkg"}, {Name: "musl-utils", Version: "1.2.5", Arch: "x86_64", Source: "apk", SourcePackage: "musl"}, {Name: "busybox", Version: "1", Source: "apk"}}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %+v", err, got)
	}
	if r := rpm([]byte("bash-doc\t0:5.1-2.el9\tx86_64\tbash-5.1-2.el9.src.rpm\ngpg-pubkey\t1-2\t(none)\t(none)\nbroken\n")); len(r) != 1 || r[0] != (wire.Installed{Name: "bash-doc", Version: "5.1-2.el9", Arch: "x86_64", Source: "rpm", SourcePackage: "bash"}) {
		t.Fatalf("%+v", r)
	}
	put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/var/www:/usr/sbin/nologin\nbroken\n")
	put("etc/group", "sudo:x:27:root,other\nadm:x:4:root\n")
	u, err := users(root)
	if err != nil || len(u) != 2 || !u[0].Login || u[1].Login || strings.Join(u[0].Groups, ",") != "sudo,adm" {
		t.Fatalf("%v %+v", err, u)
	}
	s := mergeUnits([]byte("nginx.service enabled enabled\nold.service disabled enabled\n"), []byte("nginx.service loaded active running A server\n● bad.service loaded failed failed x y\ngone.service not-found inactive dead\n"))
	if len(s) != 2 || s[0] != (wire.Service{Name: "nginx.service", State: "active", Start: "enabled"}) || s[1].Name != "bad.service" || s[1].State != "failed" {
		t.Fatalf("%+v", s)
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c := &x509.Certificate{SerialNumber: big.NewInt(0x1234), Subject: pkix.Name{CommonName: "www.example.gov.cn"}, NotBefore: time.Now(), NotAfter: time.Unix(2_000_000_000, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{"a.pem": append([]byte("# mine\n"), text...), "b.cer": der, "c.crt": []byte("no certificate"), "d.key": text} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := certificates(t.Context(), []string{dir, "/nonexistent"})
	if err != nil || len(got) != 2 || got[0].Serial != "1234" || got[0].NotAfter != 2_000_000_000 || !strings.Contains(got[0].Subject, "www.example.gov.cn") {
		t.Fatalf("%v %+v", err, got)
	}
}

func TestSecretsOfCommandsAreHidden(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"app --password geheim -v":                        "app --password *** -v",
		"app --db-password=geheim x":                      "app --db-password=*** x",
		"app -Dspring.datasource.password=geheim":         "app -Dspring.datasource.password=***",
		"mysql -uroot -pgeheim db":                        "mysql -uroot -p*** db",
		"redis-cli -a geheim ping":                        "redis-cli -a *** ping",
		"curl http://u:geheim@h/p":                        "curl http://u:***@h/p",
		"env API_KEY=geheim run":                          "env API_KEY=*** run",
		"app --no-auth --port 80":                         "app --no-auth --port 80",
		"/usr/sbin/passwd-server --listen 127.0.0.1:8080": "/usr/sbin/passwd-server --listen 127.0.0.1:8080",
	} {
		if got := Command(strings.Fields(in)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func FuzzDatabases(f *testing.F) {
	f.Add("Package: a\nStatus: install ok installed\nVersion: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(string) ([]wire.Installed, error){
			func(s string) ([]wire.Installed, error) { return dpkg(strings.NewReader(s)) },
			func(s string) ([]wire.Installed, error) { return apk(strings.NewReader(s)) },
			func(s string) ([]wire.Installed, error) { return rpm([]byte(s)), nil },
		} {
			list, _ := read(text)
			for _, p := range list {
				if p.Name == "" && p.Source != "rpm" {
					t.Fatalf("%+v", p)
				}
			}
		}
		_ = mergeUnits([]byte(text), []byte(text))
	})
}
