package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"

	"icewatch/soc/audit"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Verify the audit log, or an export of it: hashes, signatures, checkpoints."`
	List   auditListCmd   `cmd:"" help:"List who did what, newest first."`
	Track  auditTrackCmd  `cmd:"" help:"Replay what one user did, session by session."`
	Export auditExportCmd `cmd:"" help:"Print a stretch of the audit log with its signatures, one JSON object a line."`
}

type auditVerifyCmd struct {
	File string `help:"Verify this export in place of the server's log, without asking any server; - is standard input." placeholder:"FILE"`
	Key  string `help:"Id of the key that must have signed the export, as the server's own verification shows it." placeholder:"ID"`
}

// Help is shown below the flags.
func (auditVerifyCmd) Help() string {
	return `The first record that is not what it was is named with the reason, and the exit code is 1.
An export proves that nothing in it was changed since a key signed it; whose key that is, it cannot prove:
note the id that the server shows once, and give it with --key.

Examples:
  icectl audit verify
  icectl audit export --since 30d > audit.ndjson && icectl audit verify --file audit.ndjson --key 4a6df3be03756a40`
}

// Run verifies and prints what was found.
func (v *auditVerifyCmd) Run(a *app) error {
	var report audit.Report
	what := v.File
	if v.File != "" {
		in := a.stdin
		if v.File != "-" {
			f, err := os.Open(v.File)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		var err error
		if report, err = audit.VerifyExport(in, v.Key); err != nil {
			return fmt.Errorf("%s: %w", v.File, err)
		}
	} else {
		if v.Key != "" {
			return usageError("--key is for an export: give --file too")
		}
		c, err := a.connect()
		if err != nil {
			return err
		}
		what = c.Where()
		// As a stream of one line: walking a long log takes more time than other
		// answers are given.
		err = c.Stream(a.ctx, "/api/v1/audit/verify", nil, func(line []byte) error { return json.Unmarshal(line, &report) })
		if err != nil {
			return err
		}
	}
	if err := v.print(a, what, &report); err != nil {
		return err
	}
	if !report.OK {
		return findings(len(report.Breaks))
	}
	return nil
}

func (v *auditVerifyCmd) print(a *app, what string, r *audit.Report) error {
	if a.cli.Output == "json" {
		return a.printJSON(r)
	}
	if !r.OK {
		fmt.Fprintf(a.stdout, "%s: BROKEN\n", what)
		for i := range r.Breaks {
			fmt.Fprintf(a.stdout, "  %s\n", plain(r.Breaks[i].Error()))
		}
		_, err := fmt.Fprintf(a.stdout, "  %d records before it hold, up to record %d\n", r.Records, r.LastSeq)
		return err
	}
	keys := make([]string, len(r.Keys))
	for i := range r.Keys {
		keys[i] = r.Keys[i].ID
	}
	_, err := fmt.Fprintf(a.stdout, "%s: whole\n  records      %d, from %d to %d\n  head         %s\n  checkpoints  %d\n  keys         %s\n",
		what, r.Records, r.FirstSeq, r.LastSeq, or(r.Head), r.Checkpoints, strings.Join(keys, " "))
	return err
}

// auditFilter selects records.
type auditFilter struct {
	Since   string `help:"How far back from now (or from --end), e.g. 24h or 30d." placeholder:"DURATION"`
	Start   string `help:"From this time on." placeholder:"TIME"`
	End     string `help:"Up to before this time." placeholder:"TIME"`
	Kind    string `help:"Only this kind: ${enum}." enum:"sign-in,sign-out,change,read,access,system," default:""`
	Action  string `help:"Only this action, e.g. create-user." placeholder:"ACTION"`
	Object  string `help:"Only objects that hold this text." placeholder:"TEXT"`
	Result  string `help:"Only this result: ok, failed or denied." enum:"ok,failed,denied," default:""`
	Address string `help:"Only from this address." placeholder:"ADDRESS"`
	Session string `help:"Only of this session." placeholder:"ID"`
	Q       string `help:"Only records that hold all these words." placeholder:"WORDS"`
}

func (f *auditFilter) query(a *app) (url.Values, error) {
	q := url.Values{}
	if f.Since+f.Start+f.End != "" {
		if err := timeRange(q, f.Since, f.Start, f.End, a.now()); err != nil {
			return nil, err
		}
	}
	for name, value := range map[string]string{"kind": f.Kind, "action": f.Action, "object": f.Object, "result": f.Result, "address": f.Address, "session": f.Session, "q": f.Q} {
		set(q, name, value)
	}
	return q, nil
}

type auditListCmd struct {
	auditFilter `embed:""`
	Actor       string `help:"Only by this user, or token:NAME." placeholder:"NAME"`
	Limit       int    `help:"At most this many; 0 is all." default:"50"`
}

// Run lists records.
func (l *auditListCmd) Run(a *app) error {
	q, err := l.query(a)
	if err != nil {
		return err
	}
	set(q, "actor", l.Actor)
	return a.list("/api/v1/audit", q, l.Limit, []string{"SEQ", "TIME", "ACTOR", "ADDRESS", "ACTION", "OBJECT", "RESULT", "DETAIL"}, func(raw json.RawMessage) ([]string, error) {
		var r audit.Record
		err := json.Unmarshal(raw, &r)
		return []string{strconv.FormatInt(r.Seq, 10), when(r.Time), or(r.Actor), or(r.Address), r.Action, or(r.Object), r.Result, or(strings.TrimSpace(r.Detail + changesOf(r.Changes)))}, err
	})
}

type auditTrackCmd struct {
	User        string `arg:"" help:"User name, or token:NAME."`
	auditFilter `embed:""`
}

// Run replays a user's steps; without a time those of the last day.
func (t *auditTrackCmd) Run(a *app) error {
	q, err := t.query(a)
	if err != nil {
		return err
	}
	q.Set("user", t.User)
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw []byte
	if err := c.Get(a.ctx, "/api/v1/audit/track", q, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var track audit.Track
	if err := json.Unmarshal(raw, &track); err != nil {
		return fmt.Errorf("the track is not what was expected: %w", err)
	}
	for _, v := range track.Sessions {
		fmt.Fprintf(a.stdout, "%s to %s  %s  from %s  by %s  %d changes, %d reads, %d denied, %d failed\n", when(v.Start), when(v.End), or(v.Session),
			plain(strings.Join(append([]string{v.Address}, v.Others...), " ")), or(v.Channel), v.Changes, v.Reads, v.Denied, v.Failed)
		steps := table{head: []string{"  +SECONDS", "STEP", "ACTION", "OBJECT", "DETAIL"}}
		for _, s := range v.Steps {
			steps.add("  +"+strconv.FormatFloat(s.Gap, 'f', 1, 64), s.Kind, s.Record.Action, or(s.Record.Object), or(strings.TrimSpace(s.Record.Detail+changesOf(s.Record.Changes))))
		}
		if err := steps.write(a.stdout); err != nil {
			return err
		}
	}
	if track.Truncated {
		fmt.Fprintf(a.stderr, "icectl: only the first steps of %d are shown: narrow the time\n", track.Total)
	}
	if track.Total == 0 {
		fmt.Fprintln(a.stderr, "Nothing matches.")
	}
	return nil
}

// changesOf writes changes as "field: before → after".
func changesOf(raw json.RawMessage) string {
	var list []audit.Change
	if len(raw) == 0 || json.Unmarshal(raw, &list) != nil {
		return ""
	}
	var b strings.Builder
	for _, c := range list {
		fmt.Fprintf(&b, " %s: %s → %s;", c.Field, or(string(c.Before)), or(string(c.After)))
	}
	return strings.TrimSuffix(b.String(), ";")
}

type auditExportCmd struct {
	Since string `help:"How far back from now (or from --end), e.g. 30d; all without." placeholder:"DURATION"`
	Start string `help:"From this time on." placeholder:"TIME"`
	End   string `help:"Up to before this time." placeholder:"TIME"`
}

// Run writes the export to standard output.
func (x *auditExportCmd) Run(a *app) error {
	f := auditFilter{Since: x.Since, Start: x.Start, End: x.End}
	q, err := f.query(a)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	// Byte for byte: the signed end covers the lines as they are.
	return c.Stream(a.ctx, "/api/v1/audit/export", q, func(line []byte) error {
		_, err := a.stdout.Write(append(line, '\n'))
		return err
	})
}
