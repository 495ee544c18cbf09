package sqltable

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"icewatch/collectors"
)

// row is a row as it was read.
type row struct {
	key, second string // as the database writes them, and reads them again
	time        int64  // Unix nanoseconds; 0 where there is none
	json        []byte
}

// place is a row's place in the order of the keys. The zero value is before all.
type place struct {
	Key    *string `json:"key"`
	Second string  `json:"second,omitempty"`
}

// column is a column of what is read.
type column struct{ name, kind string }

// session is a connection in a read-only transaction.
type session struct {
	s       *settings
	tx      *sql.Tx
	columns []column
}

// open makes the pool of the source's one connection.
func (s *settings) open(dial collectors.Dial) (*sql.DB, error) {
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	secure, err := s.secure().Config("tls_")
	if err != nil {
		return nil, err
	}
	if secure.ServerName == "" {
		secure.ServerName = host
	}
	var db *sql.DB
	switch s.Database {
	case Postgres:
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("address: port %q: %w", port, err)
		}
		// What is not said here would come from this process' environment.
		c, err := pgx.ParseConfig("host=/nowhere port=1 user=nobody dbname=nothing sslmode=disable passfile=/dev/null servicefile=/dev/null")
		if err != nil {
			return nil, fmt.Errorf("postgres: %w", err)
		}
		c.Host, c.Port, c.User, c.Password, c.Config.Database, c.Fallbacks = host, uint16(n), s.Username, s.Password, s.Name, nil
		c.RuntimeParams = map[string]string{"application_name": "icewatch", "timezone": zoneName(s)}
		if s.TLS {
			c.TLSConfig = secure
		}
		c.DialFunc = pgconn.DialFunc(dial)
		c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // Whoever dials resolves, and judges.
		db = stdlib.OpenDB(*c)
	default:
		c := mysql.NewConfig()
		c.Net, c.Addr, c.User, c.Passwd, c.DBName = "tcp", s.Address, s.Username, s.Password, s.Name
		c.Timeout, c.ReadTimeout = s.timeout, s.timeout
		c.DialFunc = dial
		if s.TLS {
			c.TLS = secure
		}
		c.Params = map[string]string{"time_zone": "'+00:00'"}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, fmt.Errorf("mysql: %w", err)
		}
		db = sql.OpenDB(connector)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func zoneName(s *settings) string {
	if s.TimeZone == "" {
		return "UTC"
	}
	return s.TimeZone
}

// begin opens a read-only transaction and learns the columns.
func (s *settings) begin(ctx context.Context, db *sql.DB) (*session, error) {
	if s.Database == MySQL {
		// Each is known to one of the two: the other refuses it, and queries end with
		// ctx all the same.
		if _, err := db.ExecContext(ctx, "SET SESSION max_statement_time = "+strconv.Itoa(s.TimeoutSeconds)); err != nil {
			_, _ = db.ExecContext(ctx, "SET SESSION max_execution_time = "+strconv.Itoa(1000*s.TimeoutSeconds))
		}
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("connect to %s of %s as %s: %w", s.Name, s.Address, s.Username, err)
	}
	n := &session{s: s, tx: tx}
	if s.Database == Postgres {
		_, err = tx.ExecContext(ctx, "SET LOCAL statement_timeout = "+strconv.FormatInt(s.timeout.Milliseconds(), 10))
		if err != nil {
			n.end()
			return nil, fmt.Errorf("bound the time of queries: %w", err)
		}
	}
	if n.columns, err = n.learn(ctx); err != nil {
		n.end()
		return nil, err
	}
	return n, nil
}

func (n *session) end() { _ = n.tx.Rollback() } // Nothing was written.

// quote writes an identifier.
func (s *settings) quote(name string) string {
	mark := `"`
	if s.Database == MySQL {
		mark = "`"
	}
	return mark + strings.ReplaceAll(name, mark, mark+mark) + mark
}

// from is what is read, as a subquery named q.
func (s *settings) from() string {
	of := "(" + s.Query + "\n) x"
	if s.Query == "" {
		of = s.quote(s.Table)
		if s.Schema != "" {
			of = s.quote(s.Schema) + "." + of
		}
	}
	what := "*"
	if len(s.Columns) > 0 {
		var names []string
		for _, c := range append(slices.Clone(s.Columns), s.Key, s.SecondKey, s.TimeColumn) {
			if c != "" && !slices.Contains(names, s.quote(c)) {
				names = append(names, s.quote(c))
			}
		}
		what = strings.Join(names, ", ")
	}
	return "(SELECT " + what + " FROM " + of + ") q"
}

