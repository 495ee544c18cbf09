package snmptrap

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gosnmp/gosnmp"
)

// record is a notification as it is stored. The names follow ECS, and what is
// SNMP's own lies below snmp.
type record struct {
	Message  string    `json:"message"`
	Event    ecsEvent  `json:"event"`
	Log      *ecsLog   `json:"log,omitempty"`
	Host     ecsHost   `json:"host"`
	Observer *observer `json:"observer,omitempty"`
	SNMP     snmp      `json:"snmp"`
}

type ecsEvent struct {
	Kind     string   `json:"kind"`
	Module   string   `json:"module"`
	Dataset  string   `json:"dataset"`
	Code     string   `json:"code"`
	Action   string   `json:"action"`
	Category []string `json:"category,omitempty"`
	Type     []string `json:"type,omitempty"`
	Outcome  string   `json:"outcome,omitempty"`
}

type ecsLog struct {
	Level string `json:"level"`
}

type ecsHost struct {
	IP   string `json:"ip"`
	Name string `json:"name"`
}

type observer struct {
	Ingress ingress `json:"ingress"`
}

type ingress struct {
	Interface networkInterface `json:"interface"`
}

type networkInterface struct {
	ID    string `json:"id,omitempty"`
	Name  string `json:"name,omitempty"`
	Alias string `json:"alias,omitempty"`
}

type snmp struct {
	Version      string              `json:"version"`
	PDU          string              `json:"pdu"` // trap or inform
	TrapOID      string              `json:"trap_oid"`
	TrapName     string              `json:"trap_name"`
	Uptime       float64             `json:"uptime_seconds"`
	Enterprise   string              `json:"enterprise,omitempty"`
	AgentAddress string              `json:"agent_address,omitempty"`
	Generic      *int                `json:"generic_trap,omitempty"`
	Specific     *int                `json:"specific_trap,omitempty"`
	RequestID    uint32              `json:"request_id,omitempty"`
	User         string              `json:"user,omitempty"`
	Level        string              `json:"security_level,omitempty"`
	EngineID     string              `json:"engine_id,omitempty"`
	Context      string              `json:"context,omitempty"`
	Vars         map[string][]string `json:"var,omitempty"`     // of objects with a name: values by it
	Varbinds     []string            `json:"varbind,omitempty"` // all objects: NAME = VALUE
}

// meaning is what a standard notification says in ECS's terms.
type meaning struct {
	category, kind, outcome, level string
}

var meanings = map[string]meaning{
	"1.3.6.1.6.3.1.1.5.1":   {"host", "start", "", "notice"},
	"1.3.6.1.6.3.1.1.5.2":   {"host", "start", "", "notice"},
	"1.3.6.1.6.3.1.1.5.3":   {"network", "change", "", "warning"},
	"1.3.6.1.6.3.1.1.5.4":   {"network", "change", "", "notice"},
	"1.3.6.1.6.3.1.1.5.5":   {"authentication", "start", "failure", "warning"},
	"1.3.6.1.6.3.1.1.5.6":   {"network", "change", "", "warning"},
	"1.3.6.1.2.1.15.7.2":    {"network", "change", "", "warning"}, // bgpBackwardTransition
	"1.3.6.1.2.1.15.0.2":    {"network", "change", "", "warning"},
	"1.3.6.1.2.1.47.2.0.1":  {"configuration", "change", "", "notice"},         // entConfigChange
	"1.3.6.1.2.1.14.16.2.6": {"authentication", "start", "failure", "warning"}, // ospfIfAuthFailure
	"1.3.6.1.2.1.33.2.1":    {"host", "change", "", "warning"},                 // upsTrapOnBattery
}

// maxVars bounds the objects that get fields of their own.
const maxVars = 100

