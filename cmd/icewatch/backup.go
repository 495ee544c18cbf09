package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"icewatch/soc/backup"
	"icewatch/soc/centre"
	"icewatch/soc/config"
	"icewatch/soc/version"
)

type backups struct {
	Take   takeBackup   `cmd:"" default:"withargs" help:"Take a backup of the data folder; a running suite takes it itself."`
	Init   initBackups  `cmd:"" help:"Make a folder for backups that are encrypted."`
	List   listBackups  `cmd:"" help:"List the backups."`
	Verify verifyBackup `cmd:"" help:"Read every file of a backup and check it. No key is needed."`
	Prune  pruneBackups `cmd:"" help:"Remove all but the newest backups, and what none of these needs."`
	Delete deleteBackup `cmd:"" help:"Remove one backup, and what no other one needs."`
}

// folderOf is the backup folder: the one given, or the configured one.
func folderOf(given string, cfg *config.Config) (string, error) {
	dir := cmp.Or(given, cfg.Backup.Dir)
	if dir == "" {
		return "", errors.New("where to is not known: give --to DIR, or set backup.dir in the configuration")
	}
	return filepath.Abs(dir)
}

type takeBackup struct {
	options
	To       string `help:"Folder of the backups; without it backup.dir of the configuration." placeholder:"DIR"`
	WithKeys bool   `name:"with-keys" help:"Take the master keys into a backup that is not encrypted. Whoever gets it can then read every secret."`
	RateMiB  int    `name:"rate-mib" help:"MiB a second to read at most; 0 is no limit." default:"0"`
}

// Run takes a backup of a suite that runs or stands still.
func (t *takeBackup) Run(ctx context.Context) error {
	cfg, err := t.load()
	if err != nil {
		return err
	}
	dir, err := folderOf(t.To, cfg)
	if err != nil {
		return err
	}
	file, err := t.file()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	repo, err := backup.OpenOrInit(dir)
	if err != nil {
		return err
	}
	o := backup.Options{Trigger: backup.TriggerCommand, WithKeys: t.WithKeys, Rate: int64(t.RateMiB) << 20, Log: logger(cfg.Log.Level, cfg.Log.Format, "backup")}
	var sum backup.Summary
	err = shown(func(p *backup.Progress) (err error) {
		sum, err = centre.BackUpStopped(ctx, cfg, file, version.String(), repo, o, p)
		return err
	})
	if errors.Is(err, centre.ErrRunning) {
		sum, err = t.running(ctx, cfg, repo)
	}
	if err != nil {
		return err
	}
	describe(os.Stdout, dir, sum)
	return nil
}

// running has the suite that runs on the data folder take the backup, over the
// socket that only its own account can use, and follows it.
func (t *takeBackup) running(ctx context.Context, cfg *config.Config, repo *backup.Repository) (backup.Summary, error) {
	suite := local(cfg.Data)
	body, err := json.Marshal(map[string]any{"dir": repo.Dir(), "with_keys": t.WithKeys, "rate_mib": t.RateMiB})
	if err != nil {
		return backup.Summary{}, err
	}
	var job backup.Job
	// Once it is asked for it must be known what became of it, or nobody would
	// break it off.
	if err := suite.call(context.WithoutCancel(ctx), http.MethodPost, "/backups", body, &job); err != nil {
		return backup.Summary{}, err
	}
	line := progressLine{}
	cancelled := ctx.Done()
	for job.State == backup.StateRunning {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-cancelled:
			cancelled = nil
			fmt.Fprintln(os.Stderr, "breaking the backup off")
			if err := suite.call(context.WithoutCancel(ctx), http.MethodDelete, "/backups/job", nil, &job); err != nil {
				return backup.Summary{}, err
			}
		}
		if err := suite.call(context.WithoutCancel(ctx), http.MethodGet, "/backups/job", nil, &job); err != nil {
			return backup.Summary{}, err
		}
		line.show(job.Figures)
	}
	if job.State != backup.StateSucceeded {
		return backup.Summary{}, fmt.Errorf("the backup is %s: %s", job.State, job.Error)
	}
	return repo.Get(job.Name)
}

// socket speaks to a running suite as the machine's own account.
type socket struct {
	data   string
	client *http.Client
}

func local(data string) socket {
	path := filepath.Join(data, "run", "icewatch.sock")
	return socket{data, &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}}}}
}

func (s socket) call(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://icewatch/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("the suite runs on %s and does not answer on its socket: %w", s.data, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("the suite running on %s: %w", s.data, err)
	}
	if resp.StatusCode >= 300 {
		var problem struct{ Detail string }
		_ = json.Unmarshal(text, &problem)
		return fmt.Errorf("the suite running on %s answered %s: %s", s.data, resp.Status, problem.Detail)
	}
	return json.Unmarshal(text, answer)
}

