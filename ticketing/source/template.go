package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
)

// The formats of messages.
const (
	FormatJSON = "json" // an object or array; an expression sees it as it is
	FormatForm = "form" // application/x-www-form-urlencoded: an object of texts
	FormatText = "text" // {"text": …}
	FormatMail = "mail" // RFC 5322: {"from", "to", "subject", "date", "text", "headers"}
)

// The envelopes that messages may come in, which are opened, and whose seals
// are checked, before the template sees what is inside.
const (
	EnvelopeSNS = "aws-sns"
	EnvelopeSMN = "huawei-smn"
)

// Template says how the messages of one kind of sender are read. It is data: the
// suite's own lie in rules/alertsources, operators add theirs.
type Template struct {
	ID          string          `json:"id" yaml:"id"`
	Version     int             `json:"version" yaml:"version" doc:"Grows with each change"`
	Kinds       []string        `json:"kinds" yaml:"kinds" nullable:"false" doc:"Kinds of sources that it suits, the usual one first"`
	Title       detections.Text `json:"title" yaml:"title"`
	Description detections.Text `json:"description,omitzero" yaml:"description,omitempty"`
	Setup       detections.Text `json:"setup,omitzero" yaml:"setup,omitempty" doc:"What to set at the sender; {url} and {token} are filled in"`
	Reference   string          `json:"reference,omitempty" yaml:"reference,omitempty" doc:"Where the sender's maker describes its messages"`
	Format      string          `json:"format" yaml:"format" enum:"json,form,text,mail"`
	Envelope    string          `json:"envelope,omitempty" yaml:"envelope,omitempty" enum:"aws-sns,huawei-smn,"`
	Sample      string          `json:"sample,omitempty" yaml:"sample,omitempty" doc:"A message as the sender sends it"`

	Mapping `yaml:",inline"`
}

// Mapping is how alerts are found in a message and what their fields are. Each
// expression is jq's: of Alerts it reads the message, of a field one alert;
// $message is the whole message, $meta how it came.
type Mapping struct {
	Alerts   string            `json:"alerts,omitempty" yaml:"alerts,omitempty" doc:"Yields each alert of a message; the message itself by default"`
	Fields   map[string]string `json:"fields,omitempty" yaml:"fields,omitempty" doc:"Expressions by fields of the alert schema"`
	Labels   string            `json:"labels,omitempty" yaml:"labels,omitempty" doc:"Yields an object, or a list of 'name=value' or {name|tag|key, value}: the labels of the alert"`
	Severity map[string]string `json:"severity,omitempty" yaml:"severity,omitempty" doc:"critical, high, medium, low or informational by the sender's words, upper and lower case alike; * is for all others"`
	Status   map[string]string `json:"status,omitempty" yaml:"status,omitempty" doc:"firing or resolved by the sender's words"`
	Times    []string          `json:"times,omitempty" yaml:"times,omitempty" doc:"How times are written: rfc3339, unix, unix_ms, or a layout of Go such as 2006-01-02 15:04:05"`
	Zone     string            `json:"zone,omitempty" yaml:"zone,omitempty" doc:"Of times that name none, such as Asia/Shanghai; the suite's own by default"`
	Expires  string            `json:"expires,omitempty" yaml:"expires,omitempty" doc:"An alert is over unless it is sent again within this time, such as 5m; by default it lasts until its end is sent"`
}

// over puts what m says over what of it base says.
func (m Mapping) over(base Mapping) Mapping {
	out := base
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&out.Alerts, m.Alerts)
	set(&out.Labels, m.Labels)
	set(&out.Zone, m.Zone)
	set(&out.Expires, m.Expires)
	out.Fields, out.Severity, out.Status = both(base.Fields, m.Fields), both(base.Severity, m.Severity), both(base.Status, m.Status)
	if len(m.Times) > 0 {
		out.Times = m.Times
	}
	return out
}

func both(base, over map[string]string) map[string]string {
	out := make(map[string]string, len(base)+len(over))
	maps.Copy(out, base)
	maps.Copy(out, over)
	return out
}

// Limits of templates.
const (
	maxTemplate   = 256 << 10
	maxExpires    = 90 * 24 * time.Hour
	maxLabelName  = 256
	maxTimeLayout = 64
)

