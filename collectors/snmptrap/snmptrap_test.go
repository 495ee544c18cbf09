package snmptrap

import (
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/collectors/mib"
	"icewatch/collectors/places"
	"icewatch/collectors/usm"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	for want, tune := range map[string]func(*Config){
		"communities, users: none is given":          func(c *Config) { c.Communities = "" },
		`listen: "9162" is not an address`:           func(c *Config) { c.Listen = "9162" },
		`sources: "10.1" is not a network`:           func(c *Config) { c.Sources = []string{"10.1"} },
		`engine_id: "80" is not 5 to 32 bytes`:       func(c *Config) { c.EngineID = "80" },
		"users: line 2: 2 words":                     func(c *Config) { c.Users = "\na SHA" },
		"users: line 1: the authentication protocol": func(c *Config) { c.Users = "a ROT13 passphrase" },
		"users: line 1: the privacy protocol":        func(c *Config) { c.Users = "a SHA passphrase 3DES passphrase" },
		"users: line 1: a passphrase has less":       func(c *Config) { c.Users = "a SHA short" },
		"users: line 1: a quote is not closed":       func(c *Config) { c.Users = `a SHA "short` },
		"users: line 2: the name is longer":          func(c *Config) { c.Users = "a\na" },
		"mibs: mib: the texts define no object":      func(c *Config) { c.MIBs = []string{"hello"} },
	} {
		cfg := &Config{ID: "x", Listen: ":0", Communities: "public"}
		tune(cfg)
		_, err := New(*cfg, collectors.Deps{Sink: &collecttest.Sink{}, Places: places.Dir(t.TempDir())})
		if err == nil || !strings.HasPrefix(err.Error(), "snmptrap: x: "+want) {
			t.Errorf("%s was expected: %v", want, err)
		}
		if err != nil && strings.Contains(err.Error(), "short") {
			t.Errorf("a passphrase is told: %v", err)
		}
	}
}

// RFC 3414, 3.2.7.
func TestTimeliness(t *testing.T) {
	t.Parallel()
	e := newEngine("\x80\x00\x00\x00\x05mine", 7)
	now := e.started.Add(1000 * time.Second)
	e.now = func() time.Time { return now }
	for _, c := range []struct {
		boots, at int64
		want      bool
	}{{7, 1000, true}, {7, 850, true}, {7, 849, false}, {7, 1150, true}, {7, 1151, false}, {6, 1000, false}, {8, 1000, false}} {
		if got := e.inWindow(c.boots, c.at); got != c.want {
			t.Errorf("boots %d, time %d: %v", c.boots, c.at, got)
		}
	}
	e.boots = math.MaxInt32
	if e.inWindow(math.MaxInt32, 1000) {
		t.Error("an engine out of boots takes messages as authentic")
	}
	const other = "other engine"
	for _, c := range []struct {
		after     time.Duration
		boots, at int64
		want      bool
	}{{0, 3, 5000, true}, {0, 3, 4900, true}, {0, 3, 4849, false}, {0, 2, 9000, false}, {0, 3, 6000, true}, {0, 3, 5800, false},
		{200 * time.Second, 3, 5900, false}, {0, 3, 6040, true}, {0, 4, 10, true}, {0, 3, 7000, false}, {0, math.MaxInt32, 1, false}} {
		now = now.Add(c.after)
		if got := e.freshOf(other, c.boots, c.at); got != c.want {
			t.Errorf("boots %d, time %d: %v", c.boots, c.at, got)
		}
	}
}

