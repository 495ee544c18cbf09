package check

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"icewatch/collectors/scanner/scannertest"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

func scanWeb(t testing.TB, h http.Handler) []string {
	server := httptest.NewServer(h)
	defer server.Close()
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddrPort(server.Listener.Addr().String())
	var got []string
	e := &Env{Dialer: scope.NewDialer(s, nil, time.Second), Found: func(w wire.Weakness) { got = append(got, w.Check+" "+w.Path+" "+w.Parameter) }}
	e.Web(context.Background(), Target{Address: a.Addr(), Service: &wire.Service{Port: int(a.Port()), Protocol: "tcp", Name: "http"}})
	slices.Sort(got)
	return got
}

func TestInjectionsAreFoundOnRealDatabaseAndNoneOnItsTwin(t *testing.T) {
	t.Parallel()
	want := []string{"web-reflected-xss /search q", "web-sql-injection /item id", "web-sql-injection /named name"}
	if got := scanWeb(t, scannertest.Shop(t, func() bool { return false })); !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	if got := scanWeb(t, scannertest.Shop(t, func() bool { return true })); len(got) > 0 {
		t.Errorf("on the twin: %v", got)
	}
}

func TestPagesThatTrickAreNotBelieved(t *testing.T) {
	t.Parallel()
	n := 0
	for name, f := range map[string]func(w http.ResponseWriter, r *http.Request){
		"always another":     func(w http.ResponseWriter, _ *http.Request) { n++; fmt.Fprint(w, n) },
		"says SQL by itself": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "You have an error in your SQL syntax") },
		"echoes, escaped":    func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, html.EscapeString(r.FormValue("q"))) },
		"echoes as text": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprint(w, r.FormValue("q"))
		},
		"echoes as a comment": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "<!-- %s -->", strings.ReplaceAll(r.FormValue("q"), ">", ""))
		},
		"refuses quotes": func(w http.ResponseWriter, r *http.Request) {
			if strings.ContainsAny(r.FormValue("q"), "' ") {
				http.Error(w, "bad", http.StatusBadRequest)
				return
			}
			fmt.Fprint(w, "fine")
		},
		"reads the number before": func(w http.ResponseWriter, r *http.Request) {
			var id int
			_, _ = fmt.Sscan(r.FormValue("q"), &id)
			fmt.Fprint(w, id)
		},
	} {
		got := scanWeb(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" && r.URL.RawQuery == "" {
				fmt.Fprint(w, `<html><a href="/x?q=1">x</a>`)
				return
			}
			f(w, r)
		}))
		if len(got) > 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		s    Selection
		want bool
	}{{nil, true}, {Selection{"tls"}, true}, {Selection{"redis"}, false}, {Selection{"-tls"}, false}, {Selection{"a", "-a"}, false}, {Selection{"-redis"}, true}} {
		if got := c.s.Takes("a", []string{"TLS"}); got != c.want {
			t.Errorf("%v: %v", c.s, got)
		}
	}
	seen := map[string]bool{}
	for _, m := range All() {
		if seen[m.ID] || m.Title == "" || m.TitleZH == "" || m.Solution == "" || m.SolutionZH == "" || m.CWE == "" || !slices.Contains(wire.Severities, m.Severity) {
			t.Errorf("%s is told badly", m.ID)
		}
		seen[m.ID] = true
	}
}
