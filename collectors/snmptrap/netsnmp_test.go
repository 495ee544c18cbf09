package snmptrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/places"
	"icewatch/soc/intake"
	"icewatch/test/peers"
)

const users = `plain
md5 MD5 authentic-1
sha SHA authentic-2 DES "private  one"
sha256 SHA-256 authentic-3 AES private-two
sha512 SHA-512 authentic-4 AES-256 private-three
createUser sha384 SHA-384 authentic-5 AES private-four
sha224 SHA-224 authentic-6 AES private-five`

type bench struct {
	*testing.T
	sink *collecttest.Sink
	dir  string
	l    *Listener
}

func newBench(t *testing.T, tune func(*Config)) *bench {
	b := &bench{T: t, sink: &collecttest.Sink{}, dir: t.TempDir()}
	b.start(tune)
	return b
}

func (b *bench) start(tune func(*Config)) {
	b.Helper()
	cfg, _ := NewFactory().DefaultConfig().(*Config)
	cfg.Listen, cfg.Zone, cfg.Communities, cfg.Users = "127.0.0.1:0", "dmz", "public, s3cret", users
	if tune != nil {
		tune(cfg)
	}
	c, err := NewFactory().New(cfg, collectors.Deps{Sink: b.sink, Places: places.Dir(b.dir), Metrics: metrics.NewSet(), Log: slog.New(slog.NewTextHandler(b.Output(), nil))})
	if err != nil {
		b.Fatal(err)
	}
	l, ok := c.(*Listener)
	if !ok {
		b.Fatalf("%T", c)
	}
	if err := l.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.l = l
	b.Cleanup(func() { _ = l.Stop(b.Context()) })
}

// run runs a tool of Net-SNMP against the listener.
func (b *bench) run(tool string, options []string, objects ...string) error {
	b.Helper()
	args := append(slices.Clone(options), "-r", "1", "-t", "1", b.l.Addr().String())
	cmd := exec.Command(peers.Program(b, tool), append(args, objects...)...)
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+b.TempDir(), "SNMPCONFPATH="+b.TempDir(), "MIBS=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (b *bench) refused(n uint64) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); b.l.Health().Rejected < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%d messages were refused, %d were expected", b.l.Health().Rejected, n)
		}
	}
}

// got is a record as its reader sees it.
func got(t *testing.T, r intake.Record) (x record) {
	t.Helper()
	if r.Format != intake.JSON || r.Zone != "dmz" || r.Collector != "snmp-traps" || r.Peer.String() != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
	if err := json.Unmarshal(r.Data, &x); err != nil {
		t.Fatal(err)
	}
	return x
}

func linkDown(number int) []string {
	return []string{"4200", "1.3.6.1.6.3.1.1.5.3", "1.3.6.1.2.1.2.2.1.1." + fmt.Sprint(number), "i", fmt.Sprint(number),
		"1.3.6.1.2.1.2.2.1.8." + fmt.Sprint(number), "i", "2", "1.3.6.1.2.1.31.1.1.1.1." + fmt.Sprint(number), "s", "GigabitEthernet0/1"}
}

func TestTrapVersion1(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if err := b.run("snmptrap", []string{"-v", "1", "-c", "public"}, "1.3.6.1.4.1.99999", "192.0.2.9", "2", "0", "123", "1.3.6.1.2.1.2.2.1.1.7", "i", "7"); err != nil {
		t.Fatal(err)
	}
	if err := b.run("snmptrap", []string{"-v", "1", "-c", "s3cret"}, "1.3.6.1.4.1.99999", "0.0.0.0", "6", "42", "123", "1.3.6.1.4.1.99999.1", "x", "00ff10"); err != nil {
		t.Fatal(err)
	}
	recs := b.sink.Wait(t, 2)
	x, y := got(t, recs[0]), got(t, recs[1])
	if x.SNMP.TrapName != "linkDown" || x.Event.Code != "1.3.6.1.6.3.1.1.5.3" || x.SNMP.AgentAddress != "192.0.2.9" || x.SNMP.Version != "1" || x.SNMP.Uptime != 1.23 ||
		x.Observer.Ingress.Interface.ID != "7" || x.Host.IP != "127.0.0.1" || x.Message != "linkDown: ifIndex.7 = 7" || *x.SNMP.Generic != 2 {
		t.Errorf("%s", recs[0].Data)
	}
	if y.SNMP.TrapOID != "1.3.6.1.4.1.99999.0.42" || y.SNMP.AgentAddress != "" || !slices.Equal(y.SNMP.Varbinds, []string{"1.3.6.1.4.1.99999.1 = 00 FF 10"}) {
		t.Errorf("%s", recs[1].Data)
	}
	if strings.Contains(string(recs[1].Data), "s3cret") {
		t.Error("the community is in the record")
	}
}

