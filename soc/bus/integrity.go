package bus

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"icewatch/soc/condition"
	"icewatch/soc/damage"
)

// Jump is by what a stream's numbering leaps where its end was lost: the next
// message gets the next but one multiple. A number is never given out twice,
// since the lake knows events by it; a block holds far fewer messages.
const Jump = 1 << 20

// checker looks over the bus's files before JetStream opens them. JetStream
// cuts a block off at the first record it cannot read and says nothing of what
// stood behind; the checker keeps every record that can be read and says which
// are missing.
type checker struct {
	dir     string // of the bus
	damaged string // folder for what is set aside
	log     *slog.Logger
	// floor is the number up to which messages of the raw stream of an epoch
	// are known to have been given out.
	floor func(epoch string) uint64

	folder *damage.Folder // made with the first finding
	zh, en []string
	worst  condition.Severity
}

func (c *checker) stream(name string) string {
	return filepath.Join(c.dir, "jetstream", "$G", "streams", name)
}

// check looks over the streams on the disk, mends what is damaged and writes a note.
func (c *checker) check() error {
	for _, name := range Streams {
		if _, err := os.Stat(c.stream(name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := c.checkMeta(name); err != nil {
			return err
		}
		if err := c.checkBlocks(name); err != nil {
			return err
		}
	}
	if c.folder == nil {
		return nil
	}
	c.folder.Note.Severity = c.worst
	c.folder.Note.Text = condition.Text{ZH: strings.Join(c.zh, "；"), EN: strings.Join(c.en, "; ")}
	c.log.Error("bus: damage was found and mended as far as possible", "what", c.folder.Note.Text.EN, "folder", c.folder.Path)
	return c.folder.Save()
}

// found notes a finding.
func (c *checker) found(severity condition.Severity, item damage.Item, zh, en string) (*damage.Folder, error) {
	if c.folder == nil {
		var err error
		if c.folder, err = damage.New(c.damaged, "bus"); err != nil {
			return nil, err
		}
	}
	order := []condition.Severity{condition.Low, condition.Medium, condition.High, condition.Critical}
	if slices.Index(order, severity) > slices.Index(order, c.worst) {
		c.worst = severity
	}
	c.zh, c.en = append(c.zh, zh), append(c.en, en)
	c.folder.Note.Items = append(c.folder.Note.Items, item)
	c.folder.Note.Severity = c.worst
	c.folder.Note.Text = condition.Text{ZH: strings.Join(c.zh, "；"), EN: strings.Join(c.en, "; ")}
	return c.folder, c.folder.Save()
}

// The files that say what a stream is. JetStream passes over a stream whose
// files do not agree, and a new one of its name would begin a new epoch with
// the old one's messages: what is stored would be stored again.
var metaFiles = []string{"meta.inf", "meta.sum"}

func (c *checker) copies(name string) string { return filepath.Join(c.dir, "meta", name) }

// checkMeta puts the copy back where a stream's description is damaged.
func (c *checker) checkMeta(name string) error {
	dir := c.stream(name)
	if metaAgrees(name, dir) {
		return nil
	}
	if !metaAgrees(name, c.copies(name)) {
		if _, err := os.Stat(filepath.Join(dir, "msgs")); errors.Is(err, fs.ErrNotExist) {
			return nil // the making of the stream was interrupted
		}
		return fmt.Errorf("bus: the description of the stream %s in %s is damaged and there is no good copy of it in %s: restore a backup, or move the folder %s away to begin a new bus without the messages in it", name, dir, c.copies(name), c.dir)
	}
	for i, f := range metaFiles {
		path := filepath.Join(dir, f)
		folder, err := c.found(condition.Medium, damage.Item{Path: path, Why: "the stream's description does not agree with its checksum", Kept: filepath.Join(name, f), Mended: true},
			fmt.Sprintf("总线流 %s 的描述文件 %s 损坏，已用副本修复", name, f), fmt.Sprintf("the file %s of the stream %s was damaged and is mended from its copy", f, name))
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err == nil {
			if err := folder.Move(path, filepath.Join(name, f)); err != nil {
				return err
			}
		}
		raw, err := os.ReadFile(filepath.Join(c.copies(name), metaFiles[i]))
		if err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		if err := replaceFile(path, raw); err != nil {
			return err
		}
	}
	return nil
}

// keepMeta copies the description of a stream that opened.
func (c *checker) keepMeta(name string) error {
	if !metaAgrees(name, c.stream(name)) {
		return nil
	}
	if err := os.MkdirAll(c.copies(name), 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	for _, f := range metaFiles {
		raw, err := os.ReadFile(filepath.Join(c.stream(name), f))
		if err != nil {
			return fmt.Errorf("bus: %w", err)
		}
		if old, err := os.ReadFile(filepath.Join(c.copies(name), f)); err == nil && string(old) == string(raw) {
			continue
		}
		if err := replaceFile(filepath.Join(c.copies(name), f), raw); err != nil {
			return err
		}
	}
	return nil
}

// checkBlocks reads all messages of a stream and mends the blocks in which
// some cannot be read.
func (c *checker) checkBlocks(name string) error {
	dir := filepath.Join(c.stream(name), "msgs")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	type file struct {
		index int
		path  string
		block block
	}
	// Of a block only the numbers are kept, not the messages.
	slim := func(f *file) {
		for i := range f.block.records {
			f.block.records[i].raw = nil
		}
	}
	var files []file
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ".blk")
		if index, err := strconv.Atoi(stem); ok && err == nil && index > 0 {
			files = append(files, file{index: index, path: filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.index, b.index) })
	begun := time.Now()
	mended, tail := false, false
	for i := range files {
		f := &files[i]
		data, err := os.ReadFile(f.path)
		if err != nil {
			// A sector that cannot be read: keep what can be.
			data, err = readAround(f.path)
			if err != nil {
				return fmt.Errorf("bus: read %s: %w", f.path, err)
			}
		}
		if f.block, err = readBlock(name, f.index, data); err != nil {
			return err
		}
		if len(f.block.bad) == 0 {
			slim(f)
			continue
		}
		lastBlock := i == len(files)-1
		atEnd := f.block.bad[len(f.block.bad)-1].to == len(data)
		tail = tail || lastBlock && atEnd
		kept := filepath.Join(name, filepath.Base(f.path))
		severity, zh, en := condition.High, fmt.Sprintf("总线流 %s 的数据块 %s 有 %d 处损坏，已保留其余全部可读消息", name, filepath.Base(f.path), len(f.block.bad)),
			fmt.Sprintf("the block %s of the stream %s was damaged in %d places; all messages that can be read are kept", filepath.Base(f.path), name, len(f.block.bad))
		if lastBlock && f.block.torn && len(f.block.bad) == 1 && c.acknowledged(name) <= lastSequence(files[i].block) {
			// A crash within a write leaves such an end, of which nobody was
			// told that it is kept.
			c.log.Warn("bus: the last message was incomplete and is cut off; it was not acknowledged", "stream", name, "file", f.path, "bytes", len(data)-len(f.block.whole()))
			if err := replaceFile(f.path, f.block.whole()); err != nil {
				return err
			}
			slim(f)
			mended = true
			continue
		}
		folder, err := c.found(severity, damage.Item{Path: f.path, Why: fmt.Sprintf("bytes %v cannot be read as messages", f.block.bad), Kept: kept}, zh, en)
		if err != nil {
			return err
		}
		if err := folder.Copy(f.path, kept); err != nil {
			return err
		}
		if err := replaceFile(f.path, f.block.whole()); err != nil {
			return err
		}
		slim(f)
		mended = true
	}
	if took := time.Since(begun); took > 2*time.Second {
		c.log.Info("bus: all messages were read and compared with their checksums", "stream", name, "blocks", len(files), "took", took.Round(time.Millisecond))
	}
	blocks := make([]block, len(files))
	next := 1
	for i := range files {
		blocks[i] = files[i].block
		next = files[i].index + 1
	}
	holes, last := gaps(blocks)
	if err := c.tellGaps(name, holes); err != nil {
		return err
	}
	known := max(last, c.acknowledged(name))
	if known > last {
		if _, err := c.found(condition.Critical, damage.Item{Path: dir, Why: "the end of the stream is missing", Lost: known - last},
			fmt.Sprintf("总线流 %s 止于消息 %d，而消息 %d 已向发送方确认：末尾的消息丢失（或目录被恢复到更早的状态），未入库的请由来源重发", name, last, known),
			fmt.Sprintf("the stream %s ends with message %d, but message %d was acknowledged: its end was lost, or its folder was put back to an earlier state", name, last, known)); err != nil {
			return err
		}
	}
	if tail || known > last {
		// What was lost at the end may have been given numbers: leap past them.
		seq := (known/Jump+2)*Jump - 1
		raw, err := tombstoneBlock(name, next, seq, time.Now().UnixNano())
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, fmt.Sprintf("%d.blk", next)), raw); err != nil {
			return err
		}
		mended = true
	}
	if mended {
		// JetStream's summary of the blocks speaks of what was there before.
		if err := os.Remove(filepath.Join(dir, "index.db")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("bus: %w", err)
		}
	}
	return nil
}

