package ftp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"

	"icewatch/collectors"
	"icewatch/collectors/fetch"
	"icewatch/collectors/textfile"
	"icewatch/soc/intake"
)

// fileError is wrong with one file; the connection is as good as before.
type fileError struct{ err error }

func (f *fileError) Error() string { return f.err.Error() }
func (f *fileError) Unwrap() error { return f.err }

// body is a file's text, unpacked.
type body struct {
	io.Reader
	source io.Closer
}

// Close tells whether the server sent all that was asked for.
func (b *body) Close() error { return b.source.Close() }

// open reads a file from an offset on, which counts unpacked bytes, up to what
// the listing said.
func (s *settings) open(r remote, e entry, packed bool, from int64) (*body, error) {
	if !packed {
		source, err := r.open(e.path, from)
		if err != nil {
			return nil, err
		}
		return &body{io.LimitReader(source, e.size-from), source}, nil
	}
	source, err := r.open(e.path, 0)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(io.LimitReader(source, e.size), 64<<10))
	if err == nil && from > 0 {
		if _, err = io.CopyN(io.Discard, z, from); err == io.EOF {
			err = &fileError{fmt.Errorf("it has fewer than the %d bytes that were read of it before", from)}
		}
	}
	if err != nil {
		_ = source.Close()
		return nil, unpacking(err)
	}
	return &body{unpacked{z}, source}, nil
}

// unpacked tells what is wrong with a packed file from what is wrong with the
// connection.
type unpacked struct{ z *gzip.Reader }

// Read implements io.Reader.
func (u unpacked) Read(p []byte) (int, error) {
	n, err := u.z.Read(p)
	return n, unpacking(err)
}

func unpacking(err error) error {
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) && err != io.EOF {
		return &fileError{fmt.Errorf("it is not whole gzip: %w", err)}
	}
	var corrupt interface{ Error() string }
	if errors.As(err, &corrupt) && bytes.HasPrefix([]byte(err.Error()), []byte("flate:")) {
		return &fileError{fmt.Errorf("it is not whole gzip: %w", err)}
	}
	return err
}

// head is a file's beginning.
func (s *settings) head(r remote, e entry, packed bool) ([]byte, error) {
	b, err := s.open(r, e, packed, 0)
	if err != nil {
		return nil, err
	}
	head := make([]byte, maxPrint)
	n, err := io.ReadFull(b, head)
	ended := b.Close()
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if err != nil && ended != nil { // It ended by itself, so the server has something to say.
		return nil, ended
	}
	return head[:n], nil
}

// stands tells whether what lies before the place that a content was read to is
// in the file as well.
func (c *Collector) stands(r remote, k *content, e entry, packed bool) bool {
	if k.Mark == 0 {
		return true
	}
	b, err := c.s.open(r, e, packed, k.At-int64(k.Mark))
	if err != nil {
		return false
	}
	print := make([]byte, k.Mark)
	_, err = io.ReadFull(b, print)
	_ = b.Close() // Most of what was asked for was not wanted.
	return err == nil && digest(print) == k.Print
}

// window keeps the last bytes that went through it.
type window struct{ b []byte }

func (w *window) add(p []byte) {
	if len(p) >= maxPrint {
		w.b = append(w.b[:0], p[len(p)-maxPrint:]...)
		return
	}
	if over := len(w.b) + len(p) - maxPrint; over > 0 {
		w.b = append(w.b[:0], w.b[over:]...)
	}
	w.b = append(w.b, p...)
}

// saveEvery is how often places are saved within a file; what was read after the
// last save is read again after a kill, under the same ids.
const saveEvery = time.Second

// read stores what lies behind the place of a file. rest says that the file is
// complete. done tells that nothing of it is left.
func (c *Collector) read(r remote, e entry, k *content, head []byte, packed, rest bool) (done bool, err error) {
	from := k.Offset
	enc, mark := c.s.encoding.Sniff(head)
	if from == 0 {
		from = int64(min(mark, len(head)))
	}
	if !packed && from >= e.size {
		k.Offset = max(k.Offset, min(from, e.size))
		return true, nil
	}
	split, err := textfile.NewSplitter(textfile.Options{Encoding: enc, Start: c.s.start, MaxBytes: c.s.MaxEventBytes, MaxLines: c.s.MaxLines}, from)
	if err != nil {
		return false, err
	}
	b, err := c.s.open(r, e, packed, from)
	if err != nil {
		return false, err
	}
	shut := false
	defer func() {
		if !shut {
			_ = b.Close()
		}
	}()
	var (
		recs  []intake.Record
		size  int
		at    = from // how far was read
		tail  window
		saved = c.now()
		chunk = make([]byte, fetch.BatchBytes)
	)
	hand := func(place int64) error {
		if err := c.Hand(recs); err != nil {
			return err
		}
		clear(recs)
		recs, size = recs[:0], 0
		k.Offset = place
		if len(tail.b) > 0 {
			k.At, k.Mark, k.Print = at, len(tail.b), digest(tail.b)
		}
		c.places.touch(k.Path)
		if now := c.now(); now.Sub(saved) >= saveEvery {
			saved = now
			return c.places.save(c.Storing())
		}
		return nil
	}
	take := func() error {
		place := k.Offset
		for ev, ok := split.Next(); ok; ev, ok = split.Next() {
			place = ev.Offset + int64(ev.Size)
			if len(ev.Text) == 0 {
				continue
			}
			recs = append(recs, c.s.record(k, e, ev))
			if size += len(ev.Text); size >= fetch.BatchBytes || len(recs) >= fetch.BatchRecords {
				if err := hand(place); err != nil {
					return err
				}
			}
		}
		return hand(place)
	}
	for {
		n, err := io.ReadFull(b, chunk)
		ended := err == io.EOF || err == io.ErrUnexpectedEOF
		tail.add(chunk[:n])
		at += int64(n)
		if at > c.s.MaxFileBytes {
			return false, &fileError{fmt.Errorf("it has more than %d bytes, which max_file_bytes allows; what lies before is stored", c.s.MaxFileBytes)}
		}
		if _, err := split.Write(chunk[:n]); err != nil {
			return false, err
		}
		if !ended || n > 0 {
			if err := take(); err != nil {
				return false, err
			}
		}
		if ended {
			break
		}
		if err != nil {
			return false, err
		}
	}
	shut = true
	if err := b.Close(); err != nil && !packed && at < e.size {
		return false, err
	}
	if !packed && at < e.size {
		return false, &fileError{fmt.Errorf("it ended at %d bytes, though the listing says %d", at, e.size)}
	}
	if rest {
		split.Rest()
		return true, take()
	}
	return !split.Pending(), nil
}

