package templates

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/projectdiscovery/nuclei/v3/pkg/catalog/config"

	"icewatch/collectors/scanner/check"
	"icewatch/collectors/scanner/home"
	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

func TestMain(m *testing.M) {
	code := m.Run()
	home.Remove()
	os.Exit(code)
}

func TestTheEngineHasAFolderOfItsOwn(t *testing.T) {
	t.Parallel()
	if home.Dir == "" || config.DefaultConfig.GetConfigDir() != home.Dir {
		t.Errorf("the engine keeps its files in %s, not in %q", config.DefaultConfig.GetConfigDir(), home.Dir)
	}
}

func target(t *testing.T, url, host string) check.Target {
	a := netip.MustParseAddrPort(strings.TrimPrefix(url, "http://"))
	return check.Target{Address: a.Addr(), Host: host, Service: &wire.Service{Port: int(a.Port()), Protocol: "tcp", Name: "http", HTTP: &wire.HTTP{URL: url + "/"}}}
}

func engine(t *testing.T, d *scope.Dialer, unsafe bool, sources ...Source) *Engine {
	e, err := New(context.Background(), d, sources, nil, unsafe, 1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// TestPlantedIsFoundAndNothingElseIsTouched runs the shipped templates, and one
// that tries to leave: by an address, by a name, and by a redirect.
func TestPlantedIsFoundAndNothingElseIsTouched(t *testing.T) {
	t.Parallel()
	outside := 0
	away := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { outside++ }))
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Listener = l
	away.Start()
	defer away.Close()
	planted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.git/config":
			_, _ = w.Write([]byte("[core]\n\trepositoryformatversion = 0\n"))
		case "/.env":
			_, _ = w.Write([]byte("DB_PASSWORD=hunter2\n"))
		case "/leave":
			http.Redirect(w, r, away.URL, http.StatusFound)
		case "/":
			_, _ = w.Write([]byte("<title>Index of /</title><h1>Index of /</h1>"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer planted.Close()
	clean := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The hardest of twins: it answers everything with a page that is fine.
		_, _ = w.Write([]byte("<html><title>门户</title>Index of our services, redis and DB_PASSWORD= included</html>"))
	}))
	defer clean.Close()
	leaving := Source{Kind: wire.SourceCommunity, FS: fstest.MapFS{"leave.yaml": {Data: []byte(`id: leaves
info:
  name: leaves
  author: test
  severity: info
http:
  - method: GET
    redirects: true
    path:
      - "` + away.URL + `/"
      - "http://away.example.invalid/"
      - "{{RootURL}}/leave"
    matchers:
      - type: word
        words: ["never there"]
`)}, "code.yaml": {Data: []byte("id: runs\ninfo:\n  name: runs\n  author: test\n  severity: info\ncode:\n  - engine: [sh]\n    source: id\n")},
		"broken.yaml": {Data: []byte("id: [\n")}}}
	s, err := scope.New(wire.Scope{Ranges: []string{"127.0.0.1"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := scope.NewDialer(s, scope.NewPace(2000, 2000), time.Second)
	e := engine(t, d, false, Shipped(), leaving)
	if e.Len() < 38 || len(e.Left) == 0 {
		t.Errorf("%d templates are ready, left out: %v", e.Len(), e.Left)
	}
	var got []string
	e.Service(context.Background(), target(t, planted.URL, ""), func(w wire.Weakness) {
		got = append(got, w.Check)
		if strings.Contains(w.Evidence, "hunter2") {
			t.Errorf("a secret is shown: %s", w.Evidence)
		}
		if w.TitleZH == "" || w.SolutionZH == "" || len(w.CWE) == 0 {
			t.Errorf("%s lacks what people are told: %+v", w.Check, w)
		}
	}, nil)
	slices.Sort(got)
	if want := []string{"directory-listing", "exposed-env-file", "exposed-git-config"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
	e.Service(context.Background(), target(t, clean.URL, ""), func(w wire.Weakness) { t.Errorf("on the twin: %s at %s", w.Check, w.Path) }, nil)
	if outside != 0 || d.Refused() == 0 {
		t.Errorf("%d requests left the scope, %d were refused", outside, d.Refused())
	}
}
