package scenario

import (
	"bytes"
	_ "embed" // of what is shipped
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed shipped.yml
var shippedFile []byte

var shipped = sync.OnceValue(func() []Scenario {
	list, err := Parse(shippedFile)
	if err != nil {
		panic(err) // a test reads it
	}
	return list
})

// Shipped are the scenarios that every suite has, in their order.
func Shipped() []Scenario { return append([]Scenario(nil), shipped()...) }

// MaxFile bounds a file of scenarios, in bytes.
const MaxFile = 1 << 20

// Parse reads a file of scenarios, a YAML document each. The error names the
// scenario and the field that is wrong.
func Parse(data []byte) ([]Scenario, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(data), MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var out []Scenario
	for n := 1; ; n++ {
		var s Scenario
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: document %d: %s", ErrInvalid, n, strings.TrimPrefix(strings.Join(strings.Fields(err.Error()), " "), "yaml: "))
		}
		if len(out) >= MaxScenarios {
			return nil, fmt.Errorf("%w: more than %d scenarios in one file", ErrInvalid, MaxScenarios)
		}
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("%w: document %d (%.40q): %s", ErrInvalid, n, s.Name.ZH+s.Name.EN, strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
		}
		out = append(out, s)
	}
}

// Format writes scenarios as Parse reads them.
func Format(list []Scenario) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil // an encoder that wrote nothing cannot be closed
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	for i := range list {
		if err := enc.Encode(&list[i]); err != nil {
			return nil, fmt.Errorf("scenario: write %s: %w", list[i].ID, err)
		}
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return b.Bytes(), nil
}