// shown runs a job and shows how far it is.
func shown(f func(p *backup.Progress) error) error {
	p := &backup.Progress{}
	done := make(chan error, 1)
	go func() { done <- f(p) }()
	line := progressLine{}
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-t.C:
			line.show(p.Figures())
		}
	}
}

// progressLine writes how far a job is, when it has something new to say.
type progressLine struct {
	phase string
	at    time.Time
}

func (l *progressLine) show(f backup.Figures) {
	if f.Phase == l.phase && time.Since(l.at) < 2*time.Second {
		return
	}
	l.phase, l.at = f.Phase, time.Now()
	if f.BytesTotal == 0 {
		fmt.Fprintln(os.Stderr, f.Phase)
		return
	}
	fmt.Fprintf(os.Stderr, "%s  %s of %s  %d of %d files  %s/s\n", f.Phase, size(f.BytesDone), size(f.BytesTotal), f.FilesDone, f.FilesTotal, size(int64(f.Rate)))
}

// size writes bytes for people.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// describe says what a backup holds and, loudly, what it does not.
func describe(w io.Writer, dir string, s backup.Summary) {
	fmt.Fprintf(w, "backup    %s in %s\n", s.Name, dir)
	queue := "the bus as it stood"
	if s.Bus.Last > 0 {
		queue = fmt.Sprintf("the bus up to batch %d", s.Bus.Last)
	}
	fmt.Fprintf(w, "holds     %d files, %s; %d events in the lake, %s\n", s.Files, size(s.Bytes), s.Rows, queue)
	fmt.Fprintf(w, "copied    %d files, %s; the rest was there from earlier backups\n", s.CopiedFiles, size(s.CopiedBytes))
	for _, c := range s.Classes {
		fmt.Fprintf(w, "class     %-12s %d events, %s\n", c.Class, c.Rows, size(c.Bytes))
	}
	if len(s.LeftOut) > 0 {
		fmt.Fprintf(w, "left out  %s\n", strings.Join(s.LeftOut, ", "))
	}
	switch {
	case s.Encrypted:
	case s.MasterKey:
		fmt.Fprintln(w, "\nWARNING: the backup is NOT encrypted and HOLDS THE MASTER KEYS: whoever gets it can read\nevery secret and every event. Keep it as you keep the keys themselves.")
	default:
		fmt.Fprintln(w, "\nNOTE: the backup is not encrypted: whoever gets it can read every event. The master keys are\nNOT in it; without a copy of them elsewhere its sealed secrets cannot be read after a restore.\nicewatch backup init makes a folder for encrypted backups, which hold the keys.")
	}
}

type initBackups struct {
	To             string `required:"" help:"Empty or missing folder." placeholder:"DIR"`
	PassphraseFile string `help:"File that holds the passphrase to encrypt with; - is standard input." placeholder:"FILE" xor:"how" required:""`
	Recipient      string `help:"Public key of age (age1…) to encrypt for; its private key stays with you." placeholder:"KEY" xor:"how" required:""`
}

// Run makes the folder.
func (i *initBackups) Run() error {
	o := backup.InitOptions{Recipient: i.Recipient}
	if i.PassphraseFile != "" {
		text, err := secret(i.PassphraseFile)
		if err != nil {
			return err
		}
		o.Passphrase = text
	}
	if err := backup.Init(i.To, o); err != nil {
		return err
	}
	fmt.Printf("backups in %s will be encrypted; nobody can open them without the passphrase or private key: keep it apart from them\n", i.To)
	return nil
}

// secret reads the first line of a file; "-" is standard input.
func secret(file string) (string, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimRight(line, "\r"), nil
}

// existing names a backup folder.
type existing struct {
	options
	To string `name:"to" aliases:"from" help:"Folder of the backups; without it backup.dir of the configuration." placeholder:"DIR"`
}

func (e *existing) open() (*backup.Repository, error) {
	dir := e.To
	if dir == "" {
		cfg, err := e.load()
		if err != nil {
			return nil, err
		}
		if dir, err = folderOf("", cfg); err != nil {
			return nil, err
		}
	}
	return backup.Open(dir)
}

type listBackups struct {
	existing
	JSON bool `name:"json" help:"Write JSON."`
}

