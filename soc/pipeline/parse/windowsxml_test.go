package parse

import (
	"strings"
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// What is not one whole event is text like any other.
func TestWindowsXMLThatIsNone(t *testing.T) {
	t.Parallel()
	p := New(event.NewRegistry(0), Options{})
	const whole = `<Event><System><EventID>1</EventID><Channel>Security</Channel></System><EventData><Data Name="a">b</Data></EventData></Event>`
	for text, want := range map[string]string{
		whole:                              "windows.security",
		"\n" + whole + "\r\n":              "windows.security",
		whole[:len(whole)-1]:               "generic.log",
		whole + whole:                      "generic.log",
		whole + "x":                        "generic.log",
		"<Events>" + whole + "</Events>":   "generic.log",
		"<Event/>":                         "generic.log",
		"<Event></Event>":                  "generic.log",
		"<Event><System></Event></System>": "generic.log",
		strings.Replace(whole, "b<", "&nope;<", 1):         "generic.log",
		strings.Replace(whole, "b<", "&#xffffffffff;<", 1): "generic.log",
		strings.Replace(whole, "b<", "&#xd800;&#0;<", 1):   "windows.security",
		"<!DOCTYPE Event [<!ENTITY a 'b'>]>" + whole:       "generic.log",
		strings.Repeat("<Event>", 100):                     "generic.log",
	} {
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.Line, Data: []byte(text)}, &ev)
		if got := ev.Text(event.EventDataset); got != want || ev.Text(event.Message) == "" {
			t.Errorf("%s: dataset %q, want %q; message %q", text, got, want, ev.Text(event.Message))
		}
		if want == "generic.log" && ev.Has(p.names.channel) {
			t.Errorf("%s: it left its fields", text)
		}
	}
}
