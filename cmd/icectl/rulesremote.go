package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/detections/ruleset"
	"icewatch/detections/sigma"
	"icewatch/soc/client"
)

const proposalsPath = "/api/v1/rule-proposals"

// ruleFile is a file of rules on this machine.
type ruleFile struct {
	path string
	ids  []string
	data []byte
}

// ruleFiles reads the Sigma rules, correlations and filters of folders and
// files, as the server would read them. What is no rule is left out.
func ruleFiles(names []string) ([]ruleFile, error) {
	var out []ruleFile
	add := func(name string, data []byte) {
		f := ruleFile{path: filepath.ToSlash(name), data: data}
		rules, _ := sigma.Parse(data, &sigma.Options{KeepPlaceholders: true})
		for _, r := range rules {
			f.ids = append(f.ids, r.ID)
		}
		out = append(out, f)
	}
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			add(filepath.Base(name), data)
			continue
		}
		b := ruleset.Load([]ruleset.Source{{Name: filepath.Base(name), FS: os.DirFS(name)}})
		if len(b.Problems) > 0 {
			return nil, fmt.Errorf("%s: %s", name, b.Problems[0])
		}
		for _, f := range b.Files {
			if ruleset.IsRule(f.Path) {
				add(f.Path, f.Data)
			}
		}
		if err := suppressionsBeside(name, add); err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there are no rules in %s", strings.Join(names, ", "))
	}
	return out, nil
}

// suppressionsBeside reads the suppressions of a repository, which lie in a folder of
// that name beside the rules.
func suppressionsBeside(root string, add func(name string, data []byte)) error {
	folder := os.DirFS(root)
	err := fs.WalkDir(folder, suppressionsFolder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yml" && path.Ext(name) != ".yaml" {
			return err
		}
		data, err := fs.ReadFile(folder, name)
		if err == nil {
			add(name, data)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// suppressionsFolder is where a repository has its suppressions.
const suppressionsFolder = "suppressions"

// zipped packs the files.
func zipped(files []ruleFile) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.path)
		if err == nil {
			_, err = w.Write(f.data)
		}
		if err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.path, err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack the rules: %w", err)
	}
	return b.Bytes(), nil
}

// ruleChange is a change of a proposal as the server shows it.
type ruleChange struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Action   string   `json:"action"`
	Fields   []string `json:"fields"`
	Revision int      `json:"revision"`
	Before   string   `json:"before"`
	After    string   `json:"after"`
	Hits     *uint64  `json:"hits"`
}

type ruleProposal struct {
	ID        int          `json:"id"`
	State     string       `json:"state"`
	Stage     string       `json:"stage"`
	Requester string       `json:"requester"`
	Comment   string       `json:"comment"`
	CreatedAt time.Time    `json:"created_at"`
	Decider   string       `json:"decider"`
	Decision  string       `json:"decision"`
	RolledBy  string       `json:"rolled_back_by"`
	Created   int          `json:"created"`
	Changed   int          `json:"changed"`
	Deleted   int          `json:"deleted"`
	Changes   []ruleChange `json:"changes"`
}

type ruleProposed struct {
	Proposal *ruleProposal `json:"proposal"`
	Changes  []ruleChange  `json:"changes"`
	Report   struct {
		Same    int `json:"same"`
		Invalid int `json:"invalid"`
		Files   []struct {
			File   string `json:"file"`
			Result string `json:"result"`
			Line   int    `json:"line"`
			Reason string `json:"reason"`
		} `json:"files"`
	} `json:"report"`
}

