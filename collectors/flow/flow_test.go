package flow

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/soc/intake"
)

// wire writes what exporters send, in network order.
type wire []byte

func (w wire) u8(v ...uint8) wire { return append(w, v...) }
func (w wire) u16(v ...uint16) wire {
	for _, n := range v {
		w = binary.BigEndian.AppendUint16(w, n)
	}
	return w
}
func (w wire) u32(v ...uint32) wire {
	for _, n := range v {
		w = binary.BigEndian.AppendUint32(w, n)
	}
	return w
}
func (w wire) ip(s string) wire { return append(w, netip.MustParseAddr(s).AsSlice()...) }

// set puts a set's header before its body.
func set(id uint16, body wire) wire {
	return append(wire{}.u16(id, uint16(4+len(body))), body...)
}

const (
	exported = 1_760_000_000 // seconds
	uptime   = 5_000_000     // milliseconds
)

func v9(sequence, domain uint32, sets ...wire) []byte {
	w := wire{}.u16(9, uint16(len(sets))).u32(uptime, exported, sequence, domain)
	for _, s := range sets {
		w = append(w, s...)
	}
	return w
}

func ipfix(sequence, domain uint32, sets ...wire) []byte {
	n := 16
	for _, s := range sets {
		n += len(s)
	}
	w := wire{}.u16(10, uint16(n)).u32(exported, sequence, domain)
	for _, s := range sets {
		w = append(w, s...)
	}
	return w
}

// template9 is a template of NetFlow v9 and record9 a record of it.
func template9(id uint16) wire {
	return wire{}.u16(id, 9, 8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 4, 2, 4, 22, 4, 21, 4)
}

func record9(from, to string, fromPort, toPort uint16, bytes, packets uint32) wire {
	return wire{}.ip(from).ip(to).u16(fromPort, toPort).u8(6).u32(bytes, packets, uptime-60_000, uptime-1_000)
}

// collect decodes datagrams and returns their records.
func collect(t testing.TB, d *decoder, decode func(netip.Addr, []byte) error, datagrams ...[]byte) []map[string]any {
	t.Helper()
	var out []map[string]any
	d.emit = func(r record) {
		var m map[string]any
		if err := json.Unmarshal(r.text, &m); err != nil {
			t.Fatalf("a record is not JSON: %v: %s", err, r.text)
		}
		m["_at"] = r.at
		out = append(out, m)
	}
	for _, data := range datagrams {
		if err := decode(netip.MustParseAddr("192.0.2.1"), data); err != nil {
			t.Fatalf("decoding: %v", err)
		}
	}
	return out
}

func flowOf(m map[string]any, name string) string {
	f, _ := m["flow"].(map[string]any)
	switch v := f[name].(type) {
	case float64:
		return fmt.Sprintf("%.0f", v)
	case string:
		return v
	}
	return ""
}

