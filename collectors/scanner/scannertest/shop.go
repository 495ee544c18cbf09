// Package scannertest has what tests of the scanner look at.
package scannertest

import (
	"database/sql"
	"fmt"
	"html"
	"net/http"
	"testing"

	_ "modernc.org/sqlite" // the driver of database/sql
)

// Shop is a small application on a real database: weak as planted, or hardened. In
// safe mode nobody calls what it does: deleting and ordering.
func Shop(t testing.TB, hardened func() bool) http.Handler {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // Each connection would have a database of its own.
	t.Cleanup(func() { _ = db.Close() })
	for _, q := range []string{"CREATE TABLE goods (id INTEGER, name TEXT)", "INSERT INTO goods VALUES (1, 'tea'), (2, 'rice')"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	list := func(w http.ResponseWriter, quiet bool, query string, args ...any) {
		rows, err := db.Query(query, args...)
		if err != nil {
			if quiet {
				http.Error(w, "sorry", http.StatusInternalServerError)
				return
			}
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var id int
			var name string
			_ = rows.Scan(&id, &name)
			fmt.Fprintf(w, "<li>%d %s", id, html.EscapeString(name))
		}
	}
	mux := http.NewServeMux()
	page := func(path string, f func(w http.ResponseWriter, r *http.Request)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			f(w, r)
		})
	}
	page("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<a href="/item?id=1">tea</a> <a href="/named?name=tea">by name</a> <a href="/delete?id=1">delete</a>
<form action="/search"><input name="q"><input type=submit></form><form method=post action="/order"><input name="amount"></form>`)
	})
	page("/item", func(w http.ResponseWriter, r *http.Request) {
		if id := r.FormValue("id"); hardened() {
			list(w, true, "SELECT id, name FROM goods WHERE id = ?", id)
		} else {
			list(w, true, "SELECT id, name FROM goods WHERE id = "+id) // Blind: it shows no error.
		}
	})
	page("/named", func(w http.ResponseWriter, r *http.Request) {
		if name := r.FormValue("name"); hardened() {
			list(w, true, "SELECT id, name FROM goods WHERE name = ?", name)
		} else {
			list(w, false, "SELECT id, name FROM goods WHERE name = '"+name+"'")
		}
	})
	page("/search", func(w http.ResponseWriter, r *http.Request) {
		q := r.FormValue("q")
		if hardened() {
			q = html.EscapeString(q)
		}
		fmt.Fprintf(w, "<h1>You looked for %s</h1><textarea>%s</textarea>", q, html.EscapeString(q))
	})
	for _, path := range []string{"/delete", "/order"} {
		page(path, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was called, in safe mode", r.URL) })
	}
	return mux
}
