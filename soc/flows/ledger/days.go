package ledger

import "math/bits"

// maxDays is how many days back from the latest one are told apart.
const maxDays = 512

// days is a set of days since 1970.
type days struct {
	first int64 // the day of the lowest bit
	bits  []byte
}

// add puts a day into the set.
func (d *days) add(day int64) {
	if len(d.bits) == 0 {
		d.first = day
	}
	if day < d.first {
		shift := (d.first - day + 7) / 8 // whole bytes, so that nothing moves within one
		if day < d.last()-maxDays+1 || int64(len(d.bits))+shift > maxDays/8+1 {
			return // Longer ago than is told apart.
		}
		d.bits = append(make([]byte, shift), d.bits...)
		d.first -= shift * 8
	}
	at := day - d.first
	if at >= maxDays {
		drop := (at-maxDays)/8 + 1
		if drop >= int64(len(d.bits)) {
			d.first, d.bits = day, nil
		} else {
			d.first, d.bits = d.first+drop*8, append([]byte(nil), d.bits[drop:]...)
		}
		at = day - d.first
	}
	for int64(len(d.bits)) <= at/8 {
		d.bits = append(d.bits, 0)
	}
	d.bits[at/8] |= 1 << (at % 8)
}

// last is the latest day in the set.
func (d *days) last() int64 {
	for i := len(d.bits) - 1; i >= 0; i-- {
		if b := d.bits[i]; b != 0 {
			return d.first + int64(i)*8 + int64(bits.Len8(b)) - 1
		}
	}
	return d.first
}

// merge puts the days of another set into this one.
func (d *days) merge(other days) {
	for i, b := range other.bits {
		for ; b != 0; b &= b - 1 {
			d.add(other.first + int64(i)*8 + int64(bits.TrailingZeros8(b)))
		}
	}
}

// count is how many days are in the set.
func (d *days) count() (n int) {
	for _, b := range d.bits {
		n += bits.OnesCount8(b)
	}
	return n
}
