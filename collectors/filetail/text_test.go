package filetail

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"icewatch/collectors/textfile"
)

func encoded(t *testing.T, e encoding.Encoding, text string) string {
	t.Helper()
	out, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	little, big := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	for _, c := range []struct {
		name, setting, mark string
		enc                 encoding.Encoding
	}{
		{"GBK", "gbk", "", simplifiedchinese.GBK}, {"GB18030", "gb18030", "", simplifiedchinese.GB18030}, {"GB18030 found", "auto", "", simplifiedchinese.GB18030},
		{"UTF-8 found", "auto", "", unicode.UTF8}, {"UTF-8 with a mark", "utf-8", "\xef\xbb\xbf", unicode.UTF8},
		{"UTF-16LE with a mark", "utf-8", "\xff\xfe", little}, {"UTF-16BE with a mark", "auto", "\xfe\xff", big}, {"UTF-16LE stated", "utf-16le", "", little}, {"UTF-16BE stated", "utf-16be", "", big},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(cfg *Config) { cfg.Encoding = c.setting })
			first, second, third := encoded(t, c.enc, "plain\r\n登录失败，用户：张三\n"), encoded(t, c.enc, "上海\n\n"), encoded(t, c.enc, "南京")
			// Written in pieces that end within characters and line ends.
			whole := c.mark + first
			b.write("app.log", "")
			b.start()
			for i := 0; i < len(whole); i += 7 {
				b.write("app.log", whole[i:min(i+7, len(whole))])
				time.Sleep(12 * time.Millisecond)
			}
			b.expect("plain", "登录失败，用户：张三")
			b.stop()
			b.write("app.log", second)
			b.start()
			b.expect("plain", "登录失败，用户：张三", "上海")
			b.write("app.log", third)
			time.Sleep(20 * time.Millisecond)
			b.write("app.log", encoded(t, c.enc, "市\n"))
			b.expect("plain", "登录失败，用户：张三", "上海", "南京市")
			r := b.sink.Records()
			if at := fmt.Sprint(len(whole)); r[2].Attrs[1].Value != at || !strings.Contains(r[2].ID, "-"+at+"-") {
				t.Errorf("the third line is at %s, its id %s; it begins at byte %s", r[2].Attrs[1].Value, r[2].ID, at)
			}
			for _, r := range r {
				if len(r.Marks) > 0 {
					t.Errorf("%s: marks %q", r.Data, r.Marks)
				}
			}
		})
	}
}

func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(cfg *Config) { cfg.Encoding = "gbk" })
	b.write("app.log", "a\xff\xffb\nok\n")
	b.start()
	r := b.sink.Wait(t, 2)
	if !strings.Contains(string(r[0].Data), "\ufffd") || !slices.Equal(r[0].Marks, []string{markInvalid}) || len(r[1].Marks) > 0 {
		t.Errorf("%q, marks %q", r[0].Data, r[0].Marks)
	}
}

// A line longer than allowed is cut in UTF-16, too, and the next one is whole.
func TestLongLineOfUTF16(t *testing.T) {
	t.Parallel()
	e := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	b := newBench(t, func(cfg *Config) { cfg.Encoding, cfg.MaxLine = "utf-16le", 1024 })
	b.write("app.log", encoded(t, e, strings.Repeat("京", 700)))
	b.start()
	b.sink.Wait(t, 1)
	b.write("app.log", encoded(t, e, strings.Repeat("京", 400_000)+"\nnext\n"))
	b.expect(strings.Repeat("京", 512), "next")
}

const traceback = `2026-11-26 08:00:00 ERROR failed
Traceback (most recent call last):

  File "a.py", line 1
`

func multiline(cfg *Config) { cfg.Multiline, cfg.MultilineSeconds = `^\d{4}-`, 1 }

func TestMultiline(t *testing.T) {
	t.Parallel()
	b := newBench(t, multiline)
	b.write("app.log", "a rest\n"+traceback+"2026-11-26 08:00:01 INFO ok\n")
	b.start()
	b.expect("a rest", strings.TrimSuffix(traceback, "\n"), "2026-11-26 08:00:01 INFO ok") // the last one after it has waited
	b.write("app.log", "2026-11-26 08:00:02 INFO one\nmore")
	b.write("app.log", "\n2026-11-26 08:00:03 INFO two\n")
	b.expect("a rest", strings.TrimSuffix(traceback, "\n"), "2026-11-26 08:00:01 INFO ok", "2026-11-26 08:00:02 INFO one\nmore", "2026-11-26 08:00:03 INFO two")
	r := b.sink.Records()
	if r[1].Attrs[1].Value != "7" || !strings.HasSuffix(r[1].ID, fmt.Sprintf("-7-%d", len(traceback)-1)) {
		t.Errorf("offset %s, id %s", r[1].Attrs[1].Value, r[1].ID)
	}
}

