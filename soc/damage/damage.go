// Package damage keeps what was found damaged: each finding has a folder of
// its own below <data>/damaged, with the damaged files as they were and a note
// that says what they are and why they were moved. The notes are the memory of
// the alarms: a condition stands until its folder is removed.
package damage

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"icewatch/soc/condition"
)

// noteFile is the note's name in its folder.
const noteFile = "note.json"

// Item is one damaged thing.
type Item struct {
	Path string `json:"path"`           // where it was, as the part names it
	File string `json:"file,omitempty"` // that was found damaged, of several
	Why  string `json:"why"`
	// Kept is where it is now, relative to the note; "" where there was
	// nothing to keep, as of a file that was missing.
	Kept string `json:"kept,omitempty"`
	// Lost is how many events or batches are missing for it; 0 is none, and
	// From and To are their times.
	Lost   uint64    `json:"lost,omitempty"`
	From   time.Time `json:"from,omitzero"`
	To     time.Time `json:"to,omitzero"`
	Mended bool      `json:"mended,omitempty"` // a good copy was put in its place
}

// Note says what lies in a folder.
type Note struct {
	At       time.Time          `json:"at"`
	Part     string             `json:"part"` // of the suite: lake, bus, engine, aside
	Severity condition.Severity `json:"severity"`
	Text     condition.Text     `json:"text"`
	Items    []Item             `json:"items"`

	// Folder is the note's folder, as read by Notes.
	Folder string `json:"-"`
}

// Folder is one finding's folder.
type Folder struct {
	Path string
	Note Note
}

// New makes a folder for a finding below dir, with a first note.
func New(dir, part string) (*Folder, error) {
	at := time.Now().UTC()
	stem := filepath.Join(dir, at.Format("20060102T150405.000Z")+"-"+part)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("damage: %w", err)
	}
	path := stem
	for n := 2; ; n++ {
		err := os.Mkdir(path, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) || n > 100 {
			return nil, fmt.Errorf("damage: %w", err)
		}
		path = fmt.Sprintf("%s-%d", stem, n)
	}
	return &Folder{Path: path, Note: Note{At: at, Part: part, Severity: condition.High}}, nil
}

// Save writes the note durably.
func (f *Folder) Save() error {
	raw, err := json.MarshalIndent(f.Note, "", "  ")
	if err != nil {
		return fmt.Errorf("damage: %w", err)
	}
	path := filepath.Join(f.Path, noteFile)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("damage: %w", err)
	}
	_, err = file.Write(append(raw, '\n'))
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("damage: write %s: %w", path, err)
	}
	return nil
}

// Move moves a file or folder into the finding's folder as name, which may
// have folders in it. Between file systems it copies, then removes.
func (f *Folder) Move(path, name string) error {
	to, err := f.place(name)
	if err != nil {
		return err
	}
	err = os.Rename(path, to)
	if errors.Is(err, syscall.EXDEV) {
		if err = copyAll(path, to); err == nil {
			err = os.RemoveAll(path)
		}
	}
	if err != nil {
		return fmt.Errorf("damage: set %s aside: %w", path, err)
	}
	return nil
}

// Copy keeps a copy of a file or folder as Move does.
func (f *Folder) Copy(path, name string) error {
	to, err := f.place(name)
	if err == nil {
		err = copyAll(path, to)
	}
	if err != nil {
		return fmt.Errorf("damage: keep a copy of %s: %w", path, err)
	}
	return nil
}

func (f *Folder) place(name string) (string, error) {
	if !filepath.IsLocal(name) {
		return "", fmt.Errorf("damage: %q is no name within a folder", name)
	}
	to := filepath.Join(f.Path, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("damage: %w", err)
	}
	return to, nil
}

func copyAll(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.CopyFS(to, os.DirFS(from))
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, 0o600)
}

// Notes reads the notes below dir, oldest first. A folder whose note cannot be
// read is told of with what its name says.
func Notes(dir string) ([]Note, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("damage: %w", err)
	}
	var notes []Note
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		var n Note
		raw, err := os.ReadFile(filepath.Join(path, noteFile))
		if err == nil {
			err = json.Unmarshal(raw, &n)
		}
		if err != nil {
			n = Note{Severity: condition.High, Text: condition.Text{
				ZH: "损坏的数据已隔离，但其说明文件无法读取：" + path, EN: "damaged data was set aside, and its note cannot be read: " + path}}
			if info, err := e.Info(); err == nil {
				n.At = info.ModTime().UTC()
			}
			_, n.Part, _ = strings.Cut(e.Name(), "-")
		}
		n.Folder = path
		notes = append(notes, n)
	}
	return notes, nil
}

// Conditions tells of each folder below dir: the condition stands until the
// folder is removed.
func Conditions(dir string) []condition.Condition {
	notes, err := Notes(dir)
	if err != nil {
		return []condition.Condition{{Kind: condition.Damage, Key: dir, Severity: condition.Medium, Since: time.Now().UTC(),
			Text: condition.Text{ZH: "无法查看隔离目录：" + err.Error(), EN: "the folder of damaged data cannot be read: " + err.Error()}}}
	}
	list := make([]condition.Condition, len(notes))
	for i, n := range notes {
		list[i] = condition.Condition{Kind: condition.Damage, Key: filepath.Base(n.Folder), Severity: n.Severity, Text: n.Text, Since: n.At}
	}
	return list
}
