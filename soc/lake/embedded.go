package lake

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// embedded is VictoriaLogs' storage library on a folder of this machine. It
// panics on a failing disk, which is why the lake lives in a process of its own.
type embedded struct {
	*logstorage.Storage
	flush time.Duration
	taken atomic.Uint64
}

var _ Backend = (*embedded)(nil)

var parseFlags sync.Once

// configure hands the library its settings, once: flags of its own, which must
// count as parsed before a query runs; the suite's own command line is not
// flag's.
func configure(opts Options) (err error) {
	parseFlags.Do(func() {
		err = compressFast()
		if !flag.Parsed() {
			_ = flag.CommandLine.Parse(nil)
		}
		_ = flag.Set("loggerLevel", "WARN")
		if opts.Memory > 0 {
			_ = flag.Set("memory.allowedBytes", strconv.FormatInt(opts.Memory, 10))
		} else {
			_ = flag.Set("memory.allowedPercent", "25")
		}
	})
	return err
}

// openEmbedded opens the store in a folder, and makes it where it is missing.
func openEmbedded(dir string, class Class, opts Options) (*embedded, error) {
	// The library dies on a folder it cannot write; say so as an error first.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	probe := filepath.Join(dir, ".writable")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return nil, fmt.Errorf("lake: %w", err)
	}
	_ = os.Remove(probe)
	return &embedded{flush: opts.FlushInterval, Storage: logstorage.MustOpenStorage(dir, &logstorage.StorageConfig{
		Retention: class.Retention, FlushInterval: opts.FlushInterval, FutureRetention: 2 * 24 * time.Hour, MinFreeDiskSpaceBytes: opts.MinFree,
	})}, nil
}

// Add implements Backend. It does not fail: the library panics instead.
func (e *embedded) Add(rows []*logstorage.LogRows) error {
	for _, r := range rows {
		e.MustAddRows(r)
		e.taken.Add(uint64(r.RowsCount()))
	}
	return nil
}

// Durable implements Backend. The library has no call that brings rows to the
// disk: they count as there when they are older than ten flush intervals and
// than the rows that the library says are still in memory.
func (e *embedded) Durable(n uint64, last time.Time) (bool, error) {
	if n == 0 {
		return true, nil // what was there before was read from the disk
	}
	if time.Since(last) < 10*e.flush {
		return false, nil
	}
	// The rows are read first, so that what is in flight counts as unflushed.
	taken := e.taken.Load()
	return n+e.Stats().Unflushed <= taken, nil
}

// Flush implements Backend.
func (e *embedded) Flush() { e.DebugFlush() }

// Close implements Backend.
func (e *embedded) Close() bool {
	e.MustClose()
	return true
}

// Sources implements Backend.
func (e *embedded) Sources() []Source { return []Source{e} }

// Stats implements Backend.
func (e *embedded) Stats() BackendStats {
	var ss logstorage.StorageStats
	e.UpdateStats(&ss)
	return BackendStats{
		Unflushed: ss.InmemoryRowsCount, Stored: ss.SmallPartRowsCount + ss.BigPartRowsCount,
		DiskBytes:  ss.CompressedSmallPartSize + ss.CompressedBigPartSize + ss.IndexdbSizeBytes,
		RawBytes:   ss.UncompressedSmallPartSize + ss.UncompressedBigPartSize,
		Dropped:    ss.RowsDroppedTooBigTimestamp + ss.RowsDroppedTooSmallTimestamp,
		Partitions: ss.PartitionsCount, ReadOnly: ss.IsReadOnly,
	}
}
