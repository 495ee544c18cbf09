package subscription

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"icewatch/cmdb"
	"icewatch/cmdb/model"
	"icewatch/soc/tenancy"
)

// The bounds of what is said in words; programs are told everything.
const (
	maxLines = 20
	maxValue = 80 // characters
)

var did = map[string]tenancy.Text{
	Created: {ZH: "新建", EN: "created"},
	Updated: {ZH: "修改", EN: "changed"},
	Deleted: {ZH: "删除", EN: "deleted"},
	Related: {ZH: "关系变更", EN: "related"},
}

var called = map[string]tenancy.Text{
	"name": {ZH: "名称", EN: "name"}, "tenant": {ZH: "租户", EN: "tenant"}, "zone": {ZH: "网络区域", EN: "zone"},
	"addresses": {ZH: "地址", EN: "addresses"}, "hostnames": {ZH: "主机名", EN: "host names"}, "criticality": {ZH: "重要性", EN: "criticality"},
	"owner": {ZH: "负责人", EN: "owner"}, "labels": {ZH: "标签", EN: "labels"}, "system": {ZH: "业务系统", EN: "system"}, "organisation": {ZH: "组织机构", EN: "organisation"},
}

// say puts the changes into words.
func (n *Notification) say(m *model.Model) {
	switch len(n.Changes) {
	case 0:
		n.Summary, n.SummaryEN = "测试：CMDB 订阅“"+n.Subscription.Name+"”，无需处理", "Test of the CMDB subscription “"+n.Subscription.Name+"”: nothing changed"
		n.Text, n.TextEN = "如果您能看到这条消息，说明订阅的通知能够到达这里。", "Notifications of this subscription reach this place."
		n.Changes = []cmdb.HistoryEntry{}
		return
	case 1:
		zh, en := head(m, &n.Changes[0])
		n.Summary, n.SummaryEN = "CMDB："+zh, "CMDB: "+en
	default:
		n.Summary = fmt.Sprintf("CMDB：%s，%d 项变更", n.Subscription.Name, len(n.Changes))
		n.SummaryEN = fmt.Sprintf("CMDB: %s, %d changes", n.Subscription.Name, len(n.Changes))
	}
	var zh, en strings.Builder
	for i := range n.Changes {
		if i == maxLines {
			fmt.Fprintf(&zh, "…另有 %d 项\n", len(n.Changes)-i)
			fmt.Fprintf(&en, "… and %d more\n", len(n.Changes)-i)
			break
		}
		h := &n.Changes[i]
		first, firstEN := head(m, h)
		fmt.Fprintf(&zh, "%s（%s，%s）%s\n", first, h.Actor, h.Time.Format("2006-01-02 15:04:05Z07:00"), fieldsOf(m, h, func(t tenancy.Text) string { return cmp.Or(t.ZH, t.EN) }))
		fmt.Fprintf(&en, "%s (%s, %s)%s\n", firstEN, h.Actor, h.Time.Format("2006-01-02 15:04:05Z07:00"), fieldsOf(m, h, func(t tenancy.Text) string { return cmp.Or(t.EN, t.ZH) }))
	}
	n.Text, n.TextEN = strings.TrimSpace(zh.String()), strings.TrimSpace(en.String())
}

// head says what happened to which item.
func head(m *model.Model, h *cmdb.HistoryEntry) (zh, en string) {
	class := tenancy.Text{ZH: h.Class, EN: h.Class}
	if c := m.Class(h.Class); c != nil && c.Title.ZH != "" {
		class = c.Title
	}
	d := did[kindOf(h)]
	return d.ZH + cmp.Or(class.ZH, h.Class) + " " + h.Name, cmp.Or(class.EN, h.Class) + " " + h.Name + " " + d.EN
}

// fieldsOf says what changed of an item; of a new or a deleted one nothing, since
// all of it did.
func fieldsOf(m *model.Model, h *cmdb.HistoryEntry, in func(tenancy.Text) string) string {
	if h.Action != Updated {
		return ""
	}
	var b strings.Builder
	for _, c := range h.Changes {
		name := in(called[c.Field])
		if a, ok := strings.CutPrefix(c.Field, attribute); ok {
			name = a
			if x := m.Attribute(a); x != nil {
				name = cmp.Or(in(x.Title), a)
			}
		} else if i := strings.IndexByte(c.Field, '.'); i > 0 {
			if t := m.Relation(c.Field[i+1:]); t != nil {
				name = in(t.Title)
			}
		}
		fmt.Fprintf(&b, "; %s: %s → %s", cmp.Or(name, c.Field), short(c.Before), short(c.After))
	}
	return b.String()
}

func short(value string) string {
	switch {
	case value == "":
		return "-"
	case utf8.RuneCountInString(value) > maxValue:
		return string([]rune(value)[:maxValue]) + "…"
	}
	return value
}
