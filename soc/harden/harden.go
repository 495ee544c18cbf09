// Package harden looks at an installation as an attacker would and names what
// stands open: how the suite listens, who can read its keys and data, what its
// administrators have decided, and how the machine around it is kept. Each
// finding says what, where and how to mend it. It changes nothing, needs no
// running suite and reads the state of one that runs without disturbing it.
//
// What is looked for follows GB/T 22239-2019 level 3 (MLPS), the CIS benchmarks
// of Linux distributions and docs/hardening.md.
package harden

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"icewatch/soc/config"
)

// Severity is how bad a finding is.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "critical" // an attacker within reach needs nothing more
	High     Severity = "high"     // one mistake or leak away from it
	Medium   Severity = "medium"   // a defence that is missing
	Low      Severity = "low"      // good practice
)

var ranks = map[Severity]int{Critical: 4, High: 3, Medium: 2, Low: 1}

// AtLeast tells whether s is as bad as the other or worse.
func (s Severity) AtLeast(other Severity) bool { return ranks[s] >= ranks[other] }

// Finding is one thing that stands open.
type Finding struct {
	ID       string   `json:"id"` // stays the same over releases
	Severity Severity `json:"severity"`
	What     string   `json:"what"`
	Where    string   `json:"where"` // an option, a file, a port or a setting
	Mend     string   `json:"mend"`
}

// Options say what to look at.
type Options struct {
	Config     *config.Config
	ConfigFile string // "" where there is none
	Root       string // "/"; tests lay out another
}

// report collects findings.
type report struct {
	Options
	findings []Finding
}

func (r *report) add(s Severity, id, where, mend, what string, args ...any) {
	r.findings = append(r.findings, Finding{ID: id, Severity: s, What: fmt.Sprintf(what, args...), Where: where, Mend: mend})
}

// Check looks at everything and returns what it found, worst first. What
// cannot be looked at is a finding of its own: nothing counts as good unseen.
func Check(ctx context.Context, o Options) []Finding {
	if o.Root == "" {
		o.Root = "/"
	}
	r := &report{Options: o}
	r.listeners()
	r.secrets()
	r.files()
	r.decisions(ctx)
	r.kernel()
	r.ports()
	r.remoteLogin()
	r.clock()
	slices.SortFunc(r.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(ranks[b.Severity], ranks[a.Severity]), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Where, b.Where))
	})
	return r.findings
}

// Write prints findings for people.
func Write(w io.Writer, findings []Finding) error {
	var b strings.Builder
	counts := map[Severity]int{}
	for _, f := range findings {
		counts[f.Severity]++
		fmt.Fprintf(&b, "%-8s  %s\n          where: %s\n          mend:  %s  [%s]\n", strings.ToUpper(string(f.Severity)), f.What, f.Where, f.Mend, f.ID)
	}
	fmt.Fprintf(&b, "%d findings: %d critical, %d high, %d medium, %d low\n", len(findings), counts[Critical], counts[High], counts[Medium], counts[Low])
	_, err := io.WriteString(w, b.String())
	return err
}

// read returns a small file of the machine, trimmed, or "".
func (r *report) read(path string) string {
	data, err := os.ReadFile(r.path(path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

func (r *report) path(p string) string { return strings.TrimSuffix(r.Root, "/") + p }
