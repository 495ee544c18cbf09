package naive_test

import (
	"bufio"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"icewatch/detections/logsource"
	"icewatch/detections/match"
	"icewatch/detections/naive"
	"icewatch/detections/sigma"
	"icewatch/soc/event"
)

// corpus is where the public rules and events lie, where they are.
const corpus = "../../../shared/corpora"

// whole asks for every rule on every event, which takes minutes.
func whole() bool { return os.Getenv("ICEWATCH_WHOLE") == "1" }

// corpusRules reads every public rule for both evaluators.
func corpusRules(t testing.TB) ([]*sigma.Rule, []*naive.Rule) {
	t.Helper()
	root := filepath.Join(corpus, "sigma/rules")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the public rules are not here: %v", err)
	}
	var fast []*sigma.Rule
	var slow []*naive.Rule
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yml") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		parsed, errs := sigma.Parse(data, nil)
		for _, e := range errs {
			t.Errorf("%s: %v", path, e)
		}
		if len(parsed) != 1 {
			t.Errorf("%s holds %d rules", path, len(parsed))
			return nil
		}
		r, err := naive.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		fast, slow = append(fast, parsed[0]), append(slow, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fast, slow
}

// corpusEvents calls with each of the public Windows events of which the number
// is a multiple of every.
func corpusEvents(t testing.TB, every int, with func(number int, line []byte)) {
	t.Helper()
	f, err := os.Open(filepath.Join(corpus, "windows/events.jsonl.gz"))
	if err != nil {
		t.Skipf("the public events are not here: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 16<<20)
	for i := 0; sc.Scan(); i++ {
		if i%every == 0 {
			with(i, sc.Bytes())
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestCorpus compares the matcher with the naive evaluator rule by rule and
// event by event, with routing and without: on a share of the public events, or
// with ICEWATCH_WHOLE=1 on all of them.
func TestCorpus(t *testing.T) {
	t.Parallel()
	every := 1009
	if whole() {
		every = 1
	}
	fast, slow := corpusRules(t)
	text, err := os.ReadFile("../../rules/logsources.yml")
	if err != nil {
		t.Fatal(err)
	}
	table, fault := logsource.Parse(text)
	if fault != nil {
		t.Fatal(fault)
	}
	slowTable, err := naive.ParseTable(text)
	if err != nil {
		t.Fatal(err)
	}
	reg := event.NewRegistry(0)
	unrouted, errs := match.Compile(fast, reg, nil)
	routed, more := match.Compile(fast, reg, table)
	for i, err := range append(errs, more...) {
		if err != nil {
			t.Errorf("%s: %v", fast[i%len(fast)].ID, err)
		}
	}

	type line struct {
		number int
		text   string
	}
	lines := make(chan line, 64)
	var events, found, foundRouted, differences atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			m, mr := unrouted.NewMatcher(), routed.NewMatcher()
			got, gotRouted := make([]bool, len(fast)), make([]bool, len(fast))
			for l := range lines {
				s := fromJSON(t, l.text)
				ev, quick := s.slow(), s.fast(reg)
				got, gotRouted = matched(m, quick, got), matched(mr, quick, gotRouted)
				events.Add(1)
				for i, r := range slow {
					want := r.Match(ev)
					wantRouted := want && slowTable.Applies(r, ev)
					if want {
						found.Add(1)
					}
					if wantRouted {
						foundRouted.Add(1)
					}
					if (got[i] != want || gotRouted[i] != wantRouted) && differences.Add(1) <= 20 {
						t.Errorf("event %d, rule %s (%s): the specification says %v, routed %v; the matcher %v, routed %v",
							l.number, r.ID, r.Title, want, wantRouted, got[i], gotRouted[i])
					}
				}
			}
			for _, m := range []*match.Matcher{m, mr} {
				for i, why := range m.Disabled() {
					t.Errorf("rule %s panicked: %s", fast[i].ID, why)
				}
			}
		})
	}
	corpusEvents(t, every, func(number int, text []byte) { lines <- line{number, string(text)} })
	close(lines)
	wg.Wait()
	t.Logf("%d rules on %d events, %d pairs: %d matches, %d routed, %d differences",
		len(slow), events.Load(), int64(len(slow))*events.Load(), found.Load(), foundRouted.Load(), differences.Load())
	if found.Load() == 0 {
		t.Error("nothing matched: the comparison says nothing")
	}
}

// TestFromJSON keeps the naive evaluator's own reading of JSON equal to the one
// that the matcher gets.
func TestFromJSON(t *testing.T) {
	t.Parallel()
	const text = `{"a":{"b":[1.50,{"c":true}],"d":{},"e":[]},"f":null,"g":"x"}`
	ev, err := naive.FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		selection string
		want      bool
	}{
		{`{a.b: '1.50', a.b.c: true, g: X}`, true}, {`{a.d: null, a.e: null, f: null}`, true},
		{`{'a.d|exists': true, 'a.e|exists': true, 'h|exists': false}`, true}, {`{'a|exists': true}`, false},
	} {
		r, err := naive.Parse([]byte("detection:\n  s: " + c.selection + "\n  condition: s\n"))
		if err != nil {
			t.Fatal(err)
		}
		if r.Match(ev) != c.want || r.Match(fromJSON(t, text).slow()) != c.want {
			t.Errorf("%s on %s: got %v", c.selection, text, !c.want)
		}
	}
	for _, bad := range []string{"", "1", `{"a":1} {}`, `{"a":`} {
		if _, err := naive.FromJSON([]byte(bad)); err == nil {
			t.Errorf("%q is an event", bad)
		}
	}
}