// record renders a notification, and gives an inform its id: an inform that is
// sent again is stored once.
func (l *Listener) record(p *gosnmp.SnmpPacket, peer netip.Addr) (text []byte, id string, err error) {
	oid, uptime, ok := trapOID(p)
	if !ok {
		return nil, "", fmt.Errorf("it does not say which notification it is: snmpTrapOID is missing")
	}
	name := l.names.Name(oid)
	address := peer.String()
	r := record{Event: ecsEvent{Kind: "event", Module: "snmp", Dataset: "snmp.trap", Code: oid, Action: name}, Host: ecsHost{address, address}}
	if m, known := meanings[oid]; known {
		r.Event.Category, r.Event.Type, r.Event.Outcome, r.Log = []string{m.category}, []string{m.kind}, m.outcome, &ecsLog{m.level}
	}
	s := &r.SNMP
	*s = snmp{Version: p.Version.String(), PDU: "trap", TrapOID: oid, TrapName: name, Uptime: float64(uptime) / 100}
	switch p.PDUType {
	case gosnmp.Trap:
		s.Enterprise, s.Generic, s.Specific = strings.TrimPrefix(p.Enterprise, "."), &p.GenericTrap, &p.SpecificTrap
		if a, err := netip.ParseAddr(p.AgentAddress); err == nil && !a.IsUnspecified() {
			s.AgentAddress = a.String()
		}
	case gosnmp.InformRequest:
		s.PDU, s.RequestID = "inform", p.RequestID
	}
	if usm, is := p.SecurityParameters.(*gosnmp.UsmSecurityParameters); is && p.Version == gosnmp.Version3 {
		s.User, s.EngineID, s.Context = clean(usm.UserName), hex.EncodeToString([]byte(usm.AuthoritativeEngineID)), clean(p.ContextName)
		s.Level = map[gosnmp.SnmpV3MsgFlags]string{gosnmp.AuthNoPriv: "authNoPriv", gosnmp.AuthPriv: "authPriv"}[p.MsgFlags&gosnmp.AuthPriv]
		if s.Level == "" {
			s.Level = "noAuthNoPriv"
		}
	}
	l.varbinds(&r, p.Variables)
	if text, err = json.Marshal(&r); err != nil {
		return nil, "", err
	}
	if s.PDU == "inform" {
		h := sha256.New()
		fmt.Fprintf(h, "%s %s %d %d %s", address, s.EngineID, p.RequestID, uptime, oid)
		for _, v := range s.Varbinds {
			fmt.Fprintf(h, "\x00%s", v)
		}
		id = "inform/" + hex.EncodeToString(h.Sum(nil)[:16])
	}
	return text, id, nil
}

// varbinds renders the objects that came with a notification.
func (l *Listener) varbinds(r *record, list []gosnmp.SnmpPDU) {
	s := &r.SNMP
	message := []string{}
	var itf networkInterface
	for _, v := range list {
		oid := strings.TrimPrefix(v.Name, ".")
		if oid == oidUptime || oid == oidTrap {
			continue
		}
		object, instance := l.names.Split(oid)
		if object == "snmpTrapCommunity" {
			continue // It is a secret, as a proxy adds it.
		}
		value := l.value(oid, &v)
		line := l.names.Name(oid) + " = " + value
		s.Varbinds = append(s.Varbinds, line)
		if len(message) < 8 {
			message = append(message, line)
		}
		if object == "" {
			continue
		}
		if s.Vars == nil {
			s.Vars = map[string][]string{}
		}
		if _, there := s.Vars[object]; there || len(s.Vars) < maxVars {
			s.Vars[object] = append(s.Vars[object], value)
		}
		switch object {
		case "ifIndex":
			itf.ID = value
		case "ifName":
			itf.Name = value
		case "ifDescr":
			if itf.Name == "" {
				itf.Name = value
			}
		case "ifAlias":
			itf.Alias = value
		case "snmpTrapAddress":
			s.AgentAddress = value
		}
		if strings.HasPrefix(object, "if") && itf.ID == "" && instance != "" && !strings.Contains(instance, ".") {
			itf.ID = instance
		}
	}
	if itf != (networkInterface{}) {
		r.Observer = &observer{ingress{itf}}
	}
	r.Message = s.TrapName
	if len(message) > 0 {
		r.Message += ": " + strings.Join(message, ", ")
	}
}

// value is a value as text: numbers as such, with their word where the object is
// an enumeration; octets as text where they are text, else in hexadecimal.
func (l *Listener) value(oid string, v *gosnmp.SnmpPDU) string {
	switch x := v.Value.(type) {
	case nil:
		return v.Type.String()
	case []byte:
		return octets(x)
	case string:
		switch v.Type {
		case gosnmp.ObjectIdentifier:
			return l.names.Name(x)
		case gosnmp.IPAddress:
			return x
		}
		return octets([]byte(x))
	case *big.Int:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	case float32, float64:
		return fmt.Sprint(x)
	}
	n := gosnmp.ToBigInt(v.Value)
	if v.Type == gosnmp.TimeTicks {
		return strconv.FormatFloat(float64(n.Uint64())/100, 'f', 2, 64) + "s"
	}
	if v.Type == gosnmp.Integer && n.IsInt64() {
		if word := l.names.Word(oid, n.Int64()); word != "" {
			return word + "(" + n.String() + ")"
		}
	}
	return n.String()
}

// octets are text where they are UTF-8 and printable, apart from a closing NUL;
// else they are in hexadecimal, as Net-SNMP writes them, or in base64 where they
// are many.
func octets(b []byte) string {
	if n := len(b); n > 0 && b[n-1] == 0 {
		if t := b[:n-1]; printable(t) {
			return string(t)
		}
	}
	switch {
	case printable(b):
		return string(b)
	case len(b) <= 64:
		return fmt.Sprintf("% X", b)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(b)
}

func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

func clean(s string) string {
	if printable([]byte(s)) {
		return s
	}
	return hex.EncodeToString([]byte(s))
}
