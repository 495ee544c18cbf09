package otlp

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fastjson"
	"google.golang.org/protobuf/encoding/protowire"

	"icewatch/collectors"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/parse"
)

// A resource and a scope stand once in a request and once with every record of
// it, so that a record can be read alone. These bound what becomes of a request.
const (
	maxRecords  = 200_000
	maxExpanded = 128 << 20 // bytes
)

// source is a message as it came: in protobuf, or as JSON.
type source struct {
	wire  []byte
	value *fastjson.Value
}

// write writes a message as JSON.
func (w *writer) write(m *message, s source) error {
	if s.value != nil {
		return w.json(m, s.value, 1)
	}
	return w.wire(m, s.wire, 1)
}

// batch makes records of one request. Its memory is used again.
type batch struct {
	w       writer
	sig     *signal
	base    intake.Record
	aside   intake.AsideStore
	records []intake.Record
	ends    []int // in w.b, of each record's data

	// The group that is read: what stands before its records, and of what it was
	// made. headError says why its records cannot be kept.
	resource, scope       source
	resourceURL, scopeURL []byte
	head                  []byte
	headError             error

	seen     int // records of the request
	rejected int
	why      error // the first record was rejected
	errAside error
}

// reset makes the batch ready for a request.
func (b *batch) reset(sig *signal, base intake.Record, aside intake.AsideStore) {
	clear(b.records)
	b.w = writer{b: b.w.b[:0]}
	*b = batch{w: b.w, records: b.records[:0], ends: b.ends[:0], head: b.head[:0], sig: sig, base: base, aside: aside}
}

// keepable tells whether the batch is small enough to wait for reuse.
func (b *batch) keepable() bool { return cap(b.w.b) <= 4<<20 && cap(b.records) <= 20_000 }

// readWire reads an export request in protobuf. The messages around the
// records have the same numbers for logs and traces: 1 is what the group is of,
// 2 its members, 3 the URL of its schema.
func (b *batch) readWire(body []byte) error {
	return eachBytes(body, 1, func(i int, group []byte) error {
		b.resource, b.resourceURL = source{}, nil
		err := b.wireHead(group, &b.resource, &b.resourceURL)
		if err == nil {
			err = eachBytes(group, 2, func(j int, inner []byte) error {
				b.scope, b.scopeURL = source{}, nil
				err := b.wireHead(inner, &b.scope, &b.scopeURL)
				if err == nil {
					b.enter()
					err = eachBytes(inner, 2, func(_ int, record []byte) error { return b.add(source{wire: record}) })
				}
				if err != nil && !errors.Is(err, errMalformed) {
					return within(b.sig.scopes, j, err)
				}
				return err
			})
		}
		if err != nil && !errors.Is(err, errMalformed) {
			return within(b.sig.groups, i, err)
		}
		return err
	})
}

// wireHead finds the parts of a group that stand once.
func (b *batch) wireHead(group []byte, of *source, url *[]byte) error {
	err := eachBytes(group, 1, func(_ int, v []byte) error { of.wire = v; return nil })
	if err == nil {
		err = eachBytes(group, 3, func(_ int, v []byte) error { *url = v; return nil })
	}
	return err
}

// eachBytes calls do for every value of a field that is a message or a text.
func eachBytes(data []byte, of protowire.Number, do func(i int, v []byte) error) error {
	for i := 0; len(data) > 0; {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if number != of || kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return errMalformed
			}
			data = data[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return errMalformed
		}
		data = data[n:]
		if err := do(i, v); err != nil {
			return err
		}
		i++
	}
	return nil
}

// readJSON reads an export request as JSON.
func (b *batch) readJSON(parser *fastjson.Parser, body []byte) error {
	root, err := parser.ParseBytes(body)
	if err != nil {
		return fmt.Errorf("the body is not valid JSON: %s", clip(err.Error()))
	}
	if root.Type() != fastjson.TypeObject {
		return fmt.Errorf("the body must be a JSON object, not %s", root.Type())
	}
	return eachValue(root, b.sig.groups, func(group *fastjson.Value) error {
		if err := jsonHead(group, "resource", &b.resource, &b.resourceURL); err != nil {
			return err
		}
		return eachValue(group, b.sig.scopes, func(inner *fastjson.Value) error {
			if err := jsonHead(inner, "scope", &b.scope, &b.scopeURL); err != nil {
				return err
			}
			b.enter()
			if b.headError != nil && !errors.Is(b.headError, errDeep) {
				return b.headError
			}
			return eachValue(inner, b.sig.records, func(record *fastjson.Value) error { return b.add(source{value: record}) })
		})
	})
}

