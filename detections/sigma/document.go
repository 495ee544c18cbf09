package sigma

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Document reads a file beside rules that holds one YAML document (kind says
// which, for errors: a pipeline, a table) and returns its root. It never
// panics, and refuses documents that unfold without end through aliases. The
// error is an *Error with the line.
func Document(data []byte, kind string) (root *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			root, err = nil, panicked(p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errorf(1, "the file holds no %s", kind)
		}
		return nil, yamlError(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, errorf(more.Line, "a file of a %s holds one document; put the other into a file of its own", kind)
	} else if !errors.Is(err, io.EOF) {
		return nil, yamlError(err)
	}
	budget := maxNodes
	if err := bounded(doc.Content[0], &budget, 0); err != nil {
		return nil, err
	}
	return doc.Content[0], nil
}

func bounded(n *yaml.Node, budget *int, depth int) *Error {
	if *budget--; *budget < 0 || depth > 100 {
		return errorf(n.Line, "the document is too large or too deep")
	}
	n = resolve(n)
	for _, c := range n.Content {
		if err := bounded(c, budget, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// panicked is the error for what the YAML library panics on: some malformed
// inputs make it, and a file must never take the suite down.
func panicked(p any) *Error { return errorf(0, "the YAML parser failed: %v", p) }

var yamlLine = regexp.MustCompile(`line (\d+): `)

func yamlError(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = strings.Replace(text, m[0], "", 1)
	}
	return errorf(line, "not valid YAML: %s", text)
}
