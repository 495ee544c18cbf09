package filetail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"unicode/utf8"

	"icewatch/collectors"
	"icewatch/collectors/textfile"
)

// tryBytes is how much of a file a trial reads.
const tryBytes = 256 << 10

// Try looks for the files as the collector would and reads the first lines of
// the one that grew last. It remembers nothing.
func Try(ctx context.Context, cfg Config) (out collectors.Trial, err error) {
	if err := cfg.check(); err != nil {
		return out, err
	}
	c := &Collector{cfg: cfg}
	var newest fs.FileInfo
	var path string
	files, closed := 0, 0
	var why error
	for _, p := range c.wanted() {
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		info, err := os.Stat(p)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		f, err := os.Open(p)
		if err != nil {
			closed, why = closed+1, err
			continue
		}
		_ = f.Close()
		if files++; newest == nil || info.ModTime().After(newest.ModTime()) {
			newest, path = info, p
		}
	}
	if files > 0 {
		out.Steps = append(out.Steps, fmt.Sprintf("%d files match and can be read; the one that changed last is %s, of %d bytes", files, path, newest.Size()))
	}
	switch {
	case closed > 0:
		return out, fmt.Errorf("%d files match and cannot be read: give the suite's user the right to: %w", closed, why)
	case files == 0:
		return out, errors.New("no file matches the paths yet: they are full paths of this server, such as /var/log/app/*.log; files that come later are found")
	case files > cfg.MaxFiles:
		return out, fmt.Errorf("%d files match: max_files lets %d be followed; name fewer, or raise it", files, cfg.MaxFiles)
	}
	f, err := os.Open(path)
	if err != nil {
		return out, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	head := make([]byte, tryBytes)
	n, err := f.ReadAt(head, 0)
	if n == 0 && newest.Size() > 0 {
		return out, fmt.Errorf("read %s: %w", path, err)
	}
	out.Records, err = firstLines(&cfg, head[:n])
	return out, err
}

// firstLines are the first events of the beginning of a file.
func firstLines(cfg *Config, head []byte) ([]string, error) {
	enc, err := cfg.encoding()
	if err != nil {
		return nil, err
	}
	enc, skip := enc.Sniff(head)
	head = head[skip:]
	undecided := cfg.Encoding == auto && enc == textfile.UTF8 && skip == 0
	var start *regexp.Regexp
	if cfg.Multiline != "" {
		start = regexp.MustCompile(cfg.Multiline) // checked
	}
	var out []string
	for len(head) > 0 && len(out) <= collectors.MaxTrial {
		at, size := enc.Newline(head, 0)
		line := head
		if at >= 0 {
			line, head = head[:at], head[at+size:]
		} else {
			head = nil
		}
		if undecided && bytes.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf }) {
			if undecided = false; !utf8.Valid(line) {
				enc = textfile.GB18030
			}
		}
		text, _ := enc.Decode(line)
		text = bytes.TrimRight(text, "\r")
		switch {
		case len(text) == 0:
		case start != nil && len(out) > 0 && !start.Match(text):
			out[len(out)-1] += "\n" + string(text)
		default:
			out = append(out, string(text))
		}
	}
	return out[:min(len(out), collectors.MaxTrial)], nil
}
