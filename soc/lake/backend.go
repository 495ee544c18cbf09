package lake

import (
	"context"
	"errors"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"
)

// ErrLost says that rows that were taken over may not be there any more, or that
// it is not known whether they were: they have to be read from the bus and
// compared with what is stored.
var ErrLost = errors.New("lake: rows may be lost")

// Source answers LogsQL about the rows that it holds.
type Source interface {
	// RunQuery calls write for each block of the answer, from several
	// goroutines at a time, each with a worker number of its own. The block is
	// valid during the call only. An error that is search.ErrUnavailable says
	// that the source is down.
	RunQuery(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query, write logstorage.WriteDataBlockFunc) error
	// GetFieldNames lists the names of fields in the rows that match.
	GetFieldNames(ctx context.Context, tenants []logstorage.TenantID, q *logstorage.Query) ([]logstorage.ValueWithHits, error)
}

// Backend is a place that holds rows and answers LogsQL about them: a folder of
// this machine, or the nodes of a VictoriaLogs cluster. It is handed queries
// that are parsed and confined already, and knows nothing of events.
//
// Its methods are safe for concurrent use.
type Backend interface {
	// Sources are what holds the rows: the folder, or each node of a cluster.
	// The lake puts their answers together.
	Sources() []Source
	// Add takes rows over, in memory at least, all of them together. An error
	// means that it took none, and that adding them again may be tried later;
	// but after ErrLost it must not be tried.
	Add(rows []*logstorage.LogRows) error
	// Durable tells whether what was there at the start and the first n rows
	// taken over since, the last of them at the given time, are on the disk. An
	// error is ErrLost.
	Durable(n uint64, last time.Time) (bool, error)
	// Flush makes what was taken over visible to queries.
	Flush()
	// Stats are the figures of what is held.
	Stats() BackendStats
	// Close brings what it can to the disk and lets go of it. It tells whether
	// all that was taken over is there.
	Close() (durable bool)
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
	// Down are the servers that do not answer, by name, and why.
	Down map[string]string `json:"down,omitempty"`
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
	for name, why := range o.Down {
		if s.Down == nil {
			s.Down = map[string]string{}
		}
		s.Down[name] = why
	}
}
