//go:build linux

package scanner_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"icewatch/collectors/scanner/home"
	"icewatch/collectors/scanner/run"
	"icewatch/collectors/scanner/scannertest"
	"icewatch/collectors/scanner/templates"
	"icewatch/collectors/scanner/weak"
	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
)

// order is what a scanner in a process of its own is given.
type order struct {
	Run     wire.Run
	Dir     string
	Out     string
	Connect time.Duration
	Answer  time.Duration
}

const orderVariable = "ICEWATCH_TEST_SCANNER_ORDER"

// TestMain is the scanner itself where an order is given: the test's program runs
// once more, in the namespace of the scanner.
func TestMain(m *testing.M) {
	path := os.Getenv(orderVariable)
	if path == "" {
		code := m.Run()
		home.Remove()
		os.Exit(code)
	}
	if err := obey(path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	home.Remove()
	os.Exit(0)
}

func obey(path string) error {
	var o order
	data, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil {
		return err
	}
	out, err := os.OpenFile(o.Out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ledger, err := weak.OpenLedger(o.Dir)
	if err != nil {
		return err
	}
	j, err := run.New(run.Options{Dir: o.Dir, Sources: []templates.Source{templates.Shipped()}, Ledger: ledger, Log: slog.New(slog.DiscardHandler), Connect: o.Connect, Answer: o.Answer,
		Emit: func(_ context.Context, results []wire.Result) error {
			var b bytes.Buffer
			for i := range results {
				b.Write(wire.Encode(&results[i]))
				b.WriteByte('\n')
			}
			_, err := out.Write(b.Bytes())
			return err
		}}, o.Run)
	if err != nil {
		return err
	}
	return j.Do(context.Background())
}

// city is a network of two namespaces: the scanner's and that of the hosts.
type city struct {
	t             testing.TB
	scanner, host string
	dir           string
	inside        func(func()) // runs a function in the hosts' namespace
}

func newCity(t testing.TB) *city {
	t.Helper()
	if os.Getuid() != 0 {
		peers.Missing(t, "network namespaces need root")
	}
	ip := peers.Program(t, "ip")
	dir, err := os.MkdirTemp("", "icewatch-city-") // t.TempDir is for root alone.
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	id := strconv.Itoa(os.Getpid() % 100000)
	c := &city{t: t, scanner: "iws" + id, host: "iwc" + id, dir: dir}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, ns := range []string{c.scanner, c.host} {
		c.must(ip, "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command(ip, "netns", "del", ns).Run() })
		c.must(ip, "-n", ns, "link", "set", "lo", "up")
	}
	c.must(ip, "-n", c.scanner, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", c.host)
	for _, ns := range []string{c.scanner, c.host} {
		c.must(ip, "-n", ns, "link", "set", "eth0", "up")
	}
	c.must(ip, "-n", c.scanner, "addr", "add", "10.77.0.254/24", "dev", "eth0")
	// Whatever leaves the scanner's network comes by the hosts' end, where it is counted.
	c.must(ip, "-n", c.scanner, "route", "add", "default", "via", "10.77.0.1")
	c.must(ip, "-n", c.host, "addr", "add", "10.77.0.1/24", "dev", "eth0")
	c.inside = newInside(t, c.host)
	return c
}

// newInside gives a thread that lives in a namespace, and runs what it is given.
func newInside(t testing.TB, namespace string) func(func()) {
	t.Helper()
	thread, ready := make(chan func()), make(chan error)
	go func() {
		runtime.LockOSThread() // Never unlocked: the thread ends with the function.
		f, err := os.Open("/var/run/netns/" + namespace)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
		}
		ready <- err
		for f := range thread {
			f()
		}
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(thread) })
	return func(f func()) {
		done := make(chan struct{})
		thread <- func() { defer close(done); f() }
		<-done
	}
}

func (c *city) must(name string, args ...string) string {
	c.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func (c *city) address(a string) {
	c.must("ip", "-n", c.host, "addr", "add", a+"/32", "dev", "eth0")
}

func (c *city) file(name, text string) string {
	path := filepath.Join(c.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// serve starts a program among the hosts, and waits until an address of it answers.
func (c *city) serve(address string, args ...string) (stop func()) {
	c.t.Helper()
	cmd := exec.Command("ip", append([]string{"netns", "exec", c.host}, args...)...)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	stop = func() {
		_ = cmd.Process.Signal(unix.SIGTERM)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
		}
	}
	c.t.Cleanup(stop)
	c.await(address, func() string {
		select {
		case <-exited:
			return log.String()
		default:
			return ""
		}
	})
	return stop
}

func (c *city) await(address string, dead func() string) {
	c.t.Helper()
	for range 300 {
		var err error
		c.inside(func() {
			var conn net.Conn
			if conn, err = net.DialTimeout("tcp", address, time.Second); err == nil {
				_ = conn.Close()
			}
		})
		if err == nil {
			return
		}
		if what := dead(); what != "" {
			c.t.Fatalf("%s ended: %s", address, what)
		}
		time.Sleep(30 * time.Millisecond)
	}
	c.t.Fatalf("%s does not answer", address)
}

// touched counts what comes from the scanner, by address: packets of IP, and
// requests of ARP for an address.
type touched struct {
	fd    int
	stop  chan struct{}
	end   chan struct{}
	by    map[netip.Addr]int
	first map[netip.Addr]string // packet to each, in hex
}

func (c *city) count() *touched {
	w := &touched{stop: make(chan struct{}), end: make(chan struct{}), by: map[netip.Addr]int{}, first: map[netip.Addr]string{}}
	var err error
	c.inside(func() {
		// Nothing is received before it is bound: else what passes on other interfaces meanwhile counts.
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err == nil {
			_ = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
			_ = unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
			var i *net.Interface
			if i, err = net.InterfaceByName("eth0"); err == nil {
				err = unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: i.Index})
			}
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(w.end)
		buf := make([]byte, 2048)
		idle := false
		for {
			n, from, err := unix.Recvfrom(w.fd, buf, 0)
			if err != nil {
				if idle {
					return
				}
				select {
				case <-w.stop:
					idle = true
				default:
				}
				continue
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING || n < 42 {
				continue
			}
			var to netip.Addr
			switch kind := uint16(buf[12])<<8 | uint16(buf[13]); {
			case kind == unix.ETH_P_IP:
				to = netip.AddrFrom4([4]byte(buf[30:34]))
			case kind == unix.ETH_P_ARP && buf[21] == 1:
				to = netip.AddrFrom4([4]byte(buf[38:42]))
			case kind == unix.ETH_P_IPV6 && n >= 54:
				to = netip.AddrFrom16([16]byte(buf[38:54]))
			default:
				continue
			}
			if w.by[to]++; w.by[to] == 1 {
				w.first[to] = fmt.Sprintf("% x", buf[:min(n, 74)])
			}
		}
	}()
	return w
}

func htons(n uint16) uint16 { return n<<8 | n>>8 }

// scan runs the scanner in its namespace and returns what it found.
func (c *city) scan(name string, r wire.Run) []wire.Result {
	c.t.Helper()
	o := order{Run: r, Dir: filepath.Join(c.dir, "scanner"), Out: filepath.Join(c.dir, name+".jsonl"), Connect: 700 * time.Millisecond, Answer: time.Second}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	path := c.file(name+".json", string(wire.Encode(o)))
	cmd := exec.Command("ip", "netns", "exec", c.scanner, os.Args[0])
	cmd.Env = append(os.Environ(), orderVariable+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("the scanner: %v\n%s", err, out)
	}
	return readResults(c.t, o.Out)
}

func readResults(t testing.TB, path string) (out []wire.Result) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, wire.MaxResult)
	for lines.Scan() {
		var r wire.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		if err := r.Check(); err != nil {
			t.Errorf("a result breaks the contract: %v: %s", err, lines.Text())
		}
		out = append(out, r)
	}
	return out
}

// certificate is one of an authority, for a time.
func certificate(t testing.TB, from, to time.Time) (cert, key string) {
	t.Helper()
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "City CA"}, NotBefore: from, NotAfter: to.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "portal.city.example"}, DNSNames: []string{"portal.city.example"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, &own.PublicKey, ca)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}))
}

