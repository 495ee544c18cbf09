package parse

import (
	"bufio"
	"compress/gzip"
	"os"
	"testing"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

// BenchmarkWindows parses public Windows events; an operation is one event.
func BenchmarkWindows(b *testing.B) {
	f, err := os.Open("../../../../shared/corpora/windows/events.jsonl.gz")
	if err != nil {
		b.Skip("no public corpora")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	var lines [][]byte
	size := 0
	for s := bufio.NewScanner(z); s.Scan(); size += len(s.Bytes()) {
		lines = append(lines, append([]byte(nil), s.Bytes()...))
	}
	p := New(event.NewRegistry(0), Options{Location: shanghai})
	var ev event.Event
	b.SetBytes(int64(size / len(lines)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev.Reset()
		p.Parse(&intake.Record{Format: intake.JSON, Received: received, Data: lines[i%len(lines)]}, &ev)
	}
}
