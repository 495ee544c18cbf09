package workshop

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"icewatch/detections/verdict"
	"icewatch/rules"
	"icewatch/soc/event"
	"icewatch/soc/intake"
	"icewatch/soc/pipeline/pack"
	"icewatch/soc/pipeline/parse"
)

var update = flag.Bool("update", false, "write the golden events of the packs anew")

// builtin holds the suite's own packs.
var builtin = sync.OnceValue(func() *Workshop { return Open(Sources(), Zone) })

// TestPacks runs the samples of every pack: each must fall to that pack and to
// no other, and become the event beside it; each type of log must have one.
func TestPacks(t *testing.T) {
	t.Parallel()
	w := builtin()
	for _, p := range w.Problems() {
		t.Errorf("%s:%d: %s", p.Path, p.Line, p.Reason)
	}
	var write func(source, file string, data []byte) error
	if *update {
		write = func(_, file string, data []byte) error {
			return os.WriteFile(filepath.Join("../../../rules/parsers", filepath.FromSlash(file)), data, 0o644)
		}
	}
	samples, faults, err := w.Test(write)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Errorf("%s: samples.log:%d: %s", f.Pack, f.Line, f.Reason)
	}
	types := 0
	for _, p := range w.Packs() {
		types += len(p.Logs)
	}
	t.Logf("%d products, %d types of log, %d samples", len(w.Packs()), types, samples)
}

// TestPacksDoNotClaimEachOthersLines hands the samples of all packs, without
// their syslog headers' programs, to all packs: what a line looks like is to
// decide, so at most one in a hundred may fall to another product.
func TestPacksDoNotClaimEachOthersLines(t *testing.T) {
	t.Parallel()
	w := builtin()
	p := w.fresh()
	lines, wrong := 0, 0
	for _, info := range w.Packs() {
		text, err := fs.ReadFile(rules.Parsers(), info.ID+"/"+pack.Samples)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if _, message, ok := bytes.Cut(line, []byte("]: ")); ok && bytes.Count(line, []byte(" ")) > 5 {
				line = message
			}
			if len(line) == 0 || line[0] == '#' {
				continue
			}
			lines++
			if r := w.read(p, line, At); r.Pack != "" && r.Pack != info.ID {
				wrong++
				t.Logf("%s claims a line of %s: %s", r.Log, info.ID, line)
			}
		}
	}
	if wrong*100 > lines {
		t.Errorf("%d of %d lines fall to another product", wrong, lines)
	}
}

// TestRisksAreOfTheTaxonomy wants every risk that a pack names in the tree by
// which alerts are classed, so that events and alerts speak alike.
func TestRisksAreOfTheTaxonomy(t *testing.T) {
	t.Parallel()
	w := builtin()
	data, err := rules.FS.ReadFile(verdict.FileName)
	if err != nil {
		t.Fatal(err)
	}
	tax, err := (&verdict.Taxonomy{}).With(data)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, info := range w.Packs() {
		for _, li := range info.Logs {
			l, _ := w.set.Log(li.ID)
			for _, code := range l.Risks() {
				named++
				if _, ok := tax.Find(code); !ok {
					t.Errorf("%s: the taxonomy has no risk %q", l.ID, code)
				}
			}
		}
	}
	if named == 0 {
		t.Error("no pack names a risk")
	}
}

// headerFields are what a header says of any line.
var headerFields = []string{"log.syslog.", "host.name", "process.name", "process.pid", "event.dataset", "event.module", "event.kind", "icewatch.log_type", "message", "log.level"}

// TestPublishedLogsFallToTheirPacks wants 98 of 100 published lines recognised
// as what they are, with a category and three fields beside the header.
func TestPublishedLogsFallToTheirPacks(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("ICEWATCH_CORPORA")
	if dir == "" {
		t.Skip("ICEWATCH_CORPORA does not name a folder of published logs")
	}
	w := builtin()
	for name, want := range map[string]string{
		"Apache": "apache/httpd", "HDFS": "apache/hadoop", "Hadoop": "apache/hadoop", "Zookeeper": "apache/zookeeper",
		"OpenStack": "openstack/services", "Windows": "microsoft/servicing", "OpenSSH": "openbsd/openssh", "Linux": "linux/|openbsd/|isc/",
	} {
		text, err := os.ReadFile(filepath.Join(dir, "logs", name+".log"))
		if err != nil {
			t.Fatal(err)
		}
		p := w.fresh()
		lines, right, shown := 0, 0, 0
		for line := range bytes.Lines(text) {
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				continue
			}
			lines++
			r := w.read(p, line, At)
			if ours := slices.ContainsFunc(strings.Split(want, "|"), func(p string) bool { return strings.HasPrefix(r.Pack, p) }); ours && extracted(w, p, line) >= 3 {
				right++
			} else if shown++; shown < 4 {
				t.Logf("%s: %s", name, r.Event)
			}
		}
		t.Logf("%s: %d of %d lines", name, right, lines)
		if right*100 < lines*98 {
			t.Errorf("%s: %d of %d lines", name, right, lines)
		}
	}
}

// extracted counts the fields of a line beside its header; 0 where it has no
// category.
func extracted(w *Workshop, p *parse.Parser, line []byte) int {
	var ev event.Event
	p.Parse(&intake.Record{Format: intake.Line, Received: At.UnixNano(), Data: line}, &ev)
	if !ev.Has(event.EventCategory) {
		return 0
	}
	n := 0
	for _, f := range ev.Fields {
		if !slices.ContainsFunc(headerFields, func(h string) bool { return strings.HasPrefix(w.reg.Name(f.ID), h) }) {
			n++
		}
	}
	return n
}