// learn asks for the columns and checks those that the configuration names.
func (n *session) learn(ctx context.Context) ([]column, error) {
	rows, err := n.tx.QueryContext(ctx, "SELECT * FROM "+n.s.from()+" LIMIT 0")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", n.s.what(), err)
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, fmt.Errorf("columns of %s: %w", n.s.what(), err)
	}
	out := make([]column, len(types))
	for i, t := range types {
		out[i] = column{t.Name(), strings.ToUpper(t.DatabaseTypeName())}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("columns of %s: %w", n.s.what(), err)
	}
	for _, x := range [][2]string{{"key", n.s.Key}, {"second_key", n.s.SecondKey}, {"time_column", n.s.TimeColumn}} {
		kind, ok := kindOf(out, x[1])
		if x[1] == "" {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%s: %s has no column %q; it has %s", x[0], n.s.what(), x[1], names(out))
		}
		switch {
		case x[0] == "time_column" && !isTime(kind):
			return nil, fmt.Errorf("time_column: %q is of type %s: a date or a timestamp is meant", x[1], kind)
		case x[0] != "time_column" && (strings.Contains(kind, "FLOAT") || kind == "DOUBLE"):
			return nil, fmt.Errorf("%s: %q is of type %s, which is not exact: a number without rounding, a time or a text is meant", x[0], x[1], kind)
		}
	}
	return out, nil
}

func kindOf(columns []column, name string) (string, bool) {
	for _, c := range columns {
		if c.name == name {
			return c.kind, true
		}
	}
	return "", false
}

func names(columns []column) string {
	var out []string
	for _, c := range columns[:min(len(columns), 30)] {
		out = append(out, c.name)
	}
	return strings.Join(out, ", ")
}

func isTime(kind string) bool {
	switch kind {
	case "DATE", "TIMESTAMP", "TIMESTAMPTZ", "DATETIME":
		return true
	}
	return false
}

func (s *settings) what() string {
	switch {
	case s.Query != "":
		return "the query"
	case s.Schema != "":
		return s.Schema + "." + s.Table
	}
	return s.Table
}

// statement asks for rows from a place on, in the order of the keys.
func (n *session) statement(from place, limit int) (string, []any) {
	s := n.s
	key := "q." + s.quote(s.Key)
	second := ""
	if s.SecondKey != "" {
		second = "q." + s.quote(s.SecondKey)
	}
	var b strings.Builder
	b.WriteString("SELECT ")
	if s.Database == Postgres {
		b.WriteString(key + "::text, ")
		if second != "" {
			b.WriteString(second + "::text, ")
		} else {
			b.WriteString("'', ")
		}
		if s.TimeColumn != "" {
			b.WriteString("(extract(epoch FROM (q." + s.quote(s.TimeColumn) + ")::timestamptz) * 1000000)::bigint, ")
		} else {
			b.WriteString("NULL::bigint, ")
		}
		b.WriteString("row_to_json(q)::text")
	} else {
		b.WriteString("q.*")
	}
	b.WriteString(" FROM " + s.from() + " WHERE " + key + " IS NOT NULL")
	var args []any
	bind := func(column, value string) string {
		args = append(args, n.argument(column, value))
		if s.Database == Postgres {
			return "$" + strconv.Itoa(len(args))
		}
		if kind, _ := kindOf(n.columns, column); kind == "DECIMAL" {
			return "CAST(? AS DECIMAL(65,30))"
		}
		return "?"
	}
	if from.Key != nil {
		if second == "" {
			b.WriteString(" AND " + key + " >= " + bind(s.Key, *from.Key))
		} else {
			// Spelt out: a comparison of pairs keeps some databases from their index.
			b.WriteString(" AND " + key + " >= " + bind(s.Key, *from.Key) + " AND (" + key + " > " + bind(s.Key, *from.Key) + " OR " + second + " >= " + bind(s.SecondKey, from.Second) + ")")
		}
	}
	b.WriteString(" ORDER BY " + key)
	if second != "" {
		b.WriteString(", " + second)
	}
	b.WriteString(" LIMIT " + strconv.Itoa(limit))
	return b.String(), args
}

// argument is a key's value as the database compares it exactly: MySQL compares
// a number with a text by floating point.
func (n *session) argument(column, value string) any {
	kind, _ := kindOf(n.columns, column)
	if n.s.Database == MySQL && strings.Contains(kind, "INT") {
		if i, err := strconv.ParseInt(value, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(value, 10, 64); err == nil {
			return u
		}
	}
	return value
}

// last asks for the highest key there is.
func (n *session) last(ctx context.Context) (place, error) {
	key := n.s.quote(n.s.Key)
	cast := "max(q." + key + ")::text"
	if n.s.Database == MySQL {
		cast = "CAST(max(q." + key + ") AS CHAR)"
	}
	var p place
	var at sql.NullString
	if err := n.tx.QueryRowContext(ctx, "SELECT "+cast+" FROM "+n.s.from()).Scan(&at); err != nil {
		return p, fmt.Errorf("highest %s of %s: %w", n.s.Key, n.s.what(), err)
	}
	if !at.Valid {
		return p, nil
	}
	p.Key = &at.String
	if n.s.SecondKey != "" {
		second := n.s.quote(n.s.SecondKey)
		cast := "max(q." + second + ")::text"
		mark := "$1"
		if n.s.Database == MySQL {
			cast, mark = "CAST(max(q."+second+") AS CHAR)", "?"
		}
		var with sql.NullString
		if err := n.tx.QueryRowContext(ctx, "SELECT "+cast+" FROM "+n.s.from()+" WHERE q."+key+" = "+mark, n.argument(n.s.Key, at.String)).Scan(&with); err != nil {
			return p, fmt.Errorf("highest %s of %s: %w", n.s.SecondKey, n.s.what(), err)
		}
		p.Second = with.String
	}
	return p, nil
}
