package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/lake/scrub"
)

// errDamaged ends the engine so that its next start can set something aside:
// nothing can be taken out of a lake that is open.
var errDamaged = errors.New("engine: a part of the lake is damaged; the engine starts anew to set it aside")

// healed is what the start found out before the lake was opened.
type healed struct {
	scrub *scrub.Store
	room  *room
	board *condition.Board
}

// heal waits until the lake's disk can be written, then brings its days to their
// places and sets aside what is damaged. While it waits it answers for its status.
func heal(ctx context.Context, opts Options, log *slog.Logger) (*healed, error) {
	board := &condition.Board{}
	dir := filepath.Join(opts.Dir, "lake")
	h := &healed{board: board, room: newRoom(dir, opts.MinFree, board, log), scrub: &scrub.Store{Dir: dir, Sums: filepath.Join(opts.Dir, "sums"), Damaged: opts.damaged(), Log: log}}
	// On a disk that cannot be written even the folder cannot be made.
	if err := os.MkdirAll(dir, 0o700); err != nil || !h.room.look() {
		if err != nil {
			h.room.tell(dir, condition.ReadOnly, "日志库目录无法创建："+err.Error(), "the lake's folder cannot be made: "+err.Error())
		}
		stop, err := serveWaiting(opts.QuerySocket, board)
		if err != nil {
			return nil, err
		}
		defer stop()
		for os.MkdirAll(dir, 0o700) != nil || !h.room.look() {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return h, nil
			}
		}
	}
	dropOrdered(opts.Dir, log)
	h.settleDays(ctx, opts, log)
	findings, err := inspect(ctx, h.scrub, opts.Died, opts.DiedInRow, log)
	if err != nil || len(findings) == 0 {
		return h, err
	}
	// The place on the bus goes back first: if this start dies half-way, more
	// is compared with the lake than need be, and nothing less.
	if err := rewind(opts.Dir); err != nil {
		return nil, err
	}
	_, err = h.scrub.SetAside(findings)
	h.scrub.ClearSuspects()
	return h, err
}

func (o *Options) damaged() string {
	if o.Damaged != "" {
		return o.Damaged
	}
	return filepath.Join(o.Dir, "damaged")
}

// inspect gathers what is damaged in a closed lake: what a quick look finds,
// and what comparison says of the parts that were found rotten while the lake
// ran, or that the library named when it died.
func inspect(ctx context.Context, store *scrub.Store, died string, inRow int, log *slog.Logger) ([]scrub.Finding, error) {
	findings, err := store.Quick()
	if err != nil {
		return nil, err
	}
	word := lastWord(died)
	var named []string
	if word != "" && !ofTheSystem(word) {
		named = store.Named(word)
	}
	compare := slices.Concat(store.Suspects(), named)
	damaged, unknown, err := store.Parts(ctx, compare)
	if err != nil {
		return nil, err
	}
	add := func(list ...scrub.Finding) {
		for _, f := range list {
			if !slices.ContainsFunc(findings, func(g scrub.Finding) bool { return g.Path == f.Path }) {
				findings = append(findings, f)
			}
		}
	}
	add(damaged...)
	for _, path := range named {
		// The library's word counts where there is nothing to compare with, and
		// in the end even against the checksums: they may have been taken of
		// what was damaged already.
		if slices.Contains(unknown, path) || inRow >= 3 {
			if f, ok := store.Finding(path, "the storage library died of it: "+word); ok {
				add(f)
			}
		}
	}
	if word != "" && !ofTheSystem(word) && len(findings) == 0 && inRow >= 2 {
		// It dies again and again and names nothing, as of a file that became
		// shorter under its hands: compare everything, for longer each time.
		log.Warn("engine: the storage library died and named no part; the whole lake is compared with its checksums", "word", word)
		slow, cancel := context.WithTimeout(ctx, time.Duration(min(inRow, 60))*time.Minute)
		defer cancel()
		all, err := store.All(slow)
		if err != nil {
			return nil, err
		}
		add(all...)
	}
	return findings, nil
}

