package parse

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// FuzzParse feeds any bytes as any format and checks what must hold for every
// event: valid text, bounded fields, no forged names, sound JSON.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.log")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			f.Add(bytes.TrimSuffix(line, []byte("\n")), uint8(len(line)%3))
			if strings.Contains(file, "otlp") {
				f.Add(bytes.TrimSuffix(line, []byte("\n")), uint8(intake.OTLPLog)+uint8(len(line)%2))
			}
		}
	}
	f.Add([]byte("<13>\x00\xff\xfe"), uint8(1))
	f.Add([]byte(`{"a":`+strings.Repeat("[", 100)), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, format uint8) {
		reg := event.NewRegistry(1000)
		p := New(reg, Options{Location: shanghai, MaxFields: 20, MaxDepth: 4})
		rec := intake.Record{Format: intake.Format(format % uint8(intake.OTLPSpan+1)), Received: received, Peer: netip.MustParseAddr("192.0.2.77"), Data: bytes.Clone(data)}
		var ev event.Event
		p.Parse(&rec, &ev)
		if !bytes.Equal(rec.Data, data) {
			t.Fatal("the record was changed")
		}
		if !utf8.ValidString(ev.Raw) || strings.IndexByte(ev.Raw, 0) >= 0 {
			t.Fatalf("raw text %q", ev.Raw)
		}
		message := false
		for _, fd := range ev.Fields {
			name := reg.Name(fd.ID)
			if name == "" || !utf8.ValidString(name) || !utf8.ValidString(fd.Value) || strings.IndexByte(fd.Value, 0) >= 0 {
				t.Fatalf("field %q = %q", name, fd.Value)
			}
			switch fd.Kind {
			case event.Number, event.Bool:
				if !json.Valid([]byte(fd.Value)) && !isDigits(fd.Value) {
					t.Fatalf("%s is no number: %q", name, fd.Value)
				}
			}
			switch fd.ID {
			case event.Overflow:
				if !json.Valid([]byte(fd.Value)) {
					t.Fatalf("overflow %q", fd.Value)
				}
			case event.Message:
				message = true
			case event.SourceIP, event.DestIP, event.HostIP:
				if _, err := netip.ParseAddr(fd.Value); err != nil && fd.ID == event.SourceIP && ev.Text(event.EventModule) == "sshd" {
					t.Fatalf("%s is no address: %q", name, fd.Value)
				}
			}
		}
		if !message && trimSpace(ev.Raw) != "" && len(ev.Fields) == 0 {
			t.Fatalf("nothing is left of %q", data)
		}
		if ev.Created != received {
			t.Fatalf("created %d", ev.Created)
		}
	})
}

// FuzzJSON compares with the standard library what is an object and what is
// not.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}],"c":"\u00e9\ud83d\ude00"}`, `{"a":01}`, `{"a":1e5,"b":-0.5}`, `{"a":1}x`, `{"a" : [ ] }`, `{"a":tru}`, `{"a":"\x"}`, "{\"a\":\"\\ud800\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
			return
		}
		reg := event.NewRegistry(0)
		p := New(reg, Options{MaxDepth: 1000, MaxFields: 100_000})
		rec := intake.Record{Format: intake.JSON, Received: received, Data: []byte(s)}
		var ev event.Event
		p.Parse(&rec, &ev)
		marked := false
		for _, fd := range ev.Fields {
			marked = marked || fd.ID == event.Marks && fd.Value == MarkBadJSON
		}
		var object map[string]any
		err := json.Unmarshal([]byte(s), &object)
		valid := err == nil && object != nil
		if valid && marked {
			t.Fatalf("%q was refused", s)
		}
		if !valid && !marked {
			// Control characters within strings are let through on purpose.
			for i := 0; i < len(s); i++ {
				if s[i] < ' ' {
					return
				}
			}
			t.Fatalf("%q was taken: %v", s, err)
		}
	})
}