var templateID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,47}$`)

// ParseTemplate reads a template from YAML. What it does not know is an error,
// with its line.
func ParseTemplate(data []byte, dict Dictionary) (Template, error) {
	var t Template
	if len(data) > maxTemplate {
		return t, fmt.Errorf("the template has %d bytes, at most %d", len(data), maxTemplate)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&t); err != nil {
		return t, fmt.Errorf("the template cannot be read: %w", err)
	}
	return t, t.check(dict)
}

// check says what is wrong with a template, by the place.
func (t *Template) check(dict Dictionary) error {
	switch {
	case !templateID.MatchString(t.ID):
		return fmt.Errorf("id: %q: want 1 to 48 lower-case letters, digits and '-'", clip(t.ID, 64))
	case t.Version < 1:
		return fmt.Errorf("version: %d: want 1 or more", t.Version)
	case t.Title.ZH == "" && t.Title.EN == "":
		return errors.New("title: a title in Chinese or English is needed")
	case len(t.Kinds) == 0:
		return errors.New("kinds: at least one of " + strings.Join(Kinds(), ", "))
	case !slices.Contains([]string{FormatJSON, FormatForm, FormatText, FormatMail}, t.Format):
		return fmt.Errorf("format: %q: want json, form, text or mail", clip(t.Format, 64))
	case t.Envelope != "" && t.Envelope != EnvelopeSNS && t.Envelope != EnvelopeSMN:
		return fmt.Errorf("envelope: %q: want aws-sns or huawei-smn", clip(t.Envelope, 64))
	}
	for i, k := range t.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("kinds[%d]: %q: want one of %s", i, clip(k, 64), strings.Join(Kinds(), ", "))
		}
	}
	_, err := compileMapping(t.Mapping, dict)
	return err
}

// mapping is a Mapping that is ready to be used.
type mapping struct {
	alerts, labels   *expression
	fields           map[string]*expression
	severity, status map[string]string
	times            []string
	zone             *time.Location
	expires          time.Duration
}

func compileMapping(m Mapping, dict Dictionary) (out mapping, err error) {
	alerts := m.Alerts
	if alerts == "" {
		alerts = "."
	}
	if out.alerts, err = compile(alerts); err != nil {
		return out, fmt.Errorf("alerts: %w", err)
	}
	if m.Labels != "" {
		if out.labels, err = compile(m.Labels); err != nil {
			return out, fmt.Errorf("labels: %w", err)
		}
	}
	out.fields = make(map[string]*expression, len(m.Fields))
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		if err := dict.known(name); err != nil {
			return out, fmt.Errorf("fields: %w", err)
		}
		if m.Fields[name] == "" {
			continue // taken out of what the template says
		}
		if out.fields[name], err = compile(m.Fields[name]); err != nil {
			return out, fmt.Errorf("fields.%s: %w", name, err)
		}
	}
	if out.severity, err = words("severity", m.Severity, levels()); err != nil {
		return out, err
	}
	if out.status, err = words("status", m.Status, []string{Firing, Resolved}); err != nil {
		return out, err
	}
	for i, t := range m.Times {
		if t == "" || len(t) > maxTimeLayout {
			return out, fmt.Errorf("times[%d]: %q: want rfc3339, unix, unix_ms or a layout such as 2006-01-02 15:04:05", i, clip(t, 100))
		}
	}
	out.times, out.zone = m.Times, time.Local
	if m.Zone != "" {
		if out.zone, err = time.LoadLocation(m.Zone); err != nil || m.Zone == "Local" {
			return out, fmt.Errorf("zone: %q is no time zone: want one such as Asia/Shanghai", clip(m.Zone, 64))
		}
	}
	if m.Expires != "" {
		if out.expires, err = time.ParseDuration(m.Expires); err != nil || out.expires < time.Second || out.expires > maxExpires {
			return out, fmt.Errorf("expires: %q: want a duration of 1s to %s, such as 5m", clip(m.Expires, 64), maxExpires)
		}
	}
	return out, nil
}

func levels() []string {
	out := make([]string, len(detections.Levels))
	for i, l := range detections.Levels {
		out[i] = string(l)
	}
	return out
}

// words reads a table of words; what they become must be one of allowed.
func words(what string, table map[string]string, allowed []string) (map[string]string, error) {
	if len(table) > maxValues {
		return nil, fmt.Errorf("%s: %d words, at most %d", what, len(table), maxValues)
	}
	out := make(map[string]string, len(table))
	for _, from := range slices.Sorted(maps.Keys(table)) {
		if !slices.Contains(allowed, table[from]) {
			return nil, fmt.Errorf("%s.%s: %q: want %s", what, clip(from, 64), clip(table[from], 64), strings.Join(allowed, ", "))
		}
		out[strings.ToLower(from)] = table[from]
	}
	return out, nil
}

// Builtin reads the suite's own templates from the folder of fsys. They are part
// of the program: what is wrong with one is an error with its file.
func Builtin(fsys fs.FS, dir string) ([]Template, error) {
	files, err := fs.Glob(fsys, path.Join(dir, "*.yml"))
	if err != nil {
		return nil, fmt.Errorf("source: %w", err)
	}
	var out []Template
	for _, f := range files {
		data, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, fmt.Errorf("source: %w", err)
		}
		t, err := ParseTemplate(data, Dictionary{})
		if err != nil {
			return nil, fmt.Errorf("source: %s: %w", f, err)
		}
		if t.ID+".yml" != path.Base(f) {
			return nil, fmt.Errorf("source: %s: its id is %q: a template lies in the file of its id", f, t.ID)
		}
		out = append(out, t)
	}
	return out, nil
}

// parseTime reads a time in the first of the layouts that it fits. Without any,
// RFC 3339 and Unix seconds or milliseconds are understood.
func (m *mapping) parseTime(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	layouts := m.times
	if len(layouts) == 0 {
		layouts = []string{"rfc3339", "unix_ms", "unix"}
	}
	for _, l := range layouts {
		switch l {
		case "rfc3339":
			if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
				return t, nil
			}
		case "unix", "unix_ms":
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || n < 0 || n > 1e14 {
				continue
			}
			if len(m.times) == 0 && l == "unix_ms" && n < 1e11 { // else 1973 as milliseconds
				continue
			}
			if l == "unix" {
				n *= 1000
			}
			return time.UnixMilli(int64(n)), nil
		default:
			if t, err := time.ParseInLocation(l, text, m.zone); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time in the form of %s", clip(text, 64), strings.Join(layouts, ", "))
}
