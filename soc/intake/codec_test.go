package intake

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"
)

func samples() []Record {
	return []Record{
		{Tenant: "egov-app", Zone: "gov", Collector: "syslog-tcp", Format: Syslog, Peer: netip.MustParseAddr("10.1.2.3"),
			Received: 1_700_000_000_000_000_000, Data: []byte("<13>1 - h a - - - hello")},
		{Collector: "elastic", Format: JSON, Peer: netip.MustParseAddr("fe80::1%eth0"), Received: 5, Time: -7, ID: "x1",
			Aside: "00ff", Marks: []string{"truncated", "invalid_utf8"}, Attrs: []Attr{{"index", "logs"}, {"k", "v"}}, Data: []byte(`{"a":1}`)},
		{Received: 1, Data: []byte{}},
	}
}

func TestBatchRoundTrip(t *testing.T) {
	t.Parallel()
	want := samples()
	got, err := DecodeBatch(nil, AppendBatch(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func TestDecodeBatchRejectsDamage(t *testing.T) {
	t.Parallel()
	good := AppendBatch(nil, samples())
	for i := range good {
		if _, err := DecodeBatch(nil, good[:i]); err == nil {
			t.Fatalf("a batch cut to %d of %d bytes was accepted", i, len(good))
		}
	}
	if _, err := DecodeBatch(nil, append([]byte{9}, good[1:]...)); err == nil {
		t.Fatal("a batch of an unknown version was accepted")
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(AppendBatch(nil, samples()))
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		recs, err := DecodeBatch(nil, data)
		if err != nil {
			return
		}
		again, err := DecodeBatch(nil, AppendBatch(nil, recs))
		if err != nil {
			t.Fatalf("what was decoded does not encode again: %v", err)
		}
		if len(again) != len(recs) {
			t.Fatalf("%d records became %d", len(recs), len(again))
		}
		for i := range recs {
			if !bytes.Equal(recs[i].Data, again[i].Data) {
				t.Fatalf("record %d changed", i)
			}
		}
	})
}

func BenchmarkBatch(b *testing.B) {
	recs := make([]Record, 500)
	for i := range recs {
		recs[i] = samples()[0]
	}
	var enc []byte
	b.ReportAllocs()
	for b.Loop() {
		enc = AppendBatch(enc[:0], recs)
		if _, err := DecodeBatch(nil, enc); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(recs))/b.Elapsed().Seconds(), "records/s")
}
