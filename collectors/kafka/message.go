package kafka

import (
	"bytes"
	"strings"

	"github.com/valyala/fastjson"

	"icewatch/collectors"
	"icewatch/soc/intake"
)

// Bounds of what comes beside a message's value.
const (
	maxHeaders = 32
	maxText    = 1024 // bytes of a key or a header
)

// text makes a short valid text of bytes.
func text(b []byte) string { return strings.ToValidUTF8(string(collectors.Cut(b, maxText)), "\uFFFD") }

// cutLine takes the first line off b, without its end.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest
}

// format tells what a message is.
func (c *Config) format(b []byte) intake.Format {
	switch c.Format {
	case FormatJSON:
		return intake.JSON
	case FormatSyslog:
		return intake.Syslog
	case FormatLine:
		return intake.Line
	}
	// The braces are enough: what turns out not to be JSON is kept as text. A
	// line may be JSON as well, so that nothing is lost either way.
	b = bytes.TrimSpace(b)
	if len(b) >= 2 && b[0] == '{' && b[len(b)-1] == '}' && fastjson.ValidateBytes(b) == nil {
		return intake.JSON
	}
	return intake.Line
}
