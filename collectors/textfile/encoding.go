// Package textfile cuts the bytes of text files into events: lines, or lines
// that belong together, in the encodings that files of Chinese and Windows
// systems have. Places are counted in the file's own bytes, so that reading can
// go on there whatever the text became.
package textfile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// Encoding is how a file's bytes are text.
type Encoding uint8

// The encodings.
const (
	UTF8 Encoding = iota
	GBK
	GB18030
	UTF16   // by the byte order mark; without one little-endian
	UTF16LE //
	UTF16BE //
)

var names = []string{"utf-8", "gbk", "gb18030", "utf-16", "utf-16le", "utf-16be"}

// Names lists the encodings that Parse knows.
func Names() []string { return append([]string(nil), names...) }

// Parse reads an encoding's name; empty is UTF-8.
func Parse(name string) (Encoding, error) {
	if name == "" {
		return UTF8, nil
	}
	for i, n := range names {
		if strings.EqualFold(n, name) {
			return Encoding(i), nil
		}
	}
	return UTF8, fmt.Errorf("the encoding %q is unknown: one of %s is meant", name, strings.Join(names, ", "))
}

// String is the encoding's name.
func (e Encoding) String() string { return names[e] }

// Sniff looks at a file's first bytes: which encoding it has, where e or a byte
// order mark says so, and how many bytes the mark takes.
func (e Encoding) Sniff(head []byte) (Encoding, int) {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		if e == UTF8 || e == UTF16 {
			return UTF8, 3
		}
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		if e == UTF8 || e == UTF16 || e == UTF16LE {
			return UTF16LE, 2
		}
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		if e == UTF8 || e == UTF16 || e == UTF16BE {
			return UTF16BE, 2
		}
	}
	if e == UTF16 {
		return UTF16LE, 0
	}
	return e, 0
}

// Newline finds the end of the first line of b, which begins with a line, from
// the byte on that from names. It returns where the line's end begins and how
// long it is; at is -1 where b has none. No byte of a character of several bytes
// in GBK, GB18030 or UTF-8 is a line feed.
func (e Encoding) Newline(b []byte, from int) (at, size int) {
	if e < UTF16 {
		if i := bytes.IndexByte(b[from:], '\n'); i >= 0 {
			return from + i, 1
		}
		return -1, 0
	}
	low := 0
	if e == UTF16BE {
		low = 1
	}
	for i := from &^ 1; i+1 < len(b); i += 2 {
		if b[i+low] == '\n' && b[i+1-low] == 0 {
			return i, 2
		}
	}
	return -1, 0
}

// Decode turns a line into UTF-8. replaced says that bytes which are no text in
// this encoding became U+FFFD; UTF-8 itself is left as it is. The result may be
// the line's own memory.
func (e Encoding) Decode(line []byte) (text []byte, replaced bool) {
	var enc encoding.Encoding
	switch e {
	case UTF8:
		return line, false
	case GBK:
		enc = simplifiedchinese.GBK
	case GB18030:
		enc = simplifiedchinese.GB18030
	case UTF16BE:
		enc = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	default:
		enc = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	}
	if e < UTF16 && ascii(line) {
		return line, false
	}
	text, err := enc.NewDecoder().Bytes(line)
	if err != nil {
		return bytes.ToValidUTF8(line, []byte("\uFFFD")), true
	}
	return text, bytes.ContainsRune(text, utf8.RuneError)
}

func ascii(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
