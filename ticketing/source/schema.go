package source

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"icewatch/detections"
)

// The types of what a field of an alert holds.
const (
	TypeText     = "text"
	TypeSeverity = "severity" // one of detections.Levels once it is mapped
	TypeStatus   = "status"   // Firing or Resolved once it is mapped
	TypeTime     = "time"
	TypeIP       = "ip"
	TypeNumber   = "number"
)

// Firing and Resolved are what an alert's status may be.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Field is one field of the alert schema: what every message of every source is
// brought to, so that alerts sort, search and correlate alike whoever raised
// them.
type Field struct {
	Name  string          `json:"name" doc:"As mappings and corrections write it: lower-case letters, digits and '_'"`
	Type  string          `json:"type" enum:"text,severity,status,time,ip,number"`
	Title detections.Text `json:"title"`
	// As is the field of the alert that holds it, by ECS's name where there is one.
	As  string `json:"as,omitempty" doc:"The field of the alert that holds it"`
	Own bool   `json:"own,omitempty" doc:"Added by the operator"`
}

// Names of fields that the code looks at. The others are only carried.
const (
	fieldFingerprint = "fingerprint"
	fieldStatus      = "status"
	fieldName        = "name"
	fieldTitle       = "title"
	fieldTitleEN     = "title_en"
	fieldText        = "description"
	fieldTextEN      = "description_en"
	fieldSeverity    = "severity"
	fieldHost        = "host"
	fieldIP          = "ip"
	fieldZone        = "zone"
	fieldItem        = "item"
	fieldStart       = "starts_at"
	fieldEnd         = "ends_at"
	fieldRunbook     = "runbook"
	fieldEvidence    = "evidence"
	fieldRiskType    = "risk_type"
)

// labelPrefix begins the name of a label where a correction names one.
const labelPrefix = "labels."

// builtin is the schema as it comes with the suite.
var builtin = []Field{
	{Name: fieldFingerprint, Type: TypeText, Title: zhEN("指纹", "Fingerprint")},
	{Name: fieldStatus, Type: TypeStatus, Title: zhEN("状态", "Status")},
	{Name: fieldName, Type: TypeText, Title: zhEN("告警名称", "Alert name"), As: "rule.name"},
	{Name: fieldTitle, Type: TypeText, Title: zhEN("标题", "Title")},
	{Name: fieldTitleEN, Type: TypeText, Title: zhEN("英文标题", "Title in English")},
	{Name: fieldText, Type: TypeText, Title: zhEN("描述", "Description"), As: "message"},
	{Name: fieldTextEN, Type: TypeText, Title: zhEN("英文描述", "Description in English")},
	{Name: fieldSeverity, Type: TypeSeverity, Title: zhEN("级别", "Severity")},
	{Name: fieldHost, Type: TypeText, Title: zhEN("主机名", "Host"), As: "host.name"},
	{Name: fieldIP, Type: TypeIP, Title: zhEN("IP 地址", "IP address"), As: "host.ip"},
	{Name: fieldZone, Type: TypeText, Title: zhEN("网络区域", "Network zone"), As: "network.zone"},
	{Name: fieldItem, Type: TypeText, Title: zhEN("配置项", "Configuration item")},
	{Name: fieldStart, Type: TypeTime, Title: zhEN("开始时间", "Start"), As: "event.start"},
	{Name: fieldEnd, Type: TypeTime, Title: zhEN("结束时间", "End"), As: "event.end"},
	{Name: "url", Type: TypeText, Title: zhEN("链接", "Link"), As: "event.url"},
	{Name: fieldRunbook, Type: TypeText, Title: zhEN("处置手册", "Runbook")},
	{Name: "service", Type: TypeText, Title: zhEN("服务", "Service"), As: "service.name"},
	{Name: "metric", Type: TypeText, Title: zhEN("指标", "Metric"), As: "alert.metric"},
	{Name: "value", Type: TypeText, Title: zhEN("当前值", "Value"), As: "alert.value"},
	{Name: "threshold", Type: TypeText, Title: zhEN("阈值", "Threshold"), As: "alert.threshold"},
	{Name: "source_ip", Type: TypeIP, Title: zhEN("攻击方 IP", "Attacker's IP"), As: "source.ip"},
	{Name: "destination_ip", Type: TypeIP, Title: zhEN("受害方 IP", "Victim's IP"), As: "destination.ip"},
	{Name: "domain", Type: TypeText, Title: zhEN("域名", "Domain"), As: "url.domain"},
	{Name: "user", Type: TypeText, Title: zhEN("账号", "Account"), As: "user.name"},
	{Name: fieldRiskType, Type: TypeText, Title: zhEN("风险类型", "Risk type"), As: "alert.risk_type"},
	{Name: fieldEvidence, Type: TypeText, Title: zhEN("检测依据", "Detection basis"), As: "alert.evidence"},
}

func zhEN(zh, en string) detections.Text { return detections.Text{ZH: zh, EN: en} }

// maxOwn bounds how many fields an operator may add.
const maxOwn = 64

var fieldPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// Dictionary is the alert schema: the suite's fields and those that the operator
// added. The zero value has the suite's only.
type Dictionary struct {
	Own []Field `json:"fields" nullable:"false" doc:"Fields of the operator; an alert holds each as alert.NAME"`
}

// Check says what is wrong with the fields that were added.
func (d Dictionary) Check() error {
	if len(d.Own) > maxOwn {
		return fmt.Errorf("fields: %d fields, at most %d", len(d.Own), maxOwn)
	}
	seen := map[string]bool{}
	for _, f := range builtin {
		seen[f.Name] = true
	}
	for i, f := range d.Own {
		switch {
		case !fieldPattern.MatchString(f.Name):
			return fmt.Errorf("fields[%d].name: %q: want 1 to 48 lower-case letters, digits and '_', a letter first", i, f.Name)
		case seen[f.Name]:
			return fmt.Errorf("fields[%d].name: %q is there already", i, f.Name)
		case !slices.Contains([]string{TypeText, TypeIP, TypeNumber, TypeTime}, f.Type):
			return fmt.Errorf("fields[%d].type: %q: want text, ip, number or time", i, f.Type)
		case f.Title.ZH == "" && f.Title.EN == "":
			return fmt.Errorf("fields[%d].title: %q needs a title in Chinese or English", i, f.Name)
		case len(f.Title.ZH) > 200 || len(f.Title.EN) > 200:
			return fmt.Errorf("fields[%d].title: at most 200 bytes", i)
		}
		seen[f.Name] = true
	}
	return nil
}

// Fields lists all fields, the suite's first.
func (d Dictionary) Fields() []Field {
	all := slices.Clone(builtin)
	for _, f := range d.Own {
		f.Own, f.As = true, "alert."+f.Name
		all = append(all, f)
	}
	return all
}

// field finds a field by name.
func (d Dictionary) field(name string) (Field, bool) {
	all := d.Fields()
	if i := slices.IndexFunc(all, func(f Field) bool { return f.Name == name }); i >= 0 {
		return all[i], true
	}
	return Field{}, false
}

// known explains which field a name was meant to be; nil where there is one.
func (d Dictionary) known(name string) error {
	if _, ok := d.field(name); ok {
		return nil
	}
	var names []string
	for _, f := range d.Fields() {
		names = append(names, f.Name)
	}
	return fmt.Errorf("%q is no field of an alert: want one of %s, or add it to the field dictionary", clip(name, 64), strings.Join(names, ", "))
}
