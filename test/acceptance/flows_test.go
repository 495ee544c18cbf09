package acceptance

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"icewatch/soc/client"
	"icewatch/test/peers"
)

// talk is one connection of a recording: who, what, and the bytes of IP
// packets each way.
type talk struct {
	client, server string
	port           uint16
	sent, answered int // payloads, one a packet
	bytes          [2]int64
}

// record writes packets of the talks, a minute ago, and sums up their bytes.
func record(t *testing.T, path string, talks []*talk) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := pcapgo.NewWriter(f)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Minute)
	packet := func(from, to netip.Addr, fromPort, toPort uint16, payload int) int64 {
		eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
		tcp := &layers.TCP{SrcPort: layers.TCPPort(fromPort), DstPort: layers.TCPPort(toPort), ACK: true, PSH: true, Window: 512}
		var ip gopacket.SerializableLayer
		size := int64(20 + payload)
		if from.Is4() {
			v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
			ip, size = v4, size+20
			err = tcp.SetNetworkLayerForChecksum(v4)
		} else {
			eth.EthernetType = layers.EthernetTypeIPv6
			v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
			ip, size = v6, size+40
			err = tcp.SetNetworkLayerForChecksum(v6)
		}
		buf := gopacket.NewSerializeBuffer()
		if err == nil {
			err = gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, tcp, gopacket.Payload(make([]byte, payload)))
		}
		if err == nil {
			at = at.Add(time.Millisecond)
			err = w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(buf.Bytes()), Length: len(buf.Bytes())}, buf.Bytes())
		}
		if err != nil {
			t.Fatal(err)
		}
		return size
	}
	for i, k := range talks {
		from, to, port := netip.MustParseAddr(k.client), netip.MustParseAddr(k.server), uint16(40000+i)
		for n := range max(k.sent, k.answered) {
			if n < k.sent {
				k.bytes[0] += packet(from, to, port, k.port, 100+n)
			}
			if n < k.answered {
				k.bytes[1] += packet(to, from, k.port, port, 1000+n)
			}
		}
	}
}

// topAnswer is what the tests read of /flows/top.
type topAnswer struct {
	Items []struct {
		Key     string `json:"key"`
		Bytes   int64  `json:"bytes"`
		Packets int64  `json:"packets"`
	} `json:"items"`
	Total struct {
		Bytes int64 `json:"bytes"`
		Flows int64 `json:"flows"`
	} `json:"total"`
}

type mapAnswer struct {
	Nodes []struct {
		ID string `json:"id"`
		CI *struct {
			Name string `json:"name"`
		} `json:"ci"`
	} `json:"nodes"`
	Edges []struct {
		Client   string    `json:"client"`
		Server   string    `json:"server"`
		Port     int       `json:"port"`
		ToServer int64     `json:"bytes_to_server"`
		ToClient int64     `json:"bytes_to_client"`
		Flows    int64     `json:"flows"`
		First    time.Time `json:"first_seen"`
		Last     time.Time `json:"last_seen"`
	} `json:"edges"`
}

