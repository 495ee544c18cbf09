package policy

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"icewatch/detections"
)

// answer reads a policy's decision. The first thing of a wrong shape stays as
// the error; what is absent is the zero value.
type answer struct {
	object ast.Object
	err    error
}

func answerOf(t *ast.Term) *answer {
	o, ok := t.Value.(ast.Object)
	if !ok {
		return &answer{object: ast.NewObject(), err: fmt.Errorf("it is %s and not an object", ast.ValueName(t.Value))}
	}
	return &answer{object: o}
}

// Keys of decisions, made once.
var (
	keyPriority, keyVerdict, keyMuted, keyLabels = ast.StringTerm("priority"), ast.StringTerm("verdict"), ast.StringTerm("muted"), ast.StringTerm("labels")
	keyOpen, keyJoin, keySeverity, keyReasons    = ast.StringTerm("open"), ast.StringTerm("join"), ast.StringTerm("severity"), ast.StringTerm("reasons")
	keyZH, keyEN                                 = ast.StringTerm("zh"), ast.StringTerm("en")
)

func (a *answer) wrong(key *ast.Term, v ast.Value, want string) {
	if a.err == nil {
		a.err = fmt.Errorf("%s is %s and not %s", key.Value, ast.ValueName(v), want)
	}
}

func (a *answer) text(key *ast.Term) string { return a.textOf(a.object, key) }

func (a *answer) textOf(o ast.Object, key *ast.Term) string {
	t := o.Get(key)
	if t == nil {
		return ""
	}
	s, ok := t.Value.(ast.String)
	if !ok {
		a.wrong(key, t.Value, "a text")
	}
	return string(s)
}

func (a *answer) yes(key *ast.Term) bool {
	t := a.object.Get(key)
	if t == nil {
		return false
	}
	b, ok := t.Value.(ast.Boolean)
	if !ok {
		a.wrong(key, t.Value, "true or false")
	}
	return bool(b)
}

func (a *answer) reasons() []detections.Text {
	out := []detections.Text{}
	t := a.object.Get(keyReasons)
	if t == nil {
		return out
	}
	list, ok := t.Value.(interface{ Foreach(func(*ast.Term)) }) // an array or a set
	if !ok {
		a.wrong(keyReasons, t.Value, "a list")
		return out
	}
	list.Foreach(func(e *ast.Term) {
		o, ok := e.Value.(ast.Object)
		if !ok {
			a.wrong(keyReasons, e.Value, "a list of objects with zh and en")
			return
		}
		if len(out) < maxReasons {
			out = append(out, detections.Text{ZH: clip(a.textOf(o, keyZH)), EN: clip(a.textOf(o, keyEN))})
		}
	})
	return out
}

func (a *answer) labels() map[string]string {
	t := a.object.Get(keyLabels)
	if t == nil {
		return nil
	}
	o, ok := t.Value.(ast.Object)
	if !ok {
		a.wrong(keyLabels, t.Value, "an object of texts")
		return nil
	}
	if o.Len() == 0 {
		return nil
	}
	out := make(map[string]string, o.Len())
	o.Foreach(func(k, v *ast.Term) {
		name, isText := k.Value.(ast.String)
		value, valueIsText := v.Value.(ast.String)
		if !isText || !valueIsText {
			a.wrong(keyLabels, t.Value, "an object of texts")
			return
		}
		out[string(name)] = clip(string(value))
	})
	return out
}
