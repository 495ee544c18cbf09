package cmdb

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// FuzzStoredTexts: what is written of lists and attributes is what is read, and
// what a decoder reads of it.
func FuzzStoredTexts(f *testing.F) {
	f.Add("a", "b", "c")
	f.Add("", "", "x")
	f.Add(`","`, `":"`, `\\`)
	f.Add("<&>", "\u2028", "中文")
	f.Add("k", `"`, `]`)
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, want := range [][]string{nil, {a}, {a, b}, {a, b, c}} {
			text := jsonList(want)
			var decoded []string
			if err := json.Unmarshal([]byte(text), &decoded); err != nil {
				t.Fatal(err)
			}
			if got, err := listOf(text); err != nil || !slices.Equal(got, decoded) {
				t.Errorf("%s is read as %q, %v; a decoder reads %q", text, got, err, decoded)
			}
		}
		for _, want := range []map[string]string{nil, {a: b}, {a: b, b: c}, {a: b, b: c, c: a}} {
			text := jsonMap(want)
			var decoded map[string]string
			if err := json.Unmarshal([]byte(text), &decoded); err != nil {
				t.Fatal(err)
			}
			if got, err := mapOf(text); err != nil || !maps.Equal(got, decoded) {
				t.Errorf("%s is read as %q, %v; a decoder reads %q", text, got, err, decoded)
			}
		}
	})
}

// TestStoredTextsThatWeDidNotWrite are read by a decoder, or are an error.
func TestStoredTextsThatWeDidNotWrite(t *testing.T) {
	t.Parallel()
	if got, err := listOf(`[ "a", "b" ]`); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := listOf("null"); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := listOf("[1]"); err == nil {
		t.Errorf("%q", got)
	}
	if got, err := mapOf("[]"); err == nil {
		t.Errorf("%q", got)
	}
}
