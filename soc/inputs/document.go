package inputs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// secrets are the secret values of settings by their paths, such as
// sasl.password or users[admin].key.
type secrets map[string]any

func (s secrets) names() []string {
	out := slices.Sorted(maps.Keys(s))
	if out == nil {
		out = []string{}
	}
	return out
}

// document reads settings.
func document(text json.RawMessage) (map[string]any, error) {
	if len(text) > maxSettings {
		return nil, invalid("settings", "they have %d bytes: %d are the most", len(text), maxSettings)
	}
	doc := map[string]any{}
	if len(bytes.TrimSpace(text)) == 0 {
		return doc, nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&doc); err != nil {
		return nil, invalid("settings", "an object of JSON is right: %s", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, invalid("settings", "there is more behind the object")
	}
	if doc == nil {
		doc = map[string]any{}
	}
	return doc, nil
}

// each hands every property that a schema names and a document's objects have
// room for to f, with the object it is in and its path. Objects that are
// missing are passed over.
func each(s *huma.Schema, v any, path string, f func(p *huma.Schema, in map[string]any, name, path string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, p := range s.Properties {
			at := name
			if path != "" {
				at = path + "." + name
			}
			if secret(p) || p.Type != huma.TypeObject && (p.Type != huma.TypeArray || p.Items.Type != huma.TypeObject) {
				f(p, v, name, at)
				continue
			}
			each(p, v[name], at, f)
		}
	case []any:
		if s.Items == nil {
			return
		}
		seen := map[string]bool{}
		for i, x := range v {
			at := fmt.Sprintf("%s[%s]", path, entry(x, i))
			if seen[at] { // two of one name
				at = fmt.Sprintf("%s[%d]", path, i)
			}
			seen[at] = true
			each(s.Items, x, at, f)
		}
	}
}

// entry names an entry of a list: by what it calls itself, so that its secrets
// stay with it where the list is put into another order, else by its place.
func entry(v any, i int) string {
	if m, ok := v.(map[string]any); ok {
		for _, name := range []string{"id", "name", "user", "username", "host", "address"} {
			if s, ok := m[name].(string); ok && s != "" && len(s) <= 100 && !strings.ContainsAny(s, "[]") {
				return s
			}
		}
	}
	return fmt.Sprint(i)
}

// takeSecrets takes the secrets out of a document. Those that are null are in
// it as nil; those that are empty are as if not given.
func takeSecrets(s *huma.Schema, doc map[string]any) secrets {
	out := secrets{}
	each(s, doc, "", func(p *huma.Schema, in map[string]any, name, path string) {
		v, there := in[name]
		if !secret(p) || !there {
			return
		}
		delete(in, name)
		switch x := v.(type) {
		case string:
			if x == "" {
				return
			}
		case []any:
			if len(x) == 0 {
				return
			}
		}
		out[path] = v
	})
	return out
}

// putSecrets puts secrets back into a document and tells which of them it has
// room for.
func putSecrets(s *huma.Schema, doc map[string]any, all secrets) (put secrets) {
	put = secrets{}
	each(s, doc, "", func(p *huma.Schema, in map[string]any, name, path string) {
		if v, ok := all[path]; ok && secret(p) {
			in[name], put[path] = v, v
		}
	})
	return put
}

// addressWords are what settings are called that decide where secrets are sent,
// or how they are guarded on the way.
var addressWords = []string{"address", "host", "port", "broker", "server", "url", "target", "endpoint", "device", "database", "tls", "ca_pem", "insecure", "security", "mechanism", "protocol", "ssl", "sasl", "encrypt"}

// addresses are the settings by path that decide where secrets are sent.
func addresses(s *huma.Schema, doc map[string]any) map[string]any {
	out := map[string]any{}
	each(s, doc, "", func(p *huma.Schema, in map[string]any, name, path string) {
		if secret(p) || !slices.ContainsFunc(addressWords, func(w string) bool { return strings.Contains(name, w) }) {
			return
		}
		v, there := in[name]
		if !there {
			v = p.Default
		}
		if v == nil || v == "" || v == false || reflect.DeepEqual(v, []any{}) {
			return // as if not given
		}
		out[path] = v
	})
	return out
}

// check holds a document, secrets in it, against the kind's schema.
func (k *kind) check(doc map[string]any) []Fault {
	var res huma.ValidateResult
	path := huma.NewPathBuffer(nil, 0)
	path.Push("settings")
	huma.Validate(nil, k.schema, path, huma.ModeWriteToServer, any(doc), &res)
	var out []Fault
	for _, err := range res.Errors {
		f := Fault{Field: "settings", Message: err.Error()}
		if d, ok := err.(*huma.ErrorDetail); ok {
			f = Fault{Field: d.Location, Message: d.Message}
			if name, missing := strings.CutPrefix(d.Message, "expected required property "); missing {
				name, _, _ = strings.Cut(name, " ")
				f = Fault{Field: d.Location + "." + name, Message: "it is missing"}
			} else if d.Message == "unexpected property" {
				f.Message = "there is no such setting: " + strings.Join(k.schema.Extensions[extOrder].([]string), ", ") + " are there"
				if strings.Count(d.Location, ".") > 1 {
					f.Message = "there is no such setting"
				}
			}
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Fault) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// blame finds the setting that an error of a collector speaks of.
func (k *kind) blame(id string, err error) Fault {
	text := err.Error()
	for _, cut := range []string{k.factory.Type + ": ", id + ": "} {
		text = strings.TrimPrefix(text, cut)
	}
	if _, rest, found := strings.Cut(text, id+": "); found {
		text = rest
	}
	at, best := "settings", len(text)
	for name := range k.schema.Properties {
		if i := indexWord(text, name); i >= 0 && i < best {
			at, best = "settings."+name, i
		}
	}
	return Fault{at, text}
}

// indexWord finds a word that stands by itself.
func indexWord(text, word string) int {
	part := func(b byte) bool { return b == '_' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(word)
		if (i == 0 || !part(text[i-1])) && (end == len(text) || !part(text[end])) {
			return i
		}
		from = end
	}
}
