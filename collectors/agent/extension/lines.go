package extension

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"icewatch/soc/intake"
)

// each calls out with each line that is not empty. A line that is too long is an error.
func each(r io.Reader, out func([]byte)) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 4096), maxLine)
	for s.Scan() {
		if line := bytes.TrimSuffix(s.Bytes(), []byte("\r")); len(line) > 0 {
			out(line)
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("it printed a line of more than %d KiB", maxLine>>10)
	case errors.Is(err, os.ErrClosed):
		return nil
	default:
		return err
	}
}

// readLines makes records of lines. Where the sink takes none the program waits: it cannot
// print on.
func (p *Plugin) readLines(ctx context.Context, out io.Reader) error {
	if p.Sink == nil {
		return errors.New("lines cannot be taken here")
	}
	lines := make(chan []byte, 64)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		failed <- each(out, func(line []byte) { lines <- bytes.Clone(line) })
	}()
	source := rand.Text()[:16] // Lines of one run are told apart from those of others.
	n, lost := 0, false
	for line := range lines {
		batch := [][]byte{line}
	more:
		for len(batch) < maxLines {
			select {
			case l, ok := <-lines:
				if !ok {
					break more
				}
				batch = append(batch, l)
			default:
				break more
			}
		}
		recs := make([]intake.Record, len(batch))
		now := time.Now().UnixNano()
		for i, data := range batch {
			attrs := append([]intake.Attr{{Name: "event.dataset", Value: p.dataset()}}, p.Labels...)
			recs[i] = intake.Record{Collector: "agent-plugin", Format: intake.Line, Received: now, ID: source + "-" + strconv.Itoa(n+i), Attrs: attrs, Data: data}
		}
		n += len(batch)
		for !lost {
			err := p.Sink.Append(ctx, recs)
			if err == nil {
				p.mu.Lock()
				p.lines += uint64(len(recs))
				p.mu.Unlock()
				break
			}
			if !errors.Is(err, intake.ErrFull) {
				p.fail(fmt.Errorf("lines cannot be kept: %w", err))
			}
			select {
			case <-ctx.Done():
				lost = true // It is being ended; what it printed last goes with it.
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
	return <-failed
}

func (p *Plugin) dataset() string {
	if p.manifest.Dataset != "" {
		return p.manifest.Dataset
	}
	return "plugin." + p.manifest.Name
}
