package traces

import (
	"encoding/json"
	"testing"

	"github.com/valyala/fastjson"
)

func readRow(t testing.TB, original string) *Span {
	t.Helper()
	line, err := json.Marshal(map[string]string{"@timestamp": "2026-01-02T03:04:05.000000006Z", "trace.id": "ABC", "span.id": "1", "service.name": "a", "event.outcome": "failure",
		"event.duration": "7", "labels.region": "north", "http.request.method": "GET", "event.original": original})
	if err != nil {
		t.Fatal(err)
	}
	v, err := fastjson.ParseBytes(line)
	if err != nil {
		t.Fatal(err)
	}
	var rd reader
	return rd.span(row{v})
}

func TestSpan(t *testing.T) {
	t.Parallel()
	own := `[{"key":"http.request.method","type":"string","value":"GET"},{"key":"region","type":"string","value":"north"}]`
	for _, x := range []struct{ original, attributes, status string }{
		{`{"span":{"attributes":[{"key":"z","value":{"intValue":"-5"}},{"key":"b","value":{"intValue":9007199254740993}},{"key":"a","value":{"doubleValue":1e300}},{"key":"n","value":{"doubleValue":"NaN"}},{"key":"d","value":{"doubleValue":"2.5"}}]}}`,
			`[{"key":"a","type":"float64","value":1e+300},{"key":"b","type":"int64","value":9007199254740993},{"key":"d","type":"float64","value":2.5},{"key":"n","type":"string","value":"NaN"},{"key":"z","type":"int64","value":-5}]`, Unset},
		{`{"span":{"status":{"code":"STATUS_CODE_OK"},"attributes":[{"key":"m","value":{"kvlistValue":{"values":[{"key":"k","value":{"arrayValue":{"values":[{"boolValue":true},{},{"stringValue":""},{"bytesValue":"AQI="}]}}}]}}},{"key":"none","value":{}},{"key":"nothing"}]}}`,
			`[{"key":"m","type":"json","value":"{\"k\":[true,null,\"\",\"AQI=\"]}"},{"key":"none","type":"string","value":""},{"key":"nothing","type":"string","value":""}]`, OK},
		{`{"span":{"status":{"code":2}}}`, `null`, Error},
		// Not OTLP, or masked: the row's own fields tell.
		{``, own, Error},
		{`plain text`, own, Error},
		{`{"message":"a document"}`, own, Error},
		{`{"span":"***"}`, own, Error},
		{`[1,2]`, own, Error},
		{`{"span":{"attributes":[{"key":"a","value":{"stringValue":"***`, own, Error},
	} {
		s := readRow(t, x.original)
		b, err := json.Marshal(s.Attributes)
		if err != nil || string(b) != x.attributes || s.Status != x.status || s.Outcome != Error || s.TraceID != "00000000000000000000000000000abc" || s.Duration != 7 || s.Resource.Service != "a" {
			t.Errorf("%s:\n%s\nwant %s; %+v %v", x.original, b, x.attributes, s, err)
		}
	}
}

// FuzzSpan reads whatever a row's original may be.
func FuzzSpan(f *testing.F) {
	f.Add(`{"resource":{"attributes":[]},"scope":{"name":"x"},"span":{"attributes":[{"key":"a","value":{"kvlistValue":{"values":[]}}}],"events":[{"name":"e","timeUnixNano":"1"}],"links":[{"traceId":"1"}]}}`)
	f.Add(`{"resource":7,"scope":null,"span":{"attributes":{},"events":[1],"links":["x",null],"status":[]}}`)
	f.Fuzz(func(t *testing.T, original string) {
		s := readRow(t, original)
		if s.Resource == nil {
			t.Fatal("a span without a resource")
		}
		if _, err := json.Marshal(s); err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
	})
}
