// Package collectors is the contract of the suite's ways in. A collector takes
// bytes from a source, frames them into raw records and hands them to an
// intake.Sink, which makes them durable. It does not parse records into fields
// and it detects nothing: that is the pipeline's work.
//
// Each source is a package below this one with a NewFactory function. The
// package registry lists them by hand. Sources that come in over HTTP
// (elasticbulk, lokipush) are handlers that the API mounts behind its
// authentication; they share the counters, the Health and the cutting rule of
// this package.
package collectors

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"icewatch/soc/intake"
)

// Collector is one running source. A collector is used once: New, Start, Stop.
type Collector interface {
	// Start opens the source and returns once it takes data in. It fails
	// where the source cannot be opened (address in use, folder missing). ctx
	// bounds Start alone: the source runs until Stop. A collector never ends
	// by itself after Start returned nil; what goes wrong later is shown by
	// Health and retried.
	Start(ctx context.Context) error
	// Stop closes the source. Everything that was read is handed to the Sink
	// before it returns nil. Where ctx ends first it returns an error that
	// names how many records were given up; these are counted as dropped.
	Stop(ctx context.Context) error
	// Health tells how the source fares. It may be called at any time.
	Health() Health
}

// States of a source.
const (
	StateOff   = "off"   // not started, or stopped
	StateOK    = "ok"    // takes data in
	StateError = "error" // open, but its last attempt to read or to store failed
)

// Health is the state of one source as the API's GET /sources shows it.
type Health struct {
	ID       string    `json:"id"`                 // unique name, as in icewatch.collector
	Kind     string    `json:"kind"`               // the factory's type
	Listen   string    `json:"listen"`             // address or path it reads
	State    string    `json:"state"`              // one of the State constants
	Error    string    `json:"error,omitempty"`    // the last error while State is StateError
	Received uint64    `json:"received"`           // records taken in
	Rejected uint64    `json:"rejected"`           // inputs refused with an answer or a closed connection
	Dropped  uint64    `json:"dropped"`            // records lost: by the kernel's buffer or at Stop
	Bytes    uint64    `json:"bytes"`              // bytes of the records taken in
	LastSeen time.Time `json:"last_seen,omitzero"` // when the last record came

	Rate   float64 `json:"rate"`             // records a second over the last ten, where somebody measures it
	Input  string  `json:"input,omitempty"`  // id of the input (soc/inputs) that it is of; none for those of the configuration
	Name   string  `json:"name,omitempty"`   // of that input
	Tenant string  `json:"tenant,omitempty"` // whose that input's records are
}

// Deps is what every collector is given.
type Deps struct {
	Sink    intake.Sink
	Aside   intake.AsideStore // keeps whole texts longer than intake.MaxData; nil keeps none
	Log     *slog.Logger      // nil logs nothing
	Metrics *metrics.Set      // nil publishes nothing
	Places  Places            // how far a source was read; a source that needs one refuses to be made without
	Dial    Dial              // how a source reaches out; nil is a plain net.Dialer
}

// Places keep how far sources were read, so that a restart goes on there.
type Places interface {
	// Place returns what was saved last under key, nil where nothing was.
	Place(ctx context.Context, key string) ([]byte, error)
	// Save keeps place under key, durably once it returns nil. A source saves
	// only what Sink.Append has acknowledged.
	Save(ctx context.Context, key string, place []byte) error
}

// Dial opens a connection to an address that a user gave. The suite's own
// judges the address at that moment (soc/egress).
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// PlainDial dials without any judgement.
func PlainDial(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Check reports what is missing, and fills what may be left out.
func (d *Deps) Check() error {
	if d.Sink == nil {
		return errors.New("collectors: no sink to hand records to")
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Metrics == nil {
		d.Metrics = metrics.NewSet()
	}
	if d.Dial == nil {
		d.Dial = PlainDial
	}
	return nil
}

// Factory makes collectors of one type.
type Factory struct {
	// Type is the word for this source in the configuration file.
	Type string
	// DefaultConfig returns a pointer to a fresh configuration with every
	// default filled in, ready to be decoded over. Its fields have yaml tags.
	DefaultConfig func() any
	// New makes a collector from what DefaultConfig returned. It opens
	// nothing, and fails where the configuration cannot work.
	New func(cfg any, deps Deps) (Collector, error)
	// Try is what a test button does: it reaches the source as New's collector
	// would (resolve, connect, secure, sign in, look) and reads a few records
	// without keeping, acknowledging or moving anything. ctx bounds it. The
	// error says which of these steps failed and what would be right. nil for
	// sources that wait for others to send.
	Try func(ctx context.Context, cfg any, deps Deps) (Trial, error)
}

// Trial is what a test of a source found.
type Trial struct {
	Steps   []string // what went well, in order
	Records []string // the first records, at most MaxTrial, as they would be taken in
}

// MaxTrial bounds the records of a Trial.
const MaxTrial = 10
