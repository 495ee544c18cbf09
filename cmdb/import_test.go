package cmdb

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"icewatch/soc/reach"
)

func TestImportMistakes(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	mustImport(t, s, CSV, ledger)
	const head = "class,name,tenant,zone,addresses,criticality,system,organisation\n"
	f := func(what, text string, want ...RowError) {
		t.Helper()
		r := doImport(t, s, CSV, "class,name,tenant\nhost,good,a\n", ImportOptions{DryRun: true})
		if r.Created != 1 {
			t.Fatalf("%s: %+v", what, r)
		}
		format := CSV
		if strings.HasPrefix(text, "- ") || strings.HasPrefix(text, "items:") || strings.HasPrefix(text, "?") {
			format = YAML
		}
		for _, dry := range []bool{true, false} {
			r = doImport(t, s, format, text, ImportOptions{DryRun: dry})
			ok := len(r.Errors) == len(want) && r.Rejected == len(want) && r.Created+r.Updated+r.Unchanged == 0
			for i := range min(len(want), len(r.Errors)) {
				ok = ok && r.Errors[i].Row == want[i].Row && r.Errors[i].Column == want[i].Column && strings.Contains(r.Errors[i].Message, want[i].Message)
			}
			if !ok {
				t.Errorf("%s: %+v, want %v", what, r, want)
			}
		}
		if p, err := s.Items(t.Context(), reach.All(), Filter{}); err != nil || p.Total != 10 {
			t.Fatalf("%s: %d items, %v: something was imported", what, p.Total, err)
		}
	}
	e := func(row int, column, message string) RowError {
		return RowError{Row: row, Column: column, Message: message}
	}

	f("bad IP", head+"host,good,a,,10.0.0.1,,,\nhost,x,a,,10.0.0,,,\n", e(3, "addresses", `"10.0.0" is not an IP address`))
	f("CIDR for a host", head+"host,x,a,,10.0.0.0/8,,,\n", e(2, "addresses", "not an IP address"))
	f("IP for a network", head+"network,x,a,,10.0.0.1,,,\n", e(2, "addresses", "not an address range"))
	f("host bits", head+"network,x,a,,10.0.0.1/24,,,\n", e(2, "addresses", "did you mean 10.0.0.0/24"))
	f("unknown class", head+"server,x,a,,,,,\n", e(2, "class", `unknown class "server": want one of organisation`))
	f("no class", "name\nx\n", e(2, "class", "missing"))
	f("unknown system", head+"host,x,a,,,,nowhere,\n", e(2, "system", `unknown business system "nowhere"`))
	f("unknown organisation", head+"host,x,a,,,,,nowhere\n", e(2, "organisation", "unknown organisation"))
	f("unknown tenant", head+"host,x,zz,,,,,\n", e(2, "tenant", `unknown tenant "zz"`))
	f("nobody's", head+"host,x,unassigned,,,,,\n", e(2, "tenant", "leave the tenant empty"))
	f("criticality", head+"host,x,a,,,6,,\nhost,y,a,,,high,,\nhost,z,a,,,0,,\n", e(2, "criticality", "6 is out of range"), e(3, "criticality", "not a whole number"), e(4, "criticality", "0 is out of range"))
	f("taken address", head+"host,x,b,office,2001:db8:0::5,,,\n", e(2, "addresses", `address 2001:db8::5 in zone "office" is taken by host "web-1"`))
	f("same address twice", head+"host,x,b,z,10.9.9.9,,,\nhost,y,b,z,10.9.9.9,,,\n", e(3, "addresses", "used in row 2"))
	f("same item twice", head+"host,x,b,,,,,\nhost,x,b,,,,,\n", e(3, "name", "used in row 2"))
	f("same stored item twice", head+"host,web-1,a,,,,,\nhost,web-1,a,,,,,\n", e(3, "name", "same item as in row 2"))
	f("no name", head+"host,,b,,,,,\n", e(2, "name", "missing"))
	f("another tenant's system", head+"host,x,b,,,,bs-a,\n", e(2, "system", `system "bs-a" is of tenant "a"`))
	f("not applicable", head+"organisation,x,,z,10.0.0.1,,bs-a,\n", e(2, "zone", "no network zone"), e(2, "addresses", "has no addresses"), e(2, "system", "belongs to no system"))
	f("own superior", head+"organisation,Bureau,,,,,,Unit\n", e(2, "organisation", "own superior"))
	f("own superior in one file", head+"organisation,o1,,,,,,o2\norganisation,o2,,,,,,o1\n", e(2, "organisation", "own superior"), e(3, "organisation", "own superior"))
	f("unknown column", "class,name,colour\nhost,x,red\n", e(1, "colour", "unknown column"))
	f("column twice", "class,name,名称\nhost,x,y\n", e(1, "名称", "twice"))
	f("no name column", "class,owner\nhost,x\n", e(1, "name", "missing"))
	f("too many cells", "class,name\nhost,x,10.0.0.1\n", e(2, "", "3 cells"))
	f("bad quotes", "class,name\nhost,good\nhost,\"x\"y\n", e(3, "", "cannot be read"))
	f("rows count as in a spreadsheet", "class,name,attr.note,criticality\nhost,x,\"one\ntwo\",3\n\nhost,y,,9\n", e(4, "criticality", "9 is out of range"))
	f("empty file", "", e(0, "", "the file is empty"))
	f("XLSX", "PK\x03\x04aaaa", e(0, "", "format xlsx"))
	f("neither UTF-8 nor GBK", "class,name\nhost,\xff\xff\n", e(0, "", "neither UTF-8 nor GB18030"))
	f("control character", "class,name\nhost,a\x00b\n", e(2, "name", "control character"))
	f("attribute type", "class,name,tenant,attr.protection_level,attr.cii\nbusiness_system,x,a,9,perhaps\n", e(2, "attr.protection_level", "want 1 to 5"), e(2, "attr.cii", "neither true nor false"))
	f("bad id", "id,class,name\n../x,host,x\n", e(2, "id", "../x"))
	f("class cannot change", "id,class,name\nbs-a,host,x\n", e(2, "class", "cannot change"))
	f("name taken by another id", "id,class,name,tenant\nnew,host,web-1,a\n", e(2, "name", `is taken by host "web-1"`))
	f("all mistakes at once, and only the first cause", head+"business_system,bad,zz,,,,,\nhost,x,a,,nope,,bad,\nhost,y,a,,,,bad,\n",
		e(2, "tenant", "unknown tenant"), e(3, "addresses", "not an IP"))

	f("YAML syntax", "items:\n  - name: [\n", e(2, "", "no YAML"))
	f("YAML unknown key", "- class: host\n  name: x\n  tenant: a\n  colour: red\n", e(4, "colour", "unknown key"))
	f("YAML values", "- class: host\n  name: x\n  tenant: a\n  addresses:\n    - 10.0.0\n  criticality: 7\n", e(1, "addresses", "not an IP"), e(6, "criticality", "out of range"))
	f("YAML wrong shapes", "- class: [host]\n  labels: {a: b}\n- 7\n", e(1, "class", "want one text"), e(2, "labels", "want a list"), e(3, "", "want an item"))
}

