package agenttest

import (
	"encoding/binary"
	"errors"
	"math"
)

var errProtobuf = errors.New("this is no protobuf")

func fromBits(v uint64) float64 { return math.Float64frombits(v) }

// eachField calls f with each field of a message: its bytes, or its number.
func eachField(b []byte, f func(n int, bytes []byte, v uint64) error) error {
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
