package state

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"hash/maphash"
	"slices"
	"strings"
)

const (
	// maxKept is how many statements a connection keeps prepared. One takes some
	// ten kilobytes.
	maxKept = 48
	// maxKeptText is how long the text of a kept statement is at most, in bytes.
	maxKeptText = 16 << 10
	// maxSeen is how many texts that bind nothing are remembered to have been asked.
	maxSeen = 512
)

// open makes a pool whose connections keep the statements prepared that bind
// values, from one use to the next and from one transaction to the next: SQLite
// takes longer to read a statement of many columns than to write a row by it.
// Of statements whose values stand in their text, as bun writes them, most are
// another one each time: of these such are kept as are asked again before many
// others.
func open(name string) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	d := pool.Driver()
	return sql.OpenDB(connector{d, name}), pool.Close()
}

type connector struct {
	driver driver.Driver
	name   string
}

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.name)
	if err != nil {
		return nil, err
	}
	if whole, ok := inner.(wholeConn); ok {
		return &conn{wholeConn: whole, kept: map[string]wholeStmt{}}, nil
	}
	return inner, nil
}

// wholeConn is all of a connection that database/sql asks for.
type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type wholeStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// conn keeps statements. database/sql sees to it that it is used by one
// goroutine at a time.
type conn struct {
	wholeConn
	kept   map[string]wholeStmt // by text; none is in use
	order  []string             // of these, the one that was used last at the end
	seen   map[uint64]bool      // hashes of texts that bind nothing and were asked
	closed bool
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	if s := c.kept[text]; s != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.forget(text)
		return &stmt{wholeStmt: s, of: c, text: text}, nil
	}
	inner, err := c.wholeConn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	if s, ok := inner.(wholeStmt); ok && len(text) <= maxKeptText {
		return &stmt{wholeStmt: s, of: c, text: text}, nil
	}
	return inner, nil
}

// ExecContext implements driver.ExecerContext. What binds values is prepared.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) > 0 {
		return nil, driver.ErrSkip
	}
	return c.wholeConn.ExecContext(ctx, text, args)
}

// QueryContext implements driver.QueryerContext, like ExecContext.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) > 0 || c.again(text) {
		return nil, driver.ErrSkip
	}
	return c.wholeConn.QueryContext(ctx, text, args)
}

var seed = maphash.MakeSeed()

// again tells whether a question that binds nothing was asked before, not long ago.
func (c *conn) again(text string) bool {
	if !strings.HasPrefix(text, "SELECT ") || len(text) > maxKeptText {
		return false
	}
	h := maphash.String(seed, text)
	if c.seen[h] {
		return true
	}
	if len(c.seen) >= maxSeen || c.seen == nil {
		c.seen = make(map[uint64]bool, maxSeen)
	}
	c.seen[h] = true
	return false
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	c.closed = true
	for _, s := range c.kept {
		_ = s.Close() // the connection ends with an error of its own
	}
	clear(c.kept)
	return c.wholeConn.Close()
}

func (c *conn) forget(text string) {
	delete(c.kept, text)
	c.order = slices.DeleteFunc(c.order, func(t string) bool { return t == text })
}

// stmt is a statement in use.
type stmt struct {
	wholeStmt
	of     *conn
	text   string
	failed bool // it is not used again
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	r, err := s.wholeStmt.ExecContext(ctx, args)
	s.failed = s.failed || err != nil
	return r, err
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r, err := s.wholeStmt.QueryContext(ctx, args)
	s.failed = s.failed || err != nil
	return r, err
}

// Close implements driver.Stmt: the connection keeps the statement, in place of
// the one that was used longest ago where it has enough.
func (s *stmt) Close() error {
	c := s.of
	if s.failed || c.closed || c.kept[s.text] != nil {
		return s.wholeStmt.Close()
	}
	c.kept[s.text], c.order = s.wholeStmt, append(c.order, s.text)
	if len(c.order) <= maxKept {
		return nil
	}
	oldest := c.kept[c.order[0]]
	c.forget(c.order[0])
	return oldest.Close()
}