// jsonHead finds the parts of a group that stand once.
func jsonHead(group *fastjson.Value, name string, of *source, url *[]byte) error {
	o, err := group.Object()
	if err != nil {
		return fmt.Errorf("must be an object, not %s", group.Type())
	}
	*of, *url = source{value: get(o, name)}, nil
	if v := get(o, "schemaUrl"); v != nil {
		if *url, err = v.StringBytes(); err != nil {
			return within("schemaUrl", -1, fmt.Errorf("must be a string, not %s", v.Type()))
		}
	}
	return nil
}

// eachValue calls do for every element of a member that is a list.
func eachValue(of *fastjson.Value, name string, do func(v *fastjson.Value) error) error {
	o, err := of.Object()
	if err != nil {
		return fmt.Errorf("must be an object, not %s", of.Type())
	}
	member := get(o, name)
	if member == nil {
		return nil
	}
	list, err := member.Array()
	if err != nil {
		return within(name, -1, fmt.Errorf("must be an array, not %s", member.Type()))
	}
	for i, v := range list {
		if err := do(v); err != nil {
			return within(name, i, err)
		}
	}
	return nil
}

// enter makes ready for the records of a group.
func (b *batch) enter() {
	from := len(b.w.b)
	b.w.altered = false
	b.headError = b.writeHead()
	b.head = append(b.head[:0], b.w.b[from:]...)
	b.w.b = b.w.b[:from]
}

// writeHead writes what stands before a record.
func (b *batch) writeHead() error {
	part := func(name string, m *message, s source, url []byte) error {
		b.w.b = append(b.w.b, '"')
		b.w.b = append(b.w.b, name...)
		b.w.b = append(b.w.b, `":`...)
		if err := b.w.write(m, s); err != nil {
			return within(name, -1, err)
		}
		if len(url) > 0 {
			b.w.b = append(b.w.b, `,"`...)
			b.w.b = append(b.w.b, name...)
			b.w.b = append(b.w.b, `SchemaUrl":`...)
			b.w.text(url)
		}
		b.w.b = append(b.w.b, ',')
		return nil
	}
	b.w.b = append(b.w.b, '{')
	if err := part("resource", resource, b.resource, b.resourceURL); err != nil {
		return err
	}
	if err := part("scope", scope, b.scope, b.scopeURL); err != nil {
		return err
	}
	b.w.b = append(b.w.b, '"')
	b.w.b = append(b.w.b, b.sig.member...)
	b.w.b = append(b.w.b, `":`...)
	return nil
}

// rejection is why one record is not kept while others are.
type rejection struct{ reason string }

func (r *rejection) Error() string { return r.reason }

