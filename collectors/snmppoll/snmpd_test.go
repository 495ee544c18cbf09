package snmppoll

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/metrics"
	"icewatch/test/peers"
)

// samples keeps what it is given. It implements metrics.Sink.
type samples struct {
	mu     sync.Mutex
	tenant string
	latest map[string]float64
}

func (s *samples) Append(_ context.Context, tenant string, series []metrics.Series) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == nil {
		s.latest = map[string]float64{}
	}
	s.tenant = tenant
	for i := range series {
		name, _, _ := strings.Cut(render(&series[i]), "} ")
		s.latest[name+"}"] = series[i].Samples[0].Value
	}
	return nil
}

func (s *samples) find(parts ...string) (found []float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, v := range s.latest {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(name, p) }) {
			found = append(found, v)
		}
	}
	return found
}

// wait waits until there is a series with all these parts and that value.
func (s *samples) wait(t *testing.T, value float64, parts ...string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !slices.Contains(s.find(parts...), value); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no series %q with %v, but %v", parts, value, s.find(parts...))
		}
	}
}

// snmpd runs Net-SNMP's agent.
func snmpd(t *testing.T, port string) *exec.Cmd {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "snmpd.conf")
	text := "agentaddress udp:127.0.0.1:" + port + "\nrocommunity public 127.0.0.1\ncreateUser monitor SHA-256 \"authentic phrase\" AES \"private phrase\"\nrouser monitor priv\nsysName core-1\nsysLocation here\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(peers.Program(t, "snmpd"), "-f", "-C", "-c", conf, "-Lf", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	x := &gosnmp.GoSNMP{Target: "127.0.0.1", Port: 0, Community: "public", Version: gosnmp.Version2c, Timeout: 200 * time.Millisecond, Transport: "udp"}
	fmt.Sscan(port, &x.Port)
	if err := x.Connect(); err != nil {
		t.Fatal(err)
	}
	defer x.Conn.Close()
	for end := time.Now().Add(30 * time.Second); ; {
		if _, err := x.Get([]string{"." + sysName}); err == nil {
			return cmd
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("snmpd does not answer: %s", log)
		}
	}
}

