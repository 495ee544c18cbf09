package parse

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"icewatch/soc/event"
	"icewatch/soc/intake"
)

var update = flag.Bool("update", false, "write the golden files anew")

// received is the moment at which all samples reach us: 23 November 2026.
var received = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC).UnixNano()

var shanghai = time.FixedZone("UTC+8", 8*3600)

func newParser() (*Parser, *event.Registry) {
	reg := event.NewRegistry(0)
	return New(reg, Options{Location: shanghai}), reg
}

// render shows an event as one JSON object with its fields in order.
func render(ev *event.Event, reg *event.Registry) string {
	var b bytes.Buffer
	b.WriteString(`{"@timestamp":`)
	write := func(s string) {
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.Encode(s)
		b.Truncate(b.Len() - 1)
	}
	write(ev.Timestamp().Format(time.RFC3339Nano))
	for _, f := range ev.Fields {
		b.WriteByte(',')
		write(reg.Name(f.ID))
		b.WriteByte(':')
		switch f.Kind {
		case event.Number, event.Bool:
			b.WriteString(f.Value)
		case event.Null:
			b.WriteString("null")
		default:
			write(f.Value)
		}
	}
	b.WriteByte('}')
	return b.String()
}

func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, reg := newParser()
			format := intake.Line
			if strings.HasSuffix(file, "headers.log") {
				format = intake.Syslog
			}
			if strings.HasSuffix(file, "flow.log") {
				format = intake.Flow
			}
			if strings.HasSuffix(file, "otlp-logs.log") {
				format = intake.OTLPLog
			}
			if strings.HasSuffix(file, "otlp-spans.log") {
				format = intake.OTLPSpan
			}
			var got bytes.Buffer
			var ev event.Event
			for line := range bytes.Lines(text) {
				ev.Reset()
				rec := intake.Record{Format: format, Received: received, Peer: netip.MustParseAddr("192.0.2.77"), Data: bytes.TrimSuffix(line, []byte{'\n'})}
				p.Parse(&rec, &ev)
				got.WriteString(render(&ev, reg) + "\n")
			}
			golden := strings.TrimSuffix(file, ".log") + ".golden.jsonl"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			in, g, w := bufio.NewScanner(bytes.NewReader(text)), bufio.NewScanner(&got), bufio.NewScanner(bytes.NewReader(want))
			for in.Scan() {
				g.Scan()
				w.Scan()
				if g.Text() != w.Text() {
					t.Errorf("%s\n got %s\nwant %s", in.Text(), g.Text(), w.Text())
				}
			}
			if w.Scan() {
				t.Errorf("the golden file has more lines than the samples")
			}
		})
	}
}
