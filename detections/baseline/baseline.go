// Package baseline turns templates of security baselines into scripts: what a
// configuration has to be, written once, becomes a POSIX shell script that checks
// a machine and brings it there. Nothing of it runs on the suite's side.
package baseline

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"icewatch/detections"
	"icewatch/rules"
)

// Template is a baseline.
type Template struct {
	Name       string          `yaml:"name"`
	Title      detections.Text `yaml:"title"`
	Owner      string          `yaml:"owner"`
	References []string        `yaml:"references"`
	Controls   []Control       `yaml:"controls"`
}

// Control is one demand: a key of a file with a value, the mode of a file, or a
// value of the kernel's sysctl.
type Control struct {
	ID     string          `yaml:"id"`
	Title  detections.Text `yaml:"title"`
	File   string          `yaml:"file"`
	Key    string          `yaml:"key"`
	Value  string          `yaml:"value"`
	Mode   string          `yaml:"mode"`
	Sysctl string          `yaml:"sysctl"`
	Reload string          `yaml:"reload"` // systemd unit to reload once it was changed
}

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	fileForm  = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	keyForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
	valueForm = regexp.MustCompile(`^[A-Za-z0-9 ,.:/@+_-]{1,200}$`)
	modeForm  = regexp.MustCompile(`^0[0-7]{3}$`)
	unitForm  = regexp.MustCompile(`^[A-Za-z0-9@._-]{1,100}$`)
	ctlForm   = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)+$`)
)

// Parse reads a template. An error names the control and what would be right.
func Parse(data []byte) (*Template, error) {
	var t Template
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&t); err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	if !nameForm.MatchString(t.Name) {
		return nil, fmt.Errorf("baseline: the name %q is not of lower-case letters, digits and -", t.Name)
	}
	if len(t.Controls) == 0 {
		return nil, fmt.Errorf("baseline %s: it has no controls", t.Name)
	}
	seen := map[string]bool{}
	for _, c := range t.Controls {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("baseline %s: control %q: %w", t.Name, c.ID, err)
		}
		if seen[c.ID] {
			return nil, fmt.Errorf("baseline %s: control %q stands twice", t.Name, c.ID)
		}
		seen[c.ID] = true
	}
	return &t, nil
}

// check lets nothing through that a shell or sed could take for more than text.
func (c *Control) check() error {
	switch {
	case !nameForm.MatchString(c.ID):
		return fmt.Errorf("the id is not of lower-case letters, digits and -")
	case strings.ContainsAny(c.Title.ZH+c.Title.EN, "\n\r") || c.Title.EN == "" || c.Title.ZH == "":
		return fmt.Errorf("it needs a title of one line in zh and en")
	case c.Reload != "" && !unitForm.MatchString(c.Reload):
		return fmt.Errorf("reload %q is no unit of systemd", c.Reload)
	case c.Sysctl != "":
		if c.File+c.Key+c.Mode+c.Reload != "" || !ctlForm.MatchString(c.Sysctl) || !valueForm.MatchString(c.Value) {
			return fmt.Errorf("sysctl needs a name such as net.ipv4.tcp_syncookies and a value, and nothing else")
		}
		return nil
	case !fileForm.MatchString(c.File) || strings.Contains(c.File+"/", "/../"):
		return fmt.Errorf("file %q is no absolute path", c.File)
	case c.Mode != "":
		if c.Key+c.Value != "" || !modeForm.MatchString(c.Mode) {
			return fmt.Errorf("mode %q is not of the form 0640, or there is a key beside it", c.Mode)
		}
		return nil
	case !keyForm.MatchString(c.Key) || !valueForm.MatchString(c.Value):
		return fmt.Errorf("it needs a key with a value, a mode, or a sysctl")
	}
	return nil
}

// BuiltIn returns the templates that come with the suite.
func BuiltIn() ([]*Template, error) {
	names, err := fs.Glob(rules.FS, "baselines/*.yml")
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	var out []*Template
	for _, name := range names {
		data, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			return nil, fmt.Errorf("baseline: %w", err)
		}
		t, err := Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(name), err)
		}
		out = append(out, t)
	}
	return out, nil
}

// Script renders the template as a POSIX shell script: check tells what is not
// as it should be and ends with 1 then, apply changes that, with a copy of each
// file before its first change. ROOT before it is put before all paths.
func (t *Template) Script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/sh\n# %s: %s (%s)\n# Made by icectl baselines render %s. Usage: %s.sh check|apply\n", t.Name, t.Title.EN, t.Title.ZH, t.Name, t.Name)
	b.WriteString(head)
	for _, c := range t.Controls {
		label := quote(c.Title.ZH + " / " + c.Title.EN)
		switch {
		case c.Sysctl != "":
			fmt.Fprintf(&b, "control_sysctl %s %s %s %s\n", c.ID, label, c.Sysctl, quote(c.Value))
		case c.Mode != "":
			fmt.Fprintf(&b, "control_mode %s %s %s %s\n", c.ID, label, quote(c.File), c.Mode)
		default:
			fmt.Fprintf(&b, "control_key %s %s %s %s %s %s\n", c.ID, label, quote(c.File), c.Key, quote(c.Value), quote(c.Reload))
		}
	}
	b.WriteString(tail)
	return b.String()
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const head = `set -u
mode=${1:-}
case $mode in check|apply) ;; *) echo "usage: $0 check|apply" >&2; exit 2 ;; esac
root=${ROOT:-}
bad=0 failed=0 changed=0 units=''

