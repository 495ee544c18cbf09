package listener

import (
	"context"
	"errors"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/fleet"
	"icewatch/collectors/fleet/wire"
	"icewatch/soc/intake"
	"icewatch/soc/metrics"
)

type nowhere struct{}

func (nowhere) Append(context.Context, []intake.Record) error { return nil }

type noSamples struct{ tenant string }

func (n *noSamples) Append(_ context.Context, tenant string, series []metrics.Series) error {
	n.tenant = tenant
	for i := range series {
		own := 0
		for _, l := range series[i].Labels {
			if l.Name == labelAgent || l.Name == labelHost {
				own++
			}
			if l.Name == "tenant" || l.Name == "icewatch_tenant" {
				return errors.New("a reserved label passed")
			}
		}
		if own != 2 {
			return errors.New("the labels of the server are not there once")
		}
	}
	return nil
}

var who = fleet.Agent{ID: "01AGENT", Tenant: "egov", Name: "web-1", Facts: wire.Facts{Addresses: []string{"10.1.2.3"}}}

// FuzzBatches feeds what agents send: refused by name or stored as the agent's, and
// never a crash.
func FuzzBatches(f *testing.F) {
	f.Add(intake.AppendBatch(nil, []intake.Record{{Tenant: "seal", ID: "1", Data: []byte("x"), Attrs: []intake.Attr{{Name: "host.name", Value: "y"}}}}))
	f.Add([]byte{})
	samples := &noSamples{}
	l, err := New(Options{Samples: samples, Catalogue: &metrics.Catalogue{}, Held: metrics.Limits{Retention: time.Hour}}, collectors.Deps{Sink: nowhere{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		recs, _, err := records(who, "default", data, time.Now())
		var bad *refusal
		if err != nil && !errors.As(err, &bad) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, r := range recs {
			if err != nil {
				break
			}
			if r.Tenant != "egov" || r.Collector != ID || r.Zone != "default" {
				t.Fatalf("%+v", r)
			}
			names := 0
			for _, a := range r.Attrs {
				if a.Name == "host.name" {
					names++
				}
			}
			if names != 1 {
				t.Fatalf("host.name stands %d times", names)
			}
		}
		if err := l.metrics(t.Context(), who, data); err != nil && !errors.As(err, &bad) {
			t.Fatalf("%T: %v", err, err)
		}
		if _, err := unpacker().DecodeAll(data, nil); err == nil && len(data) > wire.MaxBody {
			t.Fatal("too large a body was unpacked")
		}
	})
}
