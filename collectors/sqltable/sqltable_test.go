package sqltable

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors"
	"icewatch/collectors/collecttest"
	"icewatch/test/peers"
)

// bench is a database with a source that reads it.
type bench struct {
	t      *testing.T
	db     *sql.DB
	cfg    Config
	sink   collecttest.Sink
	places *collecttest.Places
	c      *Collector
	clock  time.Time
	told   int
}

func (b *bench) exec(statements ...string) {
	b.t.Helper()
	for _, s := range statements {
		if _, err := b.db.ExecContext(b.t.Context(), s); err != nil {
			b.t.Fatalf("%s: %v", s, err)
		}
	}
}

func (b *bench) restart() {
	b.t.Helper()
	c, err := New(b.cfg, collectors.Deps{Sink: &b.sink, Places: b.places})
	if err != nil {
		b.t.Fatal(err)
	}
	c.now = func() time.Time { return b.clock }
	b.c = c
}

// look looks and says which values of the field came.
func (b *bench) look(field string, want ...string) {
	b.t.Helper()
	b.clock = b.clock.Add(20 * time.Second)
	if _, err := b.c.round(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	var got []string
	for _, r := range b.sink.Records()[b.told:] {
		var row map[string]any
		if err := json.Unmarshal(r.Data, &row); err != nil {
			b.t.Fatalf("%s: %v", r.Data, err)
		}
		got = append(got, fmt.Sprint(row[field]))
		b.told++
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		b.t.Errorf("came %q, want %q", got, want)
	}
}

// databases runs f on each kind.
func databases(t *testing.T, f func(t *testing.T, b *bench)) {
	start := func(t *testing.T, cfg Config) {
		b := &bench{t: t, cfg: cfg, places: new(collecttest.Places), clock: time.Now()}
		b.cfg.ID, b.cfg.Tenant = "rows", "a"
		s, err := b.cfg.settle()
		if s == nil {
			b.cfg.Table, b.cfg.Key = "x", "x"
			if s, err = b.cfg.settle(); err != nil {
				t.Fatal(err)
			}
		}
		if b.db, err = s.open(collectors.PlainDial); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.db.Close() })
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if err = b.db.Ping(); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
		f(t, b)
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		u, err := url.Parse(peers.StartPostgres(t))
		if err != nil {
			t.Fatal(err)
		}
		cfg := *DefaultConfig()
		cfg.Address, cfg.Name, cfg.Username = u.Host, "postgres", u.User.Username()
		start(t, cfg)
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		m := peers.StartMariaDB(t)
		cfg := *DefaultConfig()
		cfg.Database, cfg.Address, cfg.Name, cfg.Username, cfg.Password = MySQL, m.Address, "test", m.User, m.Password
		start(t, cfg)
	})
}

// Rows that become visible late, equal keys, equal rows, restarts: each row
// comes, and again only under the id that it had.
func TestRows(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, b *bench) {
		quote := (&settings{Config: b.cfg}).quote
		table, key := quote(`odd "ta`+"`"+`ble`), quote(`the key`)
		b.exec("CREATE TABLE " + table + " (" + key + " bigint, what varchar(40))")
		insert := func(k int64, what string) string {
			return fmt.Sprintf("INSERT INTO %s VALUES (%d, '%s')", table, k, what)
		}
		b.cfg.Table, b.cfg.Key, b.cfg.BatchRows = `odd "ta`+"`"+`ble`, "the key", 10
		b.restart()
		const big = 9_007_199_254_740_993 // which floating point cannot tell from the number before
		b.exec(insert(big-1, "one"), insert(big, "two"), insert(big, "twin"), insert(big, "twin"))
		b.look("what", "one", "two", "twin", "twin")
		b.exec(insert(big+2, "four"))
		b.look("what", "four")
		b.exec(insert(big+1, "late"), insert(big, "later"))
		b.look("what", "late", "later")
		b.look("what")
		// The place has settled: a restart reads from there on, under the same ids.
		for range 4 {
			b.look("what")
		}
		var many []string
		for i := range 137 {
			many = append(many, fmt.Sprintf("(%d, 'm%d')", big+10+int64(i/60), i))
		}
		b.exec("INSERT INTO " + table + " VALUES " + strings.Join(many, ","))
		var want []string
		for i := range 137 {
			want = append(want, fmt.Sprintf("m%d", i))
		}
		b.look("what", want...)
		before := b.sink.Records()
		b.places = b.places.Copy()
		b.restart()
		b.clock = b.clock.Add(time.Minute)
		if _, err := b.c.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		for _, r := range before {
			if known[r.ID] {
				t.Errorf("the id %s is of two rows", r.ID)
			}
			known[r.ID] = true
		}
		again := b.sink.Records()[len(before):]
		for _, r := range again {
			if !known[r.ID] {
				t.Errorf("a row has another id after the restart: %s", r.Data)
			}
		}
		if len(again) > 138 || len(again) < 137 {
			t.Errorf("%d rows were read again", len(again))
		}
	})
}