// An event that waits is read again after a restart or a kill, from its beginning.
func TestMultilineOverRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(cfg *Config) { multiline(cfg); cfg.MultilineSeconds = 3600 })
	b.write("app.log", "2026-11-26 INFO first\n"+traceback)
	b.start()
	b.expect("2026-11-26 INFO first")
	positions, err := os.ReadFile(b.path("state/positions.json"))
	if err != nil {
		t.Fatal(err)
	}
	b.kill(positions)
	b.write("app.log", "    raise\n2026-11-26 INFO last\n")
	b.start()
	b.expect("2026-11-26 INFO first", traceback+"    raise")
	b.rename("app.log", "app.log.1") // The end of a rotated file is final.
	b.expect("2026-11-26 INFO first", traceback+"    raise", "2026-11-26 INFO last")
}

func TestMultilineIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(cfg *Config) { multiline(cfg); cfg.MaxLines, cfg.MaxLine = 3, 1024 })
	b.write("app.log", "2026-1\n2\n3\n4\n2026-"+strings.Repeat("x", 1000)+"\n"+strings.Repeat("y", 100)+"\n2026-end\n")
	b.start()
	b.expect("2026-1\n2\n3", "4", "2026-"+strings.Repeat("x", 1000)+"\n"+strings.Repeat("y", 18), "2026-end")
	for _, r := range b.sink.Records() {
		if cut := slices.Contains(r.Marks, "truncated"); cut != strings.Contains(string(r.Data), "yyy") {
			t.Errorf("%q: marks %q", r.Data, r.Marks)
		}
	}
}

func TestTextSettings(t *testing.T) {
	t.Parallel()
	for want, tune := range map[string]func(*Config){
		`filetail: filetail: the encoding "latin1" is unknown`:        func(c *Config) { c.Encoding = "latin1" },
		`filetail: filetail: multiline: "(" is no regular expression`: func(c *Config) { c.Multiline = "(" },
		"filetail: filetail: max_lines (0) and multiline_seconds (5)": func(c *Config) { c.Multiline, c.MaxLines = "x", 0 },
	} {
		cfg, _ := NewFactory().DefaultConfig().(*Config)
		cfg.Paths, cfg.PositionFile = []string{"x"}, "y"
		tune(cfg)
		if err := cfg.check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// FuzzLines checks that events do not depend on how a file grew, and that each
// byte of it is of one event at most.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\r\n2 two\n\nthree"), uint8(0), uint8(3), true)
	f.Add([]byte("\xff\xfea\x00\n\x00b\x00"), uint8(4), uint8(1), false)
	f.Add([]byte("\xb5\xc7\xc2\xbc\n2\n"), uint8(2), uint8(2), true)
	f.Fuzz(func(t *testing.T, data []byte, enc, step uint8, several bool) {
		text := &reading{enc: []textfile.Encoding{textfile.UTF8, textfile.GBK, textfile.GB18030, textfile.UTF16LE, textfile.UTF16BE}[enc%5], maxBytes: 64, maxLines: 4}
		if several {
			text.start = regexp.MustCompile("^[0-9]")
		}
		read := func(step int) (out []string) {
			x := &file{pos: &position{}, text: text, sniffed: true, enc: text.enc}
			end := int64(0)
			take := func(l line) {
				if l.offset < end || len(l.text) > 3*text.maxBytes {
					t.Fatalf("an event at %d after one that ends at %d, %d bytes of text", l.offset, end, len(l.text))
				}
				end = l.offset + int64(l.size)
				out = append(out, fmt.Sprint(l.offset, l.size, l.cut, l.open, l.replaced, string(l.text)))
			}
			for rest := data; len(rest) > 0; rest = rest[min(step, len(rest)):] {
				x.buf = append(slices.Clone(x.buf), rest[:min(step, len(rest))]...)
				x.lines(false, take)
			}
			x.lines(true, take)
			if len(x.buf) > 0 || x.event.lines > 0 || x.start != int64(len(data)) {
				t.Fatalf("%d bytes are left; %d of %d read", len(x.buf), x.start, len(data))
			}
			return out
		}
		if a, b := read(int(step%16)+1), read(len(data)+1); !slices.Equal(a, b) {
			t.Fatalf("by pieces\n%q\nat once\n%q", a, b)
		}
	})
}
