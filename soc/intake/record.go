// Package intake is the threshold between collectors and the bus: the raw
// record a collector hands over, the Sink that makes it durable, and the
// compact encoding in which a batch travels. Parsing into fields happens
// later, in the pipeline.
package intake

import (
	"context"
	"errors"
	"net/netip"
)

// Format tells the pipeline what shape Data has.
type Format uint8

// The formats of a raw record.
const (
	Line     Format = iota // one text line with no known header
	Syslog                 // one syslog message, RFC 5424 or RFC 3164
	JSON                   // one JSON object
	Flow                   // one flow as collectors/flow writes it
	OTLPLog                // one log record of OpenTelemetry with its resource and scope, as collectors/otlp writes it
	OTLPSpan               // one span of a trace, likewise
)

// Attr is a name-value pair that came beside the data: a stream label, an
// index name, a file path.
type Attr struct{ Name, Value string }

// MetadataMark is the name of an attribute that parts those of an entry pushed
// by Loki's protocol: before it stand the stream's labels, behind it the entry's
// structured metadata. Record.Time is the event's time then, whatever the text
// says, since that is what the protocol's clients ask for again.
const MetadataMark = "icewatch.metadata"

// Record is one raw record as a collector took it in.
type Record struct {
	Tenant    string     // slug, where token or listener decides it; else ""
	Zone      string     // network zone of the listener; "" is the default zone
	Collector string     // which collector took it, e.g. "syslog-tcp"
	Format    Format     //
	Peer      netip.Addr // the sender's address; invalid where there is none
	Received  int64      // Unix nanoseconds
	Time      int64      // Unix nanoseconds as the sender gave it beside the data; 0 if it did not
	ID        string     // the sender's own id, unique within its tenant; "" if it gave none
	Aside     string     // hex SHA-256 under which the whole text is kept, where Data is cut
	Marks     []string   // what the collector had to alter, e.g. "truncated", "invalid_utf8"
	Attrs     []Attr
	Data      []byte
}

// Own is the Collector of records that the suite makes of its own doing. These
// alone may carry the fields icewatch.audit.* and icewatch.repeat.
const Own = "icewatch"

// MaxData is the largest Data of one record in bytes. A collector cuts longer
// text, marks it "truncated" and keeps the whole with an AsideStore.
const MaxData = 900 << 10

var (
	// ErrFull says that the bus is at its limit: wait and send again.
	ErrFull = errors.New("intake: the bus is full, send again later")
	// ErrClosed says that the suite is stopping.
	ErrClosed = errors.New("intake: closed")
)

// Sink takes raw records. Append returns nil only after all of them are
// fsynced, so that a collector may acknowledge its sender; on an error none
// may be acknowledged. It does not keep recs or what they point to. Callers
// with many small records should hand over many at a time.
type Sink interface {
	Append(ctx context.Context, recs []Record) error
}

// AsideStore keeps whole texts that are too long for an event.
type AsideStore interface {
	// Put stores text durably and returns its hex SHA-256.
	Put(tenant string, text []byte) (sum string, err error)
	// Get returns what Put stored for the same tenant.
	Get(tenant, sum string) ([]byte, error)
}