// lastWord is the line in which a process told why it died; "" where it did
// not, as when it was killed.
func lastWord(words string) string {
	for line := range strings.Lines(words) {
		for _, mark := range []string{"panic: ", "fatal error: ", "unexpected fault address "} {
			if strings.HasPrefix(line, mark) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// ofTheSystem tells whether the word is about the system and not about what a
// file holds.
func ofTheSystem(word string) bool {
	for _, s := range []string{"no space left on device", "read-only file system", "disk quota exceeded", "permission denied", "too many open files", "cannot allocate memory", "out of memory"} {
		if strings.Contains(word, s) {
			return true
		}
	}
	return false
}

// rewind puts the engine's place on the bus back to the oldest batch there:
// what is missing in the lake is stored again, what is there is left alone.
func rewind(dir string) error {
	path := filepath.Join(dir, "checkpoint.json")
	var c checkpoint
	if err := readJSON(path, &c); err != nil || c.Epoch == "" {
		return nil // recover begins with the oldest batch anyway
	}
	c.Was, c.Stored, c.Folds = max(c.Was, c.Stored), 0, nil
	return writeJSON(path, c)
}

// Given tells up to which batch an engine with its files in dir has stored
// batches of an epoch: numbers up to there were given out.
func Given(dir, epoch string) uint64 {
	var c checkpoint
	if readJSON(filepath.Join(dir, "checkpoint.json"), &c) != nil || c.Epoch != epoch {
		return 0
	}
	return max(c.Stored, c.Was, c.Reached)
}

// rewound fits a checkpoint that was put back to what is on the bus.
func (c *checkpoint) rewound(st bus.State) {
	if c.Was == 0 {
		return
	}
	// Ids are remembered as far back from the first batch as they were from
	// where the engine stood.
	width := c.Was + 1 - min(c.IDsFloor, c.Was)
	if st.First > 0 {
		c.Stored = min(st.First-1, c.Was)
	} else {
		c.Stored = c.Was
	}
	c.IDsFloor = c.Stored + 1 - min(width, c.Stored)
}

// trusted reads a small state of the engine. One that cannot be trusted is set
// aside with a note, and v is as it was.
func (e *Engine) trusted(name string, v any, zh, en string) error {
	path := e.path(name)
	err := readJSON(path, v)
	if err == nil {
		return nil
	}
	e.log.Error("engine: "+en, "file", path, "error", err)
	folder, ferr := damage.New(e.opts.damaged(), "engine")
	if ferr == nil {
		folder.Note.Severity = condition.Medium
		folder.Note.Text = condition.Text{ZH: zh, EN: en}
		folder.Note.Items = []damage.Item{{Path: name, Why: err.Error(), Kept: name}}
		ferr = errors.Join(folder.Save(), folder.Move(path, name))
	}
	if ferr != nil {
		e.log.Error("engine: a damaged file is not set aside", "file", path, "error", ferr)
	}
	return err
}

// saved tells of a small state that cannot be saved, until it is.
func (e *Engine) saved(name string, err error) error {
	if err == nil {
		e.health.board.Clear(condition.Unsaved, name)
		return nil
	}
	e.health.board.Set(condition.Condition{Kind: condition.Unsaved, Key: name, Severity: condition.High, Text: condition.Text{
		ZH: fmt.Sprintf("%s 无法保存：%v。不会丢失数据，但下次启动需重放更多批次，总线也不会释放空间", name, err),
		EN: fmt.Sprintf("%s cannot be saved: %v; nothing is lost, but the next start replays more, and the bus lets nothing go", name, err)}})
	return err
}

// missed notes batches that the bus no longer holds and that were not stored:
// the gap lies before batch next, and after the one that came at since.
func (e *Engine) missed(from, next uint64, since, until time.Time) {
	if next%bus.Jump == 0 || from >= next {
		// The bus leapt there itself when it mended its end; its own note says
		// what was lost.
		return
	}
	if next-1 <= e.last.Load() {
		return // the lake holds them; detection alone misses them
	}
	n := next - from
	between := func(t time.Time) string {
		if t.IsZero() {
			return "?"
		}
		return t.UTC().Format(time.RFC3339)
	}
	text := condition.Text{
		ZH: fmt.Sprintf("总线上缺少 %d 个批次（%d 至 %d），其中的事件未入库；接收时间在 %s 与 %s 之间。请由来源重发或从备份恢复。", n, from, next-1, between(since), between(until)),
		EN: fmt.Sprintf("%d batches (%d to %d) are missing on the bus and were not stored; they were taken in between %s and %s: let their sources send again, or restore a backup", n, from, next-1, between(since), between(until)),
	}
	e.log.Error("engine: batches are missing on the bus", "from", from, "to", next-1, "since", since, "until", until)
	folder, err := damage.New(e.opts.damaged(), "bus")
	if err == nil {
		folder.Note.Severity, folder.Note.Text = condition.Critical, text
		folder.Note.Items = []damage.Item{{Path: "bus", Why: "batches are missing", Lost: n, From: since, To: until}}
		err = folder.Save()
	}
	if err != nil {
		e.log.Error("engine: the note about missing batches is not saved", "error", err)
		e.health.board.Set(condition.Condition{Kind: condition.BusGap, Key: fmt.Sprint(from), Severity: condition.Critical, Text: text})
	}
}

// setBatchAside keeps a batch that cannot be decoded, now or ever, with a note.
func (e *Engine) setBatchAside(m bus.Message, cause error) {
	e.badBatch.Add(1)
	name := fmt.Sprintf("batch-%d", m.Sequence)
	folder, err := damage.New(e.opts.damaged(), "bus")
	if err == nil {
		folder.Note.Text = condition.Text{
			ZH: fmt.Sprintf("总线批次 %d（接收于 %s）无法解码，已隔离到 %s", m.Sequence, m.Time.UTC().Format(time.RFC3339), folder.Path),
			EN: fmt.Sprintf("batch %d of the bus, taken in at %s, cannot be decoded and is set aside in %s", m.Sequence, m.Time.UTC().Format(time.RFC3339), folder.Path),
		}
		folder.Note.Items = []damage.Item{{Path: name, Why: cause.Error(), Kept: name, From: m.Time, To: m.Time}}
		err = errors.Join(folder.Save(), os.WriteFile(filepath.Join(folder.Path, name), m.Data, 0o600))
	}
	e.log.Error("engine: a batch is damaged and set aside", "batch", m.Sequence, "error", cause, "written", err)
}

// scrubbing watches the lake's files until ctx ends. What it finds rotten ends
// the engine, whose next start sets it aside.
func (e *Engine) scrubbing(ctx context.Context, end context.CancelCauseFunc) {
	e.health.scrub.Run(ctx, scrub.Options{Period: e.opts.ScrubPeriod, Rate: e.opts.ScrubRate}, func(f scrub.Finding) {
		e.log.Error("engine: a file of the lake changed since it was written", "path", f.Path, "file", f.File, "why", f.Why)
		if err := e.health.scrub.Suspect(f.Path); err != nil {
			e.log.Error("engine: the damaged part cannot be noted; it stays until the next comparison", "error", err)
			e.health.board.Set(condition.Condition{Kind: condition.Damage, Key: f.Path, Severity: condition.High,
				Text: condition.Text{ZH: "日志库文件损坏：" + f.String(), EN: "a file of the lake is damaged: " + f.String()}})
			return
		}
		end(errDamaged)
	})
}

// serveWaiting answers for the status of an engine that has not begun.
func serveWaiting(path string, board *condition.Board) (stop func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("engine: %w", err), l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(Status{Waiting: true, Conditions: board.List()})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		why := "the engine has not begun"
		for _, c := range board.List() {
			why = c.Text.EN
		}
		// This is an answer to any question there is.
		_ = json.NewEncoder(w).Encode(verdict{Done: true, Away: why, Error: why})
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }()
	return func() { _ = srv.Close() }, nil
}