func FuzzFlow(f *testing.F) {
	f.Add(`{"type":"netflow9","exporter":"10.90.0.1","domain":7,"template":256,"sequence":1,"sampling":512,"start":1759999940000,"end":1759999999000,"flow":{"sourceIPv4Address":"198.18.4.9","destinationIPv4Address":"10.100.1.11","sourceTransportPort":50000,"destinationTransportPort":443,"protocolIdentifier":6,"octetDeltaCount":1500,"packetDeltaCount":3,"applicationName":"a\"\u0001"}}`)
	f.Add(`{"ts":1591367999.3,"uid":"C","id.orig_h":"192.168.4.76","id.orig_p":36844,"id.resp_h":"192.168.4.1","id.resp_p":53,"proto":"udp","duration":0.06,"conn_state":"SF","orig_ip_bytes":118}`)
	p, _ := newParser()
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []intake.Format{intake.Flow, intake.JSON} {
			var ev event.Event
			p.Parse(&intake.Record{Format: format, Received: received, Data: []byte(text)}, &ev)
			if ev.Raw == "" && text != "" || ev.Text(event.EventDataset) == "" {
				t.Fatalf("format %d: raw %q, dataset %q", format, ev.Raw, ev.Text(event.EventDataset))
			}
			for _, id := range []event.FieldID{event.FlowBytes, event.SourceBytes, event.FlowPackets} {
				if v := ev.Text(id); format == intake.Flow && v != "" && !isDigits(v) {
					t.Fatalf("a count is %q", v)
				}
			}
		}
	})
}

func BenchmarkOTLPSpan(b *testing.B) {
	text, err := os.ReadFile("testdata/otlp-spans.log")
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	p, _ := newParser()
	var ev event.Event
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		ev.Reset()
		p.Parse(&intake.Record{Format: intake.OTLPSpan, Received: received, Data: line}, &ev)
	}
}

func BenchmarkFlow(b *testing.B) {
	p, _ := newParser()
	data := []byte(`{"type":"netflow9","exporter":"10.90.0.1","domain":7,"template":256,"sequence":1,"exported":1760000000000,"start":1759999940000,"end":1759999999000,"flow":{"sourceIPv4Address":"198.18.4.9","destinationIPv4Address":"10.100.1.11","sourceTransportPort":50000,"destinationTransportPort":443,"protocolIdentifier":6,"octetDeltaCount":1500,"packetDeltaCount":3,"flowStartSysUpTime":4940000,"flowEndSysUpTime":4999000}}`)
	rec := intake.Record{Format: intake.Flow, Received: received, Data: data}
	var ev event.Event
	b.ReportAllocs()
	for b.Loop() {
		ev.Reset()
		p.Parse(&rec, &ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

func FuzzWindowsXML(f *testing.F) {
	f.Add(`<?xml version="1.0"?><Event xmlns='x'><System><Provider Name="P" Guid='{1}'/><EventID Qualifiers="0">1</EventID><Channel>Security</Channel><TimeCreated SystemTime="2026-11-26T01:02:03Z"/></System><EventData><Data Name="a&amp;b">1&#x4e2d;<![CDATA[<]]>2</Data><Data>x</Data></EventData><RenderingInfo><Message>m</Message></RenderingInfo></Event>`)
	f.Add(`<e:Event><e:System><e:EventID>1</e:EventID></e:System><UserData><a><b>c</b></a></UserData></e:Event>`)
	f.Add("<Event><a b")
	p := New(event.NewRegistry(0), Options{})
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []intake.Format{intake.Line, intake.Syslog} {
			var ev event.Event
			p.Parse(&intake.Record{Format: format, Data: []byte(text)}, &ev)
			for _, field := range ev.Fields {
				if !utf8.ValidString(field.Value) || strings.ContainsRune(field.Value, 0) {
					t.Fatalf("field %d is %q", field.ID, field.Value)
				}
			}
		}
	})
}
