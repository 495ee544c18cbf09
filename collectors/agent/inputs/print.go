package inputs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

var errProtobuf = errors.New("inputs: this is no batch of samples")

// Print writes an unpacked batch of samples in Prometheus' exposition format, with
// times in milliseconds.
func Print(out io.Writer, batch []byte) error {
	return each(batch, func(_ int, series []byte, _ uint64) error {
		name := ""
		var labels []string
		var value float64
		var at uint64
		err := each(series, func(n int, b []byte, _ uint64) error {
			if n == 2 {
				return each(b, func(n int, _ []byte, v uint64) error {
					if n == 1 {
						value = math.Float64frombits(v)
					} else {
						at = v
					}
					return nil
				})
			}
			var pair [2]string
			err := each(b, func(n int, b []byte, _ uint64) error {
				if n == 1 || n == 2 {
					pair[n-1] = string(b)
				}
				return nil
			})
			if pair[0] == "__name__" {
				name = pair[1]
			} else {
				labels = append(labels, pair[0]+"="+strconv.Quote(pair[1]))
			}
			return err
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s{%s} %s %d\n", name, strings.Join(labels, ","), strconv.FormatFloat(value, 'g', -1, 64), at)
		return err
	})
}

// each calls f with the fields of a message: bytes, or a number.
func each(b []byte, f func(n int, bytes []byte, v uint64) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return errProtobuf
		}
		b = b[n:]
		var data []byte
		var v uint64
		switch tag & 7 {
		case 0:
			if v, n = binary.Uvarint(b); n <= 0 {
				return errProtobuf
			}
			b = b[n:]
		case 1:
			if len(b) < 8 {
				return errProtobuf
			}
			v, b = binary.LittleEndian.Uint64(b), b[8:]
		case 2:
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return errProtobuf
			}
			data, b = b[n:n+int(size)], b[n+int(size):]
		default:
			return errProtobuf
		}
		if err := f(int(tag>>3), data, v); err != nil {
			return err
		}
	}
	return nil
}
