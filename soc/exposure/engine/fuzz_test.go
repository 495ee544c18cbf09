package engine

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net"
	"testing"
)

// answering is a connection whose other side says what it says.
type answering struct {
	net.Conn
	from *bytes.Reader
}

func (a answering) Read(p []byte) (int, error)  { return a.from.Read(p) }
func (a answering) Write(p []byte) (int, error) { return len(p), nil }

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`<get_tasks_response status="200" status_text="OK"><task id="1"><name>x</name><status>Done</status><last_report><report id="r"/></last_report></task></get_tasks_response>`,
		`<get_tasks_response status="400" status_text="no"/>`, `<x/>`, `</get_tasks_response>`, `<get_tasks_response status="200">`, `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x "y">]><get_tasks_response status="200">&x;</get_tasks_response>`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &session{conn: answering{from: bytes.NewReader(data)}}
		list, err := s.tasks("")
		if err != nil {
			if !errors.Is(err, ErrAway) {
				t.Fatalf("%v is no error of the engine", err)
			}
			return
		}
		var whole struct{ XMLName xml.Name }
		if err := xml.Unmarshal(data, &whole); err != nil && len(list) > 0 {
			t.Fatalf("%d tasks of what is no XML: %v", len(list), err)
		}
	})
}
