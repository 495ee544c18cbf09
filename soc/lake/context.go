package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logstorage"

	"icewatch/soc/event"
	"icewatch/soc/search"
)

// The order of rows in time, those of one time as they were taken in. Texts are
// compared with the numbers in them as numbers, so ids come in order.
const (
	oldestFirst = `_time, "` + fieldID + `"`
	newestFirst = `_time desc, "` + fieldID + `" desc`
)

// maxSurroundings bounds the rows around an event in bytes, per side.
const maxSurroundings = 16 << 20

// sameAs is the filter for rows that have something in common with a row, and
// what that is. Where the row lacks it, it is less.
func sameAs(row map[string]string, by string) (filter, did, value string) {
	tenant, dataset, host := row[fieldTenant], row["event.dataset"], row["host.name"]
	equal := func(field, value string) string { return strconv.Quote(field) + ":=" + strconv.Quote(value) }
	switch {
	case by == search.ByHost && host != "":
		return equal(fieldTenant, tenant) + " " + equal("host.name", host), by, host
	case by == search.ByNone:
		return "*", by, ""
	case by == search.ByTenant || dataset == "":
		return equal(fieldTenant, tenant), search.ByTenant, tenant
	}
	return equal(fieldTenant, tenant) + " " + equal("event.dataset", dataset) + " " + equal("host.name", host), search.ByStream, strings.TrimSpace(dataset + " " + host)
}

// Context returns the rows around an event that pass the query's accounts and
// filter; the query says no more than these.
func (l *Lake) Context(ctx context.Context, q Query, a search.Around) (search.Surroundings, error) {
	anchor, err := l.Event(ctx, q.Accounts, q.Filter, a.ID)
	if err != nil {
		return search.Surroundings{}, err
	}
	var row map[string]string
	if err := json.Unmarshal(anchor, &row); err != nil {
		return search.Surroundings{}, fmt.Errorf("lake: event %s: %w", a.ID, err)
	}
	at, err := time.Parse(time.RFC3339Nano, row["@timestamp"])
	if err != nil {
		return search.Surroundings{}, fmt.Errorf("lake: event %s: %w", a.ID, err)
	}
	id, _ := event.ParseID(a.ID)
	out := search.Surroundings{Anchor: anchor, Start: at.Add(-a.Width), End: at.Add(a.Width), Before: []json.RawMessage{}, After: []json.RawMessage{}}
	var same string
	same, out.By, out.Value = sameAs(row, a.By)

	// Many rows may have the anchor's time. Their order is that of batches, and
	// within the anchor's own batch that of places; how many of these come
	// before and after it is counted first.
	moment := at.UTC().Format("2006-01-02T15:04:05.000000000Z")
	now := `_time:[` + moment + `,` + moment + `]`
	var before, after int
	peers := q
	peers.Start, peers.End, peers.Limit = at, at.Add(1), 0
	peers.LogsQL = fmt.Sprintf("%s %s | fields %q", same, sequences(id.Sequence, id.Sequence), fieldID)
	p, err := logstorage.ParseQuery(peers.LogsQL)
	if err != nil {
		return out, fmt.Errorf("lake: context: %w", err)
	}
	_, err = l.runRows(ctx, p, peers, at, at, func(b []byte) error {
		var peer struct {
			ID string `json:"event.id"`
		}
		if err := json.Unmarshal(b, &peer); err != nil {
			return err
		}
		if other, ok := event.ParseID(peer.ID); ok && other.Epoch == id.Epoch {
			if other.Index < id.Index {
				before++
			} else if other.Index > id.Index {
				after++
			}
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	side := func(start, end time.Time, without, order string, skip, limit int) (rows []json.RawMessage, more bool, err error) {
		part := q
		part.Start, part.End, part.Limit = start, end, limit+1
		part.LogsQL = fmt.Sprintf("%s !(%s %s) | sort by (%s) offset %d limit %d", same, now, without, order, skip, limit+1)
		p, err := logstorage.ParseQuery(part.LogsQL)
		if err != nil {
			return nil, false, fmt.Errorf("lake: context: %w", err)
		}
		size := 0
		_, err = l.runRows(ctx, p, part, start, end, func(b []byte) error {
			if len(rows) == limit || size+len(b) > maxSurroundings {
				more = true
				return errEnough
			}
			rows = append(rows, slices.Clone(b))
			size += len(b)
			return nil
		})
		if errors.Is(err, errEnough) {
			err = nil
		}
		return rows, more, err
	}
	var rows []json.RawMessage
	if rows, out.MoreBefore, err = side(out.Start, at, sequences(id.Sequence+1, 1<<62), newestFirst, after+1, a.Before); err != nil {
		return out, err
	}
	slices.Reverse(rows)
	out.Before = append(out.Before, rows...)
	if rows, out.MoreAfter, err = side(at, out.End, sequences(0, max(id.Sequence, 1)-1), oldestFirst, before+1, a.After); err != nil {
		return out, err
	}
	out.After = append(out.After, rows...)
	return out, nil
}

// sequences is the filter for the rows of the raw batches from one to another.
func sequences(from, to uint64) string {
	return fmt.Sprintf("%q:range[%d, %d]", fieldSequence, from, to)
}