say() { printf '%-8s %-24s %s\n' "$1" "$2" "$3"; }
result() { # id label ok|no
	if [ "$3" = ok ]; then say pass "$1" "$2"; else bad=$((bad+1)); say FAIL "$1" "$2"; fi
}
# The first uncommented line of a key counts, in any letter case, as sshd has it;
# lines behind a Match block are conditional and do not.
value_of() { # file key
	awk -v key="$2" 'tolower($1) == "match" { exit } tolower($1) == tolower(key) { $1 = ""; sub(/^[ \t]+/, ""); sub(/[ \t]+$/, ""); print; exit }' "$1" 2>/dev/null
}
keep() { [ -e "$1.icewatch-before" ] || cp -p "$1" "$1.icewatch-before"; }
applied() { if [ "$3" = ok ]; then changed=$((changed+1)); say changed "$1" "$2"; else failed=$((failed+1)); say FAILED "$1" "$2"; fi; }

control_key() { # id label file key value unit
	f=$root$3
	if [ "$(value_of "$f" "$4")" = "$5" ]; then result "$1" "$2" ok; return; fi
	if [ "$mode" = check ]; then result "$1" "$2" no; return; fi
	if [ ! -f "$f" ]; then say FAILED "$1" "$2: $3 is not there"; failed=$((failed+1)); return; fi
	new=$f.icewatch-new
	if keep "$f" && cp -p "$f" "$new" && { printf '%s %s\n' "$4" "$5"; awk -v key="$4" 'tolower($1) == "match" { inside = 1 } inside || tolower($1) != tolower(key)' "$f"; } > "$new" && mv "$new" "$f"; then
		applied "$1" "$2" ok
		case " $units " in *" $6 "*) ;; *) units="$units $6" ;; esac
	else
		rm -f "$new"; applied "$1" "$2" no
	fi
}
control_mode() { # id label file mode
	f=$root$3
	is=$(stat -c %a "$f" 2>/dev/null)
	if [ -n "$is" ] && [ $(( 0$is & ~$4 & 07777 )) -eq 0 ]; then result "$1" "$2" ok; return; fi
	if [ "$mode" = check ]; then result "$1" "$2" no; return; fi
	if [ -n "$is" ] && chmod "$4" "$f"; then applied "$1" "$2" ok; else applied "$1" "$2" no; fi
}
control_sysctl() { # id label name value
	f=$root/proc/sys/$(printf %s "$3" | tr . /)
	if [ "$(cat "$f" 2>/dev/null)" = "$4" ]; then result "$1" "$2" ok; return; fi
	if [ "$mode" = check ]; then result "$1" "$2" no; return; fi
	d=$root/etc/sysctl.d/90-icewatch.conf
	if printf '%s\n' "$4" > "$f" && mkdir -p "$root/etc/sysctl.d" && { [ ! -f "$d" ] || grep -v "^$3 *=" "$d"; printf '%s = %s\n' "$3" "$4"; } > "$d.new" && mv "$d.new" "$d"; then applied "$1" "$2" ok; else applied "$1" "$2" no; fi
}

`

const tail = `
if [ "$mode" = check ]; then echo "$bad not as they should be"; [ "$bad" -eq 0 ]; exit; fi
if [ -z "$root" ]; then for u in $units; do systemctl reload "$u" || failed=$((failed+1)); done; fi
echo "$changed changed, $failed failed"
[ "$failed" -eq 0 ]
`
