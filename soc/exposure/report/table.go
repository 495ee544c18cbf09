package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"

	"icewatch/detections"
	"icewatch/soc/exposure/finding"
	"icewatch/soc/exposure/library"
)

// Mapping names the column of each field of a table. A field that is not named is
// looked for under its usual headings.
type Mapping map[string]string

// Fields are the fields of a mapping.
var Fields = []string{"address", "host", "port", "protocol", "service", "path", "check", "title", "level", "score", "cve", "cwe", "text", "solution", "evidence", "time"}

// headings are the usual headings of fields, in lower case.
var headings = map[string][]string{
	"address": {"ip", "ip地址", "地址", "主机ip", "资产ip", "目标ip", "address", "ip address", "host ip"}, "host": {"host", "hostname", "主机", "主机名", "域名", "资产名称"}, "port": {"port", "端口"}, "protocol": {"protocol", "协议"},
	"service": {"service", "服务", "服务名"}, "path": {"path", "url", "路径"}, "check": {"plugin id", "插件编号", "漏洞编号", "编号", "id", "check"}, "title": {"name", "title", "漏洞名称", "名称", "隐患名称", "plugin name"},
	"level": {"risk", "severity", "level", "风险等级", "漏洞等级", "等级", "危险级别", "风险级别"}, "score": {"cvss", "cvss score", "cvss v3.0 base score", "评分", "cvss评分"}, "cve": {"cve", "cve编号", "cve id"}, "cwe": {"cwe"},
	"text": {"description", "描述", "漏洞描述", "详细描述"}, "solution": {"solution", "解决方案", "修复建议", "整改建议", "解决办法"}, "evidence": {"plugin output", "evidence", "证据", "返回信息"}, "time": {"time", "发现时间", "扫描时间", "检测时间"},
}

const maxRows, maxColumns = 200_000, 200

func (b *builder) table(data []byte) error {
	for f := range b.o.Mapping {
		if !slices.Contains(Fields, f) {
			return fmt.Errorf("%w: a mapping has no field %q: %s", finding.ErrInvalid, clip(f, 40), strings.Join(Fields, ", "))
		}
	}
	var next func() ([]string, error)
	switch b.o.Format {
	case CSV:
		r := csv.NewReader(bytes.NewReader(data))
		r.FieldsPerRecord, r.LazyQuotes = -1, false
		if head, _, _ := bytes.Cut(data, []byte("\n")); bytes.Count(head, []byte(";")) > bytes.Count(head, []byte(",")) {
			r.Comma = ';'
		}
		next = r.Read
	default:
		f, err := excelize.OpenReader(bytes.NewReader(data), excelize.Options{UnzipSizeLimit: maxUnpacked, UnzipXMLSizeLimit: maxUnpacked})
		if err != nil {
			return &library.Fault{Line: 1, What: "this is no XLSX workbook: " + err.Error()}
		}
		defer f.Close()
		rows, err := f.Rows(f.GetSheetName(0))
		if err != nil {
			return &library.Fault{Line: 1, What: "the workbook's first sheet cannot be read: " + err.Error()}
		}
		defer rows.Close()
		next = func() ([]string, error) {
			if !rows.Next() {
				if err := rows.Error(); err != nil {
					return nil, err
				}
				return nil, io.EOF
			}
			return rows.Columns()
		}
	}
	place := map[string]int{}
	for line := 1; ; line++ {
		row, err := next()
		if errors.Is(err, io.EOF) {
			if line == 1 {
				return &library.Fault{Line: 1, What: "the table is empty"}
			}
			return nil
		}
		if err != nil {
			return &library.Fault{Line: line, What: err.Error()}
		}
		switch {
		case line > maxRows || len(row) > maxColumns:
			return &library.Fault{Line: line, What: fmt.Sprintf("a table has at most %d rows and %d columns", maxRows, maxColumns)}
		case line == 1:
			if err := b.head(row, place); err != nil {
				return &library.Fault{Line: 1, What: err.Error()}
			}
			continue
		case strings.TrimSpace(strings.Join(row, "")) == "":
			continue
		}
		if err := b.row(row, place); err != nil {
			return &library.Fault{Line: line, What: err.Error()}
		}
	}
}

// head finds the columns.
func (b *builder) head(row []string, place map[string]int) error {
	at := func(name string) int {
		return slices.IndexFunc(row, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), strings.TrimSpace(name)) })
	}
	for _, f := range Fields {
		if want, ok := b.o.Mapping[f]; ok {
			i := at(want)
			if i < 0 {
				return fmt.Errorf("the mapping's column %q of %s is missing; the table has %s", clip(want, 60), f, clip(strings.Join(row, ", "), 300))
			}
			place[f] = i
			continue
		}
		for _, h := range headings[f] {
			if i := at(h); i >= 0 {
				place[f] = i
				break
			}
		}
	}
	if _, ok := place["title"]; !ok {
		return fmt.Errorf("no column holds the title: map title to one of %s", clip(strings.Join(row, ", "), 300))
	}
	_, address := place["address"]
	if _, host := place["host"]; !address && !host && b.o.Item == "" {
		return fmt.Errorf("no column holds the address or host: map one of %s", clip(strings.Join(row, ", "), 300))
	}
	return nil
}

func (b *builder) row(row []string, place map[string]int) error {
	get := func(f string) string {
		if i, ok := place[f]; ok && i < len(row) {
			return strings.TrimSpace(row[i])
		}
		return ""
	}
	title := get("title")
	if title == "" {
		return errors.New("the title is empty")
	}
	x := finding.Sighting{Address: get("address"), Host: get("host"), Protocol: get("protocol"), Service: get("service"), Path: get("path"), Check: get("check"), Evidence: get("evidence"), CVEs: cves.FindAllString(strings.ToUpper(get("cve")), 100)}
	if x.Check == "" {
		x.Check = clip(title, 200)
	}
	for _, t := range []struct {
		from string
		to   *detections.Text
	}{{title, &x.Title}, {get("text"), &x.Text}, {get("solution"), &x.Solution}} {
		if strings.ContainsFunc(t.from, func(r rune) bool { return r >= 0x4e00 && r <= 0x9fff }) {
			t.to.ZH = t.from
		} else {
			t.to.EN = t.from
		}
	}
	var err error
	if p := get("port"); p != "" && p != "-" {
		if x.Port, err = strconv.Atoi(p); err != nil {
			return fmt.Errorf("the port %q is no number", clip(p, 40))
		}
	}
	if s := get("score"); s != "-" {
		if x.Score, err = score(s); err != nil {
			return err
		}
	}
	if l := get("level"); l != "" {
		level, ok := words[strings.ToLower(l)]
		if !ok {
			return fmt.Errorf("%q is no level: critical, high, medium, low, info, 超危, 高危, 中危 or 低危 is expected", clip(l, 40))
		}
		x.Level = level
	}
	for c := range strings.FieldsSeq(strings.ReplaceAll(get("cwe"), ",", " ")) {
		x.CWEs = append(x.CWEs, "CWE-"+clip(strings.TrimPrefix(strings.ToUpper(c), "CWE-"), 10))
	}
	if x.At, err = moment(get("time")); err != nil {
		return err
	}
	return b.add(x)
}