// record makes a record of an event.
func (s *settings) record(k *content, e entry, ev textfile.Event) intake.Record {
	offset := strconv.FormatInt(ev.Offset, 10)
	rec := intake.Record{Tenant: s.Tenant, Zone: s.Zone, Collector: s.ID, Format: intake.Line, Received: time.Now().UnixNano(),
		ID: k.Stream + "-" + offset + "-" + strconv.Itoa(ev.Size), Data: ev.Text,
		Attrs: []intake.Attr{{Name: "log.file.path", Value: display(e.path)}, {Name: "log.offset", Value: offset}}}
	if s.Host != "" {
		rec.Attrs = append(rec.Attrs, intake.Attr{Name: "host.name", Value: s.Host})
	}
	if ev.Cut {
		rec.Marks = append(rec.Marks, collectors.MarkTruncated)
	}
	if ev.Replaced {
		rec.Marks = append(rec.Marks, "invalid_utf8")
	}
	return rec
}

// display makes text of a server's path: names that are not UTF-8 are GBK on
// Chinese systems.
func display(p string) string {
	if utf8.ValidString(p) {
		return p
	}
	if s, err := simplifiedchinese.GBK.NewDecoder().String(p); err == nil {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(p), []byte("\uFFFD")))
}

// try signs in, looks, and reads the first events.
func try(ctx context.Context, cfg any, deps collectors.Deps) (collectors.Trial, error) {
	var out collectors.Trial
	c, ok := cfg.(*Config)
	if !ok {
		return out, fmt.Errorf("ftp: configuration of a source of files expected, not %T", cfg)
	}
	s, err := c.settle(true)
	if err != nil {
		return out, err
	}
	if deps.Dial == nil {
		deps.Dial = collectors.PlainDial
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	step := func(text string) { out.Steps = append(out.Steps, text) }
	r, err := s.connect(ctx, deps.Dial, step)
	if err != nil {
		return out, err
	}
	defer r.Close()
	w := s.walk(r)
	files, err := w.files(s.Paths)
	if err != nil {
		return out, err
	}
	if len(files) == 0 && len(w.faults) > 0 {
		return out, errors.Join(w.faults...)
	}
	if len(files) == 0 {
		return out, fmt.Errorf("no file matches %q", s.Paths)
	}
	step(fmt.Sprintf("%d files match, such as %s", len(files), display(files[0].path)))
	for _, e := range files {
		if e.size == 0 || len(out.Records) > 0 {
			continue
		}
		if out.Records, err = s.first(r, e); err != nil {
			return out, fmt.Errorf("read %s: %w", display(e.path), err)
		}
		step(fmt.Sprintf("the first events of %s are readable", display(e.path)))
	}
	return out, nil
}

// first reads the first events of a file.
func (s *settings) first(r remote, e entry) ([]string, error) {
	packed := bytes.HasSuffix(bytes.ToLower([]byte(e.path)), []byte(".gz"))
	b, err := s.open(r, e, packed, 0)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 64<<10)
	n, ended := io.ReadFull(b, text)
	_ = b.Close() // Most of it was not wanted.
	if ended != nil && ended != io.EOF && ended != io.ErrUnexpectedEOF {
		return nil, ended
	}
	enc, mark := s.encoding.Sniff(text[:n])
	split, err := textfile.NewSplitter(textfile.Options{Encoding: enc, Start: s.start, MaxBytes: min(s.MaxEventBytes, 4096), MaxLines: s.MaxLines}, int64(mark))
	if err != nil {
		return nil, err
	}
	_, _ = split.Write(text[mark:n]) // It takes all.
	if ended != nil {                // The file ends here.
		split.Rest()
	}
	var out []string
	for ev, ok := split.Next(); ok && len(out) < collectors.MaxTrial; ev, ok = split.Next() {
		if len(ev.Text) > 0 {
			out = append(out, string(bytes.ToValidUTF8(ev.Text, []byte("\uFFFD"))))
		}
	}
	return out, nil
}
