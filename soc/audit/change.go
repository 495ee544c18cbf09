package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Change is how one field was and is. A field that was not there, or is not
// any more, has no value on that side.
type Change struct {
	Field  string          `json:"field"` // path in dots, as in "notify.url"
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

const (
	// maxValue bounds one value of a Change in bytes of JSON.
	maxValue = 1000
	// maxDiff bounds the fields of one Diff.
	maxDiff = 100
	// secretText stands for a secret's value.
	secretText = `"(secret)"`
)

// Diff compares two documents as JSON writes them and returns the fields that
// differ, by path. nil is a document that is not there. Lists are one value.
// Values of fields whose names speak of a secret are not in it, only that they
// differ; of URLs the credentials and the query's values are left out.
func Diff(before, after any) ([]Change, error) {
	old, err := flat(before)
	if err != nil {
		return nil, fmt.Errorf("audit: the state before: %w", err)
	}
	now, err := flat(after)
	if err != nil {
		return nil, fmt.Errorf("audit: the state after: %w", err)
	}
	var names []string
	for name := range old {
		names = append(names, name)
	}
	for name := range now {
		if _, both := old[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []Change
	for _, name := range names {
		b, hadB := old[name]
		a, hasA := now[name]
		if hadB && hasA && reflect.DeepEqual(a, b) {
			continue
		}
		if len(out) == maxDiff {
			out = append(out, Change{Field: "(more fields)"})
			break
		}
		c := Change{Field: name}
		if hadB {
			c.Before = value(name, b)
		}
		if hasA {
			c.After = value(name, a)
		}
		out = append(out, c)
	}
	return out, nil
}

// flat turns a document into its leaves by path.
func flat(doc any) (map[string]any, error) {
	if doc == nil {
		return nil, nil
	}
	raw, ok := doc.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(doc); err != nil {
			return nil, err
		}
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	leaves := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, isMap := v.(map[string]any)
		if !isMap || len(m) == 0 {
			if path == "" {
				path = "value"
			}
			leaves[path] = v
			return
		}
		for name, v := range m {
			if path != "" {
				name = path + "." + name
			}
			walk(name, v)
		}
	}
	walk("", v)
	return leaves, nil
}

// value is a leaf as a record may hold it: without secrets, and bounded.
func value(name string, v any) json.RawMessage {
	if secret(name) && holds(v) {
		return json.RawMessage(secretText)
	}
	b, err := json.Marshal(clean(v))
	if err != nil {
		b, _ = json.Marshal(err.Error())
	}
	if len(b) <= maxValue {
		return b
	}
	cut := b[:maxValue]
	for !utf8.Valid(cut) {
		cut = cut[:len(cut)-1]
	}
	b, _ = json.Marshal(string(cut) + "…")
	return b
}

// clean takes secrets out of the insides of a list and out of URLs.
func clean(v any) any {
	switch v := v.(type) {
	case string:
		return cleanURL(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clean(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, x := range v {
			if secret(name) && holds(x) {
				out[name] = json.RawMessage(secretText)
			} else {
				out[name] = clean(x)
			}
		}
		return out
	}
	return v
}

// holds tells whether a value can be a secret: a switch, a number of days and
// an empty text are none.
func holds(v any) bool {
	switch v := v.(type) {
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	return false
}

// cleanURL takes the credentials and the query's values out of a URL: robots
// of chat services carry their token there.
func cleanURL(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(a URL that cannot be read)"
	}
	if u.User == nil && u.RawQuery == "" {
		return s
	}
	if u.User != nil {
		u.User = url.User("secret")
	}
	if u.RawQuery != "" {
		q := u.Query()
		for name := range q {
			q[name] = []string{"secret"}
		}
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// secretWords are what fields with secrets are called.
var secretWords = []string{"password", "passwd", "passphrase", "secret", "credential", "private_key", "privatekey", "api_key", "apikey",
	"authorization", "cookie", "otp", "seed", "recovery_code", "client_key", "signing_key", "token"}

// secretNames are what a field with a secret may be called in full.
var secretNames = []string{"current", "new", "code", "key", "pin", "challenge", "answer"}

// harmless are names that hold such a word and no secret.
var harmless = []string{"_id", "_at", "_days", "_seconds", "_minutes", "_hours", "_length", "_history", "_count", "_limit", "_max", "_min", "_set", "_file",
	"_required", "_enabled", "_policy", "_expires", "_ttl", "_lifetime", "_url", "_endpoint"}

// secret tells whether a field's name speaks of a secret. Only the path's last
// element counts: a policy "password" is full of harmless fields.
func secret(path string) bool {
	name := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
	name = strings.ReplaceAll(name, "-", "_")
	for _, end := range harmless {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	if slices.Contains(secretNames, name) {
		return true
	}
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
