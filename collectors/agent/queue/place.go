package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
)

// place is a position: segment number and offset in it.
type place struct {
	Segment uint64
	Offset  int64
}

func (p place) before(o place) bool {
	return p.Segment < o.Segment || p.Segment == o.Segment && p.Offset < o.Offset
}

// saveEvery is how often an acknowledgement is made durable: those between are
// given again after a kill, under the ids they had.
const saveEvery = time.Second

// loadPlace reads up to where batches are acknowledged; a missing or damaged
// file means nothing is: they are sent again under their ids.
func (q *Queue) loadPlace() (p place) {
	data, err := os.ReadFile(filepath.Join(q.dir, placeName))
	if err != nil || len(data) != 20 || crc32.Checksum(data[:16], table) != binary.LittleEndian.Uint32(data[16:]) {
		return p
	}
	return place{binary.LittleEndian.Uint64(data), int64(binary.LittleEndian.Uint64(data[8:]))}
}

func (q *Queue) savePlace() error {
	data := binary.LittleEndian.AppendUint64(nil, q.acked.Segment)
	data = binary.LittleEndian.AppendUint64(data, uint64(q.acked.Offset))
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, table))
	name := filepath.Join(q.dir, placeName)
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err == nil {
		err = syncDir(q.dir)
	}
	if err != nil {
		return fmt.Errorf("queue: note what is acknowledged: %w", err)
	}
	q.savedAt = time.Now()
	return nil
}