// acknowledged is the number up to which messages of a stream are known to have
// been given out and acknowledged.
func (c *checker) acknowledged(name string) uint64 {
	if name == occurrenceStream {
		return 0
	}
	epoch := c.epoch(name)
	n := readMark(c.dir, name, epoch)
	if c.floor != nil && name == rawStream {
		n = max(n, c.floor(epoch))
	}
	return n
}

// lastSequence is the highest number in a block.
func lastSequence(b block) (last uint64) {
	for _, r := range b.records {
		last = max(last, r.seq)
	}
	return last
}

// tellGaps tells of gaps that were not told of before.
func (c *checker) tellGaps(name string, holes []gap) error {
	path := filepath.Join(c.dir, "meta", name+"-gaps.json")
	var told []gap
	if raw, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(raw, &told)
	}
	fresh := false
	for _, g := range holes {
		if slices.ContainsFunc(told, func(t gap) bool { return t.From <= g.From && g.To <= t.To }) {
			continue
		}
		fresh = true
		told = append(told, g)
		item := damage.Item{Path: name, Why: fmt.Sprintf("messages %d to %d are missing", g.From, g.To), Lost: g.To - g.From + 1, From: time.Unix(0, g.After).UTC(), To: time.Unix(0, g.Till).UTC()}
		if _, err := c.found(condition.High, item,
			fmt.Sprintf("总线流 %s 缺少消息 %d 至 %d（接收时间 %s 至 %s）", name, g.From, g.To, item.From.Format(time.RFC3339), item.To.Format(time.RFC3339)),
			fmt.Sprintf("the messages %d to %d of the stream %s are missing, taken in between %s and %s", g.From, g.To, name, item.From.Format(time.RFC3339), item.To.Format(time.RFC3339))); err != nil {
			return err
		}
	}
	if !fresh {
		return nil
	}
	raw, err := json.Marshal(told)
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return replaceFile(path, raw)
}

// epoch reads which numbering a stream is of.
func (c *checker) epoch(name string) string {
	var meta struct {
		Metadata map[string]string `json:"metadata"`
	}
	raw, err := os.ReadFile(filepath.Join(c.stream(name), "meta.inf"))
	if err != nil || json.Unmarshal(raw, &meta) != nil {
		return ""
	}
	return meta.Metadata[epochKey]
}
