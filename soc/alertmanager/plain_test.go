package alertmanager

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzPlain holds what is read fast against what encoding/json reads.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{
		`[]`, ` [ ] `, `[{}]`, `[{"labels":{"a":"b"}}]`, `[{"labels":{"alertname":"漏","x":""},"annotations":{"summary":"s"},"startsAt":"2026-11-27T00:00:00Z","endsAt":"2026-11-27T01:00:00.123+08:00","generatorURL":"http://x/"} , {"labels":{}}]`,
		`[{"Labels":{"a":"b"}}]`, `[{"labels":{"a":"b","a":"c"}}]`, `[{"labels":null}]`, `[{"labels":{"a":1}}]`, `[{"labels":{"a":"\u0041"}}]`, `[{"startsAt":"yesterday"}]`,
		`[{"startsAt":""}]`, `[{"labels":{"a":"b"},}]`, `[{"labels":{"a":"b"}}`, `[,]`, `null`, `{}`, `[{"labels":{"a":"b"}}] x`, `[{"labels":{"a":"b"},"labels":{"c":"d"}}]`, `[{"other":1}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := plain(body)
		if got == nil {
			return
		}
		var want []sentAlert
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("read %q, which encoding/json refuses: %v", body, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %+v, want %+v", body, got, want)
		}
	})
	if plain([]byte(`[{"labels":{"a":"b"},"startsAt":"2026-11-27T00:00:00Z"}]`)) == nil {
		f.Error("what is plain is not read")
	}
}
