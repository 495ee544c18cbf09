package otlp

import (
	"encoding/json"
	"testing"

	"github.com/valyala/fastjson"

	"icewatch/collectors/collecttest"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
)

// FuzzRequest feeds any bytes as a request of any signal in both encodings:
// whatever is taken in is JSON that the parser reads, within the bounds.
func FuzzRequest(f *testing.F) {
	f.Add(marshal(f, everyValue()), true, false)
	f.Add([]byte(everyValueJSON), true, true)
	f.Add(marshal(f, logRequest("a", "b市")), false, false)
	f.Add([]byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{}}}]}}}]}]}]}`), false, true)
	p := parse.New(event.NewRegistry(1000), parse.Options{})
	f.Fuzz(func(t *testing.T, body []byte, ofTraces, isJSON bool) {
		sig := logs
		if ofTraces {
			sig = traces
		}
		var b batch
		b.reset(sig, intake.Record{Format: sig.format, Received: 1}, new(collecttest.Aside))
		var err error
		if isJSON {
			err = b.readJSON(new(fastjson.Parser), body)
		} else {
			err = b.readWire(body)
		}
		if err != nil {
			return
		}
		records, _ := b.finish()
		for i := range records {
			r := &records[i]
			if !json.Valid(r.Data) || len(r.Data) > intake.MaxData {
				t.Fatalf("%q", r.Data)
			}
			var ev event.Event
			p.Parse(r, &ev)
			for _, fd := range ev.Fields {
				if fd.Value == parse.MarkBadJSON {
					t.Fatalf("the parser does not read %s", r.Data)
				}
			}
		}
		if len(records)+b.rejected != b.seen {
			t.Fatalf("%d and %d of %d", len(records), b.rejected, b.seen)
		}
	})
}

// FuzzMetrics feeds any bytes as data points.
func FuzzMetrics(f *testing.F) {
	f.Add(marshal(f, everyMetric()))
	f.Fuzz(func(t *testing.T, body []byte) {
		tr := newTranslation(nil)
		if tr.read(body) != nil {
			return
		}
		for _, s := range tr.series {
			if s.Name() == "" || len(s.Samples) != 1 || s.Samples[0].Time == 0 {
				t.Fatalf("%+v", s)
			}
		}
	})
}
