package lake

import (
	"context"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// Backend is a place that holds rows and answers LogsQL about them: a folder of
// this machine, or the nodes of a VictoriaLogs cluster. It is handed queries
// that are parsed and confined already, and knows nothing of events.
//
// Its methods are safe for concurrent use.
type Backend interface {
	// Add takes rows over, in memory at least. An error means that it did not,
	// and that adding them again may be tried later.
	Add(rows *logstorage.LogRows) error
	// Durable tells whether the first n rows taken over since the start, the
	// last of them at the given time, are on the disk. An error means that rows
	// taken over were lost before they reached it: they have to be read from
	// the bus and added again.
	Durable(n uint64, last time.Time) (bool, error)
	// RunQuery calls write for each block of the answer, from several
	// goroutines at a time, each with a worker number of its own. The block is
	// valid during the call only.
	RunQuery(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error
	// GetFieldNames lists the names of fields in the rows that match.
	GetFieldNames(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query) ([]logstorage.ValueWithHits, error)
	// Flush makes what was taken over visible to queries.
	Flush()
	// Stats are the figures of what is held.
	Stats() BackendStats
	// Close brings everything to the disk and lets go of it.
	Close()
}

// BackendStats are the figures of one backend.
type BackendStats struct {
	Unflushed  uint64 `json:"unflushed"`  // rows in memory only
	Stored     uint64 `json:"stored"`     // rows on the disk
	DiskBytes  uint64 `json:"disk_bytes"` // compressed, with indexes
	RawBytes   uint64 `json:"raw_bytes"`  // the same rows before compression
	Dropped    uint64 `json:"dropped"`    // rows dropped behind our back; must stay 0
	Partitions uint64 `json:"partitions"` // days
	ReadOnly   bool   `json:"read_only"`  // too little disk is left: nothing is taken any more
}

// add sums figures up.
func (s *BackendStats) add(o BackendStats) {
	s.Unflushed += o.Unflushed
	s.Stored += o.Stored
	s.DiskBytes += o.DiskBytes
	s.RawBytes += o.RawBytes
	s.Dropped += o.Dropped
	s.Partitions += o.Partitions
	s.ReadOnly = s.ReadOnly || o.ReadOnly
}
