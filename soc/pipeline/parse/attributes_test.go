package parse

import (
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// What a sender names beside the data says more than their form, and less than
// what they are of.
func TestDatasetBySender(t *testing.T) {
	t.Parallel()
	p := New(event.NewRegistry(0), Options{})
	for text, want := range map[string]string{
		`{"a":1}`: "app.orders", `{"event":{"dataset":"own.one"}}`: "own.one", "hello": "app.orders", "<13>1 - h a - - - hello": "app.orders",
		`192.0.2.1 - - [23/Nov/2026:10:00:00 +0800] "GET / HTTP/1.1" 200 5 "-" "curl"`: "nginx.access",
	} {
		var ev event.Event
		format := intake.Line
		if text[0] == '{' {
			format = intake.JSON
		}
		p.Parse(&intake.Record{Format: format, Data: []byte(text), Attrs: []intake.Attr{{Name: "event.dataset", Value: "app.orders"}, {Name: "cloudevents.source", Value: "/orders"}}}, &ev)
		source, _ := p.reg.Lookup("cloudevents.source")
		if got := ev.Text(event.EventDataset); got != want || ev.Text(source) != "/orders" || ev.Has(event.Labels) {
			t.Errorf("%s: dataset %q, want %q; source %q", text, got, want, ev.Text(source))
		}
	}
}

// Which agent sent a record its certificate says, and no text.
func TestAgentByCertificate(t *testing.T) {
	t.Parallel()
	p := New(event.NewRegistry(0), Options{})
	for _, text := range []string{"hello", `{"agent":{"id":"somebody-else"},"message":"x"}`} {
		var ev event.Event
		format := intake.Line
		if text[0] == '{' {
			format = intake.JSON
		}
		p.Parse(&intake.Record{Format: format, Data: []byte(text), Attrs: []intake.Attr{{Name: "host.name", Value: "web-1"}, {Name: "agent.id", Value: "01AGENT"}, {Name: "agent.type", Value: "icewatch-agent"}}}, &ev)
		id, _ := p.reg.Lookup("agent.id")
		if ev.Text(id) != "01AGENT" || ev.Text(event.HostName) != "web-1" || ev.Has(event.Labels) {
			t.Errorf("%s: agent %q", text, ev.Text(id))
		}
	}
}