func TestVersion2c(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	if err := b.run("snmptrap", []string{"-v", "2c", "-c", "public"}, linkDown(3)...); err != nil {
		t.Fatal(err)
	}
	x := got(t, b.sink.Wait(t, 1)[0])
	if x.Event.Action != "linkDown" || x.SNMP.PDU != "trap" || x.SNMP.Uptime != 42 || x.Observer.Ingress.Interface != (networkInterface{ID: "3", Name: "GigabitEthernet0/1"}) ||
		x.Message != "linkDown: ifIndex.3 = 3, ifOperStatus.3 = down(2), ifName.3 = GigabitEthernet0/1" || x.Log.Level != "warning" || x.SNMP.Vars["ifOperStatus"][0] != "down(2)" {
		t.Errorf("%+v", x)
	}
	if err := b.run("snmpinform", []string{"-v", "2c", "-c", "public"}, linkDown(4)...); err != nil {
		t.Fatal(err)
	}
	r := b.sink.Wait(t, 2)[1]
	if x := got(t, r); x.SNMP.PDU != "inform" || r.ID == "" {
		t.Errorf("%+v, id %q", x, r.ID)
	}
	if err := b.run("snmptrap", []string{"-v", "2c", "-c", "Public"}, linkDown(5)...); err != nil {
		t.Fatal(err)
	}
	b.refused(1)
	if err := b.run("snmpinform", []string{"-v", "2c", "-c", "guess"}, linkDown(5)...); err == nil {
		t.Error("an inform of another community was answered")
	}
	if n := len(b.sink.Records()); n != 2 {
		t.Errorf("%d records", n)
	}
}

// An inform is answered when it is on the disk, and not before; what is sent
// again until then has the id it had.
func TestInformWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.sink.Refuse(intake.ErrFull)
	if err := b.run("snmpinform", []string{"-v", "2c", "-c", "public"}, linkDown(4)...); err == nil {
		t.Fatal("an inform was answered that is not stored")
	}
	b.refused(2)
	b.sink.Refuse(nil)
	b.sink.Delay(1200 * time.Millisecond) // longer than the sender waits
	if err := b.run("snmpinform", []string{"-v", "2c", "-c", "public"}, linkDown(4)...); err != nil {
		t.Fatal(err)
	}
	r := b.sink.Wait(t, 2)
	if r[0].ID != r[1].ID || r[0].ID == "" {
		t.Errorf("sent again, its id %q became %q", r[0].ID, r[1].ID)
	}
}

func TestVersion3(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	n := 0
	for _, u := range [][]string{
		{"-l", "noAuthNoPriv", "-u", "plain"},
		{"-l", "authNoPriv", "-u", "md5", "-a", "MD5", "-A", "authentic-1"},
		{"-l", "authPriv", "-u", "sha", "-a", "SHA", "-A", "authentic-2", "-x", "DES", "-X", "private  one"},
		{"-l", "authPriv", "-u", "sha256", "-a", "SHA-256", "-A", "authentic-3", "-x", "AES", "-X", "private-two"},
		{"-l", "authPriv", "-u", "sha384", "-a", "SHA-384", "-A", "authentic-5", "-x", "AES", "-X", "private-four"},
		{"-l", "authPriv", "-u", "sha224", "-a", "SHA-224", "-A", "authentic-6", "-x", "AES", "-X", "private-five"},
	} {
		for _, tool := range []string{"snmptrap", "snmpinform"} {
			options := append([]string{"-v", "3"}, u...)
			if tool == "snmptrap" {
				options = append(options, "-e", "0x8000000001020304")
			}
			if err := b.run(tool, options, linkDown(n)...); err != nil {
				t.Errorf("%s of %s: %v", tool, u[3], err)
				continue
			}
			n++
			x := got(t, b.sink.Wait(t, n)[n-1])
			engine := "8000000001020304"
			if tool == "snmpinform" {
				engine = fmt.Sprintf("%x", b.l.engine.id)
			}
			if x.SNMP.User != u[3] || x.SNMP.Level != u[1] || x.SNMP.PDU != strings.TrimPrefix(tool, "snmp") || x.SNMP.EngineID != engine || x.Observer.Ingress.Interface.Name != "GigabitEthernet0/1" {
				t.Errorf("%s of %s: %+v", tool, u[3], x)
			}
		}
	}
	if r := b.l.Health().Rejected; r != 0 {
		t.Errorf("%d messages were refused", r)
	}
}

