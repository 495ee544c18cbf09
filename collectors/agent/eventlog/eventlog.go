// Package eventlog makes events of what telegraf's plug-in win_eventlog gathers of
// Windows' event log: documents with the names that winlogbeat gives
// (https://www.elastic.co/docs/reference/beats/winlogbeat/exported-fields-winlog),
// so that the same parsers and rules read them.
//
// The plug-in unrolls an event's XML: Data of a name is the field Data_NAME, Data without one
// Data, or Data_1, Data_2… where there are several: they are winlog.event_data. What is below UserData
// has the names of its elements, joined by "_": it is winlog.user_data, and the name of the first
// element winlog.user_data.xml_name.
package eventlog

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/influxdata/telegraf"

	"icewatch/soc/intake"
)

// Plugin is telegraf's name of the plug-in, and of its measurement.
const Plugin = "win_eventlog"

// levels are the words of System/Level (winmeta.xml), whatever the language of the host.
var levels = map[string]string{"0": "information", "1": "critical", "2": "error", "3": "warning", "4": "information", "5": "verbose"}

// Bits of System/Keywords that tell how what was audited ended.
const (
	auditFailure = 0x0010000000000000
	auditSuccess = 0x0020000000000000
)

// outcomes are the words that the two bits have in Chinese and English; of other
// languages the number is not known, and the rules go by the event's code.
var outcomes = map[string]string{"Audit Success": "success", "Audit Failure": "failure", "审核成功": "success", "审核失败": "failure", "稽核成功": "success", "稽核失敗": "failure"}

// names of fields that the event's System part has; all others are of its data.
var names = []string{"Source", "EventID", "Version", "Level", "LevelText", "Task", "TaskText", "Opcode", "OpcodeText", "Keywords", "TimeCreated", "EventRecordID",
	"ActivityID", "RelatedActivityID", "ProcessID", "ThreadID", "ProcessName", "Channel", "Computer", "UserID", "UserName", "Message", "Correlation", "Execution", "Security", "UserData", "EventData", "RenderingInfo"}

// Record makes a record of a metric of the plug-in. ok is false where it is none of it, or has neither
// channel nor number, as after an event whose XML could not be read.
func Record(m telegraf.Metric) (r intake.Record, ok bool) {
	if m.Name() != Plugin {
		return r, false
	}
	system := map[string]string{}
	data, user := map[string]string{}, map[string]string{}
	take := func(name, value string) {
		switch {
		case slices.Contains(names, name):
			system[name] = value
		case name == "Data":
			data["param1"] = value
		case strings.HasPrefix(name, "Data_"):
			data[param(name[len("Data_"):])] = value
		case name == "Binary":
			data[name] = value
		default:
			user[name] = value
		}
	}
	for _, t := range m.TagList() {
		take(t.Key, t.Value)
	}
	for _, f := range m.FieldList() {
		take(f.Key, text(f.Value))
	}
	channel, code := system["Channel"], system["EventID"]
	if channel == "" || code == "" {
		return r, false
	}
	at := m.Time()
	if t, err := time.Parse(time.RFC3339Nano, system["TimeCreated"]); err == nil {
		at = t
	}
	winlog := map[string]any{"channel": channel, "event_id": code}
	put := func(into map[string]any, name, value string) {
		if value != "" {
			into[name] = value
		}
	}
	put(winlog, "provider_name", system["Source"])
	put(winlog, "computer_name", system["Computer"])
	put(winlog, "record_id", system["EventRecordID"])
	put(winlog, "activity_id", system["ActivityID"])
	put(winlog, "related_activity_id", system["RelatedActivityID"])
	if v := system["Version"]; v != "0" {
		put(winlog, "version", v)
	}
	put(winlog, "task", either(system["TaskText"], system["Task"]))
	put(winlog, "opcode", either(system["OpcodeText"], system["Opcode"]))
	event := map[string]any{"code": code, "kind": "event"}
	put(event, "provider", system["Source"])
	if keywords := system["Keywords"]; keywords != "" {
		words := strings.Split(keywords, ",")
		winlog["keywords"] = words
		put(event, "outcome", outcome(words))
	}
	if pid := system["ProcessID"]; pid != "" && pid != "0" {
		winlog["process"] = map[string]any{"pid": pid}
	}
	if sid := system["UserID"]; sid != "" {
		u := map[string]any{"identifier": sid}
		if domain, name, found := strings.Cut(system["UserName"], `\`); found {
			u["domain"], u["name"] = domain, name
		}
		winlog["user"] = u
	}
	if len(data) > 0 {
		winlog["event_data"] = data
	}
	if len(user) > 0 {
		winlog["user_data"] = userData(user)
	}
	doc := map[string]any{"@timestamp": at.UTC().Format(time.RFC3339Nano), "winlog": winlog, "event": event}
	put(doc, "message", strings.TrimSpace(system["Message"]))
	if level := levels[system["Level"]]; level != "" {
		doc["log"] = map[string]any{"level": level}
	}
	if computer := system["Computer"]; computer != "" {
		doc["host"] = map[string]any{"name": computer}
	}
	line, err := json.Marshal(doc)
	if err != nil || len(line) > intake.MaxData {
		// Maps of texts are always JSON; an event has 64 KB.
		return r, false
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{system["Computer"], channel, system["EventRecordID"], code, system["TimeCreated"]}, "\x00")))
	return intake.Record{Collector: "agent", Format: intake.JSON, Received: time.Now().UnixNano(), Time: at.UnixNano(), ID: "winlog/" + hex.EncodeToString(sum[:16]), Data: line}, true
}

// param is winlogbeat's name of a Data: of those without a name the plug-in gives the number alone.
func param(name string) string {
	if n, err := strconv.Atoi(name); err == nil && n > 0 {
		return "param" + name
	}
	return name
}

// userData takes the name of the first element, which has the provider's own name, away from those
// below it: what all names begin with. The element's name may have "_" itself, as that of
// Operation_StartedOperational.
func userData(list map[string]string) map[string]string {
	root, first := "", true
	for name := range list {
		if first {
			root, first = name[:strings.LastIndexByte(name, '_')+1], false
		}
		for !strings.HasPrefix(name, root) {
			root = root[:strings.LastIndexByte(root[:len(root)-1], '_')+1]
		}
	}
	out := make(map[string]string, len(list)+1)
	for name, value := range list {
		out[name[len(root):]] = value
	}
	if root != "" {
		out["xml_name"] = root[:len(root)-1]
	}
	return out
}

// outcome tells by the keywords how what was audited ended; "" where they do not say.
func outcome(words []string) string {
	for _, w := range words {
		if o := outcomes[strings.TrimSpace(w)]; o != "" {
			return o
		}
		bits, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(w), "0x"), 16, 64)
		switch {
		case err != nil:
		case bits&auditFailure != 0:
			return "failure"
		case bits&auditSuccess != 0:
			return "success"
		}
	}
	return ""
}

func either(word, number string) string {
	if word != "" || number == "0" {
		return word
	}
	return number
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprint(v)
}