// add makes a record. What is wrong with it alone is counted; an error is for
// the whole request.
func (b *batch) add(s source) error {
	at := b.seen
	b.seen++
	if at >= maxRecords {
		return tooLarge("the request has more than %d records", maxRecords)
	}
	from := len(b.w.b)
	rec, err := b.record(s)
	var bad *rejection
	if errors.As(err, &bad) || errors.Is(err, errDeep) {
		b.w.b = b.w.b[:from]
		b.rejected++
		if b.why == nil {
			b.why = within(b.sig.member, at, err)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if len(b.w.b) > maxExpanded {
		return tooLarge("the records of the request, each with its resource and scope, have more than %d bytes", maxExpanded)
	}
	b.records = append(b.records, rec)
	b.ends = append(b.ends, len(b.w.b))
	return nil
}

// record writes the text of one record and fills what stands beside it.
func (b *batch) record(s source) (intake.Record, error) {
	rec := b.base
	if b.headError != nil {
		return rec, b.headError
	}
	from := len(b.w.b)
	b.w.at = [maxField + 1]extent{}
	headAltered := b.w.altered
	defer func() { b.w.altered = headAltered }()
	b.w.b = append(b.w.b, b.head...)
	if err := b.w.write(b.sig.record, s); err != nil {
		return rec, err
	}
	b.w.b = append(b.w.b, '}')
	if err := b.describe(&rec); err != nil {
		return rec, err
	}
	if b.w.altered {
		rec.Marks = append(rec.Marks, parse.MarkInvalidUTF8)
	}
	if len(b.w.b)-from > intake.MaxData {
		return rec, b.shorten(&rec, s, from)
	}
	return rec, nil
}

// describe fills a record's id and time of what was written.
func (b *batch) describe(rec *intake.Record) error {
	if b.sig != traces {
		if rec.Time = nanoseconds(b.w.value(logTime)); rec.Time == 0 {
			rec.Time = nanoseconds(b.w.value(logObserved))
		}
		return nil
	}
	trace, id := b.w.value(spanTrace), b.w.value(spanID)
	if !isIdentity(trace, 32) {
		return &rejection{fmt.Sprintf("traceId %q is not an id of 16 bytes, not all of them zero", clip(string(trace)))}
	}
	if !isIdentity(id, 16) {
		return &rejection{fmt.Sprintf("spanId %q is not an id of 8 bytes, not all of them zero", clip(string(id)))}
	}
	text := make([]byte, 0, 49)
	text = append(append(append(text, trace...), '-'), id...)
	rec.ID = view(text)
	rec.Time = nanoseconds(b.w.value(spanStart))
	return nil
}

// isIdentity tells whether hex digits are an id of the length.
func isIdentity(digits []byte, n int) bool {
	for _, c := range digits {
		if c != '0' {
			return len(digits) == n
		}
	}
	return false
}

// nanoseconds reads Unix nanoseconds, 0 for none.
func nanoseconds(digits []byte) int64 {
	n, err := strconv.ParseInt(view(digits), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// shorten writes a record anew that is too long for an event, with its texts
// cut, and puts the whole aside.
func (b *batch) shorten(rec *intake.Record, s source, from int) error {
	size := len(b.w.b) - from
	rec.Marks = append(rec.Marks, collectors.MarkTruncated)
	whole := b.w.b[from:]
	defer func() { b.w.clip = 0 }()
	for _, b.w.clip = range []int{64 << 10, 4 << 10, 256} {
		start := len(b.w.b)
		if err := b.writeHead(); err != nil {
			return err
		}
		if err := b.w.write(b.sig.record, s); err != nil {
			return err
		}
		b.w.b = append(b.w.b, '}')
		short := len(b.w.b) - start
		if short > intake.MaxData {
			b.w.b = b.w.b[:start]
			continue
		}
		if b.aside == nil {
			rec.Marks = append(rec.Marks, collectors.MarkAsideFailed)
		} else if sum, err := b.aside.Put(rec.Tenant, whole); err != nil {
			rec.Marks = append(rec.Marks, collectors.MarkAsideFailed)
			b.errAside = err
		} else {
			rec.Aside = sum
		}
		copy(b.w.b[from:], b.w.b[start:])
		b.w.b = b.w.b[:from+short]
		return nil
	}
	return &rejection{fmt.Sprintf("it has %d bytes with its resource and scope, and more than %d even with every text cut to %d", size, intake.MaxData, 256)}
}

// finish gives the records their data and, where the protocol has none, ids.
func (b *batch) finish() (records []intake.Record, size int) {
	from := 0
	for i := range b.records {
		b.records[i].Data = b.w.b[from:b.ends[i]:b.ends[i]]
		from = b.ends[i]
	}
	if b.sig == logs {
		identify(b.records)
	}
	return b.records, from
}

// identify gives log records ids. The protocol has none, and a client that got
// no answer sends the same request again, so the id is made of all that the
// record says. Without a time the same text may well come again. A record that
// is in one request several times is several records.
func identify(recs []intake.Record) {
	times := make(map[uint64]int, len(recs))
	for i := range recs {
		r := &recs[i]
		if r.Time == 0 {
			continue
		}
		sum := xxhash.Sum64(r.Data)
		n := times[sum]
		times[sum]++
		r.ID = strconv.FormatUint(sum, 36)
		if n > 0 {
			r.ID += "-" + strconv.Itoa(n)
		}
	}
}

func tooLarge(format string, args ...any) error {
	return &refusal{status: http.StatusRequestEntityTooLarge, why: fmt.Sprintf(format, args...)}
}

// view shows bytes as a string without copying.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
