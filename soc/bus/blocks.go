package bus

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/minio/highwayhash"
)

// JetStream keeps a stream's messages in block files, <n>.blk, one record
// after the other: length (4 bytes, the highest bit tells of headers),
// sequence (8), time (8), length of the subject (2), subject, headers and
// payload, and a checksum over all but the lengths (8). Two bits of the
// sequence tell of erased messages and of tombstones, which stand for deleted
// ones. The checksum is HighwayHash-64 under a key made of the names of stream
// and block.
const (
	recordHead   = 22
	recordSum    = 8
	recordMost   = 32 << 20 // JetStream takes a longer record as damaged
	headerBit    = 1 << 31
	erasedBit    = 1 << 63
	tombstoneBit = 1 << 62
)

// record is one record of a block.
type record struct {
	seq       uint64
	time      int64
	erased    bool
	tombstone bool
	raw       []byte
}

// span is a run of bytes of a block that is no record.
type span struct{ from, to int }

// block is what could be read of one block file.
type block struct {
	records []record
	bad     []span
	// torn says that the file ends within a record, as after a crash during a
	// write that was not acknowledged.
	torn bool
}

// blockHash makes the checksum of a block's records.
func blockHash(stream string, index int) (func(parts ...[]byte) []byte, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	var sum [highwayhash.Size64]byte
	return func(parts ...[]byte) []byte {
		h.Reset()
		for _, p := range parts {
			_, _ = h.Write(p)
		}
		return h.Sum(sum[:0])
	}, nil
}

// readBlock reads all records of a block that are whole, also those behind
// damaged ones, which JetStream itself would cut off.
func readBlock(stream string, index int, data []byte) (block, error) {
	hash, err := blockHash(stream, index)
	if err != nil {
		return block{}, err
	}
	var b block
	for at := 0; at < len(data); {
		r, ok := parseRecord(data[at:], hash)
		if ok {
			b.records = append(b.records, r)
			at += len(r.raw)
			continue
		}
		next := resync(data, at, hash)
		if next == len(data) {
			b.torn = incomplete(data[at:])
		}
		b.bad = append(b.bad, span{at, next})
		at = next
	}
	return b, nil
}

// parseRecord reads the record at the beginning of data.
func parseRecord(data []byte, hash func(...[]byte) []byte) (record, bool) {
	if len(data) < recordHead+recordSum {
		return record{}, false
	}
	length := binary.LittleEndian.Uint32(data)
	headers := length&headerBit != 0
	length &^= headerBit
	subject := int(binary.LittleEndian.Uint16(data[20:]))
	least := recordHead + subject + recordSum
	if headers {
		least += 4
	}
	if length > recordMost || int(length) > len(data) || int(length) < least {
		return record{}, false
	}
	raw := data[:length]
	body := raw[recordHead+subject : length-recordSum]
	// The lengths are not in the checksum: what they part must make sense.
	if !streamSubject(raw[recordHead : recordHead+subject]) {
		return record{}, false
	}
	if headers {
		n := binary.LittleEndian.Uint32(body)
		body = body[4:]
		if uint64(n) > uint64(len(body)) || !bytes.HasPrefix(body[:n], []byte("NATS/1.0")) || !bytes.HasSuffix(body[:n], []byte("\r\n\r\n")) {
			return record{}, false
		}
	}
	if !bytes.Equal(hash(raw[4:20], raw[recordHead:recordHead+subject], body), raw[length-recordSum:]) {
		return record{}, false
	}
	seq := binary.LittleEndian.Uint64(raw[4:])
	return record{seq: seq &^ (erasedBit | tombstoneBit), time: int64(binary.LittleEndian.Uint64(raw[12:])),
		erased: seq&erasedBit != 0, tombstone: seq&tombstoneBit != 0, raw: raw}, true
}

// streamSubject tells whether a message of the bus can have the subject. A
// tombstone has none.
func streamSubject(s []byte) bool {
	return len(s) == 0 || string(s) == rawSubject || string(s) == occurrenceSubj || string(s) == metricSubject || bytes.HasPrefix(s, []byte(controlPrefix))
}

// resync finds the next whole record behind a damaged one at from: first where
// its length says, then byte by byte. It returns the end where there is none.
func resync(data []byte, from int, hash func(...[]byte) []byte) int {
	if from+4 <= len(data) {
		length := int(binary.LittleEndian.Uint32(data[from:]) &^ headerBit)
		if next := from + length; length >= recordHead+recordSum && next < len(data) {
			if _, ok := parseRecord(data[next:], hash); ok {
				return next
			}
		}
	}
	for at := from + 1; at+recordHead+recordSum <= len(data); at++ {
		// Subjects of the bus are short; a byte of chance is rarely that small.
		if data[at+20] > 64 || data[at+21] != 0 {
			continue
		}
		if _, ok := parseRecord(data[at:], hash); ok {
			return at
		}
	}
	return len(data)
}

// incomplete tells whether data is the beginning of a record whose end is
// missing.
func incomplete(data []byte) bool {
	if len(data) < recordHead {
		return true
	}
	length := binary.LittleEndian.Uint32(data) &^ headerBit
	return length <= recordMost && int(length) > len(data) && data[20] <= 64 && data[21] == 0
}

// whole joins the records of a block to what its file should hold.
func (b block) whole() []byte {
	var out []byte
	for _, r := range b.records {
		out = append(out, r.raw...)
	}
	return out
}

// tombstoneBlock is a block that holds nothing but the word that all messages
// up to seq are gone, so that the next one gets a higher number.
func tombstoneBlock(stream string, index int, seq uint64, at int64) ([]byte, error) {
	hash, err := blockHash(stream, index)
	if err != nil {
		return nil, err
	}
	raw := make([]byte, recordHead, recordHead+recordSum)
	binary.LittleEndian.PutUint32(raw, recordHead+recordSum)
	binary.LittleEndian.PutUint64(raw[4:], seq|tombstoneBit)
	binary.LittleEndian.PutUint64(raw[12:], uint64(at))
	return append(raw, hash(raw[4:20])...), nil
}

// gap is a range of sequences that a stream does not hold.
type gap struct {
	From, To    uint64
	After, Till int64 // times of the messages before and after; 0 where there is none
}

// gaps lists what is missing between the first message of a stream and its
// last. Messages are only ever let go of at the front, so that every gap is a
// loss, but for those that a leap left.
func gaps(blocks []block) (list []gap, last uint64) {
	var seen []record
	gone := map[uint64]bool{}
	for _, b := range blocks {
		for _, r := range b.records {
			if r.tombstone || r.erased {
				gone[r.seq] = true
				last = max(last, r.seq)
			} else {
				seen = append(seen, r)
			}
		}
	}
	slices.SortFunc(seen, func(a, b record) int {
		switch {
		case a.seq < b.seq:
			return -1
		case a.seq > b.seq:
			return 1
		}
		return 0
	})
	for i, r := range seen {
		last = max(last, r.seq)
		if i == 0 || r.seq <= seen[i-1].seq+1 {
			continue
		}
		from, to := seen[i-1].seq+1, r.seq-1
		if r.seq%Jump == 0 {
			continue // told of when the leap was made
		}
		for from <= to && gone[from] {
			from++
		}
		if from <= to && !gone[to] {
			list = append(list, gap{From: from, To: to, After: seen[i-1].time, Till: r.time})
		}
	}
	return list, last
}
