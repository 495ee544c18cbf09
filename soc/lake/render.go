package lake

import (
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
)

// renderer renders rows as flat JSON objects under the suite's names.
type renderer struct {
	// whole says that rows come as they are stored, so that the raw text can be
	// written anew from them.
	whole bool

	cols   []logstorage.BlockColumn
	byName []int // places in cols of a row's own fields, in the order of their names
	time   int   // place in cols, -1 where there is none
	raw    int
	text   int // event.original as it is stored
	msg    int // message
	fields []logstorage.Field
	buf    []byte
}

// keepsRows tells whether pipes leave rows as they are stored.
func keepsRows(list []pipe) bool {
	return !slices.ContainsFunc(list, func(p pipe) bool {
		switch p.name {
		case "sort", "order", "limit", "head", "offset", "skip", "filter", "where", "sample", "first", "last":
			return false
		}
		return !p.inner
	})
}

// block begins a block of rows.
func (r *renderer) block(cols []logstorage.BlockColumn) {
	r.cols, r.byName = cols, r.byName[:0]
	r.time, r.raw, r.text, r.msg = -1, -1, -1, -1
	for i, c := range cols {
		switch c.Name {
		case "_time":
			r.time = i
			continue
		case "_stream", "_stream_id":
			continue
		case fieldRaw:
			r.raw = i
			continue
		case fieldOriginal, "_msg":
			r.text = i
		case fieldMessage:
			r.msg = i
		}
		r.byName = append(r.byName, i)
	}
	slices.SortFunc(r.byName, func(a, b int) int { return strings.Compare(cols[a].Name, cols[b].Name) })
}

// original writes the row's raw text anew, "" where it cannot be.
func (r *renderer) original(i int) string {
	value := func(col int) string {
		if col < 0 {
			return ""
		}
		return r.cols[col].Values[i]
	}
	text := value(r.raw)
	switch {
	case !r.whole:
		return ""
	case text == "":
		// An event of which only the raw text was kept has it as such.
		if value(r.text) != "" {
			return ""
		}
		return value(r.msg)
	}
	at, err := time.Parse(time.RFC3339Nano, value(r.time))
	if err != nil {
		return ""
	}
	r.fields = r.fields[:0]
	for _, col := range r.byName {
		if v := r.cols[col].Values[i]; v != "" {
			r.fields = append(r.fields, logstorage.Field{Name: r.cols[col].Name, Value: v})
		}
	}
	var ok bool
	if r.buf, ok = resolve(r.buf[:0], text, r.fields, at.UnixNano()); !ok {
		return ""
	}
	return string(r.buf)
}

// appendRow renders one row of the block.
func (r *renderer) appendRow(b []byte, i int) []byte {
	b = append(b, '{')
	first := true
	add := func(name, value string) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = event.AppendJSON(b, name)
		b = append(b, ':')
		b = event.AppendJSON(b, value)
	}
	for _, lead := range [...]string{"_time", fieldID} {
		for _, c := range r.cols {
			if c.Name == lead && c.Values[i] != "" {
				add(outsideName(c.Name), c.Values[i])
			}
		}
	}
	if original := r.original(i); original != "" {
		add(fieldOriginal, original)
		if r.msg < 0 || r.cols[r.msg].Values[i] == "" {
			// It was left out where it is the raw text.
			add(fieldMessage, original)
		}
	}
	for _, c := range r.cols {
		switch c.Name {
		case "_time", fieldID, "_stream", "_stream_id", fieldRaw:
			continue
		}
		if v := c.Values[i]; v != "" {
			add(outsideName(c.Name), v)
		}
	}
	return append(b, '}')
}

func outsideName(name string) string {
	switch name {
	case "_time":
		return "@timestamp"
	case "_msg":
		return "event.original"
	}
	return name
}