// TestFlows has softflowd export a recording as NetFlow v5, v9 and IPFIX, to
// the suite and to nfcapd at once: what the packets weigh is what the suite
// says they weigh, and its top talkers are nfdump's. Then the engine is killed:
// the ledger of edges counts each flow once all the same.
func TestFlows(t *testing.T) {
	t.Parallel()
	softflowd, nfcapd, nfdump := peer(t, "softflowd"), peer(t, "nfcapd"), peer(t, "nfdump")
	port, capPort := peers.FreePort(t), peers.FreePort(t)
	s := newSuite(t, fmt.Sprintf("flows:\n  netflow: 127.0.0.1:%s\n  sflow: off\n  tenant: city\n  zone: gov\n", port))
	inventory := []byte(`items:
  - {class: host, id: seal-web-1, name: seal-web-1, zone: gov, tenant: e-seal, addresses: [10.5.0.1]}
`)
	if _, err := s.admin.Import(context.Background(), "yaml", "", false, inventory); err != nil {
		t.Fatal(err)
	}
	caught := t.TempDir()
	capd := exec.Command(nfcapd, "-b", "127.0.0.1", "-p", capPort, "-w", caught, "-t", "60")
	var capLog bytes.Buffer
	capd.Stdout, capd.Stderr = &capLog, &capLog
	if err := capd.Start(); err != nil {
		t.Fatal(err)
	}
	capDone := make(chan struct{})
	go func() { _ = capd.Wait(); close(capDone) }()
	t.Cleanup(func() { _ = capd.Process.Kill(); <-capDone })
	time.Sleep(500 * time.Millisecond) // it says nothing when it is ready

	all := map[string][]*talk{}
	for version, net := range map[string]int{"5": 5, "9": 9, "10": 10} {
		var talks []*talk
		for i := range 8 {
			talks = append(talks, &talk{client: fmt.Sprintf("198.18.%d.%d", net, 10+i), server: fmt.Sprintf("10.%d.0.1", net), port: 443, sent: 3 + i, answered: 10 + 9*i})
		}
		talks = append(talks, &talk{client: fmt.Sprintf("10.%d.0.1", net), server: fmt.Sprintf("10.%d.0.2", net), port: 5432, sent: 40, answered: 20})
		if version != "5" { // which knows no IPv6
			talks = append(talks, &talk{client: fmt.Sprintf("2001:db8:%d::a", net), server: fmt.Sprintf("2001:db8:%d::1", net), port: 22, sent: 5, answered: 7})
		}
		if version == "9" {
			talks = append(talks, chain()...)
		}
		path := filepath.Join(t.TempDir(), "talks.pcap")
		record(t, path, talks)
		all[version] = talks
		out, err := exec.Command(softflowd, "-r", path, "-v", version, "-n", "127.0.0.1:"+port+",127.0.0.1:"+capPort).CombinedOutput()
		if err != nil {
			t.Fatalf("softflowd -v %s: %v: %s", version, err, out)
		}
	}
	var want, flows int64
	for _, talks := range all {
		for _, k := range talks {
			want += k.bytes[0] + k.bytes[1]
			flows += 2
		}
	}
	top := func(c *client.Client, query url.Values) (a topAnswer) {
		t.Helper()
		query.Set("since", "24h")
		if err := c.Get(context.Background(), "/api/v1/flows/top", query, &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	eventually(t, 30*time.Second, "all flows are counted", func() error {
		if a := top(s.admin, url.Values{}); a.Total.Bytes != want || a.Total.Flows != flows {
			return fmt.Errorf("%d bytes in %d flows, want %d in %d", a.Total.Bytes, a.Total.Flows, want, flows)
		}
		return nil
	})
	checkChain(t, s)
	for version, talks := range all {
		for _, k := range talks {
			var got struct {
				Items []struct {
					AB int64 `json:"bytes_ab"`
					BA int64 `json:"bytes_ba"`
				} `json:"items"`
			}
			q := url.Values{"address": {"gov|" + k.client}, "since": {"24h"}, "query": {fmt.Sprintf("server.port:=%d server.ip:=%q", k.port, k.server)}}
			if err := s.admin.Get(context.Background(), "/api/v1/flows/conversations", q, &got); err != nil {
				t.Fatal(err)
			}
			if len(got.Items) != 1 || got.Items[0].AB != k.bytes[0] || got.Items[0].BA != k.bytes[1] {
				t.Errorf("v%s, %s to %s: %+v, want %v", version, k.client, k.server, got.Items, k.bytes)
			}
		}
	}
	for _, r := range s.find("event.category:network") {
		at, err := time.Parse(time.RFC3339, text(r, "@timestamp"))
		if err != nil || time.Since(at) > 15*time.Minute || time.Until(at) > time.Minute || text(r, "icewatch.marks") != "" {
			t.Errorf("a recording of a minute ago is of %s: %v", text(r, "@timestamp"), r)
		}
	}
	datasets := s.find(`event.category:network | stats by (event.dataset) count() n`)
	if len(datasets) != 2 {
		t.Errorf("datasets: %v", datasets)
	}

	// nfdump's own sums of the same export.
	_ = capd.Process.Signal(syscall.SIGTERM)
	<-capDone
	ours := map[string]int64{}
	for _, e := range top(s.admin, url.Values{"by": {"source"}, "limit": {"100"}}).Items {
		ours[strings.TrimPrefix(e.Key, "gov|")] = e.Bytes
	}
	out, err := exec.Command(nfdump, "-R", caught, "-N", "-6", "-o", "csv", "-A", "srcip", "-O", "bytes").Output()
	if err != nil {
		t.Fatalf("nfdump: %v: %s", err, capLog.String())
	}
	theirs := csvBytes(t, string(out))
	if len(theirs) != len(ours) {
		t.Errorf("nfdump knows %d sources, the suite %d:\n%s", len(theirs), len(ours), out)
	}
	for address, n := range theirs {
		if ours[address] != n {
			t.Errorf("%s sent %d bytes, as nfdump says; the suite says %d", address, n, ours[address])
		}
	}

	// The map is the ledger's, which writes every few seconds.
	look := func() (m mapAnswer, err error) {
		err = s.admin.Get(context.Background(), "/api/v1/flows/map", url.Values{"asset": {"seal-web-1"}}, &m)
		return m, err
	}
	check := func() error {
		m, err := look()
		if err != nil {
			return err
		}
		if len(m.Edges) != len(all["5"]) {
			return fmt.Errorf("%d edges, want %d", len(m.Edges), len(all["5"]))
		}
		for _, k := range all["5"] {
			found := false
			for _, e := range m.Edges {
				if e.Client != "gov|"+k.client || e.Server != "gov|"+k.server {
					continue
				}
				found = true
				if e.ToServer != k.bytes[0] || e.ToClient != k.bytes[1] || e.Flows != 2 || e.Port != int(k.port) || e.Last.Before(e.First) || time.Since(e.Last) > 24*time.Hour {
					return fmt.Errorf("%+v, want %v", e, k)
				}
			}
			if !found {
				return fmt.Errorf("no edge of %s to %s", k.client, k.server)
			}
		}
		for _, n := range m.Nodes {
			if n.ID == "gov|10.5.0.1" && (n.CI == nil || n.CI.Name != "seal-web-1") {
				return fmt.Errorf("the asset has no name: %+v", n)
			}
		}
		return nil
	}
	eventually(t, 30*time.Second, "the ledger holds the edges", check)
	for range 2 {
		if pid := s.enginePID(); pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(time.Second)
		eventually(t, 60*time.Second, "the ledger holds each flow once after the engine was killed", check)
	}

	// Another tenant's analyst sees nothing of the city's flows.
	other := s.token("e-licence", "read")
	if a := top(other, url.Values{}); a.Total.Flows != 0 || len(a.Items) != 0 {
		t.Errorf("another tenant sees %+v", a)
	}
	var m mapAnswer
	if err := other.Get(context.Background(), "/api/v1/flows/map", url.Values{"asset": {"gov|10.5.0.1"}}, &m); err != nil || len(m.Edges) != 0 {
		t.Errorf("another tenant sees %+v, %v", m, err)
	}
	if err := other.Get(context.Background(), "/api/v1/flows/map", url.Values{"asset": {"seal-web-1"}}, &m); client.Status(err) != http.StatusNotFound {
		t.Errorf("another tenant's item: %v", err)
	}
	if err := other.Get(context.Background(), "/api/v1/flows/top", url.Values{"tenant": {"city"}}, &m); client.Status(err) != http.StatusForbidden {
		t.Errorf("another tenant by name: %v", err)
	}

	// On the command line.
	if out, err := s.icectl("flows", "top", "--by", "service", "--since", "24h"); err != nil || !strings.Contains(out, "tcp/443 https") || !strings.Contains(out, "tcp/5432 postgresql") {
		t.Errorf("%v: %s", err, out)
	}
	for _, args := range [][]string{{"conversations", "--since", "24h"}, {"map", "gov|10.5.0.1"}, {"profile", "gov|10.5.0.1"}, {"exporters"}} {
		if out, err := s.icectl(append([]string{"flows"}, args...)...); err != nil || !strings.Contains(out, map[bool]string{true: "127.0.0.1", false: "10.5.0.1"}[args[0] == "exporters"]) {
			t.Errorf("icectl flows %v: %v: %s", args, err, out)
		}
	}
	s.balance()
}

// csvBytes reads nfdump's aggregation: bytes by source address.
func csvBytes(t *testing.T, text string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	var head []string
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(line), ",")
		if len(cells) > 10 && cells[0] == "ts" {
			head = cells
			continue
		}
		if head == nil || len(cells) != len(head) {
			continue
		}
		var address string
		var bytes int64
		for i, name := range head {
			switch name {
			case "sa":
				address = strings.TrimSpace(cells[i])
			case "ibyt":
				bytes, _ = strconv.ParseInt(cells[i], 10, 64)
			}
		}
		if a, err := netip.ParseAddr(address); err == nil && bytes > 0 {
			out[a.String()] = bytes
		}
	}
	if len(out) == 0 {
		t.Fatal(errors.New("nfdump's output is not what was expected: " + text))
	}
	return out
}