func poll(t *testing.T, sink *collecttest.Sink, to *samples, tune func(*Config)) collectors.Collector {
	t.Helper()
	cfg, _ := NewFactory().DefaultConfig().(*Config)
	cfg.Samples, cfg.Held, cfg.Community, cfg.Zone, cfg.Tenant = to, metrics.Limits{Retention: time.Hour}, "public", "dmz", "egov"
	cfg.IntervalSeconds, cfg.TimeoutSeconds, cfg.Retries, cfg.DownAfter = 1, 1, 0, 2
	tune(cfg)
	c, err := NewFactory().New(cfg, collectors.Deps{Sink: sink})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A real agent is asked in each version for all that the templates have.
func TestAgent(t *testing.T) {
	t.Parallel()
	port := peers.FreePort(t)
	snmpd(t, port)
	for version, tune := range map[string]func(*Config){
		"1":  func(c *Config) { c.Version = "1" },
		"2c": func(*Config) {},
		"3":  func(c *Config) { c.Version, c.User = "3", `monitor SHA-256 "authentic phrase" AES "private phrase"` },
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var sink collecttest.Sink
			var to samples
			poll(t, &sink, &to, func(c *Config) {
				c.Devices = []string{"127.0.0.1:" + port}
				c.Objects = []string{"if_mtu gauge 1.3.6.1.2.1.2.2.1.4 name=1.3.6.1.2.1.2.2.1.2", "if_number gauge .1.3.6.1.2.1.2.1.0", "in_octets counter 1.3.6.1.2.1.2.2.1.10"}
				tune(c)
			})
			to.wait(t, 1, "snmp_up{", `host="127.0.0.1"`, `zone="dmz"`)
			to.wait(t, 1, "snmp_device_info{", `name="core-1"`)
			to.wait(t, 1, "snmp_interface_up{", `interface="lo"`, `index="1"`)
			if to.tenant != "egov" {
				t.Errorf("the samples are of %q", to.tenant)
			}
			for _, metric := range []string{"snmp_uptime_seconds{", "snmp_look_duration_seconds{", `snmp_interface_in_bytes_total{`, "snmp_interface_out_errors_total{", `snmp_memory_bytes{host="127.0.0.1",zone="dmz",kind="total"`,
				`snmp_cpu_seconds_total{host="127.0.0.1",zone="dmz",mode="idle"`, `snmp_load{`, "snmp_storage_size_bytes{", "snmp_storage_used_bytes{", `if_mtu{host="127.0.0.1",zone="dmz",index="1",name="lo"`, "if_number{", "in_octets{"} {
				if v := to.find(metric); len(v) == 0 || metric[0] != 's' && slices.Max(v) <= 0 {
					t.Errorf("%s: %v", metric, v)
				}
			}
			if n := len(sink.Records()); n != 0 {
				t.Errorf("%d events of a device that answers: %q", n, sink.Texts())
			}
		})
	}
	t.Run("trial", func(t *testing.T) {
		t.Parallel()
		cfg, _ := NewFactory().DefaultConfig().(*Config)
		cfg.Devices, cfg.Community = []string{"127.0.0.1:" + port}, "public"
		trial, err := NewFactory().Try(t.Context(), cfg, collectors.Deps{})
		if err != nil || len(trial.Records) != collectors.MaxTrial || !strings.Contains(trial.Steps[0], `127.0.0.1 answers as "core-1"`) {
			t.Errorf("%+v, %v", trial, err)
		}
		cfg.Community, cfg.TimeoutSeconds, cfg.Retries = "guess", 1, 0
		if _, err := NewFactory().Try(t.Context(), cfg, collectors.Deps{}); err == nil || !strings.Contains(err.Error(), "no answer: it is down, not reached over UDP, or does not know the community") {
			t.Errorf("a wrong community: %v", err)
		}
		cfg.Version, cfg.User = "3", `monitor SHA-256 "authentic phrasE" AES "private phrase"`
		if _, err := NewFactory().Try(t.Context(), cfg, collectors.Deps{}); err == nil {
			t.Error("a wrong passphrase is no fault")
		}
	})
}

