package workshop

import (
	"bytes"
	"fmt"
	"io/fs"
	"testing"
	"unicode/utf8"

	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
)

// sampleLines are the samples of all packs.
func sampleLines(tb testing.TB) [][]byte {
	tb.Helper()
	var out [][]byte
	for _, info := range builtin().Packs() {
		text, err := fs.ReadFile(rules.Parsers(), info.ID+"/"+pack.Samples)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
				out = append(out, line)
			}
		}
	}
	return out
}

func benchmark(b *testing.B, lines [][]byte) {
	p := builtin().fresh()
	var ev event.Event
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ev.Reset()
		p.Parse(&intake.Record{Format: intake.Line, Received: At.UnixNano(), Data: lines[i%len(lines)]}, &ev)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// BenchmarkPacks reads a line of every type of log in turn with all packs in
// force; an operation is one line.
func BenchmarkPacks(b *testing.B) { benchmark(b, sampleLines(b)) }

// BenchmarkUnknown reads lines that no pack knows with all packs in force.
func BenchmarkUnknown(b *testing.B) {
	var lines [][]byte
	for i := range 1000 {
		lines = append(lines, fmt.Appendf(nil, "<13>Nov 23 09:%02d:%02d plant-%d boilerd[%d]: valve %d moved to %d%% by schedule %q after %d ms, pressure steady", i/60%60, i%60, i%7, 100+i, i%40, i%100, "night", i))
	}
	benchmark(b, lines)
}

// FuzzLine reads any line with all packs in force: what is recognised has valid
// text alone, and addresses and numbers are such.
func FuzzLine(f *testing.F) {
	for _, line := range sampleLines(f) {
		f.Add(line)
	}
	w := builtin()
	f.Fuzz(func(t *testing.T, line []byte) {
		p := w.fresh()
		var ev event.Event
		p.Parse(&intake.Record{Format: intake.Line, Received: At.UnixNano(), Data: bytes.Clone(line)}, &ev)
		for _, fd := range ev.Fields {
			if !utf8.ValidString(fd.Value) {
				t.Fatalf("%s = %q of %q", w.reg.Name(fd.ID), fd.Value, line)
			}
		}
		if ev.Text(event.EventDataset) == "" {
			t.Fatalf("no dataset: %q", line)
		}
	})
}