// TestSimulatedFlows sees that the simulator's flows are of its city: the
// firewall exports them from behind the loopback relay, and each flow belongs
// to the tenant of the end that serves.
func TestSimulatedFlows(t *testing.T) {
	t.Parallel()
	port, sampled := peers.FreePort(t), peers.FreePort(t)
	s := newSuite(t, fmt.Sprintf("flows: {netflow: '127.0.0.1:%s', sflow: '127.0.0.1:%s'}\n", port, sampled))
	sum, err := s.simulate("--seed", "3", "--duration", "6s", "--rate", "60", "--story", "intrusion")
	if err != nil {
		t.Fatal(err)
	}
	sent := int(sum.Channels["netflow"].Sent)
	if sent < 100 {
		t.Fatalf("the simulator sent %d flows: %+v", sent, sum.Channels)
	}
	rows := s.expect("event.dataset:=flow.netflow", sent, 30*time.Second)
	foreign := 0
	for _, r := range rows {
		if text(r, "observer.ip") != "10.90.0.1" || text(r, "network.community_id") == "" {
			t.Fatalf("%v", r)
		}
		if tenant := text(r, "icewatch.tenant"); tenant == "unassigned" {
			foreign++
		}
	}
	if foreign > sent/10 {
		t.Errorf("%d of %d flows are nobody's", foreign, sent)
	}

	// A real agent's sFlow, and a sensor's flow by way of _bulk: all of one schema.
	hexed, err := os.ReadFile("../../collectors/flow/testdata/sflow-expanded.hex")
	if err != nil {
		t.Fatal(err)
	}
	datagram, err := hex.DecodeString(strings.ReplaceAll(string(hexed), "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", "127.0.0.1:"+sampled)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	zeek := fmt.Sprintf(`{"ts":%d.5,"uid":"CMdzit1AMNsmfAIiQc","id.orig_h":"192.168.4.76","id.orig_p":36844,"id.resp_h":"192.168.4.1","id.resp_p":53,"proto":"udp","service":"dns","duration":0.06,"conn_state":"SF","orig_pkts":2,"orig_ip_bytes":118,"resp_pkts":2,"resp_ip_bytes":197}`, time.Now().Unix()-5)
	body := strings.NewReader("{\"create\":{}}\n" + zeek + "\n")
	if err := s.token("city", "ingest").Send(context.Background(), http.MethodPost, "/elastic/zeek/_bulk", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, body, nil); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.expect("event.dataset:=flow.sflow", 5, 30*time.Second) {
		rate, bytes := text(r, "icewatch.flow.sampling"), text(r, "icewatch.flow.bytes")
		counted, _ := strconv.Atoi(text(r, "network.bytes"))
		if rate != "16383" || bytes != strconv.Itoa(16383*counted) {
			t.Errorf("sampled one in %s: %d bytes stand for %s", rate, counted, bytes)
		}
	}
	sensor := s.expect("event.dataset:=flow.sensor", 1, 30*time.Second)[0]
	if text(sensor, "network.bytes") != "315" || text(sensor, "network.protocol") != "dns" || text(sensor, "client.ip") != "192.168.4.76" {
		t.Errorf("%v", sensor)
	}
	var p json.RawMessage
	if err := s.admin.Get(context.Background(), "/api/v1/flows/profile", url.Values{"address": {"10.100.1.11"}}, &p); err != nil {
		t.Error(err)
	}
	s.balance()
}
