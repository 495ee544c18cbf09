// Package check has the checks for weaknesses that need more than a template: of
// services without a password, of TLS and certificates, and of web pages whose
// parameters reach a database or come back as script. A check says what it saw,
// never what it supposes, and in safe mode sends nothing that changes anything.
package check

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/collectors/scanner/scope"
	"icewatch/collectors/scanner/wire"
)

// Meta is what people are told of a check.
type Meta struct {
	ID         string
	Title      string
	TitleZH    string
	Severity   string
	CWE        string
	Tags       []string
	Item       string // of MLPS-3
	Solution   string
	SolutionZH string
	Unsafe     bool // may disturb or change something: only in runs that say so
}

// Weakness is a weakness that the check found.
func (m *Meta) Weakness(t Target, evidence string) wire.Weakness {
	w := wire.Weakness{Check: m.ID, Engine: "icewatch", Title: m.Title, TitleZH: m.TitleZH, Severity: m.Severity, Tags: slices.Clone(m.Tags), Item: m.Item,
		Address: t.Address.Unmap().String(), Host: t.Host, Port: t.Service.Port, Protocol: t.Service.Protocol, Service: t.Service.Name,
		Evidence: Bound(evidence), Solution: m.Solution, SolutionZH: m.SolutionZH}
	if m.CWE != "" {
		w.CWE = []string{m.CWE}
	}
	return w
}

// Bound cuts evidence to what a result holds, and makes it text.
func Bound(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > wire.MaxEvidence {
		s = strings.ToValidUTF8(s[:wire.MaxEvidence-3], "") + "…"
	}
	return s
}

// Target is a service to look at.
type Target struct {
	Address netip.Addr
	Service *wire.Service
	Host    string // the name it was a target by; "" none
	Path    string // where it is to begin; "/" where it is empty
}

// Dial is what a socket to the target dials.
func (t Target) Dial() string {
	return net.JoinHostPort(t.Address.Unmap().String(), strconv.Itoa(t.Service.Port))
}

// URL is the target's first page.
func (t Target) URL() string {
	host := t.Host
	if host == "" {
		host = t.Address.Unmap().String()
	}
	scheme := "http"
	if t.Service.TLS != nil {
		scheme = "https"
	}
	path := t.Path
	if path == "" {
		path = "/"
	}
	if port := t.Service.Port; port != 80 && scheme == "http" || port != 443 && scheme == "https" {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	} else if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host + path
}

// Env is what checks work with.
type Env struct {
	Dialer *scope.Dialer
	Unsafe bool
	Answer time.Duration // how long an answer is waited for; 3 s where it is 0
	Now    func() time.Time
	Select Selection
	Found  func(wire.Weakness)
	Note   func(wire.Note)
}

func (e *Env) answer() time.Duration {
	if e.Answer > 0 {
		return e.Answer
	}
	return 3 * time.Second
}

// ask opens a connection, sends and reads one answer.
func (e *Env) ask(ctx context.Context, t Target, send []byte, n int) ([]byte, error) {
	c, err := e.Dialer.DialBy(ctx, "check", "tcp", t.Dial())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if len(send) > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(e.answer()))
		if _, err := c.Write(send); err != nil {
			return nil, err
		}
	}
	return scope.Read(c, n, e.answer()), nil
}

// askWhole is ask for an answer that comes in parts: it reads until the answer is whole,
// n bytes are there, or nothing more comes.
func (e *Env) askWhole(ctx context.Context, t Target, send []byte, n int, whole func([]byte) bool) ([]byte, error) {
	c, err := e.Dialer.DialBy(ctx, "check", "tcp", t.Dial())
	if err != nil {
		return nil, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * e.answer()))
	if _, err := c.Write(send); err != nil {
		return nil, err
	}
	out, part := []byte{}, make([]byte, 4096)
	for len(out) < n && !whole(out) {
		got, err := c.Read(part)
		out = append(out, part[:got]...)
		if err != nil {
			break
		}
	}
	return out, nil
}

// Selection is which checks a run wants: ids and tags, "-" before one leaves it out.
type Selection []string

// Takes tells whether a check is wanted. Without names to take, all are that none leaves out.
func (s Selection) Takes(id string, tags []string) bool {
	take, names := false, false
	for _, want := range s {
		name, without := strings.CutPrefix(want, "-")
		hit := strings.EqualFold(name, id) || slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, name) })
		if without {
			if hit {
				return false
			}
			continue
		}
		names = true
		take = take || hit
	}
	return take || !names
}

func (e *Env) wants(m *Meta) bool {
	return (e.Unsafe || !m.Unsafe) && e.Select.Takes(m.ID, m.Tags)
}

// Service makes every check that fits a service.
func (e *Env) Service(ctx context.Context, t Target) {
	e.open(ctx, t)
	if t.Service.TLS != nil {
		e.certificate(ctx, t)
	}
	if t.Service.HTTP != nil || t.Service.Name == "http" || t.Service.Name == "https" {
		e.Web(ctx, t)
	}
}

// All are the checks of this package, for lists.
func All() []*Meta {
	return slices.Concat(openChecks, tlsChecks, webChecks)
}

func (e *Env) found(w wire.Weakness) {
	if e.Found != nil {
		e.Found(w)
	}
}

func (e *Env) note(level, target, format string, args ...any) {
	if e.Note != nil {
		e.Note(wire.Note{Level: level, Target: target, Text: fmt.Sprintf(format, args...)})
	}
}

// pins are the addresses that the target's name stands for.
func (e *Env) pins(t Target) []netip.Addr { return []netip.Addr{t.Address.Unmap()} }