func TestNetFlow9(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	list := collect(t, d, d.netflow, v9(1, 7, set(0, template9(256)), set(256, append(record9("10.0.0.1", "10.0.0.2", 50000, 443, 1500, 3), record9("10.0.0.2", "10.0.0.1", 443, 50000, 90000, 70)...))))
	if len(list) != 2 {
		t.Fatalf("%d records, want 2", len(list))
	}
	m := list[1]
	for name, want := range map[string]string{"sourceIPv4Address": "10.0.0.2", "destinationIPv4Address": "10.0.0.1", "sourceTransportPort": "443",
		"destinationTransportPort": "50000", "protocolIdentifier": "6", "octetDeltaCount": "90000", "packetDeltaCount": "70"} {
		if got := flowOf(m, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if m["type"] != "netflow9" || m["exporter"] != "192.0.2.1" || m["domain"] != 7.0 || m["template"] != 256.0 {
		t.Errorf("the message: %v", m)
	}
	if m["start"] != float64(exported*1000-60_000) || m["end"] != float64(exported*1000-1_000) || m["_at"] != int64(exported*1000-1_000)*1e6 {
		t.Errorf("times: %v to %v, at %v", m["start"], m["end"], m["_at"])
	}
	if st := d.exporters()[0]; st.Flows != 2 || st.Templates != 1 || st.Kind != "netflow9" {
		t.Errorf("%+v", st)
	}
}

func TestTemplateComesLate(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	data := set(256, record9("10.0.0.1", "10.0.0.2", 50000, 443, 1500, 3))
	if list := collect(t, d, d.netflow, v9(1, 7, data), v9(2, 7, data), v9(1, 8, data)); len(list) != 0 {
		t.Fatalf("%d records without a template", len(list))
	}
	if st := d.exporters()[0]; st.Early != 2 && st.Early != 1 {
		t.Errorf("%+v", st)
	}
	// The template of one domain is none of another's.
	if list := collect(t, d, d.netflow, v9(3, 7, set(0, template9(256)))); len(list) != 2 || list[0]["sequence"] != 1.0 || list[1]["sequence"] != 2.0 {
		t.Errorf("waited: %v", list)
	}
	for _, st := range d.exporters() {
		if want := map[uint32]int{7: 0, 8: 1}[st.Domain]; st.Waiting != want {
			t.Errorf("domain %d: %d sets wait, want %d", st.Domain, st.Waiting, want)
		}
	}
	// What waits in vain is given up, and counted.
	d.now = func() time.Time { return time.Now().Add(waitingTime + time.Minute) }
	for _, st := range d.exporters() {
		if st.Domain == 8 && (st.Waiting != 0 || st.Undecoded != 1) {
			t.Errorf("%+v", st)
		}
	}
	if d.waiting != 0 {
		t.Errorf("%d bytes are still counted as waiting", d.waiting)
	}
}

func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	data := set(256, make(wire, 1200))
	for n := range uint32(2000) {
		collect(t, d, d.netflow, v9(n, 7, data))
	}
	st := d.exporters()[0]
	if d.waiting > maxWaitingBytes || st.Waiting > maxWaiting || st.Early != 2000 || st.Undecoded != 2000-uint64(st.Waiting) {
		t.Errorf("%d bytes wait; %+v", d.waiting, st)
	}
	for n := range uint32(maxSessions + 50) {
		collect(t, d, d.netflow, v9(1, 1000+n, data))
	}
	if len(d.sessions) != maxSessions || d.waiting > maxWaitingOverall {
		t.Errorf("%d sessions, %d bytes wait", len(d.sessions), d.waiting)
	}
}

func TestSampling(t *testing.T) {
	t.Parallel()
	options9 := set(1, wire{}.u16(300, 4, 8, 1, 4, 48, 1, 50, 4)) // scope system; sampler id, random interval
	f := func(want any, datagrams ...[]byte) {
		t.Helper()
		d := newDecoder(nil)
		list := collect(t, d, d.netflow, datagrams...)
		if len(list) == 0 || list[len(list)-1]["sampling"] != want {
			t.Errorf("sampling of %v, want %v", list, want)
		}
	}
	withSampler := set(0, wire{}.u16(257, 4, 8, 4, 12, 4, 1, 4, 48, 1))
	f(512.0, v9(1, 1, options9, set(300, wire{}.u32(0).u8(3).u32(512)), withSampler), v9(2, 1, set(257, wire{}.ip("10.0.0.1").ip("10.0.0.2").u32(100).u8(3))))
	f(nil, v9(1, 1, options9, set(300, wire{}.u32(0).u8(3).u32(512).u32(0).u8(4).u32(64)), withSampler), v9(2, 1, set(257, wire{}.ip("10.0.0.1").ip("10.0.0.2").u32(100).u8(5))))
	// The only sampler there is counts for records that name none.
	f(512.0, v9(1, 1, options9, set(300, wire{}.u32(0).u8(3).u32(512)), set(0, template9(256)), set(256, record9("10.0.0.1", "10.0.0.2", 1, 2, 3, 4))))
	// IPFIX: of interval + space packets, interval are looked at.
	f(100.0, ipfix(1, 1, set(3, wire{}.u16(300, 3, 1, 144, 4, 305, 4, 306, 4)), set(300, wire{}.u32(1, 1, 99)), set(2, wire{}.u16(256, 3, 8, 4, 12, 4, 1, 4)),
		set(256, wire{}.ip("10.0.0.1").ip("10.0.0.2").u32(100))))
	// A record that says it itself.
	f(10.0, v9(1, 1, set(0, wire{}.u16(258, 4, 8, 4, 12, 4, 1, 4, 34, 4)), set(258, wire{}.ip("10.0.0.1").ip("10.0.0.2").u32(100, 10))))
}

func TestInterfaceNames(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	list := collect(t, d, d.netflow, v9(1, 1,
		set(1, wire{}.u16(300, 4, 4, 2, 4, 82, 16)), set(300, append(wire{}.u32(17), fmt.Sprintf("%-16s", "ge-0/0/1\x00\x00\x00\x00\x00\x00\x00\x00")...)),
		set(0, wire{}.u16(256, 3, 8, 4, 12, 4, 10, 4)), set(256, wire{}.ip("10.0.0.1").ip("10.0.0.2").u32(17))))
	if len(list) != 1 || flowOf(list[0], "ingressInterfaceName") != "ge-0/0/1" || flowOf(list[0], "egressInterfaceName") != "" {
		t.Errorf("%v", list)
	}
}

func TestIPFIX(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	// IPv6 ends, 64-bit counts, a name of variable length, an element of
	// somebody's own, one of the way back, times in milliseconds.
	template := wire{}.u16(400, 8, 27, 16, 28, 16, 1, 8, 96, 0xffff, 152, 8, 153, 8).u16(0x8000|12, 2).u32(9999).u16(0x8000|1, 8).u32(penReverse)
	body := wire{}.ip("2001:db8::1").ip("2001:db8::2").u32(1, 0).u8(4).u8([]byte("http")...).u32(0, 1000).u32(0, 61000).u16(77).u32(0, 321)
	list := collect(t, d, d.netflow, ipfix(10, 5, set(2, template), set(400, body)), ipfix(11, 5, set(400, body)), ipfix(14, 5, set(400, body)))
	if len(list) != 3 {
		t.Fatalf("%d records, want 3", len(list))
	}
	for name, want := range map[string]string{"sourceIPv6Address": "2001:db8::1", "octetDeltaCount": "4294967296", "applicationName": "http", "pen9999.12": "77", "reverseOctetDeltaCount": "321"} {
		if got := flowOf(list[0], name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if list[0]["start"] != 1000.0 || list[0]["end"] != 61000.0 {
		t.Errorf("times: %v", list[0])
	}
	if st := d.exporters()[0]; st.Gaps != 1 || st.Lost != 2 {
		t.Errorf("two records are missing before the third message: %+v", st)
	}
}

func TestNetFlow5(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	message := func(sequence uint32, sampling uint16) []byte {
		w := wire{}.u16(5, 1).u32(uptime, exported, 500_000_000, sequence).u8(0, 3).u16(sampling)
		return w.ip("10.0.0.1").ip("10.0.0.2").ip("0.0.0.0").u16(1, 2).u32(3, 1500, uptime-2000, uptime-1000).u16(50000, 80).u8(0, 0x1b, 6, 0).u16(0, 0).u8(24, 24).u16(0)
	}
	list := collect(t, d, d.netflow, message(100, 1<<14|10), message(101, 1<<14|10), message(105, 1<<14|10))
	if len(list) != 3 || list[0]["sampling"] != 10.0 || flowOf(list[0], "octetDeltaCount") != "1500" || flowOf(list[0], "destinationTransportPort") != "80" || list[0]["end"] != float64(exported*1000+500-1000) {
		t.Errorf("%v", list)
	}
	if st := d.exporters()[0]; st.Gaps != 1 || st.Lost != 3 || st.Domain != 3 {
		t.Errorf("%+v", st)
	}
	short := message(1, 0)
	binary.BigEndian.PutUint16(short[2:], 30) // it claims 30 records and holds one
	if err := d.netflow(netip.MustParseAddr("192.0.2.1"), short); err == nil || !strings.Contains(err.Error(), "30 records") {
		t.Errorf("a message that claims too much: %v", err)
	}
}

// sample is one sFlow datagram with a sampled TCP packet in a VLAN.
func sample(t testing.TB, sequence uint32) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 50000, DstPort: 443, SYN: true, ACK: true}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 0xaa}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 0xbb}, EthernetType: layers.EthernetTypeDot1Q},
		&layers.Dot1Q{VLANIdentifier: 42, Type: layers.EthernetTypeIPv4}, ip, tcp, gopacket.Payload(make([]byte, 100)))
	if err != nil {
		t.Fatal(err)
	}
	header := buf.Bytes()[:64]
	raw := wire{}.u32(1, uint32(16+len(header)), 1, 1518, 4, uint32(len(header)))
	raw = append(raw, header...)
	flow := append(wire{}.u32(1, 3, 256, 1000, 0, 5, 6, 1), raw...)
	counters := wire{}.u32(1, 5, 0)
	w := wire{}.u32(5, 1).ip("198.51.100.7").u32(2, sequence, 1000, 2)
	w = append(w.u32(1, uint32(len(flow))), flow...)
	return append(w.u32(2, uint32(len(counters))), counters...)
}

