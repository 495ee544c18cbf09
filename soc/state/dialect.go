package state

import (
	"encoding/hex"
	"strings"

	"github.com/uptrace/bun/dialect/sqlitedialect"
)

// dialect is bun's for SQLite, and takes every string. bun writes values into
// the statement, where a literal cannot hold a NUL; it makes the whole
// statement fail instead. Log lines and requests hold NULs at their sender's
// will, and one such value in a batch would keep the batch from being written
// for ever.
type dialect struct{ *sqlitedialect.Dialect }

// AppendString implements schema.Dialect.
func (d dialect) AppendString(b []byte, s string) []byte {
	if strings.IndexByte(s, 0) < 0 {
		return d.Dialect.AppendString(b, s)
	}
	b = append(b, "CAST(X'"...)
	b = hex.AppendEncode(b, []byte(strings.ToValidUTF8(s, "\uFFFD")))
	return append(b, "' AS TEXT)"...)
}
