package syslog

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// frames feeds data in pieces of size to a framer and renders its messages.
func frames(data string, size, limit int, end ending) []string {
	f := &framer{buf: make([]byte, 64), max: limit}
	var out []string
	take := func(e ending) {
		for {
			msg, marks, ok := f.next(e)
			if !ok {
				return
			}
			out = append(out, strings.Join(append([]string{string(msg)}, marks...), "|"))
		}
	}
	for len(data) > 0 {
		n := min(size, len(data))
		if !f.room(n) {
			return append(out, "NO ROOM")
		}
		copy(f.buf[f.end:], data[:n])
		f.end += n
		data = data[n:]
		take(open)
	}
	take(end)
	return out
}

func TestFramer(t *testing.T) {
	t.Parallel()
	f := func(name, data string, want ...string) {
		t.Helper()
		for _, size := range []int{1, 2, 3, 7, 1 << 20} {
			if got := frames(data, size, 100, eof); !reflect.DeepEqual(got, want) {
				t.Errorf("%s in pieces of %d:\n got %q\nwant %q", name, size, got, want)
			}
		}
	}
	f("lines", "<13>a\n<13>b\n", "<13>a", "<13>b")
	f("lines with carriage returns", "<13>a\r\n<13>b\r\n", "<13>a", "<13>b")
	f("last line without end", "<13>a\n<13>b", "<13>a", "<13>b")
	f("empty lines", "\n\n<13>a\n\n\n", "<13>a")
	f("octets", "5 <13>a6 <13>bb", "<13>a", "<13>bb")
	f("octets with line ends inside and behind", "7 <13>a\nb\n5 <13>c\n", "<13>a\nb", "<13>c")
	f("both framings", "5 <13>a<13>b\n5 <13>c", "<13>a", "<13>b", "<13>c")
	f("NUL ends", "<13>a\x00<13>b\x00", "<13>a", "<13>b")
	f("NUL before counted", "<13>a\x005 <13>b", "<13>a", "<13>b")
	f("NUL and line end", "<13>a\x00\n<13>b\x00\n", "<13>a", "<13>b")
	f("NUL within", "<13>a\x00b\n<13>c\n", "<13>a\x00b", "<13>c")
	f("a line that starts with a number", "2026 was a year\n<13>b\n", "2026 was a year", "<13>b")
	f("a line of digits", "12345\n99\n", "12345", "99")
	f("count too small", "3 <13>abc\n5 <13>d", "<13", ">abc|bad_framing", "<13>d")
	f("count too long to be one", "99999999999 <13>a\n<13>b\n", "99999999999 <13>a", "<13>b")
	f("count beyond the end", "50 <13>a", "<13>a|partial")
	f("long line", "<13>"+strings.Repeat("x", 200)+"\n<13>b\n", "<13>"+strings.Repeat("x", 96)+"|truncated", "<13>b")
	f("long counted", "200 <13>"+strings.Repeat("x", 196)+"5 <13>b", "<13>"+strings.Repeat("x", 96)+"|truncated", "<13>b")
	f("line of exactly the limit", strings.Repeat("x", 100)+"\n<13>b\n", strings.Repeat("x", 100), "<13>b")
	f("garbage after counted frames", "5 <13>agarbage\n5 <13>b", "<13>a", "garbage|bad_framing", "<13>b")
	f("TLS hello on a plain port", "\x16\x03\x01\x02\x00\x01\n", "\x16\x03\x01\x02\x00\x01")
	f("nothing", "")
	f("only separators", "\n\r\n\x00\x00\n")
}

func TestFramerStopped(t *testing.T) {
	t.Parallel()
	got := frames("<13>a\n<13>b", 100, 100, stopped)
	if want := []string{"<13>a", "<13>b|partial"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzFramer checks that the framing does not depend on how the bytes were cut
// into reads, that nothing over-long comes out, and that it comes to an end.
func FuzzFramer(f *testing.F) {
	for _, s := range []string{"<13>a\n<13>b\n", "5 <13>a6 <13>bb", "3 <13>abc\n5 <13>d", "<13>a\x00<13>b\x00", "50 <13>a", "1 ", "9 <\x00<", "99999999999 <13>a\n"} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		const limit = 40
		whole := frames(string(data), max(len(data), 1), limit, eof)
		pieces := frames(string(data), int(size%16)+1, limit, eof)
		if !reflect.DeepEqual(whole, pieces) {
			t.Fatalf("in one piece %q, in pieces %q", whole, pieces)
		}
		kept := 0
		for _, m := range whole {
			text, _, _ := strings.Cut(m, "|")
			kept += len(text)
			if len(text) > limit && !strings.Contains(m, "|") {
				t.Fatalf("a message of %d bytes", len(text))
			}
		}
		if kept > len(data) {
			t.Fatalf("%d bytes came out of %d", kept, len(data))
		}
	})
}

func BenchmarkFramer(b *testing.B) {
	msg := "<86>1 2026-11-23T10:00:00.123456+08:00 web-01 sshd 4242 - - Failed password for invalid user oracle from 203.0.113.7 port 40022 ssh2"
	var octets, lines bytes.Buffer
	for range 1000 {
		fmt.Fprintf(&octets, "%d %s", len(msg), msg)
		lines.WriteString(msg + "\n")
	}
	for name, data := range map[string][]byte{"octets": octets.Bytes(), "lines": lines.Bytes()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				f := framer{buf: data, end: len(data), max: 1 << 20}
				n := 0
				for {
					if _, _, ok := f.next(open); !ok {
						break
					}
					n++
				}
				if n != 1000 {
					b.Fatalf("%d messages", n)
				}
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
