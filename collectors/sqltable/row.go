package sqltable

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"
	"unicode/utf8"
)

// each calls f for the rows from a place on, at most limit of them. A row is
// valid until f returns.
func (n *session) each(ctx context.Context, from place, limit int, f func(row) error) error {
	text, args := n.statement(from, limit)
	rows, err := n.tx.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("read %s: %w", n.s.what(), err)
	}
	defer rows.Close()
	read := n.postgres
	if n.s.Database == MySQL {
		read = n.mysql()
	}
	for rows.Next() {
		r, err := read(rows)
		if err != nil {
			return fmt.Errorf("read a row of %s: %w", n.s.what(), err)
		}
		if err := f(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", n.s.what(), err)
	}
	return nil
}

// postgres reads a row that the server made JSON of: numbers are exact, times
// have their zone, binary data are hexadecimal after \x.
func (n *session) postgres(rows *sql.Rows) (row, error) {
	var second sql.NullString
	var at sql.NullInt64
	var r row
	if err := rows.Scan(&r.key, &second, &at, &r.json); err != nil {
		return r, err
	}
	r.second = second.String
	if at.Valid {
		r.time = at.Int64 * 1000
	}
	return r, nil
}

// mysql returns what reads a row and makes JSON of it, as PostgreSQL does.
func (n *session) mysql() func(rows *sql.Rows) (row, error) {
	values := make([]sql.RawBytes, len(n.columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	return func(rows *sql.Rows) (row, error) {
		var r row
		if err := rows.Scan(into...); err != nil {
			return r, err
		}
		b := []byte{'{'}
		for i, c := range n.columns {
			if len(b) > 1 {
				b = append(b, ',')
			}
			b = appendText(b, c.name)
			b = append(b, ':')
			v := values[i]
			var at time.Time
			b, at = n.value(b, c.kind, v)
			if c.name == n.s.TimeColumn && !at.IsZero() {
				r.time = at.UnixNano()
			}
			switch c.name {
			case n.s.Key:
				r.key = string(v)
			case n.s.SecondKey:
				r.second = string(v)
			}
		}
		r.json = append(b, '}')
		return r, nil
	}
}

// value appends a value of MySQL as JSON; at is the time it is, where it is one.
func (n *session) value(b []byte, kind string, v []byte) (out []byte, at time.Time) {
	if v == nil {
		return append(b, "null"...), at
	}
	switch kind {
	case "DECIMAL", "FLOAT", "DOUBLE", "YEAR":
		if json.Valid(v) {
			return append(b, v...), at
		}
	case "JSON":
		if json.Valid(v) {
			return append(b, v...), at
		}
	case "BIT":
		return append(b, new(big.Int).SetBytes(v).String()...), at
	case "BINARY", "VARBINARY", "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "GEOMETRY":
		return hexadecimal(b, v), at
	case "DATETIME", "TIMESTAMP", "DATE":
		zone := n.s.location
		if kind == "TIMESTAMP" {
			zone = time.UTC // The session's zone.
		}
		for _, layout := range []string{"2006-01-02 15:04:05.999999", "2006-01-02"} {
			if t, err := time.ParseInLocation(layout, string(v), zone); err == nil {
				if kind == "DATE" {
					return appendText(b, string(v)), t
				}
				return appendText(b, t.Format(time.RFC3339Nano)), t
			}
		}
	default:
		if strings.Contains(kind, "INT") && json.Valid(v) {
			return append(b, v...), at
		}
	}
	if !utf8.Valid(v) {
		return hexadecimal(b, v), at
	}
	return appendText(b, string(v)), at
}

func hexadecimal(b, v []byte) []byte {
	b = append(b, `"\\x`...)
	b = hex.AppendEncode(b, v)
	return append(b, '"')
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil { // A string always can be.
		return append(b, `""`...)
	}
	return append(b, bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})...)
}