// propose sends the files; with dry it only compares. It prints what differs.
func (a *app) propose(names []string, message string, prune, dry bool) error {
	files, err := ruleFiles(names)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{"name": {"rules.zip"}, "dry_run": {strconv.FormatBool(dry)}}
	if message != "" {
		q.Set("comment", message)
	}
	if prune {
		gone, err := a.notAmong(c, files)
		if err != nil {
			return err
		}
		q["delete"] = gone
	}
	data, err := zipped(files)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Send(a.ctx, http.MethodPost, proposalsPath, q, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(data), &raw); err != nil {
		return err
	}
	var p ruleProposed
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("the server's answer is not what was expected: %w", err)
	}
	if a.cli.Output == "json" {
		err = a.printLine(raw)
	} else {
		for _, f := range p.Report.Files {
			if f.Result == "invalid" {
				fmt.Fprintf(a.stdout, "%s:%d: %s\n", plain(f.File), f.Line, plain(f.Reason))
			}
		}
		for _, x := range p.Changes {
			a.printChange(x)
		}
		fmt.Fprintf(a.stdout, "%d differ, %d are the same, %d are invalid\n", len(p.Changes), p.Report.Same, p.Report.Invalid)
		if p.Proposal != nil {
			fmt.Fprintf(a.stdout, "proposal %d is filed: somebody else approves it (icectl rules approve %d)\n", p.Proposal.ID, p.Proposal.ID)
		}
	}
	if err == nil && p.Report.Invalid > 0 {
		err = findings(p.Report.Invalid)
	}
	return err
}

func (a *app) printChange(x ruleChange) {
	sign := map[string]string{"created": "+", "changed": "~", "deleted": "-"}[x.Action]
	fmt.Fprintf(a.stdout, "%s %s  %s", cmp.Or(sign, "?"), plain(x.ID), plain(x.Title))
	if len(x.Fields) > 0 {
		fmt.Fprintf(a.stdout, "  (%s)", plain(strings.Join(x.Fields, ", ")))
	}
	if x.Hits != nil {
		fmt.Fprintf(a.stdout, "  %d hits in test", *x.Hits)
	}
	fmt.Fprintln(a.stdout)
}

// notAmong are the own rules of the server that the files do not hold.
func (a *app) notAmong(c *client.Client, files []ruleFile) ([]string, error) {
	here := map[string]bool{}
	for _, f := range files {
		for _, id := range f.ids {
			here[id] = true
		}
	}
	items, err := c.Raw(a.ctx, "/api/v1/rules", nil, 0)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, raw := range items {
		var r struct {
			ID, Origin, Main, Stage string
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, fmt.Errorf("the server's rules are not what was expected: %w", err)
		}
		if r.Origin == "own" && r.Stage == "" && r.Main != "" && !here[r.Main] && !slices.Contains(out, r.Main) {
			out = append(out, r.Main)
		}
	}
	return out, nil
}

type rulesDiffCmd struct {
	Rules []string `arg:"" help:"Folders or files of rules." type:"path"`
	Prune bool     `help:"Also name the server's own rules that are not here."`
}

// Run compares; the exit code is 1 where a file is invalid.
func (d *rulesDiffCmd) Run(a *app) error { return a.propose(d.Rules, "", d.Prune, true) }

type rulesPushCmd struct {
	Rules   []string `arg:"" help:"Folders or files of rules." type:"path"`
	Message string   `help:"Why, for who approves." short:"m" required:"" placeholder:"TEXT"`
	Prune   bool     `help:"Propose to delete the server's own rules that are not here."`
}

// Run files a proposal; the exit code is 1 where a file is invalid.
func (p *rulesPushCmd) Run(a *app) error { return a.propose(p.Rules, p.Message, p.Prune, false) }

type rulesPullCmd struct {
	Dir    string `arg:"" help:"Folder to write to. A rule that one of its files holds is written there." type:"path"`
	Origin string `help:"Which rules: ${enum}." enum:"own,folder,builtin,all" default:"own"`
}