// When a device stops answering, and when it answers again, an event says so once.
func TestDeviceGoesDown(t *testing.T) {
	t.Parallel()
	port := peers.FreePort(t)
	agent := snmpd(t, port)
	var sink collecttest.Sink
	var to samples
	c := poll(t, &sink, &to, func(c *Config) { c.Devices, c.Templates = []string{"127.0.0.1:" + port}, []string{"system"} })
	to.wait(t, 1, "snmp_up{")
	_ = agent.Process.Kill()
	_ = agent.Wait()
	to.wait(t, 0, "snmp_up{")
	r := sink.Wait(t, 1)[0]
	if text := string(r.Data); !strings.Contains(text, `"action":"device-unreachable"`) || !strings.Contains(text, `"kind":"alert"`) || r.Tenant != "egov" || r.Peer.String() != "127.0.0.1" || r.ID == "" {
		t.Errorf("%s, %+v", text, r)
	}
	if h := c.Health(); h.State != collectors.StateError || !strings.Contains(h.Error, "1 of 1 devices cannot be read (127.0.0.1)") {
		t.Errorf("%+v", h)
	}
	snmpd(t, port)
	to.wait(t, 1, "snmp_up{")
	if text := string(sink.Wait(t, 2)[1].Data); !strings.Contains(text, `"action":"device-reachable"`) {
		t.Error(text)
	}
	if h := c.Health(); h.State != collectors.StateOK || len(sink.Records()) != 2 {
		t.Errorf("%+v, %d events", h, len(sink.Records()))
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	d := newDevice("a", "a:161", &Config{}, &checked{}, nil)
	var got []float64
	for _, v := range []uint32{4_294_967_000, 100, 200, 4_294_967_295, 0} {
		got = append(got, d.carry("x", v))
	}
	if want := []float64{4_294_967_000, 4_294_967_396, 4_294_967_496, 8_589_934_591, 8_589_934_592}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for want, tune := range map[string]func(*Config){
		"devices: none is given":                                      func(c *Config) { c.Devices = nil },
		`devices: "a b" is no name`:                                   func(c *Config) { c.Devices = []string{"a b"} },
		`devices: "a" is given twice`:                                 func(c *Config) { c.Devices = []string{"a", "a"} },
		"community: version 2c needs one":                             func(c *Config) { c.Community = "" },
		"user: version 3 needs one":                                   func(c *Config) { c.Version = "3" },
		"user: line 1: a passphrase has less":                         func(c *Config) { c.Version, c.User = "3", "a SHA b" },
		`version: "4" is none of`:                                     func(c *Config) { c.Version = "4" },
		`templates: "fans" is none of`:                                func(c *Config) { c.Templates = []string{"fans"} },
		`objects: "x": a name, gauge or counter`:                      func(c *Config) { c.Objects = []string{"x"} },
		`objects: "x gauge 1.x": 1.x is no object`:                    func(c *Config) { c.Objects = []string{"x gauge 1.x"} },
		`objects: "x sum 1.3.6": sum is neither`:                      func(c *Config) { c.Objects = []string{"x sum 1.3.6"} },
		`objects: "x gauge 1.3.6 host=1.3.6": host=1.3.6 is no label`: func(c *Config) { c.Objects = []string{"x gauge 1.3.6 host=1.3.6"} },
	} {
		cfg, _ := NewFactory().DefaultConfig().(*Config)
		cfg.ID, cfg.Devices, cfg.Community, cfg.Samples = "x", []string{"10.1.2.3", "fe80::1", "[fd00::1]:1161"}, "public", &samples{}
		tune(cfg)
		_, err := NewFactory().New(cfg, collectors.Deps{Sink: &collecttest.Sink{}})
		if err == nil || !strings.HasPrefix(err.Error(), "snmppoll: x: "+want) {
			t.Errorf("%s was expected: %v", want, err)
		}
	}
}

// Whatever an agent answers, the poller comes to an end.
func FuzzAgent(f *testing.F) {
	f.Add([]byte("\x30\x26\x02\x01\x01\x04\x06public\xa2\x19\x02\x04\x00\x00\x00\x01\x02\x01\x00\x02\x01\x00\x30\x0b\x30\x09\x06\x05\x2b\x06\x01\x02\x01\x05\x00"))
	f.Add([]byte("\x30\x00"))
	agent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { agent.Close() })
	var mu sync.Mutex
	var answer []byte
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := agent.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			out := slices.Clone(answer)
			mu.Unlock()
			if n > 20 && len(out) > 20 { // The same request id, so that it is read.
				for i := 0; i+6 < n; i++ {
					if buf[i] == 2 && buf[i+1] == 4 {
						if j := strings.Index(string(out), "\x02\x04"); j >= 0 && j+6 <= len(out) {
							copy(out[j:j+6], buf[i:i+6])
						}
						break
					}
				}
			}
			agent.WriteTo(out, from)
		}
	}()
	cfg := &Config{ID: "x", Version: "2c", Community: "public", Templates: []string{"system"}, TimeoutSeconds: 1}
	f.Fuzz(func(t *testing.T, data []byte) {
		mu.Lock()
		answer = slices.Clone(data)
		mu.Unlock()
		d := newDevice("a", agent.LocalAddr().String(), cfg, &checked{}, new(net.Dialer).DialContext)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		fig, _ := d.visit(ctx)
		for i := range fig.series {
			_ = render(&fig.series[i])
		}
	})
}
