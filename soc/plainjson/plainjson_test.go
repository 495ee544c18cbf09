package plainjson

import (
	"encoding/json"
	"maps"
	"testing"
)

// FuzzObject holds what is written against what encoding/json reads.
func FuzzObject(f *testing.F) {
	for _, s := range []string{"", "a", "漏洞", `quote " \ back`, "line\nbreak\t\x00\x1f\x7f", "<b>&", "bad \xff\xc3", "\u2028", "🙂"} {
		f.Add(s, "other")
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		in := map[string]string{name: value, "z": name, value: ""}
		var got, want map[string]string
		if err := json.Unmarshal(Object([]byte("x"), in)[1:], &got); err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		if len(got) == len(in) && !maps.Equal(got, want) { // else names became the same
			t.Errorf("%q, want %q", got, want)
		}
	})
	if got := string(Object(nil, nil)); got != "null" {
		f.Errorf("nil is %s", got)
	}
}