// Run writes the server's rules into the folder.
func (p *rulesPullCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	q := url.Values{}
	if p.Origin != "all" {
		q.Set("origin", p.Origin)
	}
	resp, err := c.Do(a.ctx, http.MethodGet, "/api/v1/rules/export", q, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := readAll(resp.Body, "the server's rules", maxImport)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		pr := &client.Problem{}
		_ = json.Unmarshal(data, pr) // what is no problem stays without a detail
		pr.Status, pr.Title = resp.StatusCode, cmp.Or(pr.Title, http.StatusText(resp.StatusCode))
		return pr
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("the server's rules: %w", err)
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return err
	}
	at, err := filesOfRules(p.Dir)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, f := range z.File {
		text, err := unzip(f)
		if err != nil {
			return err
		}
		name := path.Clean(f.Name)
		rules, _ := sigma.Parse(text, &sigma.Options{KeepPlaceholders: true})
		for i := len(rules) - 1; i >= 0; i-- {
			if had := at[rules[i].ID]; had != "" {
				name = had
				break
			}
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("the server names a file outside of the folder: %q", f.Name)
		}
		full := filepath.Join(p.Dir, filepath.FromSlash(name))
		what := "created"
		if old, err := os.ReadFile(full); err == nil {
			what = "changed"
			if bytes.Equal(old, text) {
				what = "same"
			}
		}
		if counts[what]++; what == "same" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, text, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s %s\n", map[string]string{"created": "+", "changed": "~"}[what], plain(name))
	}
	fmt.Fprintf(a.stdout, "%d created, %d changed, %d the same\n", counts["created"], counts["changed"], counts["same"])
	return nil
}

func unzip(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%s of the server's rules: %w", f.Name, err)
	}
	text, err := io.ReadAll(io.LimitReader(r, 4<<20))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s of the server's rules: %w", f.Name, err)
	}
	return text, nil
}

// filesOfRules says in which file of a folder each rule is.
func filesOfRules(dir string) (map[string]string, error) {
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !ruleset.IsRule(name) {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		rules, _ := sigma.Parse(data, &sigma.Options{KeepPlaceholders: true})
		for _, r := range rules {
			out[r.ID] = name
		}
		return nil
	})
	return out, err
}

type rulesProposalsCmd struct {
	State string `help:"Those in this state alone: ${enum}." enum:"pending,approved,rejected,withdrawn,conflict,expired,rolled_back," default:""`
}

// Run lists the proposals.
func (p *rulesProposalsCmd) Run(a *app) error {
	q := url.Values{}
	if p.State != "" {
		q.Set("state", p.State)
	}
	return a.list(proposalsPath, q, 0, []string{"ID", "STATE", "STAGE", "FILED", "BY", "+", "~", "-", "DECIDED BY", "COMMENT"}, func(raw json.RawMessage) ([]string, error) {
		var v ruleProposal
		err := json.Unmarshal(raw, &v)
		return []string{strconv.Itoa(v.ID), v.State, v.Stage, when(v.CreatedAt), v.Requester, strconv.Itoa(v.Created), strconv.Itoa(v.Changed), strconv.Itoa(v.Deleted), or(v.Decider), v.Comment}, err
	})
}

type rulesShowCmd struct {
	ID    int  `arg:"" help:"Number of the proposal."`
	Texts bool `help:"Print the texts before and after, too."`
}

// Run shows a proposal.
func (s *rulesShowCmd) Run(a *app) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.Get(a.ctx, fmt.Sprintf("%s/%d", proposalsPath, s.ID), nil, &raw); err != nil {
		return err
	}
	if a.cli.Output == "json" {
		return a.printLine(raw)
	}
	var p ruleProposal
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("the server's answer is not what was expected: %w", err)
	}
	a.printProposal(&p)
	for _, x := range p.Changes {
		a.printChange(x)
		if s.Texts {
			for _, side := range []struct{ sign, text string }{{"-", x.Before}, {"+", x.After}} {
				for line := range strings.SplitSeq(strings.TrimRight(side.text, "\n"), "\n") {
					if side.text != "" {
						fmt.Fprintf(a.stdout, "%s\t%s\n", side.sign, plain(line))
					}
				}
			}
		}
	}
	return nil
}

