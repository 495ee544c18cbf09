package relp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// A frame is "TXNR SP COMMAND SP DATALEN [SP DATA] LF" (RELP specification,
// "Relp Frame"). These are its limits; a peer that breaks them speaks something
// else, and its connection is closed.
const (
	maxNumber  = 9         // digits of TXNR and DATALEN
	maxCommand = 32        // characters of COMMAND
	maxOffers  = 128 << 10 // bytes of DATA in all commands but syslog
)

// frame is one command of the client.
type frame struct {
	txnr    int
	command string
	data    []byte // valid until the next frame is read
	cut     bool   // data is only the beginning of what was sent
}

// errFrame marks what is no RELP.
var errFrame = errors.New("not a frame of RELP")

// reader takes frames off a stream.
type reader struct {
	r    *bufio.Reader
	max  int    // bytes that are kept of a message
	word []byte // a command or number as it is read
	data []byte
}

// next reads one frame. io.EOF means that the stream ended between frames.
func (r *reader) next() (f frame, err error) {
	if f.txnr, _, err = r.number(true); err != nil {
		return f, err
	}
	if f.command, err = r.commandWord(); err != nil {
		return f, inside(err)
	}
	length, sep, err := r.number(false)
	if err != nil {
		return f, inside(err)
	}
	if length == 0 {
		if sep == ' ' { // Some clients write the blank of absent data too.
			if sep, err = r.r.ReadByte(); err != nil {
				return f, inside(err)
			}
		}
		if sep != '\n' {
			return f, fmt.Errorf("%w: frame %d ends in %q, not in a line feed", errFrame, f.txnr, sep)
		}
		return f, nil
	}
	if sep != ' ' {
		return f, fmt.Errorf("%w: a blank is expected before %d bytes of data, not %q", errFrame, length, sep)
	}
	keep := length
	if limit := r.limit(f.command); keep > limit {
		if f.command != "syslog" {
			return f, fmt.Errorf("%w: command %q brings %d bytes; at most %d are read", errFrame, f.command, length, limit)
		}
		keep, f.cut = limit, true
	}
	if cap(r.data) < keep || cap(r.data) > 1<<20 && keep < 64<<10 { // One giant is not paid for ever after.
		r.data = make([]byte, keep)
	}
	f.data = r.data[:keep]
	if _, err := io.ReadFull(r.r, f.data); err != nil {
		return f, inside(err)
	}
	if _, err := r.r.Discard(length - keep); err != nil {
		return f, inside(err)
	}
	end, err := r.r.ReadByte()
	if err != nil {
		return f, inside(err)
	}
	if end != '\n' {
		return f, fmt.Errorf("%w: frame %d ends in %q, not in a line feed: its length of %d bytes is wrong", errFrame, f.txnr, end, length)
	}
	return f, nil
}

func (r *reader) limit(command string) int {
	if command == "syslog" {
		return r.max
	}
	return maxOffers
}

// number reads digits and the byte behind them. At the start of a frame the
// stream may end.
func (r *reader) number(first bool) (n int, sep byte, err error) {
	for digits := 0; ; digits++ {
		c, err := r.r.ReadByte()
		if err != nil {
			if first && digits == 0 {
				return 0, 0, err
			}
			return 0, 0, inside(err)
		}
		if c < '0' || c > '9' {
			if digits == 0 || first && c != ' ' {
				return 0, 0, fmt.Errorf("%w: a number is expected, not %q", errFrame, c)
			}
			return n, c, nil
		}
		if digits == maxNumber {
			return 0, 0, fmt.Errorf("%w: a number has more than %d digits", errFrame, maxNumber)
		}
		n = 10*n + int(c-'0')
	}
}

func (r *reader) commandWord() (string, error) {
	r.word = r.word[:0]
	for {
		c, err := r.r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == ' ' && len(r.word) > 0:
			if string(r.word) == "syslog" { // nearly always: no allocation
				return "syslog", nil
			}
			return string(r.word), nil
		case c < 'a' || c > 'z' || len(r.word) == maxCommand:
			return "", fmt.Errorf("%w: a command of up to %d small letters is expected, not %q", errFrame, maxCommand, string(append(r.word, c)))
		}
		r.word = append(r.word, c)
	}
}

// inside turns the end of a stream into one that came too early.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// answer appends a response to a frame.
func answer(dst []byte, txnr int, code int, text string) []byte {
	body := fmt.Sprintf("%d %s", code, text)
	return fmt.Appendf(dst, "%d rsp %d %s\n", txnr, len(body), body)
}

// offers answers a client's offers: the version of the protocol and the
// commands that both know.
func offers(data []byte) (text string, err error) {
	syslog := false
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "=")
		switch name {
		case "commands":
			for c := range strings.SplitSeq(value, ",") {
				syslog = syslog || c == "syslog"
			}
		case "relp_version":
			if value != "0" && value != "1" {
				return "", fmt.Errorf("version %q of the protocol is not spoken; 0 and 1 are", value)
			}
		}
	}
	if !syslog {
		return "", errors.New(`the command "syslog" is not offered, and no other is taken`)
	}
	return "OK\nrelp_version=0\nrelp_software=icewatch\ncommands=syslog", nil
}