func TestImportWholeFileErrors(t *testing.T) {
	t.Parallel()
	s := openNew(t, "a", "b")
	f := func(format Format, text string, opts ImportOptions, want error, message string) {
		t.Helper()
		if opts.Within.Nothing() {
			opts.Within = reach.All()
		}
		_, err := s.Import(t.Context(), format, strings.NewReader(text), opts)
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), message) {
			t.Errorf("%v, want %v with %q", err, want, message)
		}
	}
	f("pdf", "x", ImportOptions{}, ErrInvalid, "unknown format")
	f(CSV, "x", ImportOptions{Class: "server"}, ErrInvalid, "unknown class")
	f(CSV, "x", ImportOptions{Tenant: "zz"}, ErrInvalid, "unknown tenant")
	f(CSV, "x", ImportOptions{Tenant: "b", Within: reach.Tenants("a")}, ErrInvalid, "unknown tenant")
	f(CSV, "name\n"+strings.Repeat("x\n", maxRows+1), ImportOptions{Class: Host}, ErrTooLarge, "rows")
	f(CSV, strings.Repeat("x", maxFile+1), ImportOptions{}, ErrTooLarge, "bytes")
	f(YAML, strings.Repeat("- x\n", maxRows+1), ImportOptions{Class: Host}, ErrTooLarge, "items")
	bomb := "- &i {labels: &l [" + strings.Repeat("a,", 999) + "a]}\n" + strings.Repeat("- *i\n", 10000)
	f(YAML, bomb, ImportOptions{Class: Host}, ErrTooLarge, "values")
}

func TestImportEncodings(t *testing.T) {
	t.Parallel()
	const text = "类别,名称,租户,网络区域,IP地址,负责人,标签\nhost,印章服务器,a,政务外网,10.0.0.1；10.0.0.2,王芳,核心；对外\n"
	gbk, _ := simplifiedchinese.GBK.NewEncoder().String(text)
	gb18030, _ := simplifiedchinese.GB18030.NewEncoder().String(text)
	utf16, _ := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String(strings.ReplaceAll(text, ",", "\t"))
	f := func(what, file string) {
		t.Helper()
		s := openNew(t, "a")
		mustImport(t, s, CSV, file)
		p, err := s.Items(t.Context(), reach.All(), Filter{Classes: []string{Host}, Query: "印章 核心"})
		if err != nil || len(p.Items) != 1 {
			t.Fatalf("%s: %+v, %v", what, p, err)
		}
		it := p.Items[0]
		if it.Name != "印章服务器" || it.Zone != "政务外网" || it.Owner != "王芳" || len(it.Addresses) != 2 || !reflect.DeepEqual(it.Labels, []string{"核心", "对外"}) {
			t.Errorf("%s: %+v", what, it)
		}
	}
	f("UTF-8", text)
	f("UTF-8 with mark", "\ufeff"+text)
	f("GBK", gbk)
	f("GB18030", gb18030)
	f("UTF-16 with tabs", utf16)
	f("CRLF", strings.ReplaceAll(text, "\n", "\r\n"))
}
