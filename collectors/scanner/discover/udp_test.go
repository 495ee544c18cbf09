package discover

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"golang.org/x/net/dns/dnsmessage"

	"icewatch/collectors/scanner/wire"
	"icewatch/test/peers"
)

// answerUDP answers each datagram at an address until the test ends.
func answerUDP(t testing.TB, address string, answer func(question []byte) []byte) {
	t.Helper()
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(answer(buf[:n]), from)
		}
	}()
}

// snmpd runs Net-SNMP's agent at addresses.
func snmpd(t testing.TB, addresses ...string) {
	t.Helper()
	program, dir := peers.Program(t, "snmpd"), t.TempDir()
	conf := filepath.Join(dir, "snmpd.conf")
	text := "agentaddress udp:" + strings.Join(addresses, ",udp:") + "\nrocommunity monitor-7f3a\ncreateUser monitor SHA-256 \"one long phrase\" AES \"one long phrase\"\nrouser monitor priv\nsysName core-1\nsysLocation row 7\nsysDescr City switch\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-f", "-C", "-c", conf, "-Lf", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"))
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "MIBS=")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; {
		c, err := net.Dial("udp", addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(udpAskings[161].send)
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := c.Read(make([]byte, 512))
		_ = c.Close()
		if err == nil && n > 0 {
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("snmpd does not answer: %v: %s", err, log)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func lookUDP(t testing.TB, address string, probes []string, credentials ...wire.Credential) *Found {
	t.Helper()
	o := &Options{Dialer: dialer(t, "127.0.0.0/8"), UDP: []int{53, 123, 137, 161, 623, 11211, 9}, Probes: probes, Credentials: credentials, Answer: 400 * time.Millisecond}
	found, err := o.Host(context.Background(), netip.MustParseAddr(address))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A real agent is read with credentials of version 2c and 3, and not with wrong ones.
func TestSNMPReadsARealAgent(t *testing.T) {
	t.Parallel()
	port := portOf(t, "127.0.0.1:"+peers.FreePort(t))
	snmpd(t, fmt.Sprintf("127.0.0.1:%d", port))
	for name, x := range map[string]struct {
		cred wire.Credential
		ok   bool
	}{
		"2c":                   {wire.Credential{Secret: "monitor-7f3a"}, true},
		"2c, wrong":            {wire.Credential{Secret: "public"}, false},
		"3":                    {wire.Credential{User: "monitor", Secret: "one long phrase"}, true},
		"3, wrong":             {wire.Credential{User: "monitor", Secret: "another long phrase"}, false},
		"3, nobody":            {wire.Credential{User: "nobody", Secret: "one long phrase"}, false},
		"2c, for another host": {wire.Credential{Secret: "monitor-7f3a", Host: "127.0.0.2"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.cred.Kind, x.cred.Port = wire.CredentialSNMP, port
			got := lookUDP(t, "127.0.0.1", []string{wire.ProbeSNMP}, x.cred)
			if !x.ok {
				if got.Host != nil || len(got.Services)+len(got.Attributes) != 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			attributes := map[string]string{}
			for _, a := range got.Attributes {
				attributes[a.Name] = string(a.Value)
			}
			if got.Host == nil || !slices.Equal(got.Host.Found, []string{wire.ProbeSNMP}) || !slices.Equal(got.Host.Names, []string{"core-1"}) || attributes["description"] != `"City switch"` || attributes["location"] != `"row 7"` ||
				attributes["snmp_object"] == "" || len(got.Services) != 1 || got.Services[0].Name != "snmp" || got.Services[0].Port != port || got.Services[0].Banner != "City switch" {
				t.Errorf("%+v, attributes %v", got, attributes)
			}
			// What tells the machine from others, and how it does.
			var metrics map[string]float64
			if err := json.Unmarshal([]byte(attributes[wire.AttributeMetrics]), &metrics); err != nil || metrics["uptime_seconds"] <= 0 || metrics["interfaces"] < 1 || metrics["interfaces_up"] < 1 || metrics["memory_total_bytes"] < 1<<20 || metrics["processes"] < 1 {
				t.Errorf("metrics %v, %v", metrics, err)
			}
			if len(attributes[wire.AttributeEngine]) < 12 {
				t.Errorf("%v", attributes)
			}
			if cards, err := net.Interfaces(); err == nil && slices.ContainsFunc(cards, func(i net.Interface) bool { return len(i.HardwareAddr) == 6 }) && len(attributes[wire.AttributeMACs]) < 17 {
				t.Errorf("cards: %v", attributes)
			}
		})
	}
}

// old is a device that speaks SNMP of the first version alone, and answers one object at
// a time.
func old(t testing.TB, community string) int {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	tree := []gosnmp.SnmpPDU{{Name: oidDescription, Type: gosnmp.OctetString, Value: "Old UPS"}, {Name: oidUptime, Type: gosnmp.TimeTicks, Value: uint32(4200)}, {Name: oidCards + ".1", Type: gosnmp.OctetString, Value: "\x00\x1b\x54\x00\x00\x01"}, {Name: oidOper + ".1", Type: gosnmp.Integer, Value: 1}, {Name: oidSerial + ".1", Type: gosnmp.OctetString, Value: "UPS-7781"}}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			g := &gosnmp.GoSNMP{Version: gosnmp.Version1, Community: community}
			q, err := g.SnmpDecodePacket(buf[:n])
			if err != nil || q.Version != gosnmp.Version1 || q.Community != community {
				continue // It says nothing, as such devices do.
			}
			answer := &gosnmp.SnmpPacket{Version: gosnmp.Version1, Community: community, PDUType: gosnmp.GetResponse, RequestID: q.RequestID}
			for _, v := range q.Variables {
				at := slices.IndexFunc(tree, func(x gosnmp.SnmpPDU) bool {
					return x.Name == v.Name || q.PDUType == gosnmp.GetNextRequest && strings.HasPrefix(x.Name, v.Name+".")
				})
				if at >= 0 && q.PDUType == gosnmp.GetNextRequest && tree[at].Name == v.Name {
					at++
				}
				if at < 0 || at >= len(tree) {
					if answer.Error == gosnmp.NoError && len(q.Variables) == 1 {
						answer.Error, answer.ErrorIndex = gosnmp.NoSuchName, 1
					}
					v.Type, v.Value = gosnmp.OctetString, ""
					answer.Variables = append(answer.Variables, v)
					continue
				}
				answer.Variables = append(answer.Variables, tree[at])
			}
			out, err := answer.MarshalMsg()
			if err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	return portOf(t, pc.LocalAddr().String())
}

// A device of SNMP's first version is read, too, and not by a wrong community.
func TestSNMPReadsAnOldDevice(t *testing.T) {
	t.Parallel()
	port := old(t, "monitor-7f3a")
	got := lookUDP(t, "127.0.0.1", []string{wire.ProbeSNMP}, wire.Credential{Kind: wire.CredentialSNMP, Secret: "monitor-7f3a", Port: port})
	attributes := map[string]string{}
	for _, a := range got.Attributes {
		attributes[a.Name] = string(a.Value)
	}
	if len(got.Services) != 1 || got.Services[0].Banner != "Old UPS" || attributes["serial"] != `"UPS-7781"` || attributes[wire.AttributeMACs] != `"00:1b:54:00:00:01"` || attributes[wire.AttributeMetrics] != `{"interfaces":1,"interfaces_up":1,"uptime_seconds":42}` {
		t.Errorf("%+v, %v", got.Services, attributes)
	}
	if got := lookUDP(t, "127.0.0.1", []string{wire.ProbeSNMP}, wire.Credential{Kind: wire.CredentialSNMP, Secret: "public", Port: port}); got.Host != nil {
		t.Errorf("%+v", got)
	}
}

// The questions by UDP find what answers them, and take no echo and no noise for it.
func TestUDPServicesAreKnownForWhatTheyAre(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		peers.Missing(t, "ports below 1024 need root")
	}
	snmpd(t, "127.77.3.1:161")
	answerUDP(t, "127.77.3.1:53", func(q []byte) []byte {
		var p dnsmessage.Parser
		head, err := p.Start(q)
		if err != nil {
			return nil
		}
		question, err := p.Question()
		if err != nil || question.Name.String() != "version.bind." || question.Class != dnsmessage.ClassCHAOS {
			return nil
		}
		head.Response = true
		b := dnsmessage.NewBuilder(nil, head)
		_ = b.StartQuestions()
		_ = b.Question(question)
		_ = b.StartAnswers()
		_ = b.TXTResource(dnsmessage.ResourceHeader{Name: question.Name, Class: question.Class}, dnsmessage.TXTResource{TXT: []string{"9.18.24"}})
		out, _ := b.Finish()
		return out
	})
	answerUDP(t, "127.77.3.1:123", func(q []byte) []byte {
		if len(q) != 48 || q[0]&7 != 3 {
			return nil
		}
		return append([]byte{0x24, 2}, make([]byte, 46)...)
	})
	answerUDP(t, "127.77.3.1:137", func(q []byte) []byte {
		b := append([]byte{q[0], q[1], 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0}, q[12:46]...)
		b = append(b, 0, 0x21, 0, 1, 0, 0, 0, 0, 0, 19, 1)
		return append(b, "FILESERVER     \x20\x04\x00"...)
	})
	answerUDP(t, "127.77.3.1:623", func([]byte) []byte {
		return append([]byte{6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 0, 0, 0x10, 0, 0, 0x11, 0xbe}, make([]byte, 12)...)
	})
	answerUDP(t, "127.77.3.1:11211", func(q []byte) []byte {
		return append(slices.Clone(q[:8]), "VERSION 1.6.18\r\n"...)
	})
	got := lookUDP(t, "127.77.3.1", []string{wire.ProbeUDP})
	var seen []string
	for _, s := range got.Services {
		seen = append(seen, fmt.Sprintf("%d %s %s%s", s.Port, s.Name, s.Banner, s.Version))
	}
	if want := []string{"53 dns 9.18.24", "123 ntp ", "137 netbios-ns FILESERVER", "161 snmp ", "623 ipmi ", "11211 memcached 1.6.18"}; !slices.Equal(seen, want) {
		t.Errorf("%q, want %q", seen, want)
	}
	if got.Host == nil || !slices.Equal(got.Host.Found, []string{wire.ProbeUDP}) {
		t.Errorf("%+v", got.Host)
	}
	for address, answer := range map[string]func([]byte) []byte{"127.77.3.2": func(q []byte) []byte { return q }, "127.77.3.3": func([]byte) []byte {
		return []byte("this is a service of another kind, which says more than enough to be read as any")
	}} {
		for _, port := range []string{"53", "123", "137", "161", "623", "11211"} {
			answerUDP(t, address+":"+port, answer)
		}
		if got := lookUDP(t, address, []string{wire.ProbeUDP}); len(got.Services) != 0 {
			t.Errorf("%s: %+v", address, got.Services)
		}
	}
}
