package intake

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// A batch on the bus is one version byte and an S2 block. The block holds a
// table of the strings that records share (tenant, zone, collector, attribute
// names and values, marks), then the records. Lengths and numbers are varints.
const codecVersion = 1

// MaxBatch bounds what DecodeBatch unpacks, in bytes.
const MaxBatch = 32 << 20

// AppendBatch appends the encoding of recs to dst.
func AppendBatch(dst []byte, recs []Record) []byte {
	e := encoders.Get().(*encoder)
	defer e.release()
	e.body = binary.AppendUvarint(e.body, uint64(len(recs)))
	for i := range recs {
		e.record(&recs[i])
	}
	e.plain = binary.AppendUvarint(e.plain, uint64(len(e.table)))
	for _, s := range e.table {
		e.plain = appendText(e.plain, s)
	}
	e.plain = append(e.plain, e.body...)
	head := len(dst) + 1
	dst = slices.Grow(dst, 1+s2.MaxEncodedLen(len(e.plain)))
	dst = append(dst, codecVersion)
	return dst[:head+len(s2.Encode(dst[head:cap(dst)], e.plain))]
}

// encoder gathers one batch. Its memory is used again.
type encoder struct {
	index       map[string]uint64
	table       []string
	body, plain []byte
}

var encoders = sync.Pool{New: func() any { return &encoder{index: map[string]uint64{}} }}

// keptEncoder is how many bytes an encoder may keep for the next batch.
const keptEncoder = 4 << 20

func (e *encoder) release() {
	if cap(e.plain) > keptEncoder {
		return
	}
	clear(e.index)
	clear(e.table)
	e.table, e.body, e.plain = e.table[:0], e.body[:0], e.plain[:0]
	encoders.Put(e)
}

func (e *encoder) shared(s string) {
	n, ok := e.index[s]
	if !ok {
		n = uint64(len(e.table))
		e.index[s] = n
		e.table = append(e.table, s)
	}
	e.body = binary.AppendUvarint(e.body, n)
}

func (e *encoder) record(r *Record) {
	e.shared(r.Tenant)
	e.shared(r.Zone)
	e.shared(r.Collector)
	e.body = append(e.body, byte(r.Format))
	addr, _ := r.Peer.MarshalBinary()
	e.shared(string(addr))
	e.body = binary.AppendVarint(e.body, r.Received)
	e.body = binary.AppendVarint(e.body, r.Time)
	e.body = appendText(e.body, r.ID)
	e.shared(r.Aside)
	e.body = binary.AppendUvarint(e.body, uint64(len(r.Marks)))
	for _, m := range r.Marks {
		e.shared(m)
	}
	e.body = binary.AppendUvarint(e.body, uint64(len(r.Attrs)))
	for _, a := range r.Attrs {
		e.shared(a.Name)
		e.shared(a.Value)
	}
	e.body = binary.AppendUvarint(e.body, uint64(len(r.Data)))
	e.body = append(e.body, r.Data...)
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

var errShort = errors.New("intake: the batch ends too early")

// DecodeBatch appends the records of an encoded batch to recs. Their texts
// share one fresh buffer, so they stay valid for as long as any is kept. An
// error means that the bytes are not what AppendBatch wrote.
func DecodeBatch(recs []Record, data []byte) ([]Record, error) {
	if len(data) == 0 || data[0] != codecVersion {
		return recs, fmt.Errorf("intake: not a batch of version %d", codecVersion)
	}
	n, err := s2.DecodedLen(data[1:])
	if err != nil {
		return recs, fmt.Errorf("intake: batch header: %w", err)
	}
	if n > MaxBatch {
		return recs, fmt.Errorf("intake: batch of %d bytes exceeds %d", n, MaxBatch)
	}
	plain, err := s2.Decode(nil, data[1:])
	if err != nil {
		return recs, fmt.Errorf("intake: batch body: %w", err)
	}
	d := decoder{buf: plain}
	table := make([]string, d.count())
	for i := range table {
		table[i] = string(d.bytes())
	}
	d.table = table
	count := d.count()
	for i := 0; i < count && d.err == nil; i++ {
		recs = append(recs, d.record())
	}
	if d.err == nil && len(d.buf) != 0 {
		d.err = fmt.Errorf("intake: %d bytes after the last record", len(d.buf))
	}
	return recs, d.err
}

type decoder struct {
	buf   []byte
	table []string
	err   error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 {
		d.err, d.buf = errShort, nil
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.buf)
	if n <= 0 {
		d.err, d.buf = errShort, nil
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

// count reads a number of things that take at least a byte each.
func (d *decoder) count() int {
	v := d.uvarint()
	if v > uint64(len(d.buf)) {
		d.err, d.buf = errShort, nil
		return 0
	}
	return int(v)
}

func (d *decoder) bytes() []byte {
	n := d.count()
	if d.err != nil {
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) shared() string {
	v := d.uvarint()
	if v >= uint64(len(d.table)) {
		if d.err == nil {
			d.err = fmt.Errorf("intake: string %d of a table of %d", v, len(d.table))
		}
		return ""
	}
	return d.table[v]
}

func (d *decoder) record() (r Record) {
	r.Tenant, r.Zone, r.Collector = d.shared(), d.shared(), d.shared()
	if len(d.buf) == 0 {
		d.err = errShort
		return r
	}
	r.Format = Format(d.buf[0])
	d.buf = d.buf[1:]
	if addr := d.shared(); addr != "" {
		var a netip.Addr
		if err := a.UnmarshalBinary([]byte(addr)); err != nil {
			d.err = fmt.Errorf("intake: peer address: %w", err)
			return r
		}
		r.Peer = a
	}
	r.Received, r.Time = d.varint(), d.varint()
	r.ID = string(d.bytes())
	r.Aside = d.shared()
	if n := d.count(); n > 0 {
		r.Marks = make([]string, n)
		for i := range r.Marks {
			r.Marks[i] = d.shared()
		}
	}
	if n := d.count(); n > 0 {
		r.Attrs = make([]Attr, n)
		for i := range r.Attrs {
			r.Attrs[i] = Attr{Name: d.shared(), Value: d.shared()}
		}
	}
	r.Data = d.bytes()
	return r
}