func TestSFlow(t *testing.T) {
	t.Parallel()
	d := newDecoder(nil)
	list := collect(t, d, d.sflow, sample(t, 1), sample(t, 3))
	if len(list) != 2 {
		t.Fatalf("%d records, want 2", len(list))
	}
	for name, want := range map[string]string{"sourceIPv4Address": "10.0.0.1", "destinationTransportPort": "443", "octetDeltaCount": "1518", "packetDeltaCount": "1",
		"vlanId": "42", "sourceMacAddress": "02-00-00-00-00-AA", "tcpControlBits": "18", "ingressInterface": "5", "egressInterface": "6", "protocolIdentifier": "6"} {
		if got := flowOf(list[0], name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if list[0]["sampling"] != 256.0 || list[0]["agent"] != "198.51.100.7" || list[0]["domain"] != 2.0 {
		t.Errorf("%v", list[0])
	}
	if st := d.exporters()[0]; st.Exporter != "198.51.100.7" || st.Gaps != 1 || st.Lost != 1 || st.Skipped != 2 || st.Sampling != 256 {
		t.Errorf("%+v", st)
	}
}

// TestSFlowOfRealAgents decodes datagrams that real agents sent: those with
// which goflow2 tests its own decoder (BSD-3-Clause).
func TestSFlowOfRealAgents(t *testing.T) {
	t.Parallel()
	f := func(file string, samples int, want map[string]string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.ReplaceAll(string(text), "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		d := newDecoder(nil)
		list := collect(t, d, d.sflow, data)
		if len(list) != samples {
			t.Fatalf("%s: %d records, want %d", file, len(list), samples)
		}
		for name, v := range want {
			if got := flowOf(list[0], name); got != v {
				t.Errorf("%s: %s is %q, want %q", file, name, got, v)
			}
		}
		if st := d.exporters()[0]; st.Malformed != 0 {
			t.Errorf("%s: %+v", file, st)
		}
	}
	f("sflow-icmp.hex", 1, map[string]string{"sourceIPv4Address": "172.16.32.254", "destinationIPv4Address": "172.16.32.241", "protocolIdentifier": "1", "icmpTypeCodeIPv4": "2048",
		"vlanId": "32", "octetDeltaCount": "82", "egressInterface": "1043"})
	f("sflow-expanded.hex", 5, map[string]string{"sourceIPv4Address": "185.59.220.147", "destinationIPv4Address": "88.238.78.19", "sourceTransportPort": "443",
		"destinationTransportPort": "53206", "tcpControlBits": "16", "octetDeltaCount": "1514", "vlanId": "30", "egressInterface": "1000018"})
}

// TestHostile feeds what would make a trusting decoder run for ever, or take
// all memory.
func TestHostile(t *testing.T) {
	t.Parallel()
	d := newDecoder(func(record) {})
	peer := netip.MustParseAddr("192.0.2.1")
	noLength := v9(1, 1, set(0, wire{}.u16(256, 2, 8, 0, 12, 0)), set(256, make(wire, 400)))
	if err := d.netflow(peer, noLength); err != nil {
		t.Error(err)
	}
	if st := d.exporters()[0]; st.BadTemplates != 1 || st.Flows != 0 {
		t.Errorf("a template without length: %+v", st)
	}
	flood := wire{}.u32(1, 0, 3, 256, 1000, 0, 0, 5, 0, 6, 0xffffffff) // an expanded sample of four thousand million records
	w := wire{}.u32(5, 1).ip("198.51.100.7").u32(2, 1, 1000, 1).u32(3, uint32(len(flood)))
	if err := d.sflow(peer, append(w, flood...)); err != nil {
		t.Error(err)
	}
	for _, data := range [][]byte{nil, {9}, {0, 9}, {0, 10, 0, 0}, wire{}.u16(4, 1), v9(1, 1, wire{}.u16(0, 2)), v9(1, 1, wire{}.u16(0, 60000)), v9(1, 1, set(7, nil)), ipfix(1, 1, wire{}.u16(2, 3))} {
		if err := d.netflow(peer, data); err == nil {
			t.Errorf("%x was taken", data)
		}
	}
	for _, data := range [][]byte{nil, wire{}.u32(4, 1), wire{}.u32(5, 3), wire{}.u32(5, 1, 1, 1, 1, 1, 5000)} {
		if err := d.sflow(peer, data); err == nil {
			t.Errorf("%x was taken", data)
		}
	}
}

// TestRestart sees that after a restart the first data set decodes, with the
// rate of sampling that had been announced before it.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := *NewFactory().DefaultConfig().(*Config)
	cfg.Listen, cfg.TemplateFile, cfg.Zone, cfg.Tenant = "127.0.0.1:0", filepath.Join(dir, "netflow.templates"), "gov", "e-seal"
	run := func(datagrams ...[]byte) []intake.Record {
		t.Helper()
		var sink collecttest.Sink
		c, err := New(cfg, collectors.Deps{Sink: &sink})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("udp", c.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, d := range datagrams {
			if _, err := conn.Write(d); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if h := c.Health(); h.Received != uint64(len(sink.Records())) || h.State != collectors.StateOff || h.Kind != NewFactory().Type {
			t.Errorf("%+v", h)
		}
		return sink.Records()
	}
	if got := run(v9(1, 7, set(0, template9(256)), set(1, wire{}.u16(300, 4, 4, 1, 4, 34, 4)), set(300, wire{}.u32(0, 1000)))); len(got) != 0 {
		t.Fatalf("%d records of templates", len(got))
	}
	got := run(v9(2, 7, set(256, record9("10.0.0.1", "10.0.0.2", 50000, 443, 1500, 3))))
	if len(got) != 1 || !strings.Contains(string(got[0].Data), `"sampling":1000,`) {
		t.Fatalf("after the restart: %d records: %+v", len(got), got)
	}
	if r := got[0]; r.Format != intake.Flow || r.Zone != "gov" || r.Tenant != "e-seal" || r.Collector != NetFlow || r.Time != int64(exported*1000-1_000)*1e6 || r.Peer.String() != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
	if err := os.WriteFile(cfg.TemplateFile, []byte(`{"version":1,"sessions":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(v9(2, 7, set(256, record9("10.0.0.1", "10.0.0.2", 50000, 443, 1500, 3)))); len(got) != 0 {
		t.Errorf("a damaged file gave %d records", len(got))
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	f := func(change func(*Config), want string) {
		t.Helper()
		cfg := *NewFactory().DefaultConfig().(*Config)
		change(&cfg)
		if _, err := New(cfg, collectors.Deps{Sink: &collecttest.Sink{}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(func(c *Config) { c.Protocol = "netflow7" }, "protocol must be netflow or sflow")
	f(func(c *Config) { c.Listen = "2055" }, "[host]:port")
	f(func(c *Config) { c.ID = "" }, "no id")
	f(func(c *Config) { c.FlushInterval = time.Second }, "flush_interval")
	f(func(c *Config) { c.ReceiveBuffer = -1 }, "receive_buffer")
}

func FuzzNetFlow(f *testing.F) {
	f.Add(v9(1, 7, set(0, template9(256)), set(256, record9("10.0.0.1", "10.0.0.2", 50000, 443, 1500, 3))))
	f.Add(v9(1, 1, set(1, wire{}.u16(300, 4, 8, 1, 4, 48, 1, 50, 4)), set(300, wire{}.u32(0).u8(3).u32(512))))
	f.Add(ipfix(10, 5, set(2, wire{}.u16(400, 3, 27, 16, 96, 0xffff, 154, 8)), set(400, wire{}.ip("2001:db8::1").u8(4).u8([]byte("ht\"p")...).u32(1, 2))))
	f.Add([]byte(wire{}.u16(5, 1).u32(uptime, exported, 0, 1).u32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)))
	f.Fuzz(func(t *testing.T, data []byte) { fuzz(t, data, (*decoder).netflow) })
}

func FuzzSFlow(f *testing.F) {
	f.Add(sample(f, 1))
	f.Fuzz(func(t *testing.T, data []byte) { fuzz(t, data, (*decoder).sflow) })
}

func FuzzTemplates(f *testing.F) {
	f.Add([]byte(`{"version":1,"sessions":[{"peer":"192.0.2.1","version":9,"domain":7,"seen":"2026-11-26T00:00:00Z","templates":{"256":{"fields":[{"type":8,"length":4}],"scopes":0}}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder(func(record) {})
		d.now = func() time.Time { return time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC) }
		_ = d.restore(data)
		for _, id := range []uint16{256, 300} {
			_ = d.netflow(netip.MustParseAddr("192.0.2.1"), v9(1, 7, set(id, make(wire, 64))))
		}
	})
}

func fuzz(t *testing.T, data []byte, decode func(*decoder, netip.Addr, []byte) error) {
	d := newDecoder(func(r record) {
		if !json.Valid(r.text) {
			t.Fatalf("a record is not JSON: %q", r.text)
		}
	})
	peer := netip.MustParseAddr("192.0.2.1")
	for range 2 { // the second time with what the first has taught
		_ = decode(d, peer, data)
	}
	if d.waiting > maxWaitingOverall {
		t.Fatalf("%d bytes wait", d.waiting)
	}
}

func BenchmarkNetFlow9(b *testing.B) {
	d := newDecoder(func(record) {})
	peer := netip.MustParseAddr("192.0.2.1")
	if err := d.netflow(peer, v9(0, 7, set(0, template9(256)))); err != nil {
		b.Fatal(err)
	}
	var records wire
	const each = 24
	for i := range uint16(each) {
		records = append(records, record9("10.0.0.1", "10.0.0.2", 50000+i, 443, 1500, 3)...)
	}
	data := v9(1, 7, set(256, records))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.netflow(peer, data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*each/b.Elapsed().Seconds(), "flows/s")
}

func BenchmarkSFlow(b *testing.B) {
	d := newDecoder(func(record) {})
	peer, data := netip.MustParseAddr("192.0.2.1"), sample(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.sflow(peer, data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
