package sigma

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestHostile feeds documents that grow while they are read. Each has to be
// refused for what it is, and neither time nor memory may grow with it.
func TestHostile(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	body := func(selection, condition string) string {
		return head + "detection:\n  s:\n" + selection + "  condition: " + condition + "\n"
	}
	f := func(name, text, reason string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := time.Now()
			_, errs := Parse([]byte(text), nil)
			took := time.Since(begun)
			runtime.ReadMemStats(&after)
			if reason != "" && (len(errs) == 0 || !strings.Contains(errs[0].Reason, reason)) {
				t.Errorf("errors %v, want %q", errs, reason)
			}
			if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 1024 {
				t.Errorf("%d KiB of text took %d MiB", len(text)>>10, made)
			}
			if took > time.Minute { // seconds on an idle machine
				t.Errorf("%d KiB of text took %v", len(text)>>10, took)
			}
		})
	}
	f("nested parentheses", body("    a: b\n", strings.Repeat("(", 100_000)+"s"+strings.Repeat(")", 100_000)), "nested deeper than 200")
	f("nots", body("    a: b\n", strings.Repeat("not ", 100_000)+"s"), "nested deeper than 200")
	f("patterns over many selections", head+"detection:\n"+many(20_000, "  s%d: {a: b}\n")+"  condition: s1"+strings.Repeat(" or 1 of them", 20_000)+"\n", "condition has more than")
	f("patterns that fit little", head+"detection:\n  x: {a: b}\n"+many(20_000, "  s%d: {a: b}\n")+"  condition: x"+strings.Repeat(" or 1 of x*", 20_000)+"\n", "condition asks too often")
	f("dashes before an encoding", body("    a|windash|base64:\n"+strings.Repeat("      - '---"+strings.Repeat("x", 60<<10)+"'\n", 50), "s"), "more than 16 MiB once modifiers are applied")
	f("one value of dashes", body("    a|windash|base64: '"+strings.Repeat("-", 20)+"'\n", "s"), "more than 1024 values")
	f("long value", body("    a: '"+strings.Repeat("x", 1<<20)+"'\n", "s"), "longer than 64 KiB")
	f("repetitions of repetitions", body("    a|re: '((((a{100}){100}){100}){100})'\n", "s"), "regular expression")
	f("many large expressions", body("    a|re:\n"+strings.Repeat("      - 'a{1000}'\n", 20_000), "s"), "more than 16 MiB once modifiers are applied")
	f("nested groups", body("    a|re: '"+strings.Repeat("(", 5_000)+strings.Repeat(")", 5_000)+"'\n", "s"), "regular expression")
	f("lists of lists", head+"detection:\n  s: "+strings.Repeat("[", 90)+"a"+strings.Repeat("]", 90)+"\n  condition: s\n", "nested deeper than 16")
	f("many documents", strings.Repeat("a: b\n---\n", 100_000), "title is missing")
	f("many unknown attributes", head+many(100_000, "key%d: x\n"), "too large")
	f("selections without end", head+"detection:\n"+many(90_000, "  s%d: x\n")+"  condition: 1 of them\n", "")
}

// BenchmarkParse reads the public rules, or the suite's own where they are not
// there: parsing is part of a new rule set taking effect.
func BenchmarkParse(b *testing.B) {
	dir := "../../../shared/corpora/sigma/rules"
	if _, err := os.Stat(dir); err != nil {
		dir = "../../rules/sigma"
	}
	var files [][]byte
	size := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yml") || strings.HasSuffix(path, ".test.yml") {
			return err
		}
		data, err := os.ReadFile(path)
		files, size = append(files, data), size+len(data)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range files {
			if rules, errs := Parse(data, nil); len(errs) > 0 || len(rules) == 0 {
				b.Fatal(errs)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(files)), "µs/file")
}

// FuzzRegex: whatever is taken compiles, and what is refused says why.
func FuzzRegex(f *testing.F) {
	for _, expr := range []string{`^a$`, `(?i)x|y$`, `(?=a)`, `[]\]$]+`, `\Qa$\E$`, `a{2,}?$`, `(?P<n>x)$(?m)$`, `[[:alpha:]\d-]++`} {
		f.Add(expr, uint8(3))
	}
	f.Fuzz(func(t *testing.T, expr string, how uint8) {
		if len(expr) > 1<<12 {
			return
		}
		flags := []string{"", "i", "m", "s", "im", "ims"}[how%6]
		if out, _, err := regex(expr, flags, Affix(how/6%4)); err == nil {
			if _, err := regexp.Compile(out); err != nil {
				t.Errorf("%q became %q, which does not compile: %v", expr, out, err)
			}
			if _, _, err := regex(out, "", Whole); err != nil {
				t.Errorf("%q became %q, which is no expression: %v", expr, out, err)
			}
		} else if err.Error() == "" {
			t.Errorf("%q is refused without a reason", expr)
		}
	})
}