func TestVersion3Refuses(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Communities = "" })
	for i, u := range [][]string{
		{"-v", "2c", "-c", "public"},
		{"-v", "3", "-e", "0x8000000001020304", "-l", "authPriv", "-u", "stranger", "-a", "SHA-256", "-A", "authentic-3", "-x", "AES", "-X", "private-two"},
		{"-v", "3", "-e", "0x8000000001020304", "-l", "authPriv", "-u", "sha256", "-a", "SHA-256", "-A", "authentic-x", "-x", "AES", "-X", "private-two"},
		{"-v", "3", "-e", "0x8000000001020304", "-l", "authPriv", "-u", "sha256", "-a", "SHA-256", "-A", "authentic-3", "-x", "AES", "-X", "private-xxx"},
		// Less than the user is set up for: or anybody could speak in his name.
		{"-v", "3", "-e", "0x8000000001020304", "-l", "authNoPriv", "-u", "sha256", "-a", "SHA-256", "-A", "authentic-3"},
		{"-v", "3", "-e", "0x8000000001020304", "-l", "noAuthNoPriv", "-u", "sha256"},
	} {
		if err := b.run("snmptrap", u, linkDown(1)...); err != nil {
			t.Fatal(err)
		}
		b.refused(uint64(i + 1))
	}
	for want, u := range map[string][]string{
		"Unknown user name":          {"-l", "authPriv", "-u", "stranger", "-a", "SHA-256", "-A", "authentic-3", "-x", "AES", "-X", "private-two"},
		"Authentication failure":     {"-l", "authPriv", "-u", "sha256", "-a", "SHA-256", "-A", "authentic-x", "-x", "AES", "-X", "private-two"},
		"Unsupported security level": {"-l", "noAuthNoPriv", "-u", "sha256"},
	} {
		if err := b.run("snmpinform", append([]string{"-v", "3"}, u...), linkDown(1)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s was expected, not %v", want, err)
		}
	}
	if n := len(b.sink.Records()); n != 0 {
		t.Errorf("%d messages were taken in", n)
	}
}

// The engine is the same after a restart, and has been started once more.
func TestEngineOverRestarts(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	id, boots := b.l.engine.id, b.l.engine.boots
	if err := b.l.Stop(t.Context()); err != nil || len(id) != 17 || boots != 1 {
		t.Fatalf("id %x, boots %d, %v", id, boots, err)
	}
	b.start(nil)
	if b.l.engine.id != id || b.l.engine.boots != 2 {
		t.Errorf("id %x, boots %d", b.l.engine.id, b.l.engine.boots)
	}
	if err := b.l.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	b.start(func(c *Config) { c.EngineID = "8000000001020304aa" })
	if b.l.engine.id != "\x80\x00\x00\x00\x01\x02\x03\x04\xaa" || b.l.engine.boots != 1 {
		t.Errorf("id %x, boots %d", b.l.engine.id, b.l.engine.boots)
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Sources = []string{"192.0.2.0/24"} })
	if err := b.run("snmptrap", []string{"-v", "2c", "-c", "public"}, linkDown(5)...); err != nil {
		t.Fatal(err)
	}
	b.refused(1)
	c := newBench(t, func(c *Config) { c.Sources = []string{"192.0.2.0/24", "127.0.0.1"} })
	if err := c.run("snmptrap", []string{"-v", "2c", "-c", "public"}, linkDown(5)...); err != nil {
		t.Fatal(err)
	}
	c.sink.Wait(t, 1)
}

func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for i := range 5 {
		if err := b.run("snmptrap", []string{"-v", "2c", "-c", "public"}, linkDown(i)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.l.Stop(t.Context()); err != nil || len(b.sink.Records()) != 5 {
		t.Errorf("%d records, %v", len(b.sink.Records()), err)
	}
	if err := b.l.Stop(t.Context()); err != nil {
		t.Error(errors.Join(errors.New("a second Stop"), err))
	}
}
