package cmdb

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"icewatch/soc/reach"
)

// bigLedger is a CSV file of n hosts.
func bigLedger(n int) string {
	var b strings.Builder
	b.WriteString("class,name,tenant,zone,addresses,hostnames,criticality,owner,labels,system,organisation,attr.os\n")
	for i := range n {
		fmt.Fprintf(&b, "host,h-%d,a,z,10.%d.%d.%d,h-%d.gov.example,3,王芳,linux;core,bs-a,,Kylin V10\n", i, i>>16&255, i>>8&255, i&255, i)
	}
	return b.String()
}

func BenchmarkImport(b *testing.B) {
	const n = 20_000
	text := bigLedger(n)
	for b.Loop() {
		b.StopTimer()
		s := openNew(b, "a")
		b.StartTimer()
		if r := mustImport(b, s, CSV, text); r.Created != n {
			b.Fatalf("%+v", r)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

func BenchmarkImportUnchanged(b *testing.B) {
	const n = 20_000
	text := bigLedger(n)
	s := openNew(b, "a")
	mustImport(b, s, CSV, text)
	for b.Loop() {
		mustImport(b, s, CSV, text)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "items/s")
}

func BenchmarkSnapshot(b *testing.B) {
	s := openNew(b, "a")
	mustImport(b, s, CSV, bigLedger(20_000))
	for b.Loop() {
		if snap, err := s.Snapshot(context.Background()); err != nil || len(snap.Items) < 20_000 {
			b.Fatal(len(snap.Items), err)
		}
	}
}

func BenchmarkListSearch(b *testing.B) {
	s := openNew(b, "a")
	mustImport(b, s, CSV, bigLedger(20_000))
	for b.Loop() {
		if p, err := s.Items(context.Background(), reach.All(), Filter{Query: "h-1999"}); err != nil || p.Total != 11 {
			b.Fatal(p.Total, err)
		}
	}
}
