// Package enrich adds who and what to an event: the configuration item it
// happened on, the items behind its addresses, the business system and owner,
// and whose tenant it is. It works on an index of Snapshots,
// which the CMDB makes and the centre publishes to the engine.
package enrich

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Network is one address range of one network zone.
type Network struct {
	Zone   string `json:"zone"`
	CIDR   string `json:"cidr"`
	Name   string `json:"name,omitempty"`
	Tenant string `json:"tenant,omitempty"` // slug; "" where the range is shared
}

// Item is what the index knows of one configuration item.
type Item struct {
	ID          string   `json:"id"`
	Class       string   `json:"class"`
	Name        string   `json:"name"`
	Tenant      string   `json:"tenant,omitempty"`
	Zone        string   `json:"zone,omitempty"`
	Addresses   []string `json:"addresses,omitempty"` // an asset is (zone, address)
	Hostnames   []string `json:"hostnames,omitempty"` // lower case
	Criticality int      `json:"criticality,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Labels      []string `json:"labels,omitempty"` // e.g. "approved-scanner", "backup"
	SystemID    string   `json:"system_id,omitempty"`
	SystemName  string   `json:"system_name,omitempty"`

	// What data scopes see of the item and so of its events, "" where the
	// tenant decides. ReachLabels is as reach.JoinLabels writes them.
	Unit        string `json:"unit,omitempty"`
	Region      string `json:"region,omitempty"`
	Industry    string `json:"industry,omitempty"`
	ReachLabels string `json:"reach_labels,omitempty"`
}

// Snapshot is what enrichment needs at one version, of one part of the items:
// a change of one item makes a snapshot of its part, not of a million others.
type Snapshot struct {
	Part     int32     `json:"part,omitempty"`
	Version  int64     `json:"version"`
	Networks []Network `json:"networks"`
	Items    []Item    `json:"items"`
}

// maxDecoded bounds what Decode unpacks, in bytes, so that a damaged or hostile
// message cannot exhaust the memory. 100,000 items are 30 MB.
const maxDecoded = 1 << 30

// zstdMagic starts every Zstandard frame (RFC 8878, section 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// encoder and decoder are made once: each needs megabytes, and a million items
// are a thousand snapshots. Both are safe for concurrent use.
var (
	encoder = sync.OnceValues(func() (*zstd.Encoder, error) { return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2)) })
	decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
		return zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxDecoded))
	})
)

// Encode renders the snapshot for the way from the centre to the engine: JSON,
// compressed with Zstandard, about a tenth of the size.
func (s Snapshot) Encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("enrich: encode snapshot %d: %w", s.Version, err)
	}
	w, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("enrich: encode snapshot %d: %w", s.Version, err)
	}
	return w.EncodeAll(text, nil), nil
}

// Decode reads what Encode wrote, and the same JSON uncompressed.
func Decode(data []byte) (Snapshot, error) {
	if bytes.HasPrefix(data, zstdMagic) {
		r, err := decoder()
		if err != nil {
			return Snapshot{}, fmt.Errorf("enrich: decode snapshot: %w", err)
		}
		size := len(data)
		if data, err = r.DecodeAll(data, nil); err != nil {
			return Snapshot{}, fmt.Errorf("enrich: decode snapshot of %d bytes: %w", size, err)
		}
	}
	var s Snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return Snapshot{}, fmt.Errorf("enrich: decode snapshot of %d bytes: %w", len(data), err)
	}
	return s, nil
}