func (c *city) nginx(address string, hardened bool) (stop func()) {
	c.t.Helper()
	program := peers.Program(c.t, "nginx")
	name := "nginx-" + address
	c.file(name+"/www/report.txt", "figures\n")
	c.file(name+"/tls/index.html", "<title>Portal</title>\n")
	from, to, listing := time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour), "on"
	if hardened {
		to, listing = time.Now().Add(90*24*time.Hour), "off"
		c.file(name+"/www/index.html", "<title>Portal</title>\n")
	}
	cert, key := certificate(c.t, from, to)
	dir := filepath.Join(c.dir, name)
	conf := c.file(name+"/nginx.conf", fmt.Sprintf(`daemon off; worker_processes 1; user root; pid %[1]s/pid; error_log stderr warn;
events {}
http { access_log off; server_tokens off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
server { listen %[2]s:80; root %[1]s/www; autoindex %[3]s; }
server { listen %[2]s:443 ssl; root %[1]s/tls; ssl_certificate %[4]s; ssl_certificate_key %[5]s; ssl_protocols TLSv1.2 TLSv1.3; } }
`, dir, address, listing, c.file(name+"/cert.pem", cert), c.file(name+"/key.pem", key)))
	return c.serve(address+":443", program, "-c", conf, "-p", dir)
}

