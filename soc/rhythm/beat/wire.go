package beat

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What a counter tells goes from process to process every ten seconds, for tens of
// thousands of keys: reading and writing it as JSON was a tenth of what the centre
// did at full speed. Both ends are of one release.

// errCut says that a text of Beats ends too early or holds what none has.
var errCut = errors.New("beat: these are no counts")

// texts are the texts of a beat that is new, in their order on the wire.
func (b *Beat) texts() [13]*string {
	return [...]*string{&b.Tenant, &b.Dataset, &b.Source, &b.Collector, &b.Zone, &b.Peer, &b.Item, &b.ItemName, &b.Class, &b.System, &b.SystemName, &b.Owner, &b.Category}
}

func appendText(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

// AppendBinary appends the beats as Parse reads them.
func (b *Beats) AppendBinary(to []byte) ([]byte, error) {
	to = binary.AppendUvarint(appendText(to, b.Mark.Run), b.Mark.Round)
	to = binary.AppendUvarint(to, uint64(len(b.Beats)))
	for i := range b.Beats {
		x := &b.Beats[i]
		flag := uint64(0)
		if x.New {
			flag = 1
		}
		to = binary.AppendUvarint(to, x.Number<<1|flag)
		if x.New {
			for _, s := range x.texts() {
				to = appendText(to, *s)
			}
		}
		to = binary.AppendVarint(to, x.Last)
		to = binary.AppendUvarint(to, uint64(len(x.Counts)))
		for _, c := range x.Counts {
			to = binary.AppendUvarint(binary.AppendVarint(to, c.Slot), c.Events)
		}
	}
	return to, nil
}

// Parse reads what AppendBinary wrote. Nothing of the beats points into data.
func Parse(data []byte) (Beats, error) {
	r := reading{data: data}
	b := Beats{Mark: Mark{Run: r.text(), Round: r.number()}}
	n := r.many(3)
	b.Beats = make([]Beat, n)
	for i := range b.Beats {
		x := &b.Beats[i]
		number := r.number()
		x.Number, x.New = number>>1, number&1 == 1
		if x.New {
			for _, s := range x.texts() {
				*s = r.text()
			}
		}
		x.Last = r.signed()
		if n := r.many(2); n > 0 {
			x.Counts = make([]Count, n)
		}
		for k := range x.Counts {
			x.Counts[k] = Count{Slot: r.signed(), Events: r.number()}
		}
		if r.bad {
			break
		}
	}
	if r.bad || len(r.data) > 0 {
		return Beats{}, fmt.Errorf("%w: wrong %d bytes before their end", errCut, len(r.data))
	}
	return b, nil
}

// reading is what is left to read.
type reading struct {
	data []byte
	bad  bool
}

func (r *reading) took(n int) {
	if n <= 0 {
		r.bad = true
		return
	}
	r.data = r.data[n:]
}

func (r *reading) number() uint64 {
	v, n := binary.Uvarint(r.data)
	r.took(n)
	return v
}

func (r *reading) signed() int64 {
	v, n := binary.Varint(r.data)
	r.took(n)
	return v
}

// many reads how many things follow, of least bytes each.
func (r *reading) many(least int) int {
	n := r.number()
	if r.bad || n > uint64(len(r.data)/least) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reading) text() string {
	n := r.many(1)
	s := string(r.data[:n])
	r.data = r.data[n:]
	return s
}
