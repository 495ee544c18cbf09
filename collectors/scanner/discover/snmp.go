package discover

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// SNMP prepares a client of an address by a credential.
func SNMP(ctx context.Context, d *scope.Dialer, address string, cred wire.Credential, timeout time.Duration) *gosnmp.GoSNMP {
	port := cred.Port
	if port == 0 {
		port = 161
	}
	g := &gosnmp.GoSNMP{Target: address, Port: uint16(port), Transport: "udp", Context: ctx, Timeout: timeout, Retries: 0, Version: gosnmp.Version2c, Community: cred.Secret,
		Control: d.Control("snmp"), MaxOids: 20}
	if cred.User != "" {
		g.Version, g.SecurityModel, g.MsgFlags = gosnmp.Version3, gosnmp.UserSecurityModel, gosnmp.AuthPriv
		g.SecurityParameters = &gosnmp.UsmSecurityParameters{UserName: cred.User, AuthenticationProtocol: gosnmp.SHA256, AuthenticationPassphrase: cred.Secret,
			PrivacyProtocol: gosnmp.AES, PrivacyPassphrase: cred.Secret}
	}
	return g
}

// What is read of an agent (RFC 3418, 3411, 2863, 2790, 6933).
const (
	oidDescription = ".1.3.6.1.2.1.1.1.0"
	oidUptime      = ".1.3.6.1.2.1.1.3.0"         // hundredths of a second
	oidEngine      = ".1.3.6.1.6.3.10.2.1.1.0"    // snmpEngineID
	oidMemory      = ".1.3.6.1.2.1.25.2.2.0"      // hrMemorySize, KiB
	oidUsers       = ".1.3.6.1.2.1.25.1.5.0"      // hrSystemNumUsers
	oidProcesses   = ".1.3.6.1.2.1.25.1.6.0"      // hrSystemProcesses
	oidCards       = ".1.3.6.1.2.1.2.2.1.6"       // ifPhysAddress
	oidOper        = ".1.3.6.1.2.1.2.2.1.8"       // ifOperStatus, 1 is up
	oidLoad        = ".1.3.6.1.2.1.25.3.3.1.2"    // hrProcessorLoad, percent
	oidSerial      = ".1.3.6.1.2.1.47.1.1.1.1.11" // entPhysicalSerialNum
	oidModel       = ".1.3.6.1.2.1.47.1.1.1.1.13" // entPhysicalModelName
	oidFirmware    = ".1.3.6.1.2.1.47.1.1.1.1.9"  // entPhysicalFirmwareRev
)

// maxRows bounds what is read of one column of a table, and rowsAtOnce of it by one
// question: an answer has to fit into one datagram.
const (
	maxRows    = 96
	rowsAtOnce = 24
)