func (c *city) redis(address string, settings ...string) (stop func()) {
	c.t.Helper()
	return c.serve(address+":6379", append([]string{peers.Program(c.t, "redis-server"), "--bind", address, "--port", "6379", "--save", "", "--dir", c.dir, "--loglevel", "warning"}, settings...)...)
}

func (c *city) vsftpd(address string, anonymous bool) (stop func()) {
	c.t.Helper()
	name := "vsftpd-" + address
	c.file(name+"/files/readme.txt", "hello\n")
	c.file(name+"/empty/.keep", "")
	yes := map[bool]string{true: "YES", false: "NO"}
	conf := c.file(name+"/vsftpd.conf", strings.Join([]string{"listen=YES", "listen_address=" + address, "background=NO", "seccomp_sandbox=NO", "anonymous_enable=" + yes[anonymous], "local_enable=" + yes[!anonymous],
		"anon_root=" + filepath.Join(c.dir, name, "files"), "no_anon_password=NO", "xferlog_enable=NO", "secure_chroot_dir=" + filepath.Join(c.dir, name, "empty"), "pam_service_name=vsftpd", ""}, "\n"))
	return c.serve(address+":21", peers.Program(c.t, "vsftpd"), conf)
}

// postgres is a server whose user postgres has a password.
type postgres struct {
	c    *city
	as   []string
	bin  string
	data string
}

func (c *city) postgres(address, password string) *postgres {
	c.t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is a good one
	if len(bins) == 0 {
		peers.Missing(c.t, "postgresql is not installed")
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		peers.Missing(c.t, "there is no user postgres, whom the package postgresql makes")
	}
	uid, _ := strconv.Atoi(u.Uid)
	dir := filepath.Join(c.dir, "postgres-"+address)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		c.t.Fatal(err)
	}
	p := &postgres{c: c, as: []string{peers.Program(c.t, "setpriv"), "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups", "--"}, bin: bins[len(bins)-1], data: filepath.Join(dir, "data")}
	secret := c.file("postgres-"+address+".password", password)
	c.must(p.as[0], append(p.as[1:], p.bin+"/initdb", "--pgdata="+p.data, "--username=postgres", "--pwfile="+secret, "--auth-local=trust", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--no-sync")...)
	hba, err := os.OpenFile(p.data+"/pg_hba.conf", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = hba.WriteString("host all all 10.77.0.0/24 scram-sha-256\n")
	if err != nil || hba.Close() != nil {
		c.t.Fatal(err)
	}
	c.serve(address+":5432", append(p.as, p.bin+"/postgres", "-D", p.data, "-h", address, "-k", dir, "-c", "fsync=off", "-c", "logging_collector=on", "-c", "log_directory="+dir, "-c", "log_filename=server.log")...)
	return p
}

func (p *postgres) password(to string) {
	p.c.must(p.as[0], append(p.as[1:], p.bin+"/psql", "-h", filepath.Dir(p.data), "-U", "postgres", "-qc", "ALTER USER postgres PASSWORD '"+to+"'")...)
}

// refused counts passwords that the server itself refused, by account.
func (p *postgres) refused() map[string]int {
	data, err := os.ReadFile(filepath.Dir(p.data) + "/server.log")
	if err != nil {
		p.c.t.Fatal(err)
	}
	out := map[string]int{}
	for line := range strings.Lines(string(data)) {
		if _, after, ok := strings.Cut(line, `password authentication failed for user "`); ok {
			name, _, _ := strings.Cut(after, `"`)
			out[name]++
		}
	}
	return out
}

func (c *city) shop(address string, hardened func() bool) {
	c.t.Helper()
	var l net.Listener
	var err error
	c.inside(func() { l, err = net.Listen("tcp", address+":8080") })
	if err != nil {
		c.t.Fatal(err)
	}
	shop := scannertest.Shop(c.t, hardened)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			// What leads out of the approved ranges: a link, a frame and a redirect.
			fmt.Fprint(w, `<html><a href="http://10.78.0.1/">away</a><iframe src="http://10.77.0.30/"></iframe><a href="/away">away</a>`)
			shop.ServeHTTP(w, r)
		case "/away":
			http.Redirect(w, r, "http://10.77.0.30/", http.StatusFound)
		default:
			shop.ServeHTTP(w, r)
		}
	})}
	go func() { _ = server.Serve(l) }()
	c.t.Cleanup(func() { _ = server.Close() })
}