// A second key, times as keys, and a beginning at the end.
func TestKeys(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, b *bench) {
		b.exec("CREATE TABLE logs (at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), id int, what varchar(40))",
			"INSERT INTO logs VALUES ('2026-11-26 08:00:00.000001', 1, 'old'), ('2026-11-26 08:00:00.000001', 2, 'old too')")
		b.cfg.Table, b.cfg.Key, b.cfg.SecondKey, b.cfg.TimeColumn, b.cfg.Start, b.cfg.BatchRows = "logs", "at", "id", "at", FromEnd, 10
		b.restart()
		b.look("what")
		var values, want []string
		for i := range 35 { // more rows of one time than are asked for at once
			values = append(values, fmt.Sprintf("('2026-11-26 08:00:00.000001', %d, 'n%d')", i+3, i))
			want = append(want, fmt.Sprintf("n%d", i))
		}
		b.exec("INSERT INTO logs VALUES " + strings.Join(values, ","))
		b.look("what", want...)
		b.exec("INSERT INTO logs VALUES ('2026-11-26 08:00:00.000002', 1, 'next')")
		b.look("what", "next")
		all := b.sink.Records()
		last := all[len(all)-1]
		if at := time.Unix(0, last.Time).UTC(); !at.Equal(time.Date(2026, 11, 26, 8, 0, 0, 2000, time.UTC)) {
			t.Errorf("its time is %v", at)
		}
		// Without the second key as well, though slower.
		b.cfg.SecondKey, b.cfg.ID, b.cfg.Start = "", "other", FromBeginning
		b.restart()
		b.look("what", append(want, "old", "old too", "next")...)
		// A query, and some of its columns.
		b.cfg.Table, b.cfg.ID, b.cfg.Key, b.cfg.TimeColumn = "", "query", "id", ""
		b.cfg.Query = "SELECT l.id, l.what, 1 AS one FROM logs l WHERE l.what LIKE 'old%';"
		b.cfg.Columns = []string{"what"}
		b.restart()
		b.look("what", "old", "old too")
		all = b.sink.Records()
		if got := strings.ReplaceAll(string(all[len(all)-1].Data), `": `, `":`); got != `{"what":"old too","id":2}` {
			t.Errorf("%s", got)
		}
	})
}

// Values are what they are in the database.
func TestValues(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, b *bench) {
		var want string
		if b.cfg.Database == Postgres {
			b.exec("CREATE TABLE v (id serial, n numeric(30,10), f boolean, s text, b bytea, at timestamptz, local timestamp, d date, j jsonb, list int[], none text)",
				`INSERT INTO v (n, f, s, b, at, local, d, j, list) VALUES (12345678901234567890.0123456789, true, E'张三 "q"\n\\ <a>', '\x00ff', '2026-11-26 08:00:00.123456+08', '2026-11-26 08:00:00', '2026-11-26', '{"a": [1]}', '{1,2}')`)
			want = `{"id":1,"n":12345678901234567890.0123456789,"f":true,"s":"张三 \"q\"\n\\ <a>","b":"\\x00ff","at":"2026-11-26T08:00:00.123456+08:00","local":"2026-11-26T08:00:00","d":"2026-11-26","j":{"a": [1]},"list":[1,2],"none":null}`
		} else {
			b.exec("CREATE TABLE v (id bigint unsigned, n decimal(30,10), f tinyint, s text, b varbinary(9), at timestamp(6) NULL, local datetime, d date, bits bit(9), none text)",
				`INSERT INTO v VALUES (18446744073709551615, 12345678901234567890.0123456789, 1, '张三 "q"\n\\ <a>', x'00ff', '2026-11-26 00:00:00.123456', '2026-11-26 08:00:00', '2026-11-26', b'100000001', NULL)`)
			want = `{"id":18446744073709551615,"n":12345678901234567890.0123456789,"f":1,"s":"张三 \"q\"\n\\ <a>","b":"\\x00ff","at":"2026-11-26T00:00:00.123456Z","local":"2026-11-26T08:00:00+08:00","d":"2026-11-26","bits":257,"none":null}`
		}
		b.cfg.Table, b.cfg.Key, b.cfg.TimeZone, b.cfg.TimeColumn = "v", "id", "Asia/Shanghai", "local"
		b.restart()
		b.look("s", "张三 \"q\"\n\\ <a>")
		got := b.sink.Records()[0]
		if string(got.Data) != want {
			t.Errorf("\n%s, want\n%s", got.Data, want)
		}
		if at := time.Unix(0, got.Time).UTC(); !at.Equal(time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)) {
			t.Errorf("its time is %v", at)
		}
	})
}

