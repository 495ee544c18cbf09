package beat

import (
	"reflect"
	"testing"
)

func TestWire(t *testing.T) {
	t.Parallel()
	want := Beats{Mark: Mark{"run", 7}, Beats: []Beat{
		{Number: 3, New: true, Key: Key{"tax", "nginx.access", "web-1"}, Facts: Facts{Collector: "syslog", Zone: "gov", Peer: "10.1.2.3", Item: "i", ItemName: "网站", Class: "host", System: "s", SystemName: "税务", Owner: "o", Category: "web"},
			Last: 1_800_000_000_000_000_001, Counts: []Count{{6_000_000, 12}, {6_000_001, 1 << 40}}},
		{Number: 70_000, Last: -1, Counts: []Count{{-3, 1}}},
		{Number: 1, New: true, Key: Key{Tenant: "city"}},
	}}
	text, err := want.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v: %+v", err, got)
	}
	for n := range text {
		if b, err := Parse(text[:n]); err == nil {
			t.Fatalf("%d of %d bytes are taken: %+v", n, len(text), b)
		}
	}
	if _, err := Parse(append(text, 0)); err == nil {
		t.Error("what follows is passed over")
	}
}

// FuzzParse reads any bytes: what is taken can be written and is read as the same.
func FuzzParse(f *testing.F) {
	b := Beats{Mark: Mark{"run", 7}, Beats: []Beat{{Number: 3, New: true, Key: Key{"tax", "x", "y"}, Last: 5, Counts: []Count{{1, 2}}}, {Number: 4, Last: 6}}}
	text, _ := b.AppendBinary(nil)
	f.Add(text)
	f.Add([]byte{0, 0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := Parse(text)
		if err != nil {
			return
		}
		again, _ := b.AppendBinary(nil)
		if c, err := Parse(again); err != nil || !reflect.DeepEqual(b, c) {
			t.Fatalf("%v: %+v is not %+v", err, c, b)
		}
	})
}
