package main

import (
	"fmt"
	"io"
	"time"

	"icewatch/detections/rulecli"
	"icewatch/detections/ruleschema"
)

type rulesCmd struct {
	Lint     rulesLintCmd     `cmd:"" help:"Check rules and print path:line: reason for each fault."`
	Test     rulesTestCmd     `cmd:"" help:"Run the tests beside the rules."`
	Schema   rulesSchemaCmd   `cmd:"" help:"Print the JSON schema of a kind of content, for editors."`
	Match    rulesMatchCmd    `cmd:"" help:"Match rules against a file of events, one JSON object a line."`
	Backtest rulesBacktestCmd `cmd:"" help:"Judge what came in the past: alerts a day, samples, incidents joined, cost."`

	Coverage rulesCoverageCmd `cmd:"" help:"Tell what rules cover of ATT&CK by tactic, what feeds them, and which get no data."`
	Init     rulesInitCmd     `cmd:"" help:"Lay out a repository of rules: an example with tests, a hook for git, files for CI."`

	Diff      rulesDiffCmd      `cmd:"" help:"Compare rules here with those of a server, by id and by what they mean."`
	Push      rulesPushCmd      `cmd:"" help:"Propose the rules here to a server; somebody else approves."`
	Pull      rulesPullCmd      `cmd:"" help:"Write a server's rules into a folder."`
	Proposals rulesProposalsCmd `cmd:"" help:"List proposals of rules."`
	Show      rulesShowCmd      `cmd:"" help:"Show a proposal: what it changes, and the hits of what is in test."`
	Stage     rulesStageCmd     `cmd:"" help:"Put a proposal's rules in test, or take them out of it."`
	Approve   rulesApproveCmd   `cmd:"" help:"Approve a proposal that somebody else filed."`
	Reject    rulesRejectCmd    `cmd:"" help:"Reject a proposal that somebody else filed."`
	Withdraw  rulesWithdrawCmd  `cmd:"" help:"Take one's own proposal back."`
	Rollback  rulesRollbackCmd  `cmd:"" help:"Take an approved proposal back: each rule is again as it was before."`
	History   rulesHistoryCmd   `cmd:"" help:"List what happened to a rule."`
}

type rulesLintCmd struct {
	Rules  []string `arg:"" optional:"" help:"Folders or files of rules. Default: the built-in rules." type:"path"`
	Format string   `help:"How to print findings: ${enum}." enum:"text,json,sarif" default:"text"`
	Strict bool     `help:"Make the demands on our own content, too: metadata, mapping to ATT&CK and GB/Z 20986, distinct models. A folder's rules.yml with strict: true says so for itself."`
}

// Run lints; the exit code is 1 where there are findings.
func (l *rulesLintCmd) Run(a *app) error {
	n, err := rulecli.Lint(a.stdout, a.stderr, l.Rules, rulecli.LintOptions{Format: l.Format, Strict: l.Strict})
	if err == nil && n > 0 {
		err = findings(n)
	}
	return err
}

type rulesTestCmd struct {
	Rules    []string `arg:"" optional:"" help:"Folders or files of rules. Default: the built-in rules." type:"path"`
	Near     bool     `help:"Demand of each rule a negative case that differs from a positive one in one field."`
	Mutate   bool     `help:"Drop and negate each item of each rule's condition in turn and demand that a test of the rule fails."`
	Least    float64  `help:"With --mutate: how many of the mutants have to be killed, in percent." default:"95" placeholder:"PERCENT"`
	Distinct bool     `help:"Demand that no two rules are one model with other values."`
	JSON     bool     `help:"Print the numbers as one line of JSON at the end." name:"json"`
}

// Run tests; the exit code is 1 where a test fails.
func (t *rulesTestCmd) Run(a *app) error {
	n, err := rulecli.Test(a.stdout, t.Rules, rulecli.Gates{Near: t.Near, Mutate: t.Mutate, Least: t.Least, Distinct: t.Distinct, JSON: t.JSON})
	if err == nil && n > 0 {
		err = findings(n)
	}
	return err
}

type rulesMatchCmd struct {
	Rules    []string `help:"Folder or file of rules; can be given again." required:"" type:"path" placeholder:"DIR"`
	Events   string   `help:"File of events, one JSON object a line, .gz allowed; - is standard input." required:"" placeholder:"FILE"`
	Routing  string   `help:"Let a rule's logsource decide which events it sees: ${enum}. Off matches the names in events as they stand." enum:"on,off" default:"off"`
	Pipeline []string `help:"How field names are brought to the events: none leaves them as rules write them, ecs applies the suite's own pipelines, FILE one of pySigma's format; can be given again." default:"none" placeholder:"none|ecs|FILE"`
	Threads  int      `help:"Matchers that share the events. The output is the same for any number." default:"1" placeholder:"N"`

	Bench     bool           `help:"Measure: read all events first, then loop over them and print how many a second are matched, decoded before and not."`
	BenchTime *time.Duration `help:"How long to loop for each figure of --bench. Default: 5s." placeholder:"DURATION"`
}

// Help is shown below the flags.
func (rulesMatchCmd) Help() string {
	return `Standard output: one line a match, {"event":<0-based line>,"rule":"<id>","title":"…"}.
Standard error: a summary of events, rules loaded, rules rejected with reasons, and seconds. With --bench standard output is the figures, and each loop must find what a plain run finds.`
}

// Run matches.
func (m *rulesMatchCmd) Run(a *app) error {
	opts := rulecli.MatchOptions{Rules: m.Rules, Events: m.Events, Routing: m.Routing == "on", Pipelines: m.Pipeline, Threads: m.Threads}
	switch {
	case m.Threads < 1 || m.Threads > rulecli.MaxThreads:
		return usageError(fmt.Sprintf("--threads=%d: a number from 1 to %d was expected", m.Threads, rulecli.MaxThreads))
	case m.BenchTime != nil && !m.Bench:
		return usageError("--bench-time goes with --bench")
	case m.BenchTime != nil && *m.BenchTime <= 0:
		return usageError(fmt.Sprintf("--bench-time=%v: a duration above 0 was expected, such as 5s", *m.BenchTime))
	case m.BenchTime != nil:
		opts.Bench = *m.BenchTime
	case m.Bench:
		opts.Bench = 5 * time.Second
	}
	return rulecli.Match(a.stdout, a.stderr, opts)
}

// readAll reads a whole input that may not be longer than limit bytes.
func readAll(r io.Reader, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is longer than %d MiB: split it", name, limit>>20)
	}
	return data, nil
}

type rulesSchemaCmd struct {
	Kind string `arg:"" help:"sigma, correlation, filter, suppression, test, policy-meta or parser-pack."`
}

// Run prints the schema.
func (s *rulesSchemaCmd) Run(a *app) error {
	data, err := ruleschema.Text(s.Kind)
	if err != nil {
		return usageError(err.Error())
	}
	_, err = a.stdout.Write(data)
	return err
}

type rulesInitCmd struct {
	Dir string `arg:"" help:"Folder; it is made where it is not there." type:"path"`
}

// Run lays the repository out.
func (i *rulesInitCmd) Run(a *app) error { return rulecli.Init(a.stdout, i.Dir) }