// What is wrong is told in words that help.
func TestFaults(t *testing.T) {
	t.Parallel()
	databases(t, func(t *testing.T, b *bench) {
		b.exec("CREATE TABLE logs (id int, what varchar(40), rough double precision)", "INSERT INTO logs VALUES (1, 'a', 1.5)")
		b.cfg.Table, b.cfg.Key = "logs", "id"
		f := func(want string, change func(*Config)) {
			t.Helper()
			c := b.cfg
			change(&c)
			trial, err := try(t.Context(), &c, collectors.Deps{})
			if want == "" && (err != nil || len(trial.Records) != 1 || len(trial.Steps) != 3) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("want %q: %v, %+v", want, err, trial)
			}
		}
		f("", func(*Config) {})
		f("read absent", func(c *Config) { c.Table = "absent" })
		f(`no column "nr"; it has id, what, rough`, func(c *Config) { c.Key = "nr" })
		f("not exact", func(c *Config) { c.Key = "rough" })
		f("a date or a timestamp is meant", func(c *Config) { c.TimeColumn = "what" })
		f("as stranger", func(c *Config) { c.Username, c.Name = "stranger", "x" })
		f("refused", func(c *Config) { c.Address = "127.0.0.1:1" })
		f("read the query", func(c *Config) { c.Table, c.Query = "", "SELECT 1 AS id; DROP TABLE logs" })
		f("read the query", func(c *Config) { c.Table, c.Query = "", "WITH x AS (DELETE FROM logs RETURNING id) SELECT * FROM x" })
		slow := "SELECT id, pg_sleep(30)::text AS s FROM logs"
		if b.cfg.Database == MySQL {
			slow = "SELECT id, sleep(30) AS s FROM logs"
		}
		began := time.Now()
		c := b.cfg
		c.Table, c.Query, c.TimeoutSeconds = "", slow, 1
		if _, err := try(t.Context(), &c, collectors.Deps{}); err == nil || time.Since(began) > 10*time.Second {
			t.Errorf("a slow query: %v after %v", err, time.Since(began))
		}
		b.exec("INSERT INTO logs VALUES (2, 'still there', 0)")
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	a := peers.NewAuthority(t)
	dir, err := os.MkdirTemp("", "icewatch-tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cert, key := a.Issue(t, dir)
	m := peers.StartMariaDB(t, "--ssl-cert="+cert, "--ssl-key="+key, "--require-secure-transport=ON")
	cfg := *DefaultConfig()
	cfg.Database, cfg.Address, cfg.Name, cfg.Username, cfg.Password, cfg.Query, cfg.Key = MySQL, m.Address, "test", m.User, m.Password, "SELECT 1 AS id", "id"
	cfg.TLS, cfg.TLSCAPEM = true, a.PEM
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		trial, err := try(t.Context(), &cfg, collectors.Deps{})
		if err == nil && len(trial.Records) == 1 && strings.HasSuffix(trial.Steps[0], "over TLS") {
			break
		}
		if time.Now().After(end) {
			t.Fatal(trial, err)
		}
	}
	cfg.TLSCAPEM = peers.NewAuthority(t).PEM
	if _, err := try(t.Context(), &cfg, collectors.Deps{}); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("%v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := func(want string, change func(*Config)) {
		t.Helper()
		c := *DefaultConfig()
		c.ID, c.Address, c.Name, c.Username, c.Table, c.Key = "r", "db.example", "app", "reader", "logs", "id"
		change(&c)
		_, err := New(c, collectors.Deps{Sink: new(collecttest.Sink), Places: new(collecttest.Places)})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	f("", func(*Config) {})
	f("database is", func(c *Config) { c.Database = "oracle" })
	f("address", func(c *Config) { c.Address = "a:0" })
	f("key: one is needed", func(c *Config) { c.Key = "" })
	f("NUL", func(c *Config) { c.Table = "a\x00" })
	f("either table or query", func(c *Config) { c.Query = "SELECT 1" })
	f("a SELECT", func(c *Config) { c.Table, c.Query = "", "DELETE FROM x" })
	f("schema is for", func(c *Config) { c.Table, c.Query, c.Schema = "", "SELECT 1", "s" })
	f("key itself", func(c *Config) { c.SecondKey = "id" })
	f("start is", func(c *Config) { c.Start = "x" })
	f("time_zone", func(c *Config) { c.TimeZone = "x/y" })
	f("tls is off", func(c *Config) { c.TLSCAPEM = "x" })
	f("tls_ca_pem", func(c *Config) { c.TLS, c.TLSCAPEM = true, "x" })
	f("batch_rows is", func(c *Config) { c.BatchRows = 1 })
	if _, err := NewFactory().New(1, collectors.Deps{}); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
