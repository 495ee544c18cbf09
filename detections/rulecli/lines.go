package rulecli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

const (
	// maxLine bounds one event in bytes.
	maxLine = 64 << 20
	// batchSize is how many bytes of lines are handed over at a time.
	batchSize = 256 << 10
)

// input is the events as they are stored, and how much of them was read.
type input struct {
	io.Reader
	file *os.File
	size int64 // 0 where unknown
	read atomic.Int64
}

func (i *input) Close() error { return i.file.Close() }

// counted counts the bytes that come from the file.
type counted struct{ *input }

func (c counted) Read(b []byte) (int, error) {
	n, err := c.file.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// open opens the events, compressed or not by their first bytes.
func open(name string) (*input, error) {
	in := &input{file: os.Stdin}
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
		in.file = f
		if st, err := f.Stat(); err == nil && st.Mode().IsRegular() {
			in.size = st.Size()
		}
	}
	b := bufio.NewReaderSize(counted{in}, 1<<16)
	in.Reader = b
	magic, _ := b.Peek(2)
	if len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			in.Close()
			return nil, fmt.Errorf("events %s: %w", name, err)
		}
		in.Reader = z
	}
	return in, nil
}

// lines cuts a stream into batches of whole lines.
type lines struct {
	in     io.Reader
	rest   []byte // the begin of the next batch
	number int    // of its first line
	over   bool
}

func newLines(in io.Reader) *lines { return &lines{in: in} }

// next fills text, whose memory it uses again, with some whole lines; number is
// that of the first one, from 0. The error is io.EOF after the last line.
func (l *lines) next(text []byte) (filled []byte, number int, err error) {
	text = append(text[:0], l.rest...)
	l.rest = l.rest[:0]
	for !l.over {
		seen := len(text)
		if cap(text)-seen < batchSize/2 {
			text = append(make([]byte, 0, max(batchSize, 2*cap(text))), text...)
		}
		n, err := io.ReadFull(l.in, text[seen:cap(text)])
		text = text[:seen+n]
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			l.over = true
		case err != nil:
			return nil, l.number, err
		}
		if end := bytes.LastIndexByte(text[seen:], '\n'); end >= 0 && !l.over {
			end += seen + 1
			l.rest = append(l.rest, text[end:]...)
			text = text[:end]
			break
		}
		if !l.over && len(text) > maxLine {
			return nil, l.number, fmt.Errorf("line %d is longer than %d MiB", l.number, maxLine>>20)
		}
	}
	if len(text) == 0 {
		return nil, l.number, io.EOF
	}
	number = l.number
	l.number += bytes.Count(text, []byte{'\n'})
	return text, number, nil
}
