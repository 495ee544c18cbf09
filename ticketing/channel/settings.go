package channel

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"icewatch/ticketing/webhook"
)

// Settings that are secret carry the tag secret:"true", or secret:"url" where
// only what stands in the query of a URL is. Outside they show as Mask, and
// whoever sends the mask back keeps what is there.

// Mask stands for a secret that is set.
const Mask = "******"

// Field describes one setting for a form.
type Field struct {
	Name     string   `json:"name"`
	Type     string   `json:"type" enum:"text,long,number,switch,list,pairs,choice"`
	Secret   bool     `json:"secret"`
	Required bool     `json:"required"`
	Choices  []string `json:"choices,omitempty"`
	Default  string   `json:"default,omitempty"`
	ZH       string   `json:"zh"`
	EN       string   `json:"en"`
}

// Fields describes the settings of a kind, in order, from the tags of its type:
// json, secret, and form:"type;zh;en;default;choice|choice".
func (k Kind) Fields() []Field {
	t := reflect.TypeOf(k.make()).Elem()
	var out []Field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		parts := strings.Split(f.Tag.Get("form"), ";")
		for len(parts) < 5 {
			parts = append(parts, "")
		}
		kind, required := strings.CutSuffix(parts[0], "!")
		out = append(out, Field{Name: name, Type: kind, Required: required, Secret: f.Tag.Get("secret") != "", ZH: parts[1], EN: parts[2], Default: parts[3]})
		if parts[4] != "" {
			out[len(out)-1].Choices = strings.Split(parts[4], "|")
		}
	}
	return out
}

// Shown are settings as they may be shown: without secrets.
func Shown(kind string, settings []byte) (json.RawMessage, error) {
	c, err := Read(kind, settings)
	if err != nil {
		return nil, err
	}
	eachSecret(c, func(_ string, v reflect.Value, how string) { mask(v, how) })
	return json.Marshal(c)
}

// Keep puts the secrets of what was there in the places where fresh settings
// hold the mask.
func Keep(kind string, fresh, old []byte) ([]byte, error) {
	c, err := Read(kind, fresh)
	if err != nil {
		return nil, err
	}
	before, err := Read(kind, old)
	if err != nil {
		return nil, err
	}
	had := map[string]reflect.Value{}
	eachSecret(before, func(name string, v reflect.Value, _ string) { had[name] = v })
	eachSecret(c, func(name string, v reflect.Value, how string) { keep(v, had[name], how) })
	return json.Marshal(c)
}

// Masked names a setting that holds the mask alone, which is no secret; "" for
// none.
func Masked(c Channel) (name string) {
	eachSecret(c, func(n string, v reflect.Value, _ string) {
		if v.Kind() == reflect.String && strings.Contains(v.String(), Mask) {
			name = n
		}
		if v.Kind() == reflect.Map {
			for it := v.MapRange(); it.Next(); {
				if it.Value().String() == Mask {
					name = n
				}
			}
		}
	})
	return name
}

func eachSecret(c Channel, f func(name string, v reflect.Value, how string)) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if how := v.Type().Field(i).Tag.Get("secret"); how != "" {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			f(name, v.Field(i), how)
		}
	}
}

func mask(v reflect.Value, how string) {
	switch {
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			v.SetMapIndex(k, reflect.ValueOf(Mask))
		}
	case v.String() == "":
	case how == "url":
		v.SetString(shownURL(v.String()))
	default:
		v.SetString(Mask)
	}
}

func keep(v, old reflect.Value, how string) {
	switch {
	case v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			if was := old.MapIndex(k); was.IsValid() && v.MapIndex(k).String() == Mask {
				v.SetMapIndex(k, was)
			}
		}
	case how == "url":
		if v.String() == shownURL(old.String()) {
			v.SetString(old.String())
		}
	case v.String() == Mask:
		v.SetString(old.String())
	}
}

// shownURL hides what a robot's URL keeps secret: the values of its query, and
// the last part of a path that is one, as Feishu has it.
func shownURL(raw string) string {
	u := strings.ReplaceAll(webhook.Redact(raw), "%2A%2A%2A", Mask)
	if at := strings.Index(u, "/bot/v2/hook/"); at >= 0 {
		u = u[:at+len("/bot/v2/hook/")] + Mask
	}
	return u
}

func needURL(name, url string) error {
	if err := webhook.CheckURL(url); err != nil {
		return fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "url: "))
	}
	return nil
}