// Run lists the backups.
func (l *listBackups) Run() error {
	repo, err := l.open()
	if err != nil {
		return err
	}
	list, err := repo.List()
	if err != nil {
		return err
	}
	if l.JSON {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	for _, s := range list {
		if s.Fault != "" {
			fmt.Printf("%s  CANNOT BE READ: %s\n", s.Name, s.Fault)
			continue
		}
		mark := ""
		switch {
		case len(s.Damaged) > 0:
			mark = fmt.Sprintf("  DAMAGED: %s", s.Damaged[0])
		case !s.Verified.IsZero():
			mark = "  checked " + s.Verified.Local().Format("2006-01-02 15:04")
		}
		fmt.Printf("%s  %9s  copied %9s  %12d events  %s%s\n", s.Name, size(s.Bytes), size(s.CopiedBytes), s.Rows, s.Trigger, mark)
	}
	return nil
}

type verifyBackup struct {
	existing
	Name    string `arg:"" optional:"" help:"Name of the backup; without it the newest."`
	RateMiB int    `name:"rate-mib" help:"MiB a second to read at most; 0 is no limit." default:"0"`
}

// Run checks a backup.
func (v *verifyBackup) Run(ctx context.Context) error {
	repo, err := v.open()
	if err != nil {
		return err
	}
	sum, err := repo.Get(v.Name)
	if err != nil {
		return err
	}
	var damaged []string
	err = shown(func(p *backup.Progress) (err error) {
		damaged, err = repo.Verify(ctx, sum.Name, int64(v.RateMiB)<<20, p)
		return err
	})
	if err != nil {
		return err
	}
	if len(damaged) > 0 {
		return fmt.Errorf("the backup %s is damaged:\n  %s", sum.Name, strings.Join(damaged, "\n  "))
	}
	fmt.Printf("the backup %s is whole: %d files, %s\n", sum.Name, sum.Files, size(sum.Bytes))
	return nil
}

type pruneBackups struct {
	existing
	Keep int `required:"" help:"How many to keep."`
}

// Run removes old backups.
func (r *pruneBackups) Run(ctx context.Context) error {
	repo, err := r.open()
	if err != nil {
		return err
	}
	out, err := repo.Prune(ctx, r.Keep, &backup.Progress{})
	return removed(out, err)
}

type deleteBackup struct {
	existing
	Name string `arg:"" help:"Name of the backup."`
}

// Run removes a backup.
func (d *deleteBackup) Run(ctx context.Context) error {
	repo, err := d.open()
	if err != nil {
		return err
	}
	out, err := repo.Delete(ctx, d.Name, &backup.Progress{})
	return removed(out, err)
}

func removed(out backup.Pruned, err error) error {
	fmt.Printf("%d backups and %s are removed\n", len(out.Backups), size(out.Bytes))
	return err
}

type restoreBackup struct {
	From           string `required:"" help:"Folder of the backups; @NAME after it names one, without it the newest is taken." placeholder:"DIR[@NAME]"`
	Data           string `required:"" help:"Empty or missing folder, which becomes the data folder." placeholder:"DIR"`
	PassphraseFile string `help:"File that holds the passphrase of encrypted backups; - is standard input." placeholder:"FILE" xor:"how"`
	IdentityFile   string `help:"File that holds the private key of age (AGE-SECRET-KEY-1…) of encrypted backups." placeholder:"FILE" xor:"how"`
	KeyFile        string `help:"File of master keys to put in place, for a backup that holds none." placeholder:"FILE"`
}

// Run restores a backup.
func (r *restoreBackup) Run(ctx context.Context) error {
	dir, name := r.From, ""
	if at := strings.LastIndexByte(dir, '@'); at > 0 && !strings.ContainsRune(dir[at:], filepath.Separator) {
		dir, name = dir[:at], dir[at+1:]
	}
	repo, err := backup.Open(dir)
	if err != nil {
		return err
	}
	switch {
	case r.PassphraseFile != "":
		text, err := secret(r.PassphraseFile)
		if err != nil {
			return err
		}
		if err := repo.Unlock(text); err != nil {
			return err
		}
	case r.IdentityFile != "":
		f, err := os.Open(r.IdentityFile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := repo.UnlockWith(f); err != nil {
			return err
		}
	}
	var sum backup.Summary
	err = shown(func(p *backup.Progress) (err error) {
		sum, err = repo.Restore(ctx, name, r.Data, r.KeyFile, p)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("restored  %s of %s: %d files, %s\n", sum.Name, sum.Started.Local().Format("2006-01-02 15:04 MST"), sum.Files, size(sum.Bytes))
	fmt.Printf("start     icewatch serve --data %s", r.Data)
	config := filepath.Join(r.Data, "configuration", "icewatch.yaml")
	if _, err := os.Stat(config); err == nil {
		fmt.Printf(" --config %s", config)
	}
	fmt.Println()
	if !sum.MasterKey && r.KeyFile == "" {
		fmt.Printf("\nNOTE: the master keys are not in this backup. Put your copy at %s (mode 600), or name it with\nsecurity.master_key_file, BEFORE the first start: without it the suite does not start, since its\nsealed secrets cannot be read.\n", filepath.Join(r.Data, "keys", "master"))
	}
	return nil
}
