package sigma

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the parser says now into testdata/messages.txt")

// TestMessages reads documents and compares, word by word, what people are
// told of them. The file holds a document after a line "=== name", and after a
// line "---->" the errors and findings, one a line.
func TestMessages(t *testing.T) {
	t.Parallel()
	const file, mark, arrow = "testdata/messages.txt", "=== ", "\n---->\n"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, block := range strings.Split("\n"+string(data), "\n"+mark)[1:] {
		name, rest, _ := strings.Cut(block, "\n")
		document, want, found := strings.Cut(rest, arrow)
		rules, errs := Parse([]byte(document), nil)
		var got []string
		for _, e := range errs {
			got = append(got, "error, "+e.Error())
		}
		for _, r := range rules {
			for _, w := range r.Warnings {
				got = append(got, "finding, "+w.Error())
			}
		}
		said := strings.Join(got, "\n")
		if !*update && (!found || said != strings.TrimSpace(want)) {
			t.Errorf("%s: told is\n%s\nwant\n%s", name, said, strings.TrimSpace(want))
		}
		out.WriteString(mark + name + "\n" + document + arrow + said + "\n\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