// TestNamespaces scans a network of real services with planted weaknesses and
// their hardened twins, counts what is touched, repairs all of it and looks again.
// With ICEWATCH_SCANNER_WHOLE it has PostgreSQL and vsftpd, too.
func TestNamespaces(t *testing.T) {
	c := newCity(t)
	whole := os.Getenv("ICEWATCH_SCANNER_WHOLE") != ""
	for _, n := range []int{10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 30} {
		c.address("10.77.0." + strconv.Itoa(n))
	}
	var repaired atomic.Bool
	nginx := c.nginx("10.77.0.10", false)
	c.nginx("10.77.0.20", true)
	c.redis("10.77.0.11", "--protected-mode", "no")
	c.redis("10.77.0.21", "--requirepass", "d0-not-guess-this-one-7f3a")
	c.shop("10.77.0.14", repaired.Load)
	c.shop("10.77.0.24", func() bool { return true })
	c.redis("10.77.0.30", "--protected-mode", "no") // Excluded: whatever it has, nobody looks.
	planted := map[string][]string{"10.77.0.10": {"directory-listing", "tls-certificate-expired"}, "10.77.0.11": {"redis-no-password"}, "10.77.0.14": {"web-reflected-xss", "web-sql-injection"}}
	services := map[string][]int{"10.77.0.10": {80, 443}, "10.77.0.20": {80, 443}, "10.77.0.11": {6379}, "10.77.0.21": {6379}, "10.77.0.14": {8080}, "10.77.0.24": {8080}}
	var ftp func()
	var loose, tight *postgres
	if whole {
		ftp = c.vsftpd("10.77.0.13", true)
		c.vsftpd("10.77.0.23", false)
		loose, tight = c.postgres("10.77.0.12", "postgres"), c.postgres("10.77.0.22", "d0-not-guess-this-one-7f3a")
		planted["10.77.0.12"], planted["10.77.0.13"] = []string{"weak-password-postgresql"}, []string{"ftp-anonymous"}
		for _, a := range []string{"10.77.0.12", "10.77.0.22"} {
			services[a] = []int{5432}
		}
		for _, a := range []string{"10.77.0.13", "10.77.0.23"} {
			services[a] = []int{21}
		}
	}
	scopeOf := wire.Scope{Ranges: []string{"10.77.0.8/29", "10.77.0.16/28"}, Exclusions: []string{"10.77.0.30"}}
	rate := wire.Rate{Packets: 2000, PerHost: 1000, Hosts: 32}
	counter := c.count()
	results := c.scan("first", wire.Run{ID: "FIRST", Kind: wire.KindCheck, Scope: scopeOf, Targets: []string{"10.77.0.8/29", "10.77.0.16/28", "10.78.0.0/30"},
		Ports: wire.Ports{TCP: []string{"21", "80", "443", "5432", "6379", "8080"}}, Rate: rate})

	got, seen := map[string][]string{}, map[string][]int{}
	attempts := map[string]int{}
	refused, ended := 0, wire.End{}
	for _, r := range results {
		switch r.Kind {
		case wire.KindWeakness:
			if w := r.Weakness; !slices.Contains(got[w.Address], w.Check) {
				got[w.Address] = append(got[w.Address], w.Check)
			}
		case wire.KindService:
			seen[r.Service.Address] = append(seen[r.Service.Address], r.Service.Port)
		case wire.KindAttempts:
			if attempts[r.Attempts.Address+" "+r.Attempts.Account] += r.Attempts.Count; r.Attempts.Count > wire.DefaultAttempts {
				t.Errorf("an account could have been locked: %+v", r.Attempts)
			}
		case wire.KindRefused:
			refused++
		case wire.KindEnd:
			ended = *r.End
		case wire.KindNote:
			t.Logf("note: %+v", r.Note)
		}
	}
	for a := range got {
		slices.Sort(got[a])
	}
	if fmt.Sprint(got) != fmt.Sprint(planted) {
		t.Errorf("weaknesses:\n%v, want\n%v", got, planted)
	}
	for a := range seen {
		slices.Sort(seen[a])
	}
	if fmt.Sprint(seen) != fmt.Sprint(services) {
		t.Errorf("services:\n%v, want\n%v", seen, services)
	}
	if refused == 0 || ended.State != wire.EndDone || ended.Progress.HostsDone != 23 || ended.Progress.HostsTotal != 23 {
		t.Errorf("%d refusals told, end %+v", refused, ended)
	}
	if whole {
		for account, n := range tight.refused() {
			if n > wire.DefaultAttempts || n != attempts["10.77.0.22 "+account] {
				t.Errorf("PostgreSQL refused %d passwords of %s, the scanner tells of %d", n, account, attempts["10.77.0.22 "+account])
			}
		}
		if len(tight.refused()) == 0 {
			t.Error("no password was tried at the twin")
		}
	}

	// Repaired, each finding is looked at again by its own check.
	repaired.Store(true)
	nginx()
	c.nginx("10.77.0.10", true)
	c.must("ip", "netns", "exec", c.host, peers.Program(t, "redis-cli"), "-h", "10.77.0.11", "config", "set", "requirepass", "d0-not-guess-this-one-7f3a")
	if whole {
		ftp()
		c.vsftpd("10.77.0.13", false)
		loose.password("d0-not-guess-this-one-7f3a")
	}
	again := wire.Run{ID: "AGAIN", Kind: wire.KindRetest, Scope: scopeOf, Rate: rate, Lockout: wire.Lockout{Attempts: 5}}
	for _, r := range results {
		if w := r.Weakness; w != nil {
			again.Retest = append(again.Retest, wire.Retest{Finding: strconv.FormatUint(r.Seq, 10), Check: w.Check, Target: w.Address, Port: w.Port, Path: w.Path})
		}
	}
	again.Retest = append(again.Retest, wire.Retest{Finding: "excluded", Check: "redis-no-password", Target: "10.77.0.30", Port: 6379})
	absent := 0
	for _, r := range c.scan("again", again) {
		switch r.Kind {
		case wire.KindAbsent:
			absent++
			if r.Absent.Finding == "excluded" {
				t.Error("a finding of an excluded host is called absent")
			}
		case wire.KindWeakness:
			t.Errorf("found again after its repair: %+v", r.Weakness)
		case wire.KindNote:
			if r.Note.Target != "10.77.0.30" {
				t.Errorf("note: %+v", r.Note)
			}
		}
	}
	if absent != len(again.Retest)-1 {
		t.Errorf("%d of %d repaired findings are called absent", absent, len(again.Retest)-1)
	}
	close(counter.stop)
	<-counter.end
	_ = unix.Close(counter.fd)
	allowed := func(a netip.Addr) bool {
		n := int(a.As16()[15])
		return a.Is4() && netip.MustParsePrefix("10.77.0.0/24").Contains(a) && n >= 8 && n <= 31 && n != 30
	}
	packets := 0
	for a, n := range counter.by {
		packets += n
		// IPv6's own words of a link, which the kernel says by itself, are not the scanner's; the gateway is asked for where somebody leaves.
		if !allowed(a) && !(a.Is6() && (a.IsLinkLocalMulticast() || a.IsLinkLocalUnicast())) {
			t.Errorf("%d packets to %s, which nobody approved; the first was %s", n, a, counter.first[a])
		}
	}
	if packets < 500 {
		t.Errorf("the counter saw %d packets", packets)
	}
	t.Logf("%d packets to %d addresses, none outside", packets, len(counter.by))
}
