package flatjson

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"os"
	"slices"
	"testing"
	"unsafe"

	"github.com/valyala/fastjson"

	"icewatch/soc/event"
)

// corpus are real Windows events where they are there, else one like them.
func corpus(tb testing.TB) (lines []string, size int64) {
	f, err := os.Open("../../../../shared/corpora/windows/events.jsonl.gz")
	if err != nil {
		lines = []string{`{"Channel":"Microsoft-Windows-Sysmon/Operational","CommandLine":"\"C:\\Windows\\system32\\cmd.exe\" /c whoami","Computer":"PC01.example.corp","EventID":"1","EventRecordID":"16110","Image":"C:\\Windows\\System32\\cmd.exe","IntegrityLevel":"Medium","Keywords":"0x8000000000000000","Level":"4","ProcessId":"3364","User":"EXAMPLE\\user01","UtcTime":"2019-02-13 18:03:28.318","Version":"5"}`}
		return lines, int64(len(lines[0]))
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	s := bufio.NewScanner(z)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		lines = append(lines, s.Text())
		size += int64(len(s.Text()))
	}
	return lines, size
}

// TestCorpus compares every event of the corpus with encoding/json.
func TestCorpus(t *testing.T) {
	t.Parallel()
	lines, _ := corpus(t)
	d := New(Options{})
	for i, line := range lines {
		got, err := read(d, line)
		want, _ := reference(line, defaultDepth)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("event %d: %v\n got %q\nwant %q", i, err, got, want)
		}
		d.Rewind()
	}
}

// bench runs read over the corpus again and again; an operation is one event.
func bench(b *testing.B, read func(line string) error) {
	lines, size := corpus(b)
	b.SetBytes(size / int64(len(lines)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := read(lines[i]); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(lines) {
			i = 0
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkEvent(b *testing.B) {
	d := New(Options{Registry: event.NewRegistry(0), Intern: true})
	var ev event.Event
	bench(b, func(line string) error {
		ev.Reset()
		d.Rewind()
		return d.Event(line, &ev)
	})
}

func BenchmarkValid(b *testing.B) {
	bench(b, func(line string) error { return Valid(unsafe.Slice(unsafe.StringData(line), len(line))) })
}

// The peers: fastjson with its tree alone, before anything is flattened or
// looked up, its validation, and encoding/json.
func BenchmarkPeerFastjson(b *testing.B) {
	var p fastjson.Parser
	bench(b, func(line string) error {
		_, err := p.Parse(line)
		return err
	})
}

func BenchmarkPeerFastjsonValidate(b *testing.B) { bench(b, fastjson.Validate) }

func BenchmarkPeerEncodingJSON(b *testing.B) {
	bench(b, func(line string) error {
		var m map[string]any
		return json.Unmarshal([]byte(line), &m)
	})
}
