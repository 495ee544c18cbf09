package report

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"icewatch/test/peers"
)

// one measures a Chinese character as two and every other as one.
func one(s string) float64 {
	n := 0.0
	for _, r := range s {
		if n++; wide(r) {
			n++
		}
	}
	return n
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"short", []string{"short"}},
		{"two words here", []string{"two words", "here"}},
		{"安全运营中心告警", []string{"安全运营中", "心告警"}},
		{"发起攻击了：口令", []string{"发起攻击", "了：口令"}},            // no line begins with a colon
		{"主机 web-01 登录", []string{"主机", "web-01 登", "录"}}, // words of Latin letters stay whole
		{"一二三四（五）", []string{"一二三四", "（五）"}},              // and none ends with an opening bracket
		{strings.Repeat("x", 23), []string{"xxxxxxxxxx", "xxxxxxxxxx", "xxx"}},
	} {
		if got := lines(c.text, 10, one); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// FuzzLines holds that no character but spaces is lost and no line is too wide.
func FuzzLines(f *testing.F) {
	f.Add("198.51.100.46 对 电子证照/elic-srv-42 发起攻击：SSH 口令猜测、SSH 口令被猜中", 20)
	f.Add("，，，，，，，，，，，，", 4)
	f.Fuzz(func(t *testing.T, text string, width int) {
		if !utf8.ValidString(text) || len(text) > 2000 || width < 2 || width > 200 {
			return
		}
		got := lines(text, float64(width), one)
		bare := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if bare(strings.Join(got, "")) != bare(text) {
			t.Errorf("%q became %q", text, got)
		}
		for _, l := range got {
			if one(strings.TrimRight(l, " ")) > float64(width) && utf8.RuneCountInString(l) > 1 {
				t.Errorf("%q is wider than %d", l, width)
			}
		}
	})
}

// TestPDFLosesNothing reads long Chinese texts back from every place of a document.
func TestPDFLosesNothing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("198.51.100.46 在主机 elic-srv-42 上反复猜测口令后，以 yunwei 身份登录成功；", 6)
	d := &Document{Title: "标题" + long, Subtitle: "副题" + long, Made: time.Unix(1, 0), Sections: []Section{{Heading: "章节" + long, Text: "正文" + long,
		Facts: [][2]string{{"名称", "事实" + long}}, Table: Table{Columns: []string{"一", "二"}, Rows: [][]string{{"单元" + long, "x"}}}}}}
	var b bytes.Buffer
	if err := WritePDF(&b, d); err != nil {
		t.Fatal(err)
	}
	tool := peers.Program(t, "pdftotext") // of poppler-utils
	file := filepath.Join(t.TempDir(), "long.pdf")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(tool, "-raw", file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	read := strings.Join(strings.Fields(string(text)), "")
	want := strings.Join(strings.Fields(long), "")
	for _, place := range []string{"标题", "副题", "章节", "正文", "事实"} {
		if !strings.Contains(read, place+want) {
			t.Errorf("of the long text after %s something is lost", place)
		}
	}
	if n := strings.Count(read, "登录成功；"); n != 36 {
		t.Errorf("%d ends are there, want 36", n)
	}
}