// snmp reads an agent with the run's credentials; the first that works is enough.
func (h *look) snmp(ctx context.Context) {
	for _, cred := range h.Credentials {
		if cred.Kind != wire.CredentialSNMP || cred.Host != "" && cred.Host != h.a.String() {
			continue
		}
		g := SNMP(ctx, h.Dialer, h.a.String(), cred, h.answer)
		if err := g.Connect(); err != nil {
			continue
		}
		ok := h.readSNMP(ctx, g)
		_ = g.Conn.Close()
		if ok {
			return
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// readSNMP reads what an agent tells of its host. It is false of one that does not
// answer, which an agent does to whom it does not know.
func (h *look) readSNMP(ctx context.Context, g *gosnmp.GoSNMP) bool {
	if !h.pace(ctx) {
		return false
	}
	names := []string{"description", "snmp_object", "hostname", "location", "contact"}
	got, err := g.Get([]string{oidDescription, ".1.3.6.1.2.1.1.2.0", ".1.3.6.1.2.1.1.5.0", ".1.3.6.1.2.1.1.6.0", ".1.3.6.1.2.1.1.4.0"})
	if (err != nil || len(got.Variables) == 0) && g.Version == gosnmp.Version2c && ctx.Err() == nil {
		// Devices of the first version say nothing to the second.
		if g.Version = gosnmp.Version1; !h.pace(ctx) {
			return false
		}
		got, err = g.Get([]string{oidDescription, ".1.3.6.1.2.1.1.2.0", ".1.3.6.1.2.1.1.5.0", ".1.3.6.1.2.1.1.6.0"})
	}
	if err != nil || len(got.Variables) == 0 {
		return false
	}
	h.answered(wire.ProbeSNMP, 0)
	description := ""
	for i, v := range got.Variables {
		text := textOf(v)
		if text == "" || i >= len(names) {
			continue
		}
		if i == 0 {
			description = text
		}
		if i == 2 {
			h.mu.Lock()
			h.host.Names = append(h.host.Names, text)
			h.mu.Unlock()
		}
		h.attribute(names[i], text)
	}
	h.deepSNMP(ctx, g)
	h.mu.Lock()
	for i := range h.out.Services {
		if s := &h.out.Services[i]; s.Protocol == "udp" && s.Port == int(g.Port) {
			s.Banner = description
			h.mu.Unlock()
			return true
		}
	}
	h.mu.Unlock()
	h.service(wire.Service{Port: int(g.Port), Protocol: "udp", Name: "snmp", Banner: description})
	return true
}

func (h *look) pace(ctx context.Context) bool {
	return h.Dialer.Pace == nil || h.Dialer.Pace.Wait(ctx, h.a) == nil
}

func (h *look) attribute(name string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out.Attributes = append(h.out.Attributes, wire.Attribute{Address: h.host.Address, Name: name, Value: data, Source: "snmp"})
}

// deepSNMP reads what tells the machine from others, and how it does.
func (h *look) deepSNMP(ctx context.Context, g *gosnmp.GoSNMP) {
	metrics := map[string]float64{}
	for _, oid := range []string{oidEngine, oidUptime, oidMemory, oidUsers, oidProcesses} {
		if !h.pace(ctx) {
			return
		}
		got, err := g.Get([]string{oid})
		if err != nil || len(got.Variables) != 1 || got.Error != gosnmp.NoError {
			continue // This agent has no such thing.
		}
		v := got.Variables[0]
		if raw, ok := v.Value.([]byte); ok {
			if oid == oidEngine && len(raw) >= 5 && len(raw) <= 32 {
				h.attribute(wire.AttributeEngine, hex.EncodeToString(raw))
			}
			continue
		}
		n, ok := number(v)
		switch {
		case !ok:
		case oid == oidUptime:
			metrics["uptime_seconds"] = n / 100
		case oid == oidMemory:
			metrics["memory_total_bytes"] = n * 1024
		case oid == oidUsers:
			metrics["users"] = n
		case oid == oidProcesses:
			metrics["processes"] = n
		}
	}
	var cards []string
	for _, v := range h.column(ctx, g, oidCards) {
		if raw, ok := v.Value.([]byte); ok && len(raw) == 6 {
			if mac := net.HardwareAddr(raw).String(); mac != "00:00:00:00:00:00" && !slices.Contains(cards, mac) {
				cards = append(cards, mac)
			}
		}
	}
	if slices.Sort(cards); len(cards) > 0 {
		h.attribute(wire.AttributeMACs, strings.Join(cards, ";"))
	}
	if states := h.column(ctx, g, oidOper); len(states) > 0 {
		metrics["interfaces"], metrics["interfaces_up"] = float64(len(states)), 0
		for _, v := range states {
			if n, ok := number(v); ok && n == 1 {
				metrics["interfaces_up"]++
			}
		}
	}
	if loads := h.column(ctx, g, oidLoad); len(loads) > 0 {
		sum := 0.0
		for _, v := range loads {
			n, _ := number(v)
			sum += n
		}
		metrics["cpu_used_ratio"] = sum / float64(len(loads)) / 100
		h.attribute("cores", len(loads))
	}
	for _, x := range []struct{ oid, name string }{{oidSerial, "serial"}, {oidModel, "model"}, {oidFirmware, "firmware"}} {
		for _, v := range h.column(ctx, g, x.oid) {
			// The chassis comes first; slots that are empty have none.
			if text := textOf(v); text != "" {
				h.attribute(x.name, text)
				break
			}
		}
	}
	if len(metrics) > 0 {
		h.attribute(wire.AttributeMetrics, metrics)
	}
}

// column reads the rows of a table's column, as far as the bound.
func (h *look) column(ctx context.Context, g *gosnmp.GoSNMP, oid string) []gosnmp.SnmpPDU {
	var out []gosnmp.SnmpPDU
	for next := oid; len(out) < maxRows; {
		if !h.pace(ctx) {
			return out
		}
		var got *gosnmp.SnmpPacket
		var err error
		if g.Version == gosnmp.Version1 {
			got, err = g.GetNext([]string{next})
		} else {
			got, err = g.GetBulk([]string{next}, 0, rowsAtOnce)
		}
		if err != nil || got.Error != gosnmp.NoError || len(got.Variables) == 0 {
			return out
		}
		for _, v := range got.Variables {
			// An agent that goes back would be asked for ever.
			if !strings.HasPrefix(v.Name, oid+".") || v.Name == next || v.Type == gosnmp.EndOfMibView || len(out) >= maxRows {
				return out
			}
			next = v.Name
			out = append(out, v)
		}
	}
	return out
}

func textOf(v gosnmp.SnmpPDU) string {
	switch x := v.Value.(type) {
	case []byte:
		return clean(string(x), 1024)
	case string:
		return clean(x, 1024)
	}
	return ""
}

func number(v gosnmp.SnmpPDU) (float64, bool) {
	switch v.Type {
	case gosnmp.Integer, gosnmp.Counter32, gosnmp.Gauge32, gosnmp.TimeTicks, gosnmp.Counter64, gosnmp.Uinteger32:
		n, _ := gosnmp.ToBigInt(v.Value).Float64()
		return n, true
	}
	return 0, false
}
