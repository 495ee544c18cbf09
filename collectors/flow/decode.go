package flow

import (
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Bounds of what senders can make the decoder keep. Any address can be forged
// over UDP, so each bound holds for all of them together.
const (
	maxSessions       = 4096
	maxTemplates      = 1024      // of a session
	maxFields         = 512       // of a template
	maxSamplers       = 1024      // of a session
	maxInterfaces     = 4096      // of a session
	maxWaiting        = 256       // sets of a session that wait for their template
	maxWaitingBytes   = 256 << 10 // of a session
	maxWaitingOverall = 16 << 20
	waitingTime       = 10 * time.Minute
	// leastFlow is the least length of a flow's record in bytes: two addresses
	// of IPv4. Shorter ones would make a small datagram a flood of records.
	leastFlow = 8
	maxBuffer = 4 << 20
)

var (
	errShort   = errors.New("it ends too early")
	errVersion = errors.New("it is neither NetFlow v5, v9 nor IPFIX")
)

// decoder turns datagrams into records. One goroutine decodes; the other
// methods may be called by any.
type decoder struct {
	emit func(record)
	now  func() time.Time

	mu       sync.Mutex
	sessions map[sessionKey]*session
	waiting  int  // bytes in all sessions
	changed  bool // templates or samplers are other than on the disk
	evicted  uint64

	// The records of the datagram at hand, one text behind the other. They go
	// out once the lock is free: whoever takes them may wait for room.
	buf  []byte
	done []written
}

func newDecoder(emit func(record)) *decoder {
	return &decoder{emit: emit, now: time.Now, sessions: map[sessionKey]*session{}}
}

// within decodes one datagram under the lock and hands its records over after.
func (d *decoder) within(peer netip.Addr, decode func() error) error {
	d.buf, d.done = d.buf[:0], d.done[:0]
	d.mu.Lock()
	err := decode()
	d.mu.Unlock()
	start := 0
	for _, w := range d.done {
		d.emit(record{peer: peer, at: w.at, text: d.buf[start:w.end]})
		start = w.end
	}
	if cap(d.buf) > maxBuffer {
		d.buf = nil // One giant set should not be paid for ever after.
	}
	return err
}
