package bus

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

// mark is the number of the newest message of a stream that was acknowledged, in a file beside the stream: so the next start can tell a
// message that was lost from one that was never promised. It is not fsynced:
// a power cut may take it back a little, which only makes it say less.
type mark struct {
	mu    sync.Mutex
	file  *os.File
	epoch string
	seq   uint64
}

// markLine has a fixed length, so that it is written over in one piece.
func markLine(epoch string, seq uint64) string {
	head := fmt.Sprintf("%-24s %020d", epoch, seq)
	return fmt.Sprintf("%s %016x\n", head, xxhash.Sum64String(head))
}

func markPath(dir, stream string) string {
	if stream == rawStream {
		return filepath.Join(dir, "acknowledged")
	}
	return filepath.Join(dir, "acknowledged-"+strings.ToLower(stream))
}

func openMark(dir, stream, epoch string) (*mark, error) {
	f, err := os.OpenFile(markPath(dir, stream), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	return &mark{file: f, epoch: epoch, seq: readMark(dir, stream, epoch)}, nil
}

// readMark is the mark of an epoch, 0 where there is none that can be trusted.
func readMark(dir, stream, epoch string) uint64 {
	raw, err := os.ReadFile(markPath(dir, stream))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) != 3 || fields[0] != epoch {
		return 0
	}
	seq, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || markLine(epoch, seq) != string(raw) {
		return 0
	}
	return seq
}

// set moves the mark forward. Where it cannot be written it says less than is.
func (m *mark) set(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.seq {
		return
	}
	m.seq = seq
	_, _ = m.file.WriteAt([]byte(markLine(m.epoch, seq)), 0)
}

func (m *mark) close() { _ = m.file.Close() }
