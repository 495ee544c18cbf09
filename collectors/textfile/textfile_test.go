package textfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// split cuts data, given chunk bytes at a time.
func split(t testing.TB, o Options, data []byte, chunk int) []Event {
	t.Helper()
	s, err := NewSplitter(o, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []Event
	take := func() {
		for e, ok := s.Next(); ok; e, ok = s.Next() {
			out = append(out, e)
		}
	}
	for c := range slices.Chunk(data, chunk) {
		if n, err := s.Write(c); n != len(c) || err != nil {
			t.Fatal(n, err)
		}
		take()
	}
	s.Rest()
	take()
	if s.Pending() {
		t.Error("something is pending after the rest")
	}
	return out
}

func say(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%d+%d %q", e.Offset, e.Size, e.Text)
		if e.Cut {
			b.WriteString(" cut")
		}
		if e.Open {
			b.WriteString(" open")
		}
		if e.Replaced {
			b.WriteString(" replaced")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func encode(t testing.TB, e Encoding, text string) []byte {
	t.Helper()
	var out []byte
	var err error
	switch e {
	case GBK:
		out, err = simplifiedchinese.GBK.NewEncoder().Bytes([]byte(text))
	case GB18030:
		out, err = simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(text))
	case UTF16LE:
		out, err = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(text))
	case UTF16BE:
		out, err = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().Bytes([]byte(text))
	default:
		out = []byte(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	start := regexp.MustCompile(`^\d{4}-`)
	f := func(o Options, data []byte, want string) {
		t.Helper()
		if o.MaxBytes == 0 {
			o.MaxBytes = 100
		}
		if o.MaxLines == 0 {
			o.MaxLines = 10
		}
		for _, chunk := range []int{1, 2, 3, 7, 1000} {
			if got := say(split(t, o, data, chunk)); got != want {
				t.Errorf("%s by %d:\n got %s\nwant %s", o.Encoding, chunk, got, want)
			}
		}
	}
	f(Options{}, []byte("one\r\n\ntwo\nlast"), `0+5 "one"; 5+1 ""; 6+4 "two"; 10+4 "last" open`)
	for _, e := range []Encoding{GBK, GB18030} {
		f(Options{Encoding: e}, encode(t, e, "登录失败\r\n用户：张三\n"), `0+10 "登录失败"; 10+11 "用户：张三"`)
	}
	f(Options{Encoding: GB18030}, encode(t, GB18030, "𠀀ok\nx\n"), `0+7 "𠀀ok"; 7+2 "x"`)
	// 上 is 0x4E0A and Ċ 0x010A: bytes that look like a line feed and are none.
	for _, e := range []Encoding{UTF16LE, UTF16BE} {
		f(Options{Encoding: e}, encode(t, e, "上Ċ海\r\n登录\n"), `0+10 "上Ċ海"; 10+6 "登录"`)
	}
	f(Options{Encoding: UTF16BE}, []byte("\x0a\x00\x00\x0a\x00x\x00\x0a"), `0+4 "\u0a00"; 4+4 "x"`)
	f(Options{Encoding: GBK}, []byte("a\xff\xffb\n"), `0+5 "a��b" replaced`)
	f(Options{Start: start}, []byte("rest of old\n2026-11 begins\n  at x\n\tat y\n2026-12 next\nopen"),
		`0+12 "rest of old"; 12+28 "2026-11 begins\n  at x\n\tat y"; 40+17 "2026-12 next\nopen" open`)
	f(Options{Start: start, MaxLines: 2}, []byte("2026-1\na\nb\nc\n"), `0+9 "2026-1\na"; 9+4 "b\nc"`)
	f(Options{Start: start, MaxBytes: 16}, []byte("2026-1\naaaaaaaaaaaaaa\nb\n2026-2\n"), `0+24 "2026-1\naaaaaaaaa" cut; 24+7 "2026-2"`)
	f(Options{MaxBytes: 16}, []byte(strings.Repeat("x", 16)+"\n"+strings.Repeat("y", 17)+"\n"+strings.Repeat("z", 50)+"\nshort\n"+strings.Repeat("q", 40)),
		`0+17 "xxxxxxxxxxxxxxxx"; 17+18 "yyyyyyyyyyyyyyyy" cut; 35+51 "zzzzzzzzzzzzzzzz" cut; 86+6 "short"; 92+40 "qqqqqqqqqqqqqqqq" cut open`)
	f(Options{MaxBytes: 16}, []byte(strings.Repeat("界", 6)+"\n"), `0+19 "界界界界界" cut`)
	f(Options{MaxBytes: 17, Encoding: UTF16LE}, encode(t, UTF16LE, strings.Repeat("x", 40)+"\nab\n"), `0+82 "xxxxxxxx" cut; 82+6 "ab"`)
}

func TestSniff(t *testing.T) {
	t.Parallel()
	f := func(name string, head string, want Encoding, bom int) {
		t.Helper()
		e, err := Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, n := e.Sniff([]byte(head)); got != want || n != bom {
			t.Errorf("%s %q: %v and %d, want %v and %d", name, head, got, n, want, bom)
		}
	}
	f("", "\xef\xbb\xbfx", UTF8, 3)
	f("", "\xff\xfex\x00", UTF16LE, 2)
	f("utf-16", "\xfe\xff\x00x", UTF16BE, 2)
	f("UTF-16", "x\x00", UTF16LE, 0)
	f("utf-16be", "\x00x", UTF16BE, 0)
	f("gbk", "\xff\xfe", GBK, 0)
	f("gb18030", "", GB18030, 0)
	if _, err := Parse("latin-1"); err == nil || !strings.Contains(err.Error(), "gb18030") {
		t.Errorf("%v", err)
	}
}

// Whatever the bytes and the chunks: every byte is of one event, texts are
// valid where they were decoded and bounded, and chunks make no difference.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("one\ntwo\r\n\nthree"), uint8(0), uint8(3), false)
	f.Add([]byte("a\x00\n\x00b\x00"), uint8(4), uint8(1), false)
	f.Add([]byte("\x81\x30\x81\x30\n2x"), uint8(2), uint8(2), true)
	f.Add([]byte(strings.Repeat("z", 100)+"\n1"), uint8(0), uint8(200), true)
	start := regexp.MustCompile(`^\d`)
	f.Fuzz(func(t *testing.T, data []byte, enc, chunk uint8, lines bool) {
		o := Options{Encoding: Encoding(enc % 6), MaxBytes: 16 + int(enc/6), MaxLines: 3}
		o.Encoding, _ = o.Encoding.Sniff(data)
		if lines {
			o.Start = start
		}
		got := split(t, o, data, 1+int(chunk))
		if one := split(t, o, data, len(data)+1); say(one) != say(got) {
			t.Fatalf("by %d: %s\nat once: %s", 1+int(chunk), say(got), say(one))
		}
		place := int64(0)
		for _, e := range got {
			if e.Offset != place || e.Size <= 0 {
				t.Fatalf("%s: a gap or an overlap at %d", say(got), place)
			}
			place += int64(e.Size)
			if len(e.Text) > o.MaxBytes {
				t.Fatalf("a text of %d bytes, %d are allowed", len(e.Text), o.MaxBytes)
			}
		}
		if place != int64(len(data)) {
			t.Fatalf("%d of %d bytes have an event", place, len(data))
		}
	})
}
