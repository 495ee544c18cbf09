package remotewrite

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/snappy"

	"icewatch/soc/metrics"
)

// Batch is a request of remote write that came another way than over the route. Its texts
// lie in one buffer of its own.
type Batch struct {
	Series   []metrics.Series
	Metadata []metrics.Description
	Refused  string // what cannot be stored, in words: native histograms
}

// ErrTooLarge says that a batch exceeds a bound.
var ErrTooLarge = errors.New("the batch is too large")

// Decode reads a prometheus.WriteRequest (remote write 1.0), packed as a snappy block.
func Decode(packed []byte, maxUnpacked, maxSamples int) (Batch, error) {
	n, err := snappy.DecodedLen(packed)
	if err != nil {
		return Batch{}, fmt.Errorf("the body is not a snappy block: %w", err)
	}
	if n > maxUnpacked {
		return Batch{}, fmt.Errorf("%w: %d bytes unpacked; at most %d are taken", ErrTooLarge, n, maxUnpacked)
	}
	plain, err := snappy.Decode(nil, packed)
	if err != nil {
		return Batch{}, fmt.Errorf("the body is not a snappy block: %w", err)
	}
	var r request
	if err := r.readV1(plain, maxSamples); errors.Is(err, errTooMany) {
		return Batch{}, fmt.Errorf("%w: more than %d samples", ErrTooLarge, maxSamples)
	} else if err != nil {
		return Batch{}, err
	}
	return Batch{r.series, r.metadata, refusals(&r, metrics.Written{})}, nil
}
