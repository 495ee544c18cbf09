// Package queue keeps what the agent has gathered until the suite has it: a
// bounded queue of batches in the files of a folder.
//
// A batch is durable when Append returns nil, and is handed out again and again,
// always with the same bytes under the same id, until it is acknowledged. The id
// is <epoch>-<sequence>: each opening of the folder has an epoch of its own, so
// that a folder that was put back from a backup never gives an id twice. A kill
// at any moment leaves whole batches; what was torn is cut off at the next start,
// and what was acknowledged may be handed out once more, under its old id.
//
// Files are named <number>.seg: a header with the epoch, then frames of length,
// checksum, head and body. The file "place" says up to where they are
// acknowledged.
package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options are the bounds of a queue.
type Options struct {
	MaxBytes int64 // of all files together; at least twice SegmentBytes
	// SegmentBytes is when the next file begins. Room is given back file by file.
	SegmentBytes int64
	// DropOldest makes room by forgetting the oldest batches, which are counted.
	// Without it a full queue takes nothing more.
	DropOldest bool
}

// MaxBody bounds one batch, in bytes.
const MaxBody = 8 << 20

// ErrFull says that the queue is at its limit: wait and try again.
var ErrFull = errors.New("queue: full, try again later")

// ErrClosed says that the queue was closed.
var ErrClosed = errors.New("queue: closed")

// Batch is one entry.
type Batch struct {
	Epoch string
	Seq   uint64    // from 1, within the epoch
	Items int       // how many records or samples it has
	Time  time.Time // when it was appended
	Body  []byte

	at place // behind it
}

// ID is the batch's name for its receiver.
func (b Batch) ID() string { return b.Epoch + "-" + strconv.FormatUint(b.Seq, 10) }

// Stats tell how a queue fares.
type Stats struct {
	Batches int    // that wait
	Items   int64  // that wait
	Bytes   int64  // on disk
	Dropped uint64 // items that were forgotten for room, since the start
	Damaged uint64 // bytes that could not be read back, since the start
	Oldest  time.Time
}

// Queue is an open queue. Append is safe for concurrent use; Next and Ack belong
// to one reader.
type Queue struct {
	dir  string
	opts Options

	mu       sync.Mutex
	segments []*segment // in order; the last one is written
	out      *os.File
	seq      uint64
	acked    place // everything before is acknowledged
	read     place // behind what Next gave last
	waiting  struct {
		batches int
		items   int64
	}
	oldest  time.Time
	dropped uint64
	damaged uint64
	closed  bool
	broken  error // why out takes nothing more
	more    chan struct{}

	in       *os.File // the segment that is read
	inNumber uint64
	savedAt  time.Time
}

// Open opens the queue of a folder, which it makes.
func Open(dir string, opts Options) (*Queue, error) {
	if opts.SegmentBytes <= 0 {
		opts.SegmentBytes = min(4<<20, opts.MaxBytes/4)
	}
	if opts.MaxBytes < 2*opts.SegmentBytes {
		return nil, fmt.Errorf("queue: %s: a limit of %d bytes is less than two files of %d", dir, opts.MaxBytes, opts.SegmentBytes)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	q := &Queue{dir: dir, opts: opts, more: make(chan struct{}, 1)}
	if err := q.load(); err != nil {
		return nil, err
	}
	if err := q.begin(); err != nil {
		return nil, err
	}
	q.read = q.acked
	q.wake()
	return q, nil
}

// load scans the files.
func (q *Queue) load() error {
	names, err := filepath.Glob(filepath.Join(q.dir, "*.seg"))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.acked = q.loadPlace()
	for _, name := range names {
		number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".seg"), 10, 64)
		if err != nil {
			continue
		}
		q.segments = append(q.segments, &segment{number: number})
	}
	slices.SortFunc(q.segments, func(a, b *segment) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
	kept := q.segments[:0]
	for _, s := range q.segments {
		if s.number < q.acked.Segment {
			if err := os.Remove(q.path(s.number)); err != nil {
				return fmt.Errorf("queue: %w", err)
			}
			continue
		}
		ok, err := q.scan(s)
		if err != nil {
			return err
		}
		if !ok {
			_ = os.Remove(q.path(s.number)) // It has nothing that can be read.
			continue
		}
		kept = append(kept, s)
	}
	clear(q.segments[len(kept):])
	q.segments = kept
	return nil
}

