// Package flatjson reads one JSON object into the flat fields of an event:
// members of nested objects get dotted names, elements of an array repeat the
// name of their array. It accepts what RFC 8259 accepts, keeps numbers as they
// stand, and is made for streams of small objects of the same shapes: there is
// no tree in between, texts without escapes are parts of the line, unescaped
// ones lie in an arena, and a name that was met before costs one comparison
// with the bytes of the line, because objects of one source have the same
// members in the same order.
package flatjson

import (
	"fmt"
	"strings"
	"unsafe"

	"icewatch/soc/event"
)

// Options say what a Decoder makes of what JSON leaves open. The zero value
// reads strictly and keeps everything.
type Options struct {
	// Registry numbers the names for Event. Parse works without one.
	Registry *event.Registry
	// Intern takes names into the registry that it does not have. Without it
	// they get the number 0: whoever looks for a field by its number never
	// asks for them, and searches over all values still see theirs.
	Intern bool
	// MaxDepth bounds the levels of objects and arrays that are flattened, the
	// outermost included; 0 is 64. What lies deeper is one Null, or with
	// DeepText its JSON text. An object or array whose own name is longer than
	// MaxName bytes counts as too deep.
	MaxDepth int
	DeepText bool
	// DropEmpty leaves out empty objects and arrays, which are a Null otherwise.
	DropEmpty bool
	// Controls lets control characters stand in texts unescaped.
	Controls bool
	// NULText keeps an escaped NUL as the six characters \u0000, for consumers
	// whose texts must not hold one; Decoder.NUL tells that it happened.
	NULText bool
}

// MaxName is the longest name, in bytes, below which objects are flattened.
// It bounds what the names of one hostile line can take.
const MaxName = 256

const (
	defaultDepth = 64
	// maxNesting is encoding/json's bound; deeper text is refused.
	maxNesting = 10_000
)

// Member is one scalar of an object.
type Member struct {
	Name  *Name
	Kind  event.Kind
	Value string // as event.Field has it
}

// Decoder reads objects. It keeps memory of names and scratch: use one per
// goroutine. The zero value only validates; use New.
type Decoder struct {
	opts    Options
	text    string
	members []Member
	names   names
	arena   []byte // its length is what is handed out
	nul     bool
	err     *SyntaxError
}

// New returns a Decoder.
func New(opts Options) *Decoder {
	if opts.MaxDepth <= 0 {
		opts.MaxDepth = defaultDepth
	}
	d := &Decoder{opts: opts}
	d.names.forget()
	return d
}

// SyntaxError says where a text is not one JSON object, and why.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("offset %d: %s", e.Offset, e.Reason) }

// bom opens texts that Windows tools write.
const bom = "\ufeff"

// Event appends the fields of the object that text holds to ev.Fields; on an
// error, a *SyntaxError, it leaves ev as it was. The values point into text and
// into the decoder's arena: see Rewind.
func (d *Decoder) Event(text string, ev *event.Event) error {
	members, err := d.Parse(text)
	if err != nil {
		return err
	}
	fields := ev.Fields
	for i := range members {
		m := &members[i]
		if !m.Name.numbered {
			d.number(m.Name)
		}
		fields = append(fields, event.Field{ID: m.Name.id, Kind: m.Kind, Value: m.Value})
	}
	ev.Fields = fields
	return nil
}

// number finds the number of a name once.
func (d *Decoder) number(n *Name) {
	if d.opts.Intern {
		n.id, _ = d.opts.Registry.Intern(n.Text)
	} else {
		n.id, _ = d.opts.Registry.Lookup(n.Text)
	}
	n.numbered = true
}

// Parse returns the scalars of the object that text holds, in their order. The
// slice is valid until the next call; the values are as those of Event. The
// error is a *SyntaxError.
func (d *Decoder) Parse(text string) ([]Member, error) {
	if d.names.full() {
		d.names.forget()
	}
	d.members = d.members[:0]
	d.nul = false
	if err := d.document(text, d.names.root); err != nil {
		return nil, err
	}
	return d.members, nil
}

// Valid tells whether text is exactly one JSON object: nil, or a *SyntaxError.
func Valid(text []byte) error {
	d := Decoder{}
	return d.document(view(text), nil)
}

// view is bytes as a string, as long as they do not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// NUL tells whether the object last parsed held an escaped NUL.
func (d *Decoder) NUL() bool { return d.nul }

// Rewind says that no value handed out so far is used any more, so that their
// memory serves again. Without it a Decoder takes a new block of memory when one
// is full and leaves the old one to the garbage collector.
func (d *Decoder) Rewind() { d.arena = d.arena[:0] }

// document reads text as one object, of whose members root is the parent. A
// nil root stands for "validate only", here and below.
func (d *Decoder) document(text string, root *Name) error {
	d.text, d.err = text, nil
	i := 0
	if strings.HasPrefix(text, bom) {
		i = len(bom)
	}
	i = skip(text, i)
	switch {
	case i >= len(text):
		d.fail(i, "there is no JSON object, only blanks")
	case text[i] != '{':
		d.fail(i, fmt.Sprintf("a JSON object was expected, not %s", found(text[i:])))
	default:
		if i = d.object(i, root, 1); i >= 0 {
			if i = skip(text, i); i < len(text) {
				d.fail(i, fmt.Sprintf("the object is over, but %s follows", found(text[i:])))
			}
		}
	}
	d.text = ""
	if d.err != nil {
		return d.err
	}
	return nil
}

// fail notes what is wrong and returns the offset that means failure.
func (d *Decoder) fail(at int, reason string) int {
	d.err = &SyntaxError{Offset: at, Reason: reason}
	return -1
}

// found describes the next character of a text for an error.
func found(rest string) string {
	if rest == "" {
		return "the end"
	}
	for _, r := range rest {
		return fmt.Sprintf("%q", r)
	}
	return ""
}
