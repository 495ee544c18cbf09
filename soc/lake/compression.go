//go:build !cgo

package lake

import (
	"fmt"
	"maps"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	_ "github.com/VictoriaMetrics/VictoriaMetrics/lib/encoding/zstd" // whose encoders these are
	"github.com/klauspost/compress/zstd"
)

// The library compresses each column of a block at level 3 of zstd, and keeps
// an encoder for each level of the pure Go implementation. Level 3 there searches
// two tables, of which the large one does not fit a core's caches: on columns of
// logs it takes twice the time of level 1 and saves no bytes (TestCompression
// holds it to that). The library has no setting for it, so level 3 is made level
// 1 in the library's own table.

// encoders is the library's table: map[zstd.EncoderLevel]*zstd.Encoder.
//
//go:linkname encoders github.com/VictoriaMetrics/VictoriaMetrics/lib/encoding/zstd.av
var encoders atomic.Value

// compressFast has the library compress at level 1 where it asks for level 3.
func compressFast() error {
	table, ok := encoders.Load().(map[zstd.EncoderLevel]*zstd.Encoder)
	if !ok {
		return fmt.Errorf("lake: the library's table of encoders is a %T; a map of encoders by level is right", encoders.Load())
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return fmt.Errorf("lake: %w", err)
	}
	table = maps.Clone(table)
	table[zstd.SpeedDefault] = e
	encoders.Store(table)
	return nil
}
