package queue

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// segment is one file, as it was scanned or written.
type segment struct {
	number  uint64
	epoch   string
	size    int64
	batches int
	items   int64
}

const (
	magic      = "icewq1\n"
	epochBytes = 16
	headerSize = len(magic) + 2*epochBytes + 1
	frameHead  = 8         // length and checksum
	bodyHead   = 8 + 4 + 8 // sequence, items, time
	placeName  = "place"
)

var table = crc32.MakeTable(crc32.Castagnoli)

// scan counts what a file has and cuts off what is torn.
func (q *Queue) scan(s *segment) (bool, error) {
	f, err := os.OpenFile(q.path(s.number), os.O_RDWR, 0)
	if err != nil {
		return false, fmt.Errorf("queue: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("queue: %w", err)
	}
	epoch, err := readHeader(f)
	if err != nil {
		q.damaged += uint64(info.Size())
		return false, nil
	}
	s.epoch, s.size = epoch, int64(headerSize)
	for {
		b, end, err := readFrame(f, s.size, info.Size())
		if err != nil {
			break
		}
		s.size = end
		s.batches++
		s.items += int64(b.Items)
		if !(place{s.number, end - 1}).before(q.acked) {
			q.waiting.batches++
			q.waiting.items += int64(b.Items)
			if q.oldest.IsZero() {
				q.oldest = b.Time
			}
		}
	}
	if s.size < info.Size() {
		q.damaged += uint64(info.Size() - s.size)
		if err := f.Truncate(s.size); err != nil {
			return false, fmt.Errorf("queue: cut what is torn off %s: %w", f.Name(), err)
		}
		if err := f.Sync(); err != nil {
			return false, fmt.Errorf("queue: %w", err)
		}
	}
	return true, nil
}

func readHeader(r io.ReaderAt) (epoch string, err error) {
	head := make([]byte, headerSize)
	if _, err := r.ReadAt(head, 0); err != nil {
		return "", err
	}
	if string(head[:len(magic)]) != magic || head[headerSize-1] != '\n' {
		return "", errors.New("queue: not a file of a queue")
	}
	epoch = string(head[len(magic) : headerSize-1])
	if _, err := hex.DecodeString(epoch); err != nil {
		return "", errors.New("queue: the epoch is damaged")
	}
	return epoch, nil
}

var errTorn = errors.New("queue: a batch is torn")

// readFrame reads the batch at offset of a file that has size bytes. end is
// where the next one begins.
func readFrame(r io.ReaderAt, offset, size int64) (b Batch, end int64, err error) {
	var head [frameHead]byte
	if offset+frameHead > size {
		return b, 0, io.EOF
	}
	if _, err := r.ReadAt(head[:], offset); err != nil {
		return b, 0, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n < bodyHead || n > bodyHead+MaxBody || offset+frameHead+n > size {
		return b, 0, errTorn
	}
	buf := make([]byte, n)
	if _, err := r.ReadAt(buf, offset+frameHead); err != nil {
		return b, 0, err
	}
	if crc32.Checksum(buf, table) != binary.LittleEndian.Uint32(head[4:]) {
		return b, 0, errTorn
	}
	b.Seq = binary.LittleEndian.Uint64(buf)
	b.Items = int(binary.LittleEndian.Uint32(buf[8:]))
	b.Time = time.Unix(0, int64(binary.LittleEndian.Uint64(buf[12:])))
	b.Body = buf[bodyHead:]
	return b, offset + frameHead + n, nil
}

func appendFrame(dst []byte, seq uint64, items int, at time.Time, body []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(bodyHead+len(body)))
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, seq)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(items))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(at.UnixNano()))
	dst = append(dst, body...)
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(dst[start+frameHead:], table))
	return dst
}

// newEpoch is sortable by time and random.
func newEpoch() string {
	var b [epochBytes]byte
	binary.BigEndian.PutUint64(b[:], uint64(time.Now().UnixNano()))
	_, _ = rand.Read(b[8:]) // It never fails.
	return hex.EncodeToString(b[:])
}

// each reads the batches of a file from an offset on.
func (q *Queue) each(s *segment, offset int64, f func(Batch)) error {
	in, err := os.Open(q.path(s.number))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	defer in.Close()
	for at := max(offset, int64(headerSize)); at < s.size; {
		b, end, err := readFrame(in, at, s.size)
		if err != nil {
			return nil // What cannot be read is counted by whoever reads it.
		}
		f(b)
		at = end
	}
	return nil
}
