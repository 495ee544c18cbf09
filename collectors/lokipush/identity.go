package lokipush

import (
	"encoding/binary"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"icewatch/soc/intake"
)

// identify gives the entries of a push ids of their own. The protocol has
// none, and an agent that got no answer sends the same push again: Loki then
// drops what has the labels, time and line of an entry it holds. So the id is
// made of these. An entry that is in one push several times is several entries,
// which Loki would not say.
func identify(recs []intake.Record) {
	times := make(map[uint64]int, len(recs))
	var h xxhash.Digest
	var at [8]byte
	for i := range recs {
		r := &recs[i]
		if r.Time == 0 {
			continue // without a time the same line may well come again
		}
		h.Reset()
		for _, a := range r.Attrs {
			_, _ = h.WriteString(a.Name)
			_, _ = h.Write([]byte{0})
			_, _ = h.WriteString(a.Value)
			_, _ = h.Write([]byte{0})
		}
		binary.LittleEndian.PutUint64(at[:], uint64(r.Time))
		_, _ = h.Write(at[:])
		_, _ = h.Write(r.Data)
		sum := h.Sum64()
		n := times[sum]
		times[sum]++
		r.ID = strconv.FormatUint(sum, 36)
		if n > 0 {
			r.ID += "-" + strconv.Itoa(n)
		}
	}
}