func TestEnginesAreBounded(t *testing.T) {
	t.Parallel()
	e := newEngine("\x80\x00\x00\x00\x05mine", 7)
	now := time.Unix(1000, 0)
	e.now = func() time.Time { return now }
	u := &usm.User{Name: "u", Auth: gosnmp.NoAuth, Priv: gosnmp.NoPriv}
	if !e.freshOf("engine that is known", 1, 1) {
		t.Fatal("a first message is no fresh one")
	}
	crowded := 0
	for i := range maxPeers * 2 {
		if i%100 == 0 {
			now = now.Add(time.Second)
		}
		if _, err := e.parameters("engine"+string(rune('a'+i%26))+time.Duration(i).String(), u); err != nil {
			crowded++
		}
	}
	if e.order.Len() != maxPeers || len(e.peers) != maxPeers || crowded != 0 {
		t.Errorf("%d engines, %d refused", e.order.Len(), crowded)
	}
	if e.peers["engine that is known"] == nil {
		t.Error("an engine whose boots and time are known was forgotten for strangers")
	}
	for i := range maxFresh + 5 {
		if _, err := e.parameters("crowd"+time.Duration(i).String(), u); err != nil {
			crowded++
		}
	}
	if crowded == 0 {
		t.Error("any number of engines is made known at a time")
	}
}

var parsedPeer = netip.MustParseAddr("192.0.2.1")

// plain builds messages for the fuzzer, as gosnmp's sender would.
func plain(version gosnmp.SnmpVersion, kind gosnmp.PDUType) []byte {
	p := &gosnmp.SnmpPacket{Version: version, Community: "public", PDUType: kind, RequestID: 7,
		SnmpTrap: gosnmp.SnmpTrap{Enterprise: "1.3.6.1.4.1.9", AgentAddress: "192.0.2.1", GenericTrap: 6, SpecificTrap: 1},
		Variables: []gosnmp.SnmpPDU{{Name: "1.3.6.1.2.1.1.3.0", Type: gosnmp.TimeTicks, Value: uint32(9)}, {Name: "1.3.6.1.6.3.1.1.4.1.0", Type: gosnmp.ObjectIdentifier, Value: "1.3.6.1.6.3.1.1.5.3"},
			{Name: "1.3.6.1.2.1.2.2.1.8.3", Type: gosnmp.Integer, Value: 2}, {Name: "1.3.6.1.4.1.9.1", Type: gosnmp.OctetString, Value: "x\x00"}}}
	if version == gosnmp.Version3 {
		p.SecurityModel, p.SecurityParameters = gosnmp.UserSecurityModel, &gosnmp.UsmSecurityParameters{UserName: "plain", AuthoritativeEngineID: "12345678", AuthenticationProtocol: gosnmp.NoAuth, PrivacyProtocol: gosnmp.NoPriv}
	}
	data, err := encode(p)
	if err != nil {
		panic(err)
	}
	return data
}

func FuzzMessage(f *testing.F) {
	f.Add(plain(gosnmp.Version1, gosnmp.Trap))
	f.Add(plain(gosnmp.Version2c, gosnmp.SNMPv2Trap))
	f.Add(plain(gosnmp.Version2c, gosnmp.InformRequest))
	f.Add(plain(gosnmp.Version3, gosnmp.SNMPv2Trap))
	l := &Listener{names: mib.Standard()}
	parsed, err := usm.Parse(users)
	if err != nil {
		f.Fatal(err)
	}
	byName := map[string]*gosnmp.UsmSecurityParameters{}
	for _, u := range parsed {
		usm := u.Parameters()
		usm.AuthoritativeEngineID = "12345678"
		if err := usm.InitSecurityKeys(); err != nil {
			f.Fatal(err)
		}
		byName[u.Name] = usm
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := readHead(data)
		if err != nil {
			return
		}
		var usm *gosnmp.UsmSecurityParameters
		if h.version == gosnmp.Version3 {
			u := byName[h.user]
			if u == nil || h.engineID != "12345678" {
				return
			}
			usm, _ = u.Copy().(*gosnmp.UsmSecurityParameters)
		}
		p, err := decode(data, h.version, usm)
		if err != nil {
			return
		}
		if h.version == gosnmp.Version3 {
			if got := p.SecurityParameters.(*gosnmp.UsmSecurityParameters).UserName; got != h.user {
				t.Fatalf("the head says %q, the message %q", h.user, got)
			}
		}
		if text, _, err := l.record(p, parsedPeer); err == nil && len(text) == 0 {
			t.Fatal("a record without a text")
		}
		_, _ = encode(p)
	})
}