func (q *Queue) path(number uint64) string {
	return filepath.Join(q.dir, fmt.Sprintf("%016d.seg", number))
}

// begin opens a new file to write to, of the same epoch where there is one.
func (q *Queue) begin() error {
	number, epoch := q.acked.Segment+1, ""
	if n := len(q.segments); n > 0 {
		number = max(number, q.segments[n-1].number+1)
	}
	if q.out != nil {
		epoch = q.segments[len(q.segments)-1].epoch
	} else {
		epoch = newEpoch()
	}
	f, err := os.OpenFile(q.path(number), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	_, err = f.WriteString(magic + epoch + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(q.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("queue: begin a file: %w", err), f.Close(), os.Remove(f.Name()))
	}
	if q.out != nil {
		_ = q.out.Close() // Everything in it was synced.
	}
	q.out = f
	q.segments = append(q.segments, &segment{number: number, epoch: epoch, size: int64(headerSize)})
	return nil
}

// Append makes a batch of items durable. The error is ErrFull where there is no
// room, ErrClosed, or the disk's.
func (q *Queue) Append(body []byte, items int) error {
	if len(body) > MaxBody {
		return fmt.Errorf("queue: a batch of %d bytes; %d are the most", len(body), MaxBody)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	need := int64(frameHead + bodyHead + len(body))
	if err := q.room(need); err != nil {
		return err
	}
	last := q.segments[len(q.segments)-1]
	if q.broken != nil || last.size > int64(headerSize) && last.size+need > q.opts.SegmentBytes {
		if err := q.begin(); err != nil {
			return err
		}
		q.broken = nil
		last = q.segments[len(q.segments)-1]
	}
	now := time.Now()
	frame := appendFrame(make([]byte, 0, need), q.seq+1, items, now, body)
	_, err := q.out.WriteAt(frame, last.size)
	if err == nil {
		err = q.out.Sync()
	}
	if err != nil {
		// The frame may be there in part: it is cut off, and where even that
		// fails the file is written no more.
		if cut := q.out.Truncate(last.size); cut != nil {
			q.broken = cut
		}
		return fmt.Errorf("queue: %w", err)
	}
	q.seq++
	last.size += need
	last.batches++
	last.items += int64(items)
	q.waiting.batches++
	q.waiting.items += int64(items)
	if q.oldest.IsZero() {
		q.oldest = now
	}
	q.wake()
	return nil
}

// room makes room for need bytes, or refuses.
func (q *Queue) room(need int64) error {
	for q.bytes()+need > q.opts.MaxBytes {
		if !q.opts.DropOldest {
			return ErrFull
		}
		if len(q.segments) == 1 {
			if err := q.begin(); err != nil {
				return err
			}
		}
		if err := q.dropFirst(); err != nil {
			return err
		}
	}
	return nil
}

// dropFirst forgets the oldest file and counts what was not acknowledged of it.
func (q *Queue) dropFirst() error {
	s := q.segments[0]
	batches, items := s.batches, s.items
	if q.acked.Segment == s.number {
		batches, items = 0, 0
		if err := q.each(s, q.acked.Offset, func(b Batch) { batches++; items += int64(b.Items) }); err != nil {
			return err
		}
	}
	next := place{q.segments[1].number, int64(headerSize)}
	if q.read.before(next) {
		q.read = next
	}
	q.acked = next
	if err := q.savePlace(); err != nil {
		return err
	}
	if err := q.removeBefore(next.Segment); err != nil {
		return err
	}
	q.dropped += uint64(items)
	q.waiting.batches -= batches
	q.waiting.items -= items
	q.oldest = q.firstTime()
	return nil
}

func (q *Queue) firstTime() (at time.Time) {
	for _, s := range q.segments {
		from := int64(headerSize)
		if s.number == q.acked.Segment {
			from = max(from, q.acked.Offset)
		}
		if from >= s.size || s.number < q.acked.Segment {
			continue
		}
		if in, err := os.Open(q.path(s.number)); err == nil {
			b, _, err := readFrame(in, from, s.size)
			_ = in.Close()
			if err == nil {
				return b.Time
			}
		}
	}
	return at
}

func (q *Queue) bytes() (n int64) {
	for _, s := range q.segments {
		n += s.size
	}
	return n
}

func (q *Queue) removeBefore(number uint64) error {
	for len(q.segments) > 1 && q.segments[0].number < number {
		if q.in != nil && q.inNumber == q.segments[0].number {
			_ = q.in.Close()
			q.in = nil
		}
		if err := os.Remove(q.path(q.segments[0].number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("queue: %w", err)
		}
		q.segments = slices.Delete(q.segments, 0, 1)
	}
	return nil
}

func (q *Queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// Next waits for the batch behind the one that it gave last. ctx ends the wait.
func (q *Queue) Next(ctx context.Context) (Batch, error) {
	for {
		b, ok, err := q.next()
		if ok || err != nil {
			return b, err
		}
		select {
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case <-q.more:
		}
	}
}

func (q *Queue) next() (Batch, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return Batch{}, false, ErrClosed
	}
	for _, s := range q.segments {
		if s.number < q.read.Segment {
			continue
		}
		if s.number > q.read.Segment {
			q.read = place{s.number, int64(headerSize)}
		}
		q.read.Offset = max(q.read.Offset, int64(headerSize))
		if q.read.Offset >= s.size {
			continue
		}
		if q.in == nil || q.inNumber != s.number {
			if q.in != nil {
				_ = q.in.Close()
				q.in = nil
			}
			in, err := os.Open(q.path(s.number))
			if err != nil {
				return Batch{}, false, fmt.Errorf("queue: %w", err)
			}
			q.in, q.inNumber = in, s.number
		}
		b, end, err := readFrame(q.in, q.read.Offset, s.size)
		if err != nil {
			// The disk gave other bytes than were written: the rest of the file is lost.
			q.damaged += uint64(s.size - q.read.Offset)
			q.read.Offset = s.size
			if s == q.segments[len(q.segments)-1] {
				q.broken = errTorn // what follows would be taken for a part of the rest
			}
			if err := q.recount(s); err != nil {
				return Batch{}, false, err
			}
			continue
		}
		b.Epoch = s.epoch
		q.read.Offset = end
		b.at = q.read
		return b, true, nil
	}
	return Batch{}, false, nil
}

// recount counts what waits anew, without what cannot be read back of a damaged
// file.
func (q *Queue) recount(damaged *segment) error {
	waiting := q.waiting
	waiting.batches, waiting.items = 0, 0
	for _, s := range q.segments {
		from, batches, items := int64(0), s.batches, s.items
		if s.number < q.acked.Segment {
			continue
		}
		if s.number == q.acked.Segment {
			from = q.acked.Offset
		}
		if s == damaged || from > 0 {
			batches, items = 0, 0
			if err := q.each(s, from, func(b Batch) { batches++; items += int64(b.Items) }); err != nil {
				return err
			}
		}
		if s == damaged && from == 0 {
			s.batches, s.items = batches, items
		}
		waiting.batches += batches
		waiting.items += items
	}
	q.waiting = waiting
	return nil
}

// Again makes Next give what was not acknowledged once more.
func (q *Queue) Again() {
	q.mu.Lock()
	q.read = q.acked
	q.mu.Unlock()
	q.wake()
}

// Ack forgets a batch and everything before it.
func (q *Queue) Ack(b Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.acked.before(b.at) {
		return nil // It was dropped for room meanwhile.
	}
	old := q.acked
	q.acked = b.at
	q.waiting.batches--
	q.waiting.items -= int64(b.Items)
	last := q.segments[len(q.segments)-1]
	switch {
	case q.acked.Segment != old.Segment, time.Since(q.savedAt) >= saveEvery, q.acked.Segment == last.number && q.acked.Offset == last.size:
		if err := q.savePlace(); err != nil {
			return err
		}
	}
	if q.waiting.batches <= 0 {
		q.oldest = time.Time{}
	} else {
		q.oldest = b.Time // The next one is hardly younger; reading it would cost more than it says.
	}
	return q.removeBefore(q.acked.Segment)
}

// Resize changes the limit. What is there stays, until it is sent or, with
// DropOldest, the next Append makes room.
func (q *Queue) Resize(maxBytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opts.MaxBytes = max(maxBytes, 2*q.opts.SegmentBytes)
}

// Stats tells how the queue fares.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	return Stats{Batches: q.waiting.batches, Items: q.waiting.items, Bytes: q.bytes(), Dropped: q.dropped, Damaged: q.damaged, Oldest: q.oldest}
}

// Close notes what is acknowledged and closes the files.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.closed = true
	q.wake()
	err := q.savePlace()
	if q.in != nil {
		err = errors.Join(err, q.in.Close())
	}
	return errors.Join(err, q.out.Close())
}
