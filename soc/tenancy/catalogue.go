package tenancy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	entryName        = "tenant.yaml"
	maxEntry         = 1 << 20 // bytes of one tenant.yaml
	maxList          = 1000    // entries of one list in it
	maxText          = 500     // characters of one text in it
	defaultRetention = "standard"
)

var wordPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// entry is tenant.yaml as written.
type entry struct {
	Slug            string   `yaml:"slug"`
	Name            Text     `yaml:"name"`
	Domain          string   `yaml:"domain"`
	ProtectionLevel int      `yaml:"protection_level"`
	Retention       string   `yaml:"retention"`
	Subsystems      []Text   `yaml:"subsystems"`
	Interfaces      []string `yaml:"interfaces"`
	KeyTransactions []string `yaml:"key_transactions"`
	SensitiveData   []string `yaml:"sensitive_data"`
}

// loadCatalogue reads <slug>/tenant.yaml of every folder. Hidden folders and
// plain files are passed over; a folder without an entry is a mistake.
func loadCatalogue(fsys fs.FS) ([]Tenant, error) {
	dirs, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("list the tenants' folders: %w", err)
	}
	var out []Tenant
	var errs []error
	for _, d := range dirs {
		if strings.HasPrefix(d.Name(), ".") {
			continue
		}
		// Stat follows a symbolic link, which is how a configuration
		// manager may put a folder in place.
		if st, err := fs.Stat(fsys, d.Name()); err != nil || !st.IsDir() {
			continue
		}
		name := path.Join(d.Name(), entryName)
		data, err := readEntry(fsys, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t, err := ParseEntry(name, data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if t.Slug != d.Name() {
			errs = append(errs, fmt.Errorf("%s: the slug is %q, but the folder is %q: they must be equal", name, t.Slug, d.Name()))
			continue
		}
		out = append(out, t)
	}
	return out, errors.Join(errs...)
}

func readEntry(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxEntry+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxEntry {
		return nil, fmt.Errorf("read %s: it is longer than %d bytes", name, maxEntry)
	}
	return data, nil
}

// ParseEntry reads one tenant.yaml. Unknown keys, wrong types and values out
// of range are errors that start with name:line. name is used only for them.
func ParseEntry(name string, data []byte) (Tenant, error) {
	var root yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return Tenant{}, fmt.Errorf("%s:1: the file is empty", name)
		}
		return Tenant{}, yamlError(name, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Tenant{}, fmt.Errorf("%s: want one YAML document, there are more", name)
	}
	var e entry
	strict := yaml.NewDecoder(bytes.NewReader(data))
	strict.KnownFields(true)
	if err := strict.Decode(&e); err != nil {
		return Tenant{}, yamlError(name, err)
	}

	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s:%d: %s: %s", name, lineOf(&root, key), key, fmt.Sprintf(format, args...)))
	}
	if err := ValidSlug(e.Slug); err != nil {
		bad("slug", "%v", err)
	} else if e.Slug == Unassigned || e.Slug == City {
		bad("slug", "%q is a built-in tenant", e.Slug)
	}
	text := func(key, what, s string, required bool) {
		switch {
		case required && strings.TrimSpace(s) == "":
			bad(key, "%s is missing", what)
		case len([]rune(s)) > maxText:
			bad(key, "%s is longer than %d characters", what, maxText)
		case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
			bad(key, "%s contains a control character", what)
		}
	}
	text("name", "zh", e.Name.ZH, true)
	text("name", "en", e.Name.EN, true)
	if !wordPattern.MatchString(e.Domain) {
		bad("domain", "%q: want lower-case letters, digits and '-'", e.Domain)
	}
	if e.ProtectionLevel < 1 || e.ProtectionLevel > 5 {
		bad("protection_level", "%d: want 1 to 5", e.ProtectionLevel)
	}
	if e.Retention == "" {
		e.Retention = defaultRetention
	}
	if !wordPattern.MatchString(e.Retention) {
		bad("retention", "%q: want the name of a retention class: lower-case letters, digits and '-'", e.Retention)
	}
	list := func(key string, n int) {
		if n > maxList {
			bad(key, "%d entries: want at most %d", n, maxList)
		}
	}
	list("subsystems", len(e.Subsystems))
	for i, s := range e.Subsystems {
		text("subsystems", fmt.Sprintf("entry %d: zh", i+1), s.ZH, true)
		text("subsystems", fmt.Sprintf("entry %d: en", i+1), s.EN, true)
	}
	for _, l := range []struct {
		key  string
		list []string
	}{{"interfaces", e.Interfaces}, {"key_transactions", e.KeyTransactions}, {"sensitive_data", e.SensitiveData}} {
		list(l.key, len(l.list))
		for i, s := range l.list {
			text(l.key, fmt.Sprintf("entry %d", i+1), s, true)
		}
	}
	if len(errs) > 0 {
		return Tenant{}, errors.Join(errs...)
	}
	return Tenant{
		Slug: e.Slug, Name: e.Name, Domain: e.Domain, ProtectionLevel: e.ProtectionLevel, Retention: e.Retention,
		Subsystems: slices.Clip(e.Subsystems), Interfaces: e.Interfaces,
		KeyTransactions: e.KeyTransactions, SensitiveData: e.SensitiveData,
	}, nil
}

var (
	yamlLine    = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	unknownKey  = regexp.MustCompile(`^field (.*) not found in type \S+$`)
	intoGoTypes = regexp.MustCompile(` into (\[\])?(string|int|tenancy\.\w+)$`)
)

// yamlError turns the library's "line 3: field x not found in type y" into
// file:line errors that speak of the file and not of Go types.
func yamlError(name string, err error) error {
	var te *yaml.TypeError
	lines := []string{err.Error()}
	if errors.As(err, &te) {
		lines = te.Errors
	}
	var errs []error
	for _, l := range lines {
		m := yamlLine.FindStringSubmatch(l)
		if m == nil {
			errs = append(errs, fmt.Errorf("%s: %s", name, strings.TrimPrefix(l, "yaml: ")))
			continue
		}
		msg := m[2]
		if k := unknownKey.FindStringSubmatch(msg); k != nil {
			msg = fmt.Sprintf("unknown key %q", k[1])
		} else if intoGoTypes.MatchString(msg) {
			want := "a mapping"
			switch {
			case strings.Contains(msg, " into []"):
				want = "a list"
			case strings.HasSuffix(msg, " into int"):
				want = "a whole number"
			case strings.HasSuffix(msg, " into string"):
				want = "a text"
			}
			msg = intoGoTypes.ReplaceAllString(msg, "") + ": want " + want
		}
		errs = append(errs, fmt.Errorf("%s:%s: %s", name, m[1], msg))
	}
	return errors.Join(errs...)
}

// lineOf returns the line of a top-level key, or 1 where it is missing.
func lineOf(root *yaml.Node, key string) int {
	if root.Kind != yaml.DocumentNode || len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return 1
	}
	for i := 0; i+1 < len(root.Content[0].Content); i += 2 {
		if root.Content[0].Content[i].Value == key {
			return root.Content[0].Content[i].Line
		}
	}
	return 1
}