func (a *app) printProposal(p *ruleProposal) {
	fmt.Fprintf(a.stdout, "proposal %d is %s, stage %s, by %s at %s: %s\n", p.ID, p.State, p.Stage, plain(p.Requester), when(p.CreatedAt), plain(p.Comment))
	if p.Decider != "" {
		fmt.Fprintf(a.stdout, "decided by %s: %s\n", plain(p.Decider), plain(or(p.Decision)))
	}
	if p.RolledBy != "" {
		fmt.Fprintf(a.stdout, "rolled back by %s\n", plain(p.RolledBy))
	}
}

// decide does something to a proposal and shows it.
func (a *app) decide(where string, body map[string]any, good string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.JSON(a.ctx, http.MethodPost, proposalsPath+where, nil, body, &raw); err != nil {
		return err
	}
	var p ruleProposal
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("the server's answer is not what was expected: %w", err)
	}
	if a.cli.Output == "json" {
		err = a.printLine(raw)
	} else {
		a.printProposal(&p)
	}
	if err == nil && good != "" && p.State != good {
		err = findings(1)
	}
	return err
}

type rulesStageCmd struct {
	ID int    `arg:"" help:"Number of the proposal."`
	To string `arg:"" help:"test: its rules are asked and counted, and raise nothing; none: no longer." enum:"test,none"`
}

// Run puts a proposal's rules in test, or takes them out of it.
func (s *rulesStageCmd) Run(a *app) error {
	return a.decide(fmt.Sprintf("/%d/%s", s.ID, map[string]string{"test": "test", "none": "untest"}[s.To]), map[string]any{}, "")
}

type rulesDecideCmd struct {
	ID      int    `arg:"" help:"Number of the proposal."`
	Message string `help:"What to say to it." short:"m" placeholder:"TEXT"`
}

type rulesApproveCmd struct{ rulesDecideCmd }

// Run approves; the exit code is 1 where it is in conflict.
func (d *rulesApproveCmd) Run(a *app) error {
	return a.decide(fmt.Sprintf("/%d/approve", d.ID), map[string]any{"comment": d.Message}, "approved")
}

type rulesRejectCmd struct{ rulesDecideCmd }

// Run rejects.
func (d *rulesRejectCmd) Run(a *app) error {
	return a.decide(fmt.Sprintf("/%d/reject", d.ID), map[string]any{"comment": d.Message}, "rejected")
}

type rulesWithdrawCmd struct {
	ID int `arg:"" help:"Number of the proposal."`
}

// Run withdraws.
func (d *rulesWithdrawCmd) Run(a *app) error {
	return a.decide(fmt.Sprintf("/%d/withdraw", d.ID), map[string]any{}, "withdrawn")
}

type rulesRollbackCmd struct {
	ID      int    `arg:"" optional:"" help:"Number of the proposal. Default: the one that came in force last."`
	Message string `help:"Why." short:"m" required:"" placeholder:"TEXT"`
	Force   bool   `help:"Also where a rule was changed since, which is lost."`
}

// Run rolls back.
func (r *rulesRollbackCmd) Run(a *app) error {
	return a.decide("/rollback", map[string]any{"id": r.ID, "comment": r.Message, "force": r.Force}, "rolled_back")
}

type rulesHistoryCmd struct {
	ID string `arg:"" help:"Id of the rule."`
}

// Run lists what happened to a rule.
func (h *rulesHistoryCmd) Run(a *app) error {
	return a.list("/api/v1/rules/"+url.PathEscape(h.ID)+"/versions", nil, 0, []string{"REVISION", "AT", "BY", "ACTION", "NOTE"}, func(raw json.RawMessage) ([]string, error) {
		var v struct {
			Revision         int
			At               time.Time
			By, Action, Note string
		}
		err := json.Unmarshal(raw, &v)
		revision := "-"
		if v.Revision > 0 {
			revision = strconv.Itoa(v.Revision)
		}
		return []string{revision, when(v.At), or(v.By), v.Action, or(v.Note)}, err
	})
}
