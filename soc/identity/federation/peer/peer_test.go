package peer

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestClaimsByPath(t *testing.T) {
	t.Parallel()
	var c Claims
	if err := json.Unmarshal([]byte(`{
		"preferred_username": " li.wei ", "groups": ["a", 7, {"x": "no"}, ["b"]], "realm_access": {"roles": ["admin"]},
		"https://idp.example/groups": ["dotted"], "a.b": {"c": "deep"}, "empty": "", "yes": true, "n": 12, "nothing": null,
		"long": "`+strings.Repeat("x", maxValue+1)+`"}`), &c); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		"preferred_username":         {"li.wei"},
		"PREFERRED_USERNAME":         {"li.wei"},
		"groups":                     {"a", "7", "b"},
		"realm_access.roles":         {"admin"},
		"https://idp.example/groups": {"dotted"},
		"a.b.c":                      {"deep"},
		"yes":                        {"true"},
		"n":                          {"12"},
		"empty":                      nil,
		"nothing":                    nil,
		"long":                       nil,
		"realm_access":               nil,
		"realm_access.":              nil,
		"groups.x":                   nil,
		"":                           nil,
		".":                          nil,
	} {
		if got := c.Strings(path); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", path, got, want)
		}
	}
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"a":{"b":["c"]}}`), "a.b")
	f.Add([]byte(`{"":{"":1}}`), ".")
	f.Fuzz(func(t *testing.T, doc []byte, path string) {
		var c Claims
		if json.Unmarshal(doc, &c) != nil {
			return
		}
		for _, v := range c.Strings(path) {
			if v == "" || len(v) > maxValue {
				t.Errorf("%q of %s gave %q", path, doc, v)
			}
		}
	})
}
